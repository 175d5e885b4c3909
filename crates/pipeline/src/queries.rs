//! What pages and commands ask, and the one wish they record. Lists of runs and releases come from the store directly.

use naru_model::pipeline::{StepGraph, StepRecord};
use naru_model::{ProjectName, RunNumber};
use naru_store::run::Run;
use naru_store::{Store, StoreError};
use serde::Serialize;

/// A run with its steps.
#[derive(Debug, Clone, Serialize)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its steps; what is needed comes before what needs it.
    pub steps: Vec<StepRecord>,
}

/// A run with its steps; `None` when there is no such run.
pub async fn show_run(
    store: &Store,
    project: &ProjectName,
    number: RunNumber,
) -> Result<Option<RunDetail>, StoreError> {
    let Some(run) = store.run(project, number).await? else { return Ok(None) };
    let steps = store.run_steps(project, number).await?;
    let graph = store.run_definition(project, number).await?.map(|definition| StepGraph::of(&definition));
    Ok(Some(RunDetail { run, steps: in_order(steps, &graph.unwrap_or_default()) }))
}

/// Records the wish to end a run and wakes the loop. `false` when it was over already.
pub async fn cancel(store: &Store, project: &ProjectName, number: RunNumber) -> Result<bool, StoreError> {
    store.cancel_run(project, number).await
}

/// Sorts steps so that each comes after what it needs.
fn in_order(mut waiting: Vec<StepRecord>, graph: &StepGraph) -> Vec<StepRecord> {
    let mut sorted: Vec<StepRecord> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let before = sorted.len();
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|step| {
            let needs = graph.nodes.get(&step.name).map_or(&[][..], |node| &node.needs);
            needs.iter().all(|need| sorted.iter().any(|done| done.name == *need))
        });
        sorted.extend(ready);
        if sorted.len() == before {
            sorted.extend(rest);
            break;
        }
        waiting = rest;
    }
    sorted
}
