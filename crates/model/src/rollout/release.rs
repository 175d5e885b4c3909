//! The release command: once per revision, on the new image, before any traffic.

use std::collections::BTreeMap;

use super::failure::release_command_failed;
use super::{Action, Situation};
use crate::job::{JobKey, JobScope, JobSpec, JobState, JobWork};
use crate::problem::Problem;
use crate::workload::VolumeAccess;

/// How much a release command may print.
const LOG_LIMIT_BYTES: u64 = 16 << 20;

pub(super) enum ReleaseCommand {
    /// There is none, or it was done before.
    NotNeeded,
    /// It has just succeeded.
    Done,
    /// It runs, or is to be started.
    Runs,
    Failed(Box<Problem>),
}

/// How far the release command is, and what to do about it.
pub(super) fn release_command(situation: &Situation) -> (ReleaseCommand, Option<Action>) {
    let Situation { want, released, job, .. } = situation;
    if want.spec.release_command.is_none() || *released {
        let clear = job.as_ref().map(|job| Action::StopJob { key: job.key.clone() });
        return (ReleaseCommand::NotNeeded, clear);
    }
    match job.as_ref().map(|job| &job.state) {
        Some(JobState::Finished(exit)) if exit.reason.is_success() => (ReleaseCommand::Done, None),
        Some(JobState::Finished(exit)) => {
            (ReleaseCommand::Failed(Box::new(release_command_failed(situation, &exit.reason))), None)
        }
        Some(_) => (ReleaseCommand::Runs, None),
        None => (ReleaseCommand::Runs, start(situation)),
    }
}

fn start(situation: &Situation) -> Option<Action> {
    let Situation { environment, want, .. } = situation;
    let command = want.spec.release_command.as_ref()?;
    // `parse` refuses a release command whose service is not there.
    let template = &want.spec.services.get(&command.service)?.template;
    let shared = template.mounts.iter().filter(|mount| {
        want.spec.volumes.get(&mount.volume).is_some_and(|volume| volume.access == VolumeAccess::Shared)
    });
    let job = JobSpec {
        work: JobWork::Command {
            image: template.image.to_string(),
            command: command.command.clone(),
            workspace: None,
            caches: BTreeMap::new(),
            beside: BTreeMap::new(),
            environment: Some((environment.clone(), shared.cloned().collect())),
        },
        variables: template.variables.clone(),
        limits: template.limits,
        time_limit: command.time_limit,
        log_limit_bytes: LOG_LIMIT_BYTES,
    };
    let key = JobKey {
        scope: JobScope::Revision(environment.clone(), want.revision),
        name: "release".into(),
        attempt: 1,
    };
    Some(Action::EnsureJob { key, job: Box::new(job) })
}
