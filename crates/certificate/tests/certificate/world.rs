//! A store, an edge with a replica behind it, and visitors who check certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use naru_certificate::{Certificates, Settings};
use naru_edge::Limits;
use naru_edge::process::{InProcess, in_process};
use naru_edge::server::AccessLog;
use naru_model::definition::RequestLimits;
use naru_model::effect::Unobserved;
use naru_model::rollout::ReplicaKey;
use naru_model::route::{Backend, Route, RouteLimits, RouteMode, RouteTable};
use naru_model::workload::RouteSpec;
use naru_model::{Clock, EnvironmentKey, Generation, RevisionNumber, Timestamp};
use naru_secret::KeyRing;
use naru_store::Store;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Long enough for anything here.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// The real hour, and so many seconds.
#[derive(Default)]
pub(crate) struct Ahead(AtomicI64);

impl Ahead {
    /// Moves to this long after the real hour.
    pub(crate) fn by(&self, time: Duration) {
        self.0.store(i64::try_from(time.as_secs()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_secs(self.0.load(Ordering::SeqCst).try_into().unwrap());
        Timestamp::now().checked_add(ahead).unwrap()
    }
}

pub(crate) fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Ahead>,
    pub(crate) edge: InProcess,
    pub(crate) environment: EnvironmentKey,
    pub(crate) folder: tempfile::TempDir,
    keys: Arc<KeyRing>,
}

impl World {
    /// With one replica that is reached by these hosts.
    pub(crate) async fn new(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Ahead::default());
        let file = folder.path().join("naru.db");
        let store = Store::open(&file, clock.clone(), Arc::new(Unobserved)).await.unwrap();
        let keys = Arc::new(KeyRing::open(&folder.path().join("key")).unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        let edge = in_process(folder.path(), listen, Limits::default(), AccessLog::Off, clock.clone())
            .await
            .unwrap();
        let environment =
            EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
        store.create_project(&environment.project, &"main".parse().unwrap()).await.unwrap();
        store.ensure_environment(&environment, None).await.unwrap();
        let world = Self { store, clock, edge, environment, folder, keys };
        world.lead(1, hosts).await;
        world
    }

    /// Wants a revision with these hosts, and routes them to a replica.
    pub(crate) async fn lead(&self, revision: u32, hosts: &[&str]) {
        let revision = RevisionNumber(revision);
        let service: naru_model::ServiceName = "web".parse().unwrap();
        let spec = |host: &&str| RouteSpec {
            host: (*host).to_owned(),
            path: "/".into(),
            service: service.clone(),
            limits: RequestLimits::default(),
        };
        let specs: Vec<RouteSpec> = hosts.iter().map(spec).collect();
        assert_eq!(self.store.aim(&self.environment, revision, &specs, false).await.unwrap(), None);
        let replica = ReplicaKey { service: service.clone(), revision, index: 0, attempt: 0 };
        let backend =
            Backend { revision, replica, address: replica_address().await, weight: 1, health: None };
        let route = |host: &&str| Route {
            host: (*host).to_owned(),
            path: "/".into(),
            service: service.clone(),
            mode: RouteMode::Serve,
            backends: vec![backend.clone()],
            sticky: None,
            limits: RouteLimits::default(),
        };
        let table = RouteTable {
            environment: self.environment.clone(),
            routes: hosts.iter().map(route).collect(),
            maintenance: None,
        };
        let generation = Generation(u64::from(revision.0));
        self.edge.client().publish(&table, generation).await.unwrap();
    }

    pub(crate) fn certificates(&self, settings: Settings) -> Certificates {
        Certificates {
            store: self.store.clone(),
            keys: self.keys.clone(),
            edge: self.edge.client(),
            settings,
            port: Some(self.edge.tls_address().port()),
            turns: naru_certificate::Turns::default(),
        }
    }

    /// What a visitor who trusts `roots` is answered, on a connection of its own.
    pub(crate) async fn visit(&self, host: &str, roots: &Roots) -> std::io::Result<Visit> {
        visit(self.edge.tls_address(), host, "/", roots).await
    }

    /// What a visitor of the plain port is answered.
    pub(crate) async fn plain(&self, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.edge.address()).await.unwrap();
        ask(&mut stream, host, path).await.unwrap()
    }
}

async fn replica_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(async || "served");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Whom a visitor trusts.
#[derive(Clone)]
pub(crate) struct Roots(Arc<ClientConfig>);

impl Roots {
    pub(crate) fn of(pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every visit is a handshake that sees the certificate.
        config.resumption = rustls::client::Resumption::disabled();
        Self(Arc::new(config))
    }
}

/// What a visitor saw.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) answer: String,
    /// The host's own certificate.
    pub(crate) shown: Vec<u8>,
}

pub(crate) async fn visit(
    address: SocketAddr,
    host: &str,
    path: &str,
    roots: &Roots,
) -> std::io::Result<Visit> {
    let visit = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&roots.0)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        Ok(Visit { answer: ask(&mut stream, host, path).await?, shown })
    };
    tokio::time::timeout(SOON, visit).await.expect("the visit ends")
}

async fn ask<S>(stream: &mut S, host: &str, path: &str) -> std::io::Result<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Visitors who come one after the other, each with a handshake, until told to stop.
pub(crate) struct Visitors {
    over: Arc<AtomicBool>,
    pub(crate) served: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

impl Visitors {
    pub(crate) fn send(address: SocketAddr, host: &'static str, roots: &Roots) -> Self {
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (end, count, roots) = (Arc::clone(&over), Arc::clone(&served), roots.clone());
        let task = tokio::spawn(async move {
            let mut refused = Vec::new();
            while !end.load(Ordering::SeqCst) {
                match visit(address, host, "/", &roots).await {
                    Ok(visit) if visit.answer.starts_with("HTTP/1.1 200") => {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(visit) => refused.push(visit.answer),
                    Err(error) => refused.push(error.to_string()),
                }
            }
            refused
        });
        Self { over, served, task }
    }

    /// Waits until some more came.
    pub(crate) async fn some_more(&self) {
        let before = self.served.load(Ordering::SeqCst);
        let more = async {
            while self.served.load(Ordering::SeqCst) < before + 20 && !self.task.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, more).await.expect("visitors are served");
    }

    /// What those who were not served saw.
    pub(crate) async fn refused(self) -> Vec<String> {
        self.over.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}
