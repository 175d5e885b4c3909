//! Who belongs to an organisation, and roles for single projects and environments.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use naru_model::api::{MemberRole, OwnRole, Page, Protection, WantedRole};
use naru_model::{EnvironmentKey, EnvironmentName, OrganisationName, Problem, ProjectName};
use naru_store::StoreError;
use naru_store::identity::LAST_ADMINISTRATOR;
use naru_store::organisation::LAST_OWNER;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, Chosen, ChosenOrganisation};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::{InEnvironment, environment};

/// `{login}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneLogin {
    pub(crate) login: String,
}

/// `{environment}` and `{login}` in a path.
#[derive(Deserialize)]
pub(crate) struct LoginInEnvironment {
    environment: EnvironmentName,
    login: String,
}

/// Says why somebody has to stay.
pub(crate) fn kept(error: StoreError) -> Failure {
    let (code, summary) = match &error {
        StoreError::Stale(why) if *why == LAST_OWNER => ("identity.last-owner", LAST_OWNER),
        StoreError::Stale(why) if *why == LAST_ADMINISTRATOR => {
            ("identity.last-administrator", LAST_ADMINISTRATOR)
        }
        _ => return error.into(),
    };
    let problem = Problem::new(code, summary)
        .state("nothing was changed")
        .hint("give somebody else that office first, somebody who can log in");
    Failure::new(StatusCode::CONFLICT, problem)
}

/// Gives a member another role.
#[utoipa::path(put, path = "/api/v1/organisations/{organisation}/members/{login}", operation_id = "setMember",
    tag = "organisation", request_body = MemberRole,
    params(("organisation" = OrganisationName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn set(
    State(cx): State<Cx>,
    ChosenOrganisation(organisation): ChosenOrganisation,
    InPath(path): InPath<OneLogin>,
    Body(wanted): Body<MemberRole>,
) -> Result<(StatusCode, Extension<AuditDetail>)> {
    let set = cx.store.set_member_role(&organisation.name, &path.login, wanted.role).await;
    set.map_err(kept)?;
    Ok((StatusCode::NO_CONTENT, Extension(AuditDetail(format!("to {}", wanted.role)))))
}

/// Takes a member out of an organisation, with the roles in its projects.
#[utoipa::path(delete, path = "/api/v1/organisations/{organisation}/members/{login}", operation_id = "removeMember",
    tag = "organisation", params(("organisation" = OrganisationName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn remove(
    State(cx): State<Cx>,
    ChosenOrganisation(organisation): ChosenOrganisation,
    InPath(path): InPath<OneLogin>,
) -> Result<StatusCode> {
    cx.store.remove_member(&organisation.name, &path.login).await.map_err(kept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leaves an organisation.
#[utoipa::path(post, path = "/api/v1/organisations/{organisation}/leave", operation_id = "leaveOrganisation",
    tag = "organisation", params(("organisation" = OrganisationName, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn leave(
    State(cx): State<Cx>,
    asking: Asking,
    ChosenOrganisation(organisation): ChosenOrganisation,
) -> Result<StatusCode> {
    cx.store.remove_member(&organisation.name, &asking.known.principal.login).await.map_err(kept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The roles that replace the organisation's in a project and its environments, by login.
#[utoipa::path(get, path = "/api/v1/projects/{project}/roles", operation_id = "listRoles", tag = "project",
    params(("project" = ProjectName, Path)),
    responses((status = 200, body = Page<OwnRole>), (status = "default", body = Problem)))]
pub(crate) async fn list_roles(State(cx): State<Cx>, Chosen(project): Chosen) -> Result<Json<Page<OwnRole>>> {
    Ok(Json(roles(&cx, &project.name).await?))
}

/// The roles that replace the organisation's in a project.
pub(crate) async fn roles(cx: &Cx, project: &ProjectName) -> Result<Page<OwnRole>> {
    let rows = cx.store.project_roles(project).await?;
    let items = rows
        .into_iter()
        .map(|row| OwnRole { login: row.login, environment: row.environment, role: row.role })
        .collect();
    Ok(Page { items, next: None })
}

/// Gives a member of the organisation a role for this project, in the place of the organisation's.
#[utoipa::path(put, path = "/api/v1/projects/{project}/roles/{login}", operation_id = "setProjectRole",
    tag = "project", request_body = WantedRole, params(("project" = ProjectName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn set_project_role(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneLogin>,
    Body(wanted): Body<WantedRole>,
) -> Result<(StatusCode, Extension<AuditDetail>)> {
    cx.store.set_project_role(&project.name, &path.login, Some(wanted.role)).await?;
    Ok((StatusCode::NO_CONTENT, Extension(AuditDetail(format!("to {}", wanted.role)))))
}

/// Takes a role for this project back: the organisation's counts again.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/roles/{login}", operation_id = "unsetProjectRole",
    tag = "project", params(("project" = ProjectName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn unset_project_role(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneLogin>,
) -> Result<StatusCode> {
    cx.store.set_project_role(&project.name, &path.login, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a member of the organisation a role for this environment, in the place of the project's.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/roles/{login}",
    operation_id = "setEnvironmentRole", tag = "environment", request_body = WantedRole,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn set_environment_role(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<LoginInEnvironment>,
    Body(wanted): Body<WantedRole>,
) -> Result<(StatusCode, Extension<AuditDetail>)> {
    let row = environment(&cx, &chosen, path.environment).await?;
    cx.store.set_environment_role(&row.key, &path.login, Some(wanted.role)).await?;
    Ok((StatusCode::NO_CONTENT, Extension(AuditDetail(format!("to {}", wanted.role)))))
}

/// Takes a role for this environment back: the project's counts again.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/roles/{login}",
    operation_id = "unsetEnvironmentRole", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("login" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn unset_environment_role(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<LoginInEnvironment>,
) -> Result<StatusCode> {
    let key = EnvironmentKey { project: project.name, environment: path.environment };
    cx.store.set_environment_role(&key, &path.login, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says whether an environment is protected: to deploy there takes `deploy-protected`, and releases wait for a person.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/protection",
    operation_id = "protectEnvironment", tag = "environment", request_body = Protection,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Protection), (status = "default", body = Problem)))]
pub(crate) async fn protect(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Body(wanted): Body<Protection>,
) -> Result<(Extension<AuditDetail>, Json<Protection>)> {
    let row = environment(&cx, &chosen, path.environment).await?;
    cx.store.protect_environment(&row.key, wanted.protected).await?;
    let word = if wanted.protected { "protected" } else { "not protected" };
    Ok((Extension(AuditDetail(word.to_owned())), Json(wanted)))
}
