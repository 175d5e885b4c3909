//! Logging in with a password, and out again.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::IdentityError;
use naru_model::api::LoginProvider;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, CameFrom, session_cookie_of};
use crate::failure::{Failure, Result};

use super::answer::local;
use super::html::encode;
use super::language::words;
use super::preference;
use super::shell::Shell;

words! {
    title: "Log in", "로그인";
    login: "Login", "로그인 이름";
    password: "Password", "비밀번호";
    code: "Code", "코드";
    code_rule: "Of your authenticator, or a recovery code. Only if you set up a second factor.",
        "인증 앱의 코드나 복구 코드예요. 2단계 인증을 켰을 때만 적어요.";
    wrong: "The login, the password or the code is wrong.", "로그인 이름, 비밀번호, 코드 중에 맞지 않는 것이 있어요.";
    too_many(seconds): "Too many attempts. Try again in {seconds} s.", "시도가 너무 많았어요. {seconds}초 뒤에 다시 해 보세요.";
    needs_setup: "No administrator exists yet. Open the one-time setup link that the server printed when it started.",
        "아직 관리자가 없어요. 서버를 시작할 때 출력된 일회용 설정 링크를 열어 주세요.";
    or_with(title): "Log in with {title}", "{title}로 로그인";
    from_terminal: "From a terminal", "터미널에서";
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    shell: &'a Shell,
    w: Words,
    needs_setup: bool,
    base_url: &'a str,
    next: &'a str,
    login: &'a str,
    error: Option<String>,
    providers: Vec<LoginProvider>,
    next_encoded: String,
}

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Next {
    next: String,
}

/// The form.
pub(crate) async fn form(State(cx): State<Cx>, shell: Shell, Query(next): Query<Next>) -> Result<Response> {
    let filled = Filled { next: next.next, ..Filled::default() };
    show(&cx, shell, &filled, None).await
}

/// What was typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    login: String,
    password: String,
    code: String,
    next: String,
}

/// Logs in and goes on to where the person was headed.
pub(crate) async fn log_in(
    State(cx): State<Cx>,
    shell: Shell,
    CameFrom(origin): CameFrom,
    Form(filled): Form<Filled>,
) -> Result<Response> {
    let code = (!filled.code.is_empty()).then(|| filled.code.clone().into());
    let with =
        naru_identity::Login { login: filled.login.clone(), password: filled.password.clone().into(), code };
    let principal = match cx.identity.log_in(with, &origin).await {
        Ok(principal) => principal,
        Err(error @ (IdentityError::WrongPassword | IdentityError::TooManyAttempts { .. })) => {
            return show(&cx, shell, &filled, Some(&error)).await;
        }
        Err(error) => return Err(error.into()),
    };
    let session = cx.identity.start_session(&principal, &origin).await?;
    let mut response = Redirect::to(local(&filled.next)).into_response();
    set_session(&cx, &mut response, &session.plain);
    preference::follow_account(&cx, &mut response, &principal.login).await;
    Ok(response)
}

async fn show(cx: &Cx, shell: Shell, filled: &Filled, error: Option<&IdentityError>) -> Result<Response> {
    let w = Words(shell.language);
    let needs_setup = cx.identity.needs_setup().await?;
    let (status, code, said) = match error {
        None => (StatusCode::OK, "", None),
        Some(IdentityError::TooManyAttempts { retry_after }) => {
            let said = w.too_many(retry_after.as_secs().max(1));
            (StatusCode::TOO_MANY_REQUESTS, "identity.too-many-attempts", Some(said))
        }
        Some(_) => (StatusCode::UNAUTHORIZED, "identity.wrong-password", Some(w.wrong().to_owned())),
    };
    let shell = shell.title(w.title());
    let page = LoginPage {
        shell: &shell,
        w,
        needs_setup,
        base_url: &cx.address.base_url,
        next: local(&filled.next),
        login: &filled.login,
        error: said,
        providers: cx.external.list(),
        next_encoded: encode(local(&filled.next)),
    };
    Ok(shell.refused(status, code, &page))
}

/// Ends the session.
pub(crate) async fn log_out(State(cx): State<Cx>, Caller(caller): Caller) -> Result<Response, Failure> {
    cx.identity.log_out(&caller).await?;
    let mut response = Redirect::to("/login").into_response();
    let gone = session_cookie_of(&cx.address, "", 0);
    if let Ok(gone) = HeaderValue::from_str(&gone) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    Ok(response)
}

/// Gives the browser its session.
pub(crate) fn set_session(cx: &Cx, response: &mut Response, session: &SecretString) {
    let seconds = naru_identity::SESSION_LASTS.as_secs();
    let cookie = session_cookie_of(&cx.address, session.expose_secret(), seconds);
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
