//! Errors as responses: the five fields as JSON with the right status. What is worth a log line is logged here, once.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use naru_identity::IdentityError;
use naru_model::authorise::{Denied, Permission};
use naru_model::{NameError, OrganisationName, Problem, ProjectName};
use naru_store::StoreError;

/// The code of [`Failure::unconfirmed`].
pub(crate) const UNCONFIRMED: &str = "identity.confirm";

/// A response that is an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) problem: Box<Problem>,
    retry_after_seconds: Option<u64>,
}

/// The code of a problem, left on the response for the audit log.
#[derive(Clone)]
pub(crate) struct ProblemCode(pub(crate) String);

/// The problem itself, left on the response for pages, which show it as one.
#[derive(Clone)]
pub(crate) struct Shown(pub(crate) Arc<Problem>);

/// What every handler returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem: Box::new(problem), retry_after_seconds: None }
    }

    /// 400: the request cannot be understood or asks for something impossible.
    pub(crate) fn refused(problem: Problem) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem)
    }

    /// 404: there is no such thing, or the caller may not know of it.
    pub(crate) fn missing(what: impl std::fmt::Display, list: &str) -> Self {
        let problem = Problem::new("api.missing", format!("{what} does not exist")).command(list);
        Self::new(StatusCode::NOT_FOUND, problem)
    }

    /// 404 for an organisation: missing and forbidden ones answer alike.
    pub(crate) fn no_organisation(name: &OrganisationName) -> Self {
        Self::missing(format!("organisation `{name}`"), "naru organisation list")
    }

    /// 403: the caller may see it, but this takes a permission that they have not.
    pub(crate) fn forbidden(permission: Permission) -> Self {
        let problem = Problem::new("api.forbidden", "you may not do that")
            .cause(format!("it takes the permission `{permission}`"))
            .state("nothing was changed")
            .hint("ask an owner of the organisation for a role that has it, or use a token that was not cut down");
        Self::new(StatusCode::FORBIDDEN, problem)
    }

    /// 403: the password was given too long ago for an act that cannot be undone or that gives rights.
    pub(crate) fn unconfirmed() -> Self {
        let problem = Problem::new(UNCONFIRMED, "give your password once more first")
            .cause(
                "this cannot be undone or gives rights, and the password was given more than 10 minutes ago",
            )
            .state("nothing was changed")
            .hint("log out and in again, then repeat it");
        Self::new(StatusCode::FORBIDDEN, problem)
    }

    /// 404 for a project: missing and forbidden ones answer alike.
    pub(crate) fn no_project(name: &ProjectName) -> Self {
        Self::missing(format!("project `{name}`"), "naru project list")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(code = %self.problem.code, cause = ?self.problem.cause, "{}", self.problem.summary);
        }
        let code = ProblemCode(self.problem.code.to_string());
        let mut response = (self.status, Json(&*self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"naru\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(code);
        response.extensions_mut().insert(Shown(Arc::new(*self.problem)));
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing(what) => Self::new(
                StatusCode::NOT_FOUND,
                Problem::new("api.missing", format!("{what} does not exist")),
            ),
            StoreError::Exists(what) => {
                Self::new(StatusCode::CONFLICT, Problem::new("api.exists", format!("{what} exists already")))
            }
            StoreError::Stale(why) => Self::new(
                StatusCode::CONFLICT,
                Problem::new("api.stale", "something changed in the meantime")
                    .cause(why)
                    .hint("look, then try again"),
            ),
            StoreError::Damaged { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Problem::new("store.damaged", error.to_string())
                    .state("what runs keeps running")
                    .hint("the database was damaged or written by a newer version of Naru"),
            ),
            StoreError::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Problem::new("store.unavailable", "the store does not answer")
                    .cause(error.to_string())
                    .state("nothing was changed; what runs keeps running")
                    .hint("try again in a moment; `naru doctor` says what is wrong"),
            ),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let (status, retry_after_seconds) = match &error {
            IdentityError::NoSuchSetupLink
            | IdentityError::NoSuchInvitation
            | IdentityError::NoSuchPasswordLink => (StatusCode::FORBIDDEN, None),
            IdentityError::WrongPassword => (StatusCode::UNAUTHORIZED, None),
            IdentityError::TooManyAttempts { retry_after } => {
                (StatusCode::TOO_MANY_REQUESTS, Some(retry_after.as_secs().max(1)))
            }
            IdentityError::HasTotp | IdentityError::NoTotp => (StatusCode::CONFLICT, None),
            IdentityError::Unsealed(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
            IdentityError::BadLogin
            | IdentityError::BadPassword
            | IdentityError::FrequentPassword
            | IdentityError::WrongCode
            | IdentityError::BadLabel
            | IdentityError::EnvironmentWithoutProject => (StatusCode::BAD_REQUEST, None),
            IdentityError::Store(StoreError::Missing(_)) => (StatusCode::NOT_FOUND, None),
            IdentityError::Store(StoreError::Exists(_)) => (StatusCode::CONFLICT, None),
            IdentityError::Closing | IdentityError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, None),
        };
        Self { status, problem: Box::new(error.into()), retry_after_seconds }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        let summary = format!("{} {} is not usable", error.noun, error.given);
        Self::refused(Problem::new("api.bad-name", summary).cause(format!("accepted: {}", error.expected)))
    }
}

/// A problem from behind the API: nothing the caller did, unless the problem says so.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, problem)
    }
}

impl From<&Denied> for Failure {
    fn from(denied: &Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::new(
                StatusCode::UNAUTHORIZED,
                Problem::new("api.unauthenticated", "log in first")
                    .cause("no token was sent, or it is not valid any more")
                    .command("naru login"),
            ),
            Denied::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, Problem::new("api.forbidden", "you may not do that"))
            }
            Denied::Unavailable(why) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Problem::new("store.unavailable", "whether you may do that could not be found out")
                    .cause(why.clone())
                    .state("nothing was changed")
                    .hint("try again in a moment"),
            ),
        }
    }
}
