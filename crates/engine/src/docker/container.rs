//! Containers as such: what is asked of the engine for one, and the calls that make, start, find, stop and remove
//! them. Knows neither replicas nor jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use naru_model::workload::Limits;
use naru_model::{InstanceId, Problem};
use serde_json::{Value, json};

use super::api::{Inspected, Listed};
use super::client::{Client, Payload, path};
use super::host;
use super::names::{INSTANCE, Labels};
use crate::StepError;

/// What programs that start as root and then step down need (nginx, PostgreSQL, package managers), and no more: no
/// raw sockets, no device nodes, no `chroot`, no tracing, nothing administrative.
pub(crate) const CAPABILITIES: [&str; 8] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// The engine keeps at most this much of a container's output.
pub(crate) const LOG_LIMIT_BYTES: u64 = 10 << 20;

/// CPU weight of a replica; a job's is an eighth of it, so that builds never slow a running service.
pub(crate) const REPLICA_CPU_SHARES: u32 = 1024;
/// CPU weight of steps, builds and what runs beside them.
pub(crate) const JOB_CPU_SHARES: u32 = 128;

/// Enough for thread pools and parallel compilers; a fork bomb ends here.
pub(crate) const PROCESS_LIMIT: u32 = 4096;

/// A container to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// Local id or name.
    pub(crate) image: String,
    /// Replaces entry point and command.
    pub(crate) command: Option<Vec<String>>,
    /// `NAME=value`.
    pub(crate) variables: Vec<String>,
    pub(crate) labels: Labels,
    pub(crate) hostname: String,
    pub(crate) network: String,
    /// The names it is reached by within the network.
    pub(crate) aliases: Vec<String>,
    /// `volume:/path`, `/host/file:/path:ro`.
    pub(crate) binds: Vec<String>,
    pub(crate) working_folder: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) cpu_shares: u32,
    pub(crate) process_limit: u32,
    /// How much output the engine keeps; 0 for the usual.
    pub(crate) log_bytes: u64,
    /// Published on loopback, for engines whose networks are out of the host's reach.
    pub(crate) publish: Option<u16>,
}

impl Wanted {
    fn body(&self, podman: bool) -> Value {
        let ulimits: Vec<Value> = host::ulimits()
            .into_iter()
            .map(|(name, value)| json!({ "Name": name, "Soft": value, "Hard": value }))
            .collect();
        let mut body = json!({
            "Image": self.image,
            "Env": self.variables,
            "Labels": self.labels,
            "Hostname": self.hostname,
            "HostConfig": {
                "NetworkMode": self.network,
                "Binds": self.binds,
                "CapDrop": ["ALL"],
                "CapAdd": CAPABILITIES,
                "SecurityOpt": ["no-new-privileges"],
                "Privileged": false,
                "PidsLimit": self.process_limit,
                "CpuShares": self.cpu_shares,
                "Ulimits": ulimits,
                "LogConfig": log_config(podman, if self.log_bytes > 0 { self.log_bytes } else { LOG_LIMIT_BYTES }),
                "RestartPolicy": { "Name": "no" },
            },
            "NetworkingConfig": { "EndpointsConfig": { self.network.clone(): { "Aliases": self.aliases } } },
        });
        if let Some(command) = &self.command {
            body["Entrypoint"] = json!(command);
            body["Cmd"] = json!([]);
        }
        if let Some(folder) = &self.working_folder {
            body["WorkingDir"] = json!(folder);
        }
        let bounds = &mut body["HostConfig"];
        if self.limits.memory_bytes > 0 {
            bounds["Memory"] = json!(self.limits.memory_bytes);
            // Equal to the memory limit: no swap on top of it.
            bounds["MemorySwap"] = json!(self.limits.memory_bytes);
        }
        if self.limits.cpu_millis > 0 {
            bounds["NanoCpus"] = json!(u64::from(self.limits.cpu_millis) * 1_000_000);
        }
        if let Some(port) = self.publish {
            let port = format!("{port}/tcp");
            bounds["PortBindings"] = json!({ &port: [{ "HostIp": "127.0.0.1", "HostPort": "" }] });
            body["ExposedPorts"] = json!({ port: {} });
        }
        body
    }
}

