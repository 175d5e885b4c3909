//! A whole Naru in one process: real database, real git, the fake world. Its loops are stepped by hand, so a test knows
//! when nothing is left to do, and time passes only between steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use naru_delivery::repository::Repositories;
use naru_engine::Engine;
use naru_engine::fake::Fake;
use naru_engine::observed::{ObservedEngine, ObservedTraffic};
use naru_model::effect::Effects;
use naru_model::{Clock, EnvironmentKey, ProjectName, ReleaseNumber, RevisionNumber};
use naru_source::deploy::InGit;
use naru_store::environment::EnvironmentStatus;
use naru_store::log::{LogLimits, LogStore};
use naru_store::{Changes, Look, Store, Topic};

use crate::clock::HandClock;
use crate::front::Front;
use crate::release;

/// What outlives a crash of the process: disk, containers, routes, time.
#[derive(Clone)]
pub struct World {
    /// The data folder.
    pub data: PathBuf,
    /// Containers, jobs and routes.
    pub fake: Fake,
    /// The hour.
    pub clock: Arc<HandClock>,
    _folder: Arc<tempfile::TempDir>,
}

impl Default for World {
    fn default() -> Self {
        let folder = temporary_folder();
        let clock = Arc::new(HandClock::default());
        Self {
            data: folder.path().to_owned(),
            fake: Fake::new(clock.clone()),
            clock,
            _folder: Arc::new(folder),
        }
    }
}

/// In memory where the system has a place for that: the tests write a lot and wait for the disk.
fn temporary_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
        .expect("a temporary folder")
}

/// A running Naru. Dropping it is a crash.
pub struct Rig {
    /// What outlives it.
    pub world: World,
    /// Its rows.
    pub store: Store,
    /// Its delivery.
    pub delivery: naru_delivery::Context,
    /// Its deploy repositories.
    pub deploy: InGit,
    /// What lies before a release.
    pub front: Front,
}

impl Rig {
    /// Starts on what is there, after whoever ran before has ended.
    pub async fn start(world: &World, effects: Arc<dyn Effects>) -> Self {
        let rig = Self::beside(world, effects).await;
        rig.store.end_leases().await.expect("the store answers");
        rig
    }

    /// Starts on what is there, beside others that run.
    pub async fn beside(world: &World, effects: Arc<dyn Effects>) -> Self {
        let clock: Arc<dyn Clock> = world.clock.clone();
        let store = Store::open(&world.data.join("naru.db"), clock.clone(), effects.clone())
            .await
            .expect("a database in a temporary folder opens");
        let logs = LogStore::open(&world.data.join("logs"), LogLimits::default())
            .await
            .expect("a log folder")
            .observed(effects.clone());
        let engine: Arc<dyn Engine> =
            Arc::new(ObservedEngine { inner: Arc::new(world.fake.clone()), effects: effects.clone() });
        let front = Front::open(world, (&store, &logs), engine.clone(), effects.clone()).await;
        let deploy = InGit {
            data: world.data.clone(),
            instance: "0123456789ab".parse().expect("an instance id"),
            clock: clock.clone(),
            effects: effects.clone(),
        };
        let delivery = naru_delivery::Context {
            store: store.clone(),
            keys: front.keys.clone(),
            repositories: Repositories::new(deploy.instance.clone(), Arc::new(deploy.clone())),
            engine,
            traffic: Arc::new(ObservedTraffic { inner: Arc::new(world.fake.clone()), effects }),
            logs,
            domain: "localhost".into(),
            own_hosts: vec!["localhost".into(), "naru.example.com".into()],
            specs: naru_delivery::reconcile::SpecCache::default(),
        };
        Self { world: world.clone(), store, delivery, deploy, front }
    }

    /// Makes a project with its repositories. Repeating it is harmless.
    pub async fn create_project(&self, name: &str) -> ProjectName {
        let project: ProjectName = name.parse().expect("a project name");
        let main = "main".parse().expect("a branch name");
        if self.store.project(&project).await.expect("the store answers").is_none() {
            self.store.create_project(&project, &main).await.expect("a new project");
        }
        self.front.sources.create(&project, &main).await.expect("a new repository");
        self.deploy.of(&project).create().await.expect("a new repository");
        project
    }

