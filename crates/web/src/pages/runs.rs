//! The runs of a project, newest first.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::ProjectName;
use naru_model::api::{Page, Run};

use crate::Cx;
use crate::access::Chosen;
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::run::view;

use super::language::words;
use super::shell::{ProjectTab, Shell};

words! {
    run: "Run", "런";
    state: "State", "상태";
    branch: "Branch", "브랜치";
    commit: "Commit", "커밋";
    release: "Release", "릴리스";
    took: "Took", "소요";
    asked: "Asked for", "요청";
    nothing: "No run yet", "아직 런이 없어요";
    nothing_how: "Every push to a branch that an environment follows starts one:", "환경이 따르는 브랜치에 푸시하면 런이 시작돼요.";
    older: "Older runs", "이전 런";
    newest: "Newest runs", "최근 런";
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    push: String,
    runs: Page<Run>,
    is_first: bool,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Runs).await?;
    let project = &chosen.0;
    let rows = cx.store.runs(&project.name, paging.after_number(), paging.probe()).await?;
    let runs = rows.into_iter().map(view).collect();
    let page = RunsPage {
        shell: &shell,
        w: Words(shell.language),
        project: &project.name,
        push: format!("git push {}/git/{}.git {}", cx.address.base_url, project.name, project.default_branch),
        runs: paging.page(runs, |run: &Run| run.number.to_string()),
        is_first: paging.after.is_none(),
    };
    Ok(shell.page(&page))
}
