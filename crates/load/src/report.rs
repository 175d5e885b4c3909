//! What came of the requests.

use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Failures that are told word by word.
const TOLD: usize = 1000;

/// What one stream of visitors saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The stream.
    pub name: String,
    /// Requests that were sent.
    pub requests: u64,
    /// Those of them without a good answer.
    pub failed: u64,
    /// The first failures, each with the seconds since the start.
    pub failures: Vec<String>,
    /// How long good answers took, from the instant when the request was due to the last byte: microseconds, sorted.
    pub latencies_us: Vec<u32>,
}

#[derive(Default)]
pub(crate) struct Tally(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    latencies_us: Vec<u32>,
    failed: u64,
    failures: Vec<(Instant, String)>,
}

impl Tally {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while holding the lock")
    }

    pub(crate) fn answered(&self, due: Instant) {
        let took = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.seen().latencies_us.push(took);
    }

    pub(crate) fn failed(&self, due: Instant, why: String) {
        let mut seen = self.seen();
        seen.failed += 1;
        if seen.failures.len() < TOLD {
            seen.failures.push((due, why));
        }
    }

    pub(crate) fn report(&self, name: &str, began: Instant) -> Report {
        let mut seen = self.seen();
        let mut latencies_us = std::mem::take(&mut seen.latencies_us);
        latencies_us.sort_unstable();
        let told =
            |(at, why): &(Instant, String)| format!("after {:.1} s: {why}", (*at - began).as_secs_f64());
        Report {
            name: name.to_owned(),
            requests: latencies_us.len() as u64 + seen.failed,
            failed: seen.failed,
            failures: seen.failures.iter().map(told).collect(),
            latencies_us,
        }
    }
}
