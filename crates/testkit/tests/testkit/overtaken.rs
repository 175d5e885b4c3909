//! What is overtaken, or asked for, at an awkward moment. The simulation found all of these.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_delivery::{reconcile, render};
use naru_engine::fake::Behaviour;
use naru_model::route::RouteMode;
use naru_model::{EnvironmentKey, RevisionNumber};
use naru_store::{Look, StoreError};
use naru_testkit::rig::{Rig, World};

use crate::story::{BOARD, MINUTE, WEB, replicas, start};

/// Steps the environment until `is_there`, looking after every step.
async fn step_until(rig: &Rig, key: &EnvironmentKey, mut is_there: impl FnMut(&World) -> bool) {
    for _ in 0..600 {
        match reconcile::reconcile(&rig.delivery, key).await {
            Ok(_) | Err(StoreError::Stale(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if is_there(&rig.world) {
            return;
        }
        rig.world.clock.advance(Duration::from_millis(100));
    }
    panic!("it never came to that: {:?}", rig.statuses().await);
}

fn backends(world: &World, key: &EnvironmentKey) -> usize {
    world.fake.table(key).map_or(0, |table| table.routes.iter().map(|route| route.backends.len()).sum())
}

#[tokio::test]
async fn a_first_revision_that_got_the_traffic_unrecorded_keeps_it_when_the_next_fails() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    step_until(&rig, &key, |world| backends(world, &key) == 2).await;
    assert_eq!(rig.serving(&key).await, None, "nobody recorded the switch yet");

    let exits = Behaviour {
        ready_after: None,
        exits_after: Some((Duration::from_secs(1), 1)),
        ..Behaviour::default()
    };
    world.fake.script_replicas("web-bad", exits);
    rig.release(&project, WEB, "bad").await;
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    rig.settle(2 * MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-1-1"]);
    assert_eq!(backends(&world, &key), 2);
}

#[tokio::test]
async fn requests_stay_held_when_a_hand_over_is_overtaken() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, BOARD, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, BOARD, "two").await;
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    step_until(&rig, &key, |world| !replicas(world, &key).is_empty() && backends(world, &key) == 0).await;
    step_until(&rig, &key, |world| {
        let web = |seen: &naru_model::rollout::ReplicaSeen| {
            seen.key.to_string() == "web-1-0"
                && !matches!(seen.state, naru_model::rollout::ReplicaState::Running { .. })
        };
        world.fake.truth(&key).replicas.iter().any(web)
    })
    .await;

    let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("blue".to_owned()))]);
    rig.store.change_configuration(&key, &set, "mina").await.unwrap();
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    step_until(&rig, &key, |world| {
        let table = world.fake.table(&key).unwrap();
        let route = &table.routes[0];
        assert!(route.mode == RouteMode::Hold || !route.backends.is_empty(), "{route:?}");
        !route.backends.is_empty()
    })
    .await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn settings_reach_a_revision_that_nobody_could_write_down() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    // The disk was full after the commit.
    rig.store.cache_revisions(&key, &[]).await.unwrap();
    let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("blue".to_owned()))]);
    let (version, _) = rig.store.change_configuration(&key, &set, "mina").await.unwrap();
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    let revisions = rig.store.revisions(&key, 10).await.unwrap();
    let newest = revisions.first().map(|revision| (revision.number, revision.configuration));
    assert_eq!(newest, Some((RevisionNumber(2), version)));
}

#[tokio::test]
async fn a_release_reaches_all_environments_of_its_branch_or_waits_for_all() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    let staging = EnvironmentKey { environment: "staging".parse().unwrap(), ..key.clone() };
    let both =
        format!("{WEB}environments: {{ production: {{ branch: main }}, staging: {{ branch: main }} }}\n");
    rig.release(&project, &both, "one").await;
    render::pass(&rig.delivery, &Look::Everywhere).await.unwrap();
    for key in [&key, &staging] {
        assert_eq!(rig.store.revisions(key, 10).await.unwrap().len(), 1, "{key}");
    }
    assert_eq!(rig.store.releases_to_follow().await.unwrap(), []);
}
