//! Counters per route and revision: requests by status class, under way, latency, bytes. Plain atomics on the
//! request path; what they mean for a rollout is judged elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use naru_model::metric::LATENCY_BOUNDS_MS;
use naru_model::{EnvironmentKey, RevisionNumber, Timestamp};
use serde::{Deserialize, Serialize};

/// Live counters.
#[derive(Debug, Default)]
pub(super) struct Figures {
    status: [AtomicU64; 5],
    broken: AtomicU64,
    cancelled: AtomicU64,
    retried: AtomicU64,
    started: AtomicU64,
    ended: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    micros: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What one request came to.
pub(super) struct Outcome {
    /// `None`: the client left before there was an answer.
    pub(super) status: Option<u16>,
    /// The replica broke off in the middle of its answer.
    pub(super) broken: bool,
    pub(super) took: Duration,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Figures {
    pub(super) fn begin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was sent on to another replica.
    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, outcome: &Outcome) {
        match outcome.status {
            Some(status) => {
                let class = usize::from(status / 100).clamp(1, 5) - 1;
                self.status[class].fetch_add(1, Ordering::Relaxed);
                if outcome.broken && status < 500 {
                    self.broken.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
        // How long a WebSocket stayed open says nothing about how quickly a replica answers.
        if outcome.status.is_none_or(|status| status >= 200) {
            self.took(outcome.took);
        }
        self.bytes_in.fetch_add(outcome.bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(outcome.bytes_out, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn took(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket =
            LATENCY_BOUNDS_MS.iter().position(|&bound| millis < bound).unwrap_or(LATENCY_BOUNDS_MS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended = load(&self.ended);
        Counts {
            status_1xx: load(&self.status[0]),
            status_2xx: load(&self.status[1]),
            status_3xx: load(&self.status[2]),
            status_4xx: load(&self.status[3]),
            status_5xx: load(&self.status[4]),
            broken: load(&self.broken),
            cancelled: load(&self.cancelled),
            retried: load(&self.retried),
            in_flight: load(&self.started).saturating_sub(ended),
            latency_counts: self.buckets.iter().map(load).collect(),
            latency_sum_us: load(&self.micros),
            bytes_in: load(&self.bytes_in),
            bytes_out: load(&self.bytes_out),
        }
    }
}

/// Counters at one instant; they only grow, except `in_flight`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Upgraded connections.
    pub status_1xx: u64,
    /// Answers 200 to 299.
    pub status_2xx: u64,
    /// Answers 300 to 399.
    pub status_3xx: u64,
    /// Answers 400 to 499.
    pub status_4xx: u64,
    /// Answers 500 to 599.
    pub status_5xx: u64,
    /// Answers below 500 that the replica broke off; they are counted under their status, too.
    #[serde(default)]
    pub broken: u64,
    /// Requests whose client left before there was an answer.
    pub cancelled: u64,
    /// Requests that failed here and were sent to another replica.
    #[serde(default)]
    pub retried: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Ended requests per bucket of [`LATENCY_BOUNDS_MS`], without upgraded connections; not cumulative.
    pub latency_counts: Vec<u64>,
    /// Sum of all durations in microseconds.
    pub latency_sum_us: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
}

impl Counts {
    /// Requests that came to an end, and those of them that failed.
    pub fn ended_and_failed(&self) -> (u64, u64) {
        let answered =
            self.status_1xx + self.status_2xx + self.status_3xx + self.status_4xx + self.status_5xx;
        (answered + self.cancelled, self.status_5xx + self.broken)
    }
}

/// The counters of one route and revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Whose route.
    pub environment: EnvironmentKey,
    /// Its host.
    pub host: String,
    /// Its path prefix.
    pub path: String,
    /// Its service.
    pub service: String,
    /// The revision that answered; `None` for answers of the edge itself.
    pub revision: Option<RevisionNumber>,
    /// The counters.
    pub counts: Counts,
}

/// Everything the edge counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Since when everything here is counted; another instant means that it began anew.
    #[serde(default)]
    pub counting_since: Option<Timestamp>,
    /// Upper bounds of the latency buckets in milliseconds.
    pub latency_bounds_ms: Vec<u64>,
    /// Open client connections.
    pub connections: u64,
    /// Requests that wait on held routes.
    pub held: u64,
    /// Requests refused before a route was known: malformed, unknown host.
    pub unrouted: Counts,
    /// Per route and revision.
    pub routes: Vec<RouteCounts>,
    /// Access log lines that were dropped because the writer was behind.
    pub access_lines_dropped: u64,
}
