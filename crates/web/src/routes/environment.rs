//! Environments, their revisions, and the way back to an earlier one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Condition, Difference, Environment, Intent, Page, Revision, Rollback, RolloutState};
use naru_model::authorise::{Permission, Resource};
use naru_model::rollout::Status;
use naru_model::{
    BranchName, EnvironmentKey, EnvironmentName, Problem, ProjectName, RevisionNumber, Timestamp,
};
use naru_store::environment::EnvironmentStatus;
use naru_store::intent::IntentKind;
use naru_store::revision::{Outcome, Rollout};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Caller, Chosen};
use crate::border::{Body, InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::intent::recorded;
use crate::routes::{InEnvironment, environment, maintenance};

/// Revisions that are looked through for a page, or for what served before.
const HISTORY: u32 = 500;

/// An environment as people see it, in a word, a sentence and, when it stopped, a problem.
pub(crate) fn condition(
    row: &naru_store::environment::Environment,
    now: Timestamp,
) -> (Condition, String, Option<Problem>) {
    let still = |what: &str| match row.serving {
        Some(serving) => format!("{what}; revision {serving} still serves"),
        None => format!("{what}; nothing serves yet"),
    };
    if let Some(hindrance) = &row.hindrance {
        return (Condition::Blocked, still(&hindrance.summary), Some(hindrance.clone()));
    }
    match &row.status {
        EnvironmentStatus::Idle => (Condition::Idle, "nothing was delivered yet".to_owned(), None),
        EnvironmentStatus::Blocked { problem } => {
            (Condition::Blocked, still(&problem.summary), Some((**problem).clone()))
        }
        EnvironmentStatus::Retrying { reason, failures } => {
            (Condition::Retrying, format!("{reason}; tried {failures} times, and again soon"), None)
        }
        EnvironmentStatus::Reconciled { status } => match status {
            Status::Live => (Condition::Live, "everything that is wanted runs".to_owned(), None),
            Status::Moving { .. } => (Condition::Moving, status.sentence(now).unwrap_or_default(), None),
            Status::Degraded { detail } => (Condition::Degraded, detail.clone(), None),
            Status::Failed { problem } => {
                (Condition::Failed, still(&problem.summary), Some((**problem).clone()))
            }
        },
    }
}

/// An environment as people see it.
pub(crate) async fn view(cx: &Cx, row: naru_store::environment::Environment) -> Result<Environment> {
    let (condition, detail, problem) = condition(&row, cx.store.now());
    let release = match row.serving {
        Some(serving) => cx.store.revision(&row.key, serving).await?.and_then(|revision| revision.release),
        None => None,
    };
    let urls = cx.behind.urls(&row.key).await;
    let maintenance = maintenance::of(cx, &row.key).await?;
    Ok(Environment {
        name: row.key.environment,
        branch: row.branch,
        condition,
        detail,
        problem,
        serving: row.serving,
        release,
        target: row.target,
        configuration: row.configuration,
        since: row.status_at,
        urls,
        maintenance,
        protected: row.protected,
    })
}

/// Every environment of a project that somebody may read, as people see it, by name.
pub(crate) async fn all(cx: &Cx, asking: &Asking, project: &ProjectName) -> Result<Vec<Environment>> {
    let mut items = Vec::new();
    for row in cx.store.environments_of(project).await? {
        if asking.may(cx, Permission::Read, &Resource::Environment(row.key.clone())).await? {
            items.push(view(cx, row).await?);
        }
    }
    Ok(items)
}

/// The environments of a project that the caller may read, by name.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments", operation_id = "listEnvironments",
    tag = "environment", params(("project" = ProjectName, Path)),
    responses((status = 200, body = Page<Environment>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
) -> Result<Json<Page<Environment>>> {
    Ok(Json(Page { items: all(&cx, &asking, &project.name).await?, next: None }))
}

/// How an environment is.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}",
    operation_id = "showEnvironment", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Environment), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Environment>> {
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(view(&cx, row).await?))
}

/// What a new environment should be.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Following {
    /// The branch whose releases are delivered by themselves; none without it.
    branch: Option<String>,
}

/// Makes an environment before its first release, for example to give it secrets. Repeating it is harmless.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}",
    operation_id = "createEnvironment", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Following),
    responses((status = 200, body = Environment), (status = "default", body = Problem)))]
