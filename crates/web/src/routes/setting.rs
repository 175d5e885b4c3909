//! Configuration and secrets. Secrets go in, and come out by an export only (`setting_version`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{
    Configuration, ConfigurationChange, ConfigurationChanged, Page, Secret, SecretChanged, SecretValue,
};
use naru_model::authorise::Principal;
use naru_model::job::SecretScope;
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, SecretName};
use naru_secret::Binding;
use naru_store::StoreError;
use naru_store::project::Project;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::{FIRST, InEnvironment, environment};

const LONGEST_SECRET: usize = 64 << 10;
const LONGEST_VALUE: usize = 32 << 10;
const MOST_VARIABLES: usize = 500;
/// Two people may set one secret at once: the loser seals again with the next number.
const SEAL_ATTEMPTS: usize = 5;

/// The environment, which is made when it is `production` and does not exist yet.
pub(crate) async fn settled(cx: &Cx, project: &Project, name: EnvironmentName) -> Result<EnvironmentKey> {
    let key = EnvironmentKey { project: project.name.clone(), environment: name };
    if key.environment.as_str() == FIRST && cx.store.environment(&key).await?.is_none() {
        cx.store.ensure_environment(&key, Some(&project.default_branch)).await?;
    }
    if cx.store.environment(&key).await?.is_none() {
        return Err(super::no_environment(&key));
    }
    Ok(key)
}

/// The configuration of an environment.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/configuration",
    operation_id = "showConfiguration", tag = "configuration",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Configuration), (status = "default", body = Problem)))]
pub(crate) async fn show_configuration(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Configuration>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    let found = cx.store.configuration(&environment.key).await?;
    Ok(Json(Configuration { version: found.version, variables: found.variables, inherited: found.inherited }))
}

/// Sets and unsets variables, all at once: one new configuration version, one new revision.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/configuration",
    operation_id = "changeConfiguration", tag = "configuration", request_body = ConfigurationChange,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = ConfigurationChanged), (status = "default", body = Problem)))]
pub(crate) async fn change_configuration(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(wish): Body<ConfigurationChange>,
) -> Result<Json<ConfigurationChanged>> {
    Ok(Json(change(&cx, &project, path.environment, wish, &caller.login).await?))
}

/// Records a new configuration version, all changes at once.
pub(crate) async fn change(
    cx: &Cx,
    project: &Project,
    environment: EnvironmentName,
    change: ConfigurationChange,
    login: &str,
) -> Result<ConfigurationChanged> {
    check_change(&change)?;
    let key = settled(cx, project, environment).await?;
    let set = change.set.into_iter().map(|(name, value)| (name, Some(value)));
    let changes = change.unset.into_iter().map(|name| (name, None)).chain(set).collect();
    let (version, intent) = cx.store.change_configuration(&key, &changes, login).await?;
    Ok(ConfigurationChanged { version, intent })
}

pub(crate) fn check_change(change: &ConfigurationChange) -> Result<()> {
    let refuse = |cause: String| {
        let problem = Problem::new("api.bad-configuration", "this configuration cannot be stored");
        Err(Failure::refused(problem.cause(cause).state("nothing was changed")))
    };
    if change.set.len() > MOST_VARIABLES {
        return refuse(format!("at most {MOST_VARIABLES} variables are set at once"));
    }
    if change.set.is_empty() && change.unset.is_empty() {
        return refuse("no variable is named".to_owned());
    }
    for (name, value) in &change.set {
        if value.len() > LONGEST_VALUE || value.contains('\0') {
            return refuse(format!("the value of {name} is longer than 32 KiB or contains a null character"));
        }
    }
    Ok(())
}

/// Names and versions of an environment's secrets.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/secrets",
    operation_id = "listSecrets", tag = "secret",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Page<Secret>), (status = "default", body = Problem)))]
pub(crate) async fn list_secrets(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Page<Secret>>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    listed(&cx, &SecretScope::Environment(environment.key)).await
}

/// A secret's name in a path.
#[derive(Deserialize)]
pub(crate) struct OneSecret {
    environment: EnvironmentName,
    secret: SecretName,
}

