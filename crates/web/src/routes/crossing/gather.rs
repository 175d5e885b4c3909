//! The rows of the newest change of environments: a push, or a revision that came after it. Of many environments they are
//! read together, in rounds: each round asks for what the one before has led to.

use naru_model::api::Maintenance;
use naru_model::definition::NodeName;
use naru_model::pipeline::{StepRecord, StepState};
use naru_model::{
    BranchName, EnvironmentKey, EnvironmentName, Problem, ProjectName, ReleaseNumber, RevisionNumber,
    RunNumber, Timestamp,
};
use naru_store::environment::Environment;
use naru_store::intent::IntentState;
use naru_store::project::Project;
use naru_store::release::Release;
use naru_store::revision::{Revision, Rollout};
use naru_store::run::Run;
use naru_store::trigger::Trigger;

use crate::Cx;
use crate::failure::Result;
use crate::routes::{FIRST, no_environment};

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
    /// Where it is reached. Not gathered: who shows it asks the edge.
    pub(crate) urls: Vec<String>,
    /// What visitors are told. Not gathered either.
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) now: Timestamp,
}

/// An environment whose newest change is asked for. Before the first release there is none, but there may well be a
/// crossing: of the project's own branch.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) key: EnvironmentKey,
    pub(crate) default_branch: BranchName,
}

impl Place {
    /// An environment of a project.
    pub(crate) fn of(project: &Project, environment: EnvironmentName) -> Self {
        let key = EnvironmentKey { project: project.name.clone(), environment };
        Self { key, default_branch: project.default_branch.clone() }
    }
}

impl Facts {
    pub(super) fn new(key: &EnvironmentKey, now: Timestamp) -> Self {
        Self {
            project: key.project.clone(),
            name: key.environment.clone(),
            environment: None,
            trigger: None,
            run: None,
            steps: Vec::new(),
            release: None,
            revision: None,
            rollout: None,
            serving: None,
            refused: None,
            urls: Vec::new(),
            maintenance: None,
            now,
        }
    }

    pub(crate) fn key(&self) -> EnvironmentKey {
        EnvironmentKey { project: self.project.clone(), environment: self.name.clone() }
    }

    /// The steps that build images.
    pub(super) fn build_steps(&self) -> impl Iterator<Item = &StepRecord> {
        self.steps.iter().filter(|step| matches!(step.name, NodeName::Build(_)))
    }

    /// How many images are built, and how many there are to be.
    pub(crate) fn builds(&self) -> (usize, usize) {
        let done = self.build_steps().filter(|step| step.state == StepState::Succeeded).count();
        (done, self.build_steps().count())
    }

    /// The branch whose pushes come here.
    fn branch(&self, place: &Place) -> Option<(ProjectName, BranchName)> {
        let branch = match &self.environment {
            Some(environment) => environment.branch.clone(),
            None => Some(place.default_branch.clone()),
        };
        branch.map(|branch| (self.project.clone(), branch))
    }

    /// The revision that is wanted. A move that was given up is the newest rollout, though the target has returned to what
    /// serves.
    fn wanted(&self) -> Option<(EnvironmentKey, RevisionNumber)> {
        let target = self.environment.as_ref()?.target;
        let number = self.rollout.as_ref().map(|rollout| rollout.revision).or(target)?;
        Some((self.key(), number))
    }

    fn serves(&self) -> Option<(EnvironmentKey, RevisionNumber)> {
        Some((self.key(), self.environment.as_ref()?.serving?))
    }

    /// The run that the trigger led to.
    fn ran(&self) -> Option<(ProjectName, RunNumber)> {
        Some((self.project.clone(), self.trigger.as_ref()?.run?))
    }

    /// The release that the run made.
    fn made(&self) -> Option<(ProjectName, ReleaseNumber)> {
        Some((self.project.clone(), self.run.as_ref()?.release?))
    }

    /// The release that the wanted revision carries.
    fn carried(&self) -> Option<(ProjectName, ReleaseNumber)> {
        Some((self.project.clone(), self.revision.as_ref()?.release?))
    }

    /// The run that made the release.
    fn made_by(&self) -> Option<(ProjectName, RunNumber)> {
        Some((self.project.clone(), self.release.as_ref()?.run))
    }
}

/// Reads the rows of the newest change of one environment. Missing when there is none, and never was to be.
pub(crate) async fn gather(cx: &Cx, place: Place) -> Result<Facts> {
    let key = place.key.clone();
    let facts = gather_all(cx, &[place]).await?.pop();
    let is_first = key.environment.as_str() == FIRST;
    facts.filter(|facts| is_first || facts.environment.is_some()).ok_or_else(|| no_environment(&key))
}

