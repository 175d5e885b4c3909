//! Whose turn it is: before a loop changes anything outside the store, it takes the lease of what it works on, so that
//! several processes on one store do not act at once. At rest no lease is needed, and nothing is written.

use std::time::Duration;

use naru_model::{EnvironmentKey, ProjectName};

/// When to look again at what another process works on.
pub(crate) const ELSEWHERE: Duration = Duration::from_secs(5);

/// The lease of an environment: its replicas, jobs and routes.
pub(crate) fn of_environment(key: &EnvironmentKey) -> String {
    format!("environment/{}/{}", key.project, key.environment)
}

/// The lease of a project's deploy repository.
pub(crate) fn of_repository(project: &ProjectName) -> String {
    format!("deploy/{project}")
}

/// The lease of the sweep.
pub(crate) const OF_SWEEP: &str = "sweep/delivery";
