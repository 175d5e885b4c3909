//! From host and path to a replica: lookup, waiting on held routes, and counting without a gap.
//!
//! The order matters. A request counts itself at the replica first and looks at the version afterwards; whoever
//! publishes stores the index and the version first and reads the counts afterwards. All four are sequentially
//! consistent, so either the count is seen, or the new version is, and then the request chooses again. A replica
//! whose table is gone and whose count is zero has no request that is about to arrive.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use naru_model::EnvironmentKey;
use naru_model::route::{RouteLimits, RouteMode};
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
        asked: &Asked<'_>,
        tried: Tried,
        record: &mut Record,
    ) -> Result<Ticket, Failure> {
        let entry = match self.look_up(asked, tried, tried.is_none(), record)? {
            Found::Replica(ticket) => return Ok(ticket),
            Found::Held(entry) => entry,
        };
        let _place =
            self.waiting.enter(&entry.environment, bytes_of(asked.headers)).ok_or(Failure::HoldFull)?;
        let deadline = Instant::now() + self.limits.hold;
        let mut changes = self.changed.subscribe();
        loop {
            // Subscribed before looking: a table that comes in between is seen by one or the other.
            if let Found::Replica(ticket) = self.look_up(asked, tried, false, record)? {
                return Ok(ticket);
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Failure::HoldOver),
            }
        }
    }

    /// `new` says that the request was not counted against the route's bounds yet.
    fn look_up(
        &self,
        asked: &Asked<'_>,
        tried: Tried,
        mut new: bool,
        record: &mut Record,
    ) -> Result<Found, Failure> {
        loop {
            let routing = self.routing.load();
            let entry = routing.find(asked.host, asked.path).ok_or(Failure::NoRoute)?;
            if entry.maintenance.is_some() {
                record.on_route(entry);
                return Err(Failure::Maintenance);
            }
            if std::mem::take(&mut new)
                && let Err(failure) = self.keep_within(entry, asked)
            {
                record.on_route(entry);
                return Err(failure);
            }
            if entry.mode == RouteMode::Hold {
                record.on_route(entry);
                return Ok(Found::Held(Arc::clone(entry)));
            }
            let Some(ticket) = entry.take(tried, asked.headers, self.limits.slow_start) else {
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

/// What a request asks for.
pub(super) struct Asked<'a> {
    /// Lower case, without port.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: IpAddr,
    /// The length of its body, when it says so.
    pub(super) body_bytes: Option<u64>,
}

impl Edge {
    /// Refuses what goes past the bounds of a route. A body of unknown length is bounded on its way.
    fn keep_within(&self, entry: &Entry, asked: &Asked<'_>) -> Result<(), Failure> {
        let RouteLimits { body_bytes, header_bytes, rate, .. } = entry.bounds;
        if header_bytes.is_some_and(|most| bytes_of(asked.headers) as u64 > most) {
            return Err(Failure::HeadTooLarge);
        }
        if body_bytes.is_some_and(|most| asked.body_bytes.is_some_and(|bytes| bytes > most)) {
            return Err(Failure::BodyTooLarge);
        }
        let Some(rate) = rate else { return Ok(()) };
        self.rates.take(entry.id, asked.peer, rate).map_err(|wait| {
            Failure::TooOften(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
        })
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
