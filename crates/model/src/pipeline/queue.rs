//! Which runs go first. Runs of one branch never overlap, so that a release is never overtaken by an older commit.

use std::collections::BTreeSet;

use super::RunState;
use crate::id::RunNumber;
use crate::name::{BranchName, ProjectName};

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRun {
    /// Its project.
    pub project: ProjectName,
    /// Its number.
    pub number: RunNumber,
    /// Its branch.
    pub branch: BranchName,
    /// [`RunState::Queued`] or [`RunState::Running`].
    pub state: RunState,
}

/// What happens to the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueuePlan {
    /// Runs that a newer one of the same branch replaces, with that one.
    pub superseded: Vec<(ProjectName, RunNumber, RunNumber)>,
    /// Runs that may do work now, oldest first.
    pub active: Vec<(ProjectName, RunNumber)>,
}

/// Sorts runs, given oldest first. At most `limit` are active at once; a run waits while an older one of its branch is
/// active.
pub fn plan_queue(runs: &[QueuedRun], limit: usize) -> QueuePlan {
    let mut plan = QueuePlan::default();
    let mut branches = BTreeSet::new();
    for run in runs.iter().filter(|run| run.state == RunState::Running) {
        branches.insert((&run.project, &run.branch));
        plan.active.push((run.project.clone(), run.number));
    }
    for run in runs.iter().filter(|run| run.state == RunState::Queued) {
        let newer = runs.iter().filter(|other| {
            other.project == run.project && other.branch == run.branch && other.number > run.number
        });
        if let Some(newest) = newer.map(|other| other.number).max() {
            plan.superseded.push((run.project.clone(), run.number, newest));
        } else if plan.active.len() < limit && branches.insert((&run.project, &run.branch)) {
            plan.active.push((run.project.clone(), run.number));
        }
    }
    plan
}
