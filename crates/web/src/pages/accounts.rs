//! All accounts of the instance, for its administrators: who may come in, who administers, and links to a new password.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Account, AccountChange, IssuedLink, Page};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail};
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::invitation::account_link;
use crate::routes::people::{changed, listed};

use super::language::words;
use super::refusal::{self, Refusal};
use super::shell::{SettingsTab, Shell};

words! {
    what: "Everybody who can log in here. Which projects they see is up to their organisations; an administrator sees no more of them than anybody.",
        "여기에 로그인할 수 있는 모든 사람이에요. 어떤 프로젝트를 볼지는 각자의 조직이 정해요. 관리자라고 더 볼 수 있는 것은 아니에요.";
    login: "Login", "로그인 이름";
    state: "State", "상태";
    made: "Made", "생성";
    administrator: "administrator", "관리자";
    active: "may log in", "로그인 가능";
    disabled: "disabled", "사용 중지됨";
    you: "you", "나";
    manage: "Change", "바꾸기";
    disable: "Disable", "사용 중지";
    disable_what(login): "{login} is logged out at once and cannot come back; their tokens stop working. Nothing is deleted, and it can be undone.",
        "{login}은(는) 바로 로그아웃되고 다시 들어올 수 없어요. 토큰도 쓸 수 없어요. 지워지는 것은 없고 되돌릴 수 있어요.";
    enable: "Let in again", "다시 허용";
    enable_what(login): "{login} can log in again with the same password, roles and tokens.",
        "{login}이(가) 같은 비밀번호, 역할, 토큰으로 다시 로그인할 수 있어요.";
    promote: "Make administrator", "관리자로 지정";
    promote_what: "May change the instance: certificates, accounts, organisations.", "인증서, 계정, 조직 등 인스턴스를 바꿀 수 있게 돼요.";
    demote: "No administrator any more", "관리자 해제";
    demote_what: "Keeps the account and its organisations.", "계정과 조직은 그대로예요.";
    password_link: "Make a password link", "비밀번호 링크 만들기";
    password_link_what: "A one-time link, good for a day, that sets a new password and ends all their sessions.",
        "하루 동안 쓸 수 있는 일회용 링크예요. 새 비밀번호를 정하면 모든 세션이 끝나요.";
    link_once: "Copy the link now: it is shown only this once.", "링크를 지금 복사해 두세요. 다시 보여 드리지 않아요.";
    more: "More accounts", "계정 더 보기";
    how_new: "New accounts come by invitation into an organisation, or from a login provider.",
        "새 계정은 조직의 초대나 로그인 제공자로 만들어져요.";
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage<'a> {
    shell: &'a Shell,
    w: Words,
    me: &'a str,
    accounts: Page<Account>,
    link: Option<IssuedLink>,
    refusal: Option<Refusal>,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    page(&cx, shell, &asking, &paging, (None, None)).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    paging: &Paging,
    (link, refusal): (Option<IssuedLink>, Option<Refusal>),
) -> Result<Response> {
    let shell = shell.in_settings(cx, SettingsTab::Accounts).await;
    let page = AccountsPage {
        shell: &shell,
        w: Words(shell.language),
        me: &asking.known.principal.login,
        accounts: listed(cx, paging).await?,
        link,
        refusal,
    };
    Ok(match (&page.refusal, &page.link) {
        (Some(refusal), _) => shell.refused(refusal.status, &refusal.code, &page),
        (None, Some(_)) => shell.page_with(StatusCode::CREATED, &page),
        (None, None) => shell.page(&page),
    })
}

/// A form that names an account, and what shall become of it.
#[derive(Deserialize)]
pub(crate) struct Wish {
    login: String,
    disabled: Option<bool>,
    administrator: Option<bool>,
}

/// Disables an account or lets it in again; makes it an administrator or not.
pub(crate) async fn change(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let change = AccountChange { disabled: wish.disabled, administrator: wish.administrator };
    match changed(&cx, &wish.login, &change).await {
        Ok((AuditDetail(said), account)) => {
            let mut response = Redirect::to("/instance/accounts").into_response();
            response.extensions_mut().insert(AuditDetail(format!("{}: {said}", account.login)));
            Ok(response)
        }
        Err(failure) => {
            let refusal = refusal::of(shell.language, failure)?;
            page(&cx, shell, &asking, &Paging::default(), (None, Some(refusal))).await
        }
    }
}

/// Makes a link to a new password, and shows it this once.
pub(crate) async fn password_link(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let (shown, detail) = match account_link(&cx, &asking, &wish.login).await {
        Ok(link) => ((Some(link), None), format!("for {:.40}", wish.login)),
        Err(failure) => ((None, Some(refusal::of(shell.language, failure)?)), String::new()),
    };
    let mut response = page(&cx, shell, &asking, &Paging::default(), shown).await?;
    response.extensions_mut().insert(AuditDetail(detail));
    Ok(response)
}
