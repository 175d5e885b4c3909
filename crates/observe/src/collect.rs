//! Copies what replicas print into the log store, secrets masked. One task per replica; its place in the engine's log
//! is kept beside the stored log, so that a restart goes on where it stopped, without a gap and without repetition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use naru_engine::{Engine, Inputs, LogLine, LogPosition, LogSource, StepError};
use naru_model::EnvironmentKey;
use naru_model::SecretVersion;
use naru_model::job::SecretScope;
use naru_model::rollout::{ReplicaKey, ReplicaSeen, ReplicaState};
use naru_secret::{LineRedactor, Redactor};
use naru_store::log::{Cursor, LogError, LogRecord, LogStore, LogStream};
use naru_store::{Store, StoreError, Topic};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Everything is looked at this often, whatever rings.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Rings that come shortly after each other are one.
const SETTLE: Duration = Duration::from_millis(200);
/// How many lines are stored at once when many are waiting.
const BATCH: usize = 512;
const PAGE: usize = 4096;
/// How often a task writes down how far it is.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How many versions before a secret's current one are masked, too: older replicas still print them.
const OLDER_VERSIONS: u32 = 4;

/// Why logs could not be collected for now.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The engine does not answer.
    #[error(transparent)]
    Engine(#[from] StepError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Collects the logs of every replica that the engine shows. Dropping it ends its tasks and loses nothing.
pub struct Collector {
    shared: Arc<Shared>,
    tasks: Mutex<HashMap<(EnvironmentKey, ReplicaKey), Task>>,
}

struct Shared {
    store: Store,
    engine: Arc<dyn Engine>,
    inputs: Arc<dyn Inputs>,
    logs: LogStore,
    /// Where each service's replicas are, as in the stream's note.
    places: Mutex<HashMap<LogStream, Places>>,
}

struct Task {
    handle: AbortHandle,
    /// The replica had exited already when the task began: one reading to the end is enough.
    after_exit: bool,
    succeeded: Arc<AtomicBool>,
}

/// How far the copy of a service's replicas is, by replica.
type Places = BTreeMap<String, Place>;

/// How far the copy of one replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Place {
    /// Where reading goes on in the engine's log.
    position: LogPosition,
    /// The end of the stored log at that moment. Lines of the replica after it were stored, but not noted.
    stored: Cursor,
}

