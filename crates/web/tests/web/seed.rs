//! Rows as the loops would have left them: runs with logs, releases, environments that serve.

use std::collections::BTreeMap;

use naru_model::definition::{NodeName, ProjectDefinition};
use naru_model::job::ExitReason;
use naru_model::pipeline::{RunState, StepRecord, StepState};
use naru_model::rollout::Status;
use naru_model::{
    CommitId, ConfigurationVersion, Digest, EnvironmentKey, Generation, Problem, ProjectName, ReleaseNumber,
    RevisionNumber, RunNumber, Timestamp,
};
use naru_store::environment::EnvironmentStatus;
use naru_store::log::{LogRecord, LogStream};
use naru_store::release::NewRelease;
use naru_store::revision::Revision;
use naru_store::run::{Begin, RunChange};
use naru_store::trigger::{NewTrigger, SettledIn, Settlement, TriggerKind, TriggerState};

use crate::world::World;

pub(crate) fn commit(content: &str) -> CommitId {
    CommitId::try_from(Digest::of(content.as_bytes()).hex()[..40].to_owned()).unwrap()
}

/// How a seeded run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    /// It is under way.
    Open,
}

fn definition() -> ProjectDefinition {
    let text = "pipeline:\n  test: { image: docker.io/library/rust:1.95, run: cargo test }\nservices:\n  web: { build: { needs: [test] }, port: 8080, volumes: { data: { path: /data, size: 1Gi } } }\n";
    naru_model::definition::parse(text).expect("the seed's definition is good")
}

fn step(name: &str, state: StepState, at: Timestamp) -> StepRecord {
    let name: NodeName = name.parse().unwrap();
    let mut record = StepRecord::waiting(name);
    record.state = state;
    if !matches!(state, StepState::Waiting | StepState::Skipped) {
        (record.attempt, record.started) = (1, Some(at));
    }
    if state.is_over() && record.started.is_some() {
        record.finished = Some(at + jiff::SignedDuration::from_secs(72));
        record.log_complete = true;
        let code = i32::from(state == StepState::Failed) * 101;
        record.exit = Some(ExitReason::Exited { code });
    }
    record
}

/// A push and the run that it led to. `message` is what somebody else chose.
pub(crate) async fn run(world: &World, project: &ProjectName, by: &str, ending: Ending) -> RunNumber {
    let number = world.store.runs(project, None, 1).await.unwrap().first().map_or(1, |run| run.number.0 + 1);
    let commit = commit(&format!("{project} {number}"));
    let pushed = NewTrigger {
        project: project.clone(),
        kind: TriggerKind::Push,
        reference: "refs/heads/main".to_owned(),
        old: None,
        new: Some(commit.clone()),
        by: by.to_owned(),
    };
    let id = world.store.receive_triggers(&[pushed]).await.unwrap()[0];
    let accepted = Settlement { id, state: TriggerState::Accepted, detail: String::new() };
    let heads = BTreeMap::from([("refs/heads/main".to_owned(), commit.clone())]);
    world.store.settle_triggers(project, &[accepted], SettledIn::Source(&heads)).await.unwrap();
    let trigger = world.store.trigger(id).await.unwrap().unwrap();
    let (definition, branch, now) = (definition(), "main".parse().unwrap(), world.store.now());
    let (test, build) = match ending {
        Ending::Success => (StepState::Succeeded, StepState::Succeeded),
        Ending::Failure => (StepState::Failed, StepState::Skipped),
        Ending::Open => (StepState::Running, StepState::Waiting),
    };
    let steps = [step("test", test, now), step("build:web", build, now)];
    let begin = Begin::Queued { definition: &definition, steps: &steps };
    let number = world.store.begin_run(&trigger, (&branch, &commit), begin).await.unwrap();
    let change = |state, problem, release| RunChange {
        project,
        number,
        state,
        note: "",
        steps: &steps,
        problem,
        superseded_by: None,
        release,
        cleared: state != RunState::Running,
    };
    world.store.change_run(&change(RunState::Running, None, None)).await.unwrap();
    let problem = Problem::new("pipeline.step-failed", format!("step `test` of run {number} failed"))
        .cause("exited with code 101 after 72 s")
        .cause("assertion `left == right` failed: <script>alert(1)</script>")
        .state("what serves keeps serving")
        .hint("read its output, correct the cause, push again:")
        .command(format!("naru run logs {number} --project {project}"));
    let release = NewRelease {
        branch: branch.clone(),
        commit,
        images: BTreeMap::new(),
        definition: definition.clone(),
    };
    match ending {
        Ending::Success => {
            let done = change(RunState::Succeeded, None, Some(&release));
            world.store.change_run(&done).await.unwrap();
        }
        Ending::Failure => {
            world.store.change_run(&change(RunState::Failed, Some(&problem), None)).await.unwrap();
        }
        Ending::Open => {}
    }
    number
}

/// What a step printed.
pub(crate) fn log_of(project: &ProjectName, run: RunNumber, step: &str) -> LogStream {
    let name: NodeName = step.parse().unwrap();
    LogStream::Step { project: project.clone(), run, step: name.job_name() }
}

/// Adds lines to the log of a step.
pub(crate) async fn printed(world: &World, stream: &LogStream, lines: impl IntoIterator<Item = String>) {
    let at = world.store.now();
    let record = |text| LogRecord { at, source: String::new(), text };
    let records: Vec<LogRecord> = lines.into_iter().map(record).collect();
    for batch in records.chunks(20_000) {
        world.logs.append(stream, batch.to_vec()).await.unwrap();
    }
}

/// An environment that serves the newest of so many revisions, as it is.
pub(crate) async fn environment(
    world: &World,
    project: &ProjectName,
    name: &str,
    revisions: u32,
    status: Status,
) {
    let key = EnvironmentKey { project: project.clone(), environment: name.parse().unwrap() };
    let branch = (name == "production").then(|| "main".parse().unwrap());
    world.store.ensure_environment(&key, branch.as_ref()).await.unwrap();
    let revision = |number: u32| Revision {
        number: RevisionNumber(number),
        commit: commit(&format!("{name} {number}")),
        release: Some(ReleaseNumber(number)),
        configuration: ConfigurationVersion(0),
        author: "minji".into(),
        message: format!("Deliver release {number} to {name}"),
        created_at: world.store.now(),
    };
    let history: Vec<_> = (1..=revisions).map(revision).collect();
    world.store.cache_revisions(&key, &history).await.unwrap();
    world.store.aim(&key, RevisionNumber(revisions), &[], false).await.unwrap();
    world.store.mark_switched(&key, Generation(1), RevisionNumber(revisions)).await.unwrap();
    let status = EnvironmentStatus::Reconciled { status };
    world.store.set_status(&key, Generation(1), &status).await.unwrap();
}
