//! Carries requests to replicas.
//!
//! [`Edge`] is the shared state: the index that requests are looked up in, and what is counted. It is told tables
//! and serves listeners; it knows nothing of sockets files, processes or who publishes.

mod access;
mod admit;
mod backend;
mod body;
mod connection;
mod events;
mod figures;
mod frames;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod guests;
mod head;
mod health;
mod http2;
mod notice;
mod page;
mod probe;
mod proxy;
mod rates;
mod record;
mod routing;
mod shelf;
mod sticky;
mod tables;
mod threshold;
mod upgrade;
mod websocket;
mod wire;
mod words;
mod workers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use naru_model::{Clock, EnvironmentKey, RevisionNumber, Timestamp};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::access::AccessLog;
pub use self::connection::Port;
pub use self::figures::{Counts, LATENCY_BOUNDS_MS, Metrics, RouteCounts};
pub use self::tables::PublishError;

use self::access::AccessSink;
use self::admit::WaitingRoom;
use self::connection::Arrival;
use self::figures::Figures;
use self::guests::Guests;
use self::rates::Rates;
use self::routing::Routing;
use self::shelf::Shelf;
use self::tables::Tables;
use self::workers::{Handed, Load, Workers};
use crate::{Limits, TlsTable, TlsTableError};

/// Replicas that are probed at the same time.
const PROBES_AT_ONCE: usize = 32;

/// What an edge is made with.
pub struct EdgeConfig {
    /// The bounds.
    pub limits: Limits,
    /// Where access lines go.
    pub access: AccessLog,
    /// The hour, for access lines.
    pub clock: Arc<dyn Clock>,
    /// How many threads will call [`Edge::work`] and [`Edge::serve`]; each keeps its own idle connections.
    pub workers: usize,
}

