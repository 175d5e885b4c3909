//! Intents and new releases become commits of the deploy repository. Each is repeated harmlessly: the same render of the
//! same ingredients is the same tree, and a tree that is there already makes no commit.

use std::collections::BTreeMap;

use naru_engine::StepError;
use naru_model::definition::{Ingredients, compose};
use naru_model::job::SecretScope;
use naru_model::manifest::render;
use naru_model::workload::{EnvironmentSpec, Value};
use naru_model::{
    CommitId, EnvironmentKey, Problem, ReleaseNumber, RevisionNumber, SecretName, SecretVersion,
};
use naru_source::deploy::Message;
use naru_store::intent::{FOLLOWING, Intent, IntentKind, Restored};
use naru_store::lease::Lease;
use naru_store::release::Release;
use naru_store::{Look, StoreError};

use crate::repository::Change;
use crate::{Context, sync, turn};

/// Follows branches, then turns waiting intents into commits.
pub async fn pass(cx: &Context, look: &Look) -> Result<(), StoreError> {
    follow_branches(cx).await?;
    for project in cx.store.projects_with_intents().await?.iter().filter(|project| look.includes(project)) {
        let Some(lease) = cx.store.lease(&turn::of_repository(project)).await? else { continue };
        for intent in in_order(cx.store.pending_intents(project).await?) {
            let key = EnvironmentKey { project: project.clone(), environment: intent.environment.clone() };
            if let Err(reason) = fulfil(cx, &lease, &key, &intent).await? {
                tracing::warn!(environment = %key, reason, "an intent waits: the deploy repository did not take it");
                break;
            }
        }
        sync::project(cx, project).await?;
    }
    Ok(())
}

/// Delivers the newest release of each branch to the environments that follow it, once.
async fn follow_branches(cx: &Context) -> Result<(), StoreError> {
    for (name, number) in cx.store.releases_to_follow().await? {
        let Some(project) = cx.store.project(&name).await?.filter(|project| !project.deleting) else {
            continue;
        };
        let Some(release) = cx.store.release(&name, number).await? else { continue };
        let followers = release.definition.environments_of_branch(&release.branch, &project.default_branch);
        let key = |environment| EnvironmentKey { project: name.clone(), environment };
        let followers: Vec<_> = followers.into_iter().map(key).collect();
        if followers.is_empty() {
            continue;
        }
        cx.store.follow_release(&followers, &release.branch, release.number).await?;
    }
    Ok(())
}

/// Oldest first, but an environment's rollbacks after all else that waits for it: a person who returns means to stay there,
/// whatever was delivered in the same moment.
fn in_order(mut intents: Vec<Intent>) -> Vec<Intent> {
    intents.sort_by_key(|intent| matches!(intent.kind, IntentKind::Rollback { .. }));
    intents
}

/// Settles one intent. The inner error says why it must wait.
async fn fulfil(
    cx: &Context,
    lease: &Lease,
    key: &EnvironmentKey,
    intent: &Intent,
) -> Result<Result<(), String>, StoreError> {
    let done = match &intent.kind {
        IntentKind::Deploy { release } => deploy(cx, lease, key, intent, *release).await,
        IntentKind::Render => apply_settings(cx, lease, key, intent).await,
        IntentKind::Rollback { revision } => roll_back(cx, lease, key, intent, *revision).await,
    };
    match done {
        Ok((commit, restored)) => {
            cx.store.fulfil_intent(key, intent.id, commit.as_ref(), restored.as_ref(), &intent.by).await?;
            Ok(Ok(()))
        }
        Err(RenderError::Refused(problem)) => {
            cx.store.refuse_intent(key, intent.id, &problem).await?;
            Ok(Ok(()))
        }
        Err(RenderError::Wait(reason)) => Ok(Err(reason)),
        Err(RenderError::Store(error)) => Err(error),
    }
}

enum RenderError {
    Refused(Box<Problem>),
    Wait(String),
    Store(StoreError),
}

impl From<StoreError> for RenderError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Problem> for RenderError {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<StepError> for RenderError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Blocked(problem) => Self::Refused(problem),
            StepError::Transient(reason) => Self::Wait(reason),
        }
    }
}

type Committed = (Option<CommitId>, Option<Restored>);

async fn deploy(
    cx: &Context,
    lease: &Lease,
    key: &EnvironmentKey,
    intent: &Intent,
    number: ReleaseNumber,
) -> Result<Committed, RenderError> {
    let release = cx.store.release(&key.project, number).await?.ok_or_else(|| {
        Problem::new("delivery.no-release", format!("`{}` has no release {number}", key.project))
            .state("nothing was changed")
            .hint("list the releases:")
            .command(format!("naru release list --project {}", key.project))
    })?;
    let spec = ingredients(cx, key, &release).await?;
    refuse_taken_hosts(cx, key, &spec).await?;
    let is_render = intent.kind == IntentKind::Render;
    let subject = if is_render {
        format!("Apply configuration {} to {}", spec.configuration, key.environment)
    } else {
        format!("Deliver release {number} to {}", key.environment)
    };
    let message = Message {
        subject,
        author: author(intent),
        release: Some(number),
        configuration: spec.configuration,
        // A person who deploys wants the folder back that a person removed; a branch that moves on does not.
        recreate: !is_render && author(intent).is_some(),
        intent: Some(intent.id),
    };
    let files = render(key, &spec);
    let change = Change::Render(&files);
    let commit = cx.store.guard(lease, Box::pin(cx.repositories.commit(key, &change, &message))).await??;
    Ok((commit, None))
}

