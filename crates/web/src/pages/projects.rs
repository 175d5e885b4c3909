//! The list of projects: searched and paged on the server.

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
    name: "Project", "프로젝트";
    created: "Created", "만든 때";
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage<'a> {
    shell: &'a Shell,
    w: Words,
    projects: Vec<Project>,
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, Caller(caller): Caller) -> Result<Response> {
    let shell = shell.at(Section::Projects);
    let rows = cx.store.projects_page_of(&caller.login, "", 50).await?;
    let projects = rows.into_iter().map(|row| project::view(&cx, row)).collect();
    Ok(shell.page(&ProjectsPage { shell: &shell, w: Words(shell.language), projects }))
}
