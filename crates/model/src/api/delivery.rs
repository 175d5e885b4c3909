//! Releases, environments, revisions, and what changes them, on the wire.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{CommitId, ConfigurationVersion, ReleaseNumber, RevisionNumber, RunNumber, SecretVersion};
use crate::name::{BranchName, EnvironmentName, SecretName, VariableName};
use crate::problem::Problem;
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// Images by digest and service definitions at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Release {
    /// Counts from 1 within the project.
    pub number: ReleaseNumber,
    /// The commit.
    pub commit: CommitId,
    /// The branch it came from.
    pub branch: String,
    /// The run that made it.
    pub run: RunNumber,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Service name → image by digest.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
}

/// How an environment is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing was ever delivered.
    Idle,
    /// Everything that is wanted runs.
    Live,
    /// On its way to another revision.
    Moving,
    /// It serves, but replicas are missing or restarting.
    Degraded,
    /// The last move was given up; what served before still serves.
    Failed,
    /// A person must change something first.
    Blocked,
    /// It did not work and is tried again.
    Retrying,
}

/// A place where a project runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// The branch whose releases are delivered by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
    /// How it is.
    pub condition: Condition,
    /// The same in one sentence.
    pub detail: String,
    /// Why it failed or is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The revision that has the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<RevisionNumber>,
    /// The release of that revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// The revision it moves to, or is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RevisionNumber>,
    /// The configuration version that the next revision uses.
    pub configuration: ConfigurationVersion,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Where it can be reached.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Visitors get a page instead of the service; absent while they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<super::Maintenance>,
    /// Whether to deploy here takes `deploy-protected`, and releases wait for a person.
    #[serde(default)]
    pub protected: bool,
}

/// How the move to a revision went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// Not begun.
    Waiting,
    /// Under way.
    Moving,
    /// It got all the traffic.
    Live,
    /// It was given up.
    Failed,
    /// A newer one took its place before it ended.
    Overtaken,
}

/// One commit of the deploy repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revision {
    /// Counts from 1 within the environment.
    pub number: RevisionNumber,
    /// The commit of the deploy repository.
    pub commit: CommitId,
    /// The release it was rendered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// The configuration version it carries.
    pub configuration: ConfigurationVersion,
    /// Who committed it.
    pub author: String,
    /// The first line of the commit message.
    pub message: String,
    /// When it was committed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// How the move to it went.
    pub rollout: RolloutState,
    /// When it got all the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub switched_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Why it is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
}

/// What a revision changed in the rendered manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Difference {
    /// The older revision; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RevisionNumber>,
    /// The newer revision.
    pub to: RevisionNumber,
    /// A unified diff.
    pub diff: String,
}

/// Asks for a release in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deploy {
    /// Which release; the newest when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
}

/// Asks for the return to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rollback {
    /// Which revision; the one that served before when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionNumber>,
}

/// Asks for what serves in another environment: the same release, with the same images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Promote {
    /// The environment whose release it is.
    pub from: EnvironmentName,
    /// Also when the release is in quarantine in either environment.
    #[serde(default)]
    pub force: bool,
}

/// Where a rollout stands between ready replicas and all the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutStage {
    /// Replicas become ready.
    Start,
    /// A canary's step.
    Step,
    /// It waits for a person.
    Preview,
    /// Nothing stands in the way.
    Promoted,
}

/// The move of an environment to the revision that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rollout {
    /// The environment.
    pub environment: EnvironmentName,
    /// The revision.
    pub revision: RevisionNumber,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// The revision that has the traffic now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<RevisionNumber>,
    /// How it went.
    pub state: RolloutState,
    /// Where it stands.
    pub stage: RolloutStage,
    /// Which step of a canary, counting from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// The same in one sentence.
    pub detail: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When the stage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stage_since: Option<Timestamp>,
    /// When it got all the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub switched_at: Option<Timestamp>,
    /// What a person said about it, such as "promoted by mina".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What became of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IntentState {
    /// Waiting to become a commit.
    Pending,
    /// In the deploy repository.
    Done,
    /// Refused; nothing changed.
    Failed,
}

/// What was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Intent {
    /// Its number.
    pub id: i64,
    /// Where.
    pub environment: EnvironmentName,
    /// What, in words.
    pub what: String,
    /// Who asked.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What became of it.
    pub state: IntentState,
    /// The commit of the deploy repository; none when nothing had to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// The revision of that commit, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionNumber>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The variables of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Configuration {
    /// Its version; 0 is the empty configuration.
    pub version: ConfigurationVersion,
    /// Name → value.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub variables: BTreeMap<VariableName, String>,
    /// The names that come from the project: the environment sets none of them itself.
    #[serde(default)]
    pub inherited: BTreeSet<VariableName>,
}

/// Sets and unsets variables, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigurationChange {
    /// Name → value.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub set: BTreeMap<VariableName, String>,
    /// Names.
    #[serde(default)]
    pub unset: Vec<VariableName>,
}

/// The configuration after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigurationChanged {
    /// Its version.
    pub version: ConfigurationVersion,
    /// The intent that brings it to the environment; none when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<i64>,
}

/// A secret as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// The version that the next revision uses.
    pub version: SecretVersion,
    /// Who set it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether an environment has it from its project.
    #[serde(default)]
    pub inherited: bool,
}

/// A new value of a secret. It can be written and never read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretValue {
    /// The value, at most 64 KiB.
    pub value: String,
}

/// A secret after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretChanged {
    /// Its new version; none when it was unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<SecretVersion>,
    /// The intent that brings it to the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<i64>,
}
