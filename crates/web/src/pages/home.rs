//! Home: what needs me, and my projects.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::Project;

use crate::Cx;
use crate::access::Caller;
use crate::failure::Result;
use crate::routes::project;

use super::language::words;
use super::shell::{Section, Shell};

words! {
    projects: "Projects", "프로젝트";
    nothing: "There is no project yet", "아직 프로젝트가 없어요";
    nothing_how: "Make one from a terminal, then push to it:", "터미널에서 프로젝트를 만들고 푸시해 보세요.";
}

/// Projects shown on the page; the list has them all.
const SHOWN: u32 = 20;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    shell: &'a Shell,
    w: Words,
    projects: Vec<Project>,
    base_url: &'a str,
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, Caller(caller): Caller) -> Result<Response> {
    let shell = shell.at(Section::Home);
    let rows = cx.store.projects_page_of(&caller.login, "", SHOWN).await?;
    let page = HomePage {
        shell: &shell,
        w: Words(shell.language),
        projects: rows.into_iter().map(|row| project::view(&cx, row)).collect(),
        base_url: &cx.address.base_url,
    };
    Ok(shell.page(&page))
}
