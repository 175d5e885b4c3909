//! Decorators that tell an [`Effects`] of every change an engine or an edge makes, so that a crash harness can count them
//! and stop between any two.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use naru_model::effect::{Effects, observed};
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec};
use naru_model::rollout::{Action, Seen};
use naru_model::route::{RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation};

use crate::{Capabilities, Engine, Environments, LogLine, LogPosition, LogSource, StepError, Traffic, Usage};

/// An engine whose effects are observed.
pub struct ObservedEngine {
    /// What does the work.
    pub inner: Arc<dyn Engine>,
    /// Who is told.
    pub effects: Arc<dyn Effects>,
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Start { .. } => "engine.start",
        Action::Stop { .. } => "engine.stop",
        Action::Remove { .. } => "engine.remove",
        Action::EnsureJob { .. } => "engine.ensure-job",
        Action::StopJob { .. } => "engine.stop-job",
        Action::Publish { .. } => "engine.publish",
    }
}

#[async_trait]
impl Engine for ObservedEngine {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        self.inner.capabilities().await
    }

    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        self.inner.observe(environment).await
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        self.inner.environments().await
    }

    async fn apply(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        observed(&self.effects, name(action), self.inner.apply(environment, generation, action)).await
    }

    async fn remove_environment(&self, environment: &EnvironmentKey, volumes: bool) -> Result<(), StepError> {
        let effect = self.inner.remove_environment(environment, volumes);
        observed(&self.effects, "engine.remove-environment", effect).await
    }

    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        observed(&self.effects, "engine.ensure-job", self.inner.ensure_job(key, job)).await
    }

    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        self.inner.observe_jobs(scope).await
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        self.inner.job_scopes().await
    }

    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError> {
        observed(&self.effects, "engine.stop-job", self.inner.stop_job(key)).await
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        self.inner.logs(source, from)
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        self.inner.usage().await
    }
}

/// An edge whose effects are observed.
pub struct ObservedTraffic {
    /// What does the work.
    pub inner: Arc<dyn Traffic>,
    /// Who is told.
    pub effects: Arc<dyn Effects>,
}

#[async_trait]
impl Traffic for ObservedTraffic {
    async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        observed(&self.effects, "traffic.publish", self.inner.publish(table, generation)).await
    }

    async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, StepError> {
        self.inner.status(environment).await
    }

    async fn tables(&self) -> Result<BTreeMap<EnvironmentKey, Generation>, StepError> {
        self.inner.tables().await
    }
}