/// Sets a secret of an environment.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/secrets/{secret}",
    operation_id = "setSecret", tag = "secret", request_body = SecretValue,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("secret" = SecretName, Path)),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OneSecret>,
    Body(value): Body<SecretValue>,
) -> Result<Json<SecretChanged>> {
    let key = settled(&cx, &project, path.environment).await?;
    set(&cx, &SecretScope::Environment(key), &path.secret, value, &caller).await
}

/// How a secret is unset.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Unset {
    /// Also revokes every version: revisions that name one can no longer reveal it.
    #[serde(default)]
    pub(crate) revoke: bool,
}

/// Unsets a secret of an environment.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/secrets/{secret}",
    operation_id = "unsetSecret", tag = "secret",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("secret" = SecretName, Path), Unset),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OneSecret>,
    crate::border::InQuery(how): crate::border::InQuery<Unset>,
) -> Result<Json<SecretChanged>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    let scope = SecretScope::Environment(environment.key);
    let intent = cx.store.unset_secret(&scope, &path.secret, how.revoke, &caller.login).await?;
    Ok(Json(SecretChanged { version: None, intent }))
}

/// Names and versions of the secrets of a project's pipeline.
#[utoipa::path(get, path = "/api/v1/projects/{project}/secrets", operation_id = "listPipelineSecrets",
    tag = "secret", params(("project" = ProjectName, Path)),
    responses((status = 200, body = Page<Secret>), (status = "default", body = Problem)))]
pub(crate) async fn list_pipeline_secrets(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
) -> Result<Json<Page<Secret>>> {
    listed(&cx, &SecretScope::Pipeline(project.name)).await
}

/// A pipeline secret's name in a path.
#[derive(Deserialize)]
pub(crate) struct OnePipelineSecret {
    pub(crate) secret: SecretName,
}

/// Sets a secret of the pipeline.
#[utoipa::path(put, path = "/api/v1/projects/{project}/secrets/{secret}", operation_id = "setPipelineSecret",
    tag = "secret", request_body = SecretValue,
    params(("project" = ProjectName, Path), ("secret" = SecretName, Path)),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn set_pipeline_secret(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OnePipelineSecret>,
    Body(value): Body<SecretValue>,
) -> Result<Json<SecretChanged>> {
    set(&cx, &SecretScope::Pipeline(project.name), &path.secret, value, &caller).await
}

/// Unsets a secret of the pipeline.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/secrets/{secret}", operation_id = "unsetPipelineSecret",
    tag = "secret", params(("project" = ProjectName, Path), ("secret" = SecretName, Path)),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn unset_pipeline_secret(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OnePipelineSecret>,
) -> Result<Json<SecretChanged>> {
    let scope = SecretScope::Pipeline(project.name);
    let intent = cx.store.unset_secret(&scope, &path.secret, true, &caller.login).await?;
    Ok(Json(SecretChanged { version: None, intent }))
}

/// The names and versions of the secrets of a scope.
pub(crate) async fn listed(cx: &Cx, scope: &SecretScope) -> Result<Json<Page<Secret>>> {
    let rows = cx.store.secrets(scope).await?;
    let items = rows
        .into_iter()
        .map(|row| Secret {
            name: row.name,
            version: row.version,
            by: row.by,
            created_at: row.created_at,
            inherited: row.inherited,
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// Seals and stores a new version of a secret.
pub(crate) async fn set(
    cx: &Cx,
    scope: &SecretScope,
    name: &SecretName,
    value: SecretValue,
    caller: &Principal,
) -> Result<Json<SecretChanged>> {
    if value.value.is_empty() || value.value.len() > LONGEST_SECRET || value.value.contains('\0') {
        let problem = Problem::new("api.bad-secret", format!("the value of {name} cannot be stored"))
            .cause("a secret has 1 byte to 64 KiB and no null character")
            .state("nothing was changed");
        return Err(Failure::refused(problem));
    }
    let value = value.value.into();
    for _ in 0..SEAL_ATTEMPTS {
        let version = cx.store.next_secret_version(scope, name).await?;
        let sealed = cx.keys.seal(&Binding { scope, name, version }, &value).map_err(Problem::from)?;
        match cx.store.add_secret(scope, name, version, &sealed.to_string(), &caller.login).await {
            Ok(intent) => return Ok(Json(SecretChanged { version: Some(version), intent })),
            Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let problem = Problem::new("api.stale", format!("others keep setting {name}")).hint("try again");
    Err(Failure::new(StatusCode::CONFLICT, problem))
}
