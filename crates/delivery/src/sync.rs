//! Commits of the deploy repository become revisions, and the newest good one becomes the target. The repository is
//! right: rows can be deleted and come back the same.

use naru_engine::StepError;
use naru_model::workload::RouteSpec;
use naru_model::{EnvironmentKey, Problem, ProjectName};
use naru_source::deploy::RevisionCommit;
use naru_store::claim::Taken;
use naru_store::revision::Revision;
use naru_store::{Look, StoreError};

use crate::Context;

/// Looks at the deploy repositories.
pub async fn pass(cx: &Context, look: &Look) -> Result<(), StoreError> {
    let projects = cx.store.projects().await?;
    for found in projects.iter().filter(|project| !project.deleting && look.includes(&project.name)) {
        project(cx, &found.name).await?;
    }
    Ok(())
}

/// Looks at one project's deploy repository.
pub async fn project(cx: &Context, project: &ProjectName) -> Result<(), StoreError> {
    for environment in cx.store.environments_of(project).await? {
        self::environment(cx, &environment.key).await?;
    }
    Ok(())
}

/// Makes one environment's revision rows equal to its history and aims at the newest revision that is not in quarantine.
pub async fn environment(cx: &Context, key: &EnvironmentKey) -> Result<(), StoreError> {
    let history: Vec<Revision> = match cx.repositories.history(key).await {
        Ok(history) => history.into_iter().map(revision).collect(),
        Err(StepError::Transient(reason)) => {
            tracing::warn!(environment = %key, reason, "the deploy repository could not be read");
            return Ok(());
        }
        Err(StepError::Blocked(problem)) => return hinder(cx, key, *problem).await,
    };
    let known = cx.store.revisions(key, u32::MAX).await?;
    if let Some(problem) = rewritten(key, &known, &history) {
        return hinder(cx, key, problem).await;
    }
    if history.len() > known.len() {
        cx.store.cache_revisions(key, &history).await?;
    }
    if let Some(problem) = aim(cx, key, &history).await? {
        return hinder(cx, key, problem).await;
    }
    cx.store.set_hindrance(key, None).await
}

/// Aims at the newest revision unless it is in quarantine. Says why not when one of its routes is somebody else's.
async fn aim(
    cx: &Context,
    key: &EnvironmentKey,
    history: &[Revision],
) -> Result<Option<Problem>, StoreError> {
    let Some(newest) = history.last() else { return Ok(None) };
    let quarantined = cx.store.quarantined(key).await?;
    if quarantined.iter().any(|bad| bad.revision == newest.number) {
        return Ok(None);
    }
    let routes = match cx.specs.read(cx, key, &newest.commit).await {
        Ok(spec) => spec.routes.clone(),
        // It leads nowhere; the rollout says what is wrong with it.
        Err(StepError::Blocked(_)) => Vec::new(),
        Err(StepError::Transient(reason)) => {
            tracing::warn!(environment = %key, reason, "a revision could not be read");
            return Ok(None);
        }
    };
    if let Some(problem) = own_host(cx, key, &routes) {
        return Ok(Some(problem));
    }
    let released = has_served(cx, key, newest, history).await?;
    let taken = cx.store.aim(key, newest.number, &routes, released).await?;
    Ok(taken.map(|taken| host_taken(key, &taken)))
}

/// A service at a host of the control plane would be handed its visitors' sessions.
pub(crate) fn own_host(cx: &Context, key: &EnvironmentKey, routes: &[RouteSpec]) -> Option<Problem> {
    let route = routes.iter().find(|route| cx.own_hosts.contains(&route.host))?;
    let taken = Problem::new("delivery.host-taken", format!("`{}` is Naru's own host", route.host)).cause(
        "browsers send the cookies of a host to every port of it: a service there would get those of Naru",
    );
    Some(with_hint(taken, key))
}

/// Two projects can ask for the same host; the second is refused by name.
pub(crate) fn host_taken(key: &EnvironmentKey, taken: &Taken) -> Problem {
    let Taken { host, path, by } = taken;
    let place = if path == "/" { host.clone() } else { format!("{host}{path}") };
    let taken = Problem::new("delivery.host-taken", format!("`{place}` leads to another environment"));
    let whose = match by {
        Some(by) => format!("environment `{}` of project `{}` has it", by.environment, by.project),
        None => format!("another organisation has the host `{host}`"),
    };
    with_hint(taken.cause(whose), key)
}

fn with_hint(problem: Problem, key: &EnvironmentKey) -> Problem {
    problem.state("nothing was changed; what serves keeps serving").hint(format!(
        "give `{key}` a host of its own: set `environments.{}.host` in naru.yaml and push again",
        key.environment
    ))
}

fn revision(commit: RevisionCommit) -> Revision {
    Revision {
        number: commit.number,
        commit: commit.commit,
        release: commit.release,
        configuration: commit.configuration,
        author: commit.author,
        message: commit.message,
        created_at: commit.at,
    }
}

/// Whether what a revision asks for has served before, as after a rollback: its release command need not run again.
async fn has_served(
    cx: &Context,
    key: &EnvironmentKey,
    newest: &Revision,
    history: &[Revision],
) -> Result<bool, StoreError> {
    let Ok(asked) = cx.specs.read(cx, key, &newest.commit).await else { return Ok(false) };
    if asked.release_command.is_none() {
        return Ok(false);
    }
    let alike =
        history.iter().rev().skip(1).filter(|earlier| {
            earlier.release == newest.release && earlier.configuration == newest.configuration
        });
    for earlier in alike {
        let served =
            cx.store.rollout(key, earlier.number).await?.is_some_and(|rollout| rollout.switched_at.is_some());
        if served && cx.specs.read(cx, key, &earlier.commit).await.is_ok_and(|spec| spec == asked) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says so when revisions that are known are not in the history any more.
fn rewritten(key: &EnvironmentKey, known: &[Revision], history: &[Revision]) -> Option<Problem> {
    let is_there = |known: &Revision| {
        history.iter().any(|found| found.number == known.number && found.commit == known.commit)
    };
    let lost = known.iter().find(|known| !is_there(known))?;
    Some(
        Problem::new(
            "delivery.history-rewritten",
            format!("the deploy repository of `{}` was rewritten", key.project),
        )
        .cause(format!(
            "revision {} (commit {}) is not in its history any more",
            lost.number,
            lost.commit.short()
        ))
        .state("what runs was left as it is")
        .hint("push the lost commits to the deploy repository again"),
    )
}

async fn hinder(cx: &Context, key: &EnvironmentKey, problem: Problem) -> Result<(), StoreError> {
    tracing::warn!(environment = %key, code = %problem.code, summary = %problem.summary, "the deploy repository is not followed");
    cx.store.set_hindrance(key, Some(&problem)).await
}
