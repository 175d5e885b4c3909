//! The first administrator, made with the one-time setup link.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::{IdentityError, Origin};
use naru_model::Problem;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::Cx;
use crate::access::CameFrom;

use super::language::words;
use super::login::set_session;
use super::shell::Shell;

words! {
    title: "Make the first administrator", "첫 관리자 만들기";
    what: "This link works once. The account may do everything on this instance.",
        "이 링크는 한 번만 쓸 수 있어요. 이 계정은 이 인스턴스의 모든 일을 할 수 있어요.";
    login: "Login", "로그인 이름";
    login_rule: "1 to 40 lower-case letters, digits and . _ -, starting with a letter",
        "영문 소문자로 시작하고 소문자, 숫자, . _ - 만 써서 1~40자로 적어 주세요";
    password: "Password", "비밀번호";
    password_rule: "10 to 200 characters", "10~200자로 적어 주세요";
    password_frequent: "This one is too easy to guess: it is much used, repeats itself, or is made of a name. Several words that do not belong together are good.",
        "너무 쉽게 짐작할 수 있는 비밀번호예요. 많이 쓰이거나 반복되거나 이름으로 만든 것이에요. 서로 관계없는 낱말 여러 개가 좋아요.";
    create: "Create the account", "계정 만들기";
    link_used: "This setup link was used already, or a newer one replaced it. Restart the server to get a new link.",
        "이미 쓴 링크이거나 새 링크로 바뀌었어요. 서버를 다시 시작하면 새 링크가 나와요.";
    too_many: "Too many attempts. Wait a minute, then try again.", "시도가 너무 많았어요. 1분 뒤에 다시 해 보세요.";
    ready: "The account is ready", "계정이 준비됐어요";
    ready_what: "This token logs in the command line. It is shown once: copy it now.",
        "이 토큰으로 명령줄에 로그인해요. 한 번만 보여 드리니 지금 복사해 두세요.";
    token: "Token", "토큰";
    next: "Next", "다음 할 일";
    next_login: "log in from a terminal", "터미널에서 로그인";
    next_home: "Go to home", "홈으로 가기";
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupForm<'a> {
    shell: &'a Shell,
    w: Words,
    token: &'a str,
    login: &'a str,
    login_is_bad: bool,
    password_is_bad: bool,
    password_is_frequent: bool,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "ready.html")]
struct Ready<'a> {
    shell: &'a Shell,
    w: Words,
    base_url: &'a str,
    login: &'a str,
    token: &'a str,
}

/// `?token=` of the link.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SetupLink {
    token: String,
}

/// The form; who comes when an administrator exists is led home.
pub(crate) async fn form(State(cx): State<Cx>, shell: Shell, Query(link): Query<SetupLink>) -> Response {
    if !cx.identity.needs_setup().await.unwrap_or(true) {
        return Redirect::to("/").into_response();
    }
    let w = Words(shell.language);
    let shell = shell.title(w.title());
    let form = SetupForm {
        shell: &shell,
        w,
        token: &link.token,
        login: "",
        login_is_bad: false,
        password_is_bad: false,
        password_is_frequent: false,
        error: None,
    };
    shell.page(&form)
}

/// What was typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    token: String,
    login: String,
    password: String,
}

/// Makes the administrator, shows a token once, and logs the browser in.
pub(crate) async fn set_up(
    State(cx): State<Cx>,
    shell: Shell,
    CameFrom(origin): CameFrom,
    Form(filled): Form<Filled>,
) -> Response {
    let w = Words(shell.language);
    match make_administrator(&cx, &filled, &origin).await {
        Ok((token, session)) => {
            let shell = shell.title(w.ready());
            let base_url = &cx.address.base_url;
            let ready =
                Ready { shell: &shell, w, base_url, login: &filled.login, token: token.expose_secret() };
            let mut response = shell.page_with(StatusCode::CREATED, &ready);
            set_session(&cx, &mut response, &session);
            response
        }
        Err(error) => refused(shell, &filled, error),
    }
}

async fn make_administrator(
    cx: &Cx,
    filled: &Filled,
    origin: &Origin,
) -> Result<(SecretString, SecretString), IdentityError> {
    let token: SecretString = filled.token.clone().into();
    let principal = cx.identity.setup(&token, &filled.login, filled.password.clone().into(), origin).await?;
    let new = naru_identity::NewToken { label: "setup".to_owned(), ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    let session = cx.identity.start_session(&principal, origin).await?;
    Ok((token.plain, session.plain))
}

/// The form again, with what was typed (but no password) and what would be accepted beside the field.
fn refused(shell: Shell, filled: &Filled, error: IdentityError) -> Response {
    let w = Words(shell.language);
    let (status, said) = match &error {
        IdentityError::BadLogin | IdentityError::BadPassword | IdentityError::FrequentPassword => {
            (StatusCode::BAD_REQUEST, None)
        }
        IdentityError::NoSuchSetupLink => (StatusCode::FORBIDDEN, Some(w.link_used().to_owned())),
        IdentityError::TooManyAttempts { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, Some(w.too_many().to_owned()))
        }
        _ => {
            tracing::error!(%error, "the first administrator could not be made");
            (StatusCode::SERVICE_UNAVAILABLE, Some(error.to_string()))
        }
    };
    let shell = shell.title(w.title());
    let form = SetupForm {
        shell: &shell,
        w,
        token: &filled.token,
        login: &filled.login,
        login_is_bad: matches!(error, IdentityError::BadLogin),
        password_is_bad: matches!(error, IdentityError::BadPassword | IdentityError::FrequentPassword),
        password_is_frequent: matches!(error, IdentityError::FrequentPassword),
        error: said,
    };
    let code = Problem::from(error).code;
    shell.refused(status, &code, &form)
}
