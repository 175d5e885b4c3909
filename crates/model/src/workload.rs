//! What an environment should run, read from its folder in the deploy repository. No secret value is ever in here:
//! only names and versions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::definition::{RequestLimits, Strategy};
use crate::id::{ConfigurationVersion, ImageReference, ReleaseNumber, SecretVersion};
use crate::name::{SecretName, ServiceName, VariableName, VolumeName};

/// Everything one revision asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// The release it came from, when Naru rendered it.
    pub release: Option<ReleaseNumber>,
    /// The configuration version it carries.
    pub configuration: ConfigurationVersion,
    /// What runs.
    pub services: BTreeMap<ServiceName, ServiceSpec>,
    /// Runs once per revision, on the new image, before any traffic.
    pub release_command: Option<ReleaseCommand>,
    /// What the edge serves.
    pub routes: Vec<RouteSpec>,
    /// Volumes by name.
    pub volumes: BTreeMap<VolumeName, VolumeSpec>,
}

/// A service at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// How many replicas.
    pub replicas: u32,
    /// How a new revision takes over.
    #[serde(default)]
    pub strategy: Strategy,
    /// What each replica is made from.
    pub template: Template,
}

/// What a replica is made from. Two replicas with equal templates are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The image, by digest.
    pub image: ImageReference,
    /// Replaces the image's entry point and command when present: an argument vector.
    pub command: Option<Vec<String>>,
    /// Environment variables.
    pub variables: BTreeMap<VariableName, Value>,
    /// The port it listens on; a service without one is a worker.
    pub port: Option<u16>,
    /// How readiness is found out; `None` for a worker: it is ready once it has run for [`Template::SETTLE`].
    pub probe: Option<Probe>,
    /// Bounds of CPU and memory.
    pub limits: Limits,
    /// Mounted volumes.
    pub mounts: Vec<Mount>,
    /// How long a replica may take to become ready before the rollout is given up.
    pub ready_within: Duration,
    /// How long a replica may take to stop after SIGTERM before it is killed.
    pub stop_within: Duration,
}

/// Identifies a template by content: 12 hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateHash(pub String);

impl Template {
    /// A worker that has run this long without exiting counts as ready.
    pub const SETTLE: Duration = Duration::from_secs(2);

    /// The template's identity.
    pub fn hash(&self) -> TemplateHash {
        let text = serde_json::to_vec(self).expect("a template is plain data");
        TemplateHash(hex::encode(&sha2::Sha256::digest(text)[..6]))
    }
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// Readable by whoever may read the project.
    Plain(String),
    /// One version of a secret, revealed only by the engine when it starts a replica.
    Secret(SecretName, SecretVersion),
}

/// How readiness is found out over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A GET answers with a status from 200 to 399.
    Http {
        /// The path, starting with a slash.
        path: String,
    },
    /// The port accepts a connection.
    Tcp,
}

/// Bounds of one replica or job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a CPU; 0 for no bound.
    pub cpu_millis: u32,
    /// Bytes of memory; 0 for no bound.
    pub memory_bytes: u64,
}

/// A volume mounted into a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Which volume of the environment.
    pub volume: VolumeName,
    /// Where, as an absolute path.
    pub path: String,
}

/// A volume of the environment; it outlives revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Whether replicas of two revisions may have it at once.
    pub access: VolumeAccess,
    /// What was asked for, in bytes; 0 when nothing was.
    pub size_bytes: u64,
}

/// Who may have a volume at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeAccess {
    /// One replica: the old one stops before the new one starts, while the edge holds requests.
    #[default]
    Exclusive,
    /// Any number of replicas.
    Shared,
}

/// The command that gates the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCommand {
    /// Runs with this service's image, variables, limits and shared volumes.
    pub service: ServiceName,
    /// An argument vector.
    pub command: Vec<String>,
    /// How long it may take.
    pub time_limit: Duration,
}

/// Host and path at the edge → a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The host, lower case, without port.
    pub host: String,
    /// The path prefix, starting with a slash.
    pub path: String,
    /// Where it leads.
    pub service: ServiceName,
    /// What one request, and one client, may ask.
    #[serde(default, skip_serializing_if = "RequestLimits::is_empty")]
    pub limits: RequestLimits,
}

impl EnvironmentSpec {
    /// Whether the service has a volume that only one replica may have at once.
    pub fn is_exclusive(&self, service: &ServiceName) -> bool {
        self.exclusive_volume(service).is_some()
    }

    /// The first volume of the service that only one replica may have at once.
    pub fn exclusive_volume(&self, service: &ServiceName) -> Option<&VolumeName> {
        let mut mounts = self.services.get(service)?.template.mounts.iter().map(|mount| &mount.volume);
        mounts.find(|volume| {
            self.volumes.get(*volume).is_none_or(|volume| volume.access == VolumeAccess::Exclusive)
        })
    }
}
