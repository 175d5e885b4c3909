//! Triggers and runs on the wire.

use crate::id::{CommitId, ReleaseNumber, RunNumber};

use crate::pipeline::TestSummary;
use crate::problem::Problem;
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// What asked for a run, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trigger {
    /// Names the trigger; later ones sort later.
    pub id: String,
    /// `push`, `replay` and the like.
    pub kind: String,
    /// The branch or tag it is about.
    pub reference: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// Who asked.
    pub by: String,
    /// When it was received.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// What became of it, in a word.
    pub state: String,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The run it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunNumber>,
}

/// How far a run or a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Not started yet.
    Waiting,
    /// Under way.
    Moving,
    /// Over, and good.
    Done,
    /// Over, and not good.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// Not needed: a newer commit took its place, or an earlier step failed.
    Skipped,
}

/// One execution of the pipeline for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    /// Counts from 1 within the project.
    pub number: RunNumber,
    /// The commit.
    pub commit: CommitId,
    /// The branch it came from.
    pub branch: String,
    /// How far it is.
    pub state: Progress,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its first step started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// The release it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The steps it waits for.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How far it is.
    pub state: Progress,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// How it ended, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the test runners in it said about their tests, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSummary>,
}

/// A run with its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its steps, in the order they were planned.
    #[serde(default)]
    pub steps: Vec<Step>,
}