/// Delivers the environment's release again, with the current configuration and secrets.
async fn apply_settings(
    cx: &Context,
    lease: &Lease,
    key: &EnvironmentKey,
    intent: &Intent,
) -> Result<Committed, RenderError> {
    // What was delivered a moment ago counts, too, also when nobody could write it down yet.
    sync::environment(cx, key).await?;
    match current_release(cx, key).await? {
        Some(release) => deploy(cx, lease, key, intent, release).await,
        None => Ok((None, None)),
    }
}

/// What the environment should run with this release, the current configuration and the current secrets.
async fn ingredients(
    cx: &Context,
    key: &EnvironmentKey,
    release: &Release,
) -> Result<EnvironmentSpec, RenderError> {
    let configuration = cx.store.configuration(key).await?;
    let secrets: BTreeMap<SecretName, SecretVersion> = cx
        .store
        .secrets(&SecretScope::Environment(key.clone()))
        .await?
        .into_iter()
        .map(|secret| (secret.name, secret.version))
        .collect();
    Ok(compose(
        &release.definition,
        &Ingredients {
            project: &key.project,
            environment: &key.environment,
            release: release.number,
            images: &release.images,
            configuration: configuration.version,
            variables: &configuration.variables,
            secrets: &secrets,
            domain: &cx.domain,
        },
    )?)
}

/// Before anything is committed. Who wants the same at the same time is told by sync.
async fn refuse_taken_hosts(
    cx: &Context,
    key: &EnvironmentKey,
    spec: &EnvironmentSpec,
) -> Result<(), RenderError> {
    if let Some(problem) = sync::own_host(cx, key, &spec.routes) {
        return Err(problem.into());
    }
    match cx.store.taken(key, &spec.routes).await? {
        Some(taken) => Err(sync::host_taken(key, &taken).into()),
        None => Ok(()),
    }
}

/// The release of the environment's newest revision that is not in quarantine.
async fn current_release(cx: &Context, key: &EnvironmentKey) -> Result<Option<ReleaseNumber>, StoreError> {
    let quarantined = cx.store.quarantined(key).await?;
    let revisions = cx.store.revisions(key, 100).await?;
    let good =
        revisions.iter().find(|revision| quarantined.iter().all(|bad| bad.revision != revision.number));
    Ok(good.or(revisions.first()).and_then(|revision| revision.release))
}

async fn roll_back(
    cx: &Context,
    lease: &Lease,
    key: &EnvironmentKey,
    intent: &Intent,
    to: RevisionNumber,
) -> Result<Committed, RenderError> {
    // What was delivered a moment ago is left, too.
    sync::environment(cx, key).await?;
    let revision = cx.store.revision(key, to).await?.ok_or_else(|| {
        Problem::new("delivery.no-revision", format!("`{key}` has no revision {to}"))
            .state("nothing was changed")
            .hint("list the revisions:")
            .command(format!(
                "naru revision list --project {} --environment {}",
                key.project, key.environment
            ))
    })?;
    let spec = cx.repositories.spec(key, &revision.commit).await?;
    refuse_taken_hosts(cx, key, &spec).await?;
    let subject = format!("Return {} to revision {to}", key.environment);
    let newest = cx.store.revisions(key, 2).await?;
    let message = Message {
        subject,
        author: author(intent),
        release: revision.release,
        configuration: revision.configuration,
        recreate: true,
        intent: Some(intent.id),
    };
    let change = Change::Return(&revision.commit);
    let commit = cx.store.guard(lease, Box::pin(cx.repositories.commit(key, &change, &message))).await??;
    // After a crash the commit may have been there already: it is not what was left. Without one nothing was left.
    let left = commit.as_ref().and_then(|commit| newest.into_iter().find(|one| one.commit != *commit));
    let left = left.filter(|left| left.number != to);
    let restored = Restored {
        configuration: spec.configuration,
        secrets: secrets_of(&spec),
        left: left.map(|left| (left.number, left.release)),
    };
    Ok((commit, Some(restored)))
}

/// The person who asked; `None` for deliveries that follow a branch.
fn author(intent: &Intent) -> Option<String> {
    (intent.by != FOLLOWING).then(|| intent.by.clone())
}

/// The secret versions that a revision names.
fn secrets_of(spec: &EnvironmentSpec) -> Vec<(SecretName, SecretVersion)> {
    let values = spec.services.values().flat_map(|service| service.template.variables.values());
    let secrets: BTreeMap<_, _> = values
        .filter_map(|value| match value {
            Value::Secret(name, version) => Some((name.clone(), *version)),
            Value::Plain(_) => None,
        })
        .collect();
    secrets.into_iter().collect()
}
