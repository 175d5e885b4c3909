//! Replicas: starting, stopping and removing them, and saying how they are. What is seen is read from the engine; what
//! is remembered here only saves asking again, except for two things that the engine forgets: that a container is
//! being stopped (Docker), and why it could not be started (Podman).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt as _;
use naru_model::job::{ExitReason, SecretScope};
use naru_model::rollout::{ReplicaKey, ReplicaSeen, ReplicaState, Seen};
use naru_model::time::is_ahead;
use naru_model::workload::{ServiceSpec, Template, TemplateHash, Value};
use naru_model::{Clock, EnvironmentKey, Generation, Problem, Timestamp};
use secrecy::ExposeSecret as _;

use super::api::{Endpoint, Inspected, Listed};
use super::container::{self, Containers, Started, Wanted, is_new, is_running};
use super::image::Images;
use super::names::{self, ReplicaLabels};
use super::network::Networks;
use super::{exit, logs, probe};
use crate::{Inputs, StepError};

/// How many last lines of a log are kept with an exit.
const LAST_LINES: usize = 20;
/// How many replicas of one environment are looked at side by side.
const SIDE_BY_SIDE: usize = 32;

/// The replicas of one engine.
#[derive(Clone)]
pub(crate) struct Replicas {
    pub(crate) containers: Containers,
    pub(crate) networks: Networks,
    pub(crate) images: Images,
    pub(crate) inputs: Arc<dyn Inputs>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the host cannot reach the engine's networks, so that ports are published on loopback.
    pub(crate) publishes: bool,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

/// What is remembered, by container id.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Being started.
    starting: HashSet<String>,
    /// Being stopped.
    stopping: HashSet<String>,
    /// Could not be started.
    never_started: HashMap<String, (String, Timestamp)>,
    /// When it started: never changes.
    since: HashMap<String, Timestamp>,
    /// How it ended: never changes.
    ended: HashMap<String, ReplicaState>,
}

impl Memory {
    fn forget(&mut self, id: &str) {
        self.never_started.remove(id);
        self.since.remove(id);
        self.ended.remove(id);
    }
}

