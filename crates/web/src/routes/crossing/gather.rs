//! The rows of the newest change of an environment: a push, or a revision that came after it.

use naru_model::api::Maintenance;
use naru_model::definition::NodeName;
use naru_model::pipeline::{StepRecord, StepState};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, Timestamp};
use naru_store::environment::Environment;
use naru_store::intent::IntentState;
use naru_store::release::Release;
use naru_store::revision::{Revision, Rollout};
use naru_store::run::Run;
use naru_store::trigger::{Trigger, TriggerKind, TriggerState};

use crate::Cx;
use crate::access::Chosen;
use crate::failure::Result;
use crate::routes::{FIRST, maintenance, no_environment};

/// Triggers that are looked through for the newest one that matters here.
const RECENT: u32 = 50;

/// The rows behind one crossing.
pub(crate) struct Facts {
    pub(crate) project: ProjectName,
    pub(crate) name: EnvironmentName,
    pub(crate) environment: Option<Environment>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) run: Option<Run>,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) release: Option<Release>,
    pub(crate) revision: Option<Revision>,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) serving: Option<Revision>,
    /// Why what was asked for last did not become a revision.
    pub(crate) refused: Option<Problem>,
    pub(crate) urls: Vec<String>,
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) now: Timestamp,
}

impl Facts {
    /// The steps that build images.
    pub(super) fn build_steps(&self) -> impl Iterator<Item = &StepRecord> {
        self.steps.iter().filter(|step| matches!(step.name, NodeName::Build(_)))
    }

    /// How many images are built, and how many there are to be.
    pub(crate) fn builds(&self) -> (usize, usize) {
        let done = self.build_steps().filter(|step| step.state == StepState::Succeeded).count();
        (done, self.build_steps().count())
    }
}

/// Reads the rows of the newest change.
pub(crate) async fn gather(cx: &Cx, chosen: &Chosen, name: EnvironmentName) -> Result<Facts> {
    let project = &chosen.0;
    // Before the first release there is no environment, but there may well be a crossing.
    let key = EnvironmentKey { project: project.name.clone(), environment: name.clone() };
    let environment = cx.store.environment(&key).await?;
    let is_first = name.as_str() == FIRST;
    if environment.is_none() && !is_first {
        return Err(no_environment(&key));
    }
    let branch = match &environment {
        Some(environment) => environment.branch.clone(),
        None => Some(project.default_branch.clone()),
    };
    let mut facts = Facts {
        project: project.name.clone(),
        name,
        environment,
        trigger: None,
        run: None,
        steps: Vec::new(),
        release: None,
        revision: None,
        rollout: None,
        serving: None,
        refused: None,
        urls: cx.behind.urls(&key).await,
        maintenance: maintenance::of(cx, &key).await?,
        now: cx.store.now(),
    };
    facts.trigger = match &branch {
        Some(branch) => {
            let recent = cx.store.triggers(&project.name, None, RECENT).await?;
            recent.into_iter().find(|trigger| matters(trigger, branch.as_str()))
        }
        None => None,
    };
    delivered(cx, &key, &mut facts).await?;
    pushed(cx, &mut facts).await?;
    if is_revision_newer(&facts) {
        retell(cx, &mut facts).await?;
    }
    Ok(facts)
}

/// What the trigger led to so far.
async fn pushed(cx: &Cx, facts: &mut Facts) -> Result<()> {
    let Some(run) = facts.trigger.as_ref().and_then(|trigger| trigger.run) else { return Ok(()) };
    facts.run = cx.store.run(&facts.project, run).await?;
    facts.steps = cx.store.run_steps(&facts.project, run).await?;
    if let Some(made) = facts.run.as_ref().and_then(|run| run.release) {
        facts.release = cx.store.release(&facts.project, made).await?;
    }
    Ok(())
}

/// Whether the newest change is not a push but a revision that came after it: a rollback, a setting, a person's commit.
pub(super) fn is_revision_newer(facts: &Facts) -> bool {
    let Some(revision) = &facts.revision else { return false };
    if revision.release.is_some() && revision.release == facts.release.as_ref().map(|release| release.number)
    {
        return false;
    }
    let ended = match (&facts.trigger, &facts.run) {
        (None, _) => return true,
        (Some(trigger), None) => trigger.received_at,
        (Some(_), Some(run)) => match run.finished_at {
            Some(at) => at,
            None => return false,
        },
    };
    revision.created_at > ended
}

/// Puts the revision's own story in the place of the newest push.
async fn retell(cx: &Cx, facts: &mut Facts) -> Result<()> {
    facts.trigger = None;
    facts.run = None;
    facts.steps = Vec::new();
    facts.release = None;
    let Some(carried) = facts.revision.as_ref().and_then(|revision| revision.release) else { return Ok(()) };
    facts.release = cx.store.release(&facts.project, carried).await?;
    let Some(release) = &facts.release else { return Ok(()) };
    facts.run = cx.store.run(&facts.project, release.run).await?;
    facts.steps = cx.store.run_steps(&facts.project, release.run).await?;
    if let Some(run) = &facts.run {
        facts.trigger = cx.store.trigger(run.trigger).await?;
    }
    Ok(())
}

fn matters(trigger: &Trigger, branch: &str) -> bool {
    trigger.kind != TriggerKind::DeployPush
        && trigger.reference.strip_prefix("refs/heads/") == Some(branch)
        && !matches!(trigger.state, TriggerState::Ignored | TriggerState::Superseded)
}

/// What is wanted of, and what serves in, the environment.
async fn delivered(cx: &Cx, key: &EnvironmentKey, facts: &mut Facts) -> Result<()> {
    let Some(environment) = &facts.environment else { return Ok(()) };
    // A move that was given up is the newest rollout, though the target has returned to what serves.
    facts.rollout = cx.store.rollouts(key, 1).await?.pop();
    let moving = facts.rollout.as_ref().map(|rollout| rollout.revision).or(environment.target);
    if let Some(number) = moving {
        facts.revision = cx.store.revision(key, number).await?;
    }
    let newest = cx.store.newest_intent(key).await?;
    facts.refused =
        newest.filter(|intent| intent.state == IntentState::Failed).and_then(|intent| intent.problem);
    if let Some(number) = environment.serving {
        facts.serving = cx.store.revision(key, number).await?;
    }
    Ok(())
}
