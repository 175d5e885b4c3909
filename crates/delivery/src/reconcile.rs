//! Makes one environment equal to its target. Keeps nothing between passes and may die at any `.await`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_engine::{LogPosition, LogSource, StepError};
use naru_model::job::{JobScope, JobSeen};
use naru_model::rollout::{
    Action, Plan, Progress, Replaced, Serving, Situation, Status, Wanted, plan, remembers,
};
use naru_model::route::TrafficSeen;
use naru_model::workload::EnvironmentSpec;
use naru_model::{CommitId, EnvironmentKey, Problem, RevisionNumber};
use naru_store::StoreError;
use naru_store::environment::{Environment, EnvironmentStatus};
use naru_store::intent::IntentKind;
use naru_store::lease::{Holder, Lease};
use naru_store::revision::{Outcome, Rollout};

use futures::StreamExt;

use crate::{Context, maintenance, receipt, turn};

/// When to look again at an environment that waits for a person.
const BLOCKED: Duration = Duration::from_secs(30);
/// The longest wait between tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);
/// How many of a release command's last lines are shown when it failed.
const LAST_LINES: usize = 12;

/// One pass. Returns when to look again. Takes no hint of what changed.
pub async fn reconcile(cx: &Context, key: &EnvironmentKey) -> Result<Duration, StoreError> {
    let Some(environment) = cx.store.environment(key).await? else { return Ok(BLOCKED) };
    let turn = turn::of_environment(key);
    let lease = match cx.store.holder(&turn).await? {
        Holder::Me(lease) => Some(lease),
        Holder::Nobody => None,
        Holder::Another => return Ok(turn::ELSEWHERE),
    };
    let passed = match pass(cx, &environment, lease.as_ref()).await {
        Err(PassError::Step(error)) => match maintenance::tell(cx, &environment, lease.as_ref()).await {
            Ok(()) | Err(PassError::Step(_)) => Err(PassError::Step(error)),
            Err(other) => Err(other),
        },
        passed => passed,
    };
    let (status, look_again) = match passed {
        Err(PassError::NeedsLease) => {
            // What was seen may have been changed by another until now: look again as the only one who acts.
            let lease = cx.store.lease(&turn).await?;
            return Ok(if lease.is_some() { Duration::ZERO } else { turn::ELSEWHERE });
        }
        Ok(Some(plan)) => match environment.hindrance.clone() {
            Some(problem) if plan.status == Status::Live => {
                (EnvironmentStatus::Blocked { problem: Box::new(problem) }, plan.look_again)
            }
            _ => (EnvironmentStatus::Reconciled { status: plan.status }, plan.look_again),
        },
        Ok(None) => (EnvironmentStatus::Idle, BLOCKED),
        Err(PassError::Store(error)) => return Err(error),
        Err(PassError::Step(StepError::Blocked(problem))) => {
            (EnvironmentStatus::Blocked { problem }, BLOCKED)
        }
        Err(PassError::Step(StepError::Transient(reason))) => retrying(&environment, reason),
    };
    cx.store.set_status(key, environment.generation, &status).await?; // the only place
    Ok(look_again)
}

/// Why a pass ended early.
pub(crate) enum PassError {
    /// Something is to be done outside the store.
    NeedsLease,
    Step(StepError),
    Store(StoreError),
}

