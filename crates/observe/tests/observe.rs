//! The collector on an engine whose logs are scripted: nothing is lost, repeated or shown unmasked.

#[path = "observe/sample.rs"]
mod sample;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use naru_engine::{
    Capabilities, Engine, Environments, Inputs, LogLine, LogPosition, LogSource, StepError, Usage,
};
use naru_model::effect::Unobserved;
use naru_model::job::{ExitReason, JobKey, JobScope, JobSeen, JobSpec, SecretScope, Workspace};
use naru_model::rollout::{Action, ReplicaKey, ReplicaSeen, ReplicaState, Seen};
use naru_model::{Clock, EnvironmentKey, Generation, RevisionNumber, SecretName, SecretVersion, Timestamp};
use naru_observe::Collector;
use naru_store::Store;
use naru_store::log::{Cursor, LogLimits, LogStore, LogStream};
use secrecy::SecretString;
use tokio::sync::watch;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(43_200).unwrap()
    }
}

/// Replicas by key: what they have printed, and whether they are over.
type Printed = BTreeMap<ReplicaKey, (Vec<String>, bool)>;

/// An engine that only has logs.
struct Tape {
    printed: watch::Sender<Printed>,
    readings: Mutex<Vec<LogPosition>>,
}

impl Tape {
    fn print(&self, index: u32, lines: &[&str], over: bool) {
        self.printed.send_modify(|printed| {
            let entry = printed.entry(replica(index)).or_default();
            entry.0.extend(lines.iter().map(|line| (*line).to_owned()));
            entry.1 = over;
        });
    }
}

fn replica(index: u32) -> ReplicaKey {
    ReplicaKey { service: "web".parse().unwrap(), revision: RevisionNumber(1), index, attempt: 0 }
}

fn key() -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() }
}

fn stream() -> LogStream {
    LogStream::Service { environment: key(), service: "web".parse().unwrap() }
}

#[async_trait]
impl Engine for Tape {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        Ok(Capabilities { engine: "Tape".into(), missing: Vec::new() })
    }

    async fn observe(&self, _: &EnvironmentKey) -> Result<Seen, StepError> {
        let printed = self.printed.borrow();
        let replicas = printed.iter().map(|(key, (_, over))| ReplicaSeen {
            key: key.clone(),
            template: serde_json::from_value(serde_json::json!("0000000000000000")).unwrap(),
            state: if *over {
                let at = Noon.now();
                ReplicaState::Exited {
                    reason: ExitReason::Exited { code: 0 },
                    started: None,
                    at,
                    last_lines: Vec::new(),
                }
            } else {
                ReplicaState::Running { since: Noon.now(), ready: true }
            },
            address: None,
        });
        Ok(Seen { replicas: replicas.collect() })
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        Ok(vec![key()])
    }

    async fn apply(&self, _: &EnvironmentKey, _: Generation, _: &Action) -> Result<(), StepError> {
        unreachable!("the collector changes nothing")
    }

    async fn remove_environment(&self, _: &EnvironmentKey, _: bool) -> Result<(), StepError> {
        unreachable!("the collector changes nothing")
    }

    async fn ensure_job(&self, _: &JobKey, _: &JobSpec) -> Result<(), StepError> {
        unreachable!("the collector changes nothing")
    }

    async fn observe_jobs(&self, _: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        Ok(Vec::new())
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        Ok(Vec::new())
    }

    async fn stop_job(&self, _: &JobKey) -> Result<(), StepError> {
        unreachable!("the collector changes nothing")
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        self.readings.lock().unwrap().push(from);
        let LogSource::Replica(_, key) = source.clone() else { unreachable!("only replicas are collected") };
        let state = (self.printed.subscribe(), from.0);
        futures::stream::unfold(state, move |(mut printed, next)| {
            let key = key.clone();
            async move {
                loop {
                    let (line, over) = {
                        let all = printed.borrow_and_update();
                        let (lines, over) = all.get(&key)?;
                        (lines.get(usize::try_from(next).unwrap()).cloned(), *over)
                    };
                    if let Some(text) = line {
                        let line = LogLine { at: Noon.now(), position: LogPosition(next + 1), text };
                        return Some((Ok(line), (printed, next + 1)));
                    }
                    if over || printed.changed().await.is_err() {
                        return None;
                    }
                }
            }
        })
        .boxed()
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        Ok(Vec::new())
    }
}

/// Every secret is `hunter<version>`.
struct Revealing;

