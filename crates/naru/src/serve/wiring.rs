//! Which crate gets what. The only place that knows them all.

mod behind;
mod guards;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use naru_delivery::inputs::Vault;
use naru_delivery::repository::Repositories;
use naru_delivery::{EdgeTraffic, reconcile::SpecCache};
use naru_edge::process::{ProcessConfig, Supervisor};
use naru_engine::docker::{DockerEngine, DockerEngineConfig, EngineChoice, RegistryAccess, Surroundings};
use naru_engine::observed::{ObservedEngine, ObservedTraffic};
use naru_engine::{Engine, Inputs, StepError};
use naru_identity::Identity;
use naru_image::Registry;
use naru_model::effect::Effects;
use naru_model::{Clock, Problem};
use naru_secret::{ExposeSecret, KeyRing};
use naru_source::{Hosting, HostingSettings, SourceRepositories};
use naru_store::log::{LogLimits, LogStore};
use naru_store::{Store, Topic};
use naru_web::{Address, WebContext};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Arguments;
use crate::data::DataFolder;

/// How often branches that moved without a push are looked for.
const LOOK: Duration = Duration::from_mins(1);
/// How long requests under way may take when one edge gives way to another.
const EDGE_DRAIN: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Parts {
    pub(super) router: Router,
    pub(super) public_url: String,
    pub(super) setup_token: Option<String>,
    edge: Supervisor,
    delivery: naru_delivery::Context,
    pipeline: Arc<naru_pipeline::Context>,
    registry: Arc<Registry>,
    hosting: Arc<Hosting>,
    collector: Arc<naru_observe::Collector>,
}

/// `auto`, `podman`, or `unix:///path/to/socket`.
pub(crate) fn engine_choice(text: &str) -> Result<EngineChoice, String> {
    match text {
        "auto" => Ok(EngineChoice::Auto),
        "podman" => Ok(EngineChoice::OwnPodman),
        _ => match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(EngineChoice::Socket(path.into())),
            _ => Err("expected auto, podman, or unix:///path/to/socket".into()),
        },
    }
}

/// Opens and connects everything; nothing runs by itself yet.
pub(super) async fn assemble(
    arguments: &Arguments,
    folder: &DataFolder,
    listener: &TcpListener,
    clock: Arc<dyn Clock>,
    effects: Arc<dyn Effects>,
) -> Result<Parts, Problem> {
    let listening = listener.local_addr().map_err(|error| broken("the listening address", &error))?;
    let public_url = arguments.public_url.clone().unwrap_or_else(|| format!("http://{listening}"));
    let keys = KeyRing::open(&folder.path("key")).map_err(|error| broken("the key file", &error))?;
    let keys = Arc::new(keys);
    let database = folder.path("naru.db");
    let store = Store::open(&database, clock.clone(), effects.clone())
        .await
        .map_err(|error| broken("the database", &error))?;
    let logs = LogStore::open(&folder.path("logs"), LogLimits::default())
        .await
        .map_err(|error| broken("the log folder", &error))?;
    let sources = SourceRepositories::new(folder.path("git"), effects.clone());
    let identity = Identity::new(store.clone());
    let authorise = Arc::new(identity.clone());
    let setup_token = identity.offer_setup().await.map_err(|error| broken("the accounts", &error))?;

    let inputs: Arc<dyn Inputs> =
        Arc::new(Vault { store: store.clone(), keys: keys.clone(), sources: sources.clone() });
    let login = guards::EngineLogin {
        identity: identity.clone(),
        clock: clock.clone(),
        current: tokio::sync::Mutex::new(None),
    };
    let registry_host = listening.to_string();
    let access = RegistryAccess { host: registry_host.clone(), login: Arc::new(login) };
    let docker =
        connect_engine(&arguments.engine, folder, Some(access), inputs.clone(), clock.clone()).await?;
    let docker = Arc::new(docker);
    let engine: Arc<dyn Engine> =
        Arc::new(ObservedEngine { inner: docker.clone(), effects: effects.clone() });
    let edge = naru_edge::process::ensure_running(edge_config(arguments, folder)?).await?;
    let traffic =
        Arc::new(ObservedTraffic { inner: Arc::new(EdgeTraffic(edge.client())), effects: effects.clone() });

    let delivery = naru_delivery::Context {
        store: store.clone(),
        logs: logs.clone(),
        repositories: Repositories {
            data: folder.path(""),
            instance: folder.instance().clone(),
            clock,
            effects: effects.clone(),
        },
        engine: engine.clone(),
        traffic,
        domain: arguments.domain.clone(),
        specs: SpecCache::default(),
    };
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let pipeline = Arc::new(naru_pipeline::Context {
        store: store.clone(),
        logs: logs.clone(),
        engine: engine.clone(),
        inputs: inputs.clone(),
        admission: Arc::new(guards::Machine { folder: folder.path("engine") }),
        repositories: folder.path("git/source"),
        effects,
        settings: naru_pipeline::Settings::for_cpus(cpus, registry_host),
        collectors: naru_pipeline::Collectors::default(),
    });
    let registry = Registry::open(
        &folder.path("blobs"),
        store.clone(),
        authorise.clone(),
        Arc::new(guards::Needed(delivery.clone())),
        naru_image::Limits::default(),
    )
    .map_err(|error| broken("the registry's folder", &error))?;
    let hosting = Hosting::open(
        store.clone(),
        sources.clone(),
        authorise,
        HostingSettings {
            deploy_hook: own_command(&["hook", "deploy-pre-receive"])?,
            ..HostingSettings::default()
        },
    )
    .await
    .map_err(|error| broken("the hooks' folder", &error))?;
    let behind = behind::Answers {
        delivery: delivery.clone(),
        sources,
        docker,
        edge_addresses: edge.addresses(),
        data: folder.path(""),
    };
    let web = naru_web::router(WebContext {
        store: store.clone(),
        identity,
        keys,
        logs: logs.clone(),
        behind: Arc::new(behind),
        address: Address { base_url: public_url.clone(), hosts: host_of(&public_url).into_iter().collect() },
    });
    let router = web.merge(hosting.router()).merge(registry.router());
    let collector = Arc::new(naru_observe::Collector::new(store, engine, inputs, logs));
    Ok(Parts {
        router,
        public_url,
        setup_token: setup_token.map(|token| token.expose_secret().to_owned()),
        edge,
        delivery,
        pipeline,
        registry,
        hosting,
        collector,
    })
}

