//! The pages behind one-time links: into an organisation, with a new account or the one that is logged in, and to a new
//! password. A link's text is in its address until it is used up; pages send it nowhere else.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::role::Role;
use naru_store::invitation::InvitationRow;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, CameFrom, credentials};
use crate::border::InQuery;
use crate::failure::Result;

use super::html::encode;
use super::language::words;
use super::login::set_session;
use super::refusal::{self, Refusal};
use super::role;
use super::shell::Shell;

words! {
    title(organisation): "Join {organisation}", "{organisation} 조직에 들어가기";
    what(by, organisation, role): "{by} invites you into the organisation {organisation} as {role}.",
        "{by}님이 {organisation} 조직에 {role} 역할로 초대했어요.";
    until: "The link works once, until", "링크는 한 번만 쓸 수 있어요. 기한:";
    as_known(login): "Join as {login}", "{login} 계정으로 들어가기";
    as_known_what: "Your account keeps what it has, and gets this role besides.", "지금 계정에 이 역할이 더해져요.";
    log_in: "Log in with the account you have", "가지고 있는 계정으로 로그인";
    as_new: "Make a new account", "새 계정 만들기";
    login: "Login", "로그인 이름";
    login_rule: "1 to 40 lower-case letters, digits and . _ -, starting with a letter",
        "영문 소문자로 시작하고 소문자, 숫자, . _ - 만 써서 1~40자로 적어 주세요";
    password: "Password", "비밀번호";
    password_rule: "10 to 200 characters", "10~200자로 적어 주세요";
    create: "Make the account and join", "계정 만들고 들어가기";
    password_title: "Set a new password", "새 비밀번호 정하기";
    password_what: "This link works once. All browsers that are logged in to the account are logged out.",
        "링크는 한 번만 쓸 수 있어요. 이 계정에 로그인한 브라우저는 모두 로그아웃돼요.";
    new_password: "New password", "새 비밀번호";
    set: "Set the password", "비밀번호 정하기";
}

/// `?token=` of a link.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Link {
    token: String,
}

#[derive(Template)]
#[template(path = "join.html")]
struct JoinPage<'a> {
    shell: &'a Shell,
    w: Words,
    token: &'a str,
    what: String,
    invitation: &'a InvitationRow,
    /// Who is logged in here.
    known: Option<String>,
    /// The way back after a login.
    next: String,
    typed: &'a str,
    refusal: Option<Refusal>,
}

/// The page, for who has a link that is good.
pub(crate) async fn form(
    State(cx): State<Cx>,
    shell: Shell,
    headers: HeaderMap,
    InQuery(link): InQuery<Link>,
) -> Result<Response> {
    show(&cx, shell, &headers, (&link.token, ""), None).await
}

async fn show(
    cx: &Cx,
    shell: Shell,
    headers: &HeaderMap,
    (token, typed): (&str, &str),
    refusal: Option<Refusal>,
) -> Result<Response> {
    let invitation = cx.identity.invitation(&token.to_owned().into()).await?;
    let known = cx.identity.identify(&credentials(&cx.address, headers)).await.ok();
    let w = Words(shell.language);
    let role: Role = invitation.role;
    let role = role::word(shell.language, role);
    let shell = shell.title(w.title(&invitation.organisation));
    let page = JoinPage {
        shell: &shell,
        w,
        token,
        what: w.what(&invitation.invited_by, &invitation.organisation, role),
        invitation: &invitation,
        known: known.map(|known| known.principal.login),
        next: encode(&format!("/join?token={}", encode(token))),
        typed,
        refusal,
    };
    Ok(match &page.refusal {
        Some(refusal) => shell.refused(refusal.status, &refusal.code, &page),
        None => shell.page(&page),
    })
}

/// What was typed for a new account.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewAccount {
    token: String,
    login: String,
    password: String,
}

/// Accepts with a new account, which is logged in at once.
pub(crate) async fn accept(
    State(cx): State<Cx>,
    shell: Shell,
    CameFrom(origin): CameFrom,
    headers: HeaderMap,
    Form(typed): Form<NewAccount>,
) -> Result<Response> {
    let link = typed.token.clone().into();
    let organisation = cx.identity.invitation(&link).await?.organisation;
    match cx.identity.accept_as_new(&link, &typed.login, typed.password.into(), &origin).await {
        Ok(principal) => {
            let session = cx.identity.start_session(&principal, &origin).await?;
            let mut response = Redirect::to(&format!("/organisations/{organisation}")).into_response();
            set_session(&cx, &mut response, &session.plain);
            Ok(response)
        }
        Err(error) => {
            let refusal = refusal::of(shell.language, error.into())?;
            show(&cx, shell, &headers, (&typed.token, &typed.login), Some(refusal)).await
        }
    }
}

/// Accepts with the account that is logged in.
pub(crate) async fn join(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(link): Form<Link>,
) -> Result<Response> {
    let row = cx.identity.accept(&link.token.into(), &asking.known.principal, &origin).await?;
    Ok(Redirect::to(&format!("/organisations/{}", row.organisation)).into_response())
}

#[derive(Template)]
#[template(path = "new_password.html")]
struct PasswordPage<'a> {
    shell: &'a Shell,
    w: Words,
    token: &'a str,
    refusal: Option<Refusal>,
}

/// The form for a new password. Whether the link is good is said when it is used.
pub(crate) async fn password_form(shell: Shell, InQuery(link): InQuery<Link>) -> Response {
    password_page(shell, &link.token, None)
}

fn password_page(shell: Shell, token: &str, refusal: Option<Refusal>) -> Response {
    let w = Words(shell.language);
    let shell = shell.title(w.password_title());
    let page = PasswordPage { shell: &shell, w, token, refusal };
    match &page.refusal {
        Some(refusal) => shell.refused(refusal.status, &refusal.code, &page),
        None => shell.page(&page),
    }
}

/// Sets the password that a link is for, and leads to the login.
pub(crate) async fn set_password(
    State(cx): State<Cx>,
    shell: Shell,
    CameFrom(origin): CameFrom,
    Form(typed): Form<NewAccount>,
) -> Result<Response> {
    let link = typed.token.clone().into();
    match cx.identity.use_password_link(&link, typed.password.into(), &origin).await {
        Ok(_) => Ok(Redirect::to("/login").into_response()),
        Err(error) => {
            let refusal = refusal::of(shell.language, error.into())?;
            Ok(password_page(shell, &typed.token, Some(refusal)))
        }
    }
}