/// Reads the rows of the newest change of each of these environments, in their order.
pub(crate) async fn gather_all(cx: &Cx, places: &[Place]) -> Result<Vec<Facts>> {
    let now = cx.store.now();
    let mut all: Vec<Facts> = places.iter().map(|place| Facts::new(&place.key, now)).collect();
    asked(cx, places, &mut all).await?;
    delivered(cx, &mut all).await?;
    pushed(cx, &mut all).await?;
    let mut later: Vec<&mut Facts> = all.iter_mut().filter(|facts| is_revision_newer(facts)).collect();
    retell(cx, &mut later).await?;
    Ok(all)
}

/// What one has of each.
fn each<T>(all: &[Facts], of: impl Fn(&Facts) -> Option<T>) -> Vec<T> {
    all.iter().filter_map(of).collect()
}

/// What is there, and what was asked for last: by a push, and of the environment.
async fn asked(cx: &Cx, places: &[Place], all: &mut [Facts]) -> Result<()> {
    let keys: Vec<EnvironmentKey> = places.iter().map(|place| place.key.clone()).collect();
    let mut environments = cx.store.environments_at(&keys).await?;
    for facts in &mut *all {
        facts.environment = environments.remove(&facts.key());
    }
    let branches: Vec<_> = all.iter().zip(places).filter_map(|(facts, place)| facts.branch(place)).collect();
    let triggers = cx.store.newest_triggers(&branches).await?;
    for (facts, place) in all.iter_mut().zip(places) {
        facts.trigger = facts.branch(place).and_then(|branch| triggers.get(&branch).cloned());
    }
    Ok(())
}

/// What is wanted of, and what serves in, the environments.
async fn delivered(cx: &Cx, all: &mut [Facts]) -> Result<()> {
    let keys = each(all, |facts| facts.environment.as_ref().map(|row| row.key.clone()));
    let mut rollouts = cx.store.newest_rollouts(&keys).await?;
    let mut intents = cx.store.newest_intents(&keys).await?;
    for facts in &mut *all {
        facts.rollout = rollouts.remove(&facts.key());
        let newest = intents.remove(&facts.key());
        facts.refused =
            newest.filter(|intent| intent.state == IntentState::Failed).and_then(|intent| intent.problem);
    }
    let mut numbers = each(all, Facts::wanted);
    numbers.extend(each(all, Facts::serves));
    let revisions = cx.store.revisions_at(&numbers).await?;
    for facts in &mut *all {
        facts.revision = facts.wanted().and_then(|number| revisions.get(&number).cloned());
        facts.serving = facts.serves().and_then(|number| revisions.get(&number).cloned());
    }
    Ok(())
}

/// What the triggers led to so far.
async fn pushed(cx: &Cx, all: &mut [Facts]) -> Result<()> {
    let numbers = each(all, Facts::ran);
    let runs = cx.store.runs_at(&numbers).await?;
    let steps = cx.store.steps_at(&numbers).await?;
    for facts in &mut *all {
        let Some(number) = facts.ran() else { continue };
        facts.run = runs.get(&number).cloned();
        facts.steps = steps.get(&number).cloned().unwrap_or_default();
    }
    let releases = cx.store.releases_at(&each(all, Facts::made)).await?;
    for facts in &mut *all {
        facts.release = facts.made().and_then(|number| releases.get(&number).cloned());
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

/// Puts the revisions' own story in the place of the newest push.
async fn retell(cx: &Cx, later: &mut [&mut Facts]) -> Result<()> {
    let numbers: Vec<_> = later.iter().filter_map(|facts| facts.carried()).collect();
    let releases = cx.store.releases_at(&numbers).await?;
    for facts in &mut *later {
        facts.release = facts.carried().and_then(|number| releases.get(&number).cloned());
    }
    let numbers: Vec<_> = later.iter().filter_map(|facts| facts.made_by()).collect();
    let runs = cx.store.runs_at(&numbers).await?;
    let steps = cx.store.steps_at(&numbers).await?;
    for facts in &mut *later {
        let number = facts.made_by();
        facts.run = number.as_ref().and_then(|number| runs.get(number).cloned());
        facts.steps = number.and_then(|number| steps.get(&number).cloned()).unwrap_or_default();
    }
    let ids: Vec<_> = later.iter().filter_map(|facts| facts.run.as_ref().map(|run| run.trigger)).collect();
    let triggers = cx.store.triggers_at(&ids).await?;
    for facts in &mut *later {
        facts.trigger = facts.run.as_ref().and_then(|run| triggers.get(&run.trigger).cloned());
    }
    Ok(())
}
