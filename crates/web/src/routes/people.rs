//! Accounts as instance administrators see them, and what everybody may change of their own: name, language, password,
//! sessions.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use naru_identity::IdentityError;
use naru_model::Problem;
use naru_model::api::{Account, AccountChange, Page, PasswordChange, Profile, Proof, Session, Whoami};
use naru_store::session::SessionRow;
use secrecy::SecretString;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, CameFrom};
use crate::border::{Body, InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::account::who;
use crate::routes::member::{OneLogin, kept};

/// The languages that there are.
const LANGUAGES: [&str; 2] = ["en", "ko"];
const LONGEST_NAME: usize = 80;

fn view(row: naru_store::identity::Account) -> Account {
    Account {
        login: row.login,
        display_name: row.display_name,
        created_at: row.created_at,
        disabled_at: row.disabled_at,
        administrator: row.administrator,
    }
}

/// All accounts, by login.
#[utoipa::path(get, path = "/api/v1/accounts", operation_id = "listAccounts", tag = "account", params(Paging),
    responses((status = 200, body = Page<Account>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Account>>> {
    Ok(Json(listed(&cx, &paging).await?))
}

/// A page of all accounts.
pub(crate) async fn listed(cx: &Cx, paging: &Paging) -> Result<Page<Account>> {
    let after = paging.after.as_deref().unwrap_or_default();
    let rows = cx.store.accounts_page(after, paging.probe()).await?;
    let accounts = rows.into_iter().map(view).collect();
    Ok(paging.page(accounts, |account: &Account| account.login.clone()))
}

/// Disables an account or lets it in again; makes it an instance administrator or not.
#[utoipa::path(put, path = "/api/v1/accounts/{login}", operation_id = "changeAccount", tag = "account",
    request_body = AccountChange, params(("login" = String, Path)),
    responses((status = 200, body = Account), (status = "default", body = Problem)))]
pub(crate) async fn change(
    State(cx): State<Cx>,
    InPath(path): InPath<OneLogin>,
    Body(change): Body<AccountChange>,
) -> Result<(Extension<AuditDetail>, Json<Account>)> {
    let (detail, account) = changed(&cx, &path.login, &change).await?;
    Ok((Extension(detail), Json(account)))
}

/// Disables an account or lets it in again; makes it an instance administrator or not.
pub(crate) async fn changed(cx: &Cx, login: &str, change: &AccountChange) -> Result<(AuditDetail, Account)> {
    let mut said = Vec::new();
    if let Some(administrator) = change.administrator {
        cx.store.set_administrator(login, administrator).await.map_err(kept)?;
        said.push(if administrator { "administrator" } else { "not administrator" });
    }
    if let Some(disabled) = change.disabled {
        cx.store.disable_account(login, disabled).await.map_err(kept)?;
        said.push(if disabled { "disabled" } else { "not disabled" });
    }
    let row = cx.store.account(login).await?;
    let row = row.ok_or_else(|| Failure::missing(format!("account {login:.40}"), "naru account list"))?;
    Ok((AuditDetail(said.join(", ")), view(row)))
}

/// Changes what the caller's account says of itself.
#[utoipa::path(put, path = "/api/v1/account", operation_id = "changeProfile", tag = "account",
    request_body = Profile, responses((status = 200, body = Whoami), (status = "default", body = Problem)))]
pub(crate) async fn change_profile(
    State(cx): State<Cx>,
    asking: Asking,
    Body(profile): Body<Profile>,
) -> Result<Json<Whoami>> {
    Ok(Json(profile_changed(&cx, &asking, &profile).await?))
}

/// Changes what somebody's account says of itself.
pub(crate) async fn profile_changed(cx: &Cx, asking: &Asking, profile: &Profile) -> Result<Whoami> {
    check_profile(profile)?;
    let name = profile.display_name.as_deref().map(str::trim);
    let login = &asking.known.principal.login;
    cx.store.change_profile(login, name, profile.language.as_deref(), profile.zone.as_deref()).await?;
    who(cx, asking).await
}

