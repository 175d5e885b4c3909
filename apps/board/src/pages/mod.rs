//! What every page has in common: its frame, its headers, and being rendered.

pub mod machine;
pub mod posts;

use askama::Template;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use crate::failure::Failure;
use crate::visit::Visitor;
use crate::words::{Language, Words};

/// What stands around every page.
pub struct Frame {
    pub language: Language,
    pub words: &'static Words,
    /// Nickname of whoever is signed in.
    pub nickname: Option<String>,
    /// The hidden field for forms.
    pub form: String,
    /// This page's address, to come back to.
    pub here: String,
    /// The words that were searched for.
    pub search: String,
}

impl Frame {
    /// The frame for a visitor at an address.
    pub fn new(visitor: &Visitor, here: &str) -> Self {
        Self {
            language: visitor.language,
            words: visitor.language.words(),
            nickname: visitor.account.as_ref().map(|account| account.nickname.clone()),
            form: visitor.form.clone(),
            here: here.to_owned(),
            search: String::new(),
        }
    }

    /// The code of the language that the page is not in.
    pub fn other(&self) -> &'static str {
        match self.language {
            Language::English => Language::Korean.code(),
            Language::Korean => Language::English.code(),
        }
    }
}

/// Renders a page.
pub fn render(status: StatusCode, page: &impl Template) -> Result<Response, Failure> {
    let html = page.render().map_err(Failure::internal)?;
    let mut response = (status, Html(html)).into_response();
    // Pages differ by visitor and carry their forms.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// Whether text has something to read in it and at most `most` characters.
pub fn within(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= most
}

/// Every address that nothing else answers.
pub async fn not_found() -> Failure {
    Failure::NotFound
}

/// Headers that keep browsers from guessing, framing and running anything: the board has no scripts.
pub async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                  base-uri 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
