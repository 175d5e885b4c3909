//! Why a run failed, for people: its first failed step, how that ended, and what it printed last.

use naru_model::Problem;
use naru_model::definition::NodeName;
use naru_model::pipeline::{StepRecord, StepState};
use naru_store::log::LogEntry;
use naru_store::run::Run;

use crate::plain::plain;
use crate::{Context, collect};

/// How many of a failed step's last lines are kept.
const LAST_LINES: usize = 5;
/// How far from its end a build's log is searched for the sign of a full disk, in lines.
const SEARCHED_LINES: usize = 100;
/// The most of one line, in characters.
const LINE_CHARS: usize = 400;
/// What a builder prints when the engine's disk is full, and what it hears when the registry's is.
const FULL: [&str; 2] = ["no space left on device", "507 insufficient storage"];

/// The problem of a failed run.
pub(crate) async fn of(cx: &Context, run: &Run, steps: &[StepRecord]) -> Problem {
    let failed = steps.iter().filter(|step| step.state == StepState::Failed).min_by_key(|step| step.finished);
    let Some(step) = failed else {
        return Problem::new("pipeline.step-failed", format!("run {} failed", run.number));
    };
    let lines = match cx.logs.tail(&collect::stream(run, &step.name), SEARCHED_LINES).await {
        Ok(page) => page.entries,
        Err(error) => {
            tracing::warn!(%error, "the last lines of a failed step could not be read");
            Vec::new()
        }
    };
    let problem = match &step.name {
        NodeName::Step(name) => step_failed(run, &format!("step `{name}`")),
        NodeName::Build(service) => match lines.iter().rev().find_map(sign_of_full_disk) {
            Some(sign) => disk_full(run, service.as_str()).cause(sign),
            None => step_failed(run, &format!("the build of `{service}`")),
        },
    };
    let exit = step.exit.iter().map(|exit| format!("it {exit}"));
    let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
    let last = last.map(|entry| plain(&entry.record.text).chars().take(LINE_CHARS).collect());
    exit.chain(last).fold(problem, Problem::cause).command(format!(
        "naru run logs {} --project {} --step {}",
        run.number,
        run.project,
        step.name.job_name()
    ))
}

fn step_failed(run: &Run, what: &str) -> Problem {
    Problem::new("pipeline.step-failed", format!("{what} of run {} failed", run.number))
        .state("no release was made; what serves keeps serving")
        .hint("read the whole log, correct the cause and push again:")
}

fn disk_full(run: &Run, service: &str) -> Problem {
    let summary = format!("the build of `{service}` of run {} found no room on the disk", run.number);
    Problem::new("pipeline.disk-full", summary)
        .state("no release was made; what serves keeps serving")
        .hint("make room on the disk of the data folder and push again; the whole log:")
}

/// The part of a line that tells of a full disk. Such lines can be long, and it comes last.
fn sign_of_full_disk(entry: &LogEntry) -> Option<String> {
    let text = entry.record.text.to_ascii_lowercase();
    let end = FULL.iter().find_map(|sign| text.find(sign).map(|at| at + sign.len()))?;
    let told: Vec<char> = entry.record.text[..end].chars().collect();
    Some(told[told.len().saturating_sub(LINE_CHARS / 2)..].iter().collect())
}
