//! The variables and secrets of an environment. Secrets go in and never come out; every change is a new revision of the
//! same release.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::ConfigurationChange;
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use naru_model::{ConfigurationVersion, ProjectName, VariableName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::InPath;
use crate::failure::Result;
use crate::routes::{InEnvironment, setting};

use super::html::Html;
use super::language::words;
use super::shell::{EnvironmentTab, Shell, environment_path};
use super::{refusal, secrets};

words! {
    variables: "Variables", "변수";
    version(number): "configuration version {number}", "설정값 버전 {number}";
    versions: "Earlier versions, and files", "이전 버전과 파일";
    from_project: "from the project", "프로젝트에서 옴";
    shared: "For all environments", "모든 환경의 설정";
    effect: "Every change makes a new revision of the same release: new replicas start with it, and nothing is dropped.",
        "바꿀 때마다 같은 릴리스의 새 리비전이 생겨요. 새 복제본이 새 값으로 시작하고 요청은 끊기지 않아요.";
    name: "Name", "이름";
    value: "Value", "값";
    save: "Save", "저장";
    remove: "Remove", "삭제";
    set_variable: "Set a variable", "변수 넣기";
    name_rule: "Letters, digits and _, not starting with a digit", "영문, 숫자, _ 를 쓰고 숫자로 시작하지 않아요";
    paste: "Or paste a .env file", "또는 .env 파일 붙여 넣기";
    paste_rule: "One NAME=value a line; lines that start with # are left out. What is not named stays as it is.",
        "한 줄에 NAME=value 하나씩 적어요. #로 시작하는 줄은 건너뛰고, 적지 않은 변수는 그대로 둬요.";
    no_variables: "No variable is set.", "넣은 변수가 없어요.";
    secrets: "Secrets", "시크릿";
    secrets_what: "Values are sealed when they are saved, and are not shown again.",
        "값은 저장할 때 봉인되고 다시 보여 드리지 않아요.";
    no_secrets: "No secret is set.", "넣은 시크릿이 없어요.";
    line(number, text): "Line {number}: {text}", "{number}번째 줄: {text}";
    line_shape: "expected NAME=value", "NAME=value 형식이어야 해요";
}

#[derive(Template)]
#[template(path = "configuration.html")]
struct ConfigurationPage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    version: ConfigurationVersion,
    variables: BTreeMap<VariableName, String>,
    inherited: BTreeSet<VariableName>,
    project: ProjectName,
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
    text: String,
}

/// What was wrong with what a form sent.
enum Wrong {
    Variable(String),
    Secret(String),
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    page(&cx, shell, &chosen, &path, Typed::default(), None).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    chosen: &Chosen,
    path: &InEnvironment,
    typed: Typed,
    wrong: Option<Wrong>,
) -> Result<Response> {
    let key = setting::settled(cx, &chosen.0, path.environment.clone()).await?;
    let shell = shell.in_environment(cx, chosen, &path.environment, EnvironmentTab::Configuration).await?;
    let found = cx.store.configuration(&key).await?;
    let w = Words(shell.language);
    let base = environment_path(&key.project, key.environment.as_str());
    let may_configure = shell.may(cx, Permission::Configure, &Resource::Environment(key.clone())).await;
    let sealed = setting::listed(cx, &SecretScope::Environment(key.clone())).await?.0.items;
    let (refused, wrong, secret_wrong) = match wrong {
        None => (None, None, None),
        Some(Wrong::Variable(why)) => (Some("api.bad-configuration"), Some(why), None),
        Some(Wrong::Secret(why)) => (Some("api.bad-secret"), None, Some(why)),
    };
    let secrets =
        secrets::show((&shell, &base), &sealed, w.no_secrets(), may_configure, secret_wrong.as_deref());
    let page = ConfigurationPage {
        shell: &shell,
        w,
        base,
        version: found.version,
        variables: found.variables,
        inherited: found.inherited,
        project: key.project.clone(),
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

/// Sets one variable, or all that a pasted file names.
pub(crate) async fn set(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let w = Words(shell.language);
    let read = if typed.text.trim().is_empty() { one(&typed) } else { pasted(w, &typed.text) };
    let set = match read {
        Ok(set) => set,
        Err(wrong) => return page(&cx, shell, &chosen, &path, typed, Some(Wrong::Variable(wrong))).await,
    };
    let change = ConfigurationChange { set, unset: Vec::new() };
    match setting::change(&cx, &chosen.0, path.environment.clone(), change, &caller.login).await {
        Ok(_) => Ok(back(&chosen.0.name, &path)),
        Err(failure) => {
            let wrong = Wrong::Variable(refusal::to_mend(failure)?);
            page(&cx, shell, &chosen, &path, typed, Some(wrong)).await
        }
    }
}

fn one(typed: &Typed) -> Result<BTreeMap<VariableName, String>, String> {
    let name = typed.name.trim().parse::<VariableName>().map_err(|error| error.to_string())?;
    Ok([(name, typed.value.replace("\r\n", "\n"))].into())
}

/// The variables of a `.env` file: a `NAME=value` on each line; `#` begins a remark, quotes around a whole value are taken
/// away, nothing is expanded.
pub(super) fn pasted(w: Words, text: &str) -> Result<BTreeMap<VariableName, String>, String> {
    let mut set = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = pair.split_once('=').ok_or_else(|| w.line(number, w.line_shape()))?;
        let name = name.trim().parse::<VariableName>().map_err(|error| w.line(number, error))?;
        set.insert(name, unquoted(value.trim()).to_owned());
    }
    Ok(set)
}

fn unquoted(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

/// A form that names one thing.
#[derive(Deserialize)]
pub(crate) struct Named {
    name: VariableName,
}

/// Unsets a variable.
pub(crate) async fn unset(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(named): Form<Named>,
) -> Result<Response> {
    let change = ConfigurationChange { set: BTreeMap::new(), unset: vec![named.name] };
    setting::change(&cx, &chosen.0, path.environment.clone(), change, &caller.login).await?;
    Ok(back(&chosen.0.name, &path))
}

/// Seals a secret.
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(typed): Form<secrets::Typed>,
) -> Result<Response> {
    let key = setting::settled(&cx, &chosen.0, path.environment.clone()).await?;
    match secrets::seal(&cx, &SecretScope::Environment(key), typed, &caller).await? {
        Ok(()) => Ok(back(&chosen.0.name, &path)),
        Err(wrong) => page(&cx, shell, &chosen, &path, Typed::default(), Some(Wrong::Secret(wrong))).await,
    }
}

/// Unsets a secret.
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(named): Form<secrets::Named>,
) -> Result<Response> {
    let key = setting::settled(&cx, &chosen.0, path.environment.clone()).await?;
    cx.store.unset_secret(&SecretScope::Environment(key), &named.name, false, &caller.login).await?;
    Ok(back(&chosen.0.name, &path))
}

fn back(project: &ProjectName, path: &InEnvironment) -> Response {
    let base = environment_path(project, path.environment.as_str());
    Redirect::to(&format!("{base}/configuration")).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::language::Language;
    use super::*;

    #[test]
    fn a_pasted_file_is_read_line_by_line() {
        let w = Words(Language::English);
        let read = pasted(w, "# colours\nA=1\r\nexport B=\"two = 2\"\n\nC='x'\nD=\n").unwrap();
        let pairs: Vec<String> = read.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["A=1", "B=two = 2", "C=x", "D="]);
        assert_eq!(pasted(w, "A=1\nhello").unwrap_err(), "Line 2: expected NAME=value");
        assert!(pasted(w, "1A=1").unwrap_err().starts_with("Line 1: "));
    }
}
