//! A service of `naru.yaml`: what it is made from, how it runs, and how a new revision takes over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::amount::{ByteAmount, Count, CpuAmount, Percent, Port, ScalarText, TimeSpan};
use super::limits::RequestLimits;
use super::strategy::Strategy;
use super::text::{AbsolutePath, CommandLine, NodeName, RelativePath, Schedule, ServiceImage, UrlPath, Zone};
use crate::name::{VariableName, VolumeName};
use crate::workload::VolumeAccess;

/// Something that runs. It has exactly one of `build` and `image`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with the settings of a service")]
pub struct Service {
    /// How its image is built from the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// The image of another service, or one from a registry by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ServiceImage>,
    /// Replaces the image's command. A line is split into words without a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<CommandLine>,
    /// The port it listens on; it is also handed to the service as `PORT`. A service without one is a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// A path that answers with a status below 400 when a replica is ready. Without it, an open port is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<UrlPath>,
    /// How many replicas.
    #[serde(default)]
    pub replicas: Replicas,
    /// The most CPU one replica may use. Without it there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuAmount>,
    /// The most memory one replica may use.
    #[serde(default = "Service::default_memory")]
    pub memory: ByteAmount,
    /// Volumes by name, and where they are mounted. They outlive revisions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Environment variables. `naru env set` overrides them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<VariableName, ScalarText>,
    /// What one request, and one client, may ask of it at the edge.
    #[serde(default, skip_serializing_if = "RequestLimits::is_empty")]
    pub limits: RequestLimits,
    /// How a new revision takes over.
    #[serde(default)]
    pub strategy: Strategy,
    /// How long a replica may take to stop after SIGTERM before it is killed.
    #[serde(default = "Service::default_stop")]
    pub stop: TimeSpan,
    /// How long a replica may take to become ready before the rollout is given up.
    #[serde(default = "Service::default_start")]
    pub start: TimeSpan,
    /// Runs it at these times instead of always. Later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The time zone of the schedule. Later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}

impl Service {
    fn default_memory() -> ByteAmount {
        ByteAmount::new(512 << 20)
    }
    fn default_stop() -> TimeSpan {
        TimeSpan::seconds(10)
    }
    fn default_start() -> TimeSpan {
        TimeSpan::seconds(60)
    }

    /// A service that is built like this and listens on this port; everything else is as by default.
    pub fn built(build: Build, port: Port) -> Self {
        Self {
            build: Some(build),
            image: None,
            run: None,
            port: Some(port),
            health: None,
            replicas: Replicas::default(),
            cpu: None,
            memory: Self::default_memory(),
            volumes: BTreeMap::new(),
            env: BTreeMap::new(),
            limits: RequestLimits::default(),
            strategy: Strategy::default(),
            stop: Self::default_stop(),
            start: Self::default_start(),
            schedule: None,
            zone: None,
        }
    }
}

/// How an image is built from the repository: from a Dockerfile, or from a folder of static files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with the settings of a build")]
pub struct Build {
    /// What must succeed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<NodeName>,
    /// The Dockerfile, relative to the repository's root. `Dockerfile` in the context folder when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<RelativePath>,
    /// The context folder, relative to the repository's root. The root when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<RelativePath>,
    /// A folder of static files to serve; there is no Dockerfile then.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_files: Option<RelativePath>,
    /// Build arguments. Never for secrets: they stay readable in the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<VariableName, ScalarText>,
    /// The most CPU the build may use. Without it there is no bound, but services go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuAmount>,
    /// The most memory the build may use.
    #[serde(default = "Build::default_memory")]
    pub memory: ByteAmount,
    /// How long the build may take.
    #[serde(default = "Build::default_timeout")]
    pub timeout: TimeSpan,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            needs: Vec::new(),
            dockerfile: None,
            context: None,
            static_files: None,
            args: BTreeMap::new(),
            cpu: None,
            memory: Self::default_memory(),
            timeout: Self::default_timeout(),
        }
    }
}

impl Build {
    fn default_memory() -> ByteAmount {
        ByteAmount::new(4 << 30)
    }
    fn default_timeout() -> TimeSpan {
        TimeSpan::seconds(3600)
    }

    /// The context folder, `.` for the repository's root.
    pub fn context_folder(&self) -> &str {
        self.context.as_ref().map_or(".", RelativePath::as_str)
    }

    /// The Dockerfile relative to the repository's root; `None` for static files.
    pub fn dockerfile_path(&self) -> Option<String> {
        if self.static_files.is_some() {
            return None;
        }
        Some(match (&self.dockerfile, self.context_folder()) {
            (Some(path), _) => path.to_string(),
            (None, ".") => "Dockerfile".to_owned(),
            (None, folder) => format!("{folder}/Dockerfile"),
        })
    }
}

/// How many replicas: a number, or bounds for a later autoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replicas {
    /// At least this many.
    pub min: Count,
    /// At most this many; the same as `min` for a fixed number.
    pub max: Count,
    /// The share of CPU that the number is held at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { min: Count::ONE, max: Count::ONE, cpu: None }
    }
}

/// The bounds as they are written.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ min, max, cpu }")]
struct ReplicaBounds {
    /// At least this many.
    min: Count,
    /// At most this many.
    max: Count,
    /// The share of CPU that the number is held at.
    #[serde(default)]
    cpu: Option<Percent>,
}

impl<'de> Deserialize<'de> for Replicas {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Replicas;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of replicas, or { min, max, cpu }")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Replicas, E> {
                let count = Count::try_from(ScalarText(number.to_string())).map_err(E::custom)?;
                Ok(Replicas { min: count, max: count, cpu: None })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Replicas, A::Error> {
                let bounds = ReplicaBounds::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Replicas { min: bounds.min, max: bounds.max, cpu: bounds.cpu })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Replicas {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Replicas".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (count, bounds) =
            (generator.subschema_for::<Count>(), generator.subschema_for::<ReplicaBounds>());
        schemars::json_schema!({ "anyOf": [count, bounds] })
    }
}

/// A volume of the environment, mounted into a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ path, size, access }")]
pub struct Volume {
    /// Where it is mounted.
    pub path: AbsolutePath,
    /// How much room it should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteAmount>,
    /// `exclusive`: one replica at a time, the old one stops before the new one starts. `shared`: any number.
    #[serde(default)]
    #[schemars(with = "Access")]
    pub access: VolumeAccess,
}

/// The schema of [`VolumeAccess`].
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Access {
    Exclusive,
    Shared,
}
