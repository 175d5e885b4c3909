//! Which crate gets what. The only place that knows them all.

mod again;
mod behind;
mod guards;
mod storage;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use naru_certificate::{AcmeSettings, Certificates};
use naru_delivery::inputs::Vault;
use naru_delivery::repository::Repositories;
use naru_delivery::{EdgeTraffic, reconcile::SpecCache};
use naru_edge::process::{ProcessConfig, Supervisor};
use naru_engine::docker::{DockerEngine, DockerEngineConfig, EngineChoice, RegistryAccess, Surroundings};
use naru_engine::observed::{ObservedEngine, ObservedTraffic};
use naru_engine::{Engine, Inputs, StepError};
use naru_identity::Identity;
use naru_identity::external::External;
use naru_image::Registry;
use naru_model::effect::Effects;
use naru_model::{Clock, Problem};
use naru_secret::{ExposeSecret, KeyRing};
use naru_source::deploy::InGit;
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
/// How often is looked which repositories should be packed.
const PACK: Duration = Duration::from_hours(1);
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
    sampler: Arc<naru_observe::Sampler>,
    certificates: Arc<Certificates>,
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

/// The URL of an ACME directory, or the name of a well-known one.
pub(crate) fn acme_directory(text: &str) -> Result<String, String> {
    match text {
        "letsencrypt" => Ok("https://acme-v02.api.letsencrypt.org/directory".to_owned()),
        "letsencrypt-staging" => Ok("https://acme-staging-v02.api.letsencrypt.org/directory".to_owned()),
        _ if text.starts_with("https://") => Ok(text.to_owned()),
        _ => Err("expected letsencrypt, letsencrypt-staging, or a URL that starts with https://".into()),
    }
}

/// What is on disk, opened.
struct Ground {
    keys: Arc<KeyRing>,
    store: Store,
    logs: LogStore,
    sources: SourceRepositories,
    identity: Identity,
    inputs: Arc<dyn Inputs>,
}

async fn open(
    folder: &DataFolder,
    public_url: &str,
    clock: Arc<dyn Clock>,
    effects: &Arc<dyn Effects>,
) -> Result<Ground, Problem> {
    let keys = KeyRing::open(&folder.path("key")).map_err(|error| broken("the key file", &error))?;
    let keys = Arc::new(keys);
    let store = Store::open(&folder.path("naru.db"), clock, effects.clone())
        .await
        .map_err(|error| broken("the database", &error))?;
    // The lock on the data folder says that whoever held a lease has ended.
    store.end_leases().await.map_err(|error| broken("the database", &error))?;
    let logs = LogStore::open(&folder.path("logs"), LogLimits::default())
        .await
        .map_err(|error| broken("the log folder", &error))?
        .observed(effects.clone());
    let sources = SourceRepositories::new(folder.path("git"), effects.clone());
    let host = host_of(public_url).unwrap_or_default();
    let identity = Identity::new(store.clone(), keys.clone()).known_as(&host);
    let inputs = Vault { store: store.clone(), keys: keys.clone(), sources: sources.clone() };
    Ok(Ground { keys, store, logs, sources, identity, inputs: Arc::new(inputs) })
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
    let ground = open(folder, &public_url, clock.clone(), &effects).await?;
    let providers = arguments.login_providers.as_deref();
    let external = External::open(ground.identity.clone(), ground.keys.clone(), &public_url, providers)?;
    let setup_token = ground.identity.offer_setup().await.map_err(|error| broken("the accounts", &error))?;

    let access = registry_access(&ground, listening, clock.clone());
    let inputs = ground.inputs.clone();
    let docker = connect_engine(&arguments.engine, folder, Some(access), inputs, clock.clone()).await?;
    let docker = Arc::new(docker);
    let engine: Arc<dyn Engine> =
        Arc::new(ObservedEngine { inner: docker.clone(), effects: effects.clone() });
    let edge = naru_edge::process::ensure_running(edge_config(arguments, folder)?).await?;
    let certificates = Arc::new(certificates(arguments, &ground, &edge));
    let traffic = EdgeTraffic(edge.client());
    let deploy =
        InGit { data: folder.path(""), instance: folder.instance().clone(), clock, effects: effects.clone() };
    let delivery = naru_delivery::Context {
        store: ground.store.clone(),
        keys: ground.keys.clone(),
        logs: ground.logs.clone(),
        repositories: Repositories::new(folder.instance().clone(), Arc::new(deploy.clone())),
        engine: engine.clone(),
        traffic: Arc::new(ObservedTraffic { inner: Arc::new(traffic), effects }),
        domain: arguments.domain.clone(),
        own_hosts: own_hosts(&public_url),
        specs: SpecCache::default(),
    };
    let pipeline = pipeline(&ground, folder, engine.clone(), listening.to_string());
    let (registry, hosting) = routers(&ground, folder, &delivery).await?;
    let behind = behind::Answers {
        delivery: delivery.clone(),
        deploy,
        sources: ground.sources.clone(),
        docker,
        edge: edge.client(),
        edge_addresses: edge.addresses(),
        certificates: certificates.clone(),
        external: external.clone(),
        data: folder.path(""),
        seen: behind::Seen::default(),
    };
    let address = Address {
        base_url: public_url.clone(),
        hosts: host_of(&public_url).into_iter().collect(),
        proxies: arguments.trusted_proxies.clone(),
    };
    let web = naru_web::router(WebContext {
        store: ground.store.clone(),
        identity: ground.identity,
        external,
        keys: ground.keys,
        logs: ground.logs.clone(),
        behind: Arc::new(behind),
        address: address.clone(),
    });
    let sampler = naru_observe::Sampler::new(ground.store.clone(), engine.clone(), Arc::new(edge.client()));
    Ok(Parts {
        router: naru_web::guarded(web.merge(hosting.router()).merge(registry.router()), &address),
        public_url,
        setup_token: setup_token.map(|token| token.expose_secret().to_owned()),
        edge,
        delivery,
        pipeline,
        registry,
        hosting,
        collector: Arc::new(naru_observe::Collector::new(ground.store, engine, ground.inputs, ground.logs)),
        sampler: Arc::new(sampler),
        certificates,
    })
}

