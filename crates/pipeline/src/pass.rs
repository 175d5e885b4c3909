//! One pass over everything: triggers become runs, runs take their turn, and each is brought one step further.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use naru_engine::StepError;
use naru_model::definition::{NodeName, ProjectDefinition};
use naru_model::job::{ExitReason, JobScope};
use naru_model::pipeline::{
    QueuedRun, RunAction, RunFacts, RunPlan, RunState, StepGraph, StepRecord, StepState, plan_queue, plan_run,
};
use naru_model::{Digest, ImageReference, Problem, SecretName, SecretVersion, ServiceName};
use naru_store::StoreError;
use naru_store::lease::Lease;
use naru_store::release::NewRelease;
use naru_store::run::{Run, RunChange};

use crate::{Context, RESYNC, collect, evidence, intake, job};

/// How often the engine is asked while jobs run. A job's end is also noticed by the end of its log.
const WATCH: Duration = Duration::from_secs(1);
/// When to look again at a run that another process works on.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Why a pass did not get through.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine did not answer.
    #[error("the engine does not answer: {0}")]
    Engine(StepError),
}

/// One pass. Returns when to look again. Takes no hint of what changed, keeps nothing in memory but who copies which
/// log, and may die at any `.await`.
pub async fn reconcile(cx: &Arc<Context>) -> Result<Duration, PassError> {
    intake::take_triggers(cx).await?;
    let open = cx.store.open_runs().await?;
    let active = sort_queue(cx, &open).await?;
    let mut room = room(cx, &active).await?;
    let mut look_again = RESYNC;
    let mut failed = None;
    for run in &active {
        match advance(cx, run, &mut room).await {
            Ok(next) => look_again = look_again.min(next),
            Err(PassError::Store(StoreError::Stale(_))) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(look_again), Err)
}

/// Records what newer runs superseded, and returns the runs that are looked at: those whose turn it is, those that are
/// to be ended, and those of which the engine may still have something.
async fn sort_queue(cx: &Context, open: &[Run]) -> Result<Vec<Run>, StoreError> {
    let queued = |run: &&Run| !run.state.is_over();
    let facts: Vec<QueuedRun> = open
        .iter()
        .filter(queued)
        .map(|run| QueuedRun {
            project: run.project.clone(),
            number: run.number,
            branch: run.branch.clone(),
            state: run.state,
        })
        .collect();
    let plan = plan_queue(&facts, cx.settings.run_limit);
    let mut active = Vec::new();
    for run in open {
        let superseded = plan
            .superseded
            .iter()
            .find(|(project, number, _)| *project == run.project && *number == run.number);
        let has_turn = plan.active.contains(&(run.project.clone(), run.number));
        match superseded {
            Some((_, _, by)) if !run.cancel => supersede(cx, run, *by).await?,
            _ if has_turn || run.cancel || run.state.is_over() => active.push(run.clone()),
            _ => {}
        }
    }
    Ok(active)
}

async fn supersede(cx: &Context, run: &Run, by: naru_model::RunNumber) -> Result<(), StoreError> {
    let mut steps = cx.store.run_steps(&run.project, run.number).await?;
    for step in &mut steps {
        step.state = StepState::Skipped;
        step.finished = Some(cx.store.now());
    }
    let change = RunChange {
        project: &run.project,
        number: run.number,
        state: RunState::Superseded,
        note: "",
        steps: &steps,
        problem: None,
        superseded_by: Some(by),
        release: None,
        cleared: true,
    };
    match cx.store.change_run(&change).await {
        Ok(_) | Err(StoreError::Stale(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How many more jobs may start, and why not more.
struct JobRoom {
    free: usize,
    refusal: Option<String>,
}

async fn room(cx: &Context, active: &[Run]) -> Result<JobRoom, StoreError> {
    let mut running = 0;
    for run in active.iter().filter(|run| run.state == RunState::Running) {
        let steps = cx.store.run_steps(&run.project, run.number).await?;
        running += steps
            .iter()
            .filter(|step| matches!(step.state, StepState::Starting | StepState::Running))
            .count();
    }
    let refusal = cx.admission.room().refusal();
    let free = if refusal.is_some() { 0 } else { cx.settings.job_limit.saturating_sub(running) };
    Ok(JobRoom { free, refusal })
}

/// Brings one run further: observe, plan, record, act. Leaves it alone while another process works on it.
async fn advance(cx: &Arc<Context>, run: &Run, room: &mut JobRoom) -> Result<Duration, PassError> {
    let turn = format!("run/{}/{}", run.project, run.number);
    let Some(lease) = cx.store.lease(&turn).await? else { return Ok(ELSEWHERE) };
    let definition = cx.store.run_definition(&run.project, run.number).await?.unwrap_or_default();
    let graph = StepGraph::of(&definition);
    let steps = cx.store.run_steps(&run.project, run.number).await?;
    let scope = JobScope::Run(run.project.clone(), run.number);
    let jobs = cx.engine.observe_jobs(&scope).await.map_err(PassError::Engine)?;
    let deleting = cx.store.project(&run.project).await?.is_none_or(|project| project.deleting);
    let plan = plan_run(&RunFacts {
        state: run.state,
        cancel: run.cancel || deleting,
        graph: &graph,
        steps: &steps,
        jobs: &jobs,
        room: room.free,
        now: cx.store.now(),
    });
    let begun = |steps: &[StepRecord]| steps.iter().filter(|step| step.attempt > 0).count();
    room.free = room.free.saturating_sub(begun(&plan.steps).saturating_sub(begun(&steps)));
    record(cx, run, &definition, &steps, &plan, room).await?;
    act(cx, &lease, run, &definition, &plan).await?;
    let quiet = plan.state.is_over() && plan.cleared;
    Ok(if quiet { RESYNC } else { WATCH })
}

/// Writes what changed, if anything did; with the release when the run has succeeded, with the evidence when it failed.
async fn record(
    cx: &Context,
    run: &Run,
    definition: &ProjectDefinition,
    before: &[StepRecord],
    plan: &RunPlan,
    room: &JobRoom,
) -> Result<(), StoreError> {
    let note = note(plan, room);
    let steps: Vec<StepRecord> = plan.steps.iter().filter(|step| !before.contains(step)).cloned().collect();
    if steps.is_empty() && plan.state == run.state && note == run.note && plan.cleared == run.cleared {
        return Ok(());
    }
    let over_now = plan.state.is_over() && !run.state.is_over();
    let (mut state, mut problem, mut release) = (plan.state, None, None);
    if over_now && state == RunState::Succeeded {
        match images(cx, run, &plan.steps) {
            Ok(images) => {
                let (branch, commit) = (run.branch.clone(), run.commit.clone());
                release = Some(NewRelease { branch, commit, images, definition: definition.clone() });
            }
            Err(missing) => (state, problem) = (RunState::Failed, Some(missing)),
        }
    } else if over_now && state == RunState::Failed {
        // What a refused step said is worth more than what can be read off it afterwards.
        problem = match &run.problem {
            Some(told) => Some(told.clone()),
            None => Some(evidence::of(cx, run, &plan.steps).await),
        };
    }
    let made = cx
        .store
        .change_run(&RunChange {
            project: &run.project,
            number: run.number,
            state,
            note: &note,
            steps: &steps,
            problem: problem.as_ref(),
            superseded_by: None,
            release: release.as_ref(),
            cleared: plan.cleared,
        })
        .await?;
    if over_now {
        let release = made.map(|number| number.0);
        tracing::info!(project = %run.project, run = %run.number, %state, release, "a run is over");
        end_logs(cx, run, &plan.steps).await;
    }
    Ok(())
}

fn note(plan: &RunPlan, room: &JobRoom) -> String {
    match (&room.refusal, plan.wait_for_room.is_empty()) {
        (_, true) => String::new(),
        (Some(refusal), false) => format!("waiting: {refusal}"),
        (None, false) => "waiting: other steps are running".to_owned(),
    }
}

/// The images that the builds left in the registry.
fn images(
    cx: &Context,
    run: &Run,
    steps: &[StepRecord],
) -> Result<BTreeMap<ServiceName, ImageReference>, Problem> {
    let mut images = BTreeMap::new();
    for step in steps {
        let NodeName::Build(service) = &step.name else { continue };
        let digest: Option<Digest> = step.outputs.get("digest").and_then(|digest| digest.parse().ok());
        let digest = digest.ok_or_else(|| {
            Problem::new("pipeline.digest-missing", format!("the build of `{service}` left no image"))
                .cause("it ended well, but reported no digest of a pushed image")
                .state("no release was made; what serves keeps serving")
                .hint("look at its log, and push again")
                .command(format!(
                    "naru run logs {} --project {} --step {}",
                    run.number,
                    run.project,
                    step.name.job_name()
                ))
        })?;
        let name = format!("{}/{}/{service}", cx.settings.registry_host, run.project);
        images.insert(service.clone(), ImageReference { name, digest });
    }
    Ok(images)
}

/// Lets readers who follow a log know that nothing more comes.
async fn end_logs(cx: &Context, run: &Run, steps: &[StepRecord]) {
    for step in steps.iter().filter(|step| step.attempt == 0 || step.state == StepState::Failed) {
        if let Err(error) = cx.logs.finish(&collect::stream(run, &step.name)).await {
            tracing::warn!(project = %run.project, run = %run.number, step = %step.name, %error, "a log could not be closed");
        }
    }
}

/// Carries out what was planned. All of it is harmless when repeated.
async fn act(
    cx: &Arc<Context>,
    lease: &Lease,
    run: &Run,
    definition: &ProjectDefinition,
    plan: &RunPlan,
) -> Result<(), PassError> {
    let mut secrets = None;
    for action in &plan.actions {
        match action {
            RunAction::Stop(node, attempt) => {
                let key = job::key(run, node, *attempt);
                cx.store.guard(lease, cx.engine.stop_job(&key)).await?.map_err(PassError::Engine)?;
            }
            RunAction::Start(node, attempt) | RunAction::Collect(node, attempt) => {
                let secrets = match &secrets {
                    Some(secrets) => secrets,
                    None => secrets.insert(current_secrets(cx, run).await?),
                };
                let start = matches!(action, RunAction::Start(..));
                let spec = job::spec(run, definition, node, secrets, &cx.settings);
                let started = match (start, &spec) {
                    (true, Ok(spec)) => {
                        let key = job::key(run, node, *attempt);
                        cx.store.guard(lease, cx.engine.ensure_job(&key, spec)).await?
                    }
                    (true, Err(problem)) => Err(problem.clone().into()),
                    (false, _) => Ok(()),
                };
                match started {
                    Ok(()) => collect::ensure(cx, run, node, *attempt, spec),
                    Err(StepError::Blocked(problem)) => refuse(cx, run, plan, node, &problem).await?,
                    Err(error) => return Err(PassError::Engine(error)),
                }
            }
        }
    }
    Ok(())
}

async fn current_secrets(cx: &Context, run: &Run) -> Result<BTreeMap<SecretName, SecretVersion>, StoreError> {
    let scope = naru_model::job::SecretScope::Pipeline(run.project.clone());
    let secrets = cx.store.secrets(&scope).await?;
    Ok(secrets.into_iter().map(|secret| (secret.name, secret.version)).collect())
}

/// Records that a step cannot be started at all.
async fn refuse(
    cx: &Context,
    run: &Run,
    plan: &RunPlan,
    node: &NodeName,
    problem: &Problem,
) -> Result<(), StoreError> {
    let Some(step) = plan.steps.iter().find(|step| step.name == *node) else { return Ok(()) };
    let mut step = step.clone();
    let why = std::iter::once(&problem.summary).chain(&problem.cause).cloned().collect::<Vec<_>>().join("; ");
    step.state = StepState::Failed;
    step.finished = Some(cx.store.now());
    step.exit = Some(ExitReason::NotStarted { why });
    step.log_complete = true;
    let change = RunChange {
        project: &run.project,
        number: run.number,
        state: plan.state,
        note: "",
        steps: std::slice::from_ref(&step),
        problem: Some(problem),
        superseded_by: None,
        release: None,
        cleared: false,
    };
    cx.store.change_run(&change).await.map(drop)
}
