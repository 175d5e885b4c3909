//! What one process talks to: the fake engine and edge, with trouble on the way, watched over by the promises, and
//! misbehaving where a mistake is played.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use naru_engine::{
    Capabilities, Engine, Environments, LogLine, LogPosition, LogSource, StepError, Traffic, Usage,
};
use naru_model::effect::{Effects, Moment};
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec, JobState};
use naru_model::rollout::{Action, ReplicaState, Seen};
use naru_model::route::{LatencyBucket, RevisionFigures, RouteMode, RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation, Timestamp};

use super::mistake::Mistake;
use super::push;
use super::stage::{Call, Stage, at_once};

/// Effects of one process.
pub(super) struct Watch {
    pub(super) stage: Arc<Stage>,
    pub(super) who: String,
}

impl Effects for Watch {
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        // Nobody else can write while a change of the store waits: the process may only end there.
        if name.starts_with("store.") && moment == Moment::Before {
            let crash = {
                let (trouble, mut chance) = (self.stage.trouble(), self.stage.chance());
                chance.permille(trouble.crash_permille)
            };
            let place = format!("{}: {name}, before", self.who);
            return Box::pin(async move {
                if crash {
                    self.stage.park(place, Duration::ZERO, true).await;
                }
            });
        }
        if moment == Moment::After {
            self.stage.tell(format!("{}: {name}", self.who));
        }
        Box::pin(self.stage.place(&self.who, name, Some(moment)))
    }

    fn refusal(&self, name: &str) -> Option<String> {
        let refused = {
            let (trouble, mut chance) = (self.stage.trouble(), self.stage.chance());
            chance.permille(trouble.refusal_permille)
        };
        refused.then(|| {
            self.stage.tell(format!("{}: {name} is refused: the disk is full", self.who));
            "database or disk is full".to_owned()
        })
    }
}

/// How a call goes.
enum Course {
    Well,
    /// It fails and did nothing.
    Fails,
    /// It did what it should, but the answer is lost.
    AnswerLost,
    /// It ends at its limit, and did what it should early, late or never.
    Hangs {
        early: bool,
        late: bool,
        long: Duration,
    },
}

/// Draws how a call goes, and carries it out so.
async fn call<T>(
    stage: &Stage,
    who: &str,
    name: &str,
    make: impl Fn() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let course = {
        let (trouble, mut chance) = (stage.trouble(), stage.chance());
        if chance.permille(trouble.error_permille) {
            if chance.permille(500) { Course::Fails } else { Course::AnswerLost }
        } else if chance.permille(trouble.hang_permille) {
            let long = chance.between(Duration::from_millis(500), Duration::from_secs(9));
            let (early, late) = (chance.permille(330), chance.permille(500));
            Course::Hangs { early, late: !early && late, long }
        } else {
            Course::Well
        }
    };
    let failed = || Err(StepError::Transient(format!("{name}: the connection broke")));
    match course {
        Course::Well => make(),
        Course::Fails => {
            stage.tell(format!("{who}: {name} fails"));
            failed()
        }
        Course::AnswerLost => {
            stage.tell(format!("{who}: {name} is done, but its answer is lost"));
            let _ = make();
            failed()
        }
        Course::Hangs { early, late, long } => {
            stage.tell(format!("{who}: {name} hangs for {long:?} (done early {early}, late {late})"));
            let _ = early.then(&make);
            stage.park(format!("{who}: {name} hangs"), long, false).await;
            let _ = late.then(&make);
            failed()
        }
    }
}

/// The engine as one process sees it.
pub(super) struct SimEngine {
    pub(super) stage: Arc<Stage>,
    pub(super) who: String,
    cached: Mutex<BTreeMap<EnvironmentKey, Seen>>,
}

impl SimEngine {
    pub(super) fn of(stage: &Arc<Stage>, who: &str) -> Self {
        Self { stage: stage.clone(), who: who.to_owned(), cached: Mutex::default() }
    }

    fn apply_now(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        let stage = &self.stage;
        let mut action = action.clone();
        if let Action::Start { replica, service } = &mut action {
            stage.know_template(&service.template);
            let now = u32::try_from(stage.now().as_millisecond() % 1_000_000).unwrap_or(0);
            let exists = stage.fake.truth(environment).replicas.iter().any(|seen| seen.key == *replica);
            if stage.makes(Mistake::ClockDerivedNames)
                || (stage.makes(Mistake::SecondReplicaOnRepeat) && exists)
            {
                replica.index = 1000 + now;
            }
        }
        stage.promises().before_action(stage, environment, &action);
        let done = at_once(stage.fake.apply(environment, generation, &action));
        if done.is_ok() {
            stage.remember(environment, generation, Call::Act(action.clone()));
        }
        stage.tell(format!("{}: {environment}: {} -> {}", self.who, shown(&action), said(&done)));
        done
    }

