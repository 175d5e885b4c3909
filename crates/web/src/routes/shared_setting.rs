//! Settings of a project, which count in each of its environments that has none of that name itself. Who changes them
//! changes every environment, and must be allowed to in each.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use naru_model::api::{
    Configuration, ConfigurationChange, ConfigurationChanged, Page, Secret, SecretChanged, SecretValue,
};
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use naru_model::{Problem, ProjectName, SecretName};

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::border::{Body, InPath, InQuery};
use crate::failure::Result;
use crate::routes::setting::{OnePipelineSecret, Unset, check_change, listed, set};

/// Refuses who may not configure one of the environments.
pub(crate) async fn require_all(cx: &Cx, asking: &Asking, project: &ProjectName) -> Result<()> {
    for environment in cx.store.environments_of(project).await? {
        asking.require(cx, Permission::Configure, &Resource::Environment(environment.key)).await?;
    }
    Ok(())
}

/// What a project sets for all its environments.
#[utoipa::path(get, path = "/api/v1/projects/{project}/configuration", operation_id = "showSharedConfiguration",
    tag = "configuration", params(("project" = ProjectName, Path)),
    responses((status = 200, body = Configuration), (status = "default", body = Problem)))]
pub(crate) async fn show(State(cx): State<Cx>, Chosen(project): Chosen) -> Result<Json<Configuration>> {
    let found = cx.store.shared_configuration(&project.name).await?;
    Ok(Json(Configuration { version: found.version, variables: found.variables, inherited: BTreeSet::new() }))
}

/// Sets and unsets variables for all environments: a new configuration version, and a new revision, of each in which that
/// changes something.
#[utoipa::path(put, path = "/api/v1/projects/{project}/configuration", operation_id = "changeSharedConfiguration",
    tag = "configuration", request_body = ConfigurationChange, params(("project" = ProjectName, Path)),
    responses((status = 200, body = ConfigurationChanged), (status = "default", body = Problem)))]
pub(crate) async fn change(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    Body(wish): Body<ConfigurationChange>,
) -> Result<Json<ConfigurationChanged>> {
    Ok(Json(changed(&cx, &asking, &project.name, wish).await?))
}

/// Records a new version of what a project sets.
pub(crate) async fn changed(
    cx: &Cx,
    asking: &Asking,
    project: &ProjectName,
    change: ConfigurationChange,
) -> Result<ConfigurationChanged> {
    check_change(&change)?;
    require_all(cx, asking, project).await?;
    let set = change.set.into_iter().map(|(name, value)| (name, Some(value)));
    let changes = change.unset.into_iter().map(|name| (name, None)).chain(set).collect();
    let login = &asking.known.principal.login;
    let version = cx.store.change_shared_configuration(project, &changes, login).await?;
    Ok(ConfigurationChanged { version, intent: None })
}

/// Names and versions of the secrets that a project has for all its environments.
#[utoipa::path(get, path = "/api/v1/projects/{project}/shared-secrets", operation_id = "listSharedSecrets",
    tag = "secret", params(("project" = ProjectName, Path)),
    responses((status = 200, body = Page<Secret>), (status = "default", body = Problem)))]
pub(crate) async fn list_secrets(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
) -> Result<Json<Page<Secret>>> {
    listed(&cx, &SecretScope::Project(project.name)).await
}

/// Sets a secret for all environments that have none of that name themselves.
#[utoipa::path(put, path = "/api/v1/projects/{project}/shared-secrets/{secret}", operation_id = "setSharedSecret",
    tag = "secret", request_body = SecretValue,
    params(("project" = ProjectName, Path), ("secret" = SecretName, Path)),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    InPath(path): InPath<OnePipelineSecret>,
    Body(value): Body<SecretValue>,
) -> Result<Json<SecretChanged>> {
    require_all(&cx, &asking, &project.name).await?;
    set(&cx, &SecretScope::Project(project.name), &path.secret, value, &asking.known.principal).await
}

/// Unsets a secret that a project has for all its environments.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/shared-secrets/{secret}",
    operation_id = "unsetSharedSecret", tag = "secret",
    params(("project" = ProjectName, Path), ("secret" = SecretName, Path), Unset),
    responses((status = 200, body = SecretChanged), (status = "default", body = Problem)))]
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    InPath(path): InPath<OnePipelineSecret>,
    InQuery(how): InQuery<Unset>,
) -> Result<Json<SecretChanged>> {
    require_all(&cx, &asking, &project.name).await?;
    let scope = SecretScope::Project(project.name);
    let login = &asking.known.principal.login;
    let intent = cx.store.unset_secret(&scope, &path.secret, how.revoke, login).await?;
    Ok(Json(SecretChanged { version: None, intent }))
}