impl From<StepError> for PassError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl From<StoreError> for PassError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn pass(
    cx: &Context,
    environment: &Environment,
    lease: Option<&Lease>,
) -> Result<Option<Plan>, PassError> {
    let key = &environment.key;
    let Some(situation) = situation(cx, environment).await? else { return Ok(None) };
    let plan = plan(&situation); // release -> start -> ready -> route -> drain -> stop
    if let Status::Failed { problem } = &plan.status {
        receipt::note_failure(cx, environment, &situation, problem).await?;
        let back_to = match &situation.replaced {
            Some(replaced) if situation.serving == Serving::Want => Some(replaced.wanted.revision),
            _ => environment.serving,
        };
        let job = situation.job.as_ref();
        give_up(cx, environment, situation.want.revision, back_to, (**problem).clone(), job).await?;
        return Ok(Some(plan));
    }
    receipt::note(cx, environment, &situation, &plan.status).await?;
    if let Some(progress) = &plan.progress {
        let lease = lease.ok_or(PassError::NeedsLease)?;
        let write = cx.store.mark_progress(key, environment.generation, situation.want.revision, progress);
        cx.store.guard(lease, write).await??;
    }
    for action in &plan.actions {
        let lease = lease.ok_or(PassError::NeedsLease)?;
        cx.store.check_generation(key, environment.generation).await?;
        match cx.store.guard(lease, act(cx, environment, action)).await? {
            Ok(()) => {}
            Err(StepError::Blocked(problem)) if situation.serving != Serving::Want => {
                receipt::note_failure(cx, environment, &situation, &problem).await?;
                let back_to = environment.serving;
                give_up(cx, environment, situation.want.revision, back_to, *problem, None).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if plan.released {
        cx.store.mark_released(key, situation.want.revision).await?;
    }
    if plan.switched {
        cx.store.mark_switched(key, environment.generation, situation.want.revision).await?;
    }
    Ok(Some(plan))
}

async fn act(cx: &Context, environment: &Environment, action: &Action) -> Result<(), StepError> {
    match action {
        Action::Publish { table } => cx.traffic.publish(table, environment.generation).await,
        action => cx.engine.apply(&environment.key, environment.generation, action).await,
    }
}

/// Everything the planner is told. `None` when nothing is wanted and nothing is left.
async fn situation(cx: &Context, environment: &Environment) -> Result<Option<Situation>, PassError> {
    let key = &environment.key;
    let seen = cx.engine.observe(key).await?; // reality, not our last write
    let traffic = cx.traffic.status(key).await?;
    let Some(target) = environment.target else {
        let routed = traffic.applied.as_ref().is_some_and(|applied| !applied.table.routes.is_empty());
        if seen.replicas.is_empty() && !routed {
            return Ok(None);
        }
        let nothing = Wanted { revision: RevisionNumber(0), spec: EnvironmentSpec::default() };
        return Ok(Some(Situation {
            environment: key.clone(),
            want: nothing,
            serving: Serving::Want,
            since: environment.target_since,
            progress: Progress::default(),
            decision: None,
            returning: true,
            replaced: None,
            released: true,
            seen,
            job: None,
            traffic,
            maintenance: None,
            now: cx.store.now(),
        }));
    };
    let want = match wanted(cx, key, target).await {
        Ok(want) => want,
        Err(PassError::Step(StepError::Blocked(problem))) if environment.serving != Some(target) => {
            give_up(cx, environment, target, environment.serving, *problem, None).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let serving = match environment.serving {
        None => match unrecorded(cx, key, target, &traffic).await? {
            Some(revision) => {
                cx.store.mark_switched(key, environment.generation, revision).await?;
                return Err(StoreError::Stale("what has the traffic was not recorded until now").into());
            }
            None => Serving::Nothing,
        },
        Some(serving) if serving == target => Serving::Want,
        Some(serving) => Serving::Other(wanted(cx, key, serving).await?),
    };
    let rollout = cx.store.rollout(key, target).await?;
    if cx.store.mend_moments(environment, rollout.as_ref()).await? {
        return Err(StoreError::Stale("the clock was set back, and moments were written anew").into());
    }
    let replaced = match &rollout {
        Some(rollout) if serving == Serving::Want => replaced(cx, key, rollout, &want).await?,
        _ => None,
    };
    let jobs = cx.engine.observe_jobs(&JobScope::Revision(key.clone(), target)).await?;
    Ok(Some(Situation {
        environment: key.clone(),
        want,
        serving,
        since: environment.target_since,
        returning: returns(cx, environment, target).await?,
        replaced,
        released: rollout.as_ref().is_some_and(|rollout| rollout.released),
        decision: rollout.as_ref().and_then(|rollout| rollout.decision.clone()),
        progress: rollout.map(|rollout| rollout.progress).unwrap_or_default(),
        seen,
        job: jobs.into_iter().next(),
        traffic,
        maintenance: cx.store.maintenance(key).await?.map(|on| on.told),
        now: cx.store.now(),
    }))
}

/// Whether the move goes back: to a revision that served before, or to a new one that a rollback made of it.
async fn returns(
    cx: &Context,
    environment: &Environment,
    target: RevisionNumber,
) -> Result<bool, StoreError> {
    let key = &environment.key;
    match environment.serving {
        None => Ok(false),
        Some(serving) if serving >= target => Ok(serving > target),
        Some(_) => {
            let Some(revision) = cx.store.revision(key, target).await? else { return Ok(false) };
            let intent = cx.store.intent_of_commit(key, &revision.commit).await?;
            Ok(intent.is_some_and(|intent| matches!(intent.kind, IntentKind::Rollback { .. })))
        }
    }
}

/// What had the traffic before, unless that was bad, or so long ago that nothing of it matters.
async fn replaced(
    cx: &Context,
    key: &EnvironmentKey,
    rollout: &Rollout,
    want: &Wanted,
) -> Result<Option<Replaced>, PassError> {
    let (Some(number), Some(switched_at)) = (rollout.replaced, rollout.switched_at) else { return Ok(None) };
    if switched_at + remembers(&want.spec) < cx.store.now() {
        return Ok(None);
    }
    if cx.store.quarantined(key).await?.iter().any(|bad| bad.revision == number) {
        return Ok(None);
    }
    match wanted(cx, key, number).await {
        Ok(wanted) => Ok(Some(Replaced { wanted, switched_at })),
        // It cannot be returned to: what serves is kept as it is.
        Err(PassError::Step(StepError::Blocked(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first revision, when it got the traffic just before another was wanted, so that nobody recorded it: it serves, and
/// keeps its traffic until the other is ready.
async fn unrecorded(
    cx: &Context,
    key: &EnvironmentKey,
    target: RevisionNumber,
    traffic: &TrafficSeen,
) -> Result<Option<RevisionNumber>, StoreError> {
    let routes = traffic.applied.iter().flat_map(|applied| &applied.table.routes);
    let mut serving = routes.flat_map(|route| &route.backends).map(|backend| backend.revision);
    let Some(revision) = serving.next().filter(|revision| *revision != target) else { return Ok(None) };
    let rollout = cx.store.rollout(key, revision).await?;
    let overtaken = rollout.is_some_and(|rollout| rollout.outcome == Outcome::Overtaken);
    Ok((overtaken && serving.all(|other| other == revision)).then_some(revision))
}

/// A revision and what it asks for.
async fn wanted(cx: &Context, key: &EnvironmentKey, number: RevisionNumber) -> Result<Wanted, PassError> {
    let revision = cx.store.revision(key, number).await?.ok_or_else(|| gone(key, number))?;
    let spec = cx.specs.read(cx, key, &revision.commit).await?;
    Ok(Wanted { revision: number, spec: (*spec).clone() })
}

fn gone(key: &EnvironmentKey, number: RevisionNumber) -> PassError {
    let problem = Problem::new(
        "delivery.revision-gone",
        format!("revision {number} of `{key}` is not in the deploy repository"),
    )
    .state("what runs was left as it is")
    .hint("push the lost commits to the deploy repository again, or deploy a release");
    PassError::Step(problem.into())
}

/// Records that the move to `revision` failed: it goes into quarantine and the target returns to `back_to`.
async fn give_up(
    cx: &Context,
    environment: &Environment,
    revision: RevisionNumber,
    back_to: Option<RevisionNumber>,
    mut problem: Problem,
    job: Option<&JobSeen>,
) -> Result<(), PassError> {
    let key = &environment.key;
    if let Some(job) = job {
        problem.cause.extend(last_lines(cx, job).await);
    }
    if problem.state.is_none() {
        problem.state = Some(match environment.serving {
            Some(serving) => format!("revision {serving} still serves all traffic"),
            None => "nothing served before, and nothing serves now".into(),
        });
    }
    let row = cx.store.revision(key, revision).await?.ok_or_else(|| gone(key, revision))?;
    tracing::warn!(environment = %key, %revision, code = %problem.code, summary = %problem.summary, "a rollout was given up");
    cx.store.give_up(key, environment.generation, &row, back_to, &problem).await?;
    Ok(())
}

/// The end of a release command's output.
async fn last_lines(cx: &Context, job: &JobSeen) -> Vec<String> {
    let mut lines = cx.engine.logs(&LogSource::Job(job.key.clone()), LogPosition::default());
    let mut last = VecDeque::with_capacity(LAST_LINES);
    let read = async {
        while let Some(Ok(line)) = lines.next().await {
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(format!("  {}", line.text));
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    last.into()
}

fn retrying(environment: &Environment, reason: String) -> (EnvironmentStatus, Duration) {
    let failures = match &environment.status {
        EnvironmentStatus::Retrying { failures, .. } => failures.saturating_add(1),
        _ => 1,
    };
    let wait = Duration::from_millis(250 << failures.min(6)).min(LONGEST_BACKOFF);
    (EnvironmentStatus::Retrying { reason, failures }, wait)
}

/// Parsed revisions. Commits do not change, so what was read once stays true.
#[derive(Clone, Default)]
pub struct SpecCache {
    specs: Arc<Mutex<Specs>>,
}

type Specs = HashMap<(EnvironmentKey, CommitId), Arc<EnvironmentSpec>>;

/// Entries kept before the cache starts anew.
const CACHED_SPECS: usize = 20_000;

impl SpecCache {
    /// What the environment's folder asks for at a commit; an absent folder asks for nothing.
    pub(crate) async fn read(
        &self,
        cx: &Context,
        key: &EnvironmentKey,
        commit: &CommitId,
    ) -> Result<Arc<EnvironmentSpec>, StepError> {
        let cached = (key.clone(), commit.clone());
        if let Some(spec) = self.lock().get(&cached) {
            return Ok(spec.clone());
        }
        let spec = Arc::new(cx.repositories.spec(key, commit).await?);
        let mut specs = self.lock();
        if specs.len() >= CACHED_SPECS {
            specs.clear();
        }
        specs.insert(cached, spec.clone());
        Ok(spec)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Specs> {
        self.specs.lock().expect("nothing panics while it holds the cache")
    }
}
