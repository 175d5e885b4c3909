//! How a story ended: everything that must be the same, wherever it was cut off.

use std::collections::BTreeMap;

use naru_engine::Engine as _;
use naru_model::job::JobScope;
use naru_model::{ProjectName, RevisionNumber};
use naru_store::environment::Environment;
use naru_store::intent::IntentState;
use naru_store::log::{Cursor, LogStream};
use naru_store::revision::Outcome;
use naru_store::trigger::TriggerState;
use naru_testkit::rig::Rig;

use crate::story::production;

/// What must be the same at the end, however it was reached.
#[derive(Debug, PartialEq)]
pub(super) struct End {
    pub(super) serving: Option<RevisionNumber>,
    pub(super) target: Option<RevisionNumber>,
    pub(super) revisions: Vec<(u32, Option<u32>, u32, String)>,
    pub(super) replicas: Vec<(String, u32, u32)>,
    pub(super) routes: Vec<(String, usize)>,
    pub(super) jobs: BTreeMap<String, usize>,
    /// How the rollout of each revision ended.
    pub(super) outcomes: Vec<(u32, Outcome)>,
    pub(super) quarantined: Vec<u32>,
    pub(super) waiting: usize,
    pub(super) runs: Vec<RunEnd>,
    pub(super) images: Vec<(String, String, Vec<String>)>,
    pub(super) files: Vec<String>,
    /// Jobs that the engine still has.
    pub(super) left: Vec<JobScope>,
}

/// A run at the end: its commit, its state, its release, its steps with attempt and log.
#[derive(Debug, PartialEq)]
pub(super) struct RunEnd {
    commit: String,
    state: String,
    release: Option<u32>,
    steps: Vec<(String, String, u32, Vec<String>)>,
}

/// Runs, oldest first. Every push that was taken has exactly one; a push that broke off has none.
async fn runs(rig: &Rig, project: &ProjectName) -> Vec<RunEnd> {
    let mut runs = rig.store.runs(project, None, 100).await.unwrap();
    runs.reverse();
    for trigger in rig.store.triggers(project, None, 100).await.unwrap() {
        let its: Vec<_> = runs.iter().filter(|run| run.trigger == trigger.id).collect();
        match trigger.state {
            TriggerState::Run => assert_eq!(its.len(), 1, "{trigger:?}"),
            TriggerState::Rejected => {
                assert_eq!(trigger.detail, "the push broke off before it took effect");
                assert!(its.is_empty(), "{trigger:?}");
            }
            _ => panic!("a push came to nothing: {trigger:?}"),
        }
    }
    let mut ends = Vec::new();
    for run in runs {
        let mut steps = Vec::new();
        for step in rig.store.run_steps(project, run.number).await.unwrap() {
            let stream =
                LogStream::Step { project: project.clone(), run: run.number, step: step.name.job_name() };
            let log = rig.delivery.logs.read(&stream, Cursor::default(), 100).await.unwrap();
            let lines = log.entries.into_iter().map(|entry| entry.record.text).collect();
            steps.push((step.name.to_string(), step.state.to_string(), step.attempt, lines));
        }
        ends.push(RunEnd {
            commit: run.commit.to_string(),
            state: run.state.to_string(),
            release: run.release.map(|release| release.0),
            steps,
        });
    }
    ends
}

/// The files below a folder, sorted.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.display().to_string()) }
        }
    }
    found.sort();
    let root = folder.display().to_string();
    found.into_iter().map(|path| path.replace(&root, "")).collect()
}

pub(super) async fn end(rig: &Rig) -> End {
    let project: ProjectName = "shop".parse().unwrap();
    let key = production(&project);
    let environment: Environment = rig.store.environment(&key).await.unwrap().unwrap();
    let revisions = rig.store.revisions(&key, 100).await.unwrap();
    let mut jobs = BTreeMap::new();
    for start in rig.world.fake.started_jobs() {
        *jobs.entry(start.key.to_string()).or_default() += 1;
    }
    let mut outcomes = Vec::new();
    for revision in &revisions {
        let rollout = rig.store.rollout(&key, revision.number).await.unwrap();
        outcomes.extend(rollout.map(|rollout| (revision.number.0, rollout.outcome)));
    }
    let images = rig.store.images(&project).await.unwrap();
    let intent = rig.store.newest_intent(&key).await.unwrap().unwrap();
    assert_eq!(intent.state, IntentState::Done);
    End {
        serving: environment.serving,
        target: environment.target,
        revisions: revisions
            .iter()
            .map(|revision| {
                (
                    revision.number.0,
                    revision.release.map(|release| release.0),
                    revision.configuration.0,
                    revision.message.clone(),
                )
            })
            .collect(),
        replicas: rig
            .world
            .fake
            .truth(&key)
            .replicas
            .iter()
            .map(|replica| (replica.key.service.to_string(), replica.key.revision.0, replica.key.index))
            .collect(),
        routes: rig
            .world
            .fake
            .table(&key)
            .unwrap()
            .routes
            .iter()
            .map(|route| (route.host.clone(), route.backends.len()))
            .collect(),
        jobs,
        outcomes,
        quarantined: rig.store.quarantined(&key).await.unwrap().iter().map(|bad| bad.revision.0).collect(),
        waiting: rig.store.pending_intents(&project).await.unwrap().len(),
        runs: runs(rig, &project).await,
        images: images
            .into_iter()
            .map(|image| {
                let tags = image.tags.iter().map(ToString::to_string).collect();
                (image.repository.name.to_string(), image.digest.to_string(), tags)
            })
            .collect(),
        files: files(&rig.path("blobs")),
        left: rig.world.fake.job_scopes().await.unwrap(),
    }
}
