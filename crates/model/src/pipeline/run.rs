//! What happens within one run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{RunState, StepGraph, StepRecord, StepState};
use crate::definition::NodeName;
use crate::job::{ExitReason, JobExit, JobSeen, JobState};
use crate::time::Timestamp;

/// A job that the engine lost is ordered this many times.
const MAX_ATTEMPTS: u32 = 3;
/// How much longer than its limit a job may take before it is ended from here: the engine ends it first.
const TIME_LIMIT_GRACE: Duration = Duration::from_mins(1);
/// How long an engine may prepare a job: pull its image, unpack its workspace.
const PREPARE_LIMIT: Duration = Duration::from_mins(30);
/// How long a failed run waits for the end of its logs.
const LOG_GRACE: Duration = Duration::from_secs(10);

/// What is known about a run.
#[derive(Debug, Clone)]
pub struct RunFacts<'a> {
    /// How it is.
    pub state: RunState,
    /// Whether a person asked for its end.
    pub cancel: bool,
    /// Its steps and builds.
    pub graph: &'a StepGraph,
    /// What is recorded of them.
    pub steps: &'a [StepRecord],
    /// What the engine sees.
    pub jobs: &'a [JobSeen],
    /// How many more jobs may start now.
    pub room: usize,
    /// The hour.
    pub now: Timestamp,
}

/// What to record, then what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlan {
    /// How the run is now.
    pub state: RunState,
    /// Every step as it is now.
    pub steps: Vec<StepRecord>,
    /// To be carried out after the states are recorded. Repeating one is harmless.
    pub actions: Vec<RunAction>,
    /// Nodes that could start if there were room.
    pub wait_for_room: Vec<NodeName>,
    /// Whether the engine has nothing of the run any more.
    pub cleared: bool,
}

/// One thing to do for a node's job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunAction {
    /// Start or adopt the job.
    Start(NodeName, u32),
    /// Make sure that its output is being stored.
    Collect(NodeName, u32),
    /// End the job and remove what it left.
    Stop(NodeName, u32),
}

/// Decides what happens next in a run.
pub fn plan_run(facts: &RunFacts<'_>) -> RunPlan {
    let mut steps: BTreeMap<NodeName, StepRecord> =
        facts.steps.iter().map(|step| (step.name.clone(), step.clone())).collect();
    for name in facts.graph.nodes.keys() {
        steps.entry(name.clone()).or_insert_with(|| StepRecord::waiting(name.clone()));
    }
    for step in steps.values_mut() {
        observe(step, facts);
    }
    let wait_for_room = start_ready(&mut steps, facts);
    let state = state_of(&steps, facts);
    let actions = actions(&steps, facts);
    let ends_a_job = actions.iter().any(|action| matches!(action, RunAction::Stop(..)));
    RunPlan {
        state,
        wait_for_room,
        cleared: state.is_over() && facts.jobs.is_empty() && !ends_a_job,
        steps: steps.into_values().collect(),
        actions,
    }
}

/// The job of a step's last attempt, as the engine sees it.
fn job_of<'a>(step: &StepRecord, jobs: &'a [JobSeen]) -> Option<&'a JobSeen> {
    let name = step.name.job_name();
    jobs.iter().find(|job| job.key.name == name.as_str() && job.key.attempt == step.attempt)
}

/// Brings one record up to what the engine sees, and to a person's wish to end the run.
fn observe(step: &mut StepRecord, facts: &RunFacts<'_>) {
    if step.state.is_over() {
        return;
    }
    match job_of(step, facts.jobs).map(|job| (job, &job.state)) {
        Some((job, JobState::Finished(exit))) => finish(step, job, exit, facts.cancel),
        Some(_) if facts.cancel => end(step, StepState::Cancelled, facts.now),
        Some((_, state)) => {
            // What is only being prepared may be forgotten by a restart of the engine: it counts as ordered, not as seen.
            if matches!(state, JobState::Running { .. }) {
                step.state = StepState::Running;
            }
            if is_overdue(step, state, facts) {
                let seconds = facts.graph.nodes.get(&step.name).map_or(0, |node| node.time_limit.as_secs());
                step.exit = Some(ExitReason::TimedOut { seconds });
                end(step, StepState::Failed, facts.now);
            }
        }
        None if facts.cancel => end(step, StepState::Cancelled, facts.now),
        None if step.state == StepState::Running => lost(step, facts.now),
        None if step.state == StepState::Starting && is_overdue(step, &JobState::Preparing, facts) => {
            let why = format!("the engine did not start it within {} min", PREPARE_LIMIT.as_secs() / 60);
            step.exit = Some(ExitReason::NotStarted { why });
            end(step, StepState::Failed, facts.now);
        }
        None => {}
    }
}

fn end(step: &mut StepRecord, state: StepState, now: Timestamp) {
    step.state = state;
    step.finished = Some(now);
}

fn finish(step: &mut StepRecord, job: &JobSeen, exit: &JobExit, cancel: bool) {
    let state = match exit.reason {
        ref reason if reason.is_success() => StepState::Succeeded,
        _ if cancel => StepState::Cancelled,
        _ => StepState::Failed,
    };
    step.outputs = job.outputs.clone();
    step.exit = Some(exit.reason.clone());
    end(step, state, exit.finished);
}

