//! Projects whose releases the pipeline makes: commits that people push, how their steps and builds go, and the ledger
//! of pushes, of which this is a double: what is received is settled by whoever received it, or later by whoever looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use naru_engine::fake::JobScript;
use naru_model::job::{ExitReason, JobKey, JobSpec, JobWork};
use naru_model::{CommitId, Digest, ProjectName};
use naru_store::trigger::{NewTrigger, SettledIn, Settlement, TriggerId, TriggerKind, TriggerState};
use naru_store::{Store, StoreError};

use super::mistake::Mistake;
use super::people::{Project, Quality};
use super::stage::Stage;
use super::time::elapsed;

/// The branch that everything follows.
pub(super) const MAIN: &str = "refs/heads/main";
/// Where builds push to.
pub(super) const REGISTRY: &str = "127.0.0.1:7070";
/// A push that nobody settled for so long was cut off.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(30);

/// What becomes of a commit in the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Builds,
    StepFails,
    BuildFails,
    /// Its `naru.yaml` cannot be read.
    Unreadable,
}

impl Fate {
    pub(super) fn draw(stage: &Stage) -> Self {
        let some = [Self::StepFails, Self::BuildFails, Self::Unreadable];
        let mut chance = stage.front();
        if chance.permille(250) { *chance.one_of(&some).expect("three") } else { Self::Builds }
    }
}

/// A commit that somebody pushed.
#[derive(Debug, Clone)]
pub(super) struct Pushed {
    /// Pushed commits of all projects, from 1.
    pub(super) number: u32,
    pub(super) quality: Quality,
    pub(super) fate: Fate,
    parent: Option<CommitId>,
}

/// Makes a commit that nobody has pushed yet.
pub(super) fn commit(stage: &Stage, project: &Project, text: &str, pushed: (u32, Quality, Fate)) -> CommitId {
    let (number, quality, fate) = pushed;
    let text = if fate == Fate::Unreadable { "servces: {}\n".to_owned() } else { with_steps(text) };
    let files =
        [("naru.yaml", text), ("content", number.to_string()), ("Dockerfile", "FROM scratch\n".into())];
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect();
    let parent = stage.sources.heads(&project.name).get(MAIN).cloned();
    let commit = stage.sources.commit(&project.name, parent.as_ref(), files);
    let pushed = Pushed { number, quality, fate, parent };
    stage.pushed().insert(commit.clone(), pushed);
    commit
}

/// A test and a check come before the build.
fn with_steps(text: &str) -> String {
    let needs = "dockerfile: Dockerfile, needs: [test]";
    let steps =
        "pipeline:\n  check: { image: alpine, run: ./check }\n  test: { image: alpine, run: ./test }\n";
    format!("{steps}{}", text.replace("dockerfile: Dockerfile", needs))
}

/// The digest of what is built for a service at a commit.
pub(super) fn digest(project: &ProjectName, service: &str, commit: &CommitId) -> Digest {
    Digest::of(format!("{REGISTRY}/{project}/{service} {commit}").as_bytes())
}

/// How a job of a run goes; `None` for other jobs, and for what nobody pushed.
pub(super) fn script(stage: &Stage, key: &JobKey, spec: &JobSpec) -> Option<JobScript> {
    let (workspace, is_build) = match &spec.work {
        JobWork::Command { workspace, .. } => (workspace.as_ref()?, false),
        JobWork::Build { workspace, .. } => (workspace, true),
    };
    let fate = stage.pushed().get(&workspace.commit)?.fate;
    let fails = match fate {
        Fate::StepFails => key.name.contains("test"),
        Fate::BuildFails => is_build,
        Fate::Builds | Fate::Unreadable => false,
    };
    let mut chance = stage.front();
    let takes = chance.between(Duration::from_millis(100), Duration::from_secs(6));
    let lines = chance.below(4);
    let prints = (1..=lines).map(|line| format!("line {line} of {key}")).collect();
    let ends = ExitReason::Exited { code: i32::from(fails) };
    Some(JobScript { takes, ends, prints, digest: None })
}

