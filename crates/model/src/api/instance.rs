//! The instance itself, and what containers print, on the wire.

use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// When it was printed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where reading goes on after this line: opaque.
    pub position: String,
    /// The replica or step that printed it.
    pub source: String,
    /// The line, as it was printed; secrets are masked.
    pub text: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// As it should be.
    Good,
    /// It works, with a limitation.
    Attention,
    /// It does not work.
    Failed,
}

/// One thing that `naru doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: CheckState,
    /// What was seen.
    pub detail: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What `naru doctor` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Doctor {
    /// The version of Naru.
    pub version: String,
    /// The checks.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// What the container engine can do here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Capabilities {
    /// Its name and version.
    pub engine: String,
    /// Limits that it cannot enforce here, and why.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// The process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
    /// The version of Naru.
    pub version: String,
}

/// A part of the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoredPart {
    /// What it is called there.
    pub name: String,
    /// How much its files hold.
    pub bytes: u64,
}

/// How much the data folder holds, without the engine's own storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Storage {
    /// Its parts, the largest first.
    #[serde(default)]
    pub parts: Vec<StoredPart>,
}
