//! A project: what is said about it, the crossing of its newest change, and every environment at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::EnvironmentName;
use naru_model::api::{Environment, Project};
use naru_model::authorise::{Permission, Resource};

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::{FIRST, environment, project};

use super::crossing::{self, CrossingView};
use super::html::Html;
use super::language::words;
use super::shell::{self, ProjectTab, Shell};
use super::{about, favourite};

words! {
    environments: "Environments", "환경";
    environment: "Environment", "환경";
    state: "State", "상태";
    release: "Release", "릴리스";
    address: "Address", "주소";
    since: "Since", "시각";
    first: "Push to it, and it is built and delivered:", "푸시하면 바로 빌드하고 배포해요.";
    repository: "Repository", "저장소";
    source: "Source", "소스";
    deploy: "What should run", "배포 저장소";
    created: "Created", "만든 때";
    branch: "Default branch", "기본 브랜치";
}

/// Triggers that are looked through for the newest branch.
const RECENT: u32 = 20;

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage<'a> {
    shell: &'a Shell,
    w: Words,
    chosen: &'a Chosen,
    crossing: CrossingView,
    about: Html,
    star: Html,
    open_run: &'static str,
    environments: Vec<Environment>,
    project: Project,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
) -> Result<Response> {
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Overview).await?;
    let environments = environment::all(&cx, &asking, &chosen.0.name).await?;
    let newest = newest(&cx, &chosen, &environments).await?;
    let resource = Resource::Project(chosen.0.name.clone());
    let may_change = asking.may(&cx, Permission::Administer, &resource).await?;
    let project = project::seen(&cx, chosen.0.clone(), &asking.known.principal.login).await?;
    let page = ProjectPage {
        shell: &shell,
        w: Words(shell.language),
        chosen: &chosen,
        crossing: crossing::crossing(&cx, &shell, &chosen, newest).await?,
        about: about::show(&cx, &shell, &chosen.0, may_change).await?,
        star: favourite::star(&shell, &project.name, project.favourite),
        open_run: crossing::open_run(shell.language),
        environments,
        project,
    };
    Ok(shell.page(&page))
}

/// The environment that the newest change is on its way to.
async fn newest(cx: &Cx, chosen: &Chosen, environments: &[Environment]) -> Result<EnvironmentName> {
    let recent = cx.store.triggers(&chosen.0.name, None, RECENT).await?;
    let branch = recent.iter().find_map(naru_store::trigger::Trigger::branch);
    let follows = environments.iter().find(|environment| branch.is_some() && environment.branch == branch);
    let first = || environments.iter().find(|environment| environment.name.as_str() == FIRST);
    match follows.or_else(first).or(environments.first()) {
        Some(environment) => Ok(environment.name.clone()),
        None => Ok(FIRST.parse()?),
    }
}
