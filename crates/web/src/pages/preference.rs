//! Language and theme: a person's choice, kept in cookies of this browser.

use axum::extract::Form;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::answer::local;
use super::language::{LANGUAGE_COOKIE, Language};
use super::shell::{THEME_COOKIE, Theme};

const YEAR_SECONDS: u32 = 31_536_000;

/// What was chosen, and where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice {
    language: String,
    theme: String,
    back: String,
}

/// Keeps what was chosen and goes back.
pub(crate) async fn choose(Form(choice): Form<Choice>) -> Response {
    let mut response = Redirect::to(local(&choice.back)).into_response();
    let mut keep = |name: &str, value: &str| {
        let cookie = format!("{name}={value}; Path=/; Max-Age={YEAR_SECONDS}; SameSite=Lax");
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    };
    if let Some(language) = Language::named(&choice.language) {
        keep(LANGUAGE_COOKIE, language.tag());
    }
    if let Some(theme) = Theme::named(&choice.theme) {
        keep(THEME_COOKIE, theme.name());
    }
    response
}
