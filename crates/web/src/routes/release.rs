//! Releases, and the wish to deliver one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Deploy, Intent, Page, Release};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, ReleaseNumber};
use naru_store::intent::IntentKind;
use naru_store::project::Project;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{Body, InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::intent::recorded;
use crate::routes::{InEnvironment, no_environment};

/// A release as people see it.
pub(crate) fn view(row: naru_store::release::Release) -> Release {
    Release {
        number: row.number,
        commit: row.commit,
        branch: row.branch.to_string(),
        run: row.run,
        created_at: row.created_at,
        images: row
            .images
            .into_iter()
            .map(|(service, image)| (service.to_string(), image.to_string()))
            .collect(),
    }
}

/// The releases of a project, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases", operation_id = "listReleases", tag = "release",
    params(("project" = ProjectName, Path), Paging),
    responses((status = 200, body = Page<Release>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Release>>> {
    let rows = cx.store.releases(&project.name, paging.after_number(), paging.probe()).await?;
    let releases = rows.into_iter().map(view).collect();
    Ok(Json(paging.page(releases, |release: &Release| release.number.to_string())))
}

/// `{release}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneRelease {
    pub(crate) release: ReleaseNumber,
}

pub(crate) fn no_release(project: &ProjectName, number: ReleaseNumber) -> Failure {
    Failure::missing(
        format!("release {number} of project `{project}`"),
        &format!("naru release list --project {project}"),
    )
}

/// One release.
#[utoipa::path(get, path = "/api/v1/projects/{project}/releases/{release}", operation_id = "showRelease",
    tag = "release", params(("project" = ProjectName, Path), ("release" = ReleaseNumber, Path)),
    responses((status = 200, body = Release), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneRelease>,
) -> Result<Json<Release>> {
    let row = cx.store.release(&project.name, path.release).await?;
    row.map(|row| Json(view(row))).ok_or_else(|| no_release(&project.name, path.release))
}

/// Delivers a release to an environment. A person's deploy also lifts the release's quarantine there.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/deploy",
    operation_id = "deploy", tag = "environment", request_body = Deploy,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 202, body = Intent), (status = "default", body = Problem)))]
pub(crate) async fn deploy(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(wish): Body<Deploy>,
) -> Result<(StatusCode, Json<Intent>)> {
    let key = EnvironmentKey { project: project.name.clone(), environment: path.environment };
    Ok((StatusCode::ACCEPTED, Json(deliver(&cx, &project, &key, wish.release, &caller.login).await?)))
}

/// Records the wish to deliver a release, or the newest.
pub(crate) async fn deliver(
    cx: &Cx,
    project: &Project,
    key: &EnvironmentKey,
    release: Option<ReleaseNumber>,
    login: &str,
) -> Result<Intent> {
    let row = cx.store.environment(key).await?;
    let release = if let Some(number) = release {
        let named = cx.store.release(&project.name, number).await?;
        named.ok_or_else(|| no_release(&project.name, number))?
    } else {
        let branch = row.as_ref().and_then(|row| row.branch.as_ref());
        let newest = cx.store.latest_release(&project.name, branch).await?;
        newest.ok_or_else(|| nothing_to_deploy(&project.name))?
    };
    if row.is_none() {
        // An environment comes to be with its first release, if that release knows it.
        if !release.definition.environments(&project.default_branch).contains_key(&key.environment) {
            return Err(no_environment(key));
        }
        cx.store.ensure_environment(key, None).await?;
    }
    let id = cx.store.intend(key, &IntentKind::Deploy { release: release.number }, login).await?;
    recorded(cx, key, id).await
}

fn nothing_to_deploy(project: &ProjectName) -> Failure {
    let problem = Problem::new("api.no-release", format!("`{project}` has no release yet"))
        .cause("a release is made by the first run that succeeds")
        .command(format!("naru run list --project {project}"));
    Failure::new(StatusCode::CONFLICT, problem)
}
