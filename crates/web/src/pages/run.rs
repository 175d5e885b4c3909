//! A run: why it started, the graph of its steps, and what each of them printed.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Progress, Run, Step};
use naru_model::authorise::{Permission, Resource};
use naru_model::{ProjectName, RunNumber};
use naru_store::log::LogStream;
use naru_store::trigger::{Trigger, TriggerKind};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::log::{InStep, step_stream};
use crate::routes::run::{OneRun, detail, end, no_run};
use crate::routes::trigger;

use super::html::Html;
use super::language::{Language, words};
use super::shell::{ProjectTab, Shell};
use super::sign::Signed as _;
use super::step_tests::{self, StepTests};
use super::{graph, log, problem};

words! {
    run(number): "Run {number}", "런 {number}";
    is_waiting(number): "Run {number} waits for its turn", "런 {number}: 차례를 기다리는 중";
    is_moving(number): "Run {number} is under way", "런 {number}: 실행 중";
    is_done(number): "Run {number} succeeded", "런 {number}: 성공";
    is_failed(number): "Run {number} failed", "런 {number}: 실패";
    is_cancelled(number): "Run {number} was cancelled", "런 {number}: 취소됨";
    is_skipped(number): "Run {number} was skipped: a newer commit took its place", "런 {number}: 새 커밋이 있어 건너뜀";
    after(span): "after {span}", "소요 {span}";
    made(release): "and made release {release}", "릴리스 {release} 생성";
    why: "Why it started", "시작한 이유";
    by_push(who): "push by {who}", "{who} 푸시";
    by_person(who): "asked for by {who}", "{who} 요청";
    by_found(who): "the branch was moved without a push through Naru ({who})", "Naru를 거치지 않고 브랜치가 옮겨졌어요 ({who})";
    again: "again for the same commit", "같은 커밋으로 다시 실행";
    branch: "Branch", "브랜치";
    commit: "Commit", "커밋";
    release: "Release", "릴리스";
    steps: "Steps", "스텝";
    graph: "Steps and what they wait for", "스텝과 순서";
    rerun: "Run again", "다시 실행";
    cancel: "Cancel", "취소";
    attempts: "No step was planned for this run.", "이 런에는 계획된 스텝이 없어요.";
}

/// The label of the graph.
pub(super) fn graph_label(language: Language) -> &'static str {
    Words(language).graph()
}

/// A step with its log.
struct StepView {
    step: Step,
    is_open: bool,
    tests: Option<StepTests>,
    log: Html,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    run: &'a Run,
    sentence: String,
    problem: Html,
    why: Option<String>,
    trigger: Option<Trigger>,
    graph: Html,
    steps: Vec<StepView>,
    may_run: bool,
}

/// Which step is open, and where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Where {
    step: Option<String>,
    line: Option<u64>,
    /// Instead of the line's number: what it contains.
    find: Option<String>,
}

impl Where {
    /// The line that is asked for, from 1 on.
    async fn line(&self, cx: &Cx, stream: &LogStream) -> Result<Option<u64>> {
        match &self.find {
            Some(wanted) => log::first_line_with(cx, stream, wanted).await,
            None => Ok(self.line.filter(|line| *line > 0)),
        }
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<OneRun>,
    InQuery(place): InQuery<Where>,
) -> Result<Response> {
    let project = chosen.0.name.clone();
    let found = detail(&cx, &project, path.run).await?;
    let row = cx.store.run(&project, path.run).await?.ok_or_else(|| no_run(&project, path.run))?;
    let trigger = cx.store.trigger(row.trigger).await?;
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Runs).await?;
    let w = Words(shell.language);
    let here = format!("/projects/{project}/runs/{}", path.run);
    let shell = shell.crumb(&here, path.run.to_string()).title(format!("{} · {project}", w.run(path.run)));
    let graph = graph::draw(shell.language, &shell.reader, &found.steps);
    let problem = found.run.problem.as_ref().map(|it| problem::show(shell.language, it)).unwrap_or_default();
    let steps = steps(&cx, &shell, (&project, path.run), &here, found.steps, &place).await?;
    let page = RunPage {
        shell: &shell,
        w,
        project: &project,
        run: &found.run,
        sentence: sentence(&shell, w, &found.run),
        problem,
        why: trigger.as_ref().map(|trigger| why(w, trigger)),
        trigger,
        graph,
        steps,
        may_run: shell.may(&cx, Permission::Run, &Resource::Project(project.clone())).await,
    };
    Ok(shell.page(&page))
}