/// The shared state of all workers.
pub struct Edge {
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    /// Since when figures are counted.
    started_at: Timestamp,
    access: AccessSink,
    workers: Workers,
    routing: ArcSwap<Routing>,
    /// The version of `routing`; see `admit` for why it is kept apart.
    version: AtomicU64,
    /// Wakes requests that are held.
    changed: watch::Sender<u64>,
    tables: Mutex<Tables>,
    shelf: Arc<Shelf>,
    tls: Arc<ServerConfig>,
    waiting: WaitingRoom,
    unrouted: Figures,
    /// Requests that are being sent again.
    retrying: AtomicUsize,
    rates: Rates,
    guests: Arc<Guests>,
    /// WebSockets that were told to go away.
    farewells: AtomicU32,
    slots: Arc<Semaphore>,
    connections: AtomicUsize,
    /// No new connections; those that are open end after the request under way.
    draining: CancellationToken,
    /// The same, for every request to look at: the token takes a lock.
    is_draining: AtomicBool,
    /// What is still open ends now.
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Edge {
    /// An edge without routes.
    ///
    /// # Errors
    /// When the access log cannot be opened, or there is no randomness for TLS.
    pub fn new(config: EdgeConfig) -> std::io::Result<Arc<Self>> {
        let EdgeConfig { limits, access, clock, workers } = config;
        let shelf = Arc::new(Shelf::default());
        let tls = shelf::server_config(Arc::clone(&shelf)).map_err(std::io::Error::other)?;
        Ok(Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.connections)),
            waiting: WaitingRoom::new(&limits),
            limits: Arc::new(limits),
            started_at: clock.now(),
            shelf,
            tls,
            clock,
            access: AccessSink::open(access, workers)?,
            workers: Workers::new(workers),
            routing: ArcSwap::default(),
            version: AtomicU64::new(0),
            changed: watch::channel(0).0,
            tables: Mutex::default(),
            unrouted: Figures::default(),
            retrying: AtomicUsize::new(0),
            rates: Rates::default(),
            guests: Arc::default(),
            farewells: AtomicU32::new(0),
            connections: AtomicUsize::new(0),
            draining: CancellationToken::new(),
            is_draining: AtomicBool::new(false),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Carries the connections that other workers accepted, until the edge ends. Call it once per worker; `worker` counts
    /// from 0.
    pub async fn work(self: Arc<Self>, worker: usize) {
        let Some(mut door) = self.workers.door(worker) else { return };
        while let Some(Some(handed)) = self.ended.run_until_cancelled(door.recv()).await {
            let Handed { stream, peer, port, load } = handed;
            if let Ok(stream) = TcpStream::from_std(stream) {
                self.carry(stream, peer, port, worker, load);
            }
        }
    }

    /// Accepts connections until the edge drains. Call it once per worker and listener, beside [`Edge::work`]; several
    /// workers may share one listening socket.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, worker: usize, port: Port) {
        loop {
            let accepted = tokio::select! {
                () = self.draining.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Taken after accepting: several listeners that wait would otherwise hold a slot each. One that was
                    // accepted is served, also when the edge drains meanwhile.
                    let slot = tokio::select! {
                        slot = Arc::clone(&self.slots).acquire_owned() => slot.ok(),
                        () = self.draining.cancelled() => None,
                    };
                    let (by, load) = self.workers.least_busy(worker, slot, self.tasks.token());
                    if by == worker {
                        self.carry(stream, peer, port, worker, load);
                    } else if let Ok(stream) = stream.into_std() {
                        self.workers.hand_over(by, Handed { stream, peer, port, load });
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted; trying again in 100 ms");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn carry(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, port: Port, worker: usize, load: Load) {
        let arrival = Arrival { edge: Arc::clone(self), peer, worker, port };
        tokio::spawn(async move {
            arrival.carry(stream).await;
            drop(load);
        });
    }

    /// Keeps house until the edge ends: closes connections to replicas that have been idle for too long, and probes
    /// replicas that are passed over, and tells WebSockets to leave replicas that left the table.
    pub async fn sweep(self: Arc<Self>) {
        let mut sweeps = tokio::time::interval(self.limits.replica_idle.max(Duration::from_millis(100)));
        let mut probes = tokio::time::interval(self.limits.probe.max(Duration::from_millis(10)));
        probes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                _ = sweeps.tick() => self.tables.lock().await.sweep(&self.limits),
                _ = probes.tick() => {
                    self.tables.lock().await.take_leave(&self.limits);
                    self.probe().await;
                }
            }
        }
    }

    /// Puts certificates, challenges and what hosts ask of visitors in force, in the place of all before; handshakes and
    /// requests under way are not disturbed.
    ///
    /// # Errors
    /// When the table cannot be used; the one before stays.
    pub fn secure(&self, table: TlsTable) -> Result<(), TlsTableError> {
        self.shelf.lay(table)
    }

    /// What [`Edge::secure`] put in force.
    pub fn tls_table(&self) -> TlsTable {
        self.shelf.table()
    }

    /// Hosts with a certificate, and whether their plain requests are sent on to TLS.
    pub fn tls_hosts(&self) -> BTreeMap<String, bool> {
        self.shelf.hosts()
    }

    async fn probe(&self) {
        let due = self.tables.lock().await.due();
        let probes = due.into_iter().map(|backend| backend.probe(Arc::clone(&self.limits)));
        futures::stream::iter(probes).buffer_unordered(PROBES_AT_ONCE).collect::<()>().await;
    }

    /// Near the bound, connections are given back after each answer.
    fn is_crowded(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > self.limits.connections / 10 * 9
    }

    /// Stops accepting at once, without waiting for anything.
    pub fn stop_accepting(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.draining.cancel();
    }

    /// Stops accepting, lets what is under way end, and ends what is still open after `patience`. True when nothing
    /// had to be broken off.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop_accepting();
        self.tasks.close();
        let in_time = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        self.ended.cancel();
        in_time
    }

    /// Writes down the access lines that wait to be.
    pub fn flush(&self) {
        self.access.flush();
    }

    /// Waits until nothing is left to do.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The counters of everything.
    pub async fn metrics(&self) -> Metrics {
        Metrics {
            counting_since: Some(self.started_at),
            latency_bounds_ms: LATENCY_BOUNDS_MS.to_vec(),
            connections: self.connections.load(Ordering::Relaxed) as u64,
            held: self.waiting.count() as u64,
            unrouted: self.unrouted.read(),
            routes: self.tables.lock().await.counts(),
            access_lines_dropped: self.access.dropped(),
        }
    }
}

/// Errors of accept(2) that say something about one connection, not about the listener.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Names a set of counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct FiguresKey {
    environment: EnvironmentKey,
    host: String,
    path: String,
    service: String,
    revision: Option<RevisionNumber>,
}
