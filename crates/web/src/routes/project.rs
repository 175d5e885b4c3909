//! Projects.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{NewProject, Page, Project};
use naru_model::authorise::{Permission, Resource};
use naru_model::{BranchName, OrganisationName, Problem, ProjectName};
use naru_store::project::About;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Caller, Chosen};
use crate::border::{Body, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;

/// A project as somebody sees it.
pub(crate) fn view(cx: &Cx, row: naru_store::project::Project, favourite: bool) -> Project {
    let base = &cx.address.base_url;
    let About { summary, description, owner, contacts } = row.about;
    Project {
        source_url: format!("{base}/git/{}.git", row.name),
        deploy_url: format!("{base}/git/{}.deploy.git", row.name),
        name: row.name,
        organisation: row.organisation,
        default_branch: row.default_branch,
        created_at: row.created_at,
        deleting: row.deleting,
        summary,
        description: Some(description),
        owner,
        contacts,
        favourite,
    }
}

/// The same for one project that is read again.
pub(crate) async fn seen(cx: &Cx, row: naru_store::project::Project, login: &str) -> Result<Project> {
    let favourite = cx.store.is_favourite(login, &row.name).await?;
    Ok(view(cx, row, favourite))
}

/// Which projects.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Filter {
    /// Only favourites of the caller.
    favourites: bool,
}

/// The projects that the caller has a role in, by name.
#[utoipa::path(get, path = "/api/v1/projects", operation_id = "listProjects", tag = "project", params(Filter, Paging),
    responses((status = 200, body = Page<Project>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InQuery(filter): InQuery<Filter>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Project>>> {
    let after = paging.after.as_deref().unwrap_or_default();
    let rows = cx.store.projects_page_of(&caller.login, filter.favourites, after, paging.probe()).await?;
    let favourites = cx.store.favourites_of(&caller.login).await?;
    let line = |row: naru_store::project::Project| {
        let favourite = favourites.contains(&row.name);
        Project { description: None, ..view(&cx, row, favourite) }
    };
    let projects = rows.into_iter().map(line).collect();
    Ok(Json(paging.page(projects, |project: &Project| project.name.to_string())))
}

/// Creates a project with its two repositories.
#[utoipa::path(post, path = "/api/v1/projects", operation_id = "createProject", tag = "project",
    request_body = NewProject,
    responses((status = 201, body = Project), (status = "default", body = Problem)))]
pub(crate) async fn create(
    State(cx): State<Cx>,
    asking: Asking,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<Project>)> {
    let row = created(&cx, &asking, new).await?;
    Ok((StatusCode::CREATED, Json(view(&cx, row, false))))
}

/// Makes a project with its two repositories, for who may in its organisation.
pub(crate) async fn created(
    cx: &Cx,
    asking: &Asking,
    new: NewProject,
) -> Result<naru_store::project::Project> {
    let organisation = new.organisation.unwrap_or_else(OrganisationName::main);
    let resource = Resource::Organisation(organisation.clone());
    asking.require(cx, Permission::CreateProject, &resource).await?;
    let branch = match new.default_branch {
        Some(branch) => branch,
        None => "main".parse::<BranchName>()?,
    };
    // Repositories first: a row whose repositories are missing would refuse pushes; the reverse is found and kept.
    if cx.store.project(&new.name).await?.is_some() {
        return Err(exists(&new.name));
    }
    cx.behind.create_repositories(&new.name, &branch).await?;
    let owner = Some(asking.known.principal.login.as_str());
    cx.store.create_project_in(&organisation, &new.name, &branch, owner).await.map_err(|error| match error {
        naru_store::StoreError::Exists(_) => exists(&new.name),
        other => other.into(),
    })
}

/// Hosts and repositories are named after projects, so a name that another organisation has is taken, too.
fn exists(name: &ProjectName) -> Failure {
    let problem = Problem::new("api.exists", format!("the project name `{name}` is taken"))
        .state("nothing was changed")
        .hint("choose another name");
    Failure::new(StatusCode::CONFLICT, problem)
}

/// One project.
#[utoipa::path(get, path = "/api/v1/projects/{project}", operation_id = "showProject", tag = "project",
    params(("project" = ProjectName, Path)),
    responses((status = 200, body = Project), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    Chosen(row): Chosen,
) -> Result<Json<Project>> {
    Ok(Json(seen(&cx, row, &caller.login).await?))
}

/// What a deletion must repeat.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Confirmation {
    /// The project's name, once more.
    confirm: Option<String>,
}

/// Takes a project down: its environments stop, then its rows, repositories and images go.
#[utoipa::path(delete, path = "/api/v1/projects/{project}", operation_id = "deleteProject", tag = "project",
    params(("project" = ProjectName, Path), Confirmation),
    responses((status = 202), (status = "default", body = Problem)))]
pub(crate) async fn delete(
    State(cx): State<Cx>,
    Chosen(row): Chosen,
    InQuery(given): InQuery<Confirmation>,
) -> Result<StatusCode> {
    if given.confirm.as_deref() != Some(row.name.as_str()) {
        let problem =
            Problem::new("api.not-confirmed", format!("the deletion of `{}` was not confirmed", row.name))
                .state("nothing was changed")
                .hint("repeat the project's name:")
                .command(format!("naru project delete {} --confirm {}", row.name, row.name));
        return Err(Failure::refused(problem));
    }
    cx.store.delete_project(&row.name).await?;
    Ok(StatusCode::ACCEPTED)
}
