//! Triggers and runs.

use naru_model::api::{self, Page, Progress, RunDetail};
use naru_model::{Problem, ProjectName, RunNumber};

use crate::arguments::project::{Run, Trigger};
use crate::client::Client;
use crate::commands::{encoded, log, more, query};
use crate::exit::{CliError, MISSING, Result};
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn trigger(command: Trigger, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Trigger::List { place, paging } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/triggers{}", query(&paging));
            screen.show(&client.get::<Page<api::Trigger>>(&path).await?, triggers);
        }
        Trigger::Replay { id, place } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/triggers/{}/replay", encoded(&id));
            let answer = client.post::<api::Trigger>(&path, &serde_json::json!({})).await?;
            screen.show(&answer, |screen, trigger| {
                screen.line(format!("asked again as trigger {}", trigger.id));
            });
        }
    }
    Ok(())
}

fn triggers(screen: &mut Screen, page: &Page<api::Trigger>) {
    let row = |trigger: &api::Trigger| {
        vec![
            trigger.id.clone(),
            screen.time(trigger.received_at),
            format!("{} by {}", trigger.kind, trigger.by),
            trigger.reference.clone(),
            trigger.commit.as_ref().map(|commit| commit.short().to_owned()).unwrap_or_default(),
            became(trigger),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(&["id", "received", "what", "branch", "commit", "became"], &rows, "nothing was pushed yet");
    more(screen, page);
}

fn became(trigger: &api::Trigger) -> String {
    match (&trigger.run, &trigger.detail) {
        (Some(run), _) => format!("run {run}"),
        (None, Some(detail)) => format!("{}: {detail}", trigger.state),
        (None, None) => trigger.state.clone(),
    }
}

pub(crate) async fn run(command: Run, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Run::List { place, paging } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/runs{}", query(&paging));
            screen.show(&client.get::<Page<api::Run>>(&path).await?, runs);
        }
        Run::Show { number, place } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let number = chosen(&client, &project, number).await?;
            let answer =
                client.get::<RunDetail>(&format!("/api/v1/projects/{project}/runs/{number}")).await?;
            screen.show(&answer, show);
        }
        Run::Logs { number, place, step, follow, times } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let number = chosen(&client, &project, number).await?;
            log::steps(&client, (&project, number), step, log::How { follow, times }, screen).await?;
        }
        Run::Cancel { number, place } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/runs/{number}/cancel");
            let answer = client.post::<RunDetail>(&path, &serde_json::json!({})).await?;
            screen.show(&answer, |screen, detail| {
                screen.line(format!("run {} is being stopped", detail.run.number));
            });
        }
    }
    Ok(())
}

/// The run that was named, or the newest.
async fn chosen(client: &Client, project: &ProjectName, number: Option<RunNumber>) -> Result<RunNumber> {
    if let Some(number) = number {
        return Ok(number);
    }
    let newest =
        client.get::<Page<api::Run>>(&format!("/api/v1/projects/{project}/runs?limit=1")).await?.view;
    newest.items.first().map(|run| run.number).ok_or_else(|| {
        let problem = Problem::new("cli.no-run", format!("`{project}` has no run yet"))
            .hint("push a commit; see what became of it with:")
            .command(format!("naru trigger list --project {project}"));
        CliError::new(MISSING, problem)
    })
}

/// A run's or step's state as tone and word.
pub(crate) fn progress(state: Progress) -> (Tone, &'static str) {
    match state {
        Progress::Waiting => (Tone::Quiet, "waiting"),
        Progress::Moving => (Tone::Moving, "moving"),
        Progress::Done => (Tone::Good, "done"),
        Progress::Failed => (Tone::Failed, "failed"),
        Progress::Cancelled => (Tone::Attention, "cancelled"),
        Progress::Skipped => (Tone::Quiet, "skipped"),
    }
}

fn state(screen: &Screen, state: Progress) -> String {
    let (tone, word) = progress(state);
    screen.state(tone, word)
}

fn runs(screen: &mut Screen, page: &Page<api::Run>) {
    let row = |run: &api::Run| {
        let summary = run.problem.as_ref().map(|problem| problem.summary.clone());
        vec![
            run.number.to_string(),
            state(screen, run.state),
            run.branch.clone(),
            run.commit.short().to_owned(),
            screen.time(run.created_at),
            run.release.map(|release| format!("release {release}")).or(summary).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(&["run", "state", "branch", "commit", "asked", "made"], &rows, "no run yet; push a commit");
    more(screen, page);
}

fn show(screen: &mut Screen, detail: &RunDetail) {
    let run = &detail.run;
    let pairs = [
        ("run", Some(run.number.to_string())),
        ("state", Some(state(screen, run.state))),
        ("branch", Some(run.branch.clone())),
        ("commit", Some(run.commit.to_string())),
        ("asked", Some(screen.time(run.created_at))),
        ("started", run.started_at.map(|at| screen.time(at))),
        ("ended", run.finished_at.map(|at| screen.time(at))),
        ("release", run.release.map(|release| release.to_string())),
    ];
    screen.pairs(&pairs);
    screen.line("");
    let row = |step: &api::Step| {
        let took = match (step.started_at, step.finished_at) {
            (Some(from), Some(to)) => format!("{} s", to.as_second() - from.as_second()),
            _ => String::new(),
        };
        let tests = step.tests.as_ref().map(ToString::to_string).unwrap_or_default();
        let detail = step.detail.clone().unwrap_or_default();
        vec![step.name.clone(), state(screen, step.state), took, step.needs.join(", "), tests, detail]
    };
    let rows: Vec<_> = detail.steps.iter().map(row).collect();
    screen.table(&["step", "state", "took", "needs", "tests", "detail"], &rows, "this run has no steps");
    detail.steps.iter().for_each(|step| failed_tests(screen, step));
    if let Some(problem) = &run.problem {
        screen.line("");
        screen.problem(problem);
    }
}

/// The failed tests of a step, as far as their runner named them.
fn failed_tests(screen: &mut Screen, step: &api::Step) {
    let Some(tests) = step.tests.as_ref().filter(|tests| !tests.failed_names.is_empty()) else { return };
    screen.line("");
    screen.line(format!("failed in {}:", step.name));
    for name in &tests.failed_names {
        screen.line(format!("  {name}"));
    }
    if tests.unnamed() > 0 {
        screen.line(format!("  and {} more, in the log", tests.unnamed()));
    }
}
