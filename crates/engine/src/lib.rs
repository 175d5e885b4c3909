//! What runs things, and what leads requests to them: two traits and their implementations.
//!
//! An engine carries out single actions and says what it sees. It decides nothing: which action comes next is
//! planned in `naru_model::rollout`.

pub mod docker;
pub mod fake;
pub mod observed;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec, SecretScope, Workspace};
use naru_model::rollout::{Action, ReplicaKey, Seen};
use naru_model::route::{RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation, Problem, SecretName, SecretVersion, Timestamp};
use secrecy::SecretString;

/// An error, sorted by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StepError {
    /// Repeating it will not help; a person must change something.
    #[error("{}", .0.summary)]
    Blocked(Box<Problem>),
    /// It may work in a moment: the engine is restarting, a socket is gone, a time limit passed.
    #[error("{0}")]
    Transient(String),
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> Self {
        Self::Blocked(Box::new(problem))
    }
}

/// What an engine can do, for `naru doctor` and for refusing early.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// Name and version, such as `Podman 4.3.1`.
    pub engine: String,
    /// Limits that it cannot enforce here, and why, in words for people. Empty when it can do all it should.
    pub missing: Vec<String>,
}

/// One line of a container's or job's output.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogLine {
    /// When it was printed.
    pub at: Timestamp,
    /// Where reading goes on after this line.
    pub position: LogPosition,
    /// The line without its newline; at most 16 KiB, longer lines are cut and continued.
    pub text: String,
}

/// A place in a log: opaque, comparable, valid as long as its source exists. The start is the default.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct LogPosition(pub u64);

/// Whose output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogSource {
    /// A job's.
    Job(JobKey),
    /// A replica's.
    Replica(EnvironmentKey, ReplicaKey),
}

/// What a replica uses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Where it runs.
    pub environment: EnvironmentKey,
    /// Which replica.
    pub replica: ReplicaKey,
    /// Total CPU time since it started, in microseconds.
    pub cpu_micros: u64,
    /// Memory in bytes, without the page cache that the kernel takes back when it likes.
    pub memory_bytes: u64,
    /// Bytes that came to it over its networks since it started.
    pub received_bytes: u64,
    /// Bytes that it sent since it started.
    pub sent_bytes: u64,
}

/// An environment that exists on the engine, found by label.
pub type Environments = Vec<EnvironmentKey>;

/// Runs replicas and jobs. Every effect is named by object and generation: repeating it is harmless.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// What it is and what it cannot do here.
    async fn capabilities(&self) -> Result<Capabilities, StepError>;

    /// Reality, not our last write: every replica of the environment that this instance made.
    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError>;

    /// Environments of which this instance has anything left, for finding orphans.
    async fn environments(&self) -> Result<Environments, StepError>;

    /// Carries out one action. [`Action::Publish`] is not for engines and is refused.
    async fn apply(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError>;

    /// Removes what is left of an environment: replicas and network; volumes only with `volumes`.
    async fn remove_environment(&self, environment: &EnvironmentKey, volumes: bool) -> Result<(), StepError>;

    /// Starts a job or adopts it. Returns at once.
    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError>;

    /// The scope's jobs, finished ones included until they are stopped.
    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError>;

    /// Scopes of which this instance has any job left, for finding orphans.
    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError>;

    /// Ends a job with all its processes and removes what it left, outputs included.
    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError>;

    /// Output from `from` on; ends when the source has ended, or fails with `Transient` when the engine goes away.
    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>>;

    /// What every running replica of this instance uses now, by environment and replica. Cheap enough to be asked every few
    /// seconds.
    async fn usage(&self) -> Result<Vec<Usage>, StepError>;
}

/// Leads requests to replicas. Implemented by the edge's control client and by the fake.
#[async_trait]
pub trait Traffic: Send + Sync + 'static {
    /// Replaces the environment's routes. A generation below the applied one is refused as `Transient`.
    async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError>;

    /// What is in force, and what is under way.
    async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, StepError>;

    /// Environments that have routes, with the applied generation.
    async fn tables(&self) -> Result<BTreeMap<EnvironmentKey, Generation>, StepError>;
}

/// What an engine fetches while it starts something: never part of an action, never logged.
#[async_trait]
pub trait Inputs: Send + Sync + 'static {
    /// The plain text of a secret. A revoked version answers with the current one.
    async fn reveal(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        version: SecretVersion,
    ) -> Result<SecretString, StepError>;

    /// The files of a commit as a tar stream.
    async fn archive(
        &self,
        workspace: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError>;
}