/// How the engine gets at the images of this instance's registry.
fn registry_access(ground: &Ground, listening: SocketAddr, clock: Arc<dyn Clock>) -> RegistryAccess {
    let (identity, current) = (ground.identity.clone(), tokio::sync::Mutex::new(None));
    let login = guards::EngineLogin { identity, clock, current };
    RegistryAccess { host: listening.to_string(), login: Arc::new(login) }
}

fn certificates(arguments: &Arguments, ground: &Ground, edge: &Supervisor) -> Certificates {
    let acme = arguments.acme_directory.clone().map(|directory| AcmeSettings {
        directory,
        contact: arguments.acme_contact.clone(),
        root: arguments.acme_root.clone(),
    });
    let local = arguments.local_certificates.iter().map(|host| host.to_ascii_lowercase()).collect();
    Certificates {
        store: ground.store.clone(),
        keys: ground.keys.clone(),
        edge: edge.client(),
        settings: naru_certificate::Settings { acme, local },
        port: edge.tls_addresses().first().map(|tls| arguments.public_tls_port.unwrap_or(tls.port())),
        turns: naru_certificate::Turns::default(),
    }
}

fn pipeline(
    ground: &Ground,
    folder: &DataFolder,
    engine: Arc<dyn Engine>,
    registry_host: String,
) -> Arc<naru_pipeline::Context> {
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Arc::new(naru_pipeline::Context {
        store: ground.store.clone(),
        logs: ground.logs.clone(),
        engine,
        inputs: ground.inputs.clone(),
        admission: Arc::new(guards::Machine { folder: folder.path("engine") }),
        sources: Arc::new(ground.sources.clone()),
        settings: naru_pipeline::Settings::for_cpus(cpus, registry_host),
        collectors: naru_pipeline::Collectors::default(),
    })
}

/// Registry and hosted git, which ask the same authorisation as the API.
async fn routers(
    ground: &Ground,
    folder: &DataFolder,
    delivery: &naru_delivery::Context,
) -> Result<(Arc<Registry>, Arc<Hosting>), Problem> {
    let authorise = Arc::new(ground.identity.clone());
    let registry = Registry::open(
        &folder.path("blobs"),
        ground.store.clone(),
        authorise.clone(),
        Arc::new(guards::Needed(delivery.clone())),
        naru_image::Limits::default(),
    )
    .map_err(|error| broken("the registry's folder", &error))?;
    let deploy_hook = own_command(&["hook", "deploy-pre-receive"])?;
    let settings = HostingSettings { deploy_hook, ..HostingSettings::default() };
    let hosting = Hosting::open(ground.store.clone(), ground.sources.clone(), authorise, settings)
        .await
        .map_err(|error| broken("the hooks' folder", &error))?;
    Ok((registry, hosting))
}

impl Parts {
    /// Where services are reached, for people.
    pub(super) fn edge_addresses(&self) -> String {
        let plain = self.edge.addresses().into_iter().map(|address| address.to_string());
        let tls = self.edge.tls_addresses().into_iter().map(|address| format!("{address} (TLS)"));
        plain.chain(tls).collect::<Vec<_>>().join(", ")
    }

    /// Starts every loop. They end when `stop` is cancelled.
    pub(super) async fn spawn_loops(&self, stop: &CancellationToken) -> Result<JoinSet<()>, Problem> {
        self.hosting.recover().await.map_err(|error| broken("the hosted repositories", &error))?;
        let mut loops = JoinSet::new();
        loops.spawn(naru_delivery::run_forever(self.delivery.clone(), stop.clone()));
        loops.spawn(naru_pipeline::run_forever(self.pipeline.clone(), stop.clone()));
        let policy = naru_image::collect::Policy::default();
        loops.spawn(naru_image::collect::run_forever(self.registry.clone(), policy, stop.clone()));
        loops.spawn(naru_certificate::run_forever(self.certificates.clone(), stop.clone()));
        loops.spawn(collect_logs(self.collector.clone(), stop.clone()));
        loops.spawn(take_samples(self.sampler.clone(), stop.clone()));
        loops.spawn(pack_repositories(self.hosting.clone(), stop.clone()));
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

async fn take_samples(sampler: Arc<naru_observe::Sampler>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = sampler.run() => {}
    }
}

/// Looks every hour, and after many pushes, which repositories have become loose. The first hour after a start is
/// left to what is more urgent.
async fn pack_repositories(hosting: Arc<Hosting>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PACK) => {}
            () = hosting.many_pushes() => {}
        }
        let maintained = tokio::select! {
            () = stop.cancelled() => return,
            maintained = hosting.maintain() => maintained,
        };
        if let Err(error) = maintained {
            tracing::warn!(%error, "repositories could not be looked at for packing");
        }
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

#[expect(clippy::disallowed_methods, reason = "the edge is handed two of this process's variables, by name")]
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
        listen_tls: arguments.edge_listen_tls.clone(),
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

/// Where browsers keep sessions of the control plane.
fn own_hosts(public_url: &str) -> Vec<String> {
    let public = host_of(public_url).map(|host| host.to_ascii_lowercase());
    std::iter::once("localhost".to_owned()).chain(public).collect()
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
