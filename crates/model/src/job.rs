//! Work that ends: steps, builds, release commands. A job is named by what it is for, so starting it twice starts it
//! once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{CommitId, EnvironmentKey, RevisionNumber, RunNumber};
use crate::name::{ProjectName, VariableName};
use crate::time::Timestamp;
use crate::workload::{Limits, Mount, Value};

/// What jobs belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobScope {
    /// The steps and builds of a run.
    Run(ProjectName, RunNumber),
    /// The release command of a revision.
    Revision(EnvironmentKey, RevisionNumber),
}

/// Names one job. Equal keys are the same job: it is started once and adopted afterwards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// What it belongs to.
    pub scope: JobScope,
    /// Which of the scope's jobs: a DNS label.
    pub name: String,
    /// Counts from 1; a repetition is a new job.
    pub attempt: u32,
}

/// Where a secret lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretScope {
    /// For the steps of a project's pipeline.
    Pipeline(ProjectName),
    /// For the replicas and release commands of one environment.
    Environment(EnvironmentKey),
    /// For all environments of a project that have none of the same name.
    Project(ProjectName),
}

impl JobKey {
    /// Where the job's secrets live.
    pub fn secret_scope(&self) -> SecretScope {
        match &self.scope {
            JobScope::Run(project, _) => SecretScope::Pipeline(project.clone()),
            JobScope::Revision(key, _) => SecretScope::Environment(key.clone()),
        }
    }

    /// Whose job it is.
    pub fn project(&self) -> &ProjectName {
        match &self.scope {
            JobScope::Run(project, _) => project,
            JobScope::Revision(key, _) => &key.project,
        }
    }
}

impl fmt::Display for JobKey {
    /// `shop-run-12-test-1` or `shop-production-rev-7-release-1`: usable as a container name's tail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            JobScope::Run(project, run) => write!(f, "{project}-run-{run}")?,
            JobScope::Revision(key, revision) => {
                write!(f, "{}-{}-rev-{revision}", key.project, key.environment)?;
            }
        }
        write!(f, "-{}-{}", self.name, self.attempt)
    }
}

/// One job, as plain data: no secret value, no host path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// What is done.
    pub work: JobWork,
    /// Environment variables; secrets among them are revealed by the engine from the job's [`JobKey::secret_scope`].
    /// A build has none: its arguments come in [`JobWork::Build`].
    pub variables: BTreeMap<VariableName, Value>,
    /// Bounds. CPU weight is always lower than a service's.
    pub limits: Limits,
    /// It is killed when it takes longer.
    pub time_limit: Duration,
    /// It is killed when it prints more.
    pub log_limit_bytes: u64,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobWork {
    /// Runs a command in a container.
    Command {
        /// The image, as written in `naru.yaml` (a tag is allowed: steps are not deployed).
        image: String,
        /// An argument vector.
        command: Vec<String>,
        /// The commit whose files are unpacked into the working directory `/workspace`.
        workspace: Option<Workspace>,
        /// Cache volumes: absolute path in the container → cache name (kept per project).
        caches: BTreeMap<String, String>,
        /// Containers beside the step, reachable by name: name → image.
        beside: BTreeMap<String, String>,
        /// Joins an environment's network (release commands) and mounts its volumes.
        environment: Option<(EnvironmentKey, Vec<Mount>)>,
    },
    /// Builds an image from a Dockerfile and pushes it. The digest is in [`JobSeen::outputs`] under `digest`.
    Build {
        /// The commit whose files are the context.
        workspace: Workspace,
        /// The context folder, relative to the repository's root, `.` for the root.
        context: String,
        /// The Dockerfile: in the repository, relative to its root, or generated.
        dockerfile: Dockerfile,
        /// Build arguments.
        arguments: BTreeMap<String, String>,
        /// Labels for the image.
        labels: BTreeMap<String, String>,
        /// Registry host and repository with a tag, such as `127.0.0.1:7070/shop/web:run-12`.
        push_to: String,
    },
}

/// Where a Dockerfile comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dockerfile {
    /// A file of the repository, relative to its root.
    Path(String),
    /// This text, made for a repository that has none.
    Generated(String),
}

/// The files of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Whose source repository.
    pub project: ProjectName,
    /// Which commit.
    pub commit: CommitId,
}

/// A job as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSeen {
    /// Which job.
    pub key: JobKey,
    /// How far it is.
    pub state: JobState,
    /// What it left behind: a build leaves `digest`.
    pub outputs: BTreeMap<String, String>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Known, not running yet (its image is being pulled, its workspace unpacked).
    Preparing,
    /// Running.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Over.
    Finished(JobExit),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobExit {
    /// Why it ended.
    pub reason: ExitReason,
    /// When it started, if it did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
}

/// Why something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// It exited; 0 is success.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// A signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It used more memory than it may; said only when it is known.
    OutOfMemory {
        /// The limit it hit.
        limit_bytes: u64,
    },
    /// It took longer than its time limit.
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// It printed more than its log limit.
    LogLimit {
        /// The limit.
        bytes: u64,
    },
    /// It was stopped on request.
    Cancelled,
    /// It could not be started; the text says why, in one sentence.
    NotStarted {
        /// Why.
        why: String,
    },
}

impl ExitReason {
    /// Whether the job did what it should.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::Signalled { signal } => write!(f, "was killed by signal {signal}"),
            Self::OutOfMemory { limit_bytes } => {
                write!(f, "was killed by signal 9, memory limit of {} MiB reached", limit_bytes >> 20)
            }
            Self::TimedOut { seconds } => write!(f, "took longer than its time limit of {seconds} s"),
            Self::LogLimit { bytes } => write!(f, "printed more than its log limit of {} MiB", bytes >> 20),
            Self::Cancelled => f.write_str("was cancelled"),
            Self::NotStarted { why } => write!(f, "could not be started: {why}"),
        }
    }
}