    fn begin_now(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        let stage = &self.stage;
        let is_there = || {
            let jobs = stage.fake.true_jobs(&key.scope);
            jobs.iter().any(|job| job.key == *key)
        };
        if stage.makes(Mistake::StepBegunAnew) && is_there() {
            at_once(stage.fake.stop_job(key))?;
        }
        let was_there = is_there();
        let script = (!was_there).then(|| push::script(stage, key, job)).flatten();
        if let Some(script) = &script {
            stage.fake.script_jobs(&key.to_string(), script.clone());
        }
        let done = at_once(stage.fake.ensure_job(key, job));
        stage.tell(format!("{}: begin {key} -> {}", self.who, said(&done)));
        if let (Some(script), Ok(())) = (&script, &done) {
            stage.runs().begins(stage, key, script);
        }
        done
    }

    /// Times as the machine's clock showed them.
    fn on_the_wall(&self, mut seen: Seen) -> Seen {
        for replica in &mut seen.replicas {
            match &mut replica.state {
                ReplicaState::Running { since, ready } => {
                    *since = self.stage.wall.showed(*since);
                    *ready |= self.stage.makes(Mistake::RoutedBeforeReady);
                }
                ReplicaState::Exited { started, at, .. } => {
                    *at = self.stage.wall.showed(*at);
                    *started = started.map(|started| self.stage.wall.showed(started));
                }
                ReplicaState::Starting | ReplicaState::Stopping => {}
            }
        }
        seen
    }
}

fn said(done: &Result<(), StepError>) -> String {
    done.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned())
}

fn shown(action: &Action) -> String {
    match action {
        Action::Start { replica, .. } => format!("start {replica}"),
        Action::Stop { replica, .. } => format!("stop {replica}"),
        Action::Remove { replica } => format!("remove {replica}"),
        Action::EnsureJob { key, .. } => format!("ensure {key}"),
        Action::StopJob { key } => format!("stop {key}"),
        Action::Publish { .. } => "publish".to_owned(),
    }
}

#[async_trait]
impl Engine for SimEngine {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        self.stage.fake.capabilities().await
    }

    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        let seen =
            call(&self.stage, &self.who, "engine.observe", || at_once(self.stage.fake.observe(environment)));
        let seen = self.on_the_wall(seen.await?);
        self.stage.promises().observed(&self.who, environment, self.stage.now());
        // What is decided next may be decided on what is not true any more.
        self.stage.place(&self.who, "engine.observe", None).await;
        if self.stage.makes(Mistake::CachedObservation) && !seen.replicas.is_empty() {
            let mut cached = self.cached.lock().expect("nothing panics while it holds the cache");
            return Ok(cached.entry(environment.clone()).or_insert(seen).clone());
        }
        Ok(seen)
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        call(&self.stage, &self.who, "engine.environments", || at_once(self.stage.fake.environments())).await
    }

    async fn apply(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        call(&self.stage, &self.who, &shown(action), || self.apply_now(environment, generation, action)).await
    }

    async fn remove_environment(&self, environment: &EnvironmentKey, volumes: bool) -> Result<(), StepError> {
        call(&self.stage, &self.who, "engine.remove-environment", || {
            self.stage.tell(format!("{}: {environment} is removed from the engine", self.who));
            at_once(self.stage.fake.remove_environment(environment, volumes))
        })
        .await
    }

    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        call(&self.stage, &self.who, &format!("begin {key}"), || self.begin_now(key, job)).await
    }

    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        let jobs =
            call(&self.stage, &self.who, "engine.jobs", || at_once(self.stage.fake.observe_jobs(scope)));
        let mut jobs = jobs.await?;
        let forgets = self.stage.makes(Mistake::EndedJobForgotten) && matches!(scope, JobScope::Run(..));
        jobs.retain(|job| !forgets || !matches!(job.state, JobState::Finished(_)));
        for job in &mut jobs {
            match &mut job.state {
                JobState::Running { since } => *since = self.stage.wall.showed(*since),
                JobState::Finished(exit) => exit.finished = self.stage.wall.showed(exit.finished),
                JobState::Preparing => {}
            }
        }
        Ok(jobs)
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        self.stage.fake.job_scopes().await
    }

    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError> {
        call(&self.stage, &self.who, "engine.stop-job", || at_once(self.stage.fake.stop_job(key))).await
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        let from = if self.stage.makes(Mistake::OutputReadAgain) { LogPosition::default() } else { from };
        // What is there now; it ends before its source does, as the engine's answer may.
        let mut there = self.stage.fake.logs(source, from);
        let mut lines = Vec::new();
        while let Some(Some(line)) = futures::FutureExt::now_or_never(there.next()) {
            lines.push(line);
        }
        let breaks = {
            let (trouble, mut chance) = (self.stage.trouble(), self.stage.front());
            let breaks = chance.permille(trouble.error_permille);
            breaks.then(|| chance.below(lines.len() + 1))
        };
        if let Some(at) = breaks {
            lines.truncate(at);
            lines.push(Err(StepError::Transient("the log broke off".to_owned())));
        }
        futures::stream::iter(lines).boxed()
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        self.stage.fake.usage().await
    }
}

