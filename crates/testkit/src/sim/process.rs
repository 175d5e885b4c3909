//! One process of Naru: its loops as tasks that are let go on one at a time.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use naru_delivery::inputs::Vault;
use naru_delivery::repository::Repositories;
use naru_delivery::{Context, receipt, reconcile, render, sweep, sync};
use naru_engine::Engine;
use naru_engine::observed::{ObservedEngine, ObservedTraffic};
use naru_model::effect::Effects;
use naru_model::job::JobKey;
use naru_model::{EnvironmentKey, Timestamp};
use naru_pipeline::{Admission, Collectors, PassError, Room, Settings};
use naru_secret::KeyRing;
use naru_source::SourceRepositories;
use naru_source::deploy::DeployRepositories;
use naru_store::log::LogStore;
use naru_store::{Changes, Look, Store, StoreError, Topic};

use super::adapters::{SimEngine, SimTraffic, Watch};
use super::beside::Aisle;
use super::forgetful::Forgetful;
use super::mistake::Mistake;
use super::people::{Answer, Deed};
use super::push;
use super::stage::{CALL_LIMIT, Stage};
use super::switch::Parked;

/// What a task does.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Render,
    Sync,
    Sweep,
    Receipts,
    Reconcile(EnvironmentKey),
    /// Triggers become runs, and runs releases.
    Runs,
    /// Jobs that nobody wants are removed.
    SweepJobs,
    /// Pushes that were cut off are settled.
    Ledger,
    /// A job's log is copied.
    Copy(JobKey),
    Ask(Deed),
}

impl Work {
    /// When it is looked again, unless something rings.
    pub(super) fn timer(&self) -> Duration {
        match self {
            Self::Render | Self::Reconcile(_) | Self::Runs | Self::SweepJobs => Duration::from_secs(30),
            Self::Sync => Duration::from_mins(5),
            Self::Sweep | Self::Receipts | Self::Ledger => Duration::from_mins(1),
            Self::Copy(_) | Self::Ask(_) => Duration::MAX,
        }
    }

    /// What wakes it.
    fn topics(&self) -> &'static [Topic] {
        match self {
            Self::Render | Self::Sync => &[Topic::Releases],
            Self::Sweep => &[Topic::Projects],
            Self::Receipts => &[Topic::Environments],
            Self::Reconcile(_) => &[Topic::Environments, Topic::Projects],
            Self::Runs => &[Topic::Triggers, Topic::Runs, Topic::Projects],
            Self::SweepJobs | Self::Ledger | Self::Copy(_) | Self::Ask(_) => &[],
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
            Self::Runs => f.write_str("runs"),
            Self::SweepJobs => f.write_str("sweep jobs"),
            Self::Ledger => f.write_str("ledger"),
            Self::Copy(job) => write!(f, "copy the log of {job}"),
            Self::Ask(deed) => write!(f, "{deed:?}"),
        }
    }
}

/// How a task ended.
pub(super) enum Ended {
    Pass(Result<(), String>),
    Look(Result<Duration, Failure>),
    Answered(Answer),
    /// There is nothing more to do.
    Over,
}

