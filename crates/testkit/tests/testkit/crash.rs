//! A recorded story, from the first push to a rollback, is repeated with a crash before and after each of its effects.
//! After a cold restart it must end the same: every push has its run, nothing is run twice that must not be, no orphan,
//! no route to what is not ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use naru_engine::Engine as _;
use naru_engine::fake::JobScript;
use naru_model::job::JobScope;
use naru_model::{ProjectName, RevisionNumber};
use naru_store::environment::Environment;
use naru_store::intent::{IntentKind, IntentState};
use naru_store::log::{Cursor, LogStream};
use naru_store::trigger::TriggerState;
use naru_testkit::crash::CrashAt;
use naru_testkit::person::{Commit, Image, commits};
use naru_testkit::rig::{Rig, World};

use crate::story::{MINUTE, production};

const NARU_YAML: &str = "
pipeline:
  test: { image: rust, run: cargo test }
services:
  web:
    build: { needs: [test], dockerfile: Dockerfile }
    port: 8080
    volumes: { data: { path: /data } }
  worker: { image: web, run: ./worker }
release: { service: web, run: ./migrate up }
";

/// Two commits of the same service.
async fn two_commits() -> Vec<Commit> {
    let files =
        |page: &'static str| [("Dockerfile", "FROM scratch\n"), ("naru.yaml", NARU_YAML), ("page", page)];
    commits(&[&files("one"), &files("two")]).await
}

/// A world in which builds leave the images that the builder pushes, and steps print something.
fn world_of(commits: &[Commit]) -> World {
    let world = World::default();
    let prints = vec!["12 tests".to_owned(), "ok".to_owned()];
    world.fake.script_jobs("-test-", JobScript { prints, ..JobScript::default() });
    for (run, commit) in (1..).zip(commits) {
        let digest = Some(Image::of(&commit.id).digest());
        let build = JobScript { digest, prints: vec![format!("building {run}")], ..JobScript::default() };
        world.fake.script_jobs(&format!("shop-run-{run}-build-"), build);
    }
    world
}

/// A push, another, a variable, and the way back. Can be begun again at any point: each part first looks whether it was
/// done.
async fn story(rig: &Rig, commits: &[Commit]) {
    let project = rig.create_project("shop").await;
    let key = production(&project);
    rig.settle(3 * MINUTE).await;
    let head = rig.front.sources.head(&project, &"main".parse().unwrap()).await.unwrap();
    let done = commits.iter().position(|commit| Some(&commit.id) == head.as_ref()).map_or(0, |last| last + 1);
    for commit in &commits[done..] {
        rig.front.push(&project, commit).await;
        rig.settle(3 * MINUTE).await;
    }
    let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("blue".to_owned()))]);
    let revisions = rig.store.revisions(&key, 10).await.unwrap();
    if revisions.len() < 3 {
        rig.store.change_configuration(&key, &set, "mina").await.unwrap();
        rig.settle(3 * MINUTE).await;
    }
    let rollback = IntentKind::Rollback { revision: RevisionNumber(1) };
    let asked = rig.store.newest_intent(&key).await.unwrap().is_some_and(|intent| intent.kind == rollback);
    if !asked {
        rig.store.intend(&key, &rollback, "mina").await.unwrap();
    }
    rig.settle(3 * MINUTE).await;
}

/// What must be the same at the end, however it was reached.
#[derive(Debug, PartialEq)]
struct End {
    serving: Option<RevisionNumber>,
    target: Option<RevisionNumber>,
    revisions: Vec<(u32, Option<u32>, u32, String)>,
    replicas: Vec<(String, u32, u32)>,
    routes: Vec<(String, usize)>,
    jobs: BTreeMap<String, usize>,
    quarantined: Vec<u32>,
    waiting: usize,
    runs: Vec<RunEnd>,
    images: Vec<(String, String, Vec<String>)>,
    files: Vec<String>,
    /// Jobs that the engine still has.
    left: Vec<JobScope>,
}

/// A run at the end: its commit, its state, its release, its steps with attempt and log.
#[derive(Debug, PartialEq)]
struct RunEnd {
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

async fn end(rig: &Rig) -> End {
    let project: ProjectName = "shop".parse().unwrap();
    let key = production(&project);
    let environment: Environment = rig.store.environment(&key).await.unwrap().unwrap();
    let revisions = rig.store.revisions(&key, 100).await.unwrap();
    let mut jobs = BTreeMap::new();
    for start in rig.world.fake.started_jobs() {
        *jobs.entry(start.key.to_string()).or_default() += 1;
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

/// One life of the process: when it is over, nothing of it goes on.
fn live<T>(life: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(life)
}

/// A life that ends at the given side of an effect, and the next one, which finishes the story.
fn crash_and_finish(commits: &[Commit], index: usize) -> (World, End) {
    let world = world_of(commits);
    live(async {
        let crash = Arc::new(CrashAt::point(index + 1));
        let begun = async {
            let rig = Rig::start(&world, crash.clone()).await;
            story(&rig, commits).await;
        };
        tokio::select! {
            () = crash.crashed() => {}
            () = begun => panic!("effect {index} was not reached again"),
        }
    });
    let reached = live(async {
        let rig = Rig::start(&world, Arc::new(CrashAt::never())).await;
        story(&rig, commits).await;
        end(&rig).await
    });
    (world, reached)
}

/// Crashes at every `SHARDS`-th side of an effect, from `shard` on; the shards together leave none out.
fn crash_at_every_effect_of(shard: usize) {
    let commits = live(two_commits());
    let world = world_of(&commits);
    let recorded = Arc::new(CrashAt::never());
    let expected = live(async {
        let rig = Rig::start(&world, recorded.clone()).await;
        story(&rig, &commits).await;
        end(&rig).await
    });
    assert_eq!(world.fake.violations(), Vec::<String>::new());
    assert_eq!(expected.serving, Some(RevisionNumber(4)));
    assert_eq!(expected.runs.len(), 2);
    assert!(expected.jobs.values().all(|starts| *starts == 1), "{:?}", expected.jobs);
    let points = recorded.seen();

    for (index, point) in points.iter().enumerate().skip(shard).step_by(SHARDS) {
        let (world, reached) = crash_and_finish(&commits, index);
        assert_eq!(reached, expected, "after a crash at effect {index}: {point:?}");
        let violations = world.fake.violations();
        assert_eq!(violations, Vec::<String>::new(), "after a crash at effect {index}: {point:?}");
    }
    println!("shard {shard} of {SHARDS}: every crash of {} was survived", points.len());
}

/// Tests run side by side; one after the other the crashes would take minutes.
const SHARDS: usize = 4;

#[test]
fn a_crash_at_any_effect_ends_the_same_1() {
    crash_at_every_effect_of(0);
}

#[test]
fn a_crash_at_any_effect_ends_the_same_2() {
    crash_at_every_effect_of(1);
}

#[test]
fn a_crash_at_any_effect_ends_the_same_3() {
    crash_at_every_effect_of(2);
}

#[test]
fn a_crash_at_any_effect_ends_the_same_4() {
    crash_at_every_effect_of(3);
}