#[async_trait]
impl Inputs for Revealing {
    async fn reveal(
        &self,
        _: &SecretScope,
        _: &SecretName,
        version: SecretVersion,
    ) -> Result<SecretString, StepError> {
        Ok(SecretString::from(format!("hunter{version}")))
    }

    async fn archive(
        &self,
        _: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError> {
        unreachable!("logs need no files")
    }
}

struct Fixture {
    tape: Arc<Tape>,
    store: Store,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(&folder.path().join("naru.db"), Arc::new(Noon), Arc::new(Unobserved)).await.unwrap();
    store.create_project(&key().project, &"main".parse().unwrap()).await.unwrap();
    store.ensure_environment(&key(), None).await.unwrap();
    let tape = Tape { printed: watch::Sender::new(BTreeMap::new()), readings: Mutex::default() };
    Fixture { tape: Arc::new(tape), store, folder }
}

impl Fixture {
    /// One life of the process: its own log store and collector.
    async fn life(&self) -> (LogStore, Collector) {
        let logs = LogStore::open(&self.folder.path().join("logs"), LogLimits::default()).await.unwrap();
        let collector =
            Collector::new(self.store.clone(), self.tape.clone(), Arc::new(Revealing), logs.clone());
        (logs, collector)
    }
}

/// The stored lines, once there are `count` of them.
async fn stored(logs: &LogStore, count: usize) -> Vec<String> {
    let reading = logs.follow(&stream(), Cursor::default()).take(count).map(|entry| {
        let record = entry.unwrap().record;
        format!("{} {}", record.source, record.text)
    });
    tokio::time::timeout(Duration::from_secs(10), reading.collect()).await.expect("the lines are stored")
}

#[tokio::test]
async fn lines_are_masked_and_kept_after_the_replica_is_gone() {
    let f = fixture().await;
    let scope = SecretScope::Environment(key());
    for version in [1, 2] {
        let name = "PASSWORD".parse().unwrap();
        f.store.add_secret(&scope, &name, SecretVersion(version), "sealed", "mina").await.unwrap();
    }
    f.tape.print(0, &["listening", "using hunter2 and hunter1"], false);
    let (logs, collector) = f.life().await;
    collector.look_at_all().await.unwrap();
    assert_eq!(stored(&logs, 2).await, ["web-1-0 listening", "web-1-0 using *** and ***"]);
    f.tape.print(0, &["bye"], true);
    assert_eq!(stored(&logs, 3).await[2], "web-1-0 bye");
    f.tape.printed.send_modify(BTreeMap::clear);
    collector.look_at_all().await.unwrap();
    assert_eq!(logs.tail(&stream(), 1).await.unwrap().entries[0].record.text, "bye");
}

#[tokio::test]
async fn a_restart_goes_on_without_gap_or_repetition() {
    let f = fixture().await;
    f.tape.print(0, &["a0", "a1"], false);
    f.tape.print(1, &["b0"], false);
    {
        let (logs, collector) = f.life().await;
        collector.look_at_all().await.unwrap();
        stored(&logs, 3).await;
        // Dropped here before any place was noted: what is stored must not be stored again.
    }
    f.tape.print(0, &["a2"], true);
    f.tape.print(1, &["b1"], false);
    let (logs, collector) = f.life().await;
    collector.look_at_all().await.unwrap();
    let mut all = stored(&logs, 5).await;
    all.sort_unstable();
    assert_eq!(all, ["web-1-0 a0", "web-1-0 a1", "web-1-0 a2", "web-1-1 b0", "web-1-1 b1"]);
    // The replica that ended was noted; the next life reads it from its end.
    while logs.note(&stream()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    drop(collector);
    f.tape.readings.lock().unwrap().clear();
    let (logs, collector) = f.life().await;
    collector.look_at_all().await.unwrap();
    f.tape.print(1, &["b2"], false);
    assert_eq!(stored(&logs, 6).await[5], "web-1-1 b2");
    assert!(f.tape.readings.lock().unwrap().contains(&LogPosition(3)));
}

#[tokio::test]
async fn a_replica_that_was_read_to_its_end_is_not_read_again() {
    let f = fixture().await;
    f.tape.print(0, &["gone at once"], true);
    let (logs, collector) = f.life().await;
    collector.look_at_all().await.unwrap();
    stored(&logs, 1).await;
    while logs.note(&stream()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..3 {
        collector.look_at(&key()).await.unwrap();
    }
    let running = tokio::spawn(async move { collector.run().await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    running.abort();
    assert_eq!(f.tape.readings.lock().unwrap().len(), 1);
}