    /// Makes a release as the pipeline would; see [`release::make`].
    pub async fn release(&self, project: &ProjectName, naru_yaml: &str, content: &str) -> ReleaseNumber {
        release::make(&self.store, project, naru_yaml, content).await
    }

    /// One pass of every loop that has a reason to look, and of every environment. Says when to look again.
    async fn step(&self, changes: &mut Changes, first: bool) -> Duration {
        let cx = &self.delivery;
        self.front.finish_logs(&self.world.fake).await;
        let mut look_again =
            naru_pipeline::reconcile(&self.front.pipeline).await.expect("store and engine answer");
        self.front.carry_out_builds(&self.world.fake).await;
        let rung = first || changes.has_rung(&[Topic::Releases, Topic::Projects]);
        if rung {
            naru_delivery::render::pass(cx, &Look::Everywhere).await.expect("the store answers");
            naru_delivery::sync::pass(cx, &Look::Everywhere).await.expect("the store answers");
            naru_delivery::sweep::pass(cx, &Look::Everywhere).await.expect("the store answers");
        }
        look_again = look_again.min(Duration::from_secs(5));
        naru_delivery::receipt::pass(cx).await.expect("the store answers");
        for key in self.store.environment_keys().await.expect("the store answers") {
            match naru_delivery::reconcile::reconcile(cx, &key).await {
                Ok(again) => look_again = look_again.min(again),
                Err(naru_store::StoreError::Stale(_)) => look_again = Duration::ZERO,
                Err(error) => panic!("{key} could not be reconciled: {error}"),
            }
        }
        look_again
    }

    /// Steps until every run is over, every environment rests and no intent waits, beginning with a look at everything. Panics when that
    /// takes longer than `at_most`.
    pub async fn settle(&self, at_most: Duration) {
        let end = self.world.clock.now() + at_most;
        let mut changes = self.store.changes();
        let mut first = true;
        loop {
            let again = self.step(&mut changes, first).await;
            first = false;
            if self.rests().await {
                return;
            }
            assert!(
                self.world.clock.now() < end,
                "nothing rests after {at_most:?}: {:?}",
                self.statuses().await
            );
            self.world.clock.advance(again.max(Duration::from_millis(10)));
        }
    }

    /// Steps for so long, whatever rests, and calls `meanwhile` before each step with the time since the last.
    pub async fn go_on(&self, so_long: Duration, mut meanwhile: impl FnMut(Duration)) {
        let end = self.world.clock.now() + so_long;
        let mut changes = self.store.changes();
        let mut first = true;
        while self.world.clock.now() < end {
            let again = self.step(&mut changes, first).await.max(Duration::from_millis(10));
            first = false;
            self.world.clock.advance(again);
            meanwhile(again);
        }
    }

    async fn rests(&self) -> bool {
        let waiting = self.store.pending_triggers().await.expect("the store answers");
        if !waiting.is_empty() || !self.store.open_runs().await.expect("the store answers").is_empty() {
            return false;
        }
        if !self.store.projects_with_intents().await.expect("the store answers").is_empty() {
            return false;
        }
        for key in self.store.environment_keys().await.expect("the store answers") {
            let environment = self.store.environment(&key).await.expect("the store answers").expect("a row");
            let settled = match &environment.status {
                EnvironmentStatus::Reconciled { status } => *status == naru_model::rollout::Status::Live,
                EnvironmentStatus::Idle | EnvironmentStatus::Blocked { .. } => true,
                EnvironmentStatus::Retrying { .. } => false,
            };
            if !settled || environment.status_generation != environment.generation {
                return false;
            }
        }
        true
    }

    /// Every environment's status, for messages.
    pub async fn statuses(&self) -> Vec<(EnvironmentKey, EnvironmentStatus)> {
        let mut statuses = Vec::new();
        for key in self.store.environment_keys().await.expect("the store answers") {
            let row = self.store.environment(&key).await.expect("the store answers");
            statuses.extend(row.map(|row| (key, row.status)));
        }
        statuses
    }

    /// The revision that has all traffic.
    pub async fn serving(&self, key: &EnvironmentKey) -> Option<RevisionNumber> {
        self.store
            .environment(key)
            .await
            .expect("the store answers")
            .and_then(|environment| environment.serving)
    }

    /// A file of the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.world.data).join(name)
    }
}
