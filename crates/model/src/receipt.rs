//! The receipt of a rollout: what happened, when, and what visitors noticed. Signed, so that it can be shown elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CommitId, ConfigurationVersion, InstanceId, ReleaseNumber, RevisionNumber};
use crate::name::{EnvironmentName, ProjectName};
use crate::rollout::Phase;
use crate::time::Timestamp;

/// What the payload of a signed receipt says it is.
pub const PAYLOAD_TYPE: &str = "application/vnd.naru.receipt+json";

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The new revision has all the traffic.
    Promoted,
    /// It was given up; the old revision kept or got back the traffic.
    Aborted,
    /// A newer revision took its place before it ended.
    Overtaken,
}

/// A rollout from its first action to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Which Naru.
    #[schema(value_type = String)]
    pub instance: InstanceId,
    /// Whose.
    pub project: ProjectName,
    /// Where.
    pub environment: EnvironmentName,
    /// What was moved to.
    pub revision: RevisionNumber,
    /// Its commit in the deploy repository.
    pub commit: CommitId,
    /// The release that it was rendered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// The configuration version that it carries.
    pub configuration: ConfigurationVersion,
    /// Who committed it.
    pub author: String,
    /// Service name → image by digest.
    pub images: BTreeMap<String, String>,
    /// What had the traffic before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RevisionNumber>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When nothing was left to do.
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: Timestamp,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
    /// Its phases, in the order in which they began.
    pub phases: Vec<PhaseTime>,
    /// What visitors were given meanwhile, per revision that had traffic.
    pub traffic: Vec<Served>,
    /// False when the edge was replaced meanwhile, which begins to count anew: then `traffic` is what is known, and less
    /// than what was.
    pub is_counted_whole: bool,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PhaseTime {
    /// Which.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// What was observed at its beginning.
    pub observed: String,
}

/// What one revision did for visitors during the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Served {
    /// Which revision.
    pub revision: RevisionNumber,
    /// Requests that it was given.
    pub requests: u64,
    /// Of these, those that were answered with a status of 500 and more, or not to the end.
    pub failed: u64,
    /// Requests under way when the traffic left it that ended by themselves.
    pub drained: u64,
    /// Requests under way that were broken off when it was stopped.
    pub broken_off: u64,
}

/// A signed document, in the form of DSSE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The signed bytes, in base64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key.
    pub keyid: String,
    /// The Ed25519 signature, in base64.
    pub sig: String,
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublicKey {
    /// Its name: the first bytes of its SHA-256, in hexadecimal.
    pub id: String,
    /// The Ed25519 public key, 32 bytes in base64.
    pub key: String,
}
