//! The rollout under way, and the promotion from one environment to the next.

use axum::http::StatusCode;
use naru_model::rollout::{Progress, Stage, Status};
use naru_model::{
    CommitId, ConfigurationVersion, Digest, EnvironmentKey, Generation, Problem, ReleaseNumber,
    RevisionNumber,
};
use naru_store::environment::EnvironmentStatus;
use naru_store::intent::IntentKind;
use naru_store::revision::Revision;
use serde_json::json;

use crate::world::{World, is};

const ROLLOUT: &str = "/api/v1/projects/shop/environments/production/rollout";

fn commit(content: &str) -> CommitId {
    CommitId::try_from(Digest::of(content.as_bytes()).hex()[..40].to_owned()).unwrap()
}

/// An environment with so many revisions of releases of the same numbers, the first of which serves.
async fn environment(world: &World, name: &str, revisions: u32) -> EnvironmentKey {
    let key = EnvironmentKey { project: "shop".parse().unwrap(), environment: name.parse().unwrap() };
    world.store.ensure_environment(&key, None).await.unwrap();
    let revision = |number: u32| Revision {
        number: RevisionNumber(number),
        commit: commit(&format!("{name} {number}")),
        release: Some(ReleaseNumber(number)),
        configuration: ConfigurationVersion(0),
        author: "minji".into(),
        message: format!("Deliver release {number} to {name}"),
        created_at: world.store.now(),
    };
    let history: Vec<_> = (1..=revisions).map(revision).collect();
    world.store.cache_revisions(&key, &history).await.unwrap();
    world.store.aim(&key, RevisionNumber(1), &[], false).await.unwrap();
    world.store.mark_switched(&key, Generation(1), RevisionNumber(1)).await.unwrap();
    key
}

#[tokio::test]
async fn a_rollout_is_shown_promoted_and_given_up_only_while_it_is_under_way() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let key = environment(&world, "production", 2).await;
    for what in ["promote", "abort"] {
        let refused = world.call(&token, "POST", &format!("{ROLLOUT}/{what}"), json!({})).await;
        is(&refused, StatusCode::CONFLICT, "api.no-rollout");
    }

    world.store.aim(&key, RevisionNumber(2), &[], false).await.unwrap();
    let since = world.store.now();
    let progress = Progress { stage: Stage::Step(1), since: Some(since), ..Progress::default() };
    world.store.mark_progress(&key, Generation(2), RevisionNumber(2), &progress).await.unwrap();
    let status = Status::Moving {
        phase: naru_model::rollout::Phase::Canary,
        detail: "25 % of requests go to revision 2".into(),
        until: Some(since + std::time::Duration::from_secs(40)),
    };
    let status = EnvironmentStatus::Reconciled { status };
    world.store.set_status(&key, Generation(2), &status).await.unwrap();
    let shown = world.get(&token, ROLLOUT).await.json();
    assert_eq!(shown["detail"], "25 % of requests go to revision 2; next step in 40 s");
    assert_eq!((&shown["stage"], &shown["step"]), (&json!("step"), &json!(2)));
    assert_eq!((&shown["revision"], &shown["serving"]), (&json!(2), &json!(1)));
    let crossing = world.get(&token, &ROLLOUT.replace("rollout", "crossing")).await;
    assert!(
        crossing.text.contains("25 % of requests go to revision 2; next step in 40 s"),
        "{}",
        crossing.text
    );

    let promoted = world.call(&token, "POST", &format!("{ROLLOUT}/promote"), json!({})).await;
    assert_eq!((promoted.status, &promoted.json()["decision"]), (202, &json!("promoted by minji")));
    let given_up = world.call(&token, "POST", &format!("{ROLLOUT}/abort"), json!({})).await;
    assert_eq!((given_up.status, &given_up.json()["decision"]), (202, &json!("given up by minji")));
    let audit = world.get(&token, "/api/v1/audit").await.text;
    assert!(audit.contains("rollout.promote") && audit.contains("rollout.abort"), "{audit}");
}

#[tokio::test]
async fn the_release_that_serves_is_promoted_unless_it_is_in_quarantine() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    environment(&world, "staging", 1).await;
    let production = environment(&world, "production", 1).await;
    let promote = "/api/v1/projects/shop/environments/production/promote";
    let wish = json!({ "from": "staging" });

    let asked = world.call(&token, "POST", promote, wish.clone()).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let pending = world.store.pending_intents(&production.project).await.unwrap();
    assert_eq!(pending[0].kind, IntentKind::Deploy { release: ReleaseNumber(1) });
    let nowhere = world.call(&token, "POST", promote, json!({ "from": "nowhere" })).await;
    is(&nowhere, StatusCode::NOT_FOUND, "api.missing");

    let row = world.store.revision(&production, RevisionNumber(1)).await.unwrap().unwrap();
    let problem = Problem::new("delivery.crashed", "it failed");
    world.store.give_up(&production, Generation(1), &row, None, &problem).await.unwrap();
    let refused = world.call(&token, "POST", promote, wish).await;
    is(&refused, StatusCode::CONFLICT, "api.quarantined");
    assert!(refused.text.contains("it failed, says naru"), "{}", refused.text);
    let forced = world.call(&token, "POST", promote, json!({ "from": "staging", "force": true })).await;
    assert_eq!(forced.status, 202, "{}", forced.text);
}
