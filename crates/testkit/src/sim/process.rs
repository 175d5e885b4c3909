//! One process of Naru: its loops as tasks that are let go on one at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use naru_delivery::repository::Repositories;
use naru_delivery::{Context, receipt, reconcile, render, sweep, sync};
use naru_engine::observed::{ObservedEngine, ObservedTraffic};
use naru_model::effect::Effects;
use naru_model::{EnvironmentKey, Timestamp};
use naru_secret::KeyRing;
use naru_source::deploy::DeployRepositories;
use naru_store::log::LogStore;
use naru_store::{Changes, Look, Store, StoreError, Topic};

use super::adapters::{SimEngine, SimTraffic, Watch};
use super::forgetful::Forgetful;
use super::mistake::Mistake;
use super::people::{Answer, Deed};
use super::stage::Stage;
use super::switch::Parked;

/// What a task does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Render,
    Sync,
    Sweep,
    Receipts,
    Reconcile(EnvironmentKey),
    Ask(Deed),
}

impl Work {
    /// When it is looked again, unless something rings.
    pub(super) fn timer(&self) -> Duration {
        match self {
            Self::Render | Self::Reconcile(_) => Duration::from_secs(30),
            Self::Sync => Duration::from_mins(5),
            Self::Sweep | Self::Receipts => Duration::from_mins(1),
            Self::Ask(_) => Duration::MAX,
        }
    }

    /// What wakes it.
    fn topics(&self) -> &'static [Topic] {
        match self {
            Self::Render | Self::Sync => &[Topic::Releases],
            Self::Sweep => &[Topic::Projects],
            Self::Receipts => &[Topic::Environments],
            Self::Reconcile(_) => &[Topic::Environments, Topic::Projects],
            Self::Ask(_) => &[],
        }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Render => f.write_str("render"),
            Self::Sync => f.write_str("sync"),
            Self::Sweep => f.write_str("sweep"),
            Self::Receipts => f.write_str("receipts"),
            Self::Reconcile(key) => write!(f, "reconcile {key}"),
            Self::Ask(deed) => write!(f, "{deed:?}"),
        }
    }
}

/// How a task ended.
pub(super) enum Ended {
    Pass(Result<(), StoreError>),
    Look(Result<Duration, StoreError>),
    Answered(Answer),
}

/// A task and how far it is.
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) due: Timestamp,
    pub(super) running: Option<Running>,
    changes: Changes,
}

/// A task that waits for its next turn.
pub(super) struct Running {
    pub(super) future: Pin<Box<dyn Future<Output = Ended> + Send>>,
    pub(super) parked: Parked,
    pub(super) began: Timestamp,
}

/// What processes find when they start, besides the world.
pub(super) struct Disk {
    pub(super) store: Store,
    pub(super) logs: LogStore,
    pub(super) keys: Arc<KeyRing>,
}

/// A process. Dropping it is a crash.
pub(super) struct Process {
    pub(super) who: String,
    pub(super) tasks: Vec<Task>,
    cx: Context,
    /// Whether environments may have come or gone.
    changes: Changes,
}

impl Process {
    /// Starts cold on what is there.
    pub(super) fn start(stage: &Arc<Stage>, who: String, disk: &Disk) -> Self {
        let watch = Watch { stage: stage.clone(), who: who.clone() };
        let effects: Arc<dyn Effects> = Arc::new(watch);
        let clock = stage.wall.clone();
        let worker = if stage.makes(Mistake::LeaseNotChecked) { "everybody" } else { &who };
        let store = disk.store.beside(worker, clock.clone(), effects.clone());
        let engine = Arc::new(SimEngine::of(stage, &who));
        let traffic = Arc::new(SimTraffic::of(stage, &who));
        let deploy = stage.deploy.seen_by(clock, effects.clone());
        let deploy: Arc<dyn DeployRepositories> = if stage.makes(Mistake::QuarantineIgnored) {
            Arc::new(Forgetful { stage: stage.clone(), inner: deploy })
        } else {
            Arc::new(deploy)
        };
        let instance = "0123456789ab".parse().expect("an instance id");
        let cx = Context {
            store,
            keys: disk.keys.clone(),
            logs: disk.logs.clone(),
            repositories: Repositories::new(instance, deploy),
            engine: Arc::new(ObservedEngine { inner: engine, effects: effects.clone() }),
            traffic: Arc::new(ObservedTraffic { inner: traffic, effects }),
            domain: "localhost".into(),
            specs: reconcile::SpecCache::default(),
        };
        let changes = cx.store.changes();
        let mut process = Self { who, tasks: Vec::new(), cx, changes };
        let works = [Work::Render, Work::Sync, Work::Sweep, Work::Receipts];
        let skipped = |work: &Work| matches!(work, Work::Sweep) && stage.makes(Mistake::SweepSkipped);
        for work in works.into_iter().filter(|work| !skipped(work)) {
            process.add(work, stage.now());
        }
        process
    }

    pub(super) fn add(&mut self, work: Work, due: Timestamp) {
        let changes = self.cx.store.changes();
        self.tasks.push(Task { work, due, running: None, changes });
    }

    /// Looks after exactly these environments from now on; passes under way end by themselves.
    pub(super) fn look_after(&mut self, keys: &[EnvironmentKey], now: Timestamp) {
        for key in keys {
            let known = |task: &Task| matches!(&task.work, Work::Reconcile(known) if known == key);
            if !self.tasks.iter().any(known) {
                self.add(Work::Reconcile(key.clone()), now);
            }
        }
        self.tasks.retain(|task| match &task.work {
            Work::Reconcile(key) => task.running.is_some() || keys.contains(key),
            _ => true,
        });
    }

    /// Whether environments may have come or gone since the last look.
    pub(super) fn should_list(&mut self) -> bool {
        self.changes.has_rung(&[Topic::Environments, Topic::Projects])
    }

    /// Wakes the tasks whose topics have rung, unless `lost` says that a wake-up is.
    pub(super) fn wake(&mut self, at: impl Fn() -> Timestamp, lost: impl Fn() -> bool) {
        for task in &mut self.tasks {
            if task.changes.has_rung(task.work.topics()) && !lost() {
                task.due = task.due.min(at());
            }
        }
    }

    /// Begins a task's work.
    pub(super) fn begin(&self, work: &Work) -> Pin<Box<dyn Future<Output = Ended> + Send>> {
        let cx = self.cx.clone();
        match work.clone() {
            Work::Render => Box::pin(async move { Ended::Pass(render::pass(&cx, &Look::Everywhere).await) }),
            Work::Sync => Box::pin(async move { Ended::Pass(sync::pass(&cx, &Look::Everywhere).await) }),
            Work::Sweep => Box::pin(async move { Ended::Pass(sweep::pass(&cx, &Look::Everywhere).await) }),
            Work::Receipts => Box::pin(async move { Ended::Pass(receipt::pass(&cx).await) }),
            Work::Reconcile(key) => {
                Box::pin(async move { Ended::Look(reconcile::reconcile(&cx, &key).await) })
            }
            Work::Ask(deed) => Box::pin(async move { Ended::Answered(deed.ask(cx.store).await) }),
        }
    }
}
