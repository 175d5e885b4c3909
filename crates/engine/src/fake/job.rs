//! The fake's jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_model::job::{ExitReason, JobExit, JobKey, JobSeen, JobSpec, JobState, JobWork};
use naru_model::{Digest, Timestamp};

use crate::{LogLine, LogPosition};

/// What a job does.
#[derive(Debug, Clone)]
pub struct JobScript {
    /// How long it takes.
    pub takes: Duration,
    /// How it ends.
    pub ends: ExitReason,
    /// What it prints, evenly over its time.
    pub prints: Vec<String>,
    /// The image that a build leaves in the registry; made up from what is built unless it is said.
    pub digest: Option<Digest>,
}

impl Default for JobScript {
    fn default() -> Self {
        Self {
            takes: Duration::from_secs(1),
            ends: ExitReason::Exited { code: 0 },
            prints: Vec::new(),
            digest: None,
        }
    }
}

/// One start of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStart {
    /// Which job.
    pub key: JobKey,
    /// What it was asked to do.
    pub spec: JobSpec,
}

pub(super) struct Job {
    pub(super) key: JobKey,
    script: JobScript,
    pub(super) started: Timestamp,
    digest: Option<Digest>,
}

impl Job {
    /// A build's digest depends only on what is built, as it should be with a cache.
    pub(super) fn start(key: &JobKey, spec: &JobSpec, script: JobScript, now: Timestamp) -> Self {
        let digest = match &spec.work {
            JobWork::Build { workspace, push_to, .. } => {
                let name = push_to.rsplit_once(':').map_or(push_to.as_str(), |(name, _)| name);
                let made_up = || Digest::of(format!("{name} {}", workspace.commit).as_bytes());
                Some(script.digest.clone().unwrap_or_else(made_up))
            }
            JobWork::Command { .. } => None,
        };
        Self { key: key.clone(), script, started: now, digest }
    }

    fn ends_at(&self) -> Timestamp {
        self.started + self.script.takes
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at()
    }

    pub(super) fn seen(&self, now: Timestamp) -> JobSeen {
        let state = if self.is_over(now) {
            JobState::Finished(JobExit {
                reason: self.script.ends.clone(),
                started: Some(self.started),
                finished: self.ends_at(),
            })
        } else {
            JobState::Running { since: self.started }
        };
        let mut outputs = BTreeMap::new();
        if let (Some(digest), true) = (&self.digest, self.is_over(now) && self.script.ends.is_success()) {
            outputs.insert("digest".to_owned(), digest.to_string());
        }
        JobSeen { key: self.key.clone(), state, outputs }
    }

    pub(super) fn line(&self, from: LogPosition, now: Timestamp) -> Option<LogLine> {
        let index = usize::try_from(from.0).ok()?;
        let text = self.script.prints.get(index)?;
        let share = u32::try_from(index + 1).ok()?;
        let of = u32::try_from(self.script.prints.len()).ok()?;
        let at = self.started + self.script.takes * share / of;
        (at <= now).then(|| LogLine { at, position: LogPosition(from.0 + 1), text: text.clone() })
    }
}