impl Replicas {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while holding the lock")
    }

    fn name(&self, environment: &EnvironmentKey, key: &ReplicaKey) -> String {
        names::replica(&self.containers.instance, environment, key)
    }

    /// Makes and starts a replica; finishes a half-made one; leaves any other alone.
    pub(crate) async fn start(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        key: &ReplicaKey,
        service: &ServiceSpec,
    ) -> Result<(), StepError> {
        let name = self.name(environment, key);
        let id = match self.containers.inspect(&name).await? {
            Some(seen) if is_new(&seen.state.status) => seen.id,
            Some(_) => return Ok(()),
            None => self.create(environment, generation, key, &service.template, name).await?,
        };
        self.memory().starting.insert(id.clone());
        let started = self.containers.start(&id).await;
        self.note_start(id, started)
    }

    fn note_start(&self, id: String, started: Result<Started, StepError>) -> Result<(), StepError> {
        self.memory().starting.remove(&id);
        if let Started::Never(message) = started? {
            let why = container::why_not_started(&message);
            self.memory().never_started.insert(id, (why, self.clock.now()));
        }
        Ok(())
    }

    /// Starts a container that was made but not started, because we died in between: nobody else would.
    fn finish(&self, id: String) {
        if !self.memory().starting.insert(id.clone()) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let started = this.containers.start(&id).await;
            if let Err(error) = this.note_start(id, started) {
                tracing::warn!(%error, "a half-made replica could not be started; the next look tries again");
            }
        });
    }

    async fn create(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        key: &ReplicaKey,
        template: &Template,
        name: String,
    ) -> Result<String, StepError> {
        let instance = &self.containers.instance;
        let image = self.images.ensure(&environment.project, &template.image).await?;
        let network = names::network(instance, environment);
        self.networks.ensure(&network, &names::of_environment(instance, "network", environment)).await?;
        let binds = self.volumes(environment, &template.mounts).await?;
        let scope = SecretScope::Environment(environment.clone());
        let (variables, secrets) = reveal(&*self.inputs, &scope, &template.variables).await?;
        let mut labels = names::of_replica(instance, environment, generation, key, template);
        labels.insert(names::SECRETS.to_owned(), secrets.join(","));
        let wanted = Wanted {
            name,
            image,
            command: template.command.clone(),
            variables,
            labels,
            hostname: hostname(&key.to_string()),
            network,
            aliases: vec![key.service.to_string()],
            binds,
            working_folder: None,
            limits: template.limits,
            cpu_shares: container::REPLICA_CPU_SHARES,
            process_limit: container::PROCESS_LIMIT,
            log_bytes: 0,
            publish: template.port.filter(|_| self.publishes),
        };
        self.containers.create(&wanted).await
    }

    /// Makes the volumes and says how they are mounted.
    pub(crate) async fn volumes(
        &self,
        environment: &EnvironmentKey,
        mounts: &[naru_model::workload::Mount],
    ) -> Result<Vec<String>, StepError> {
        let instance = &self.containers.instance;
        let mut binds = Vec::new();
        for mount in mounts {
            check_mount_path(&mount.path)?;
            let volume = names::volume(instance, environment, &mount.volume);
            self.networks
                .ensure_volume(&volume, &names::of_environment(instance, "volume", environment))
                .await?;
            binds.push(format!("{volume}:{}", mount.path));
        }
        Ok(binds)
    }

    /// Begins to stop a replica and returns. The end is seen by observing.
    pub(crate) async fn stop(
        &self,
        environment: &EnvironmentKey,
        key: &ReplicaKey,
        within: Duration,
    ) -> Result<(), StepError> {
        let Some(seen) = self.containers.inspect(&self.name(environment, key)).await? else { return Ok(()) };
        if !is_running(&seen.state.status) {
            return Ok(());
        }
        if !self.memory().stopping.insert(seen.id.clone()) {
            return Ok(());
        }
        let this = self.clone();
        tokio::spawn(async move {
            let result = this.containers.stop(&seen.id, within).await;
            this.memory().stopping.remove(&seen.id);
            if let Err(error) = result {
                tracing::warn!(%error, container = seen.id, "a replica could not be stopped; the next pass tries again");
            }
        });
        Ok(())
    }

    /// Kills and removes a replica.
    pub(crate) async fn remove(
        &self,
        environment: &EnvironmentKey,
        key: &ReplicaKey,
    ) -> Result<(), StepError> {
        let Some(seen) = self.containers.inspect(&self.name(environment, key)).await? else { return Ok(()) };
        self.containers.remove(&seen.id).await?;
        self.memory().forget(&seen.id);
        Ok(())
    }

    /// Every replica of the environment.
    pub(crate) async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        let labels = names::of_environment(&self.containers.instance, "replica", environment);
        let listed = self.containers.list(&labels).await?;
        let network = names::network(&self.containers.instance, environment);
        let looks: Vec<_> = listed.iter().map(|listed| self.look(listed, &network)).collect();
        let mut replicas = Vec::new();
        let mut looking = futures::stream::iter(looks).buffer_unordered(SIDE_BY_SIDE);
        while let Some(replica) = looking.next().await {
            replicas.extend(replica?);
        }
        replicas.sort_by(|a: &ReplicaSeen, b| a.key.cmp(&b.key));
        Ok(Seen { replicas })
    }

    /// One replica; `None` when it went away meanwhile, or when its labels are not what we write.
    async fn look(&self, listed: &Listed, network: &str) -> Result<Option<ReplicaSeen>, StepError> {
        let Some(labels) = names::read_replica(&listed.labels) else {
            tracing::warn!(container = listed.id, "a container carries our label, but is no replica of ours");
            return Ok(None);
        };
        let is_stopping = self.memory().stopping.contains(&listed.id);
        let mut address = None;
        let state = match listed.state.as_str() {
            state if is_new(state) => self.not_running_yet(listed.id.clone()),
            "stopping" | "removing" => ReplicaState::Stopping,
            state if is_running(state) && is_stopping => ReplicaState::Stopping,
            state if is_running(state) => {
                address = self.address(listed, &labels, network).await?;
                match self.running(listed, &labels, address).await? {
                    Some(state) => state,
                    None => return Ok(None),
                }
            }
            _ => match self.ended(listed, &labels).await? {
                Some(state) => state,
                None => return Ok(None),
            },
        };
        Ok(Some(ReplicaSeen { key: labels.key, template: TemplateHash(labels.template), state, address }))
    }

    fn not_running_yet(&self, id: String) -> ReplicaState {
        let failed = self.memory().never_started.get(&id).cloned();
        if let Some((why, at)) = failed {
            let reason = ExitReason::NotStarted { why };
            return ReplicaState::Exited { reason, started: None, at, last_lines: Vec::new() };
        }
        self.finish(id);
        ReplicaState::Starting
    }

    async fn running(
        &self,
        listed: &Listed,
        labels: &ReplicaLabels,
        address: Option<SocketAddr>,
    ) -> Result<Option<ReplicaState>, StepError> {
        let known = self.memory().since.get(&listed.id).copied();
        let since = if let Some(since) = known {
            since
        } else {
            let Some(seen) = self.containers.inspect(&listed.id).await? else { return Ok(None) };
            let Some(since) = seen.state.started_at else { return Ok(Some(ReplicaState::Starting)) };
            self.memory().since.insert(listed.id.clone(), since);
            since
        };
        let ready = match (&labels.probe, address) {
            _ if listed.state == "paused" => false,
            (Some(probe), Some(address)) => probe::answers(address, probe).await,
            (Some(_), None) => false,
            (None, _) => has_settled(since, self.clock.now()),
        };
        Ok(Some(ReplicaState::Running { since, ready }))
    }

    /// Where it listens: in the environment's network, or on loopback when that is out of reach.
    async fn address(
        &self,
        listed: &Listed,
        labels: &ReplicaLabels,
        network: &str,
    ) -> Result<Option<SocketAddr>, StepError> {
        let Some(port) = labels.port else { return Ok(None) };
        if !self.publishes
            && let Some(ip) = listed.network_settings.networks.get(network).and_then(Endpoint::address)
        {
            return Ok(Some(SocketAddr::new(ip, port)));
        }
        let Some(seen) = self.containers.inspect(&listed.id).await? else { return Ok(None) };
        Ok(if self.publishes { published(&seen, port) } else { in_network(&seen, network, port) })
    }

    async fn ended(
        &self,
        listed: &Listed,
        labels: &ReplicaLabels,
    ) -> Result<Option<ReplicaState>, StepError> {
        if let Some(state) = self.memory().ended.get(&listed.id) {
            return Ok(Some(state.clone()));
        }
        let Some(seen) = self.containers.inspect(&listed.id).await? else { return Ok(None) };
        let reason = exit::reason(&seen.id, &seen.state, labels.limits.memory_bytes).await;
        let lines = logs::last_lines(&self.containers, &seen, LAST_LINES).await;
        let state = ReplicaState::Exited {
            reason,
            started: seen.state.started_at,
            at: seen.state.finished_at.unwrap_or_else(|| self.clock.now()),
            last_lines: mask(lines, &secrets_of(&seen)),
        };
        self.memory().ended.insert(listed.id.clone(), state.clone());
        Ok(Some(state))
    }
}

