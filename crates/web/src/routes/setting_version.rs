//! Earlier versions of configuration and secrets: listed, compared, restored. And both as `.env` files.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use naru_model::api::{
    ConfigurationChanged, ConfigurationDifference, Page, SecretDifference, SecretValues, SecretsRestored,
    SettingVersion, VersionChoice, env_file,
};
use naru_model::job::SecretScope;
use naru_model::{ConfigurationVersion, EnvironmentKey, EnvironmentName, Problem, ProjectName};
use naru_secret::{Binding, ExposeSecret as _, Sealed};
use naru_store::setting_version::{SecretSet, VersionRow};
use serde::Deserialize;

use crate::Cx;
use crate::access::{AuditDetail, Caller, Chosen};
use crate::border::{Body, InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::{InEnvironment, environment};

/// Which versions are compared.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Two {
    /// The first version; 0 is the empty one.
    pub(crate) from: u32,
    /// The second; the newest without it.
    pub(crate) to: Option<u32>,
}

fn view(row: VersionRow) -> SettingVersion {
    SettingVersion { version: row.version, by: row.by, created_at: row.created_at, names: row.names }
}

/// A page of versions.
pub(crate) fn paged(paging: &Paging, rows: Vec<VersionRow>) -> Page<SettingVersion> {
    paging.page(rows.into_iter().map(view).collect(), |row: &SettingVersion| row.version.to_string())
}

fn no_version(what: &str, version: u32) -> Failure {
    Failure::missing(format!("version {version} of the {what}"), &format!("naru {} versions", command(what)))
}

fn command(what: &str) -> &'static str {
    if what == "secrets" { "secret" } else { "env" }
}

/// Versions of the configuration, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/configuration/versions",
    operation_id = "listConfigurationVersions", tag = "configuration",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Paging),
    responses((status = 200, body = Page<SettingVersion>), (status = "default", body = Problem)))]
pub(crate) async fn list_configuration(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<SettingVersion>>> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let rows = cx.store.configuration_versions(&key, paging.after_number(), paging.probe()).await?;
    Ok(Json(paged(&paging, rows)))
}

/// What is different between two versions of the configuration.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/configuration/difference",
    operation_id = "compareConfiguration", tag = "configuration",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Two),
    responses((status = 200, body = ConfigurationDifference), (status = "default", body = Problem)))]
pub(crate) async fn compare_configuration(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(two): InQuery<Two>,
) -> Result<Json<ConfigurationDifference>> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    Ok(Json(configuration_difference(&cx, &key, &two).await?))
}

/// What is different between two versions of an environment's configuration.
pub(crate) async fn configuration_difference(
    cx: &Cx,
    key: &EnvironmentKey,
    two: &Two,
) -> Result<ConfigurationDifference> {
    let at = async |version: u32| {
        let found = cx.store.configuration_at(key, ConfigurationVersion(version)).await?;
        found.ok_or_else(|| no_version("configuration", version))
    };
    let before = at(two.from).await?;
    let after = match two.to {
        Some(version) => at(version).await?,
        None => cx.store.configuration(key).await?,
    };
    let (from, to) = ((two.from, &before.variables), (after.version.0, &after.variables));
    Ok(ConfigurationDifference::between(from, to))
}

/// Makes a new version with the environment's own variables of an earlier one. What comes from the project stays as it is.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/configuration/restore",
    operation_id = "restoreConfiguration", tag = "configuration", request_body = VersionChoice,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = ConfigurationChanged), (status = "default", body = Problem)))]
pub(crate) async fn restore_configuration(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(choice): Body<VersionChoice>,
) -> Result<(Extension<AuditDetail>, Json<ConfigurationChanged>)> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let earlier = ConfigurationVersion(choice.version);
    let (version, intent) = cx.store.restore_configuration(&key, earlier, &caller.login).await?;
    let detail = AuditDetail(format!("version {earlier} as {version}"));
    Ok((Extension(detail), Json(ConfigurationChanged { version, intent })))
}

/// The configuration as a `.env` file.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/configuration/export",
    operation_id = "exportConfiguration", tag = "configuration",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem)))]
pub(crate) async fn export_configuration(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let found = cx.store.configuration(&key).await?;
    Ok(as_file(&key, "env", env_file(&found.variables)))
}

