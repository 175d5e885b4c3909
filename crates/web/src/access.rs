//! The one authorisation layer. Every route carries a [`Rule`]; the layer finds the resource, asks, and writes the audit
//! line of a change. Handlers behind it can rely on [`Caller`] and [`Chosen`].

use axum::RequestExt as _;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use naru_model::ProjectName;
use naru_model::authorise::{Authorise as _, Credentials, Denied, Permission, Principal, Resource};
use naru_store::project::Project;

use crate::Cx;
use crate::failure::{Failure, ProblemCode, Result};

/// The cookie of a browser that is logged in.
pub(crate) const SESSION_COOKIE: &str = "naru_session";

/// What a route asks for, and what is written down when it was used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    /// The audit log's word for it, such as `project.create`. Reads have none.
    pub(crate) audit: Option<&'static str>,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: what is needed to log in, and what says nothing.
    Open,
    /// Who has this permission for the instance.
    Instance(Permission),
    /// Who has this permission for the project named by `{project}` in the path.
    Project(Permission),
}

/// Who is asking. Exists only behind the layer.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Principal);

/// The project named in the path: it exists, and the caller may do to it what the route asks for.
#[derive(Debug, Clone)]
pub(crate) struct Chosen(pub(crate) Project);

/// Admits a request or answers it, and writes the audit line.
pub(crate) async fn guard(
    State((cx, rule)): State<(Cx, Rule)>,
    mut request: Request,
    next: Next,
) -> Response {
    let target = request.uri().path().to_owned();
    let (caller, project) = match admit(&cx, rule.access, &mut request).await {
        Ok(admitted) => admitted,
        Err(failure) => return failure.into_response(),
    };
    let response = next.run(request).await;
    if let (Some(action), Some(Caller(principal))) = (rule.audit, caller) {
        let result = response.extensions().get::<ProblemCode>().map_or("done", |code| code.0.as_str());
        if let Err(error) = cx.identity.record(&principal, action, project.as_ref(), &target, result).await {
            tracing::error!(%error, action, target, "an audit line could not be written");
        }
    }
    response
}

async fn admit(
    cx: &Cx,
    access: Access,
    request: &mut Request,
) -> Result<(Option<Caller>, Option<ProjectName>)> {
    let credentials = credentials(request.headers());
    match access {
        Access::Open => Ok((None, None)),
        Access::Instance(permission) => {
            let asked = cx.identity.authorise(&credentials, permission, &Resource::Instance).await;
            let caller = Caller(asked.map_err(|denied| Failure::from(&denied))?);
            request.extensions_mut().insert(caller.clone());
            Ok((Some(caller), None))
        }
        Access::Project(permission) => {
            let (caller, project) = admit_to_project(cx, &credentials, permission, request).await?;
            let name = project.0.name.clone();
            request.extensions_mut().insert(caller.clone());
            request.extensions_mut().insert(project);
            Ok((Some(caller), Some(name)))
        }
    }
}

async fn admit_to_project(
    cx: &Cx,
    credentials: &Credentials,
    permission: Permission,
    request: &mut Request,
) -> Result<(Caller, Chosen)> {
    let text = path_parameter(request, "project").await;
    let name = text.as_deref().unwrap_or_default().parse::<ProjectName>();
    let Ok(name) = name else {
        // Who is not logged in learns nothing about names either.
        let asked = cx.identity.authorise(credentials, Permission::OwnTokens, &Resource::Instance).await;
        return Err(match asked {
            Err(denied @ (Denied::Unauthenticated | Denied::Unavailable(_))) => (&denied).into(),
            Ok(_) | Err(Denied::Forbidden) => name.unwrap_err().into(),
        });
    };
    let principal =
        match cx.identity.authorise(credentials, permission, &Resource::Project(name.clone())).await {
            Ok(principal) => principal,
            Err(Denied::Forbidden) => return Err(Failure::no_project(&name)),
            Err(denied) => return Err((&denied).into()),
        };
    let project = cx.store.project(&name).await?.ok_or_else(|| Failure::no_project(&name))?;
    Ok((Caller(principal), Chosen(project)))
}

async fn path_parameter(request: &mut Request, name: &str) -> Option<String> {
    let parameters = request.extract_parts::<RawPathParams>().await.ok()?;
    parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// What the caller came with: the `Authorization` header, else the session cookie.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if header.is_some() {
        return Credentials::from_header(header, |text| base64::prelude::BASE64_STANDARD.decode(text).ok());
    }
    cookie(headers, SESSION_COOKIE).map_or(Credentials::None, Credentials::Session)
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| (&Denied::Unauthenticated).into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Chosen {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| (&Denied::Unauthenticated).into())
    }
}
