//! Which worker carries a connection. The workers share the listening sockets, and the kernel wakes the one that waited
//! last: left to it, one worker would carry nearly everything. So whoever accepts a connection hands it to the worker
//! that carries the fewest.

use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection::Port;

/// All workers of an edge.
pub(super) struct Workers(Box<[Worker]>);

struct Worker {
    carries: Arc<AtomicUsize>,
    door: mpsc::UnboundedSender<Handed>,
    /// The turn to begin a handshake.
    handshake: Semaphore,
    /// Until the worker has begun.
    handed: Mutex<Option<mpsc::UnboundedReceiver<Handed>>>,
}

/// A connection that another worker accepted.
pub(super) struct Handed {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) port: Port,
    pub(super) load: Load,
}

/// What a connection takes up for as long as it lives: a slot of the edge, a place at its worker, and the edge's patience.
pub(super) struct Load {
    worker: Arc<AtomicUsize>,
    _slot: Option<OwnedSemaphorePermit>,
    _task: TaskTrackerToken,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    pub(super) fn new(count: usize) -> Self {
        let worker = |_| {
            let (door, handed) = mpsc::unbounded_channel();
            Worker {
                carries: Arc::default(),
                door,
                handshake: Semaphore::new(1),
                handed: Mutex::new(Some(handed)),
            }
        };
        Self((0..count.max(1)).map(worker).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The worker that carries the fewest connections, `own` where it is one of them; and the place of one more there.
    pub(super) fn least_busy(
        &self,
        own: usize,
        slot: Option<OwnedSemaphorePermit>,
        task: TaskTrackerToken,
    ) -> (usize, Load) {
        let carried = |worker: usize| self.0[worker].carries.load(Ordering::Relaxed);
        let own = own % self.count();
        let least = (0..self.count()).map(|step| (own + step) % self.count()).min_by_key(|at| carried(*at));
        let worker = least.unwrap_or(own);
        self.0[worker].carries.fetch_add(1, Ordering::Relaxed);
        (worker, Load { worker: Arc::clone(&self.0[worker].carries), _slot: slot, _task: task })
    }

    /// Bounded by the slots, one of which each connection has.
    pub(super) fn hand_over(&self, worker: usize, connection: Handed) {
        // A worker that is gone has left with the edge.
        let _ = self.0[worker].door.send(connection);
    }

    /// Polls a handshake for the first time, which is where it takes its time to compute. One at a time, and each after
    /// everything that is ready: a crowd that comes by TLS at once does not keep those waiting who are there already.
    pub(super) async fn begin<F: Future>(&self, worker: usize, handshake: Pin<&mut F>) -> Poll<F::Output> {
        let _turn = self.0[worker % self.count()].handshake.acquire().await;
        tokio::task::yield_now().await;
        futures::poll!(handshake)
    }

    /// What others hand to a worker; none the second time.
    pub(super) fn door(&self, worker: usize) -> Option<mpsc::UnboundedReceiver<Handed>> {
        let handed = &self.0.get(worker)?.handed;
        handed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn connections_are_spread_and_stay_where_they_came_when_that_is_even() {
        let (workers, tasks) = (Workers::new(3), TaskTracker::new());
        let mut loads: Vec<(usize, Load)> =
            (0..9).map(|_| workers.least_busy(1, None, tasks.token())).collect();
        let went = |loads: &[(usize, Load)], to| loads.iter().filter(|(worker, _)| *worker == to).count();
        assert_eq!(loads[0].0, 1);
        assert_eq!([0, 1, 2].map(|worker| went(&loads, worker)), [3, 3, 3]);
        loads.retain(|(worker, _)| *worker != 2);
        assert_eq!(workers.least_busy(0, None, tasks.token()).0, 2);
        assert_eq!(tasks.len(), 6);
    }
}
