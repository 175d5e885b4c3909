//! The secrets of one scope on a page: which there are, and the form that sets one. Values go in and never come out. Whose
//! they are, and who may change them, the page says.

use askama::Template;
use naru_model::SecretName;
use naru_model::api::{Secret, SecretValue};
use naru_model::authorise::Principal;
use naru_model::job::SecretScope;
use serde::Deserialize;

use crate::Cx;
use crate::failure::Result;
use crate::routes::setting;

use super::html::Html;
use super::language::words;
use super::refusal;
use super::shell::Shell;

words! {
    name: "Name", "이름";
    version: "Version", "버전";
    by: "By", "누가";
    at: "When", "시각";
    value: "Value", "값";
    save: "Save", "저장";
    remove: "Remove", "삭제";
    set_secret: "Set a secret", "시크릿 넣기";
    rule: "An existing name gets a new version", "이미 있는 이름이면 새 버전이 돼요";
    from_project: "from the project", "프로젝트에서 옴";
}

#[derive(Template)]
#[template(path = "secrets.html")]
struct Shown<'a> {
    shell: &'a Shell,
    w: Words,
    base: &'a str,
    secrets: &'a [Secret],
    may_change: bool,
    none: &'a str,
    wrong: Option<&'a str>,
}

/// The table, or `none`; beneath it the form for who may change them, with what was wrong with what it sent. Forms lead to
/// `<base>/secrets` and `<base>/secrets/unset`.
pub(super) fn show(
    (shell, base): (&Shell, &str),
    secrets: &[Secret],
    none: &str,
    may_change: bool,
    wrong: Option<&str>,
) -> Html {
    let shown = Shown { shell, w: Words(shell.language), base, secrets, may_change, none, wrong };
    Html(shown.render().unwrap_or_default())
}

/// What the form sent.
#[derive(Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

/// A form that names a secret.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(super) name: SecretName,
}

/// Seals what was typed. The inner error is what the person can mend; the value is never sent back.
pub(super) async fn seal(
    cx: &Cx,
    scope: &SecretScope,
    typed: Typed,
    by: &Principal,
) -> Result<Result<(), String>> {
    let name = match typed.name.trim().parse::<SecretName>() {
        Ok(name) => name,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let value = SecretValue { value: typed.value.replace("\r\n", "\n") };
    match setting::set(cx, scope, &name, value, by).await {
        Ok(_) => Ok(Ok(())),
        Err(failure) => refusal::to_mend(failure).map(Err),
    }
}