fn check_profile(profile: &Profile) -> Result<()> {
    let refuse = |cause: &str| {
        let problem = Problem::new("api.bad-profile", "this cannot be stored of an account");
        Err(Failure::refused(problem.cause(cause).state("nothing was changed")))
    };
    if profile.display_name.as_deref().is_some_and(|name| !is_label(name)) {
        return refuse("a name has at most 80 characters and no control characters");
    }
    if profile.language.as_deref().is_some_and(|it| !it.is_empty() && !LANGUAGES.contains(&it)) {
        return refuse("the languages are en and ko");
    }
    if profile.zone.as_deref().is_some_and(|it| !it.is_empty() && jiff::tz::TimeZone::get(it).is_err()) {
        return refuse("a zone is a name of the IANA time zone database, such as Asia/Seoul");
    }
    Ok(())
}

/// Whether a text may be shown as a name.
pub(crate) fn is_label(text: &str) -> bool {
    text.chars().count() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// Somebody who is logged in and types a wrong password is not logged out by that.
pub(crate) fn typed_wrong(error: IdentityError) -> Failure {
    match error {
        IdentityError::WrongPassword => wrong("the password is wrong", "type the password again"),
        error => error.into(),
    }
}

fn wrong(summary: &'static str, hint: &'static str) -> Failure {
    let problem = Problem::new("identity.wrong-password", summary);
    Failure::refused(problem.state("nothing was changed").hint(hint))
}

/// Sets the caller's own password. Ends every other session of the account.
#[utoipa::path(put, path = "/api/v1/account/password", operation_id = "changePassword", tag = "account",
    request_body = PasswordChange, responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn change_password(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode> {
    let (current, new) = (change.current.into(), change.new.into());
    cx.identity.change_password(&asking.known, current, new, &origin).await.map_err(typed_wrong)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the password once more, and a code where there is a second factor. For ten minutes the session may do what cannot
/// be undone or gives rights.
#[utoipa::path(post, path = "/api/v1/account/confirm", operation_id = "confirm", tag = "account",
    request_body = Proof, responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn confirm(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(given): Body<Proof>,
) -> Result<StatusCode> {
    let given =
        naru_identity::Proof { password: given.password.into(), code: given.code.map(SecretString::from) };
    cx.identity.confirm(&asking.known, given, &origin).await.map_err(proved_wrong)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which of the two was wrong is not said.
fn proved_wrong(error: IdentityError) -> Failure {
    match error {
        IdentityError::WrongPassword | IdentityError::WrongCode => wrong(
            "the password or the code is wrong",
            "give the password again and, with a second factor, a code that was not used yet or a recovery code",
        ),
        error => error.into(),
    }
}

/// The browsers that are logged in to the caller's account, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "listSessions", tag = "account",
    responses((status = 200, body = Page<Session>), (status = "default", body = Problem)))]
pub(crate) async fn list_sessions(State(cx): State<Cx>, asking: Asking) -> Result<Json<Page<Session>>> {
    Ok(Json(sessions(&cx, &asking).await?))
}

/// The browsers that are logged in to somebody's account.
pub(crate) async fn sessions(cx: &Cx, asking: &Asking) -> Result<Page<Session>> {
    let current = asking.known.session.as_ref().map(|session| session.id.as_str());
    let view = |row: SessionRow| Session {
        current: current == Some(row.id.as_str()),
        id: row.id,
        user_agent: row.user_agent,
        address: row.address,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
    };
    let rows = cx.store.sessions(&asking.known.principal.login).await?;
    Ok(Page { items: rows.into_iter().map(view).collect(), next: None })
}

/// Logs every other browser of somebody's account out; says how many.
pub(crate) async fn end_others(cx: &Cx, asking: &Asking) -> Result<usize> {
    let mut ended = 0;
    for session in sessions(cx, asking).await?.items.into_iter().filter(|session| !session.current) {
        // One that ended by itself meanwhile is what was wanted.
        match cx.store.end_session_of(&asking.known.principal.login, &session.id).await {
            Ok(()) | Err(naru_store::StoreError::Missing(_)) => ended += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ended)
}

/// `{id}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneSession {
    id: String,
}

/// Logs a browser out. What it has open ends within 5 s.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", operation_id = "endSession", tag = "account",
    params(("id" = String, Path)), responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn end_session(
    State(cx): State<Cx>,
    asking: Asking,
    InPath(path): InPath<OneSession>,
) -> Result<StatusCode> {
    cx.store.end_session_of(&asking.known.principal.login, &path.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
