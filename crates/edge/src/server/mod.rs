//! Carries requests to replicas.
//!
//! [`Edge`] is the shared state: the index that requests are looked up in, and what is counted. It is told tables
//! and serves listeners; it knows nothing of sockets files, processes or who publishes.

mod access;
mod admit;
mod backend;
mod body;
mod figures;
mod head;
mod page;
mod proxy;
mod record;
mod routing;
mod sticky;
mod tables;
mod upgrade;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use naru_model::{Clock, EnvironmentKey, RevisionNumber, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::access::AccessLog;
pub use self::figures::{Counts, LATENCY_BOUNDS_MS, Metrics, RouteCounts};
pub use self::tables::PublishError;

use self::access::AccessSink;
use self::admit::WaitingRoom;
use self::figures::Figures;
use self::head::Origin;
use self::routing::Routing;
use self::tables::Tables;
use self::wire::{Signals, Wire};
use crate::Limits;

/// What an edge is made with.
pub struct EdgeConfig {
    /// The bounds.
    pub limits: Limits,
    /// Where access lines go.
    pub access: AccessLog,
    /// The hour, for access lines.
    pub clock: Arc<dyn Clock>,
    /// How many threads will call [`Edge::serve`]; each keeps its own idle connections.
    pub workers: usize,
}

/// The shared state of all workers.
pub struct Edge {
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    /// Since when figures are counted.
    started_at: Timestamp,
    access: AccessSink,
    workers: usize,
    routing: ArcSwap<Routing>,
    /// The version of `routing`; see `admit` for why it is kept apart.
    version: AtomicU64,
    /// Wakes requests that are held.
    changed: watch::Sender<u64>,
    tables: Mutex<Tables>,
    waiting: WaitingRoom,
    unrouted: Figures,
    slots: Arc<Semaphore>,
    connections: AtomicUsize,
    /// No new connections; those that are open end after the request under way.
    draining: CancellationToken,
    /// What is still open ends now.
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Edge {
    /// An edge without routes.
    ///
    /// # Errors
    /// When the access log cannot be opened.
    pub fn new(config: EdgeConfig) -> std::io::Result<Arc<Self>> {
        let EdgeConfig { limits, access, clock, workers } = config;
        Ok(Arc::new(Self {
            slots: Arc::new(Semaphore::new(limits.connections)),
            waiting: WaitingRoom::new(&limits),
            limits: Arc::new(limits),
            started_at: clock.now(),
            clock,
            access: AccessSink::open(access)?,
            workers: workers.max(1),
            routing: ArcSwap::default(),
            version: AtomicU64::new(0),
            changed: watch::channel(0).0,
            tables: Mutex::default(),
            unrouted: Figures::default(),
            connections: AtomicUsize::new(0),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Accepts connections until the edge drains. Call it once per worker and listener; several workers may share
    /// one listening socket. `worker` counts from 0.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, worker: usize) {
        loop {
            let slot = tokio::select! {
                () = self.draining.cancelled() => return,
                slot = Arc::clone(&self.slots).acquire_owned() => slot.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = self.draining.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let edge = Arc::clone(&self);
                    self.tasks.spawn(async move {
                        edge.connection(stream, peer, worker).await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted; trying again in 100 ms");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Closes idle connections to replicas that have been idle for too long, until the edge ends.
    pub async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.limits.replica_idle.max(Duration::from_millis(100)));
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                _ = ticks.tick() => self.tables.lock().await.sweep(&self.limits),
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, worker: usize) {
        let _ = stream.set_nodelay(true);
        self.connections.fetch_add(1, Ordering::Relaxed);
        let _count = CountDown(&self.connections);
        let signals = Arc::new(Signals::default());
        let wire =
            Wire::new(stream, Arc::clone(&signals), self.limits.head_read, self.limits.client_write_idle);
        let client = Arc::new(proxy::Client {
            edge: Arc::clone(&self),
            signals,
            peer: peer.ip(),
            origin: Origin::new(peer),
            worker,
        });
        let service = service_fn(move |request| proxy::answer(Arc::clone(&client), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.client_idle)
            .max_headers(self.limits.header_fields)
            .max_header_size(self.limits.head_bytes)
            .max_buf_size(self.limits.head_bytes.max(64 * 1024))
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        // Clients come and go, and send nonsense; what they were answered is in the access log.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.draining.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Near the bound, connections are given back after each answer.
    fn is_crowded(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > self.limits.connections / 10 * 9
    }

    /// Stops accepting at once, without waiting for anything.
    pub fn stop_accepting(&self) {
        self.draining.cancel();
    }

    /// Stops accepting, lets what is under way end, and ends what is still open after `patience`. True when nothing
    /// had to be broken off.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.draining.cancel();
        self.tasks.close();
        let in_time = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        self.ended.cancel();
        in_time
    }

    /// Waits until nothing is left to do.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The counters of everything.
    pub async fn metrics(&self) -> Metrics {
        Metrics {
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

struct CountDown<'a>(&'a AtomicUsize);

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