fn log_config(podman: bool, bytes: u64) -> Value {
    if podman {
        json!({ "Type": "k8s-file", "Config": { "max-size": bytes.to_string() } })
    } else {
        json!({ "Type": "json-file", "Config": { "max-size": (bytes / 2).to_string(), "max-file": "2" } })
    }
}

/// The containers of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Containers {
    pub(crate) client: Client,
    pub(crate) instance: InstanceId,
    pub(crate) podman: bool,
    /// Counts what was started here, so that who knows the running ones notices new ones.
    pub(crate) starts: Arc<AtomicU64>,
}

/// What came of starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Started {
    /// It runs, or has run.
    Yes,
    /// It never will: its command is missing or not a program.
    Never(String),
}

impl Containers {
    /// Makes a container and returns its id; one of that name that is ours already counts as made.
    pub(crate) async fn create(&self, wanted: &Wanted) -> Result<String, StepError> {
        let at = path(&["containers", "create"], &[("name", &wanted.name)]);
        let answer = self.client.post(&at, Payload::json(&wanted.body(self.podman))).await?;
        if answer.status.is_success() {
            #[derive(serde::Deserialize)]
            #[serde(rename_all = "PascalCase")]
            struct Created {
                id: String,
            }
            return Ok(answer.json::<Created>("creating a container")?.id);
        }
        if let Some(present) = self.inspect(&wanted.name).await? {
            return Ok(present.id);
        }
        match answer.status {
            StatusCode::BAD_REQUEST => {
                Err(Problem::new("engine.refused", "the container engine refuses the container")
                    .cause(answer.message())
                    .into())
            }
            _ => Err(StepError::Transient(format!("creating a container: {}", answer.message()))),
        }
    }

    /// Starts a container; one that runs counts as started.
    pub(crate) async fn start(&self, id: &str) -> Result<Started, StepError> {
        let answer = self.client.post(&path(&["containers", id, "start"], &[]), Payload::Nothing).await?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Started::Yes);
        }
        let message = answer.message();
        if is_hopeless(&message) {
            return Ok(Started::Never(message));
        }
        Err(StepError::Transient(format!("starting a container: {message}")))
    }

    /// The container of this name or id, if there is one. One that is not ours blocks.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Option<Inspected>, StepError> {
        let answer = self.client.get(&path(&["containers", name, "json"], &[])).await?;
        let Some(answer) = answer.found("inspecting a container")? else { return Ok(None) };
        let seen: Inspected = answer.json("inspecting a container")?;
        if seen.config.labels.get(INSTANCE).map(String::as_str) != Some(self.instance.as_str()) {
            return Err(Problem::new("engine.name-taken", format!("the container name {name} is taken"))
                .cause("a container of that name exists that this instance did not make")
                .hint("rename or remove it, then try again")
                .into());
        }
        Ok(Some(seen))
    }

    /// Our containers with all of these labels.
    pub(crate) async fn list(&self, labels: &Labels) -> Result<Vec<Listed>, StepError> {
        let mut wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        wanted.push(format!("{INSTANCE}={}", self.instance));
        let filters = json!({ "label": wanted }).to_string();
        let at = path(&["containers", "json"], &[("all", "true"), ("filters", &filters)]);
        let all: Vec<Listed> =
            self.client.get(&at).await?.success("listing containers")?.json("listing containers")?;
        // Filters are the engine's; whose a container is, is checked here as well.
        let is_ours =
            |it: &Listed| it.labels.get(INSTANCE).map(String::as_str) == Some(self.instance.as_str());
        Ok(all.into_iter().filter(is_ours).collect())
    }

    /// Asks a container to end, and kills it when it has not after `within`. Returns when it has ended.
    pub(crate) async fn stop(&self, id: &str, within: Duration) -> Result<(), StepError> {
        let seconds = within.as_secs() + u64::from(within.subsec_nanos() > 0);
        let at = path(&["containers", id, "stop"], &[("t", &seconds.to_string())]);
        let patience = within + Duration::from_secs(20);
        let asked = self.client.call(Method::POST, &at, Payload::Nothing, patience).await;
        match asked.and_then(|answer| answer.found("stopping a container")) {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a container did not stop as asked and is killed");
                self.kill(id).await
            }
        }
    }

    /// Kills a container; one that is gone or over is left alone.
    pub(crate) async fn kill(&self, id: &str) -> Result<(), StepError> {
        let answer = self
            .client
            .post(&path(&["containers", id, "kill"], &[("signal", "SIGKILL")]), Payload::Nothing)
            .await?;
        // Podman says 500, Docker 409, to what has already ended.
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        match self.inspect(id).await? {
            Some(seen) if is_running(&seen.state.status) => answer.success("killing a container").map(drop),
            _ => Ok(()),
        }
    }

    /// Unpacks an archive into a container's root folder.
    pub(crate) async fn upload(&self, id: &str, payload: Payload, within: Duration) -> Result<(), StepError> {
        let at = path(&["containers", id, "archive"], &[("path", "/")]);
        self.client
            .call(Method::PUT, &at, payload, within)
            .await?
            .success("unpacking the workspace")
            .map(drop)
    }

    /// Kills and removes a container with its anonymous volumes; one that is gone is left alone.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), StepError> {
        self.kill(id).await?;
        // Podman would give what was killed a moment ago ten seconds to stop.
        let at = path(&["containers", id], &[("force", "true"), ("v", "true"), ("timeout", "0")]);
        self.client.delete(&at).await?.found("removing a container").map(drop)
    }
}

