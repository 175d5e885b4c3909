//! The Docker Engine API, Docker's or Podman's.
//!
//! This file connects and hands each call of [`Engine`] to the file that knows it. Everything created carries the
//! instance's label, and nothing without it is touched.

mod api;
mod archive;
mod build;
mod client;
mod command;
mod container;
pub mod doctor;
mod exit;
mod gauge;
mod host;
mod image;
mod isolation;
mod job;
mod lines;
mod logs;
mod names;
mod network;
mod probe;
mod recipe;
mod replica;
mod service;
mod stages;
pub mod supervise;
mod tree;
mod usage;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec};
use naru_model::rollout::{Action, Seen};
use naru_model::{Clock, Digest, EnvironmentKey, Generation, InstanceId, Problem};

pub use host::Surroundings;
pub use image::{RegistryAccess, RegistryLogin};
pub use service::PodmanEnvironment;

use self::api::{Info, Version};
use self::build::Tools;
use self::client::Client;
use self::container::Containers;
use self::image::Images;
use self::job::Jobs;
use self::network::Networks;
use self::replica::Replicas;
use self::service::{Layout, Service};
use self::usage::Meters;
use crate::{Capabilities, Engine, Environments, Inputs, LogLine, LogPosition, LogSource, StepError, Usage};

/// Which engine is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The first that answers of `DOCKER_HOST`, Docker's and Podman's usual sockets; otherwise our own Podman.
    #[default]
    Auto,
    /// The one behind this socket.
    Socket(PathBuf),
    /// A `podman system service` of our own, with its own storage in the data folder.
    OwnPodman,
}

/// What the engine is made with.
#[derive(Clone)]
pub struct DockerEngineConfig {
    /// Labels everything that is created.
    pub instance: InstanceId,
    /// The engine's folder, `<data>/engine`.
    pub folder: PathBuf,
    /// Which engine.
    pub choice: EngineChoice,
    /// Our own registry.
    pub registry: Option<RegistryAccess>,
    /// What starts [`supervise::main`] in a process of its own; the specification file is appended.
    pub supervisor: Vec<OsString>,
    /// Certificate authorities and proxies.
    pub surroundings: Surroundings,
    /// The hour.
    pub clock: Arc<dyn Clock>,
}

/// Runs replicas and jobs through the Docker Engine API. Dropping it ends our own Podman service, if there is one;
/// containers and builds go on and are adopted by the next.
pub struct DockerEngine {
    config: DockerEngineConfig,
    version: Version,
    client: Client,
    containers: Containers,
    networks: Networks,
    images: Images,
    replicas: Replicas,
    jobs: Jobs,
    meters: Meters,
    podman: Option<PodmanEnvironment>,
    service: Option<Service>,
}

impl DockerEngine {
    /// Finds or starts the engine, and asks it who it is.
    pub async fn connect(config: DockerEngineConfig, inputs: Arc<dyn Inputs>) -> Result<Self, StepError> {
        let found = match &config.choice {
            EngineChoice::Socket(path) => Some(Client::new(path)),
            EngineChoice::OwnPodman => None,
            EngineChoice::Auto => first_that_answers().await,
        };
        let (client, podman, service) = match found {
            Some(client) => (client, None, None),
            None => own_podman(&config).await?,
        };
        let version: Version =
            client.get("/version").await?.success("asking for the version")?.json("version")?;
        let info: Info = client.get("/info").await?.success("asking for details")?.json("details")?;
        let is_podman = version.is_podman();
        let instance = config.instance.clone();
        let containers = Containers {
            client: client.clone(),
            instance: instance.clone(),
            podman: is_podman,
            starts: Arc::default(),
        };
        let networks = Networks { client: client.clone(), instance: instance.clone(), podman: is_podman };
        let images = Images::new(client.clone(), instance, is_podman, config.registry.clone());
        let environment = podman
            .clone()
            .unwrap_or_else(|| Tools::for_socket(client.socket(), is_podman, &config.surroundings));
        let replicas = Replicas {
            containers: containers.clone(),
            networks: networks.clone(),
            images: images.clone(),
            inputs: inputs.clone(),
            clock: config.clock.clone(),
            publishes: info.is_rootless(),
            memory: Arc::default(),
        };
        let jobs = Jobs {
            containers: containers.clone(),
            networks: networks.clone(),
            images: images.clone(),
            replicas: replicas.clone(),
            inputs,
            surroundings: config.surroundings.clone(),
            tools: Arc::new(Tools {
                environment,
                is_ours: podman.is_some(),
                podman: is_podman,
                registry: config.registry.clone(),
                supervisor: config.supervisor.clone(),
            }),
            clock: config.clock.clone(),
            folder: config.folder.join("jobs"),
            memory: Arc::default(),
        };
        let meters = Meters::default();
        Ok(Self {
            config,
            version,
            client,
            containers,
            networks,
            images,
            replicas,
            jobs,
            meters,
            podman,
            service,
        })
    }

    /// Ends our own Podman service and gives back what its storage has mounted. For when nothing of the instance runs any
    /// more; an engine that is not ours is left as it is.
    pub async fn close(mut self) {
        if let Some(service) = self.service.take() {
            service.close().await;
        }
    }

    /// What a podman command needs to see the same images and containers; `None` for an engine that is not ours.
    pub fn podman_environment(&self) -> Option<&PodmanEnvironment> {
        self.podman.as_ref()
    }

