//! What a request can end with besides a page, and the page that says so in both languages.

use std::fmt;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// Why there is no page.
#[derive(Debug)]
pub enum Failure {
    /// There is nothing at this address.
    NotFound,
    /// It belongs to somebody else.
    NotYours,
    /// The form was not made by this board for this browser and session.
    ForeignForm,
    /// The request makes no sense.
    Nonsense,
    /// Our fault; the reason goes to the log only.
    Internal(String),
}

impl Failure {
    /// Wraps an error that only the log may see.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "There is nothing at this address.", "이 주소에는 아무것도 없어요.")
            }
            Self::NotYours => (
                StatusCode::FORBIDDEN,
                "Only the author can change or delete a post.",
                "글은 쓴 사람만 고치거나 지울 수 있어요.",
            ),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "This form has expired. Go back, reload the page and send it again.",
                "양식이 만료되었어요. 뒤로 가서 새로고침한 다음 다시 보내 주세요.",
            ),
            Self::Nonsense => {
                (StatusCode::BAD_REQUEST, "This request could not be read.", "요청을 읽을 수 없었어요.")
            }
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here. Nothing was changed; try again in a moment.",
                "문제가 생겼어요. 바뀐 것은 없으니 잠시 뒤에 다시 시도해 주세요.",
            ),
        }
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Page {
    english: &'static str,
    korean: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if let Self::Internal(reason) = &self {
            eprintln!("request failed: {reason}");
        }
        let (status, english, korean) = self.words();
        let page = Page { english, korean }.render().unwrap_or_else(|_| english.to_owned());
        (status, Html(page)).into_response()
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(error)
    }
}
