//! Who is visiting: cookies in, a [`Visitor`] for the pages, cookies out. Also the one place that refuses forms which
//! another site made a browser send.
//!
//! Three cookies: `board_access`, the signed token of minutes; `board_refresh`, which makes the next one and is replaced
//! each time; `board_browser`, random, to which forms are bound. None of them is readable by scripts.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::failure::Failure;
use crate::store::Account;
use crate::time::{self, Seconds};
use crate::token::{self, Access};
use crate::words::Language;
use crate::{BODY_LIMIT, Board, hex};

const ACCESS: &str = "board_access";
const REFRESH: &str = "board_refresh";
const BROWSER: &str = "board_browser";
const LANGUAGE: &str = "board_language";

/// How long a session lives without a visit.
const SESSION: Seconds = 30 * 86_400;
/// How long the refresh token before the current one is still good: pages load side by side.
const OVERLAP: Seconds = 60;
const YEAR: Seconds = 365 * 86_400;

/// Whoever made the request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Signed in as.
    pub account: Option<Account>,
    /// The session they are signed in by.
    pub session: Option<i64>,
    /// The hidden field that their forms carry.
    pub form: String,
    /// What they read.
    pub language: Language,
    /// Whether cookies may insist on https.
    pub secure: bool,
}

/// The hidden field of every form.
#[derive(Deserialize)]
struct Hidden {
    #[serde(default)]
    form: String,
}

/// Finds out who it is, refuses forms that are not ours, and hands the [`Visitor`] on.
pub async fn identify(State(board): State<Arc<Board>>, request: Request, next: Next) -> Response {
    match visit(&board, request, next).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn visit(board: &Arc<Board>, request: Request, next: Next) -> Result<Response, Failure> {
    let headers = request.headers();
    let cookies = cookies(headers);
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let mut fresh = Vec::new();
    let browser = browser(&cookies, secure, &mut fresh)?;
    let signed_in = sign_in(board, &cookies, secure, &mut fresh).await?;
    let session = signed_in.as_ref().map(|(session, _)| *session);
    let visitor = Visitor {
        form: board.key.form(&browser, session),
        language: language(&cookies, headers),
        account: signed_in.map(|(_, account)| account),
        session,
        secure,
    };
    let mut request = own_form(board, &browser, session, request).await?;
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    // What a page sets, such as the empty cookies of signing out, must come last: the last one wins.
    let set_by_page: Vec<HeaderValue> = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
    response.headers_mut().remove(SET_COOKIE);
    for value in fresh.into_iter().chain(set_by_page) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(response)
}

/// The random name of the browser, made at its first visit.
fn browser(
    cookies: &HashMap<String, String>,
    secure: bool,
    fresh: &mut Vec<HeaderValue>,
) -> Result<String, Failure> {
    let ours = |value: &&String| hex::decode(value).is_some_and(|bytes| bytes.len() == 32);
    if let Some(known) = cookies.get(BROWSER).filter(ours) {
        return Ok(known.clone());
    }
    let made = hex::random().map_err(Failure::internal)?;
    fresh.push(cookie(BROWSER, &made, YEAR, secure));
    Ok(made)
}

/// Session and account, by access token or else by refresh token, which is replaced.
async fn sign_in(
    board: &Arc<Board>,
    cookies: &HashMap<String, String>,
    secure: bool,
    fresh: &mut Vec<HeaderValue>,
) -> Result<Option<(i64, Account)>, Failure> {
    let now = time::now();
    if let Some(access) = cookies.get(ACCESS).and_then(|token| board.key.read(token, now)) {
        // The token alone would outlive signing out by minutes.
        let account = board.store.signed_in(access.session, access.account, now).await?;
        return Ok(account.map(|account| (access.session, account)));
    }
    let Some(refresh) = cookies.get(REFRESH) else { return Ok(None) };
    let Some(session) = board.store.session_by_refresh(token::fingerprint(refresh), now).await? else {
        return Ok(None);
    };
    if session.replaced && now - session.rotated_at > OVERLAP {
        // Two holders of one token: one of them stole it. Nobody keeps the session.
        board.store.end_session(session.id).await?;
        return Ok(None);
    }
    if !session.replaced {
        let next = hex::random().map_err(Failure::internal)?;
        let (from, to) = (token::fingerprint(refresh), token::fingerprint(&next));
        if board.store.rotate(session.id, from, to, now, now + SESSION).await? {
            fresh.push(cookie(REFRESH, &next, SESSION, secure));
        }
    }
    fresh.push(access_cookie(board, session.account, session.id, now, secure));
    let account = board.store.signed_in(session.id, session.account, now).await?;
    Ok(account.map(|account| (session.id, account)))
}

/// Lets a request through that changes nothing, or whose form carries the hidden field of this browser and session.
async fn own_form(
    board: &Board,
    browser: &str,
    session: Option<i64>,
    request: Request,
) -> Result<Request, Failure> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(request);
    }
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Failure::ForeignForm);
    }
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| Failure::Nonsense)?;
    let copy = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    let Form(hidden) = Form::<Hidden>::from_request(copy, &()).await.map_err(|_| Failure::ForeignForm)?;
    if !board.key.owns_form(&hidden.form, browser, session) {
        return Err(Failure::ForeignForm);
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Starts a session and returns the cookies that carry it.
pub async fn start_session(
    board: &Arc<Board>,
    account: i64,
    secure: bool,
) -> Result<Vec<HeaderValue>, Failure> {
    let now = time::now();
    let refresh = hex::random().map_err(Failure::internal)?;
    let expires = now + SESSION;
    let session = board.store.add_session(account, token::fingerprint(&refresh), now, expires).await?;
    Ok(vec![access_cookie(board, account, session, now, secure), cookie(REFRESH, &refresh, SESSION, secure)])
}

/// Cookies that make a browser forget its session.
pub fn forget(secure: bool) -> Vec<HeaderValue> {
    vec![cookie(ACCESS, "", 0, secure), cookie(REFRESH, "", 0, secure)]
}

/// The cookie that remembers a language.
pub fn language_cookie(language: Language, secure: bool) -> HeaderValue {
    cookie(LANGUAGE, language.code(), YEAR, secure)
}

fn access_cookie(board: &Board, account: i64, session: i64, now: Seconds, secure: bool) -> HeaderValue {
    let token = board.key.issue(Access { account, session, expires: now + token::LIFE });
    cookie(ACCESS, &token, token::LIFE, secure)
}

fn cookie(name: &str, value: &str, seconds: Seconds, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Values are hexadecimal, digits and dots, or language codes: always valid in a header.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("board_none=; Max-Age=0"))
}

fn cookies(headers: &HeaderMap) -> HashMap<String, String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn language(cookies: &HashMap<String, String>, headers: &HeaderMap) -> Language {
    if let Some(chosen) = cookies.get(LANGUAGE).and_then(|code| Language::from_code(code)) {
        return chosen;
    }
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Language::accepted(accepted)
}
