//! What runs in an environment, and what it keeps, on the wire.

use crate::id::RevisionNumber;
use crate::name::{ServiceName, VolumeName};
use crate::time::Timestamp;
use crate::workload::VolumeAccess;

use serde::{Deserialize, Serialize};

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaCondition {
    /// Made, not running yet.
    Starting,
    /// Running, and ready for requests.
    Ready,
    /// Running, and not ready for requests.
    NotReady,
    /// Asked to stop, not gone yet.
    Stopping,
    /// Over.
    Exited,
}

/// One replica as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replica {
    /// Its name, as in logs.
    pub name: String,
    /// Of which service.
    pub service: ServiceName,
    /// For which revision it was started.
    pub revision: RevisionNumber,
    /// How often it was started anew.
    pub restarts: u32,
    /// How it is.
    pub condition: ReplicaCondition,
    /// Since when it runs, or when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// How it ended, such as `exited with code 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// One volume of a service of the wanted revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// Of which service.
    pub service: ServiceName,
    /// Where replicas have it.
    pub path: String,
    /// How much room it shall have, such as `1Gi`; as much as there is without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Whether replicas hold it one at a time or together.
    pub access: VolumeAccess,
}
