//! Strategies told as stories, and the promises that hold for all of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use naru_model::rollout::{Decision, Stage, Status, Wanted};
use naru_model::{Clock, Problem, RevisionNumber};
use proptest::prelude::*;

use super::drive::{Drive, MINUTE, by, revision, service};
use super::{Behaviour, Manners};

const CANARY: &str =
    r#"{"canary":{"steps":["5%","50%"],"pause":"10s","analysis":"errors < 1% and requests >= 20"}}"#;
const MANUAL: &str = r#"{"blue-green":{"keep":"5m","promote":"manual"}}"#;

fn failed(status: Status) -> Problem {
    match status {
        Status::Failed { problem } => *problem,
        other => panic!("{other:?}"),
    }
}

/// The first revision, with visitors.
async fn served(strategy: &str, replicas: u32) -> (Drive, Wanted) {
    let mut drive = Drive::new();
    let first = revision(1, by(strategy, service("one", replicas)));
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    drive.requests_per_second = 400;
    drive.fewest_ready = usize::MAX;
    (drive, first)
}

fn second(strategy: &str, replicas: u32) -> Wanted {
    revision(2, by(strategy, service("two", replicas)))
}

#[tokio::test]
async fn a_canary_goes_up_in_steps() {
    let (mut drive, _) = served(CANARY, 1).await;
    assert_eq!(drive.reconcile(&second(CANARY, 1), MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn a_canary_that_fails_is_given_up_long_before_its_pause_ends() {
    let (mut drive, first) = served(CANARY, 2).await;
    drive.failing = Some(RevisionNumber(2));
    let began = drive.clock.now();
    let problem = failed(drive.reconcile(&second(CANARY, 2), MINUTE).await);
    assert!(drive.clock.now() < began + Duration::from_secs(5), "{}", drive.story);
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 2);
    insta::assert_snapshot!(problem.to_string());
}

#[tokio::test]
async fn without_requests_nothing_is_promoted() {
    let (mut drive, first) = served(CANARY, 1).await;
    drive.requests_per_second = 0;
    let two = second(CANARY, 1);
    let waits = drive.reconcile(&two, Duration::from_secs(15)).await;
    assert_eq!(
        waits.sentence(drive.clock.now()).as_deref(),
        Some("5 % of requests go to revision 2; too few were answered to judge by")
    );
    drive.clock.0.fetch_add(1_780_000, Ordering::Relaxed);
    assert!(matches!(drive.go_on(&two, Duration::from_secs(1)).await, Status::Moving { .. }));
    drive.clock.0.fetch_add(20_000, Ordering::Relaxed);
    let problem = failed(drive.go_on(&two, MINUTE).await);
    insta::assert_snapshot!(problem.to_string());
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
}

#[tokio::test]
async fn a_person_ends_the_steps_either_way() {
    let (mut drive, first) = served(CANARY, 1).await;
    let two = second(CANARY, 1);
    let waits = drive.reconcile(&two, Duration::from_secs(4)).await;
    assert!(
        waits
            .sentence(drive.clock.now())
            .unwrap()
            .starts_with("5 % of requests go to revision 2; next step in ")
    );
    drive.decision = Some(Decision::Abort { by: "mina".into() });
    let problem = failed(drive.go_on(&two, MINUTE).await);
    assert_eq!(
        (&*problem.code, problem.cause.join("").as_str()),
        ("delivery.aborted", "mina gave the rollout up")
    );
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    let three = revision(3, by(CANARY, service("three", 1)));
    drive.reconcile(&three, Duration::from_secs(4)).await;
    drive.decision = Some(Decision::Promote { by: "mina".into() });
    let asked = drive.clock.now();
    assert_eq!(drive.go_on(&three, MINUTE).await, Status::Live);
    assert!(drive.clock.now() < asked + Duration::from_secs(4), "{}", drive.story);
}

#[tokio::test]
async fn a_newer_revision_overtakes_a_canary_and_starts_from_its_first_step() {
    let (mut drive, _) = served(CANARY, 1).await;
    drive.reconcile(&second(CANARY, 1), Duration::from_secs(14)).await;
    assert_eq!(drive.progress.stage, Stage::Step(1));
    let three = revision(3, by(CANARY, service("three", 1)));
    let waits = drive.reconcile(&three, Duration::from_secs(4)).await;
    assert!(waits.sentence(drive.clock.now()).unwrap().starts_with("5 % of requests go to revision 3"));
    let names: Vec<_> =
        drive.fake.truth(&drive.environment).replicas.iter().map(|replica| replica.key.to_string()).collect();
    assert_eq!(names, ["web-1-0", "web-3-0"], "what was overtaken is taken away at once");
    assert_eq!(drive.go_on(&three, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_step_lasts_from_when_the_edge_has_its_shares() {
    let (mut drive, _) = served(CANARY, 1).await;
    drive.fake.set_manners(Manners { applied_late: Duration::from_secs(14), ..Manners::default() });
    let two = second(CANARY, 1);
    drive.reconcile(&two, Duration::from_secs(12)).await;
    assert_eq!((drive.progress.stage, drive.progress.since), (Stage::Step(0), None), "{}", drive.story);
    drive.go_on(&two, Duration::from_secs(4)).await;
    let since = drive.progress.since.expect("the edge has the shares by now");
    drive.go_on(&two, Duration::from_secs(4)).await;
    assert_eq!((drive.progress.stage, drive.progress.since), (Stage::Step(0), Some(since)));
    assert_eq!(drive.go_on(&two, 2 * MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn another_edge_begins_the_sample_anew_but_not_the_pause() {
    let (mut drive, _) = served(CANARY, 1).await;
    let two = second(CANARY, 1);
    drive.reconcile(&two, Duration::from_secs(7)).await;
    let since = drive.progress.since;
    drive.fake.forget_figures();
    drive.go_on(&two, Duration::from_secs(1)).await;
    assert_eq!((drive.progress.stage, drive.progress.since), (Stage::Step(0), since));
    assert!(drive.progress.baseline.is_empty());
    assert_eq!(drive.go_on(&two, MINUTE).await, Status::Live);
}

#[tokio::test]
async fn a_preview_waits_for_a_person_and_the_old_stays_warm() {
    let (mut drive, first) = served(MANUAL, 1).await;
    let two = second(MANUAL, 1);
    drive.reconcile(&two, Duration::from_secs(5)).await;
    drive.clock.0.fetch_add(5_400_000, Ordering::Relaxed);
    let waits = drive.go_on(&two, Duration::from_secs(5)).await;
    assert_eq!(
        waits.sentence(drive.clock.now()).as_deref(),
        Some("revision 2 is ready and waits for promotion; it answers at next--shop.localhost")
    );
    drive.decision = Some(Decision::Promote { by: "mina".into() });
    assert_eq!(drive.go_on(&two, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 2, "the old one is kept");
    drive.watch(&two, MINUTE).await;
    // Back by a commit of its own, as a rollback is.
    let back = Wanted { revision: RevisionNumber(3), ..first };
    drive.returning = true;
    let asked = drive.clock.now();
    assert_eq!(drive.reconcile(&back, MINUTE).await, Status::Live);
    assert!(drive.clock.now() < asked + Duration::from_secs(2), "{}", drive.story);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn the_old_revision_is_let_go_when_its_time_is_over() {
    let strategy = r#"{"blue-green":{"keep":"5m"}}"#;
    let (mut drive, _) = served(strategy, 1).await;
    let two = second(strategy, 1);
    assert_eq!(drive.reconcile(&two, MINUTE).await, Status::Live);
    drive.watch(&two, 4 * MINUTE).await;
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 2);
    drive.watch(&two, 2 * MINUTE).await;
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 1);
}

#[tokio::test]
async fn large_services_change_places_in_turns() {
    for (surge, unavailable, most, fewest) in [(2, 0, 12, 10), (0, 3, 10, 7), (3, 2, 13, 8)] {
        let strategy = format!(r#"{{"rolling":{{"surge":{surge},"unavailable":{unavailable}}}}}"#);
        let (mut drive, _) = served(&strategy, 10).await;
        let status = drive.reconcile(&second(&strategy, 10), 2 * MINUTE).await;
        assert_eq!(status, Status::Live, "{}", drive.story);
        assert_eq!((drive.most_running, drive.fewest_ready), (most, fewest), "{strategy}\n{}", drive.story);
        assert_eq!(drive.fake.violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn turns_that_fail_bring_the_old_replicas_back() {
    let strategy = r#"{"rolling":{"surge":1,"unavailable":1}}"#;
    let (mut drive, first) = served(strategy, 6).await;
    drive.fake.script_replicas("two", Behaviour { ready_after: None, ..Behaviour::default() });
    let problem = failed(drive.reconcile(&second(strategy, 6), 3 * MINUTE).await);
    assert_eq!(problem.code, "delivery.unhealthy");
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 6);
    assert!(drive.fewest_ready >= 5, "{}", drive.fewest_ready);
}

#[tokio::test]
async fn what_crashes_after_the_switch_gives_the_traffic_back_also_when_the_old_is_gone() {
    for strategy in [r#""rolling""#, r#""blue-green""#] {
        let (mut drive, first) = served(strategy, 1).await;
        let brief = Behaviour {
            exits_after: Some((Duration::from_secs(8), 1)),
            prints: vec!["the queue is gone".into()],
            ..Behaviour::default()
        };
        drive.fake.script_replicas("two", brief);
        let two = second(strategy, 1);
        assert_eq!(drive.reconcile(&two, MINUTE).await, Status::Live, "it is well at first");
        let problem = failed(drive.fall(&two, MINUTE).await);
        assert_eq!(problem.code, "delivery.crashed");
        drive.returning = true;
        let began = drive.clock.now();
        assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
        assert!(drive.clock.now() < began + Duration::from_secs(5), "{}", drive.story);
        assert_eq!(drive.fake.violations(), Vec::<String>::new());
        insta::allow_duplicates! { insta::assert_snapshot!(problem.to_string()) }
    }
}

#[tokio::test]
async fn an_old_failure_does_not_count_after_the_watch() {
    let (mut drive, _) = served(r#""rolling""#, 1).await;
    let crash = Behaviour { exits_after: Some((Duration::from_secs(45), 1)), ..Behaviour::default() };
    drive.fake.script_replicas("two", crash);
    let two = second(r#""rolling""#, 1);
    assert_eq!(drive.reconcile(&two, MINUTE).await, Status::Live);
    drive.watch(&two, 2 * MINUTE).await;
    assert!(drive.story.contains("start web-2-0-1"), "it is started again\n{}", drive.story);
}

fn strategies() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""rolling""#,
        r#"{"rolling":{"surge":1}}"#,
        r#"{"rolling":{"surge":0,"unavailable":"50%"}}"#,
        r#"{"blue-green":{"keep":"20s"}}"#,
        CANARY,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever follows whatever, after whatever time, in a world that is late: it ends live, and no promise is broken.
    #[test]
    fn every_story_ends(
        steps in prop::collection::vec((strategies(), 1..7_u32, 0..40_u64, prop::bool::weighted(0.2)), 1..5),
        (observed_late, applied_late) in (0..700_u64, 0..400_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut drive = Drive::new();
            drive.requests_per_second = 1_000;
            // A crash that is seen late may bring an old replica back into a table in the moment in which it is stopped.
            let breaks = steps.iter().any(|(_, _, _, breaks)| *breaks);
            drive.fake.set_manners(Manners {
                observed_late: Duration::from_millis(if breaks { 0 } else { observed_late }),
                applied_late: Duration::from_millis(applied_late),
                ..Manners::default()
            });
            let mut last = None;
            for (number, (strategy, replicas, seconds, breaks)) in (1..).zip(&steps) {
                let wanted = revision(number, by(strategy, service(&format!("image{number}x"), *replicas)));
                if *breaks {
                    let behaviour = Behaviour { exits_after: Some((Duration::from_secs(1), 1)), ..Behaviour::default() };
                    drive.fake.script_replicas(&format!("image{number}x"), behaviour);
                }
                let status = drive.reconcile(&wanted, Duration::from_secs(*seconds)).await;
                // What failed is left for what served, or for nothing.
                if !matches!(status, Status::Failed { .. }) && !breaks {
                    last = Some(wanted);
                }
            }
            let Some(last) = last else { return };
            let status = drive.reconcile(&last, 5 * MINUTE).await;
            assert_eq!(status, Status::Live, "{}", drive.story);
            assert_eq!(drive.fake.violations(), Vec::<String>::new(), "{}", drive.story);
            drive.clock.0.fetch_add(60_000, Ordering::Relaxed);
            drive.watch(&last, MINUTE).await;
            let wanted = last.spec.services.values().next().unwrap().replicas as usize;
            assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), wanted, "{}", drive.story);
        });
    }
}
