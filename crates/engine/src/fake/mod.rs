//! An engine and an edge in memory, for tests: with a cluster's manners (late observation, conflicts, asynchronous
//! deletion, refusal of what is stale) and scripts for what containers and jobs do. The world moves with the clock it
//! is handed; it survives the process that talks to it, so a test can restart that process cold.

#[cfg(test)]
mod drive;
mod job;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod strategies;
mod traffic;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec};
use naru_model::rollout::{Action, ReplicaKey, Seen};
use naru_model::route::{RevisionFigures, RouteTable, TrafficSeen};
use naru_model::{Clock, EnvironmentKey, Generation};

pub use job::{JobScript, JobStart};
pub use traffic::EdgeKnows;
use world::World;
pub use world::{Behaviour, Manners};

use crate::{Capabilities, Engine, Environments, LogLine, LogPosition, LogSource, StepError, Traffic, Usage};

/// A world of containers and routes. Clones share it.
#[derive(Clone)]
pub struct Fake {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
}

impl Fake {
    /// An empty, well-behaved world.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { world: Arc::new(Mutex::new(World::default())), clock }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().expect("no test panics while it holds the world");
        world.settle(self.clock.now());
        world
    }

    /// Changes how the world behaves as a whole.
    pub fn set_manners(&self, manners: Manners) {
        self.world().manners = manners;
    }

    /// Scripts every replica whose image name contains `image`. The newest matching script counts.
    pub fn script_replicas(&self, image: &str, behaviour: Behaviour) {
        self.world().behaviours.insert(0, (image.to_owned(), behaviour));
    }

    /// Scripts every job whose printed key contains `job`. The newest matching script counts.
    pub fn script_jobs(&self, job: &str, script: JobScript) {
        self.world().job_scripts.insert(0, (job.to_owned(), script));
    }

    /// Removes a replica behind everybody's back, as a person would by hand.
    pub fn remove_by_hand(&self, environment: &EnvironmentKey, replica: &str) -> bool {
        self.world().remove_by_hand(environment, replica)
    }

    /// A replica dies by itself, as of a signal.
    pub fn kill(&self, environment: &EnvironmentKey, replica: &ReplicaKey) {
        self.world().kill(environment, replica);
    }

    /// A replica's probe does not answer for a time.
    pub fn make_unready(&self, environment: &EnvironmentKey, replica: &ReplicaKey, long: Duration) {
        self.world().make_unready(environment, replica, long);
    }

    /// The edge ends and another takes its place, with the tables that it still knows.
    pub fn restart_edge(&self, knows: EdgeKnows) {
        let mut world = self.world();
        let now = self.clock.now();
        world.traffic.restart(knows, now);
    }

    /// Sets how many requests are under way at a replica.
    pub fn set_in_flight(&self, environment: &EnvironmentKey, replica: &str, requests: u32) {
        self.world().set_in_flight(environment, replica, requests);
    }

    /// Requests came to an end at a service's replicas of one revision: adds them to the edge's figures.
    pub fn count_requests(&self, environment: &EnvironmentKey, more: &RevisionFigures) {
        self.world().traffic.count(environment, more);
    }

    /// The edge was replaced: figures count from zero again.
    pub fn forget_figures(&self) {
        let now = self.clock.now();
        let mut world = self.world();
        world.traffic.figures.clear();
        world.traffic.counting_since = Some(now);
    }

    /// The truth about an environment, without lateness.
    pub fn truth(&self, environment: &EnvironmentKey) -> Seen {
        self.world().truth(environment)
    }

    /// The jobs of a scope, without lateness.
    pub fn true_jobs(&self, scope: &JobScope) -> Vec<JobSeen> {
        self.world().true_jobs(scope)
    }

    /// The table in force for an environment.
    pub fn table(&self, environment: &EnvironmentKey) -> Option<RouteTable> {
        self.world().traffic.applied(environment).map(|applied| applied.table)
    }

    /// What broke a promise so far: a route to a replica that was not ready, two holders of one exclusive volume, a route
    /// to a replica that was being stopped. Empty when none was broken.
    pub fn violations(&self) -> Vec<String> {
        self.world().violations.clone()
    }

    /// Every job that was ever started, in order, with what it was asked to do.
    pub fn started_jobs(&self) -> Vec<JobStart> {
        self.world().started_jobs.clone()
    }
}

#[async_trait]
impl Engine for Fake {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        Ok(Capabilities { engine: "fake".into(), missing: Vec::new() })
    }

    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        self.world().observe(environment)
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        Ok(self.world().environments())
    }

    async fn apply(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        self.world().apply(environment, generation, action)
    }

    async fn remove_environment(
        &self,
        environment: &EnvironmentKey,
        _volumes: bool,
    ) -> Result<(), StepError> {
        self.world().remove_environment(environment);
        Ok(())
    }

    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        self.world().ensure_job(key, job)
    }

    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        self.world().observe_jobs(scope)
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        Ok(self.world().job_scopes())
    }

    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError> {
        self.world().stop_job(key);
        Ok(())
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        let (fake, source) = (self.clone(), source.clone());
        futures::stream::unfold(from, move |from| {
            let (fake, source) = (fake.clone(), source.clone());
            async move {
                loop {
                    let (line, over) = fake.world().log_line(&source, from);
                    match line {
                        Some(line) => return Some((Ok(line.clone()), line.position)),
                        None if over => return None,
                        None => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            }
        })
        .boxed()
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        Ok(self.world().usage())
    }
}

#[async_trait]
impl Traffic for Fake {
    async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        self.world().publish(table, generation)
    }

    async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, StepError> {
        Ok(self.world().traffic.seen(environment))
    }

    async fn tables(&self) -> Result<std::collections::BTreeMap<EnvironmentKey, Generation>, StepError> {
        Ok(self.world().traffic.tables())
    }
}
