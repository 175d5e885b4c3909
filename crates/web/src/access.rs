//! The one authorisation layer. Every route carries a [`Rule`]; the layer finds the resource, asks, and writes the audit
//! line of a change. Handlers behind it can rely on [`Caller`], [`Asking`] and [`Chosen`].
//!
//! What somebody may not read is answered exactly as if it were missing; what they may read but not do is answered with
//! the permission that it takes.

mod credentials;
mod origin;

use axum::RequestExt as _;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use naru_identity::{Deed, Known};
use naru_model::authorise::{Credentials, Denied, Permission, Principal, Resource};
use naru_model::{EnvironmentKey, EnvironmentName, NameError, OrganisationName, ProjectName};
use naru_store::organisation::Organisation;
use naru_store::project::Project;

use crate::Cx;
use crate::failure::{Failure, ProblemCode, Result};

pub(crate) use credentials::{cookie, credentials, session_cookie_of};
pub(crate) use origin::{CameFrom, origin};

/// What a route asks for, and what is written down when it was used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    /// The audit log's word for it, such as `project.create`. Reads have none.
    pub(crate) audit: Option<&'static str>,
    /// Whether a browser must have given the password of late: it cannot be undone, or gives rights.
    pub(crate) fresh: bool,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: what is needed to log in, and what says nothing.
    Open,
    /// Who has this permission for the instance.
    Instance(Permission),
    /// Who has this permission for the organisation named by `{organisation}` in the path.
    Organisation(Permission),
    /// Who has this permission for the project named by `{project}` in the path.
    Project(Permission),
    /// Who has this permission for the environment named by `{project}` and `{environment}` in the path.
    Environment(Permission),
}

impl Access {
    /// What is asked of what; nothing of what is open.
    pub(crate) fn asked(self) -> Option<(&'static str, Permission)> {
        match self {
            Self::Open => None,
            Self::Instance(permission) => Some(("instance", permission)),
            Self::Organisation(permission) => Some(("organisation", permission)),
            Self::Project(permission) => Some(("project", permission)),
            Self::Environment(permission) => Some(("environment", permission)),
        }
    }
}

/// Who is asking. Exists only behind the layer.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Principal);

/// Who is asking, and what was asked for: for handlers that ask about further things, and for streams, which ask again.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) known: Known,
    pub(crate) credentials: Credentials,
    /// What the route's rule came to in this request.
    pub(crate) admitted: (Permission, Resource),
}

/// The project named in the path: it exists, and the caller may do to it what the route asks for.
#[derive(Debug, Clone)]
pub(crate) struct Chosen(pub(crate) Project);

/// The organisation named in the path: it exists, and the caller may do to it what the route asks for.
#[derive(Debug, Clone)]
pub(crate) struct ChosenOrganisation(pub(crate) Organisation);

/// What else the audit line of this response should say. Never a secret.
#[derive(Debug, Clone)]
pub(crate) struct AuditDetail(pub(crate) String);

/// Admits a request or answers it, and writes the audit line.
pub(crate) async fn guard(
    State((cx, rule)): State<(Cx, Rule)>,
    mut request: Request,
    next: Next,
) -> Response {
    let target = request.uri().path().to_owned();
    let CameFrom(origin) = CameFrom::of(request.extensions());
    let asking = match admit(&cx, rule, &mut request).await {
        Ok(asking) => asking,
        Err(failure) => return failure.into_response(),
    };
    let response = next.run(request).await;
    if let (Some(action), Some(asking)) = (rule.audit, asking) {
        let (organisation, project) = place(&asking.admitted.1);
        let code = response.extensions().get::<ProblemCode>();
        let detail = response.extensions().get::<AuditDetail>();
        let deed = Deed {
            action,
            organisation,
            project,
            target: &target,
            result: code.map_or("done", |code| code.0.as_str()),
            detail: detail.map(|detail| detail.0.as_str()).unwrap_or_default(),
        };
        if let Err(error) = cx.identity.record(&asking.known.principal, &origin, deed).await {
            tracing::error!(%error, action, target, "an audit line could not be written");
        }
    }
    response
}

/// Where an audit line belongs.
fn place(resource: &Resource) -> (Option<&OrganisationName>, Option<&ProjectName>) {
    match resource {
        Resource::Instance => (None, None),
        Resource::Organisation(name) => (Some(name), None),
        Resource::Project(name) => (None, Some(name)),
        Resource::Environment(key) => (None, Some(&key.project)),
    }
}