impl Collector {
    /// Reads from `engine`, masks what `inputs` reveals, and writes to `logs`.
    pub fn new(store: Store, engine: Arc<dyn Engine>, inputs: Arc<dyn Inputs>, logs: LogStore) -> Self {
        let shared = Shared { store, engine, inputs, logs, places: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Collects until it is dropped.
    pub async fn run(&self) {
        let mut changes = self.shared.store.changes();
        loop {
            if let Err(error) = self.look_at_all().await {
                tracing::warn!(%error, "logs of services are not collected for now; it is tried again");
            }
            let until = Instant::now() + LOOK_EVERY;
            while let Ok(change) = tokio::time::timeout_at(until, changes.next()).await {
                let Some(change) = change else { break };
                let (Topic::Environments, Some(project)) = (change.topic, change.project) else { continue };
                tokio::time::sleep(SETTLE).await;
                if let Err(error) = self.look_at_project(&project).await {
                    tracing::debug!(%project, %error, "logs of a project are not collected for now");
                }
            }
        }
    }

    /// Starts collecting from replicas that are new, in every environment that the engine knows.
    pub async fn look_at_all(&self) -> Result<(), CollectError> {
        let environments = self.shared.engine.environments().await?;
        for environment in &environments {
            self.look_at(environment).await?;
        }
        let known: BTreeSet<_> = environments.into_iter().collect();
        self.lock()
            .retain(|(environment, _), task| known.contains(environment) || !task.handle.is_finished());
        Ok(())
    }

    async fn look_at_project(&self, project: &naru_model::ProjectName) -> Result<(), CollectError> {
        for environment in self.shared.store.environments_of(project).await? {
            self.look_at(&environment.key).await?;
        }
        Ok(())
    }

    /// Starts collecting from an environment's replicas that are new. Whoever is about to remove one calls this first.
    pub async fn look_at(&self, environment: &EnvironmentKey) -> Result<(), CollectError> {
        let seen = self.shared.engine.observe(environment).await?.replicas;
        self.start_new(environment, &seen);
        self.shared.forget_places(environment, &seen).await
    }

    fn start_new(&self, environment: &EnvironmentKey, seen: &[ReplicaSeen]) {
        let mut tasks = self.lock();
        tasks.retain(|(of, replica), task| {
            of != environment || !task.handle.is_finished() || seen.iter().any(|seen| seen.key == *replica)
        });
        for replica in seen {
            let key = (environment.clone(), replica.key.clone());
            if wants_task(replica, tasks.get(&key)) {
                tasks.insert(key, self.start(environment, replica));
            }
        }
    }

    fn start(&self, environment: &EnvironmentKey, replica: &ReplicaSeen) -> Task {
        let succeeded = Arc::new(AtomicBool::new(false));
        let copy = Copy {
            shared: self.shared.clone(),
            stream: LogStream::Service {
                environment: environment.clone(),
                service: replica.key.service.clone(),
            },
            environment: environment.clone(),
            replica: replica.key.clone(),
        };
        let done = succeeded.clone();
        let task = tokio::spawn(async move {
            match copy.run().await {
                Ok(()) => done.store(true, Ordering::Relaxed),
                Err(error) => {
                    let (environment, replica) = (&copy.environment, &copy.replica);
                    tracing::warn!(%environment, %replica, %error, "a log is not collected for now; it is tried again");
                }
            }
        });
        let after_exit = matches!(replica.state, ReplicaState::Exited { .. });
        Task { handle: task.abort_handle(), after_exit, succeeded }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(EnvironmentKey, ReplicaKey), Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.lock().values().for_each(|task| task.handle.abort());
    }
}

/// A replica that has not started has no log yet; one that was read to its end after it had exited has no more.
fn wants_task(replica: &ReplicaSeen, task: Option<&Task>) -> bool {
    if matches!(replica.state, ReplicaState::Starting) {
        return false;
    }
    task.is_none_or(|task| {
        task.handle.is_finished() && !(task.after_exit && task.succeeded.load(Ordering::Relaxed))
    })
}

impl Shared {
    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<LogStream, Places>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the copy of a replica is.
    async fn place(&self, stream: &LogStream, replica: &str) -> Result<Place, LogError> {
        if !self.places().contains_key(stream) {
            let note = self.logs.note(stream).await?.unwrap_or_default();
            // A note that cannot be read costs repeated lines, not lost ones.
            let places = serde_json::from_slice(&note).unwrap_or_default();
            self.places().entry(stream.clone()).or_insert(places);
        }
        Ok(self.places().get(stream).and_then(|places| places.get(replica)).copied().unwrap_or_default())
    }

    async fn keep_place(&self, stream: &LogStream, replica: &str, place: Place) -> Result<(), LogError> {
        let note = {
            let mut places = self.places();
            let places = places.entry(stream.clone()).or_default();
            places.insert(replica.to_owned(), place);
            serde_json::to_vec(places).expect("places are plain data")
        };
        self.logs.keep_note(stream, note).await
    }

    /// Forgets the places of replicas that are gone.
    async fn forget_places(
        &self,
        environment: &EnvironmentKey,
        seen: &[ReplicaSeen],
    ) -> Result<(), CollectError> {
        let present: BTreeSet<String> = seen.iter().map(|replica| replica.key.to_string()).collect();
        let mut notes = Vec::new();
        for (stream, places) in self.places().iter_mut() {
            if !matches!(stream, LogStream::Service { environment: of, .. } if of == environment) {
                continue;
            }
            let before = places.len();
            places.retain(|replica, _| present.contains(replica));
            if places.len() != before {
                notes.push((stream.clone(), serde_json::to_vec(places).expect("places are plain data")));
            }
        }
        for (stream, note) in notes {
            self.logs.keep_note(&stream, note).await?;
        }
        Ok(())
    }

    /// Masks the environment's secrets as they are now, and some versions before.
    async fn redactor(&self, environment: &EnvironmentKey) -> Result<LineRedactor, CollectError> {
        let scope = SecretScope::Environment(environment.clone());
        let mut values = Vec::new();
        for secret in self.store.secrets(&scope).await? {
            let oldest = secret.version.0.saturating_sub(OLDER_VERSIONS).max(1);
            for version in oldest..=secret.version.0 {
                match self.inputs.reveal(&scope, &secret.name, SecretVersion(version)).await {
                    Ok(value) => values.push(value),
                    Err(StepError::Blocked(_)) if version < secret.version.0 => {} // revoked
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(Redactor::new(&values).lines())
    }
}

/// The copy of one replica's log.
struct Copy {
    shared: Arc<Shared>,
    environment: EnvironmentKey,
    replica: ReplicaKey,
    stream: LogStream,
}

impl Copy {
    /// Copies until the replica has ended.
    async fn run(&self) -> Result<(), CollectError> {
        let source = self.replica.to_string();
        let mut redactor = self.shared.redactor(&self.environment).await?;
        let mut place = self.shared.place(&self.stream, &source).await?;
        let mut skip = self.stored_since(place.stored, &source).await?;
        let from = LogSource::Replica(self.environment.clone(), self.replica.clone());
        let mut lines = self.shared.engine.logs(&from, place.position).ready_chunks(BATCH);
        let mut noted = (place, Instant::now());
        while let Some(batch) = lines.next().await {
            let mut failed = None;
            let mut records = Vec::with_capacity(batch.len());
            for line in batch {
                match line {
                    Ok(line) => {
                        place.position = line.position;
                        records.extend(record(&mut redactor, &source, &line, &mut skip));
                    }
                    Err(error) => failed = Some(error),
                }
            }
            self.shared.logs.append(&self.stream, records).await?;
            place.stored = self.shared.logs.end(&self.stream).await?;
            if noted.1.elapsed() >= NOTE_EVERY {
                self.shared.keep_place(&self.stream, &source, place).await?;
                noted = (place, Instant::now());
            }
            if let Some(error) = failed {
                self.shared.keep_place(&self.stream, &source, place).await?;
                return Err(error.into());
            }
        }
        if noted.0 != place {
            self.shared.keep_place(&self.stream, &source, place).await?;
        }
        Ok(())
    }

    /// How many lines of this replica were stored after its place was noted.
    async fn stored_since(&self, mut cursor: Cursor, source: &str) -> Result<usize, LogError> {
        let mut count = 0;
        loop {
            let page = self.shared.logs.read(&self.stream, cursor, PAGE).await?;
            count += page.entries.iter().filter(|entry| entry.record.source == source).count();
            if page.at_end {
                return Ok(count);
            }
            cursor = page.next;
        }
    }
}

/// The line as it is stored; nothing when it was stored before.
fn record(redactor: &mut LineRedactor, source: &str, line: &LogLine, skip: &mut usize) -> Option<LogRecord> {
    let text = redactor.mask(&line.text).into_owned();
    if *skip > 0 {
        *skip -= 1;
        return None;
    }
    Some(LogRecord { at: line.at, source: source.to_owned(), text })
}