fn published(seen: &Inspected, port: u16) -> Option<SocketAddr> {
    let ports = seen.network_settings.ports.get(&format!("{port}/tcp"))?.as_ref()?;
    let host_port = ports.first()?.host_port.parse().ok()?;
    Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), host_port))
}

fn in_network(seen: &Inspected, network: &str, port: u16) -> Option<SocketAddr> {
    let ip = seen.network_settings.networks.get(network)?.address()?;
    Some(SocketAddr::new(ip, port))
}

fn has_settled(since: Timestamp, now: Timestamp) -> bool {
    is_ahead(since, now)
        || now.duration_since(since)
            >= jiff::SignedDuration::try_from(Template::SETTLE).expect("two seconds fit")
}

/// A host name has at most 63 characters and does not end in a hyphen.
pub(crate) fn hostname(text: &str) -> String {
    text.chars().take(63).collect::<String>().trim_end_matches('-').to_owned()
}

/// The variables as `NAME=value`, and the names of those that hold secrets.
pub(crate) async fn reveal(
    inputs: &dyn Inputs,
    scope: &SecretScope,
    variables: &std::collections::BTreeMap<naru_model::VariableName, Value>,
) -> Result<(Vec<String>, Vec<String>), StepError> {
    let (mut all, mut secrets) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        match value {
            Value::Plain(text) => all.push(format!("{name}={text}")),
            Value::Secret(secret, version) => {
                let text = inputs.reveal(scope, secret, *version).await?;
                all.push(format!("{name}={}", text.expose_secret()));
                secrets.push(name.to_string());
            }
        }
    }
    Ok((all, secrets))
}

/// The secrets that a container was given, as it was given them.
pub(crate) fn secrets_of(seen: &Inspected) -> Vec<String> {
    let names = seen.config.labels.get(names::SECRETS).map(String::as_str).unwrap_or_default();
    let is_secret = |name: &str| names.split(',').any(|secret| secret == name);
    let variables = seen.config.env.iter().filter_map(|variable| variable.split_once('='));
    variables.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_owned()).collect()
}

/// The lines without the secrets. Values so short that they occur by chance are left.
pub(crate) fn mask(lines: Vec<String>, secrets: &[String]) -> Vec<String> {
    let mut parts: Vec<&str> = secrets.iter().flat_map(|secret| secret.lines()).map(str::trim).collect();
    parts.retain(|part| part.len() >= 4);
    // The longest first, so that a secret that contains another is masked as a whole.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    lines.into_iter().map(|line| parts.iter().fold(line, |line, part| line.replace(part, "•••"))).collect()
}

pub(crate) fn check_mount_path(path: &str) -> Result<(), StepError> {
    let is_plain = path.starts_with('/')
        && path.len() > 1
        && !path.contains([':', ',', '"', '\\'])
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| part != ".." && part != ".");
    if is_plain {
        return Ok(());
    }
    Err(Problem::new("engine.mount-path", format!("a volume cannot be mounted at {path:?}"))
        .hint("use an absolute path without `..`, `:`, `,`, quotes and backslashes")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_every_line() {
        let lines =
            vec!["key hunter2-long and hunter2".to_owned(), "second: bbbb".to_owned(), "x".to_owned()];
        let secrets =
            ["hunter2".to_owned(), "hunter2-long".to_owned(), "aaaa\nbbbb".to_owned(), "x".to_owned()];
        assert_eq!(mask(lines, &secrets), ["key ••• and •••", "second: •••", "x"]);
    }

    #[test]
    fn mounts_stay_where_they_are_put() {
        assert!(check_mount_path("/data").is_ok());
        for bad in ["", "/", "data", "/a/../etc", "/a:ro", "/a,b", "/a\n", "/a\"b"] {
            assert!(check_mount_path(bad).is_err(), "{bad:?}");
        }
    }
}