/// The push that a project begins with.
pub(super) async fn first(
    stage: &Stage,
    store: &Store,
    project: &ProjectName,
    commit: &CommitId,
) -> Result<(), StoreError> {
    let ids = store.receive_triggers(&[of_push(stage, project, commit)]).await?;
    stage.sources.move_branch(project, MAIN, commit);
    settle(stage, store, project, vec![(ids[0], None)]).await
}

/// Pushes a commit: recorded, moved, settled, as the hosting does it. The end is git's answer.
pub(super) async fn push(
    stage: Arc<Stage>,
    store: Store,
    who: String,
    project: ProjectName,
    commit: CommitId,
) -> Result<(), StoreError> {
    if stage.makes(Mistake::PushForgotten) {
        stage.sources.move_branch(&project, MAIN, &commit);
        return Ok(());
    }
    let ids = store.receive_triggers(&[of_push(&stage, &project, &commit)]).await?;
    stage.place(&who, "git takes the push", None).await;
    let parent = stage.pushed().get(&commit).and_then(|pushed| pushed.parent.clone());
    if stage.sources.heads(&project).get(MAIN) != parent.as_ref() {
        settle(&stage, &store, &project, vec![(ids[0], Some("somebody pushed first".to_owned()))]).await?;
        return Err(StoreError::Stale("somebody pushed first"));
    }
    stage.sources.move_branch(&project, MAIN, &commit);
    stage.tell(format!("{who}: {project} is at commit {} now", commit.short()));
    stage.place(&who, "git took the push", None).await;
    settle(&stage, &store, &project, vec![(ids[0], None)]).await
}

fn of_push(stage: &Stage, project: &ProjectName, commit: &CommitId) -> NewTrigger {
    NewTrigger {
        project: project.clone(),
        kind: TriggerKind::Push,
        reference: MAIN.to_owned(),
        old: stage.sources.heads(project).get(MAIN).cloned(),
        new: Some(commit.clone()),
        by: "mina".to_owned(),
    }
}

async fn settle(
    stage: &Stage,
    store: &Store,
    project: &ProjectName,
    outcomes: Vec<(TriggerId, Option<String>)>,
) -> Result<(), StoreError> {
    let told: Vec<Settlement> = outcomes
        .into_iter()
        .map(|(id, refused)| Settlement {
            id,
            state: if refused.is_some() { TriggerState::Rejected } else { TriggerState::Accepted },
            detail: refused.unwrap_or_default(),
        })
        .collect();
    let heads = stage.sources.heads(project);
    store.settle_triggers(project, &told, SettledIn::Source(&heads)).await
}

/// Settles what whoever received it did not, for `older_than`: by what the branch shows now.
pub(super) async fn settle_forgotten(
    stage: Arc<Stage>,
    store: Store,
    older_than: Duration,
) -> Result<(), StoreError> {
    let mut forgotten: BTreeMap<ProjectName, Vec<(TriggerId, Option<String>)>> = BTreeMap::new();
    for row in store.unsettled_triggers().await? {
        if elapsed(row.received_at, store.now()) < older_than {
            continue;
        }
        let arrived = row.new.as_ref().is_some_and(|commit| has_arrived(&stage, &row.project, commit));
        let refused = (!arrived).then(|| "the push broke off before it took effect".to_owned());
        forgotten.entry(row.project.clone()).or_default().push((row.id, refused));
    }
    for (project, outcomes) in forgotten {
        settle(&stage, &store, &project, outcomes).await?;
    }
    Ok(())
}

/// Whether the branch is at a commit or at one that builds on it.
fn has_arrived(stage: &Stage, project: &ProjectName, commit: &CommitId) -> bool {
    let pushed = stage.pushed();
    let mut at = stage.sources.heads(project).get(MAIN).cloned();
    while let Some(found) = at {
        if found == *commit {
            return true;
        }
        at = pushed.get(&found).and_then(|one| one.parent.clone());
    }
    false
}
