//! Runs, steps and releases.

use std::collections::BTreeMap;

use naru_model::definition::parse;
use naru_model::pipeline::{RunState, StepGraph, StepRecord, StepState, TestSummary};
use naru_model::{CommitId, Digest, ImageReference, Problem, ReleaseNumber, RunNumber};
use naru_store::StoreError;
use naru_store::release::NewRelease;
use naru_store::run::{Begin, RunChange};
use naru_store::trigger::{Trigger, TriggerState};

use super::{Fixture, fixture};

const YAML: &str = "pipeline: { test: { image: rust, run: x } }\nservice: { build: {}, port: 80 }";

fn commit() -> CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

async fn trigger(f: &Fixture) -> Trigger {
    let id =
        f.store.request_run(&f.key.project, &"main".parse().unwrap(), &commit(), "tester").await.unwrap();
    f.store.trigger(id).await.unwrap().unwrap()
}

async fn begin(f: &Fixture) -> RunNumber {
    let definition = parse(YAML).unwrap();
    let steps = StepGraph::of(&definition).waiting();
    let begin = Begin::Queued { definition: &definition, steps: &steps };
    f.store.begin_run(&trigger(f).await, (&"main".parse().unwrap(), &commit()), begin).await.unwrap()
}

fn change(f: &Fixture, state: RunState) -> RunChange<'_> {
    RunChange {
        project: &f.key.project,
        number: RunNumber(1),
        state,
        note: "",
        steps: &[],
        problem: None,
        superseded_by: None,
        release: None,
        cleared: false,
    }
}

#[tokio::test]
async fn a_trigger_leads_to_one_run() {
    let f = fixture().await;
    let trigger = trigger(&f).await;
    let problem = Problem::new("definition.invalid", "broken");
    let branch = "main".parse().unwrap();
    let run = f.store.begin_run(&trigger, (&branch, &commit()), Begin::Failed(&problem)).await.unwrap();
    let again = f.store.begin_run(&trigger, (&branch, &commit()), Begin::Failed(&problem)).await;
    assert!(matches!(again, Err(StoreError::Stale(_))));
    assert!(
        f.store.run(&f.key.project, run.next()).await.unwrap().is_none(),
        "the second left nothing behind"
    );

    let settled = f.store.trigger(trigger.id).await.unwrap().unwrap();
    assert_eq!((settled.state, settled.run), (TriggerState::Run, Some(run)));
    let stored = f.store.run(&f.key.project, run).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.problem, stored.cleared), (RunState::Failed, Some(problem), true));
    assert!(f.store.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_successful_run_and_its_release_are_one_change() {
    let f = fixture().await;
    begin(&f).await;
    let image = ImageReference { name: "127.0.0.1:7070/shop/web".into(), digest: Digest::of(b"web") };
    let new = NewRelease {
        branch: "main".parse().unwrap(),
        commit: commit(),
        images: BTreeMap::from([("web".parse().unwrap(), image)]),
        definition: parse(YAML).unwrap(),
    };
    let done = RunChange { release: Some(&new), ..change(&f, RunState::Succeeded) };
    assert_eq!(f.store.change_run(&done).await.unwrap(), Some(ReleaseNumber(1)));
    assert!(f.store.change_run(&done).await.is_err(), "a run makes one release");
    let stale = f.store.change_run(&change(&f, RunState::Failed)).await;
    assert!(matches!(stale, Err(StoreError::Stale(_))), "what is over stays as it is");

    let release = f.store.latest_release(&f.key.project, None).await.unwrap().unwrap();
    assert_eq!((release.images, release.definition), (new.images, new.definition));
    let cleared = RunChange { cleared: true, ..change(&f, RunState::Succeeded) };
    f.store.change_run(&cleared).await.unwrap();
    let run = f.store.run(&f.key.project, RunNumber(1)).await.unwrap().unwrap();
    assert_eq!((run.release, run.cleared), (Some(ReleaseNumber(1)), true));
    assert!(run.finished_at.is_some());
}

#[tokio::test]
async fn a_log_that_was_completed_meanwhile_stays_complete() {
    let f = fixture().await;
    begin(&f).await;
    let mut step = f.store.run_steps(&f.key.project, RunNumber(1)).await.unwrap().remove(0);
    (step.state, step.attempt) = (StepState::Running, 1);
    let write = async |step| {
        let steps = [step];
        f.store.change_run(&RunChange { steps: &steps, ..change(&f, RunState::Running) }).await.unwrap();
    };
    write(step.clone()).await;
    let tests = TestSummary { passed: 9, failed: 1, skipped: 0, failed_names: vec!["cart::<b>".into()] };
    let end = async |tests: Option<&TestSummary>| {
        let of = (&step.name, 1);
        f.store.complete_step_log(&f.key.project, RunNumber(1), of, tests).await.unwrap();
    };
    end(Some(&tests)).await;
    write(step.clone()).await;
    let complete = async || {
        let stored = f.store.run_steps(&f.key.project, RunNumber(1)).await.unwrap().remove(0);
        (stored.log_complete, stored.tests)
    };
    assert_eq!(complete().await, (true, Some(tests.clone())));
    end(None).await;
    assert_eq!(complete().await, (true, Some(tests.clone())), "who is late knows less");
    write(StepRecord { attempt: 2, ..step.clone() }).await;
    assert_eq!(complete().await, (false, None), "the next attempt has its own log");
    end(Some(&tests)).await;
    assert_eq!(complete().await, (false, None), "the end of an earlier attempt says nothing about this one");
}