/// The edge as one process sees it.
pub(super) struct SimTraffic {
    pub(super) stage: Arc<Stage>,
    pub(super) who: String,
    /// What was asked for last.
    asked: Mutex<BTreeMap<EnvironmentKey, RouteTable>>,
}

impl SimTraffic {
    pub(super) fn of(stage: &Arc<Stage>, who: &str) -> Self {
        Self { stage: stage.clone(), who: who.to_owned(), asked: Mutex::default() }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<EnvironmentKey, RouteTable>> {
        self.asked.lock().expect("nothing panics while it holds the tables")
    }

    fn publish_now(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        let stage = &self.stage;
        let mut table = table.clone();
        if stage.makes(Mistake::HandOverWithoutHold) {
            table.routes.iter_mut().for_each(|route| route.mode = RouteMode::Serve);
        }
        if stage.makes(Mistake::StepsSkipped) {
            for route in &mut table.routes {
                let newest = route.backends.iter().map(|one| one.revision).max();
                route.backends.retain(|one| Some(one.revision) == newest);
            }
        }
        stage.promises().before_publish(stage, &table);
        let done = at_once(stage.fake.publish(&table, generation));
        if done.is_ok() {
            stage.remember(&table.environment, generation, Call::Publish(table.clone()));
        }
        stage.tell(format!("{}: {} -> {}", self.who, shown_table(&table), said(&done)));
        done
    }
}

/// A thousand good answers a second for whatever has a route.
fn made_up(seen: &TrafficSeen, now: Timestamp) -> Vec<RevisionFigures> {
    let mut figures: Vec<RevisionFigures> = Vec::new();
    for route in seen.applied.iter().flat_map(|applied| &applied.table.routes) {
        for backend in &route.backends {
            let (service, revision) = (route.service.clone(), backend.revision);
            if figures.iter().any(|one| one.service == service && one.revision == revision) {
                continue;
            }
            let requests = u64::try_from(now.as_millisecond()).unwrap_or(0);
            let latency = vec![LatencyBucket { below_ms: Some(10), requests }];
            figures.push(RevisionFigures { service, revision, requests, errors: 0, latency });
        }
    }
    figures
}

fn shown_table(table: &RouteTable) -> String {
    let routes = table.routes.iter().map(|route| {
        let backends: Vec<_> =
            route.backends.iter().map(|one| format!("{}*{}", one.replica, one.weight)).collect();
        format!("{} {:?} [{}]", route.host, route.mode, backends.join(" "))
    });
    format!("{}: routes: {}", table.environment, routes.collect::<Vec<_>>().join(", "))
}

#[async_trait]
impl Traffic for SimTraffic {
    async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        self.asked().insert(table.environment.clone(), table.clone());
        call(&self.stage, &self.who, "traffic.publish", || self.publish_now(table, generation)).await
    }

    async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, StepError> {
        let stage = &self.stage;
        let seen = call(stage, &self.who, "traffic.status", || at_once(stage.fake.status(environment)));
        let mut seen = seen.await?;
        if let Some(applied) = &mut seen.applied {
            applied.since = stage.wall.showed(applied.since);
            let asked = self.asked().get(environment).cloned();
            if let Some(asked) = asked {
                let is_late = stage.makes(Mistake::AcknowledgedBeforeApplied);
                let is_other =
                    stage.makes(Mistake::HandOverWithoutHold) || stage.makes(Mistake::StepsSkipped);
                if is_late || is_other {
                    applied.table = asked;
                }
            }
        }
        if stage.makes(Mistake::PromotedWithoutData) {
            seen.figures = made_up(&seen, stage.now());
        }
        if stage.makes(Mistake::StopBeforeDrain) {
            seen.in_flight.clear();
        }
        stage.place(&self.who, "traffic.status", None).await;
        Ok(seen)
    }

    async fn tables(&self) -> Result<BTreeMap<EnvironmentKey, Generation>, StepError> {
        call(&self.stage, &self.who, "traffic.tables", || at_once(self.stage.fake.tables())).await
    }
}
