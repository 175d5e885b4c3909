//! The two pages there are: `/setup`, where the first administrator is made, and `/`, which says what this is. Complete
//! without a script; in English and Korean by the browser's wish.

mod words;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use naru_identity::IdentityError;
use naru_model::Problem;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::Cx;
use crate::access::SESSION_COOKIE;
use words::{Language, Words};

/// Nothing is loaded from elsewhere, and no other site may frame these pages.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The pages' routes. They pass no authorisation: they show nothing but words, and the setup form carries its token.
pub(crate) fn router() -> Router<Cx> {
    Router::new().route("/", get(home)).route("/setup", get(setup_form).post(setup))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    words: &'a Words,
    base_url: &'a str,
    needs_setup: bool,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupForm<'a> {
    words: &'a Words,
    token: &'a str,
    login: &'a str,
    login_error: Option<String>,
    password_error: Option<String>,
    form_error: Option<String>,
}

#[derive(Template)]
#[template(path = "ready.html")]
struct Ready<'a> {
    words: &'a Words,
    base_url: &'a str,
    login: &'a str,
    token: &'a str,
}

async fn home(State(cx): State<Cx>, headers: HeaderMap) -> Response {
    let words = Language::of(&headers).words();
    let needs_setup = cx.identity.needs_setup().await.unwrap_or(false);
    page(StatusCode::OK, &Home { words, base_url: &cx.address.base_url, needs_setup })
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

async fn setup_form(State(cx): State<Cx>, headers: HeaderMap, Query(link): Query<Link>) -> Response {
    let words = Language::of(&headers).words();
    if !cx.identity.needs_setup().await.unwrap_or(true) {
        return Redirect::to("/").into_response();
    }
    let form = SetupForm {
        words,
        token: &link.token,
        login: "",
        login_error: None,
        password_error: None,
        form_error: None,
    };
    page(StatusCode::OK, &form)
}

#[derive(Deserialize)]
struct Filled {
    token: String,
    login: String,
    password: String,
}

async fn setup(State(cx): State<Cx>, headers: HeaderMap, Form(filled): Form<Filled>) -> Response {
    let words = Language::of(&headers).words();
    match make_administrator(&cx, &filled).await {
        Ok((token, session)) => {
            let ready = Ready {
                words,
                base_url: &cx.address.base_url,
                login: &filled.login,
                token: token.expose_secret(),
            };
            let mut response = page(StatusCode::CREATED, &ready);
            set_cookie(&mut response, &session);
            response
        }
        Err(error) => refused(words, &filled, error),
    }
}

async fn make_administrator(cx: &Cx, filled: &Filled) -> Result<(SecretString, SecretString), IdentityError> {
    let token: SecretString = filled.token.clone().into();
    let principal = cx.identity.setup(&token, &filled.login, filled.password.clone().into()).await?;
    let new = naru_identity::NewToken { label: "setup".to_owned(), ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    let session = cx.identity.start_session(&principal).await?;
    Ok((token.plain, session.plain))
}

/// The form again, with what was typed (but no password) and what would be accepted beside the field.
fn refused(words: &'static Words, filled: &Filled, error: IdentityError) -> Response {
    let mut form = SetupForm {
        words,
        token: &filled.token,
        login: &filled.login,
        login_error: None,
        password_error: None,
        form_error: None,
    };
    let status = match &error {
        IdentityError::BadLogin => {
            form.login_error = Some(words.login_rule.to_owned());
            StatusCode::BAD_REQUEST
        }
        IdentityError::BadPassword => {
            form.password_error = Some(words.password_rule.to_owned());
            StatusCode::BAD_REQUEST
        }
        IdentityError::NoSuchSetupLink => {
            form.form_error = Some(words.link_used.to_owned());
            StatusCode::FORBIDDEN
        }
        IdentityError::TooManyAttempts { .. } => {
            form.form_error = Some(words.too_many.to_owned());
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => {
            tracing::error!(%error, "the first administrator could not be made");
            let problem: Problem = error.into();
            form.form_error = Some(problem.summary);
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    page(status, &form)
}

fn set_cookie(response: &mut Response, session: &SecretString) {
    let seconds = naru_identity::SESSION_LASTS.as_secs();
    let session = session.expose_secret();
    let cookie = format!("{SESSION_COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    let body = match template.render() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept-language"),
    ];
    (status, headers, body).into_response()
}
