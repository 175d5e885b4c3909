//! The edge as the rollout knows it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use naru_edge::control::{Client, ControlError};
use naru_engine::{StepError, Traffic};
use naru_model::route::{RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation};

/// The edge process behind its control socket.
pub struct EdgeTraffic(pub Client);

fn step(error: ControlError) -> StepError {
    match error {
        ControlError::Refused(problem) => StepError::from(*problem),
        waiting => StepError::Transient(format!("the edge: {waiting}")),
    }
}

#[async_trait]
impl Traffic for EdgeTraffic {
    async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        self.0.publish(table, generation).await.map_err(step)
    }

    async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, StepError> {
        self.0.status(environment).await.map_err(step)
    }

    async fn tables(&self) -> Result<BTreeMap<EnvironmentKey, Generation>, StepError> {
        self.0.tables().await.map_err(step)
    }
}
