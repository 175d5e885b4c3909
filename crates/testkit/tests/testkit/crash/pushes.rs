//! From the bytes of the first push over a changed variable to a rollback: ledger, pipeline, registry and delivery.

use std::collections::BTreeMap;

use naru_engine::fake::JobScript;
use naru_model::RevisionNumber;
use naru_store::intent::IntentKind;
use naru_testkit::person::{Commit, Image, commits};
use naru_testkit::rig::{Rig, World};

use super::end::End;
use super::{Story, live};
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

/// A push, another, a variable, and the way back.
struct Pushes {
    commits: Vec<Commit>,
}

impl Pushes {
    fn new() -> Self {
        Self { commits: live(two_commits()) }
    }
}

impl Story for Pushes {
    async fn begin(&self) -> World {
        world_of(&self.commits)
    }

    async fn tell(&self, rig: &Rig) {
        let project = rig.create_project("shop").await;
        let key = production(&project);
        rig.settle(3 * MINUTE).await;
        let head = rig.front.sources.head(&project, &"main".parse().unwrap()).await.unwrap();
        let done = self
            .commits
            .iter()
            .position(|commit| Some(&commit.id) == head.as_ref())
            .map_or(0, |last| last + 1);
        for commit in &self.commits[done..] {
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
        let asked =
            rig.store.newest_intent(&key).await.unwrap().is_some_and(|intent| intent.kind == rollback);
        if !asked {
            rig.store.intend(&key, &rollback, "mina").await.unwrap();
        }
        rig.settle(3 * MINUTE).await;
    }

    fn check(&self, end: &End) {
        assert_eq!(end.serving, Some(RevisionNumber(4)));
        assert_eq!(end.runs.len(), 2);
        assert!(end.jobs.values().all(|starts| *starts == 1), "{:?}", end.jobs);
    }
}

crate::crash::crashes!(Pushes::new());