pub(crate) async fn create(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(following): InQuery<Following>,
) -> Result<Json<Environment>> {
    let key = EnvironmentKey { project: chosen.0.name.clone(), environment: path.environment.clone() };
    let branch = following.branch.map(|branch| branch.parse::<BranchName>()).transpose()?;
    if branch.is_some() || cx.store.environment(&key).await?.is_none() {
        cx.store.ensure_environment(&key, branch.as_ref()).await?;
    }
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(view(&cx, row).await?))
}

/// The revisions of an environment, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/revisions",
    operation_id = "listRevisions", tag = "revision",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Paging),
    responses((status = 200, body = Page<Revision>), (status = "default", body = Problem)))]
pub(crate) async fn list_revisions(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Revision>>> {
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(history(&cx, &row.key, &paging).await?))
}

/// A page of the revisions of an environment, newest first.
pub(crate) async fn history(cx: &Cx, key: &EnvironmentKey, paging: &Paging) -> Result<Page<Revision>> {
    let before = paging.after_number::<RevisionNumber>();
    let all = views(cx, key, cx.store.revisions(key, HISTORY).await?).await?;
    let page = all
        .into_iter()
        .filter(|revision| before.is_none_or(|before| revision.number < before))
        .take(paging.probe() as usize)
        .collect();
    Ok(paging.page(page, |revision: &Revision| revision.number.to_string()))
}

async fn views(
    cx: &Cx,
    key: &EnvironmentKey,
    rows: Vec<naru_store::revision::Revision>,
) -> Result<Vec<Revision>> {
    let rollouts = cx.store.rollouts(key, HISTORY).await?;
    let rollouts: BTreeMap<_, _> = rollouts.into_iter().map(|rollout| (rollout.revision, rollout)).collect();
    let quarantined = cx.store.quarantined(key).await?;
    let reasons: BTreeMap<_, _> = quarantined.into_iter().map(|bad| (bad.revision, bad.reason)).collect();
    let view = |row: naru_store::revision::Revision| {
        let rollout = rollouts.get(&row.number);
        Revision {
            number: row.number,
            commit: row.commit,
            release: row.release,
            configuration: row.configuration,
            author: row.author,
            message: row.message,
            created_at: row.created_at,
            rollout: rollout.map_or(RolloutState::Waiting, state),
            switched_at: rollout.and_then(|rollout| rollout.switched_at),
            problem: rollout.and_then(|rollout| rollout.problem.clone()),
            quarantine: reasons.get(&row.number).cloned(),
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

pub(crate) fn state(rollout: &Rollout) -> RolloutState {
    match rollout.outcome {
        Outcome::Moving => RolloutState::Moving,
        Outcome::Live => RolloutState::Live,
        Outcome::Failed => RolloutState::Failed,
        Outcome::Overtaken => RolloutState::Overtaken,
    }
}

/// `{environment}` and `{revision}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneRevision {
    pub(crate) environment: EnvironmentName,
    pub(crate) revision: RevisionNumber,
}

pub(crate) async fn revision(
    cx: &Cx,
    chosen: &Chosen,
    path: OneRevision,
) -> Result<(EnvironmentKey, naru_store::revision::Revision)> {
    let row = environment(cx, chosen, path.environment).await?;
    match cx.store.revision(&row.key, path.revision).await? {
        Some(revision) => Ok((row.key, revision)),
        None => Err(no_revision(&row.key, path.revision)),
    }
}

fn no_revision(key: &EnvironmentKey, number: RevisionNumber) -> Failure {
    let what = format!("revision {number} of `{}` in `{}`", key.project, key.environment);
    Failure::missing(
        what,
        &format!("naru revision list --project {} --environment {}", key.project, key.environment),
    )
}

/// One revision.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/revisions/{revision}",
    operation_id = "showRevision", tag = "revision",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("revision" = RevisionNumber, Path)),
    responses((status = 200, body = Revision), (status = "default", body = Problem)))]
pub(crate) async fn show_revision(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<OneRevision>,
) -> Result<Json<Revision>> {
    let number = path.revision;
    let (key, _) = revision(&cx, &chosen, path).await?;
    Ok(Json(seen(&cx, &key, number).await?))
}

/// A revision as people see it.
pub(crate) async fn seen(cx: &Cx, key: &EnvironmentKey, number: RevisionNumber) -> Result<Revision> {
    let row = cx.store.revision(key, number).await?.ok_or_else(|| no_revision(key, number))?;
    let view = views(cx, key, vec![row]).await?.pop();
    view.ok_or_else(|| no_revision(key, number))
}