    /// The engine's socket.
    pub fn socket(&self) -> &std::path::Path {
        self.client.socket()
    }

    /// Removes the images that this instance built or pulled from our registry, except these, those in use, and those
    /// of builds whose jobs have not been stopped yet. Returns how many names of images were removed.
    pub async fn prune_images(&self, keep: &[Digest]) -> Result<usize, StepError> {
        self.jobs.sweep_builds().await?;
        let keep = [keep, &self.jobs.fresh_digests()?].concat();
        self.images.prune(&keep, self.jobs.is_building()?).await
    }
}

#[expect(clippy::disallowed_methods, reason = "the variable that every Docker client follows")]
async fn first_that_answers() -> Option<Client> {
    let named = std::env::var("DOCKER_HOST").ok();
    let named = named.as_deref().and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
    let usual = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    for path in named.into_iter().chain(usual).filter(|path| path.exists()) {
        let client = Client::new(path);
        if client.get("/_ping").await.is_ok_and(|answer| answer.status.is_success()) {
            return Some(client);
        }
    }
    None
}

async fn own_podman(
    config: &DockerEngineConfig,
) -> Result<(Client, Option<PodmanEnvironment>, Option<Service>), StepError> {
    let layout = Layout::new(&config.folder, &config.instance);
    let registry = config.registry.as_ref().map(|access| access.host.as_str());
    let environment = service::prepare(&layout, &config.surroundings, registry)?;
    let client = Client::new(layout.socket());
    let service = Service::start(layout, environment.clone()).await?;
    Ok((client, Some(environment), Some(service)))
}

/// What the engine says it cannot do, in words for people.
fn missing(info: &Info, podman: bool) -> Vec<String> {
    let mut missing = Vec::new();
    if !podman {
        missing.push(
            "builds through Docker have no lower CPU weight and not the host's certificate authorities"
                .to_owned(),
        );
    }
    let is_v1 = info.cgroup_version.as_deref() == Some("1");
    if info.is_rootless() {
        missing
            .push("the engine runs without root: replicas are reached through ports on loopback".to_owned());
        if is_v1 {
            missing.push(
                "memory, CPU and process limits are ignored: no rights on control groups v1".to_owned(),
            );
            return missing;
        }
    }
    let can = [
        (info.memory_limit, "memory limits are ignored: the memory controller is missing"),
        (info.cpu_cfs_quota, "CPU limits are ignored: the CPU controller is missing"),
        (info.pids_limit, "process limits are ignored: the pids controller is missing"),
    ];
    missing.extend(can.iter().filter(|(has, _)| !has).map(|(_, text)| (*text).to_owned()));
    missing
}

#[async_trait]
impl Engine for DockerEngine {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        let info: Info = self.client.get("/info").await?.success("asking for details")?.json("details")?;
        Ok(Capabilities {
            engine: self.version.describe(),
            missing: missing(&info, self.version.is_podman()),
        })
    }

    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        self.replicas.observe(environment).await
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        let containers = self.containers.list(&names::Labels::new()).await?;
        let networks = self.networks.list().await?;
        let volumes = self.networks.volumes().await?;
        let labels = containers.iter().map(|it| &it.labels);
        let labels = labels.chain(networks.iter().chain(&volumes).map(|it| &it.labels));
        let of_environments = labels.filter(|labels| {
            matches!(labels.get(names::KIND).map(String::as_str), Some("replica" | "network" | "volume"))
        });
        let all: BTreeSet<EnvironmentKey> = of_environments.filter_map(names::read_environment).collect();
        Ok(all.into_iter().collect())
    }

    async fn apply(
        &self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        match action {
            Action::Start { replica, service } => {
                self.replicas.start(environment, generation, replica, service).await
            }
            Action::Stop { replica, within } => self.replicas.stop(environment, replica, *within).await,
            Action::Remove { replica } => self.replicas.remove(environment, replica).await,
            Action::EnsureJob { key, job } => self.ensure_job(key, job).await,
            Action::StopJob { key } => self.stop_job(key).await,
            Action::Publish { .. } => {
                Err(Problem::new("engine.not-traffic", "an engine publishes no routes").into())
            }
        }
    }

    async fn remove_environment(&self, environment: &EnvironmentKey, volumes: bool) -> Result<(), StepError> {
        let labels = names::of_environment(&self.config.instance, "replica", environment);
        for listed in self.containers.list(&labels).await? {
            self.containers.remove(&listed.id).await?;
        }
        self.networks.remove(&names::network(&self.config.instance, environment)).await?;
        if volumes {
            for volume in self.networks.volumes().await? {
                if volume.labels.get(names::KIND).map(String::as_str) == Some("volume")
                    && names::read_environment(&volume.labels).as_ref() == Some(environment)
                {
                    self.networks.remove_volume(&volume.name).await?;
                }
            }
        }
        Ok(())
    }

    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        self.jobs.ensure(key, job)
    }

    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        self.jobs.observe(scope).await
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        self.jobs.scopes().await
    }

    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError> {
        self.jobs.stop(key).await
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        let (environment, key) = match source {
            LogSource::Replica(environment, key) => (environment, key),
            LogSource::Job(key) => return self.jobs.logs(key, from),
        };
        let name = names::replica(&self.config.instance, environment, key);
        let containers = self.containers.clone();
        logs::fed_by(|sender| async move { logs::follow(&containers, &name, from, sender).await })
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        self.meters.read(&self.containers).await
    }
}