/// Whether a container in this state has processes.
pub(crate) fn is_running(status: &str) -> bool {
    matches!(status, "running" | "paused" | "stopping" | "restarting")
}

/// Whether a container in this state has not been started yet.
pub(crate) fn is_new(status: &str) -> bool {
    matches!(status, "created" | "configured" | "initialized")
}

/// What the runtimes say when the image has no such program.
fn is_hopeless(message: &str) -> bool {
    [
        "command that was not found",
        "executable file not found",
        "no such file or directory",
        "exec format error",
        "is a directory",
        "permission denied: unknown",
        "OCI permission denied",
        "user: unable to find",
        "no matching entries in passwd",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// The last line of a runtime's message that tells people something.
pub(crate) fn why_not_started(message: &str) -> String {
    let from = message.find("exec: ").unwrap_or(0);
    let text = message[from..].trim_end_matches(": unknown");
    let end = text.find(": OCI ").unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_no_more_than_it_needs() {
        let wanted = Wanted {
            name: "x".into(),
            image: "sha256:1".into(),
            limits: Limits { cpu_millis: 500, memory_bytes: 64 << 20 },
            cpu_shares: REPLICA_CPU_SHARES,
            process_limit: 100,
            network: "n".into(),
            ..Wanted::default()
        };
        let body = wanted.body(true);
        let bounds = &body["HostConfig"];
        assert_eq!(bounds["CapDrop"], json!(["ALL"]));
        assert_eq!(bounds["Privileged"], json!(false));
        assert_eq!(bounds["SecurityOpt"], json!(["no-new-privileges"]));
        assert_eq!(bounds["Memory"], bounds["MemorySwap"]);
        assert_eq!(bounds["NanoCpus"], json!(500_000_000));
        assert_eq!(bounds["PidsLimit"], json!(100));
        assert!(body.get("Entrypoint").is_none());
    }

    #[test]
    fn a_missing_program_is_told_in_a_few_words() {
        let message = "runc: runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no \
                       such file or directory: OCI runtime attempted to invoke a command that was not found";
        assert!(is_hopeless(message));
        assert_eq!(why_not_started(message), "exec: \"/nope\": stat /nope: no such file or directory");
    }
}
