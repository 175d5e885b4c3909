//! One replica as the edge knows it: where it listens, what is under way there, which connections are idle.
//!
//! It outlives the table that named it, so that requests that an earlier table sent there stay counted. Which
//! replica a request goes to is decided in `routing`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use naru_model::rollout::ReplicaKey;
use naru_model::route;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::body::RequestBody;
use super::health::Health;
use super::probe;
use crate::Limits;

/// A connection to a replica on which one request at a time can be sent.
pub(super) type Sender = SendRequest<RequestBody>;

/// A replica.
pub(super) struct Backend {
    pub(super) replica: ReplicaKey,
    pub(super) name: Box<str>,
    pub(super) address: SocketAddr,
    pub(super) health: Health,
    /// Where a probe asks whether it is well.
    health_path: Option<Box<str>>,
    in_flight: AtomicU32,
    /// The last index that named it.
    named_in: AtomicU64,
    /// Since when no index names it.
    left_at: Mutex<Option<Instant>>,
    /// Its WebSockets and streams of events are to go away.
    leaving: watch::Sender<bool>,
    /// Places for connections that are new and have not answered yet: a crowd that comes at once would overflow the
    /// queue in which the kernel keeps what the replica has not accepted, and what falls out of it asks again only after
    /// a second.
    unanswered: Semaphore,
    /// One pool per worker: a connection stays on the thread that drives it, and its lock is never contended.
    pools: Box<[Pool]>,
}

#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Idle>>,
    /// Wakes the one that has waited longest for a connection.
    put_back: Notify,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

/// How many connections a replica may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pools {
    /// One pool for each of them.
    pub(super) workers: usize,
    /// Those that have not been answered yet.
    pub(super) unanswered: usize,
}

/// A connection to send one request on.
pub(super) struct Connected<'a> {
    pub(super) sender: Sender,
    /// It was opened for this request; to be given back when the replica has answered, or has taken its time.
    pub(super) fresh: Option<SemaphorePermit<'a>>,
}

impl Backend {
    pub(super) fn new(named: &route::Backend, pools: Pools) -> Self {
        Self {
            name: named.replica.to_string().into(),
            replica: named.replica.clone(),
            address: named.address,
            health: Health::new(),
            health_path: named.health.as_deref().map(Into::into),
            in_flight: AtomicU32::new(0),
            named_in: AtomicU64::new(0),
            left_at: Mutex::default(),
            leaving: watch::Sender::new(false),
            unanswered: Semaphore::new(pools.unanswered),
            pools: (0..pools.workers.max(1)).map(|_| Pool::default()).collect(),
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The index of this version names it. One that comes back stays from now on, not from the next look.
    pub(super) fn named_in(&self, version: u64) {
        self.named_in.store(version, Ordering::Relaxed);
        *self.left_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.leaving.send_if_modified(|leaving| std::mem::replace(leaving, false));
    }

    /// Looks whether the index in force names it; `farewell` after none did, its WebSockets and streams of
    /// events are to go away.
    pub(super) fn take_leave(&self, version: u64, farewell: Duration) {
        let mut left_at = self.left_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.named_in.load(Ordering::Relaxed) == version {
            *left_at = None;
        } else {
            left_at.get_or_insert_with(Instant::now);
        }
        let leaving = left_at.is_some_and(|at| at.elapsed() >= farewell);
        self.leaving.send_if_modified(|before| std::mem::replace(before, leaving) != leaving);
    }

    /// Waits until its WebSockets and streams of events are to go away.
    pub(super) async fn leaving(&self) {
        // The sender lives as long as this.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// An idle connection of this worker, the warmest first.
    pub(super) fn reuse(&self, worker: usize, limits: &Limits) -> Option<Sender> {
        let mut idle = self.pool(worker).lock();
        while let Some(Idle { sender, since }) = idle.pop() {
            if !sender.is_closed() && since.elapsed() < limits.replica_idle {
                return Some(sender);
            }
        }
        None
    }

    /// An idle connection as soon as one is put back, or a new one as soon as few enough of those are unanswered,
    /// whichever comes first. However long that takes: a replica that is that busy is not helped by more.
    pub(super) async fn next(&self, worker: usize, limits: &Limits) -> std::io::Result<Connected<'_>> {
        loop {
            tokio::select! {
                biased;
                place = self.unanswered.acquire() => {
                    let fresh = Some(place.map_err(std::io::Error::other)?);
                    return Ok(Connected { sender: self.connect(limits).await?, fresh });
                }
                () = self.pool(worker).put_back.notified() => {
                    if let Some(sender) = self.reuse(worker, limits) {
                        return Ok(Connected { sender, fresh: None });
                    }
                }
            }
        }
    }

    /// A new connection as soon as few enough are unanswered.
    pub(super) async fn anew(&self, limits: &Limits) -> std::io::Result<Connected<'_>> {
        let fresh = Some(self.unanswered.acquire().await.map_err(std::io::Error::other)?);
        Ok(Connected { sender: self.connect(limits).await?, fresh })
    }

    /// Gives a connection back after its answer was read to the end.
    pub(super) fn put_back(&self, worker: usize, sender: Sender, limits: &Limits) {
        if sender.is_closed() {
            return;
        }
        let pool = self.pool(worker);
        let mut idle = pool.lock();
        if idle.len() < limits.idle_per_replica {
            idle.push(Idle { sender, since: Instant::now() });
            drop(idle);
            pool.put_back.notify_one();
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn sweep(&self, limits: &Limits) {
        for pool in &self.pools {
            pool.lock().retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < limits.replica_idle);
        }
    }

    fn pool(&self, worker: usize) -> &Pool {
        &self.pools[worker % self.pools.len()]
    }

    /// Opens a connection and starts the task that drives it.
    async fn connect(&self, limits: &Limits) -> std::io::Result<Sender> {
        let stream = self.reach(limits).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(async move {
            // A failure reaches the request that is under way; one of an idle connection concerns nobody.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    async fn reach(&self, limits: &Limits) -> std::io::Result<TcpStream> {
        tokio::time::timeout(limits.connect, reach(self.address))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }

    /// Looks whether a replica that is passed over is well again, as far as it can be asked.
    pub(super) async fn probe(self: Arc<Self>, limits: Arc<Limits>) {
        let is_well = match &self.health_path {
            Some(path) => {
                probe::says_that_it_is_well(self.reach(&limits), self.address, path, limits.probed).await
            }
            None => self.reach(&limits).await.is_ok(),
        };
        if is_well {
            self.health.restore();
        } else {
            self.health.unreachable(&limits);
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to a replica on this machine. Its network goes away with its last container, and then the address would lead
/// through the default gateway to whoever has it there: requests must never leave the machine.
async fn reach(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    setsockopt(&socket, sockopt::DontRoute, &true)?;
    socket.connect(address).await
}

/// Counts one request, upgraded connection included, as under way at a replica for as long as it lives.
pub(super) struct InFlight(Arc<Backend>);

impl InFlight {
    /// Sequentially consistent, so that either the one who publishes a table sees this count, or this request sees
    /// the new table (see `Edge::admit`).
    pub(super) fn enter(backend: &Arc<Backend>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(backend))
    }

    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
