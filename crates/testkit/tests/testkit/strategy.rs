//! Strategies through everything that keeps them: rows, commits, restarts, people.

use std::time::Duration;

use naru_engine::fake::Behaviour;
use naru_model::rollout::{Decision, Progress, Stage};
use naru_model::route::{LatencyBucket, RevisionFigures, RouteTable};
use naru_model::{Clock, EnvironmentKey, RevisionNumber};
use naru_store::StoreError;
use naru_store::intent::IntentKind;
use naru_store::revision::Outcome;
use naru_testkit::rig::{Rig, World};

use crate::story::{MINUTE, replicas, start};

const CANARY: &str = "
service:
  build: {}
  port: 8080
  strategy: { canary: { steps: [10%, 50%], pause: 10s, analysis: errors < 1% and requests >= 20 } }
";

const MANUAL: &str = "
service:
  build: {}
  port: 8080
  strategy: { blue-green: { keep: 10m, promote: manual } }
";

const PLAIN: &str = "
service: { build: {}, port: 8080 }
";

/// Visitors for a while: 1,000 requests per second, by the weights in force. Those of `failing` are all failed.
pub(crate) async fn visit(rig: &Rig, key: &EnvironmentKey, so_long: Duration, failing: Option<u32>) {
    let fake = rig.world.fake.clone();
    rig.go_on(so_long, |passed| {
        let Some(table) = fake.table(key) else { return };
        for (revision, share) in shares(&table) {
            let requests = u64::try_from(passed.as_millis()).unwrap() * share / 100;
            let figures = RevisionFigures {
                service: "web".parse().unwrap(),
                revision: RevisionNumber(revision),
                requests,
                errors: if failing == Some(revision) { requests } else { 0 },
                latency: vec![LatencyBucket { below_ms: Some(10), requests }],
            };
            fake.count_requests(key, &figures);
        }
    })
    .await;
}

/// What each revision gets of 100 requests on the first route.
fn shares(table: &RouteTable) -> Vec<(u32, u64)> {
    let Some(route) = table.routes.first() else { return Vec::new() };
    let whole: u64 = route.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    route
        .backends
        .iter()
        .map(|backend| (backend.revision.0, u64::from(backend.weight) * 100 / whole))
        .collect()
}

fn shares_now(world: &World, key: &EnvironmentKey) -> Vec<(u32, u64)> {
    shares(&world.fake.table(key).unwrap())
}

async fn stage(rig: &Rig, key: &EnvironmentKey, revision: u32) -> Stage {
    rig.store.rollout(key, RevisionNumber(revision)).await.unwrap().unwrap().progress.stage
}

async fn outcome(rig: &Rig, key: &EnvironmentKey, revision: u32) -> Outcome {
    rig.store.rollout(key, RevisionNumber(revision)).await.unwrap().unwrap().outcome
}

fn again(rig: Rig) -> impl Future<Output = Rig> {
    let world = rig.world.clone();
    drop(rig);
    async move { Rig::start(&world, std::sync::Arc::new(naru_model::effect::Unobserved)).await }
}

#[tokio::test]
async fn a_canary_goes_on_where_it_was_after_a_restart() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, CANARY, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, CANARY, "two").await;
    visit(&rig, &key, Duration::from_secs(6), None).await;
    assert_eq!(shares_now(&world, &key), [(2, 10), (1, 90)]);
    let began = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap().progress;

    let rig = again(rig).await;
    visit(&rig, &key, Duration::from_secs(1), None).await;
    let goes_on = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap().progress;
    assert_eq!(goes_on, began, "neither the pause nor the sample begins anew");
    visit(&rig, &key, Duration::from_secs(9), None).await;
    assert_eq!(shares_now(&world, &key), [(2, 50), (1, 50)]);
    visit(&rig, &key, Duration::from_secs(15), None).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
    rig.settle(2 * MINUTE).await;
    rig.go_on(MINUTE, |_| ()).await;
    assert_eq!(replicas(&world, &key), ["web-2-0"]);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_canary_that_fails_is_left_and_stays_in_quarantine_after_a_restart() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, CANARY, "one").await;
    rig.settle(MINUTE).await;
    let two = rig.release(&project, CANARY, "two").await;
    visit(&rig, &key, Duration::from_secs(5), Some(2)).await;
    rig.settle(MINUTE).await;
    assert_eq!(outcome(&rig, &key, 2).await, Outcome::Failed);
    assert_eq!(shares_now(&world, &key), [(1, 100)]);

    let rig = again(rig).await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    let bad = rig.store.quarantined(&key).await.unwrap();
    assert_eq!(bad.iter().map(|bad| bad.release).collect::<Vec<_>>(), [Some(two)]);
    let problem = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap().problem.unwrap();
    assert_eq!(problem.code, "delivery.analysis");
    assert!(problem.cause[0].contains("requests to revision 2 failed; 0 of "), "{problem}");
}

