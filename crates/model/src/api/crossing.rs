//! The crossing: one line from the push to the running service.

use super::Maintenance;
use crate::name::{EnvironmentName, ProjectName};
use crate::problem::Problem;
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// The six landings, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LandingName {
    /// What asked for a run.
    Trigger,
    /// The pipeline.
    Run,
    /// What was built.
    Image,
    /// What can be delivered.
    Release,
    /// The move to it.
    Rollout,
    /// What has the traffic.
    Live,
}

/// How a landing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LandingState {
    /// Nothing has reached it.
    Waiting,
    /// Under way.
    Moving,
    /// Passed.
    Done,
    /// It stopped here.
    Failed,
    /// Not part of this crossing.
    Skipped,
}

/// One landing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Landing {
    /// Which.
    pub name: LandingName,
    /// How it is.
    pub state: LandingState,
    /// When it became so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// What lies behind it, such as `run 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// One sentence about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How far the newest change is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Crossing {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// How the environment is, in one sentence.
    pub sentence: String,
    /// Always the six landings, in order.
    #[serde(default)]
    pub landings: Vec<Landing>,
    /// Why it stopped and what to do, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Where the environment can be reached.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Visitors get a page instead of the service; absent while they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
}
