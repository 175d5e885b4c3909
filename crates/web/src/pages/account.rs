//! One's own account: who one is here, what one likes, and the tokens for command line, git and registry.

use std::time::Duration;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::TotpState;
use naru_model::api::{IssuedToken, NewToken, Page, Profile, Token, Whoami};
use naru_model::authorise::Permission;
use naru_model::role::Role;
use naru_model::{NameError, ProjectName, Timestamp};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Caller};
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::account::{made, tokens, who};
use crate::routes::people::profile_changed;

use super::language::words;
use super::preference;
use super::refusal::{self, Refusal};
use super::role;
use super::shell::{SettingsTab, Shell};

const DAY: Duration = Duration::from_hours(24);

words! {
    login: "Login", "로그인 이름";
    administrator: "instance administrator", "인스턴스 관리자";
    organisations: "Organisations", "조직";
    second_factor: "Second factor", "2단계 인증";
    totp_on: "on", "켜짐";
    totp_off: "off, set it up", "꺼짐, 설정하기";
    tokens: "Tokens", "토큰";
    tokens_what: "A token logs in the command line, git and the registry. Its text is shown once; only its digest is kept.",
        "토큰으로 명령줄, git, 레지스트리에 로그인해요. 토큰은 한 번만 보여 주고 다이제스트만 남겨요.";
    label: "Label", "이름표";
    scope: "For", "범위";
    everything: "everything that you may", "내 권한 전체";
    made_at: "Made", "생성";
    expires: "Expires", "만료";
    never: "never", "없음";
    last_used: "Last used", "마지막 사용";
    revoked: "revoked", "폐기됨";
    expired: "expired", "만료됨";
    revoke: "Revoke", "폐기";
    make: "Make a token", "토큰 만들기";
    label_rule: "What it is for, at most 80 characters", "어디에 쓰는지 80자 이내로 적어요";
    lasts: "Lasts", "기간";
    days(count): "{count} days", "{count}일";
    project: "Only for this project (optional)", "이 프로젝트만 (선택)";
    read_only: "Read only", "읽기 전용";
    create: "Make it", "만들기";
    copy_now: "Copy it now: it is shown only this once.", "지금 복사해 두세요. 다시 보여 드리지 않아요.";
    no_tokens: "No token yet.", "아직 토큰이 없어요.";
    bad_project: "There is no such project", "그런 프로젝트가 없어요";
    older: "Older tokens", "이전 토큰";
    profile: "Name, language, zone", "이름, 언어, 시간대";
    display_name: "Name", "이름";
    display_name_rule: "What people call you, at most 80 characters (optional)", "사람들이 부르는 이름, 80자 이내 (선택)";
    language: "Language", "언어";
    zone: "Time zone", "시간대";
    zone_rule: "Such as Asia/Seoul; the browser's, if it stays empty", "예: Asia/Seoul. 비워 두면 브라우저의 시간대를 써요";
    of_browser: "the browser's", "브라우저 설정";
    save: "Save", "저장";
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    shell: Shell,
    w: Words,
    who: Whoami,
    totp: TotpState,
    tokens: Page<Token>,
    now: Timestamp,
    /// The token that was just made, with its text.
    fresh: Option<IssuedToken>,
    typed: Typed,
    wrong: Option<String>,
    /// Why the profile was refused.
    refusal: Option<Refusal>,
}

impl AccountPage {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn role(&self, role: &Role) -> &'static str {
        role::word(self.shell.language, *role)
    }

    fn speaks(&self, tag: &str) -> bool {
        self.who.language.as_deref().unwrap_or_default() == tag
    }

    fn is_expired(&self, token: &Token) -> bool {
        token.expires_at.is_some_and(|end| end <= self.now)
    }
}

/// What the form sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    label: String,
    project: String,
    days: Option<u32>,
    read_only: bool,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let page = page(&cx, shell, &asking, &paging).await?;
    Ok(page.shell.page(&page))
}

async fn page(cx: &Cx, shell: Shell, asking: &Asking, paging: &Paging) -> Result<AccountPage> {
    Ok(AccountPage {
        w: Words(shell.language),
        shell: shell.in_settings(cx, SettingsTab::Account).await,
        who: who(cx, asking).await?,
        totp: cx.identity.totp(&asking.known.principal.login).await?,
        tokens: tokens(cx, &asking.known.principal.login, paging).await?,
        now: cx.store.now(),
        fresh: None,
        typed: Typed::default(),
        wrong: None,
        refusal: None,
    })
}

/// What the account says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TypedProfile {
    display_name: String,
    language: String,
    zone: String,
}

/// Keeps what the account says of itself, and lets this browser follow it at once.
pub(crate) async fn change_profile(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(typed): Form<TypedProfile>,
) -> Result<Response> {
    let profile = Profile {
        display_name: Some(typed.display_name.clone()),
        language: Some(typed.language.clone()),
        zone: Some(typed.zone.trim().to_owned()),
    };
    match profile_changed(&cx, &asking, &profile).await {
        Ok(who) => {
            let mut response = Redirect::to("/account").into_response();
            preference::follow(&mut response, who.language.as_deref(), who.zone.as_deref());
            Ok(response)
        }
        Err(failure) => {
            let refusal = refusal::of(shell.language, failure)?;
            let mut page = page(&cx, shell, &asking, &Paging::default()).await?;
            page.who.display_name = typed.display_name;
            page.who.zone = Some(typed.zone);
            let (status, code) = (refusal.status, refusal.code.clone());
            page.refusal = Some(refusal);
            Ok(page.shell.refused(status, &code, &page))
        }
    }
}

/// Makes a token and shows its text, this once.
pub(crate) async fn make(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let project = typed.project.trim();
    let parsed: Result<Option<ProjectName>, NameError> =
        if project.is_empty() { Ok(None) } else { project.parse().map(Some) };
    let result = match parsed {
        Err(error) => Err(error.into()),
        Ok(project) => {
            let new = NewToken {
                label: typed.label.clone(),
                project,
                environment: None,
                permissions: if typed.read_only { vec![Permission::Read] } else { Vec::new() },
                lasts_seconds: typed.days.map(|days| DAY.as_secs() * u64::from(days.clamp(1, 3650))),
            };
            made(&cx, &asking, new).await
        }
    };
    let mut page = page(&cx, shell, &asking, &Paging::default()).await?;
    match result {
        Ok(token) => {
            page.fresh = Some(token);
            Ok(page.shell.page_with(StatusCode::CREATED, &page))
        }
        Err(failure) if failure.status.is_client_error() => {
            page.wrong = Some(if failure.status == StatusCode::NOT_FOUND {
                page.w.bad_project().to_owned()
            } else {
                failure.problem.cause.first().unwrap_or(&failure.problem.summary).clone()
            });
            page.typed = typed;
            let code = failure.problem.code.to_string();
            Ok(page.shell.refused(failure.status, &code, &page))
        }
        Err(failure) => Err(failure),
    }
}

/// A form that names a token.
#[derive(Deserialize)]
pub(crate) struct Named {
    id: String,
}

/// Revokes a token. Repeating it changes nothing.
pub(crate) async fn revoke(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    Form(named): Form<Named>,
) -> Result<Response> {
    cx.identity.revoke_token(&caller, &named.id).await?;
    Ok(Redirect::to("/account").into_response())
}
