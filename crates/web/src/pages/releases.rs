//! Releases: what successful runs made, where each serves, and its promotion from one environment to the next.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Environment, Page, Promote, Release};
use naru_model::{EnvironmentKey, EnvironmentName, ProjectName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::release::{OneRelease, no_release, view};
use crate::routes::{InEnvironment, environment, rollout};

use super::environment::may_deploy;
use super::language::words;
use super::shell::{ProjectTab, Shell, environment_path};

words! {
    release: "Release", "릴리스";
    release_number(number): "Release {number}", "릴리스 {number}";
    commit: "Commit", "커밋";
    branch: "Branch", "브랜치";
    run: "Run", "런";
    images: "Images", "이미지";
    serves_in: "Serves in", "운영 중인 환경";
    nowhere: "nowhere", "없음";
    made: "Made", "생성";
    nothing: "No release yet", "아직 릴리스가 없어요";
    nothing_how: "A release is made by every run that succeeds:", "성공한 런마다 릴리스가 하나 생겨요.";
    older: "Older releases", "이전 릴리스";
    newest: "Newest releases", "최근 릴리스";
    service: "Service", "서비스";
    digest: "Image by digest", "이미지 다이제스트";
    deploy_to: "Deploy to", "배포할 환경";
    deploy: "Deploy", "배포";
    deploy_what: "The same images, with the settings of that environment. A person's deploy also lifts the release's quarantine there.",
        "같은 이미지를 그 환경의 설정값으로 배포해요. 직접 배포하면 그 환경의 격리도 풀려요.";
}

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    releases: Page<Release>,
    environments: Vec<Environment>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    release: &'a Release,
    environments: Vec<Environment>,
    /// The environments where who is asking may deploy.
    places: Vec<EnvironmentName>,
}

/// The environments in which a release serves.
fn places<'a>(release: &Release, environments: &'a [Environment]) -> Vec<&'a EnvironmentName> {
    let serves = environments.iter().filter(|environment| environment.release == Some(release.number));
    serves.map(|environment| &environment.name).collect()
}

/// The list.
pub(crate) async fn list(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Releases).await?;
    let project = &chosen.0.name;
    let rows = cx.store.releases(project, paging.after_number(), paging.probe()).await?;
    let page = ReleasesPage {
        shell: &shell,
        w: Words(shell.language),
        project,
        releases: paging.page(rows.into_iter().map(view).collect(), |it: &Release| it.number.to_string()),
        environments: environment::all(&cx, &asking, project).await?,
        is_first: paging.after.is_none(),
    };
    Ok(shell.page(&page))
}

/// One release.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InPath(path): InPath<OneRelease>,
) -> Result<Response> {
    let project = &chosen.0.name;
    let row = cx.store.release(project, path.release).await?;
    let release = view(row.ok_or_else(|| no_release(project, path.release))?);
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Releases).await?;
    let w = Words(shell.language);
    let shell = shell
        .crumb(format!("/projects/{project}/releases/{}", release.number), release.number.to_string())
        .title(format!("{} · {project}", w.release_number(release.number)));
    let environments = environment::all(&cx, &asking, project).await?;
    let mut places = Vec::new();
    for environment in &environments {
        let key = EnvironmentKey { project: project.clone(), environment: environment.name.clone() };
        if may_deploy(&cx, &shell, &key).await {
            places.push(key.environment);
        }
    }
    let page = ReleasePage { shell: &shell, w, project, release: &release, environments, places };
    Ok(shell.page(&page))
}

/// From which environment.
#[derive(Deserialize)]
pub(crate) struct From {
    from: EnvironmentName,
}

/// Delivers what serves in another environment.
pub(crate) async fn promote(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<From>,
) -> Result<Response> {
    let key = EnvironmentKey { project: chosen.0.name.clone(), environment: path.environment };
    let wish = Promote { from: wish.from, force: false };
    rollout::carry_over(&cx, &asking, &chosen, &key, wish, &caller.login).await?;
    Ok(Redirect::to(&environment_path(&key.project, key.environment.as_str())).into_response())
}
