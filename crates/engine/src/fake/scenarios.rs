//! Rollouts told as stories: the real planner drives the fake world, and every action is written down with the time at
//! which it was taken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use naru_model::job::{ExitReason, JobScope};
use naru_model::rollout::{Action, Serving, Situation, Status, Wanted, plan};
use naru_model::route::RouteMode;
use naru_model::workload::{
    EnvironmentSpec, Limits, Mount, Probe, ReleaseCommand, RouteSpec, ServiceSpec, Template, VolumeSpec,
};
use naru_model::{Clock, Digest, EnvironmentKey, Generation, ReleaseNumber, RevisionNumber, Timestamp};

use super::{Behaviour, Fake, JobScript, Manners};
use crate::{Engine, Traffic};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// Does what the reconcile loop does, with its rows in fields.
struct Drive {
    fake: Fake,
    clock: Arc<Hand>,
    environment: EnvironmentKey,
    serving: Option<Wanted>,
    released: bool,
    generation: u64,
    story: String,
}

impl Drive {
    fn new() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        Self {
            fake: Fake::new(clock.clone()),
            clock,
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
            },
            serving: None,
            released: false,
            generation: 0,
            story: String::new(),
        }
    }

    fn tell(&mut self, line: &str) {
        let seconds =
            Duration::from_millis(self.clock.0.load(Ordering::Relaxed).unsigned_abs()).as_secs_f64();
        writeln!(self.story, "{seconds:5.1} s  {line}").unwrap();
    }

    /// Reconciles until the environment rests, has failed, or `at_most` has passed. Tells what happened.
    async fn reconcile(&mut self, want: &Wanted, at_most: Duration) -> Status {
        self.generation += 1;
        self.released = false;
        let since = self.clock.now();
        let mut last = String::new();
        loop {
            let (status, look_again) = self.pass(want, since, &mut last).await;
            let over = matches!(status, Status::Live | Status::Failed { .. });
            if over || self.clock.now() > since + at_most {
                return status;
            }
            let step = i64::try_from(look_again.as_millis()).unwrap().max(1);
            self.clock.0.fetch_add(step, Ordering::Relaxed);
        }
    }

    /// Reconciles for so long, whatever the status.
    async fn watch(&mut self, want: &Wanted, so_long: Duration) {
        let (since, mut last) = (self.clock.now(), String::new());
        while self.clock.now() < since + so_long {
            let (_, look_again) = self.pass(want, since, &mut last).await;
            self.clock.0.fetch_add(i64::try_from(look_again.as_millis()).unwrap().max(1), Ordering::Relaxed);
        }
    }

    async fn pass(&mut self, want: &Wanted, since: Timestamp, last: &mut String) -> (Status, Duration) {
        let scope = JobScope::Revision(self.environment.clone(), want.revision);
        let situation = Situation {
            environment: self.environment.clone(),
            want: want.clone(),
            serving: match &self.serving {
                None => Serving::Nothing,
                Some(serving) if serving.revision == want.revision => Serving::Want,
                Some(serving) => Serving::Other(serving.clone()),
            },
            since,
            released: self.released,
            seen: self.fake.observe(&self.environment).await.unwrap(),
            job: self.fake.observe_jobs(&scope).await.unwrap().pop(),
            traffic: self.fake.status(&self.environment).await.unwrap(),
            now: self.clock.now(),
        };
        let plan = plan(&situation);
        for action in &plan.actions {
            let text = describe(action);
            if *last != text {
                self.tell(&text);
                last.clone_from(&text);
            }
            let generation = Generation(self.generation);
            let done = match action {
                Action::Publish { table } => self.fake.publish(table, generation).await,
                action => self.fake.apply(&self.environment, generation, action).await,
            };
            if done.is_err() {
                last.clear();
                break;
            }
        }
        self.released |= plan.released;
        if plan.switched {
            self.tell(&format!("revision {} serves", want.revision));
            self.serving = Some(want.clone());
        }
        (plan.status, plan.look_again)
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Start { replica, .. } => format!("start {replica}"),
        Action::Stop { replica, .. } => format!("stop {replica}"),
        Action::Remove { replica } => format!("remove {replica}"),
        Action::EnsureJob { key, .. } => format!("run {key}"),
        Action::StopJob { key } => format!("clear {key}"),
        Action::Publish { table } => {
            let routes = table.routes.iter().map(|route| {
                let backends: Vec<_> =
                    route.backends.iter().map(|backend| backend.replica.to_string()).collect();
                match route.mode {
                    RouteMode::Hold => format!("{} held", route.host),
                    RouteMode::Serve => format!("{} → {}", route.host, backends.join(", ")),
                }
            });
            format!("route {}", routes.collect::<Vec<_>>().join("; "))
        }
    }
}

fn service(image: &str, replicas: u32) -> ServiceSpec {
    let image = format!("registry/{image}@{}", Digest::of(image.as_bytes()));
    ServiceSpec {
        replicas,
        template: Template {
            image: image.parse().unwrap(),
            command: None,
            variables: BTreeMap::new(),
            port: Some(8080),
            probe: Some(Probe::Http { path: "/".into() }),
            limits: Limits::default(),
            mounts: Vec::new(),
            ready_within: Duration::from_mins(1),
            stop_within: Duration::from_secs(10),
        },
    }
}

/// A revision with one service `web` behind one route.
fn revision(number: u32, web: ServiceSpec) -> Wanted {
    let web_name: naru_model::ServiceName = "web".parse().unwrap();
    let volumes = web.template.mounts.iter().map(|mount| {
        (
            mount.volume.clone(),
            VolumeSpec { access: naru_model::workload::VolumeAccess::default(), size_bytes: 0 },
        )
    });
    Wanted {
        revision: RevisionNumber(number),
        spec: EnvironmentSpec {
            release: Some(ReleaseNumber(number)),
            volumes: volumes.collect(),
            services: BTreeMap::from([(web_name.clone(), web)]),
            routes: vec![RouteSpec { host: "shop.localhost".into(), path: "/".into(), service: web_name }],
            ..EnvironmentSpec::default()
        },
    }
}

fn with_volume(mut service: ServiceSpec) -> ServiceSpec {
    service.template.mounts = vec![Mount { volume: "data".parse().unwrap(), path: "/data".into() }];
    service
}

const MINUTE: Duration = Duration::from_mins(1);

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
    second.spec.release_command = Some(ReleaseCommand {
        service: "web".parse().unwrap(),
        command: vec!["./migrate".into()],
        time_limit: MINUTE,
    });
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
            let status = drive.reconcile(&revision(number, with_volume(service(web, 1))), 2 * MINUTE).await;
            assert_eq!(status, Status::Live, "{}", drive.story);
        }
        let truth = drive.fake.truth(&drive.environment);
        assert_eq!(truth.replicas.len(), 1, "{}", drive.story);
        assert_eq!(drive.fake.violations(), Vec::<String>::new(), "{}", drive.story);
    }
}