async fn admit(cx: &Cx, rule: Rule, request: &mut Request) -> Result<Option<Asking>> {
    let access = rule.access;
    let Some((_, permission)) = access.asked() else { return Ok(None) };
    let credentials = credentials(&cx.address, request.headers());
    // Who is not logged in learns nothing, not even about names.
    let known = cx.identity.identify(&credentials).await.map_err(|denied| Failure::from(&denied))?;
    let resource = match access {
        Access::Open | Access::Instance(_) => Resource::Instance,
        Access::Organisation(_) => Resource::Organisation(named(request, "organisation").await?),
        Access::Project(_) => Resource::Project(named(request, "project").await?),
        Access::Environment(_) => environment_named(cx, &known, request).await?,
    };
    let asking = Asking { known, credentials, admitted: (permission, resource) };
    asking.require(cx, permission, &asking.admitted.1).await?;
    if rule.fresh && cx.identity.must_confirm(&asking.known) {
        return Err(Failure::unconfirmed());
    }
    match &asking.admitted.1 {
        Resource::Instance => {}
        Resource::Organisation(name) => {
            let row = cx.store.organisation(name).await?.ok_or_else(|| Failure::no_organisation(name))?;
            request.extensions_mut().insert(ChosenOrganisation(row));
        }
        Resource::Project(name) | Resource::Environment(EnvironmentKey { project: name, .. }) => {
            let row = cx.store.project(name).await?.ok_or_else(|| Failure::no_project(name))?;
            request.extensions_mut().insert(Chosen(row));
        }
    }
    request.extensions_mut().insert(Caller(asking.known.principal.clone()));
    request.extensions_mut().insert(asking.clone());
    Ok(Some(asking))
}

/// The environment in the path. What its name could be is only said to who may read the project.
async fn environment_named(cx: &Cx, known: &Known, request: &mut Request) -> Result<Resource> {
    let project: ProjectName = named(request, "project").await?;
    match named::<EnvironmentName>(request, "environment").await {
        Ok(environment) => Ok(Resource::Environment(EnvironmentKey { project, environment })),
        Err(failure) => {
            let resource = Resource::Project(project);
            match cx.identity.allow(known, Permission::Read, &resource).await {
                Ok(()) => Err(failure),
                Err(denied) => Err(refusal(&denied, Permission::Read, &resource)),
            }
        }
    }
}

async fn named<T: std::str::FromStr<Err = NameError>>(request: &mut Request, name: &str) -> Result<T> {
    let parameters = request.extract_parts::<RawPathParams>().await;
    let text = parameters.as_ref().ok().and_then(|all| all.iter().find(|(key, _)| *key == name));
    Ok(text.map(|(_, value)| value).unwrap_or_default().parse::<T>()?)
}

impl Asking {
    /// Whether the caller may also do this.
    pub(crate) async fn may(&self, cx: &Cx, permission: Permission, resource: &Resource) -> Result<bool> {
        match cx.identity.allow(&self.known, permission, resource).await {
            Ok(()) => Ok(true),
            Err(Denied::Forbidden | Denied::Unauthenticated) => Ok(false),
            Err(denied) => Err((&denied).into()),
        }
    }

    /// Refuses unless the caller may also do this: as missing what they may not read, otherwise with the permission.
    pub(crate) async fn require(&self, cx: &Cx, permission: Permission, resource: &Resource) -> Result<()> {
        let Err(denied) = cx.identity.allow(&self.known, permission, resource).await else { return Ok(()) };
        if denied != Denied::Forbidden {
            return Err((&denied).into());
        }
        let Principal { login, credential_id } = &self.known.principal;
        tracing::warn!(login, credential = credential_id, %permission, ?resource, "a request was refused");
        if permission != Permission::Read && self.may(cx, Permission::Read, resource).await? {
            return Err(Failure::forbidden(permission));
        }
        if let Resource::Environment(key) = resource {
            let project = Resource::Project(key.project.clone());
            if !self.may(cx, Permission::Read, &project).await? {
                return Err(Failure::no_project(&key.project));
            }
        }
        Err(refusal(&denied, permission, resource))
    }
}

fn refusal(denied: &Denied, permission: Permission, resource: &Resource) -> Failure {
    match (denied, resource) {
        (Denied::Forbidden, Resource::Instance) => Failure::forbidden(permission),
        (Denied::Forbidden, Resource::Organisation(name)) => Failure::no_organisation(name),
        (Denied::Forbidden, Resource::Project(name)) => Failure::no_project(name),
        (Denied::Forbidden, Resource::Environment(key)) => crate::routes::no_environment(key),
        (denied, _) => denied.into(),
    }
}

macro_rules! left_by_the_layer {
    ($($type:ty),*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $type {
            type Rejection = Failure;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
                parts.extensions.get::<Self>().cloned().ok_or_else(|| (&Denied::Unauthenticated).into())
            }
        }
    )*};
}

left_by_the_layer!(Caller, Asking, Chosen, ChosenOrganisation);
