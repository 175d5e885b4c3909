//! `naru serve`: opens the data folder, starts or adopts engine and edge, wires the crates together, and runs until it is
//! told to stop. Services and edge go on without it and are adopted by the next.

mod front;
pub(crate) mod wiring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use naru_model::Problem;
use tokio_util::sync::CancellationToken;

use crate::abort::{self, AbortAt};
use crate::data::{DataFolder, write_private};
use crate::log;
use crate::system::SystemClock;

/// How long requests under way may take when Naru stops.
const GRACE: Duration = Duration::from_secs(10);

/// Options of `naru serve`.
#[derive(Args)]
#[command(after_help = "Examples:
  naru serve                                    data in ./naru-data, API on 127.0.0.1:7070, services on :8080
  naru serve --data /var/lib/naru --edge-listen 0.0.0.0:80 \\
      --edge-listen-tls 0.0.0.0:443 --domain apps.example.com

The first start prints a one-time link that makes the first administrator.")]
pub(crate) struct Arguments {
    /// Folder with everything Naru keeps. One serve per folder.
    #[arg(long, env = "NARU_DATA", default_value = "naru-data")]
    pub(crate) data: PathBuf,
    /// Where API, git and registry listen. Keep it on loopback, or put TLS in front: containers reach what is not.
    #[arg(long, env = "NARU_LISTEN", default_value = "127.0.0.1:7070")]
    pub(crate) listen: SocketAddr,
    /// Where services are reached. Can be given more than once.
    #[arg(long, env = "NARU_EDGE_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) edge_listen: Vec<SocketAddr>,
    /// Where services are reached with TLS; nowhere unless this is given. Can be given more than once.
    #[arg(long, env = "NARU_EDGE_LISTEN_TLS")]
    pub(crate) edge_listen_tls: Vec<SocketAddr>,
    /// The port at which visitors reach the edge with TLS, when it is mapped: redirects name it. The first TLS address's
    /// otherwise.
    #[arg(long, env = "NARU_PUBLIC_TLS_PORT", requires = "edge_listen_tls", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) public_tls_port: Option<u16>,
    /// Asks this authority for certificates: the URL of an ACME directory, letsencrypt, or letsencrypt-staging. Whoever sets
    /// it agrees to the authority's terms.
    #[arg(long, env = "NARU_ACME_DIRECTORY", value_parser = wiring::acme_directory)]
    pub(crate) acme_directory: Option<String>,
    /// The mail address that the authority may write to.
    #[arg(long, env = "NARU_ACME_CONTACT", requires = "acme_directory")]
    pub(crate) acme_contact: Option<String>,
    /// The root that the directory's own certificate is checked by, a PEM file; the system's roots otherwise.
    #[arg(long, env = "NARU_ACME_ROOT", requires = "acme_directory")]
    pub(crate) acme_root: Option<PathBuf>,
    /// Hosts, with what lies below them, that get certificates of this instance's own authority, as localhost does. Can be
    /// given more than once.
    #[arg(long, env = "NARU_LOCAL_CERTIFICATES", value_name = "HOST")]
    pub(crate) local_certificates: Vec<String>,
    /// The domain below which services get their hosts.
    #[arg(long, env = "NARU_DOMAIN", default_value = "localhost")]
    pub(crate) domain: String,
    /// The address that people and git use, when it is not the listening one.
    #[arg(long, env = "NARU_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// A proxy in front of this server whose `X-Forwarded-For` says where requests come from; may be given several times.
    #[arg(long = "trusted-proxy", env = "NARU_TRUSTED_PROXIES", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<std::net::IpAddr>,
    /// A file that says where people may log in besides with a password; docs/reference/login.md describes it.
    #[arg(long, env = "NARU_LOGIN_PROVIDERS", value_name = "FILE")]
    pub(crate) login_providers: Option<PathBuf>,
    /// Container engine: auto, podman (one of our own), or unix:///path/to/socket.
    #[arg(long, env = "NARU_ENGINE", default_value = "auto", value_parser = wiring::engine_choice)]
    pub(crate) engine: naru_engine::docker::EngineChoice,
    /// Log lines as JSON.
    #[arg(long, env = "NARU_LOG_JSON")]
    pub(crate) log_json: bool,
    /// Ends the process at an effect, as a power cut would: NAME:before|after:COUNT.
    #[arg(long, hide = true)]
    pub(crate) abort_at: Option<AbortAt>,
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Problem> {
    log::to_stderr(arguments.log_json);
    install_tls();
    let folder = DataFolder::open(&arguments.data)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Problem::new("serve.runtime", "threads cannot be started").cause(error.to_string())
    })?;
    runtime.block_on(serve(arguments, &folder))
}

async fn serve(arguments: &Arguments, folder: &DataFolder) -> Result<(), Problem> {
    let listener = listen(arguments.listen).await?;
    let effects = abort::effects(arguments.abort_at.as_ref());
    let parts = wiring::assemble(arguments, folder, &listener, Arc::new(SystemClock), effects).await?;
    let url = parts.public_url.clone();
    let setup_link = folder.path("setup-link");
    match &parts.setup_token {
        Some(token) => {
            let link = format!("{url}/setup?token={token}");
            write_private(&setup_link, &format!("{link}\n")).map_err(|error| {
                Problem::new("serve.data-folder", "the setup link cannot be kept").cause(error.to_string())
            })?;
            println!("Make the first administrator (the link works once):\n  {link}");
        }
        None => {
            let _ = std::fs::remove_file(&setup_link);
        }
    }
    println!("Naru listens on {url}; services on {}", parts.edge_addresses());

    let stop = CancellationToken::new();
    let mut loops = parts.spawn_loops(&stop).await?;
    let told = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        told.cancel();
    });
    tokio::select! {
        () = front::run(listener, parts.router.clone(), front::Bounds::default(), stop.clone()) => {}
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {}
    }
    stop.cancel();
    let _ = tokio::time::timeout(GRACE, async { while loops.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, Problem> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Problem::new("serve.listen", format!("{address} cannot be listened on"))
            .cause(error.to_string())
            .state("nothing was started")
            .hint("end what uses the port, or choose another with --listen")
    })
}

async fn stop_signal() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be listened to; only Ctrl-C stops this process");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// One TLS provider for every client in this process.
pub(crate) fn install_tls() {
    // Fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
