//! A new project: an empty repository with the commands that push into it, or a first commit from a template.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::ProjectName;
use naru_model::api::{Check, CheckState, NewProject};
use naru_store::trigger::{NewTrigger, TriggerKind};
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::border::InQuery;
use crate::failure::Result;
use crate::routes::project::created;

use super::html::{Html, escape};
use super::language::words;
use super::shell::{Section, Shell};
use super::sign::Tone;

words! {
    title: "New project", "새 프로젝트";
    name: "Name", "이름";
    rule: "1 to 40 lower-case letters, digits and hyphens, starting with a letter; addresses and repositories are named after it",
        "영문 소문자로 시작하고 소문자, 숫자, - 만 써서 1~40자로 적어 주세요. 주소와 저장소 이름이 돼요";
    free(name): "{name} is free", "{name} 이름을 쓸 수 있어요";
    taken(name): "{name} is taken: choose another name", "{name} 이름은 이미 있어요. 다른 이름을 적어 주세요";
    begin: "Begin with", "시작 방법";
    empty: "An empty repository", "빈 저장소";
    empty_what: "you push what you have; a Dockerfile or a folder of static files deploys as it is",
        "가지고 있는 코드를 푸시해요. Dockerfile이나 정적 파일 폴더는 그대로 배포돼요";
    files: "A static site", "정적 사이트";
    files_what: "a page and a stylesheet, live in a moment", "페이지와 스타일시트 하나씩, 곧바로 운영돼요";
    docker: "A service with a Dockerfile", "Dockerfile이 있는 서비스";
    docker_what: "a small web server in Rust that is built in a container", "컨테이너에서 빌드하는 작은 Rust 웹 서버예요";
    create: "Create the project", "프로젝트 만들기";
    ready: "Before anything is built", "빌드 전 점검";
    all_good: "Everything that was looked at is as it should be.", "점검한 항목이 모두 정상이에요.";
}

/// What a project can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Empty,
    Files,
    Docker,
}

impl Start {
    fn named(name: &str) -> Self {
        match name {
            "static" => Self::Files,
            "docker" => Self::Docker,
            _ => Self::Empty,
        }
    }

    /// The files of its first commit.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Empty => &[],
            Self::Files => &[
                ("index.html", include_str!("../../starters/static/index.html")),
                ("style.css", include_str!("../../starters/static/style.css")),
            ],
            Self::Docker => &[
                ("Dockerfile", include_str!("../../starters/docker/Dockerfile")),
                ("naru.yaml", include_str!("../../starters/docker/naru.yaml")),
                ("src/main.rs", include_str!("../../starters/docker/src/main.rs")),
            ],
        }
    }
}

#[derive(Template)]
#[template(path = "new_project.html")]
struct NewPage<'a> {
    shell: &'a Shell,
    w: Words,
    name: &'a str,
    error: Option<String>,
    start: Start,
    /// What is not as it should be, or everything when nothing is.
    checks: Vec<Check>,
}

impl NewPage<'_> {
    fn begins(&self, name: &str) -> bool {
        self.start == Start::named(name)
    }

    fn mark(check: &Check) -> Html {
        match check.state {
            CheckState::Good => Tone::Good.bare(),
            CheckState::Attention => Tone::Attention.bare(),
            CheckState::Failed => Tone::Failed.bare(),
        }
    }
}

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    name: String,
    start: String,
}

/// The form, with what the machine has to say.
pub(crate) async fn form(State(cx): State<Cx>, shell: Shell, InQuery(filled): InQuery<Filled>) -> Response {
    show(&cx, shell, &filled, None).await
}

async fn show(
    cx: &Cx,
    shell: Shell,
    filled: &Filled,
    refused: Option<(StatusCode, &str, String)>,
) -> Response {
    let w = Words(shell.language);
    let shell = shell.at(Section::Projects).crumb("/new", w.title()).title(w.title());
    let (status, code, error) = match refused {
        Some((status, code, error)) => (status, code, Some(error)),
        None => (StatusCode::OK, "", None),
    };
    let page = NewPage {
        shell: &shell,
        w,
        name: &filled.name,
        error,
        start: Start::named(&filled.start),
        checks: cx.behind.doctor().await,
    };
    shell.refused(status, code, &page)
}

/// Makes the project. With a template it is built and delivered at once.
pub(crate) async fn create(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(filled): Form<Filled>,
) -> Result<Response> {
    let w = Words(shell.language);
    let Ok(name) = filled.name.trim().parse::<ProjectName>() else {
        let said = w.rule().to_owned();
        return Ok(show(&cx, shell, &filled, Some((StatusCode::BAD_REQUEST, "api.bad-name", said))).await);
    };
    if cx.store.project(&name).await?.is_some() {
        let said = w.taken(&name);
        return Ok(show(&cx, shell, &filled, Some((StatusCode::CONFLICT, "api.exists", said))).await);
    }
    let new = NewProject { name: name.clone(), organisation: None, default_branch: None };
    let project = created(&cx, &asking, new).await?;
    let files = Start::named(&filled.start).files();
    if !files.is_empty() {
        let (branch, by) = (&project.default_branch, asking.known.principal.login);
        let commit = cx.behind.first_commit(&name, branch, files, &by).await?;
        let reference = format!("refs/heads/{branch}");
        let asked = NewTrigger {
            project: name.clone(),
            kind: TriggerKind::Person,
            reference: reference.clone(),
            old: None,
            new: Some(commit.clone()),
            by,
        };
        cx.store.record_found_triggers(&name, &[asked], &BTreeMap::from([(reference, commit)])).await?;
    }
    Ok(Redirect::to(&format!("/projects/{name}")).into_response())
}

/// What is to be said about a name while it is typed, as one paragraph.
pub(crate) async fn check(
    State(cx): State<Cx>,
    shell: Shell,
    InQuery(filled): InQuery<Filled>,
) -> Result<Response> {
    let w = Words(shell.language);
    let (class, said) = match filled.name.trim().parse::<ProjectName>() {
        Err(_) if filled.name.is_empty() => ("rule", w.rule().to_owned()),
        Err(_) => ("wrong", w.rule().to_owned()),
        Ok(name) if cx.store.project(&name).await?.is_some() => ("wrong", w.taken(&name)),
        Ok(name) => ("rule right-now", w.free(&name)),
    };
    Ok(axum::response::Html(format!(r#"<p class="{class}">{}</p>"#, escape(&said))).into_response())
}
