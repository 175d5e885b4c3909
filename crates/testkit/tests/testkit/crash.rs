//! A recorded story of deliveries is repeated with a crash before and after each of its effects. After a cold restart it
//! must end the same: nothing run twice that must not be, no orphan, no route to what is not ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use naru_model::RevisionNumber;
use naru_store::environment::Environment;
use naru_store::intent::{IntentKind, IntentState};
use naru_testkit::crash::CrashAt;
use naru_testkit::rig::{Rig, World};

use crate::story::{BOARD, MINUTE, production};

/// A push, another, a variable, and the way back. Can be begun again at any point: each part first looks whether it was
/// done.
async fn story(rig: &Rig) {
    let project = rig.create_project("shop").await;
    let key = production(&project);
    for content in ["one", "two"] {
        rig.release(&project, BOARD, content).await;
        rig.settle(3 * MINUTE).await;
    }
    let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("blue".to_owned()))]);
    let revisions = rig.store.revisions(&key, 10).await.unwrap();
    if revisions.len() < 3 {
        rig.store.change_configuration(&key, &set, "mina").await.unwrap();
        rig.settle(3 * MINUTE).await;
    }
    let rollback = IntentKind::Rollback { revision: RevisionNumber(1) };
    let asked = rig.store.newest_intent(&key).await.unwrap().is_some_and(|intent| intent.kind == rollback);
    if !asked {
        rig.store.intend(&key, &rollback, "mina").await.unwrap();
    }
    rig.settle(3 * MINUTE).await;
}

/// What must be the same at the end, however it was reached.
#[derive(Debug, PartialEq)]
struct End {
    serving: Option<RevisionNumber>,
    target: Option<RevisionNumber>,
    revisions: Vec<(u32, Option<u32>, u32, String)>,
    replicas: Vec<(String, u32, u32)>,
    routes: Vec<(String, usize)>,
    jobs: BTreeMap<String, usize>,
    quarantined: Vec<u32>,
    waiting: usize,
}

async fn end(rig: &Rig) -> End {
    let project = "shop".parse().unwrap();
    let key = production(&project);
    let environment: Environment = rig.store.environment(&key).await.unwrap().unwrap();
    let revisions = rig.store.revisions(&key, 100).await.unwrap();
    let mut jobs = BTreeMap::new();
    for start in rig.world.fake.started_jobs() {
        *jobs.entry(start.key.to_string()).or_default() += 1;
    }
    let intent = rig.store.newest_intent(&key).await.unwrap().unwrap();
    assert_eq!(intent.state, IntentState::Done);
    End {
        serving: environment.serving,
        target: environment.target,
        revisions: revisions
            .iter()
            .map(|revision| {
                (
                    revision.number.0,
                    revision.release.map(|release| release.0),
                    revision.configuration.0,
                    revision.message.clone(),
                )
            })
            .collect(),
        replicas: rig
            .world
            .fake
            .truth(&key)
            .replicas
            .iter()
            .map(|replica| (replica.key.service.to_string(), replica.key.revision.0, replica.key.index))
            .collect(),
        routes: rig
            .world
            .fake
            .table(&key)
            .unwrap()
            .routes
            .iter()
            .map(|route| (route.host.clone(), route.backends.len()))
            .collect(),
        jobs,
        quarantined: rig.store.quarantined(&key).await.unwrap().iter().map(|bad| bad.revision.0).collect(),
        waiting: rig.store.pending_intents(&project).await.unwrap().len(),
    }
}

/// Crashes at every `SHARDS`-th side of an effect, from `shard` on; the shards together leave none out.
async fn crash_at_every_effect_of(shard: usize) {
    let world = World::default();
    let recorded = Arc::new(CrashAt::never());
    let rig = Rig::start(&world, recorded.clone()).await;
    story(&rig).await;
    let expected = end(&rig).await;
    assert_eq!(world.fake.violations(), Vec::<String>::new());
    let points = recorded.seen();
    assert_eq!(expected.serving, Some(RevisionNumber(4)));

    for (index, point) in points.iter().enumerate().skip(shard).step_by(SHARDS) {
        let world = World::default();
        let crash = Arc::new(CrashAt::point(index + 1));
        let first = Rig::start(&world, crash.clone()).await;
        tokio::select! {
            () = crash.crashed() => {}
            () = story(&first) => panic!("effect {index} ({point:?}) was not reached again"),
        }
        drop(first);
        let second = Rig::start(&world, Arc::new(CrashAt::never())).await;
        story(&second).await;
        let reached = end(&second).await;
        assert_eq!(reached, expected, "after a crash at effect {index}: {point:?}");
        assert_eq!(
            world.fake.violations(),
            Vec::<String>::new(),
            "after a crash at effect {index}: {point:?}"
        );
    }
    println!("shard {shard} of {SHARDS}: every crash of {} was survived", points.len());
}

/// Tests run side by side; one after the other the crashes would take minutes.
const SHARDS: usize = 4;

#[tokio::test]
async fn a_crash_at_any_effect_ends_the_same_1() {
    crash_at_every_effect_of(0).await;
}

#[tokio::test]
async fn a_crash_at_any_effect_ends_the_same_2() {
    crash_at_every_effect_of(1).await;
}

#[tokio::test]
async fn a_crash_at_any_effect_ends_the_same_3() {
    crash_at_every_effect_of(2).await;
}

#[tokio::test]
async fn a_crash_at_any_effect_ends_the_same_4() {
    crash_at_every_effect_of(3).await;
}
