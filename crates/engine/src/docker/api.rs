//! The parts of the engine's answers that are read, and nothing more. Everything is optional and every enumeration is
//! text: Podman answers with states and shapes that Docker's own description does not know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use naru_model::Timestamp;
use serde::Deserialize;

use super::names::Labels;

/// `GET /version`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Version {
    pub(crate) version: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) components: Vec<Component>,
}

/// A part of the engine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Version {
    /// Podman speaks Docker's API and, beside it, its own.
    pub(crate) fn is_podman(&self) -> bool {
        self.components.iter().any(|component| component.name.starts_with("Podman"))
    }

    /// Such as `Podman 4.3.1`.
    pub(crate) fn describe(&self) -> String {
        let podman = self.components.iter().find(|component| component.name.starts_with("Podman"));
        match (podman, &self.version) {
            (Some(podman), _) => format!("Podman {}", podman.version),
            (None, Some(version)) => format!("Docker {version}"),
            (None, None) => "an engine that does not say its version".to_owned(),
        }
    }
}

/// `GET /info`.
#[expect(clippy::struct_excessive_bools, reason = "it is the engine's form")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Info {
    pub(crate) memory_limit: bool,
    pub(crate) cpu_cfs_quota: bool,
    pub(crate) pids_limit: bool,
    pub(crate) cgroup_version: Option<String>,
    pub(crate) cgroup_driver: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) docker_root_dir: Option<String>,
    pub(crate) rootless: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) security_options: Vec<String>,
    pub(crate) default_runtime: Option<String>,
}

impl Info {
    /// Whether the engine runs without the rights of root.
    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless || self.security_options.iter().any(|option| option.contains("rootless"))
    }
}

/// One entry of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Listed {
    pub(crate) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: Labels,
    pub(crate) state: String,
    pub(crate) network_settings: NetworkSettings,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Inspected {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) state: State,
    pub(crate) config: Config,
    pub(crate) network_settings: NetworkSettings,
    pub(crate) host_config: HostConfig,
    pub(crate) log_path: Option<String>,
}

/// How a container is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct State {
    pub(crate) status: String,
    #[serde(rename = "OOMKilled")]
    pub(crate) oom_killed: bool,
    pub(crate) pid: i64,
    pub(crate) exit_code: i64,
    pub(crate) error: Option<String>,
    #[serde(deserialize_with = "instant")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(deserialize_with = "instant")]
    pub(crate) finished_at: Option<Timestamp>,
}

/// What a container was made from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: Labels,
    #[serde(deserialize_with = "or_default")]
    pub(crate) env: Vec<String>,
}

/// How a container is bound to its host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    pub(crate) log_config: LogConfig,
}

/// Where output goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LogConfig {
    #[serde(rename = "Type")]
    pub(crate) driver: String,
}

/// Where a container is reachable.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    pub(crate) networks: BTreeMap<String, Endpoint>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ports: BTreeMap<String, Option<Vec<PublishedPort>>>,
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Endpoint {
    #[serde(rename = "IPAddress")]
    pub(crate) ip_address: Option<String>,
}

impl Endpoint {
    /// The address, when there is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.ip_address.as_deref()?.parse().ok()
    }
}

/// A port on the host that leads to a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PublishedPort {
    pub(crate) host_port: String,
}

/// One network or volume of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Named {
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: Labels,
}

/// `GET /volumes`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Volumes {
    #[serde(deserialize_with = "or_default")]
    pub(crate) volumes: Vec<Named>,
}

/// One entry of `GET /images/json`, or `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Image {
    pub(crate) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) repo_digests: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: Labels,
}

/// `GET /containers/{id}/stats`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    #[serde(rename = "cpu_stats")]
    pub(crate) cpu: CpuStats,
    #[serde(rename = "memory_stats")]
    pub(crate) memory: MemoryStats,
    #[serde(deserialize_with = "or_default")]
    pub(crate) networks: BTreeMap<String, NetworkStats>,
}

/// What one network device carried, in bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkStats {
    pub(crate) rx_bytes: u64,
    pub(crate) tx_bytes: u64,
}

/// CPU time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CpuStats {
    pub(crate) cpu_usage: CpuUsage,
}

/// CPU time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CpuUsage {
    /// Nanoseconds.
    pub(crate) total_usage: u64,
}

/// Memory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MemoryStats {
    /// Bytes.
    pub(crate) usage: u64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) stats: BTreeMap<String, serde_json::Value>,
}

/// `null` is the same as absent.
fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

/// An instant; year 1, which stands for never, and anything else that is none is `None`.
fn instant<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    Ok(text.parse::<Timestamp>().ok().filter(|at| at.as_second() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_states_nulls_and_missing_fields_survive() {
        let text = r#"{"Id":"x","State":{"Status":"stopping","StartedAt":"0001-01-01T00:00:00Z","ExitCode":0},
            "Config":{"Labels":null,"Entrypoint":"a string"},"NetworkSettings":{"Networks":null,"Ports":{"80/tcp":null}}}"#;
        let seen: Inspected = serde_json::from_str(text).unwrap();
        assert_eq!(seen.state.status, "stopping");
        assert_eq!(seen.state.started_at, None);
        assert!(seen.config.labels.is_empty());
    }
}