/// How it is, how long it took, what it made.
fn sentence(shell: &Shell, w: Words, run: &Run) -> String {
    let number = run.number;
    let mut sentence = match run.state {
        Progress::Waiting => w.is_waiting(number),
        Progress::Moving => w.is_moving(number),
        Progress::Done => w.is_done(number),
        Progress::Failed => w.is_failed(number),
        Progress::Cancelled => w.is_cancelled(number),
        Progress::Skipped => w.is_skipped(number),
    };
    if let (Some(from), Some(to)) = (run.started_at, run.finished_at) {
        sentence = format!("{sentence} {}", w.after(shell.reader.span(&from, &to)));
    }
    if let Some(release) = run.release {
        sentence = format!("{sentence} {}", w.made(release));
    }
    sentence
}

fn why(w: Words, trigger: &Trigger) -> String {
    match trigger.kind {
        TriggerKind::Push | TriggerKind::DeployPush => w.by_push(&trigger.by),
        TriggerKind::Person => w.by_person(&trigger.by),
        TriggerKind::Found => w.by_found(&trigger.by),
    }
}

/// The step that is worth looking at: the one asked for, else the first that failed, runs, or the last.
fn interesting(steps: &[Step], place: &Where) -> Option<String> {
    let by = |state: Progress| steps.iter().find(|step| step.state == state);
    let asked = place.step.as_ref().and_then(|name| steps.iter().find(|step| step.name == *name));
    let chosen = asked
        .or_else(|| by(Progress::Failed))
        .or_else(|| by(Progress::Moving))
        .or_else(|| steps.iter().rfind(|step| step.started_at.is_some()));
    chosen.map(|step| step.name.clone())
}

async fn steps(
    cx: &Cx,
    shell: &Shell,
    (project, run): (&ProjectName, RunNumber),
    here: &str,
    steps: Vec<Step>,
    place: &Where,
) -> Result<Vec<StepView>> {
    let open = interesting(&steps, place);
    let records = cx.store.run_steps(project, run).await?;
    let mut views = Vec::new();
    for step in steps {
        let is_open = open.as_deref() == Some(step.name.as_str());
        let record = records.iter().find(|record| record.name.to_string() == step.name);
        let is_over = record.is_some_and(|record| record.log_complete || record.state.is_over());
        let stream = step_stream(cx, project, &InStep { run, step: step.name.clone() }).await?;
        let line = if is_open && place.step.is_some() { place.line(cx, &stream).await? } else { None };
        let log_place = log::LogPlace::of_step(here, &step.name);
        let log = log::view(cx, shell, &stream, (&log_place, is_over, None), line).await?;
        let tests = step.tests.as_ref();
        let tests = tests.map(|tests| step_tests::view(shell.language, here, &step.name, tests));
        views.push(StepView { step, is_open, tests, log });
    }
    Ok(views)
}

/// Asks for the end of the run.
pub(crate) async fn cancel(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneRun>,
) -> Result<Response> {
    end(&cx, &project.name, path.run).await?;
    Ok(Redirect::to(&format!("/projects/{}/runs/{}", project.name, path.run)).into_response())
}

/// Asks for the same commit again. The new run comes to be with the pipeline's next look, so the list is shown.
pub(crate) async fn again(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OneRun>,
) -> Result<Response> {
    let row = cx.store.run(&project.name, path.run).await?;
    let row = row.ok_or_else(|| no_run(&project.name, path.run))?;
    trigger::repeat(&cx, &project.name, &row.trigger.to_string(), &caller.login).await?;
    Ok(Redirect::to(&format!("/projects/{}/runs", project.name)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, state: Progress) -> Step {
        let started_at = (state != Progress::Waiting).then_some(naru_model::Timestamp::UNIX_EPOCH);
        Step {
            name: name.to_owned(),
            needs: Vec::new(),
            state,
            started_at,
            finished_at: None,
            detail: None,
            tests: None,
        }
    }

    #[test]
    fn the_step_that_failed_is_open_unless_another_is_asked_for() {
        let steps = [
            step("fmt", Progress::Done),
            step("test", Progress::Failed),
            step("build:web", Progress::Skipped),
        ];
        let asked = |name: Option<&str>| Where { step: name.map(str::to_owned), ..Where::default() };
        assert_eq!(interesting(&steps, &asked(None)).as_deref(), Some("test"));
        assert_eq!(interesting(&steps, &asked(Some("fmt"))).as_deref(), Some("fmt"));
        assert_eq!(interesting(&steps, &asked(Some("<script>"))).as_deref(), Some("test"));
        assert_eq!(interesting(&steps[..1], &asked(None)).as_deref(), Some("fmt"));
        assert_eq!(interesting(&[], &asked(None)), None);
    }
}
