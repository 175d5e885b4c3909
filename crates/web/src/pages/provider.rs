//! Going to a login provider and coming back. What the browser keeps meanwhile is a sealed cookie; what the provider
//! says is verified by `naru-identity`.
//!
//! A page whose form leads elsewhere, and a page that is reached from elsewhere, go on by a page of our own: browsers
//! hold a form to its site, and keep back a strict cookie on the way from another.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::Origin;
use naru_identity::external::{ATTEMPT_LASTS, Answer, Departure, ExternalError, Purpose};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, CameFrom, cookie};
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::routes::external_login::OneProvider;

use super::language::words;
use super::login::set_session;
use super::preference;
use super::shell::Shell;

/// What the browser keeps while it is away.
const ATTEMPT_COOKIE: &str = "naru_login_attempt";
/// Longest parameter that a provider sends back.
const LONGEST: usize = 4096;

words! {
    going: "On to the login provider", "로그인 제공자로 이동";
    back: "You are logged in", "로그인했어요";
    tied: "The login is tied to your account", "로그인을 계정에 연결했어요";
    onward: "Go on", "계속";
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward<'a> {
    shell: &'a Shell,
    w: Words,
    to: &'a str,
}

/// Where to go afterwards, and whether the provider must ask again.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    next: Option<String>,
    again: bool,
}

/// Sends the browser to the provider.
pub(crate) async fn begin(
    State(cx): State<Cx>,
    InPath(path): InPath<OneProvider>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response> {
    let purpose = if wanted.again { Purpose::EnterAgain } else { Purpose::Enter };
    let departure = cx.external.begin(&path.provider, purpose, wanted.next.as_deref()).await?;
    let mut response = Redirect::to(&departure.url).into_response();
    keep(&cx, &mut response, &departure);
    Ok(response)
}

/// What a form of ours sends along.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    next: Option<String>,
}

/// Sends the browser to the provider to tie the login there to the account of its session.
pub(crate) async fn begin_to_tie(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InPath(path): InPath<OneProvider>,
    Form(filled): Form<Filled>,
) -> Result<Response> {
    let session = asking.known.session.ok_or(ExternalError::LoggedOut)?;
    let purpose = Purpose::Tie { session: session.id };
    let departure = cx.external.begin(&path.provider, purpose, filled.next.as_deref()).await?;
    let title = Words(shell.language).going();
    let mut response = onward(shell, title, &departure.url);
    keep(&cx, &mut response, &departure);
    Ok(response)
}

/// What the provider sends the browser back with.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SentBack {
    code: String,
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

/// Lets in who comes back, or ties the login.
pub(crate) async fn back(
    State(cx): State<Cx>,
    shell: Shell,
    CameFrom(origin): CameFrom,
    headers: HeaderMap,
    InPath(path): InPath<OneProvider>,
    InQuery(sent): InQuery<SentBack>,
) -> Response {
    let sealed = cookie(&headers, ATTEMPT_COOKIE);
    let mut response = match arrive(&cx, shell, &origin, sealed, &path, sent).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    };
    // An attempt is used once, however it ends.
    add_cookie(&mut response, &attempt_cookie(&cx, "", 0));
    response
}

async fn arrive(
    cx: &Cx,
    shell: Shell,
    origin: &Origin,
    sealed: Option<String>,
    path: &OneProvider,
    sent: SentBack,
) -> Result<Response> {
    let texts = [Some(&sent.code), Some(&sent.state), sent.iss.as_ref(), sent.error.as_ref()];
    if texts.into_iter().flatten().any(|text| text.len() > LONGEST) {
        return Err(ExternalError::NoAttempt.into());
    }
    let sealed = sealed.ok_or(ExternalError::NoAttempt)?;
    let answer = Answer { code: sent.code, state: sent.state, issuer: sent.iss, error: sent.error };
    let entered = cx.external.finish(&path.provider, &sealed, &answer, origin).await?;
    let w = Words(shell.language);
    if entered.tied {
        return Ok(onward(shell, w.tied(), &entered.next));
    }
    let session = cx.identity.start_session_proved(&entered.principal, origin, entered.proved_at).await?;
    let mut response = onward(shell, w.back(), &entered.next);
    set_session(cx, &mut response, &session.plain);
    preference::follow_account(cx, &mut response, &entered.principal.login).await;
    Ok(response)
}

/// A page that goes on by itself, and by a link where it does not.
fn onward(shell: Shell, title: &str, to: &str) -> Response {
    let w = Words(shell.language);
    let shell = shell.title(title);
    let mut response = shell.page(&Onward { shell: &shell, w, to });
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={to}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

fn keep(cx: &Cx, response: &mut Response, departure: &Departure) {
    let cookie = attempt_cookie(cx, departure.sealed.expose_secret(), ATTEMPT_LASTS.as_secs());
    add_cookie(response, &cookie);
}

/// Lax, because the browser brings it back from another site.
fn attempt_cookie(cx: &Cx, sealed: &str, seconds: u64) -> String {
    let secure = if cx.address.has_tls() { "; Secure" } else { "" };
    format!("{ATTEMPT_COOKIE}={sealed}; Path=/login; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn add_cookie(response: &mut Response, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

impl From<ExternalError> for Failure {
    fn from(error: ExternalError) -> Self {
        let status = match &error {
            ExternalError::NoProvider => StatusCode::NOT_FOUND,
            ExternalError::NoAttempt => StatusCode::BAD_REQUEST,
            ExternalError::LoggedOut => StatusCode::UNAUTHORIZED,
            ExternalError::Declined(_)
            | ExternalError::NotVerified(_)
            | ExternalError::NoAccount
            | ExternalError::Disabled => StatusCode::FORBIDDEN,
            ExternalError::Taken | ExternalError::HasOne | ExternalError::OnlyWay => StatusCode::CONFLICT,
            ExternalError::Away(_) | ExternalError::NotSetUp(_) => StatusCode::SERVICE_UNAVAILABLE,
            ExternalError::Identity(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        match error {
            ExternalError::Identity(error) => error.into(),
            error => Self::new(status, error.into()),
        }
    }
}