/// A text that browsers keep as a file.
pub(crate) fn as_file(key: &EnvironmentKey, ending: &str, text: String) -> Response {
    let name = format!("attachment; filename=\"{}-{}.{ending}\"", key.project, key.environment);
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, text).into_response()
}

fn scope_of(key: &EnvironmentKey) -> SecretScope {
    SecretScope::Environment(key.clone())
}

/// Versions of which secrets there were, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/secret-versions",
    operation_id = "listSecretVersions", tag = "secret",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Paging),
    responses((status = 200, body = Page<SettingVersion>), (status = "default", body = Problem)))]
pub(crate) async fn list_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<SettingVersion>>> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let rows = cx.store.secret_sets(&scope_of(&key), paging.after_number(), paging.probe()).await?;
    Ok(Json(paged(&paging, rows)))
}

/// The names that are different between which secrets there were.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/secret-versions/difference",
    operation_id = "compareSecrets", tag = "secret",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Two),
    responses((status = 200, body = SecretDifference), (status = "default", body = Problem)))]
pub(crate) async fn compare_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(two): InQuery<Two>,
) -> Result<Json<SecretDifference>> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    Ok(Json(secret_difference(&cx, &key, &two).await?))
}

/// The names that are different between which secrets an environment had.
pub(crate) async fn secret_difference(cx: &Cx, key: &EnvironmentKey, two: &Two) -> Result<SecretDifference> {
    let scope = scope_of(key);
    let at = async |version: u32| {
        let found = cx.store.secret_set(&scope, version).await?;
        found.ok_or_else(|| no_version("secrets", version))
    };
    let before = at(two.from).await?;
    let newest = async || cx.store.secret_sets(&scope, None, 1).await;
    let after: SecretSet = match two.to {
        Some(version) => at(version).await?,
        None => at(newest().await?.first().map_or(0, |row| row.version)).await?,
    };
    Ok(SecretDifference::between((before.version, &before.secrets), (after.version, &after.secrets)))
}

/// Makes the secrets that there were the current ones again, as a new version. Versions that were revoked do not come back.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/secret-versions/restore",
    operation_id = "restoreSecrets", tag = "secret", request_body = VersionChoice,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = SecretsRestored), (status = "default", body = Problem)))]
pub(crate) async fn restore_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(choice): Body<VersionChoice>,
) -> Result<(Extension<AuditDetail>, Json<SecretsRestored>)> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let (version, intent, revoked) = cx.store.restore_secrets(&key, choice.version, &caller.login).await?;
    let detail = AuditDetail(format!("version {} as {version}", choice.version));
    Ok((Extension(detail), Json(SecretsRestored { version, intent, revoked })))
}

/// The values of an environment's secrets. Every export is in the audit log.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/secret-export",
    operation_id = "exportSecrets", tag = "secret",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = SecretValues), (status = "default", body = Problem)))]
pub(crate) async fn export_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<(Extension<AuditDetail>, Json<SecretValues>)> {
    let key = environment(&cx, &chosen, path.environment).await?.key;
    let (values, detail) = secret_values(&cx, &key).await?;
    Ok((Extension(detail), Json(values)))
}

/// The values of an environment's secrets, and what the audit log says of their export: the names.
pub(crate) async fn secret_values(cx: &Cx, key: &EnvironmentKey) -> Result<(SecretValues, AuditDetail)> {
    let scope = scope_of(key);
    let mut values = BTreeMap::new();
    for secret in cx.store.secrets(&scope).await? {
        let Some(found) = cx.store.sealed_secret(&scope, &secret.name, secret.version).await? else {
            continue;
        };
        let (scope, version) = found.place(&scope);
        let sealed: Sealed = found.sealed.parse().map_err(|error| Failure::from(Problem::from(error)))?;
        let binding = Binding { scope: &scope, name: &secret.name, version };
        let value =
            cx.keys.open_sealed(&binding, &sealed).map_err(|error| Failure::from(Problem::from(error)))?;
        values.insert(secret.name, value.expose_secret().to_owned());
    }
    let names: Vec<String> = values.keys().map(ToString::to_string).collect();
    Ok((SecretValues { values }, AuditDetail(names.join(" "))))
}