/// The other side of a comparison.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Against {
    /// The older revision; the one before without it.
    from: Option<RevisionNumber>,
}

/// What a revision changed in the manifests.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/revisions/{revision}/diff",
    operation_id = "diffRevision", tag = "revision",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("revision" = RevisionNumber, Path), Against),
    responses((status = 200, body = Difference), (status = "default", body = Problem)))]
pub(crate) async fn diff_revision(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<OneRevision>,
    InQuery(against): InQuery<Against>,
) -> Result<Json<Difference>> {
    let (key, to) = revision(&cx, &chosen, path).await?;
    Ok(Json(difference(&cx, &key, against.from, to.number).await?))
}

/// What a revision changed in the manifests since another, or since the one before.
pub(crate) async fn difference(
    cx: &Cx,
    key: &EnvironmentKey,
    from: Option<RevisionNumber>,
    to: RevisionNumber,
) -> Result<Difference> {
    let to = cx.store.revision(key, to).await?.ok_or_else(|| no_revision(key, to))?;
    let from = match from {
        Some(from) => Some(cx.store.revision(key, from).await?.ok_or_else(|| no_revision(key, from))?),
        None if to.number.0 > 1 => cx.store.revision(key, RevisionNumber(to.number.0 - 1)).await?,
        None => None,
    };
    let diff = cx.behind.difference(key, from.as_ref().map(|from| &from.commit), &to.commit).await?;
    Ok(Difference { from: from.map(|from| from.number), to: to.number, diff })
}

/// Returns to a revision, with its configuration and secrets, as a new commit.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollback",
    operation_id = "rollback", tag = "environment", request_body = Rollback,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 202, body = Intent), (status = "default", body = Problem)))]
pub(crate) async fn rollback(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(wish): Body<Rollback>,
) -> Result<(StatusCode, Json<Intent>)> {
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok((StatusCode::ACCEPTED, Json(return_to(&cx, &row, wish.revision, &caller.login).await?)))
}

/// Records the wish to return to a revision, or to the one that served before.
pub(crate) async fn return_to(
    cx: &Cx,
    row: &naru_store::environment::Environment,
    revision: Option<RevisionNumber>,
    login: &str,
) -> Result<Intent> {
    let to = match revision {
        Some(number) => number,
        None => before(cx, row).await?.ok_or_else(|| nothing_before(&row.key))?,
    };
    if cx.store.revision(&row.key, to).await?.is_none() {
        return Err(no_revision(&row.key, to));
    }
    let id = cx.store.intend(&row.key, &IntentKind::Rollback { revision: to }, login).await?;
    recorded(cx, &row.key, id).await
}

/// The newest revision older than the current one that was live and is not known to be bad.
pub(crate) async fn before(
    cx: &Cx,
    row: &naru_store::environment::Environment,
) -> Result<Option<RevisionNumber>> {
    let Some(current) = row.serving.or(row.target) else { return Ok(None) };
    let current = origin(cx, &row.key, current).await?;
    let bad = cx.store.quarantined(&row.key).await?;
    let rollouts = cx.store.rollouts(&row.key, HISTORY).await?;
    let candidate = rollouts.into_iter().find(|rollout| {
        rollout.revision < current
            && rollout.switched_at.is_some()
            && !bad.iter().any(|bad| bad.revision == rollout.revision)
    });
    Ok(candidate.map(|rollout| rollout.revision))
}

/// The revision whose content this one has: a rollback repeats an earlier one, so that the next goes further back.
async fn origin(cx: &Cx, key: &EnvironmentKey, mut number: RevisionNumber) -> Result<RevisionNumber> {
    for _ in 0..HISTORY {
        let Some(revision) = cx.store.revision(key, number).await? else { break };
        let intent = cx.store.intent_of_commit(key, &revision.commit).await?;
        match intent.map(|intent| intent.kind) {
            Some(IntentKind::Rollback { revision: earlier }) if earlier < number => number = earlier,
            _ => break,
        }
    }
    Ok(number)
}

pub(crate) fn nothing_before(key: &EnvironmentKey) -> Failure {
    let problem = Problem::new(
        "api.no-earlier-revision",
        format!("there is nothing to return to in `{}`", key.environment),
    )
    .cause("no earlier revision has served there, or all of them are in quarantine")
    .state("nothing was changed")
    .command(format!("naru revision list --project {} --environment {}", key.project, key.environment));
    Failure::new(StatusCode::CONFLICT, problem)
}
