//! Language and theme: a person's choice, kept in cookies of this browser. Language and zone of an account are copied there
//! when somebody logs in.

use axum::extract::Form;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::answer::local;
use super::language::{LANGUAGE_COOKIE, Language};
use super::shell::{THEME_COOKIE, Theme};
use super::when::ZONE_CHOICE_COOKIE;
use crate::Cx;

const YEAR_SECONDS: u32 = 31_536_000;

/// What was chosen, and where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice {
    language: String,
    theme: String,
    back: String,
}

/// Lets a browser follow what an account asks for; without a wish the browser's own ways count again.
pub(super) fn follow(response: &mut Response, language: Option<&str>, zone: Option<&str>) {
    let language = language.and_then(Language::named);
    keep(response, LANGUAGE_COOKIE, language.map(Language::tag));
    keep(response, ZONE_CHOICE_COOKIE, zone.filter(|zone| !zone.is_empty()));
}

/// The same for who has just logged in. What they had chosen in this browser stays when the account has no wish.
pub(super) async fn follow_account(cx: &Cx, response: &mut Response, login: &str) {
    let Ok(Some(account)) = cx.store.account(login).await else { return };
    if let Some(language) = account.language.as_deref().and_then(Language::named) {
        keep(response, LANGUAGE_COOKIE, Some(language.tag()));
    }
    keep(response, ZONE_CHOICE_COOKIE, account.zone.as_deref().filter(|zone| !zone.is_empty()));
}

/// Keeps a value in the browser, or forgets it.
fn keep(response: &mut Response, name: &str, value: Option<&str>) {
    let seconds = if value.is_some() { YEAR_SECONDS } else { 0 };
    let value = value.unwrap_or_default();
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Lax");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Keeps what was chosen and goes back.
pub(crate) async fn choose(Form(choice): Form<Choice>) -> Response {
    let mut response = Redirect::to(local(&choice.back)).into_response();
    if let Some(language) = Language::named(&choice.language) {
        keep(&mut response, LANGUAGE_COOKIE, Some(language.tag()));
    }
    if let Some(theme) = Theme::named(&choice.theme) {
        keep(&mut response, THEME_COOKIE, Some(theme.name()));
    }
    response
}
