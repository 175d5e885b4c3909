//! Rollouts told as stories: the real planner drives the fake world, and every action is written down with the time at
//! which it was taken.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use naru_model::job::{ExitReason, JobKey, JobScope, JobSeen, JobSpec, JobState, JobWork};
use naru_model::rollout::Status;
use naru_model::workload::{Limits, ReleaseCommand};
use naru_model::{Clock, RevisionNumber};

use super::drive::{Drive, MINUTE, revision, service, with_volume};
use super::{Behaviour, JobScript, Manners};
use crate::Engine;

fn migration() -> ReleaseCommand {
    ReleaseCommand { service: "web".parse().unwrap(), command: vec!["./migrate".into()], time_limit: MINUTE }
}

#[tokio::test]
async fn a_first_and_a_second_revision() {
    let mut drive = Drive::new();
    assert_eq!(drive.reconcile(&revision(1, service("one", 2)), MINUTE).await, Status::Live);
    assert_eq!(drive.reconcile(&revision(2, service("two", 2)), MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn requests_under_way_are_waited_for_and_not_for_ever() {
    let mut drive = Drive::new();
    drive.reconcile(&revision(1, service("one", 1)), MINUTE).await;
    drive.fake.set_in_flight(&drive.environment.clone(), "web-1-0", 3);
    assert_eq!(drive.reconcile(&revision(2, service("two", 1)), MINUTE).await, Status::Live);
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn an_exclusive_volume_is_handed_over_while_requests_are_held() {
    let mut drive = Drive::new();
    drive.reconcile(&revision(1, with_volume(service("one", 1))), MINUTE).await;
    assert_eq!(drive.reconcile(&revision(2, with_volume(service("two", 1))), MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn an_exclusive_volume_returns_when_the_new_replica_fails() {
    let mut drive = Drive::new();
    let first = revision(1, with_volume(service("one", 1)));
    drive.reconcile(&first, MINUTE).await;
    let exits = Behaviour {
        ready_after: None,
        exits_after: Some((Duration::from_secs(1), 1)),
        prints: vec!["DATABASE_URL is not set".into()],
        ..Behaviour::default()
    };
    drive.fake.script_replicas("two", exits);
    let failed = drive.reconcile(&revision(2, with_volume(service("two", 1))), MINUTE).await;
    let Status::Failed { problem } = failed else { panic!("{failed:?}") };
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(format!("{}\n{problem}", drive.story));
}

#[tokio::test]
async fn a_port_that_never_opens_keeps_the_old_revision_serving() {
    let mut drive = Drive::new();
    let first = revision(1, service("one", 1));
    drive.reconcile(&first, MINUTE).await;
    drive.fake.script_replicas("two", Behaviour { ready_after: None, ..Behaviour::default() });
    let failed = drive.reconcile(&revision(2, service("two", 1)), 3 * MINUTE).await;
    let Status::Failed { problem } = failed else { panic!("{failed:?}") };
    let table = drive.fake.table(&drive.environment).unwrap();
    assert_eq!(table.routes[0].backends[0].replica.to_string(), "web-1-0");
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 1);
    insta::assert_snapshot!(problem.to_string());
}

#[tokio::test]
async fn a_revision_that_dies_under_traffic_gives_the_traffic_back() {
    let mut drive = Drive::new();
    let first = revision(1, service("one", 1));
    drive.reconcile(&first, MINUTE).await;
    let brief = Behaviour {
        exits_after: Some((Duration::from_millis(1500), 1)),
        prints: vec!["the queue is gone".into()],
        ..Behaviour::default()
    };
    drive.fake.script_replicas("two", brief);
    let failed = drive.reconcile(&revision(2, service("two", 1)), MINUTE).await;
    let Status::Failed { problem } = failed else { panic!("{failed:?}\n{}", drive.story) };
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(format!("{}\n{problem}", drive.story));
}

#[tokio::test]
async fn the_release_command_gates_the_switch() {
    let mut drive = Drive::new();
    drive.reconcile(&revision(1, service("one", 1)), MINUTE).await;
    let mut second = revision(2, service("two", 1));
    second.spec.release_command = Some(migration());
    assert_eq!(drive.reconcile(&second, MINUTE).await, Status::Live);
    let mut third = second.clone();
    third.revision = RevisionNumber(3);
    third.spec.services.values_mut().for_each(|web| *web = service("three", 1));
    let ends = ExitReason::Exited { code: 3 };
    drive.fake.script_jobs("rev-3", JobScript { ends, ..JobScript::default() });
    let failed = drive.reconcile(&third, MINUTE).await;
    let Status::Failed { problem } = failed else { panic!("{failed:?}") };
    insta::assert_snapshot!(format!("{}\n{problem}", drive.story));
}

#[tokio::test]
async fn scaling_keeps_the_replicas_that_are_there() {
    let mut drive = Drive::new();
    drive.reconcile(&revision(1, service("one", 1)), MINUTE).await;
    assert_eq!(drive.reconcile(&revision(2, service("one", 3)), MINUTE).await, Status::Live);
    assert_eq!(drive.reconcile(&revision(3, service("one", 1)), MINUTE).await, Status::Live);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
    insta::assert_snapshot!(drive.story);
}

#[tokio::test]
async fn what_is_removed_by_hand_comes_back() {
    let mut drive = Drive::new();
    let first = revision(1, service("one", 2));
    drive.reconcile(&first, MINUTE).await;
    let removed_at = drive.clock.now();
    assert!(drive.fake.remove_by_hand(&drive.environment, "web-1-0"));
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    assert!(drive.clock.now() < removed_at + Duration::from_secs(10));
    assert_eq!(drive.fake.truth(&drive.environment).replicas.len(), 2);
}

#[tokio::test]
async fn a_replica_that_keeps_exiting_waits_longer_each_time() {
    let mut drive = Drive::new();
    let first = revision(1, service("one", 1));
    let crashes = Behaviour { exits_after: Some((Duration::from_secs(5), 1)), ..Behaviour::default() };
    drive.fake.script_replicas("one", crashes);
    assert_eq!(drive.reconcile(&first, MINUTE).await, Status::Live);
    drive.watch(&first, 2 * MINUTE).await;
    let starts = drive.story.matches("start web").count();
    assert!((4..=7).contains(&starts), "{}", drive.story);
    assert_eq!(drive.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn jobs_come_and_go_late() {
    let drive = Drive::new();
    drive.fake.set_manners(Manners { observed_late: Duration::from_secs(2), ..Manners::default() });
    let scope = JobScope::Revision(drive.environment.clone(), RevisionNumber(1));
    let key = JobKey { scope: scope.clone(), name: "release".into(), attempt: 1 };
    let job = JobSpec {
        work: JobWork::Command {
            image: "web".into(),
            command: migration().command,
            workspace: None,
            caches: BTreeMap::new(),
            beside: BTreeMap::new(),
            environment: None,
        },
        variables: BTreeMap::new(),
        limits: Limits::default(),
        time_limit: MINUTE,
        log_limit_bytes: 1024,
    };
    let mut seen = Vec::new();
    for second in 0..7 {
        drive.clock.0.store(second * 1000, Ordering::Relaxed);
        match second {
            0 => drive.fake.ensure_job(&key, &job).await.unwrap(),
            4 => drive.fake.stop_job(&key).await.unwrap(),
            _ => {}
        }
        seen.push(match &drive.fake.observe_jobs(&scope).await.unwrap()[..] {
            [] => "none",
            [JobSeen { state: JobState::Finished(_), .. }] => "finished",
            _ => "running",
        });
    }
    assert_eq!(seen, ["none", "none", "running", "finished", "finished", "finished", "none"]);
}

#[tokio::test]
async fn a_world_that_is_late_and_quarrelsome_ends_the_same() {
    for (observed_late, applied_late, conflict_every) in
        [(0, 0, 2), (400, 0, 0), (900, 700, 3), (2500, 300, 5)]
    {
        let mut drive = Drive::new();
        drive.fake.set_manners(Manners {
            observed_late: Duration::from_millis(observed_late),
            applied_late: Duration::from_millis(applied_late),
            conflict_every,
            unreachable: false,
        });
        for (number, web) in [(1, "one"), (2, "two"), (3, "one")] {
            let mut wanted = revision(number, with_volume(service(web, 1)));
            wanted.spec.release_command = Some(migration());
            let status = drive.reconcile(&wanted, 2 * MINUTE).await;
            assert_eq!(status, Status::Live, "{}", drive.story);
        }
        assert_eq!(drive.fake.started_jobs().len(), 3, "{}", drive.story);
        let truth = drive.fake.truth(&drive.environment);
        assert_eq!(truth.replicas.len(), 1, "{}", drive.story);
        assert_eq!(drive.fake.violations(), Vec::<String>::new(), "{}", drive.story);
    }
}
