//! A problem on a page: its five fields, commands ready to be copied.

use askama::Template;
use naru_model::Problem;

use super::html::Html;
use super::language::{Language, words};
use super::{meaning, sentence};

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
    /// What happened, in the reader's language.
    summary: &'a str,
    /// How the problem itself says it, where that is another language.
    original: Option<&'a str>,
    /// What helps, in the reader's language: words and, every second one, code.
    remedy: Vec<&'a str>,
    /// Each with whether it is a command.
    hints: Vec<(bool, &'a str)>,
}

/// The five fields.
pub(crate) fn show(language: Language, problem: &Problem) -> Html {
    let hints = problem.hint.iter().map(|line| match line.strip_prefix("$ ") {
        Some(command) => (true, command),
        None => (false, line.as_str()),
    });
    let meaning = meaning::of(language, problem.code.as_ref());
    let told = sentence::of_problem(language, problem);
    let shown = Shown {
        w: Words(language),
        problem: &told,
        summary: meaning.map_or(&problem.summary, |it| it.summary),
        original: meaning.map(|_| problem.summary.as_str()),
        remedy: meaning.map(|it| it.remedy.split('`').collect()).unwrap_or_default(),
        hints: hints.collect(),
    };
    Html(shown.render().unwrap_or_default())
}
