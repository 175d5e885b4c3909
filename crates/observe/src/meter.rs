//! From counters that only grow to what was used and answered between two looks. Pure but for what it remembers: the
//! counters of the last look.
//!
//! A counter that fell was started anew, and counts from zero. What was there at the first look, or at one after a long
//! pause, is only where counting begins: that time is a gap.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use naru_edge::server::{Metrics, RouteCounts};
use naru_engine::Usage;
use naru_model::metric::{Answers, Latency, Sample, bucket_of};
use naru_model::rollout::ReplicaKey;
use naru_model::{EnvironmentKey, RevisionNumber, Timestamp};
use naru_store::metric::SampleKey;
use tokio::time::Instant;

/// Nobody looked for longer than this: what happened meanwhile belongs to no step.
const PAUSE: Duration = Duration::from_secs(45);
/// A replica that is not seen for a moment goes on where it was.
const REMEMBER: Duration = Duration::from_mins(5);

/// What was used and answered since the look before.
pub(crate) type Taken = BTreeMap<SampleKey, Sample>;

/// Counters of the last look.
#[derive(Default)]
pub(crate) struct Meter {
    replicas: HashMap<(EnvironmentKey, ReplicaKey), Counted>,
    replicas_at: Option<Instant>,
    routes: HashMap<RouteKey, Answers>,
    routes_at: Option<Instant>,
    counting_since: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Counted {
    cpu_micros: u64,
    received_bytes: u64,
    sent_bytes: u64,
    at: Instant,
}

/// Names a set of the edge's counters.
#[derive(PartialEq, Eq, Hash)]
struct RouteKey {
    environment: EnvironmentKey,
    host: String,
    path: String,
    service: String,
    revision: Option<RevisionNumber>,
}

impl Meter {
    /// Adds what replicas used since the look before.
    pub(crate) fn add_usage(&mut self, seen: Vec<Usage>, now: Instant, taken: &mut Taken) {
        let elapsed_ms = since(self.replicas_at.replace(now), now);
        for usage in seen {
            let key =
                SampleKey { environment: usage.environment.clone(), service: usage.replica.service.clone() };
            let counted = Counted {
                cpu_micros: usage.cpu_micros,
                received_bytes: usage.received_bytes,
                sent_bytes: usage.sent_bytes,
                at: now,
            };
            let before = self.replicas.insert((usage.environment, usage.replica), counted);
            let Some(elapsed_ms) = elapsed_ms else { continue };
            let grown = |field: fn(&Counted) -> u64| {
                let (before, now) = (before.as_ref().map_or(0, field), field(&counted));
                now.checked_sub(before).unwrap_or(now)
            };
            let sample = taken.entry(key).or_default();
            sample.usage_ms = elapsed_ms;
            sample.replica_ms += elapsed_ms;
            sample.cpu_micros += grown(|counted| counted.cpu_micros);
            sample.received_bytes += grown(|counted| counted.received_bytes);
            sample.sent_bytes += grown(|counted| counted.sent_bytes);
            // In two parts, so that terabytes do not overflow.
            let memory = usage.memory_bytes;
            sample.memory_byte_seconds += memory / 1_000 * elapsed_ms + memory % 1_000 * elapsed_ms / 1_000;
        }
        self.replicas.retain(|_, counted| now.duration_since(counted.at) < REMEMBER);
    }

    /// Adds what came of requests since the look before. Services that have replicas count as watched, also those
    /// without routes.
    pub(crate) fn add_answers(&mut self, metrics: &Metrics, now: Instant, taken: &mut Taken) {
        let elapsed_ms = since(self.routes_at.replace(now), now);
        let anew = metrics.counting_since != self.counting_since;
        self.counting_since = metrics.counting_since;
        let before = std::mem::take(&mut self.routes);
        for route in &metrics.routes {
            let total = totals(route, &metrics.latency_bounds_ms);
            let key = RouteKey {
                environment: route.environment.clone(),
                host: route.host.clone(),
                path: route.path.clone(),
                service: route.service.clone(),
                revision: route.revision,
            };
            let known = before.get(&key).filter(|_| !anew).copied().unwrap_or_default();
            let more = grown_answers(&known, &total);
            self.routes.insert(key, total);
            let Ok(service) = route.service.parse() else { continue };
            if elapsed_ms.is_some() && more.requests > 0 {
                let key = SampleKey { environment: route.environment.clone(), service };
                let sample = taken.entry(key).or_default();
                *sample.answers.entry(route.revision.map_or(0, |revision| revision.0)).or_default() += &more;
            }
        }
        if let Some(elapsed_ms) = elapsed_ms {
            for sample in taken.values_mut() {
                sample.traffic_ms = elapsed_ms;
            }
        }
    }
}

/// How long ago the look before was; none when there was none, or too long ago.
fn since(before: Option<Instant>, now: Instant) -> Option<u64> {
    let elapsed = now.duration_since(before?);
    (elapsed <= PAUSE && !elapsed.is_zero()).then(|| u64::try_from(elapsed.as_millis()).unwrap_or_default())
}

fn totals(route: &RouteCounts, bounds_ms: &[u64]) -> Answers {
    let (requests, errors) = route.counts.ended_and_failed();
    let mut latency = Latency::default();
    for (index, requests) in route.counts.latency_counts.iter().enumerate() {
        latency[bucket_of(bounds_ms.get(index).copied())] += requests;
    }
    Answers { requests, errors, latency }
}

fn grown_answers(before: &Answers, now: &Answers) -> Answers {
    if now.requests < before.requests {
        return *now;
    }
    let mut more = Answers {
        requests: now.requests - before.requests,
        errors: now.errors.saturating_sub(before.errors),
        latency: now.latency,
    };
    for (more, before) in more.latency.iter_mut().zip(before.latency) {
        *more = more.saturating_sub(before);
    }
    more
}