#[tokio::test]
async fn a_newer_release_overtakes_a_canary_in_mid_step() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, CANARY, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, CANARY, "two").await;
    visit(&rig, &key, Duration::from_secs(14), None).await;
    assert_eq!(stage(&rig, &key, 2).await, Stage::Step(1));
    rig.release(&project, CANARY, "three").await;
    visit(&rig, &key, Duration::from_secs(5), None).await;
    assert_eq!(outcome(&rig, &key, 2).await, Outcome::Overtaken);
    assert_eq!(stage(&rig, &key, 3).await, Stage::Step(0));
    assert_eq!(shares_now(&world, &key), [(3, 10), (1, 90)]);
    visit(&rig, &key, MINUTE, None).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rollback_ends_a_canary_and_wins_over_a_deploy_of_the_same_moment() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, CANARY, "one").await;
    rig.settle(MINUTE).await;
    let two = rig.release(&project, CANARY, "two").await;
    visit(&rig, &key, Duration::from_secs(5), None).await;
    assert_eq!(shares_now(&world, &key), [(2, 10), (1, 90)]);
    let three = rig.release(&project, CANARY, "three").await;
    rig.store.intend(&key, &IntentKind::Rollback { revision: RevisionNumber(1) }, "mina").await.unwrap();
    rig.store.intend(&key, &IntentKind::Deploy { release: three }, "juno").await.unwrap();
    rig.settle(MINUTE).await;
    let serving = rig.serving(&key).await.unwrap();
    let revision = rig.store.revision(&key, serving).await.unwrap().unwrap();
    assert_eq!(revision.message, "Return production to revision 1");
    assert_eq!(replicas(&world, &key), ["web-1-0"], "its replicas were there all the time");
    let bad: Vec<_> = rig.store.quarantined(&key).await.unwrap().iter().map(|bad| bad.release).collect();
    assert_eq!(bad, [Some(three)], "what was left is not brought back; {two} was overtaken before");
}

#[tokio::test]
async fn a_preview_is_promoted_and_the_way_back_is_immediate() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, MANUAL, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, MANUAL, "two").await;
    rig.go_on(45 * MINUTE, |_| ()).await;
    let table = world.fake.table(&key).unwrap();
    let hosts: Vec<_> =
        table.routes.iter().map(|route| (route.host.as_str(), route.backends[0].revision.0)).collect();
    assert_eq!(hosts, [("shop.localhost", 1), ("next--shop.localhost", 2)]);

    let rig = again(rig).await;
    let promote = Decision::Promote { by: "mina".into() };
    assert!(rig.store.decide(&key, RevisionNumber(2), &promote).await.unwrap());
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
    assert_eq!(world.fake.table(&key).unwrap().routes.len(), 1, "the preview is over");
    assert!(!rig.store.decide(&key, RevisionNumber(2), &promote).await.unwrap(), "it is over");
    rig.go_on(5 * MINUTE, |_| ()).await;
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-2-0"], "the old revision is kept warm");

    let asked = world.clock.now();
    rig.store.intend(&key, &IntentKind::Rollback { revision: RevisionNumber(1) }, "mina").await.unwrap();
    rig.go_on(Duration::from_secs(2), |_| ()).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));
    let switched_at = rig.store.rollout(&key, RevisionNumber(3)).await.unwrap().unwrap().switched_at.unwrap();
    assert!(switched_at < asked + Duration::from_secs(2), "asked at {asked}, done at {switched_at}");
    assert_eq!(shares_now(&world, &key), [(3, 100)]);
    rig.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key), ["web-1-0"]);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_person_gives_a_preview_up() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, MANUAL, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, MANUAL, "two").await;
    rig.go_on(MINUTE, |_| ()).await;
    let abort = Decision::Abort { by: "mina".into() };
    assert!(rig.store.decide(&key, RevisionNumber(2), &abort).await.unwrap());
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(replicas(&world, &key), ["web-1-0"]);
    assert_eq!(outcome(&rig, &key, 2).await, Outcome::Failed);
}

#[tokio::test]
async fn a_crash_after_the_switch_returns_by_itself_also_across_a_restart() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, PLAIN, "one").await;
    rig.settle(MINUTE).await;
    let brief = Behaviour { exits_after: Some((Duration::from_secs(9), 1)), ..Behaviour::default() };
    world.fake.script_replicas("web-two", brief);
    rig.release(&project, PLAIN, "two").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
    assert_eq!(replicas(&world, &key), ["web-2-0"], "the old one is gone");

    let rig = again(rig).await;
    rig.go_on(Duration::from_secs(20), |_| ()).await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(outcome(&rig, &key, 2).await, Outcome::Failed);
    let bad: Vec<_> = rig.store.quarantined(&key).await.unwrap().iter().map(|bad| bad.revision.0).collect();
    assert_eq!(bad, [2]);
    let rig = again(rig).await;
    rig.go_on(2 * MINUTE, |_| ()).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)), "it is not brought back");
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

const DAY: Duration = Duration::from_hours(24);

/// Looks once after the clock was set back: only moments are written anew, and then none is left.
async fn look_after_set_back(rig: &Rig, key: &EnvironmentKey) {
    rig.world.clock.set_back(DAY);
    let looked = naru_delivery::reconcile::reconcile(&rig.delivery, key).await;
    assert!(matches!(looked, Err(StoreError::Stale(_))), "{looked:?}");
    let environment = rig.store.environment(key).await.unwrap().unwrap();
    assert_eq!(environment.target_since, rig.world.clock.now());
    let rollout = rig.store.rollout(key, environment.target.unwrap()).await.unwrap();
    assert!(!rig.store.mend_moments(&environment, rollout.as_ref()).await.unwrap(), "once is enough");
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_the_pause_of_a_canary_begin_anew() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, CANARY, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, CANARY, "two").await;
    visit(&rig, &key, Duration::from_secs(6), None).await;
    let before = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap().progress;
    look_after_set_back(&rig, &key).await;
    let after = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap().progress;
    assert_eq!(after, Progress { since: Some(world.clock.now()), ..before });
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_the_old_revision_warm_for_longer() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    let kept = "service: { build: {}, port: 8080, strategy: { blue-green: { keep: 1m } } }";
    for content in ["one", "two"] {
        rig.release(&project, kept, content).await;
        rig.settle(MINUTE).await;
    }
    look_after_set_back(&rig, &key).await;
    let rollout = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap();
    assert_eq!(rollout.switched_at, Some(world.clock.now()));
}
