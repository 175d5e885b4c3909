//! Jobs: which there are and how far each is, starting and ending them. A command's container is made in `command`,
//! a build in `build`; here is what both share.
//!
//! What must survive a restart is outside: labels, the containers' own states, and one folder per job. Remembered are
//! only preparations under way and those that failed; a restart in the middle prepares again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use naru_model::job::{ExitReason, JobExit, JobKey, JobScope, JobSeen, JobSpec, JobState, JobWork};
use naru_model::workload::Limits;
use naru_model::{Clock, Problem};
use tokio::task::AbortHandle;

use super::api::Listed;
use super::container::{Containers, is_new, is_running};
use super::host::Surroundings;
use super::image::Images;
use super::logs::{Output, Sender, fed_by, follow};
use super::names;
use super::network::Networks;
use super::replica::Replicas;
use super::{build, exit};
use crate::{Inputs, LogPosition, StepError};

/// Pauses between attempts to prepare a job while the engine or a registry is out of reach.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The jobs of one engine.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) containers: Containers,
    pub(crate) networks: Networks,
    pub(crate) images: Images,
    pub(crate) replicas: Replicas,
    pub(crate) inputs: Arc<dyn Inputs>,
    pub(crate) surroundings: Surroundings,
    pub(crate) tools: Arc<build::Tools>,
    pub(crate) clock: Arc<dyn Clock>,
    /// `<data>/engine/jobs`.
    pub(crate) folder: PathBuf,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    preparing: HashMap<JobKey, AbortHandle>,
    failed: HashMap<JobKey, JobExit>,
    watched: HashSet<JobKey>,
}

/// The bounds of a job, as its container's label says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) time_limit: Duration,
    pub(crate) log_limit_bytes: u64,
}

