//! The rollout under way: where it stands, and what a person says about it. Also the promotion of a release from one
//! environment to another.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Intent, Promote, Rollout, RolloutStage};
use naru_model::authorise::{Permission, Resource};
use naru_model::rollout::{Decision, Stage};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, ReleaseNumber};
use naru_store::environment::Environment;
use naru_store::intent::IntentKind;
use naru_store::revision::Quarantined;

use crate::Cx;
use crate::access::{Asking, Caller, Chosen};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::environment::{condition, state};
use crate::routes::intent::recorded;
use crate::routes::{InEnvironment, environment, no_environment};

/// The rollout to the wanted revision as people see it.
pub(crate) async fn view(cx: &Cx, row: &Environment) -> Result<Rollout> {
    let wanted = row.target.ok_or_else(|| nothing_wanted(&row.key))?;
    let rollout = cx.store.rollout(&row.key, wanted).await?.ok_or_else(|| nothing_wanted(&row.key))?;
    let revision = cx.store.revision(&row.key, wanted).await?;
    let (stage, step) = match rollout.progress.stage {
        Stage::Start => (RolloutStage::Start, None),
        Stage::Step(index) => (RolloutStage::Step, u32::try_from(index + 1).ok()),
        Stage::Preview => (RolloutStage::Preview, None),
        Stage::Promoted => (RolloutStage::Promoted, None),
    };
    Ok(Rollout {
        environment: row.key.environment.clone(),
        revision: wanted,
        release: revision.and_then(|revision| revision.release),
        serving: row.serving,
        state: state(&rollout),
        stage,
        step,
        detail: condition(row, cx.store.now()).1,
        started_at: rollout.started_at,
        stage_since: rollout.progress.since,
        switched_at: rollout.switched_at,
        decision: rollout.decision.map(|decision| match decision {
            Decision::Promote { by } => format!("promoted by {by}"),
            Decision::Abort { by } => format!("given up by {by}"),
        }),
        problem: rollout.problem,
    })
}

fn nothing_wanted(key: &EnvironmentKey) -> Failure {
    let what = format!("a rollout of `{}` in `{}`", key.project, key.environment);
    Failure::missing(
        what,
        &format!("naru status --project {} --environment {}", key.project, key.environment),
    )
}

/// Where the rollout to the wanted revision stands.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/rollout",
    operation_id = "showRollout", tag = "rollout",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Rollout), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Rollout>> {
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(view(&cx, &row).await?))
}

/// Lets the rollout under way go on to the end: past the steps of a canary that are left, or past the preview that waits.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollout/promote",
    operation_id = "promoteRollout", tag = "rollout",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 202, body = Rollout), (status = "default", body = Problem)))]
pub(crate) async fn promote_rollout(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
) -> Result<(StatusCode, Json<Rollout>)> {
    let row = environment(&cx, &chosen, path.environment).await?;
    let rollout = decide(&cx, &row, Decision::Promote { by: caller.login.clone() }).await?;
    Ok((StatusCode::ACCEPTED, Json(rollout)))
}

/// Gives the rollout under way up: what served before keeps all requests, and the new revision goes into quarantine.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/rollout/abort",
    operation_id = "abortRollout", tag = "rollout",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 202, body = Rollout), (status = "default", body = Problem)))]
pub(crate) async fn abort_rollout(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
) -> Result<(StatusCode, Json<Rollout>)> {
    let row = environment(&cx, &chosen, path.environment).await?;
    let rollout = decide(&cx, &row, Decision::Abort { by: caller.login.clone() }).await?;
    Ok((StatusCode::ACCEPTED, Json(rollout)))
}

/// Records what a person says about the rollout under way.
pub(crate) async fn decide(cx: &Cx, row: &Environment, decision: Decision) -> Result<Rollout> {
    let wanted = row.target.filter(|target| row.serving != Some(*target));
    let under_way = match wanted {
        Some(wanted) => cx.store.decide(&row.key, wanted, &decision).await?,
        None => false,
    };
    if !under_way {
        return Err(no_rollout(&row.key));
    }
    view(cx, row).await
}