/// Why a pass did not get through.
pub(super) enum Failure {
    /// What was seen is not so any more: it looks again at once.
    Stale(&'static str),
    Other(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale(why) => Self::Stale(why),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        Self::Other(error.to_string())
    }
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
    pub(super) folder: PathBuf,
}

/// A process. Dropping it is a crash.
pub(super) struct Process {
    pub(super) who: String,
    pub(super) tasks: Vec<Task>,
    cx: Context,
    pipeline: Arc<naru_pipeline::Context>,
    aisle: Arc<Aisle>,
    stage: Arc<Stage>,
    /// Whether environments may have come or gone.
    changes: Changes,
    /// Whether runs may have.
    runs: Changes,
}

impl Process {
    /// Starts cold on what is there.
    pub(super) fn start(stage: &Arc<Stage>, who: String, disk: &Disk, pushes: bool) -> Self {
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
        let engine: Arc<dyn Engine> = Arc::new(ObservedEngine { inner: engine, effects: effects.clone() });
        let logs = disk.logs.clone().observed(effects.clone());
        let sources = SourceRepositories::new(disk.folder.join("git"), effects.clone());
        let inputs = Vault { store: store.clone(), keys: disk.keys.clone(), sources };
        let aisle = Arc::new(Aisle::of(stage, &who));
        let pipeline = naru_pipeline::Context {
            store: store.clone(),
            logs: logs.clone(),
            engine: engine.clone(),
            inputs: Arc::new(inputs),
            admission: Arc::new(Machine(stage.clone())),
            sources: Arc::new(stage.sources.clone()),
            settings: Settings::for_cpus(2, push::REGISTRY.to_owned()),
            collectors: Collectors::going_on(aisle.clone()),
        };
        let cx = Context {
            store,
            keys: disk.keys.clone(),
            logs,
            repositories: Repositories::new(instance, deploy),
            engine,
            traffic: Arc::new(ObservedTraffic { inner: traffic, effects }),
            domain: "localhost".into(),
            own_hosts: Vec::new(),
            specs: reconcile::SpecCache::default(),
        };
        let (changes, runs) = (cx.store.changes(), cx.store.changes());
        let (pipeline, stage_of_it) = (Arc::new(pipeline), stage.clone());
        let mut process =
            Self { who, tasks: Vec::new(), cx, pipeline, aisle, stage: stage_of_it, changes, runs };
        let mut works = vec![Work::Render, Work::Sync, Work::Sweep, Work::Receipts];
        works.retain(|work| !matches!(work, Work::Sweep) || !stage.makes(Mistake::SweepSkipped));
        if pushes {
            works.extend([Work::Runs, Work::SweepJobs, Work::Ledger]);
        }
        for work in works {
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

    /// Whether runs may have changed since the last look.
    pub(super) fn should_look_at_runs(&mut self) -> bool {
        self.runs.has_rung(&[Topic::Runs, Topic::Triggers])
    }

    /// Tasks that a turn began beside it.
    pub(super) fn take_begun(&mut self, now: Timestamp) {
        for (job, task) in self.aisle.take_begun() {
            self.add(Work::Copy(job), now);
            let future = Box::pin(async move {
                task.await;
                Ended::Over
            });
            let parked = Parked { place: String::new(), not_before: now, by: now + CALL_LIMIT, crash: false };
            if let Some(task) = self.tasks.last_mut() {
                task.running = Some(Running { future, parked, began: now });
            }
        }
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
            Work::Render => Box::pin(async move { pass(render::pass(&cx, &Look::Everywhere).await) }),
            Work::Sync => Box::pin(async move { pass(sync::pass(&cx, &Look::Everywhere).await) }),
            Work::Sweep => Box::pin(async move { pass(sweep::pass(&cx, &Look::Everywhere).await) }),
            Work::Receipts => Box::pin(async move { pass(receipt::pass(&cx).await) }),
            Work::Reconcile(key) => {
                Box::pin(
                    async move { Ended::Look(reconcile::reconcile(&cx, &key).await.map_err(Failure::from)) },
                )
            }
            Work::Runs => {
                let cx = self.pipeline.clone();
                Box::pin(
                    async move { Ended::Look(naru_pipeline::reconcile(&cx).await.map_err(Failure::from)) },
                )
            }
            Work::SweepJobs => {
                let cx = self.pipeline.clone();
                Box::pin(async move { pass(naru_pipeline::sweep(&cx).await) })
            }
            Work::Ledger => {
                let settled = push::settle_forgotten(self.stage.clone(), cx.store, push::FORGOTTEN);
                Box::pin(async move { pass(settled.await) })
            }
            // It was begun beside a pass, and is not begun again.
            Work::Copy(_) => Box::pin(std::future::ready(Ended::Over)),
            Work::Ask(Deed::Push { project, commit }) => {
                let pushed = push::push(self.stage.clone(), cx.store, self.who.clone(), project, commit);
                Box::pin(async move { Ended::Answered(pushed.await.map(|()| None)) })
            }
            Work::Ask(deed) => Box::pin(async move { Ended::Answered(deed.ask(cx.store).await) }),
        }
    }
}

fn pass<E: std::fmt::Display>(done: Result<(), E>) -> Ended {
    Ended::Pass(done.map_err(|error| error.to_string()))
}

/// The machine: now and then it is full, while things go wrong.
struct Machine(Arc<Stage>);

impl Admission for Machine {
    fn room(&self) -> Room {
        let full = {
            let (trouble, mut chance) = (self.0.trouble(), self.0.front());
            chance.permille(trouble.refusal_permille * 3)
        };
        Room { memory_bytes: u64::MAX, disk_bytes: if full { 0 } else { u64::MAX } }
    }
}
