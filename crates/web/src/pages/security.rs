//! What guards one's account: its password, the logins at providers that are tied to it, and the browsers that are logged
//! in.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{LoginProvider, Session};
use naru_model::name::ProviderName;
use naru_store::external_login::ExternalLogin;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, CameFrom};
use crate::failure::Result;
use crate::routes::people::{end_others, sessions, typed_wrong};

use super::language::words;
use super::refusal::{self, Refusal};
use super::shell::{SettingsTab, Shell};

words! {
    password: "Password", "비밀번호";
    password_what: "A new password logs every other browser out. Tokens stay.",
        "비밀번호를 바꾸면 다른 브라우저는 모두 로그아웃돼요. 토큰은 그대로예요.";
    no_password: "This account has no password: it logs in at a provider.", "이 계정에는 비밀번호가 없어요. 로그인 제공자로 로그인해요.";
    current: "Current password", "지금 비밀번호";
    new: "New password", "새 비밀번호";
    new_rule: "10 to 200 characters", "10~200자로 적어 주세요";
    change: "Change the password", "비밀번호 바꾸기";
    second_factor: "Second factor", "2단계 인증";
    second_factor_what: "A code from an authenticator besides the password, at each login.", "로그인할 때 비밀번호와 함께 인증 앱의 코드를 입력해요.";
    second_factor_to: "See or set up", "보기와 설정";
    sessions: "Where you are logged in", "로그인한 곳";
    sessions_what: "A browser stays logged in for 12 hours. Ended here, it is out within 5 seconds, with everything it has open.",
        "브라우저는 12시간 동안 로그인되어 있어요. 여기서 끝내면 5초 안에 열어 둔 것까지 모두 끊겨요.";
    browser: "Browser", "브라우저";
    unknown: "says nothing of itself", "알 수 없음";
    address: "Address", "주소";
    began: "Logged in", "로그인";
    seen: "Last seen", "마지막 사용";
    this_one: "this browser", "지금 이 브라우저";
    end: "Log out", "로그아웃";
    end_others: "Log out all others", "나머지 모두 로그아웃";
    providers: "Logins at providers", "로그인 제공자";
    providers_what: "A tied login opens this account without its password.", "연결한 로그인으로 비밀번호 없이 이 계정에 들어올 수 있어요.";
    tied: "Tied", "연결";
    used: "Last used", "마지막 사용";
    untie: "Untie", "연결 해제";
    untie_what: "Roles that its groups gave go with it.", "그룹으로 받은 역할도 함께 사라져요.";
    tie(title): "Tie a login at {title}", "{title} 로그인 연결";
}

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage<'a> {
    shell: &'a Shell,
    w: Words,
    login: &'a str,
    has_password: bool,
    sessions: Vec<Session>,
    tied: Vec<ExternalLogin>,
    /// Providers that are not tied yet.
    others: Vec<LoginProvider>,
    refusal: Option<Refusal>,
}

impl SecurityPage<'_> {
    fn has_others(&self) -> bool {
        self.sessions.iter().any(|session| !session.current)
    }
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, asking: Asking) -> Result<Response> {
    page(&cx, shell, &asking, None).await
}

async fn page(cx: &Cx, shell: Shell, asking: &Asking, refusal: Option<Refusal>) -> Result<Response> {
    let shell = shell.in_settings(cx, SettingsTab::Security).await;
    let login = &asking.known.principal.login;
    let tied = cx.external.logins(login).await?;
    let is_tied = |name: &ProviderName| tied.iter().any(|row| row.provider == *name);
    let page = SecurityPage {
        shell: &shell,
        w: Words(shell.language),
        login,
        has_password: cx.store.account(login).await?.is_some_and(|account| !account.password_hash.is_empty()),
        sessions: sessions(cx, asking).await?.items,
        others: cx.external.list().into_iter().filter(|it| !is_tied(&it.name)).collect(),
        tied,
        refusal,
    };
    Ok(match &page.refusal {
        Some(refusal) => shell.refused(refusal.status, &refusal.code, &page),
        None => shell.page(&page),
    })
}

fn back() -> Response {
    Redirect::to("/account/security").into_response()
}

/// Both passwords.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Passwords {
    current: String,
    new: String,
}

/// Sets a new password and logs every other browser out.
pub(crate) async fn change_password(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(typed): Form<Passwords>,
) -> Result<Response> {
    let (current, new) = (typed.current.into(), typed.new.into());
    match cx.identity.change_password(&asking.known, current, new, &origin).await.map_err(typed_wrong) {
        Ok(()) => Ok(back()),
        Err(failure) => {
            let refusal = refusal::of(shell.language, failure)?;
            page(&cx, shell, &asking, Some(refusal)).await
        }
    }
}

/// A form that names a session or a provider.
#[derive(Deserialize)]
pub(crate) struct Named {
    id: String,
}

/// Logs a browser out; this one is led to the login.
pub(crate) async fn end_session(
    State(cx): State<Cx>,
    asking: Asking,
    Form(named): Form<Named>,
) -> Result<Response> {
    cx.store.end_session_of(&asking.known.principal.login, &named.id).await?;
    let mut response = back();
    response.extensions_mut().insert(AuditDetail(format!("session {:.40}", named.id)));
    Ok(response)
}

/// Logs every other browser out.
pub(crate) async fn end_other_sessions(State(cx): State<Cx>, asking: Asking) -> Result<Response> {
    let ended = end_others(&cx, &asking).await?;
    let mut response = back();
    response.extensions_mut().insert(AuditDetail(format!("all others, {ended}")));
    Ok(response)
}

/// Unties a login at a provider.
pub(crate) async fn untie(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(named): Form<Named>,
) -> Result<Response> {
    let provider: ProviderName = named.id.parse()?;
    match cx.external.untie(&asking.known.principal, &provider).await {
        Ok(()) => {
            let mut response = back();
            response.extensions_mut().insert(AuditDetail(provider.to_string()));
            Ok(response)
        }
        Err(error) => {
            let refusal = refusal::of(shell.language, error.into())?;
            page(&cx, shell, &asking, Some(refusal)).await
        }
    }
}