fn no_rollout(key: &EnvironmentKey) -> Failure {
    let problem = Problem::new(
        "api.no-rollout",
        format!("no rollout of `{}` is under way in `{}`", key.project, key.environment),
    )
    .cause("what is wanted has all the requests already")
    .state("nothing was changed")
    .hint("a revision that serves is left by a rollback:")
    .command(format!("naru rollback --project {} --environment {}", key.project, key.environment));
    Failure::new(StatusCode::CONFLICT, problem)
}

/// Delivers the release that serves in another environment: the same images, this environment's settings. Refused for a
/// release in quarantine, unless it is forced.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/promote",
    operation_id = "promote", tag = "environment", request_body = Promote,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 202, body = Intent), (status = "default", body = Problem)))]
pub(crate) async fn promote(
    State(cx): State<Cx>,
    chosen: Chosen,
    asking: Asking,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Body(wish): Body<Promote>,
) -> Result<(StatusCode, Json<Intent>)> {
    let key = EnvironmentKey { project: chosen.0.name.clone(), environment: path.environment };
    Ok((StatusCode::ACCEPTED, Json(carry_over(&cx, &asking, &chosen, &key, wish, &caller.login).await?)))
}

/// Records the wish to deliver in one environment what serves in another.
pub(crate) async fn carry_over(
    cx: &Cx,
    asking: &Asking,
    chosen: &Chosen,
    key: &EnvironmentKey,
    wish: Promote,
    login: &str,
) -> Result<Intent> {
    let project = &chosen.0;
    let source = EnvironmentKey { project: project.name.clone(), environment: wish.from.clone() };
    asking.require(cx, Permission::Read, &Resource::Environment(source)).await?;
    let from = environment(cx, chosen, wish.from).await?;
    let release = release_of(cx, &from).await?;
    if !wish.force {
        for place in [&from.key, key] {
            let quarantined = cx.store.quarantined(place).await?;
            if let Some(bad) = quarantined.iter().find(|bad| bad.release == Some(release)) {
                return Err(in_quarantine(place, key, &from.key.environment, release, bad));
            }
        }
    }
    if cx.store.environment(key).await?.is_none() {
        let row = cx.store.release(&project.name, release).await?.ok_or_else(|| no_environment(key))?;
        if !row.definition.environments(&project.default_branch).contains_key(&key.environment) {
            return Err(no_environment(key));
        }
        cx.store.ensure_environment(key, None).await?;
    }
    let id = cx.store.intend(key, &IntentKind::Deploy { release }, login).await?;
    recorded(cx, key, id).await
}

/// The release that has all the requests of an environment.
async fn release_of(cx: &Cx, from: &Environment) -> Result<ReleaseNumber> {
    let serving = match from.serving {
        Some(serving) => cx.store.revision(&from.key, serving).await?,
        None => None,
    };
    serving.and_then(|revision| revision.release).ok_or_else(|| {
        let (project, environment) = (&from.key.project, &from.key.environment);
        let problem = Problem::new(
            "api.nothing-to-promote",
            format!("nothing of `{project}` serves in `{environment}`"),
        )
        .cause("a release is promoted once it has all the requests of the environment before")
        .state("nothing was changed")
        .command(format!("naru status --project {project} --environment {environment}"));
        Failure::new(StatusCode::CONFLICT, problem)
    })
}

fn in_quarantine(
    place: &EnvironmentKey,
    to: &EnvironmentKey,
    from: &EnvironmentName,
    release: ReleaseNumber,
    bad: &Quarantined,
) -> Failure {
    let problem = Problem::new(
        "api.quarantined",
        format!("release {release} of `{}` is in quarantine in `{}`", place.project, place.environment),
    )
    .cause(format!("{}, says {}", bad.reason, bad.by))
    .state("nothing was changed")
    .hint("if you know better:")
    .command(format!("naru promote --project {} --from {from} --to {} --force", to.project, to.environment));
    Failure::new(StatusCode::CONFLICT, problem)
}
