//! What the stories of rollouts are told with: the real planner drives the fake world, and every action is written down
//! with the time at which it was taken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use naru_model::definition::RequestLimits;
use naru_model::job::JobScope;
use naru_model::rollout::{
    Action, Decision, Progress, Replaced, ReplicaSeen, ReplicaState, Serving, Situation, Status, Wanted, plan,
};
use naru_model::route::{Backend, LatencyBucket, RevisionFigures, RouteMode};
use naru_model::workload::{
    EnvironmentSpec, Limits, Mount, Probe, RouteSpec, ServiceSpec, Template, VolumeSpec,
};
use naru_model::{Clock, Digest, EnvironmentKey, Generation, ReleaseNumber, RevisionNumber, Timestamp};

use super::Fake;
use crate::{Engine, Traffic};

pub(super) struct Hand(pub(super) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// Does what the reconcile loop does, with its rows in fields.
pub(super) struct Drive {
    pub(super) fake: Fake,
    pub(super) clock: Arc<Hand>,
    pub(super) environment: EnvironmentKey,
    pub(super) serving: Option<Wanted>,
    released: bool,
    pub(super) progress: Progress,
    pub(super) decision: Option<Decision>,
    pub(super) returning: bool,
    /// Which revision was wanted last, and since when.
    since: (RevisionNumber, Timestamp),
    pub(super) replaced: Option<Replaced>,
    /// Visitors' requests, at every moment by the weights in force.
    pub(super) requests_per_second: i64,
    /// The revision whose answers are all failures.
    pub(super) failing: Option<RevisionNumber>,
    counted_until: Timestamp,
    /// The most and the fewest replicas seen to run and to be ready.
    pub(super) most_running: usize,
    pub(super) fewest_ready: usize,
    generation: u64,
    pub(super) story: String,
}

impl Drive {
    pub(super) fn new() -> Self {
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
            progress: Progress::default(),
            decision: None,
            returning: false,
            since: (RevisionNumber(0), Timestamp::UNIX_EPOCH),
            replaced: None,
            requests_per_second: 0,
            failing: None,
            counted_until: Timestamp::UNIX_EPOCH,
            most_running: 0,
            fewest_ready: usize::MAX,
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
    pub(super) async fn reconcile(&mut self, want: &Wanted, at_most: Duration) -> Status {
        self.generation += 1;
        self.released = false;
        self.progress = Progress::default();
        self.decision = None;
        let since = self.clock.now();
        let mut last = String::new();
        loop {
            let (status, look_again) = self.pass(want, &mut last).await;
            let over = matches!(status, Status::Live | Status::Failed { .. });
            if over || self.clock.now() > since + at_most {
                return status;
            }
            let step = i64::try_from(look_again.as_millis()).unwrap().max(1);
            self.clock.0.fetch_add(step, Ordering::Relaxed);
        }
    }

    /// Goes on with a move that is under way.
    pub(super) async fn go_on(&mut self, want: &Wanted, at_most: Duration) -> Status {
        let (since, mut last) = (self.clock.now(), String::new());
        loop {
            let (status, look_again) = self.pass(want, &mut last).await;
            let over = matches!(status, Status::Live | Status::Failed { .. });
            if over || self.clock.now() > since + at_most {
                return status;
            }
            self.clock.0.fetch_add(i64::try_from(look_again.as_millis()).unwrap().max(1), Ordering::Relaxed);
        }
    }

    /// Reconciles until what serves is given up, or `at_most` has passed.
    pub(super) async fn fall(&mut self, want: &Wanted, at_most: Duration) -> Status {
        let (since, mut last) = (self.clock.now(), String::new());
        loop {
            let (status, look_again) = self.pass(want, &mut last).await;
            if matches!(status, Status::Failed { .. }) || self.clock.now() > since + at_most {
                return status;
            }
            self.clock.0.fetch_add(i64::try_from(look_again.as_millis()).unwrap().max(1), Ordering::Relaxed);
        }
    }

    /// Reconciles for so long, whatever the status.
    pub(super) async fn watch(&mut self, want: &Wanted, so_long: Duration) {
        let (since, mut last) = (self.clock.now(), String::new());
        while self.clock.now() < since + so_long {
            let (_, look_again) = self.pass(want, &mut last).await;
            self.clock.0.fetch_add(i64::try_from(look_again.as_millis()).unwrap().max(1), Ordering::Relaxed);
        }
    }

    async fn pass(&mut self, want: &Wanted, last: &mut String) -> (Status, Duration) {
        if self.since.0 != want.revision {
            self.since = (want.revision, self.clock.now());
        }
        self.visit();
        self.census();
        let scope = JobScope::Revision(self.environment.clone(), want.revision);
        let is_serving = self.serving.as_ref().is_some_and(|serving| serving.revision == want.revision);
        let situation = Situation {
            environment: self.environment.clone(),
            want: want.clone(),
            serving: match &self.serving {
                None => Serving::Nothing,
                Some(serving) if serving.revision == want.revision => Serving::Want,
                Some(serving) => Serving::Other(serving.clone()),
            },
            since: self.since.1,
            progress: self.progress.clone(),
            decision: self.decision.clone(),
            returning: self.returning,
            replaced: self.replaced.clone().filter(|_| is_serving),
            released: self.released,
            seen: self.fake.observe(&self.environment).await.unwrap(),
            job: self.fake.observe_jobs(&scope).await.unwrap().pop(),
            traffic: self.fake.status(&self.environment).await.unwrap(),
            maintenance: None,
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
        if let Some(progress) = plan.progress {
            self.progress = progress;
        }
        if plan.switched {
            let replaced = self.serving.take().filter(|_| !self.returning);
            self.replaced = replaced.map(|wanted| Replaced { wanted, switched_at: self.clock.now() });
            self.tell(&format!("revision {} serves", want.revision));
            self.serving = Some(want.clone());
        }
        (plan.status, plan.look_again)
    }
}

impl Drive {
    /// The requests since the last pass.
    fn visit(&mut self) {
        let now = self.clock.now();
        let span = now.as_millisecond() - self.counted_until.as_millisecond();
        let requests = u64::try_from(span * self.requests_per_second / 1_000).unwrap();
        if requests == 0 {
            return;
        }
        self.counted_until = now;
        let Some(table) = self.fake.table(&self.environment) else { return };
        let Some(route) = table.routes.first() else { return };
        let whole: u64 = route.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        for backend in &route.backends {
            let share = requests * u64::from(backend.weight) / whole;
            let errors = if self.failing == Some(backend.revision) { share } else { 0 };
            self.fake.count_requests(
                &self.environment,
                &RevisionFigures {
                    service: route.service.clone(),
                    revision: backend.revision,
                    requests: share,
                    errors,
                    latency: vec![LatencyBucket { below_ms: Some(10), requests: share }],
                },
            );
        }
    }

    /// How many replicas there are, and what a table must never say.
    fn census(&mut self) {
        let truth = self.fake.truth(&self.environment).replicas;
        let runs = |replica: &&ReplicaSeen| !matches!(replica.state, ReplicaState::Exited { .. });
        let is_ready =
            |replica: &&ReplicaSeen| matches!(replica.state, ReplicaState::Running { ready: true, .. });
        self.most_running = self.most_running.max(truth.iter().filter(runs).count());
        self.fewest_ready = self.fewest_ready.min(truth.iter().filter(is_ready).count());
        let Some(table) = self.fake.table(&self.environment) else { return };
        for route in &table.routes {
            let weights: Vec<u32> = route.backends.iter().map(|backend| backend.weight).collect();
            let even = weights.iter().all(|weight| *weight == 1);
            assert!(even || weights.iter().sum::<u32>() == 10_000, "{} has {weights:?}", route.host);
        }
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
                let backend = |backend: &Backend| match backend.weight {
                    1 => backend.replica.to_string(),
                    weight => format!("{} {} %", backend.replica, f64::from(weight) / 100.0),
                };
                let backends: Vec<_> = route.backends.iter().map(backend).collect();
                match route.mode {
                    RouteMode::Hold => format!("{} held", route.host),
                    RouteMode::Serve => format!("{} → {}", route.host, backends.join(", ")),
                }
            });
            format!("route {}", routes.collect::<Vec<_>>().join("; "))
        }
    }
}

pub(super) fn service(image: &str, replicas: u32) -> ServiceSpec {
    let image = format!("registry/{image}@{}", Digest::of(image.as_bytes()));
    ServiceSpec {
        strategy: naru_model::definition::Strategy::default(),
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
pub(super) fn revision(number: u32, web: ServiceSpec) -> Wanted {
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
            routes: vec![RouteSpec {
                host: "shop.localhost".into(),
                path: "/".into(),
                service: web_name,
                limits: RequestLimits::default(),
            }],
            ..EnvironmentSpec::default()
        },
    }
}

/// With another strategy, as `naru.yaml` says it in JSON.
pub(super) fn by(strategy: &str, mut service: ServiceSpec) -> ServiceSpec {
    service.strategy = serde_json::from_str(strategy).unwrap();
    service
}

pub(super) fn with_volume(mut service: ServiceSpec) -> ServiceSpec {
    service.template.mounts = vec![Mount { volume: "data".parse().unwrap(), path: "/data".into() }];
    service
}

pub(super) const MINUTE: Duration = Duration::from_mins(1);
