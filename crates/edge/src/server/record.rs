//! What is remembered of one request, and written down when it is over, however it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method, Uri};
use naru_model::Timestamp;
use naru_model::maintenance::Maintenance;
use naru_model::route::RouteLimits;

use super::Edge;
use super::access::Line;
use super::figures::Outcome;
use super::proxy::Client;
use super::routing::Entry;

/// One request, from its head to the last byte of its answer. Dropping it counts and logs it.
pub(super) struct Record {
    edge: Arc<Edge>,
    started: Instant,
    pub(super) request_id: HeaderValue,
    peer: IpAddr,
    worker: usize,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    status: Option<u16>,
    route: Option<(Arc<Entry>, Option<usize>)>,
    bytes_in: u64,
    bytes_out: u64,
    broken: bool,
    lost: bool,
}

impl Record {
    pub(super) fn open(client: &Client, method: &Method, uri: &Uri, host: Option<&HeaderValue>) -> Self {
        let now = client.edge.clock.now();
        Self {
            edge: Arc::clone(&client.edge),
            started: Instant::now(),
            request_id: new_id(now),
            peer: client.peer,
            worker: client.worker,
            method: method.clone(),
            uri: uri.clone(),
            host: host.cloned(),
            status: None,
            route: None,
            bytes_in: 0,
            bytes_out: 0,
            broken: false,
            lost: false,
        }
    }

    /// The route was found; no replica has been chosen.
    pub(super) fn on_route(&mut self, entry: &Arc<Entry>) {
        self.leave();
        self.route = Some((Arc::clone(entry), None));
    }

    /// A replica was chosen; an earlier choice is forgotten.
    pub(super) fn on_replica(&mut self, entry: &Arc<Entry>, choice: usize) {
        self.leave();
        entry.choices[choice].figures.begin();
        self.route = Some((Arc::clone(entry), Some(choice)));
    }

    /// Ends the count at a replica that could not be reached; the request goes on elsewhere.
    fn leave(&mut self) {
        if let Some((entry, Some(choice))) = self.route.take() {
            entry.choices[choice].figures.end(&Outcome {
                status: Some(502),
                broken: false,
                took: self.started.elapsed(),
                bytes_in: 0,
                bytes_out: 0,
            });
        }
    }

    /// The request is about to be sent to another replica than the one it is at.
    pub(super) fn retried(&self) {
        if let Some((entry, Some(choice))) = &self.route {
            entry.choices[*choice].figures.retried();
        }
    }

    /// The bounds of the route that was found.
    pub(super) fn bounds(&self) -> RouteLimits {
        self.route.as_ref().map(|(entry, _)| entry.bounds).unwrap_or_default()
    }

    /// What visitors of the route that was found are told instead of being served.
    pub(super) fn maintenance(&self) -> Option<&Maintenance> {
        self.route.as_ref().and_then(|(entry, _)| entry.maintenance.as_deref())
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.route.as_ref().map(|(entry, _)| &*entry.service)
    }

    pub(super) fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.bytes_in = bytes;
    }

    pub(super) fn broken(&mut self) {
        self.broken = true;
    }

    /// The replica broke off in the middle of its answer.
    pub(super) fn lost(&mut self) {
        self.broken = true;
        self.lost = true;
    }
}

/// Ordered by time, and unlike any other; nobody's secret, so that randomness of the system would be wasted on it.
fn new_id(now: Timestamp) -> HeaderValue {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("an id is visible ASCII")
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let outcome = Outcome {
            status: self.status,
            broken: self.lost,
            took,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        };
        let route = self.route.take();
        let choice = route.as_ref().and_then(|(entry, choice)| choice.map(|index| &entry.choices[index]));
        match (&route, choice) {
            (_, Some(choice)) => choice.figures.end(&outcome),
            (Some((entry, None)), None) => {
                entry.figures.begin();
                entry.figures.end(&outcome);
            }
            _ => {
                self.edge.unrouted.begin();
                self.edge.unrouted.end(&outcome);
            }
        }
        let line = Line {
            at: self.edge.clock.now(),
            request_id: &self.request_id,
            peer: self.peer,
            host: self.host.as_ref(),
            method: &self.method,
            uri: &self.uri,
            status: self.status,
            broken: self.broken,
            took,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            route: route.as_ref().map(|(entry, _)| &**entry),
            choice,
        };
        self.edge.access.put(self.worker, &line);
    }
}
