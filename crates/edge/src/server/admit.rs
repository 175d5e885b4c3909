//! From host and path to a replica: lookup, waiting on held routes, and counting without a gap.
//!
//! The order matters. A request counts itself at the replica first and looks at the version afterwards; whoever
//! publishes stores the index and the version first and reads the counts afterwards. All four are sequentially
//! consistent, so either the count is seen, or the new version is, and then the request chooses again. A replica
//! whose table is gone and whose count is zero has no request that is about to arrive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use naru_model::EnvironmentKey;
use naru_model::route::RouteMode;
use tokio::time::Instant;

use super::Edge;
use super::head::bytes_of;
use super::page::Failure;
use super::record::Record;
use super::routing::{Entry, Ticket, Tried};
use crate::Limits;

enum Found {
    Replica(Ticket),
    Held(Arc<Entry>),
}

impl Edge {
    /// Finds a replica for a request, waiting while its route is held.
    pub(super) async fn admit(
        &self,
        host: &str,
        path: &str,
        headers: &HeaderMap,
        tried: Tried,
        record: &mut Record,
    ) -> Result<Ticket, Failure> {
        let entry = match self.look_up(host, path, headers, tried, record)? {
            Found::Replica(ticket) => return Ok(ticket),
            Found::Held(entry) => entry,
        };
        let _place = self.waiting.enter(&entry.environment, bytes_of(headers)).ok_or(Failure::HoldFull)?;
        let deadline = Instant::now() + self.limits.hold;
        let mut changes = self.changed.subscribe();
        loop {
            // Subscribed before looking: a table that comes in between is seen by one or the other.
            if let Found::Replica(ticket) = self.look_up(host, path, headers, tried, record)? {
                return Ok(ticket);
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Failure::HoldOver),
            }
        }
    }

    fn look_up(
        &self,
        host: &str,
        path: &str,
        headers: &HeaderMap,
        tried: Tried,
        record: &mut Record,
    ) -> Result<Found, Failure> {
        loop {
            let routing = self.routing.load();
            let entry = routing.find(host, path).ok_or(Failure::NoRoute)?;
            if entry.mode == RouteMode::Hold {
                record.on_route(entry);
                return Ok(Found::Held(Arc::clone(entry)));
            }
            let Some(ticket) = entry.take(tried, headers, self.limits.slow_start) else {
                record.on_route(entry);
                return Err(Failure::NoReplica);
            };
            if self.version.load(Ordering::SeqCst) <= routing.version {
                record.on_replica(entry, ticket.choice);
                return Ok(Found::Replica(ticket));
            }
        }
    }
}

/// Bounds what waits on held routes.
pub(super) struct WaitingRoom {
    requests_max: usize,
    bytes_max: usize,
    bytes: AtomicUsize,
    count: AtomicUsize,
    /// Only requests on held routes come here.
    per_environment: Mutex<HashMap<EnvironmentKey, usize>>,
}

impl WaitingRoom {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            requests_max: limits.held_requests,
            bytes_max: limits.held_bytes,
            bytes: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            per_environment: Mutex::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn enter(&self, environment: &EnvironmentKey, bytes: usize) -> Option<Place<'_>> {
        let mut counts = self.per_environment.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(environment.clone()).or_default();
        if *count >= self.requests_max || self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max {
            return None;
        }
        *count += 1;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(Place { room: self, environment: environment.clone(), bytes })
    }
}

/// One request's place; leaving is dropping it.
struct Place<'a> {
    room: &'a WaitingRoom,
    environment: EnvironmentKey,
    bytes: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.count.fetch_sub(1, Ordering::Relaxed);
        let mut counts = self.room.per_environment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.environment) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.environment);
            }
        }
    }
}