/// A job that was there and is not any more: it is ordered again, a few times.
fn lost(step: &mut StepRecord, now: Timestamp) {
    if step.attempt < MAX_ATTEMPTS {
        step.attempt += 1;
        step.state = StepState::Starting;
        step.started = Some(now);
        (step.log_complete, step.tests) = (false, None);
    } else {
        let why = format!("the engine lost it {MAX_ATTEMPTS} times");
        step.exit = Some(ExitReason::NotStarted { why });
        end(step, StepState::Failed, now);
    }
}

fn is_overdue(step: &StepRecord, state: &JobState, facts: &RunFacts<'_>) -> bool {
    let Some(node) = facts.graph.nodes.get(&step.name) else { return true };
    let (since, limit) = match state {
        JobState::Running { since } => (Some(*since), node.time_limit + TIME_LIMIT_GRACE),
        _ => (step.started, PREPARE_LIMIT),
    };
    since.is_some_and(|since| facts.now.duration_since(since) > limit.try_into().unwrap_or_default())
}

/// Skips what can no longer start, orders what can while there is room, and names what has to wait for room.
fn start_ready(steps: &mut BTreeMap<NodeName, StepRecord>, facts: &RunFacts<'_>) -> Vec<NodeName> {
    let mut room = facts.room;
    let mut wait_for_room = Vec::new();
    // Each round may skip what the next round's nodes need; a graph is never deeper than it has nodes.
    for _ in 0..=facts.graph.nodes.len() {
        let mut changed = false;
        for (name, node) in &facts.graph.nodes {
            if steps[name].state != StepState::Waiting {
                continue;
            }
            let states: Vec<StepState> =
                node.needs.iter().filter_map(|need| steps.get(need)).map(|step| step.state).collect();
            let never = states.iter().any(|state| state.is_over() && *state != StepState::Succeeded);
            if never {
                end(steps.get_mut(name).expect("every node has a record"), StepState::Skipped, facts.now);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for (name, node) in &facts.graph.nodes {
        let needs_done =
            node.needs.iter().all(|need| steps.get(need).is_some_and(|s| s.state == StepState::Succeeded));
        if steps[name].state != StepState::Waiting || !needs_done {
            continue;
        }
        if room == 0 {
            wait_for_room.push(name.clone());
            continue;
        }
        room -= 1;
        let step = steps.get_mut(name).expect("every node has a record");
        step.state = StepState::Starting;
        step.attempt = 1;
        step.started = Some(facts.now);
    }
    wait_for_room
}

fn state_of(steps: &BTreeMap<NodeName, StepRecord>, facts: &RunFacts<'_>) -> RunState {
    if facts.state.is_over() {
        return facts.state;
    }
    let any = |state: StepState| steps.values().any(|step| step.state == state);
    if facts.cancel && steps.values().all(|step| step.state.is_over()) {
        return if steps.values().all(|s| s.state == StepState::Succeeded) {
            RunState::Succeeded
        } else {
            RunState::Cancelled
        };
    }
    if steps.values().any(|step| !step.state.is_over() || evidence_missing(step, facts.now)) {
        let begun = steps.values().any(|step| step.attempt > 0);
        return if begun { RunState::Running } else { facts.state };
    }
    match () {
        () if any(StepState::Failed) => RunState::Failed,
        () if any(StepState::Cancelled) => RunState::Cancelled,
        () => RunState::Succeeded,
    }
}

/// A failed step's last lines are the evidence, so the run waits a moment for them.
fn evidence_missing(step: &StepRecord, now: Timestamp) -> bool {
    let recent = |at: Timestamp| now.duration_since(at) < LOG_GRACE.try_into().unwrap_or_default();
    step.state == StepState::Failed && !step.log_complete && step.finished.is_some_and(recent)
}

/// A job that was ordered, is not seen, and is given up in this pass: something of it may have come into being.
fn ended_unseen(step: &StepRecord, facts: &RunFacts<'_>) -> bool {
    let before = facts.steps.iter().find(|before| before.name == step.name);
    before.is_some_and(|before| before.state == StepState::Starting) && job_of(step, facts.jobs).is_none()
}

/// What follows from the records and what the engine still has.
fn actions(steps: &BTreeMap<NodeName, StepRecord>, facts: &RunFacts<'_>) -> Vec<RunAction> {
    let mut actions = Vec::new();
    for step in steps.values() {
        match step.state {
            StepState::Starting => actions.push(RunAction::Start(step.name.clone(), step.attempt)),
            StepState::Running => actions.push(RunAction::Collect(step.name.clone(), step.attempt)),
            _ if ended_unseen(step, facts) => actions.push(RunAction::Stop(step.name.clone(), step.attempt)),
            _ => {}
        }
    }
    for job in facts.jobs {
        let Some(step) = steps.values().find(|step| step.name.job_name().as_str() == job.key.name) else {
            continue;
        };
        let finished = matches!(job.state, JobState::Finished(_));
        let is_last = job.key.attempt == step.attempt;
        match step.state {
            _ if !is_last => actions.push(RunAction::Stop(step.name.clone(), job.key.attempt)),
            StepState::Waiting | StepState::Starting | StepState::Running => {}
            _ if finished && !step.log_complete => {
                actions.push(RunAction::Collect(step.name.clone(), job.key.attempt));
            }
            _ => actions.push(RunAction::Stop(step.name.clone(), job.key.attempt)),
        }
    }
    actions
}
