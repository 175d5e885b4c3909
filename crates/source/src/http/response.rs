//! Answers: git's two services by name, and refusals that a git client shows to its person.

use std::fmt::Display;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use naru_model::Problem;
use serde::Deserialize;

use super::push::HeadError;
use crate::git::GitError;

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// To clone or fetch.
    UploadPack,
    /// To push.
    ReceivePack,
}

/// The query of `info/refs`.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) service: Option<String>,
}

impl Service {
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name? {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The command of git.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    /// The protocol version to pass on. Only versions that git knows are; pushing has no version 2.
    pub(super) fn protocol(self, headers: &HeaderMap) -> Option<&'static str> {
        let asked = headers.get("git-protocol")?.to_str().ok()?;
        let version = asked.split(':').find_map(|part| part.strip_prefix("version="))?;
        match (self, version) {
            (_, "1") => Some("version=1"),
            (Self::UploadPack, "2") => Some("version=2"),
            _ => None,
        }
    }
}

/// A good answer; never cached.
pub(super) fn answer(content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_str(content_type).expect("a fixed name");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Why a request is turned away. Git clients show the text, since it is plain.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No or wrong credentials.
    LogIn,
    /// No such repository, or one that must not be seen.
    NotFound,
    /// It may be seen but not pushed to.
    NotAllowed,
    /// Files are not served one by one.
    OnlySmart,
    /// A content type or encoding that git does not use.
    WrongType,
    /// Too many at once.
    Busy,
    /// The start of a push makes no sense.
    Unreadable(String),
    /// Something of ours does not work; it was logged.
    Unavailable,
}

impl Refusal {
    pub(super) fn unavailable(why: &dyn Display) -> Self {
        tracing::error!(error = %why, "hosted git cannot answer");
        Self::Unavailable
    }

    pub(super) fn failed(error: &GitError) -> Self {
        Self::unavailable(error)
    }

    pub(super) fn unreadable(error: &HeadError) -> Self {
        Self::Unreadable(error.to_string())
    }

    /// What is answered.
    pub(super) fn problem(&self) -> (StatusCode, Problem) {
        match self {
            Self::LogIn => (
                StatusCode::UNAUTHORIZED,
                Problem::new("source.log-in", "log in with a token")
                    .hint("any user name, and a token as the password:")
                    .command("naru login"),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                Problem::new(
                    "source.no-repository",
                    "there is no such repository, or this token may not see it",
                )
                .hint("create the project first:")
                .command("naru project create <name>"),
            ),
            Self::NotAllowed => (
                StatusCode::FORBIDDEN,
                Problem::new("source.not-allowed", "this token may read the repository but not push to it")
                    .hint("ask an owner of the project for a token that may push"),
            ),
            Self::OnlySmart => (
                StatusCode::BAD_REQUEST,
                Problem::new("source.bad-request", "only git's smart protocol is spoken here")
                    .hint("use git 1.6.6 or newer"),
            ),
            Self::WrongType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Problem::new("source.bad-request", "this is not how git asks").hint("use a git client"),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                Problem::new("source.busy", "too many fetches and pushes at once")
                    .hint("try again in a moment"),
            ),
            Self::Unreadable(why) => (
                StatusCode::BAD_REQUEST,
                Problem::new("source.bad-request", "the push cannot be read").cause(why),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                Problem::new("source.unavailable", "the repository does not answer")
                    .state("nothing was changed")
                    .hint("try again; if it stays, look at the log of `naru serve` and run:")
                    .command("naru doctor"),
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, problem) = self.problem();
        let mut response = (status, format!("{problem}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Naru\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_protocol_versions_are_passed_on() {
        let passed = |service: Service, asked: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("git-protocol", HeaderValue::from_str(asked).unwrap());
            service.protocol(&headers)
        };
        assert_eq!(passed(Service::UploadPack, "version=2"), Some("version=2"));
        assert_eq!(passed(Service::UploadPack, "x=y:version=1"), Some("version=1"));
        assert_eq!(passed(Service::ReceivePack, "version=2"), None);
        assert_eq!(passed(Service::UploadPack, "version=3"), None);
        assert_eq!(passed(Service::UploadPack, "$(id)"), None);
    }
}
