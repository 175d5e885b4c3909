//! A problem on a page: its five fields, commands ready to be copied.

use askama::Template;
use naru_model::Problem;

use super::html::Html;
use super::language::{Language, words};

words! {
    cause: "Cause", "원인";
    state: "State", "현재 상태";
    hint: "What to do", "해결 방법";
    code: "Code", "코드";
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Shown<'a> {
    w: Words,
    problem: &'a Problem,
    /// Each with whether it is a command.
    hints: Vec<(bool, &'a str)>,
}

/// The five fields.
pub(crate) fn show(language: Language, problem: &Problem) -> Html {
    let hints = problem.hint.iter().map(|line| match line.strip_prefix("$ ") {
        Some(command) => (true, command),
        None => (false, line.as_str()),
    });
    let shown = Shown { w: Words(language), problem, hints: hints.collect() };
    Html(shown.render().unwrap_or_default())
}
