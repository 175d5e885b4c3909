//! The star beside a project: whether somebody keeps it at hand, and the button that changes it.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::ProjectName;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::favourite;

use super::answer::local;
use super::html::Html;
use super::language::words;
use super::shell::Shell;

words! {
    label(name): "Favourite: {name}", "즐겨찾기: {name}";
}

#[derive(Template)]
#[template(path = "star.html")]
struct Star<'a> {
    name: &'a ProjectName,
    label: String,
    favourite: bool,
    back: &'a str,
}

/// The star of a project; it leads back to this page.
pub(super) fn star(shell: &Shell, name: &ProjectName, favourite: bool) -> Html {
    let label = Words(shell.language).label(name);
    let star = Star { name, label, favourite, back: &shell.here };
    Html(star.render().unwrap_or_default())
}

/// What shall be, and where the form was.
#[derive(Deserialize)]
pub(crate) struct Wish {
    favourite: bool,
    #[serde(default)]
    back: String,
}

/// Keeps a project among the favourites, or no longer, and goes back.
pub(crate) async fn set(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    favourite::set(&cx, &asking, &project.name, wish.favourite).await?;
    Ok(Redirect::to(local(&wish.back)).into_response())
}
