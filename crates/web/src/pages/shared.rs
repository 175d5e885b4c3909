//! What a project sets for all its environments: variables, and secrets that go in and never come out.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{ConfigurationChange, Secret, SecretValue};
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use naru_model::{ProjectName, SecretName, VariableName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::{Failure, Result};
use crate::routes::setting::{listed, set as set_sealed};
use crate::routes::shared_setting::{changed, require_all};

use super::language::words;
use super::shell::{ProjectTab, Shell};

words! {
    title: "For all environments", "모든 환경의 설정";
    what: "These count in every environment that does not set the same name itself. Every change makes a new revision of each environment in which it changes something.",
        "환경이 같은 이름을 직접 정하지 않았다면 모든 환경에 쓰여요. 값이 달라지는 환경마다 새 리비전이 생겨요.";
    variables: "Variables", "변수";
    secrets: "Secrets", "시크릿";
    name: "Name", "이름";
    value: "Value", "값";
    version: "Version", "버전";
    by: "By", "누가";
    at: "When", "시각";
    save: "Save", "저장";
    remove: "Remove", "삭제";
    set_variable: "Set a variable", "변수 넣기";
    set_secret: "Set a secret", "시크릿 넣기";
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
    secrets: Vec<Secret>,
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

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, chosen: Chosen) -> Result<Response> {
    page(&cx, shell, &chosen, Typed::default(), None).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    chosen: &Chosen,
    typed: Typed,
    wrong: Option<(StatusCode, String)>,
) -> Result<Response> {
    let project = &chosen.0.name;
    let w = Words(shell.language);
    let shell = shell.in_project(cx, chosen, ProjectTab::Overview).await?;
    let base = format!("/projects/{project}/configuration");
    let shell = shell.crumb(&base, w.title()).title(format!("{} · {project}", w.title()));
    let page = SharedPage {
        shell: &shell,
        w,
        base,
        variables: cx.store.shared_configuration(project).await?.variables,
        secrets: listed(cx, &SecretScope::Project(project.clone())).await?.0.items,
        may_configure: shell.may(cx, Permission::Configure, &Resource::Project(project.clone())).await,
        typed,
        wrong: wrong.as_ref().map(|(_, text)| text.clone()),
    };
    Ok(match wrong {
        Some((status, _)) => shell.refused(status, "api.bad-configuration", &page),
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
        Err(error) => return refused(&cx, shell, &chosen, typed, error.to_string()).await,
    };
    let set = [(name, typed.value.replace("\r\n", "\n"))].into();
    let change = ConfigurationChange { set, unset: Vec::new() };
    match changed(&cx, &asking, &chosen.0.name, change).await {
        Ok(_) => Ok(back(&chosen.0.name)),
        Err(failure) => again(&cx, shell, &chosen, typed, failure).await,
    }
}

async fn refused(cx: &Cx, shell: Shell, chosen: &Chosen, typed: Typed, why: String) -> Result<Response> {
    page(cx, shell, chosen, typed, Some((StatusCode::BAD_REQUEST, why))).await
}

/// The form again for what a person can mend; anything else is the page of the failure.
async fn again(cx: &Cx, shell: Shell, chosen: &Chosen, typed: Typed, failure: Failure) -> Result<Response> {
    if failure.status != StatusCode::BAD_REQUEST {
        return Err(failure);
    }
    let why = failure.problem.cause.first().unwrap_or(&failure.problem.summary).clone();
    refused(cx, shell, chosen, typed, why).await
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

/// Seals a secret. Its value is never sent back, also when it is refused.
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let name = match typed.name.trim().parse::<SecretName>() {
        Ok(name) => name,
        Err(error) => return refused(&cx, shell, &chosen, Typed::default(), error.to_string()).await,
    };
    require_all(&cx, &asking, &chosen.0.name).await?;
    let scope = SecretScope::Project(chosen.0.name.clone());
    let value = SecretValue { value: typed.value.replace("\r\n", "\n") };
    match set_sealed(&cx, &scope, &name, value, &asking.known.principal).await {
        Ok(_) => Ok(back(&chosen.0.name)),
        Err(failure) => again(&cx, shell, &chosen, Typed::default(), failure).await,
    }
}

/// A form that names a secret.
#[derive(Deserialize)]
pub(crate) struct NamedSecret {
    name: SecretName,
}

/// Unsets a secret.
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    Form(named): Form<NamedSecret>,
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
