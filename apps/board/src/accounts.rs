//! Signing up, logging in and out, the nickname, the language.

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::extract::{Extension, Form, Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::failure::Failure;
use crate::pages::{Frame, render, within};
use crate::visit::{self, Visitor};
use crate::words::Language;
use crate::{Board, password, time};

/// What was typed; kept when it has to be typed again, except for the password.
#[derive(Debug, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    login: String,
    #[serde(default)]
    nickname: String,
    #[serde(default)]
    password: String,
}

/// Sentences beside the fields that were not accepted.
#[derive(Debug, Default)]
struct Complaints {
    login: Option<&'static str>,
    nickname: Option<&'static str>,
    password: Option<&'static str>,
    whole: Option<&'static str>,
}

impl Complaints {
    fn any(&self) -> bool {
        self.login.or(self.nickname).or(self.password).or(self.whole).is_some()
    }
}

#[derive(Template)]
#[template(path = "signup.html")]
struct SignupPage {
    frame: Frame,
    typed: Typed,
    complaints: Complaints,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    typed: Typed,
    complaints: Complaints,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    login: String,
    nickname: String,
    complaint: Option<&'static str>,
    saved: bool,
}

/// The empty form for an account.
pub async fn signup_page(Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    if visitor.account.is_some() {
        return Ok(Redirect::to("/").into_response());
    }
    let frame = Frame::new(&visitor, "/signup");
    render(StatusCode::OK, &SignupPage { frame, typed: Typed::default(), complaints: Complaints::default() })
}

/// Makes an account and logs it in.
pub async fn signup(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Form(mut typed): Form<Typed>,
) -> Result<Response, Failure> {
    let words = visitor.language.words();
    typed.login = typed.login.trim().to_owned();
    typed.nickname = typed.nickname.trim().to_owned();
    let mut complaints = Complaints {
        login: (!good_login(&typed.login)).then_some(words.bad_login),
        nickname: (!good_nickname(&typed.nickname)).then_some(words.bad_nickname),
        password: (!password::acceptable(&typed.password)).then_some(words.bad_password),
        whole: None,
    };
    if !complaints.any() {
        let hash = password::hash(&board, typed.password.clone()).await?;
        let (login, nickname) = (typed.login.clone(), typed.nickname.clone());
        match board.store.add_account(login, nickname, hash, time::now()).await? {
            Some(account) => return enter(&board, account, &visitor).await,
            None => complaints.login = Some(words.login_taken),
        }
    }
    let frame = Frame::new(&visitor, "/signup");
    render(StatusCode::UNPROCESSABLE_ENTITY, &SignupPage { frame, typed, complaints })
}

/// The empty form for logging in.
pub async fn login_page(Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    if visitor.account.is_some() {
        return Ok(Redirect::to("/").into_response());
    }
    let frame = Frame::new(&visitor, "/login");
    render(StatusCode::OK, &LoginPage { frame, typed: Typed::default(), complaints: Complaints::default() })
}

/// Starts a session, or says that something is wrong without saying what.
pub async fn login(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Form(typed): Form<Typed>,
) -> Result<Response, Failure> {
    let words = visitor.language.words();
    let login = typed.login.trim().to_owned();
    let attempts = || board.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let allowed = attempts().allowed(&login, time::now());
    let (status, complaint) = if !allowed {
        (StatusCode::TOO_MANY_REQUESTS, words.wait)
    } else if login.len() > 100 || typed.password.len() > password::LONGEST {
        (StatusCode::UNPROCESSABLE_ENTITY, words.wrong)
    } else {
        let known = board.store.credentials(login.clone()).await?;
        let (account, hash) = known.map_or((None, None), |(account, hash)| (Some(account), Some(hash)));
        if password::matches(&board, typed.password.clone(), hash).await? {
            attempts().succeeded(&login);
            return enter(&board, account.ok_or(Failure::Nonsense)?, &visitor).await;
        }
        attempts().failed(&login, time::now());
        (StatusCode::UNPROCESSABLE_ENTITY, words.wrong)
    };
    let complaints = Complaints { whole: Some(complaint), ..Complaints::default() };
    render(status, &LoginPage { frame: Frame::new(&visitor, "/login"), typed, complaints })
}

/// Ends the session: on the server, and in the browser.
pub async fn logout(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, Failure> {
    if let Some(session) = visitor.session {
        board.store.end_session(session).await?;
    }
    Ok(with_cookies(Redirect::to("/").into_response(), visit::forget(visitor.secure)))
}

/// The form with the nickname.
pub async fn account_page(Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let Some(account) = visitor.account.clone() else {
        return Ok(Redirect::to("/login").into_response());
    };
    let frame = Frame::new(&visitor, "/account");
    let page = AccountPage {
        frame,
        login: account.login,
        nickname: account.nickname,
        complaint: None,
        saved: false,
    };
    render(StatusCode::OK, &page)
}

/// Changes the nickname.
pub async fn rename(
    State(board): State<Arc<Board>>,
    Extension(mut visitor): Extension<Visitor>,
    Form(typed): Form<Typed>,
) -> Result<Response, Failure> {
    let Some(account) = visitor.account.clone() else {
        return Ok(Redirect::to("/login").into_response());
    };
    let nickname = typed.nickname.trim().to_owned();
    let complaint = (!good_nickname(&nickname)).then_some(visitor.language.words().bad_nickname);
    if complaint.is_none() {
        board.store.rename(account.id, nickname.clone()).await?;
        visitor.account = Some(crate::store::Account { nickname: nickname.clone(), ..account.clone() });
    }
    let status = if complaint.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let frame = Frame::new(&visitor, "/account");
    let saved = complaint.is_none();
    render(status, &AccountPage { frame, login: account.login, nickname, complaint, saved })
}

/// Where to go back to after the language was changed.
#[derive(Debug, Deserialize)]
pub struct Here {
    #[serde(default)]
    here: String,
}

/// Remembers the language and returns to where it was changed.
pub async fn language(
    Extension(visitor): Extension<Visitor>,
    Path(code): Path<String>,
    Form(Here { here }): Form<Here>,
) -> Result<Response, Failure> {
    let language = Language::from_code(&code).ok_or(Failure::NotFound)?;
    // A path of ours only: `//host` would lead elsewhere.
    let ours = here.starts_with('/')
        && !here.starts_with("//")
        && here.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let response = Redirect::to(if ours { &here } else { "/" }).into_response();
    Ok(with_cookies(response, vec![visit::language_cookie(language, visitor.secure)]))
}

async fn enter(board: &Arc<Board>, account: i64, visitor: &Visitor) -> Result<Response, Failure> {
    if let Some(session) = visitor.session {
        board.store.end_session(session).await?;
    }
    let cookies = visit::start_session(board, account, visitor.secure).await?;
    Ok(with_cookies(Redirect::to("/").into_response(), cookies))
}

fn with_cookies(mut response: Response, cookies: Vec<axum::http::HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn good_login(login: &str) -> bool {
    (3..=30).contains(&login.len())
        && login.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn good_nickname(nickname: &str) -> bool {
    within(nickname, 30) && !nickname.chars().any(char::is_control)
}