impl Jobs {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while holding the lock")
    }

    /// The job's own folder.
    pub(crate) fn folder_of(&self, key: &JobKey) -> PathBuf {
        self.folder.join(names::job_tail(key))
    }

    /// Starts a job or adopts it, in the background.
    pub(crate) fn ensure(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        check_label("job name", &key.name)?;
        let mut memory = self.memory();
        if memory.preparing.contains_key(key) || memory.failed.contains_key(key) {
            return Ok(());
        }
        let (this, key_of_task, job) = (self.clone(), key.clone(), job.clone());
        // The task takes the lock before it ends, so it cannot be over before it is entered here.
        let task = tokio::spawn(async move { this.prepare(key_of_task, job).await });
        memory.preparing.insert(key.clone(), task.abort_handle());
        Ok(())
    }

    async fn prepare(self, key: JobKey, job: JobSpec) {
        let end = tokio::time::Instant::now() + job.time_limit;
        let mut pause = PAUSE;
        let failure = loop {
            let result = match &job.work {
                JobWork::Command { .. } => self.prepare_command(&key, &job).await,
                JobWork::Build { .. } => self.prepare_build(&key, &job).await,
            };
            match result {
                Ok(()) => break None,
                Err(StepError::Blocked(problem)) => break Some(in_one_sentence(&problem)),
                Err(StepError::Transient(why)) if tokio::time::Instant::now() + pause > end => {
                    break Some(why);
                }
                Err(StepError::Transient(why)) => {
                    tracing::warn!(job = %key, why, "a job could not be prepared yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        if failure.is_some()
            && let Err(error) = self.remove_containers(&key, None).await
        {
            tracing::warn!(%error, job = %key, "what is left of a job that did not start is removed when it is stopped");
        }
        let mut memory = self.memory();
        memory.preparing.remove(&key);
        if let Some(why) = failure {
            let reason = ExitReason::NotStarted { why };
            memory.failed.insert(key, JobExit { reason, started: None, finished: self.clock.now() });
        }
    }

    /// The scope's jobs.
    pub(crate) async fn observe(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        let mut seen = BTreeMap::new();
        for job in self.builds()?.into_iter().filter(|key| &key.scope == scope) {
            if let Some(job) = self.look_at_build(&job) {
                self.name_build(&job).await?;
                seen.insert(job.key.clone(), job);
            }
        }
        let labels = [(names::KIND, "job".to_owned()), (names::SCOPE, names::scope(scope))];
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for listed in self.containers.list(&labels).await? {
            if let Some(job) = self.look(&listed).await? {
                seen.insert(job.key.clone(), job);
            }
        }
        let memory = self.memory();
        let of_scope = |key: &&JobKey| &key.scope == scope;
        for key in memory.preparing.keys().filter(of_scope) {
            seen.entry(key.clone()).or_insert_with(|| job(key, JobState::Preparing));
        }
        for (key, exit) in memory.failed.iter().filter(|(key, _)| of_scope(key)) {
            seen.insert(key.clone(), job(key, JobState::Finished(exit.clone())));
        }
        Ok(seen.into_values().collect())
    }

    /// A command's job; `None` when it is half-made and nobody is at it: then it counts as not started.
    async fn look(&self, listed: &Listed) -> Result<Option<JobSeen>, StepError> {
        let Some(key) = names::read_job(&listed.labels) else { return Ok(None) };
        if is_new(&listed.state) {
            return Ok(None);
        }
        let Some(seen) = self.containers.inspect(&listed.id).await? else { return Ok(None) };
        let bounds = bounds_of(&listed.labels);
        let state = if is_running(&seen.state.status) {
            let Some(since) = seen.state.started_at else { return Ok(None) };
            self.watch(&key, &seen.id, bounds, since);
            JobState::Running { since }
        } else {
            let reason = match self.read_verdict(&key) {
                Some(reason) => reason,
                None => exit::reason(&seen.id, &seen.state, bounds.limits.memory_bytes).await,
            };
            JobState::Finished(JobExit {
                reason,
                started: seen.state.started_at,
                finished: seen.state.finished_at.unwrap_or_else(|| self.clock.now()),
            })
        };
        Ok(Some(job(&key, state)))
    }

    /// Claims the watch over a running job; `false` when somebody has it.
    pub(crate) fn begin_watch(&self, key: &JobKey) -> bool {
        self.memory().watched.insert(key.clone())
    }

    /// Gives the watch up.
    pub(crate) fn end_watch(&self, key: &JobKey) {
        self.memory().watched.remove(key);
    }

    /// Scopes with any job left.
    pub(crate) async fn scopes(&self) -> Result<Vec<JobScope>, StepError> {
        let mut scopes: BTreeSet<JobScope> = self.builds()?.into_iter().map(|key| key.scope).collect();
        let containers = self.containers.list(&names::Labels::new()).await?;
        let networks = self.networks.list().await?;
        let labels = containers.iter().map(|it| &it.labels).chain(networks.iter().map(|it| &it.labels));
        scopes.extend(labels.filter_map(names::read_job).map(|key| key.scope));
        let memory = self.memory();
        scopes.extend(memory.preparing.keys().chain(memory.failed.keys()).map(|key| key.scope.clone()));
        Ok(scopes.into_iter().collect())
    }

    /// Ends a job and removes what it left.
    pub(crate) async fn stop(&self, key: &JobKey) -> Result<(), StepError> {
        check_label("job name", &key.name)?;
        let preparing = self.memory().preparing.get(key).cloned();
        if let Some(task) = preparing {
            task.abort();
        }
        self.end_build(key).await?;
        self.remove_containers(key, None).await?;
        self.networks.remove(&names::job(&self.containers.instance, key)).await?;
        remove_folder(&self.folder_of(key)).await?;
        let mut memory = self.memory();
        memory.preparing.remove(key);
        memory.failed.remove(key);
        Ok(())
    }

    /// Removes the job's containers, or only those of one kind.
    pub(crate) async fn remove_containers(&self, key: &JobKey, kind: Option<&str>) -> Result<(), StepError> {
        let mut labels = names::Labels::from([(names::JOB_NAME.to_owned(), names::job_tail(key))]);
        labels.extend(kind.map(|kind| (names::KIND.to_owned(), kind.to_owned())));
        for listed in self.containers.list(&labels).await? {
            self.containers.remove(&listed.id).await?;
        }
        Ok(())
    }

    /// The job's output from a position on, until it has ended.
    pub(crate) fn logs(&self, key: &JobKey, from: LogPosition) -> Output {
        let (this, key) = (self.clone(), key.clone());
        fed_by(|sender| async move { this.follow(&key, from, sender).await })
    }

    async fn follow(&self, key: &JobKey, from: LogPosition, sender: Sender) -> Result<(), StepError> {
        while self.memory().preparing.contains_key(key) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if self.memory().failed.contains_key(key) {
            return Ok(());
        }
        if self.has_build(key) {
            return self.follow_build(key, from, sender).await;
        }
        follow(&self.containers, &names::job(&self.containers.instance, key), from, sender).await
    }
}

pub(crate) fn job(key: &JobKey, state: JobState) -> JobSeen {
    JobSeen { key: key.clone(), state, outputs: BTreeMap::new() }
}

/// A container without readable bounds is not one that runs for ever.
pub(crate) fn bounds_of(labels: &names::Labels) -> Bounds {
    let written = labels.get(names::JOB_BOUNDS).and_then(|text| serde_json::from_str(text).ok());
    written.unwrap_or(Bounds {
        limits: Limits::default(),
        time_limit: Duration::from_hours(1),
        log_limit_bytes: 64 << 20,
    })
}

/// A job's failure is told in one sentence.
pub(crate) fn in_one_sentence(problem: &Problem) -> String {
    match problem.cause.first() {
        Some(cause) => format!("{}: {cause}", problem.summary),
        None => problem.summary.clone(),
    }
}

/// Names of jobs, caches and containers beside become parts of names and paths.
pub(crate) fn check_label(noun: &str, text: &str) -> Result<(), StepError> {
    let bytes = text.as_bytes();
    let is_label = !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        && bytes[0] != b'-';
    if is_label {
        return Ok(());
    }
    Err(Problem::new("engine.bad-name", format!("the {noun} {text:?} is not usable"))
        .hint("use lower-case letters, digits and hyphens, at most 63 characters")
        .into())
}

/// Removes a folder that somebody may just be writing into.
async fn remove_folder(path: &std::path::Path) -> Result<(), StepError> {
    let mut attempts = 0;
    loop {
        match tokio::fs::remove_dir_all(path).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) if attempts < 20 => {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                return Err(StepError::Transient(format!("{} cannot be removed: {error}", path.display())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        assert!(check_label("job name", "build-web").is_ok());
        for bad in ["", "..", "a/b", "-a", "A", "a b", "a.b", &"a".repeat(64)] {
            assert!(check_label("job name", bad).is_err(), "{bad:?}");
        }
    }
}
