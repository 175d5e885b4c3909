//! The organisations that somebody belongs to, and for instance administrators a form that makes one.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::OrganisationName;
use naru_model::api::{Membership, NewOrganisation};
use naru_model::authorise::{Permission, Resource};
use naru_model::role::Role;
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::failure::Result;
use crate::routes::account::who;
use crate::routes::organisation::made;

use super::language::words;
use super::refusal::{self, Refusal};
use super::role;
use super::shell::{SettingsTab, Shell};

words! {
    what: "An organisation owns projects. Who belongs to it has a role in all of them, unless a project or an environment says otherwise.",
        "조직은 프로젝트의 주인이에요. 조직에 속한 사람은 프로젝트나 환경에서 따로 정하지 않는 한 모든 프로젝트에서 같은 역할을 가져요.";
    name: "Name", "이름";
    title: "Title", "제목";
    your_role: "Your role", "내 역할";
    none: "You belong to no organisation yet. Who owns one can invite you: they send you a link.",
        "아직 속한 조직이 없어요. 조직의 소유자가 초대 링크를 보내 줄 수 있어요.";
    new: "New organisation", "새 조직";
    name_rule: "1 to 40 lower-case letters, digits and hyphens, starting with a letter",
        "영문 소문자로 시작하고 소문자, 숫자, - 만 써서 1~40자로 적어 주세요";
    title_rule: "What people call it, at most 80 characters (optional)", "사람들이 부르는 이름, 80자 이내 (선택)";
    owner: "Owner", "소유자";
    owner_rule: "The login of who decides there; you, if it stays empty", "조직을 맡을 사람의 로그인 이름. 비워 두면 내가 소유자가 돼요";
    create: "Make the organisation", "조직 만들기";
}

#[derive(Template)]
#[template(path = "organisations.html")]
struct OrganisationsPage<'a> {
    shell: &'a Shell,
    w: Words,
    memberships: Vec<Membership>,
    may_create: bool,
    typed: Typed,
    refusal: Option<Refusal>,
}

impl OrganisationsPage<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn role(&self, role: &Role) -> &'static str {
        role::word(self.shell.language, *role)
    }
}

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    name: String,
    title: String,
    owner: String,
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, asking: Asking) -> Result<Response> {
    page(&cx, shell, &asking, Typed::default(), None).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    typed: Typed,
    refusal: Option<Refusal>,
) -> Result<Response> {
    let shell = shell.in_settings(cx, SettingsTab::Organisations).await;
    let page = OrganisationsPage {
        w: Words(shell.language),
        memberships: who(cx, asking).await?.organisations,
        may_create: shell.may(cx, Permission::AdministerInstance, &Resource::Instance).await,
        typed,
        refusal,
        shell: &shell,
    };
    Ok(match &page.refusal {
        Some(refusal) => shell.refused(refusal.status, &refusal.code, &page),
        None => shell.page(&page),
    })
}

/// Makes an organisation.
pub(crate) async fn create(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let result = match typed.name.trim().parse::<OrganisationName>() {
        Ok(name) => {
            let owner = Some(typed.owner.trim().to_owned()).filter(|owner| !owner.is_empty());
            made(&cx, &asking, NewOrganisation { name, display_name: typed.title.clone(), owner }).await
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok((detail, made)) => {
            let mut response = Redirect::to(&format!("/organisations/{}", made.name)).into_response();
            response.extensions_mut().insert(detail);
            Ok(response)
        }
        Err(failure) => {
            let refusal = refusal::of(shell.language, failure)?;
            page(&cx, shell, &asking, typed, Some(refusal)).await
        }
    }
}
