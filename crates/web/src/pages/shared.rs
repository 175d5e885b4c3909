//! What a project sets for all its environments: variables, and secrets that go in and never come out.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::ConfigurationChange;
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use naru_model::{ProjectName, VariableName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::setting::listed;
use crate::routes::shared_setting::{changed, require_all};

use super::html::Html;
use super::language::words;
use super::shell::{ProjectTab, Shell};
use super::{refusal, secrets};

words! {
    title: "For all environments", "모든 환경의 설정";
    what: "These count in every environment that does not set the same name itself. Every change makes a new revision of each environment in which it changes something.",
        "환경이 같은 이름을 직접 정하지 않았다면 모든 환경에 쓰여요. 값이 달라지는 환경마다 새 리비전이 생겨요.";
    variables: "Variables", "변수";
    secrets: "Secrets", "시크릿";
    name: "Name", "이름";
    value: "Value", "값";
    save: "Save", "저장";
    remove: "Remove", "삭제";
    set_variable: "Set a variable", "변수 넣기";
    name_rule: "Letters, digits and _, not starting with a digit", "영문, 숫자, _ 를 쓰고 숫자로 시작하지 않아요";
    no_variables: "No variable is set for all environments.", "모든 환경에 넣은 변수가 없어요.";
    no_secrets: "No secret is set for all environments.", "모든 환경에 넣은 시크릿이 없어요.";
}

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    variables: BTreeMap<VariableName, String>,
    secrets: Html,
    may_configure: bool,
    typed: Typed,
    wrong: Option<String>,
}

/// What a form sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    name: String,
    value: String,
}

/// What was wrong with what a form sent.
enum Wrong {
    Variable(String),
    Secret(String),
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, chosen: Chosen) -> Result<Response> {
    page(&cx, shell, &chosen, Typed::default(), None).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    chosen: &Chosen,
    typed: Typed,
    wrong: Option<Wrong>,
) -> Result<Response> {
    let project = &chosen.0.name;
    let w = Words(shell.language);
    let shell = shell.in_project(cx, chosen, ProjectTab::Settings).await?;
    let base = format!("/projects/{project}/configuration");
    let shell = shell.crumb(&base, w.title()).title(format!("{} · {project}", w.title()));
    let may_configure = shell.may(cx, Permission::Configure, &Resource::Project(project.clone())).await;
    let sealed = listed(cx, &SecretScope::Project(project.clone())).await?.0.items;
    let (refused, wrong, secret_wrong) = match wrong {
        None => (None, None, None),
        Some(Wrong::Variable(why)) => (Some("api.bad-configuration"), Some(why), None),
        Some(Wrong::Secret(why)) => (Some("api.bad-secret"), None, Some(why)),
    };
    let secrets =
        secrets::show((&shell, &base), &sealed, w.no_secrets(), may_configure, secret_wrong.as_deref());
    let page = SharedPage {
        shell: &shell,
        w,
        base,
        variables: cx.store.shared_configuration(project).await?.variables,
        secrets,
        may_configure,
        typed,
        wrong,
    };
    Ok(match refused {
        Some(code) => shell.refused(StatusCode::BAD_REQUEST, code, &page),
        None => shell.page(&page),
    })
}

/// Sets a variable.
pub(crate) async fn set(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let name = match typed.name.trim().parse::<VariableName>() {
        Ok(name) => name,
        Err(error) => {
            return page(&cx, shell, &chosen, typed, Some(Wrong::Variable(error.to_string()))).await;
        }
    };
    let set = [(name, typed.value.replace("\r\n", "\n"))].into();
    let change = ConfigurationChange { set, unset: Vec::new() };
    match changed(&cx, &asking, &chosen.0.name, change).await {
        Ok(_) => Ok(back(&chosen.0.name)),
        Err(failure) => {
            let wrong = Wrong::Variable(refusal::to_mend(failure)?);
            page(&cx, shell, &chosen, typed, Some(wrong)).await
        }
    }
}

/// A form that names a variable.
#[derive(Deserialize)]
pub(crate) struct Named {
    name: VariableName,
}

/// Unsets a variable.
pub(crate) async fn unset(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    Form(named): Form<Named>,
) -> Result<Response> {
    let change = ConfigurationChange { set: BTreeMap::new(), unset: vec![named.name] };
    changed(&cx, &asking, &chosen.0.name, change).await?;
    Ok(back(&chosen.0.name))
}

/// Seals a secret.
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(typed): Form<secrets::Typed>,
) -> Result<Response> {
    require_all(&cx, &asking, &chosen.0.name).await?;
    let scope = SecretScope::Project(chosen.0.name.clone());
    match secrets::seal(&cx, &scope, typed, &asking.known.principal).await? {
        Ok(()) => Ok(back(&chosen.0.name)),
        Err(wrong) => page(&cx, shell, &chosen, Typed::default(), Some(Wrong::Secret(wrong))).await,
    }
}

/// Unsets a secret.
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    Form(named): Form<secrets::Named>,
) -> Result<Response> {
    let project = &chosen.0.name;
    require_all(&cx, &asking, project).await?;
    let (scope, login) = (SecretScope::Project(project.clone()), &asking.known.principal.login);
    cx.store.unset_secret(&scope, &named.name, false, login).await?;
    Ok(back(project))
}

fn back(project: &ProjectName) -> Response {
    Redirect::to(&format!("/projects/{project}/configuration")).into_response()
}