impl Parts {
    /// Where services are reached, for people.
    pub(super) fn edge_addresses(&self) -> String {
        self.edge.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Starts every loop. They end when `stop` is cancelled.
    pub(super) async fn spawn_loops(&self, stop: &CancellationToken) -> Result<JoinSet<()>, Problem> {
        self.hosting.recover().await.map_err(|error| broken("the hosted repositories", &error))?;
        let mut loops = JoinSet::new();
        loops.spawn(naru_delivery::run_forever(self.delivery.clone(), stop.clone()));
        loops.spawn(naru_pipeline::run_forever(self.pipeline.clone(), stop.clone()));
        let policy = naru_image::collect::Policy::default();
        loops.spawn(naru_image::collect::run_forever(self.registry.clone(), policy, stop.clone()));
        loops.spawn(collect_logs(self.collector.clone(), stop.clone()));
        loops.spawn(look_for_moved_branches(self.hosting.clone(), self.delivery.store.clone(), stop.clone()));
        Ok(loops)
    }
}

async fn collect_logs(collector: Arc<naru_observe::Collector>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = collector.run() => {}
    }
}

/// Branches can also be moved by hand on the server.
async fn look_for_moved_branches(hosting: Arc<Hosting>, store: Store, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.wait(&[Topic::Projects], LOOK) => {}
        }
        if let Err(error) = hosting.look().await {
            tracing::warn!(%error, "moved branches could not be looked for");
        }
    }
}

/// The engine of this machine, for this instance.
pub(crate) async fn connect_engine(
    choice: &EngineChoice,
    folder: &DataFolder,
    registry: Option<RegistryAccess>,
    inputs: Arc<dyn Inputs>,
    clock: Arc<dyn Clock>,
) -> Result<DockerEngine, Problem> {
    let config = DockerEngineConfig {
        instance: folder.instance().clone(),
        folder: folder.path("engine"),
        choice: choice.clone(),
        registry,
        supervisor: own_command(&["supervise"])?,
        surroundings: Surroundings::of_this_machine(),
        clock,
    };
    DockerEngine::connect(config, inputs).await.map_err(|error| match error {
        StepError::Blocked(problem) => *problem,
        StepError::Transient(reason) => Problem::new("engine.unreachable", "no container engine answers")
            .cause(reason)
            .state("what runs already goes on")
            .hint("see what is missing:")
            .command("naru doctor"),
    })
}

fn edge_config(arguments: &Arguments, folder: &DataFolder) -> Result<ProcessConfig, Problem> {
    let program = own_program()?;
    // The edge needs nothing of this process's environment but how to log.
    let environment = ["NARU_LOG", "RUST_BACKTRACE"]
        .into_iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
        .collect();
    Ok(ProcessConfig {
        data: folder.path(""),
        listen: arguments.edge_listen.clone(),
        program,
        arguments: vec!["edge".into()],
        environment,
        drain: EDGE_DRAIN,
    })
}

fn own_program() -> Result<std::path::PathBuf, Problem> {
    std::env::current_exe().map_err(|error| broken("this program's own file", &error))
}

fn own_command(words: &[&str]) -> Result<Vec<OsString>, Problem> {
    let program = own_program()?.into_os_string();
    Ok(std::iter::once(program).chain(words.iter().map(Into::into)).collect())
}

/// The host of a URL, without port.
fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Some(host.to_owned())
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("serve.data-folder", format!("{what} cannot be used"))
        .cause(error.to_string())
        .state("nothing was started")
        .hint("see what is missing:")
        .command("naru doctor")
}
