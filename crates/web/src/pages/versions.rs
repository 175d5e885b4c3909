//! Earlier versions of an environment's configuration, and of which secrets it had: what is different now, and the way
//! back. Values of secrets are not shown; who may read them gets them as a file.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{ConfigurationDifference, SecretDifference, SettingVersion, VersionChoice, env_file};
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use naru_model::{ConfigurationVersion, EnvironmentKey};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::setting_version::{
    Two, as_file, configuration_difference, paged, secret_difference, secret_values,
};
use crate::routes::{InEnvironment, environment};

use super::language::words;
use super::shell::{EnvironmentTab, Shell, environment_path};

/// Versions that are shown; the API has them all.
const SHOWN: u32 = 50;

words! {
    title: "Versions", "버전";
    configuration: "Configuration", "설정값";
    secrets: "Secrets", "시크릿";
    what: "Restoring makes a new version, and a new revision of the same release. To return to a release with the settings it had, go to the revisions.",
        "되살리면 새 버전과 같은 릴리스의 새 리비전이 생겨요. 릴리스까지 함께 되돌리려면 리비전에서 되돌려 주세요.";
    secrets_what: "Which secrets there were, each in which version. A version that was revoked does not come back.",
        "어떤 시크릿이 어느 버전이었는지 보여 드려요. 폐기한 버전은 돌아오지 않아요.";
    version: "Version", "버전";
    names: "Names", "이름 수";
    by: "By", "누가";
    at: "When", "시각";
    current: "current", "현재";
    compare: "Compare with now", "지금과 비교";
    restore: "Restore", "되살리기";
    none: "No version yet.", "아직 버전이 없어요.";
    since(version): "What changed since version {version}", "버전 {version} 이후 바뀐 것";
    same: "Nothing is different.", "다른 것이 없어요.";
    other_version: "another version of the secret", "시크릿의 다른 버전";
    export: "As a .env file", ".env 파일로 받기";
    export_secrets: "Secrets as a .env file", "시크릿을 .env 파일로 받기";
    export_what: "The file has the values in plain text, and the export stands in the audit log.",
        "파일에 값이 그대로 들어 있고, 내보낸 사실은 감사 로그에 남아요.";
}

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    configuration: Vec<SettingVersion>,
    current: u32,
    difference: Option<ConfigurationDifference>,
    secrets: Vec<SettingVersion>,
    secret_difference: Option<SecretDifference>,
    may_configure: bool,
    may_read_secrets: bool,
}

impl VersionsPage<'_> {
    fn newest_secrets(&self) -> u32 {
        self.secrets.first().map_or(0, |row| row.version)
    }
}

/// What is compared with now.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Compared {
    from: Option<u32>,
    secrets: Option<u32>,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(compared): InQuery<Compared>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment.clone()).await?.key;
    let w = Words(shell.language);
    let base = environment_path(&key.project, key.environment.as_str());
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Configuration).await?;
    let title = format!("{} · {} · {}", w.title(), key.environment, key.project);
    let shell = shell.crumb(format!("{base}/configuration/versions"), w.title()).title(title);
    let difference = match compared.from {
        Some(from) => Some(configuration_difference(&cx, &key, &Two { from, to: None }).await?),
        None => None,
    };
    let secret_difference = match compared.secrets {
        Some(from) => Some(secret_difference(&cx, &key, &Two { from, to: None }).await?),
        None => None,
    };
    let page = page(&cx, &shell, key, (difference, secret_difference)).await?;
    Ok(shell.page(&page))
}

async fn page<'a>(
    cx: &Cx,
    shell: &'a Shell,
    key: EnvironmentKey,
    (difference, secret_difference): (Option<ConfigurationDifference>, Option<SecretDifference>),
) -> Result<VersionsPage<'a>> {
    let first = crate::paging::Paging { after: None, limit: Some(SHOWN) };
    let configuration = cx.store.configuration_versions(&key, None, SHOWN).await?;
    let secrets = cx.store.secret_sets(&SecretScope::Environment(key.clone()), None, SHOWN).await?;
    let resource = Resource::Environment(key.clone());
    Ok(VersionsPage {
        shell,
        w: Words(shell.language),
        base: environment_path(&key.project, key.environment.as_str()),
        configuration: paged(&first, configuration).items,
        current: cx.store.configuration(&key).await?.version.0,
        difference,
        secrets: paged(&first, secrets).items,
        secret_difference,
        may_configure: shell.may(cx, Permission::Configure, &resource).await,
        may_read_secrets: shell.may(cx, Permission::ReadSecrets, &resource).await,
    })
}

/// Makes a new version with the variables of an earlier one.
pub(crate) async fn restore(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(choice): Form<VersionChoice>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    cx.store.restore_configuration(&key, ConfigurationVersion(choice.version), &caller.login).await?;
    Ok(back(&key))
}

/// Makes the secrets of an earlier version the current ones again.
pub(crate) async fn restore_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(choice): Form<VersionChoice>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    cx.store.restore_secrets(&key, choice.version, &caller.login).await?;
    Ok(back(&key))
}

fn back(key: &EnvironmentKey) -> Response {
    let base = environment_path(&key.project, key.environment.as_str());
    Redirect::to(&format!("{base}/configuration/versions")).into_response()
}

/// The values of the secrets as a file.
pub(crate) async fn export_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let (values, detail) = secret_values(&cx, &key).await?;
    let mut response = as_file(&key, "secrets.env", env_file(&values.values));
    response.extensions_mut().insert(detail);
    Ok(response)
}
