//! What replicas use, as the kernel counts it. Totals only: rates are for whoever keeps the numbers.
//!
//! The engine is asked which containers run only when one was started or has ended, and now and then; the figures are
//! read from control groups, which costs the engine nothing. Where they cannot be read (the engine runs without root, or
//! in another machine) it is asked for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use naru_model::EnvironmentKey;
use naru_model::rollout::ReplicaKey;
use tokio::sync::Mutex;

use super::api::Stats;
use super::client::path;
use super::container::Containers;
use super::gauge::{Gauge, Reading};
use super::names;
use crate::{StepError, Usage};

const SIDE_BY_SIDE: usize = 8;
/// What was started or removed behind our back is noticed this late.
const LIST_EVERY: Duration = Duration::from_mins(2);

/// Reads what replicas use, and remembers which there are.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By container id.
    running: BTreeMap<String, Running>,
    /// When they were listed, and [`Containers::starts`] at that moment.
    listed: Option<(Instant, u64)>,
    /// One of them could not be read: it has ended.
    lost: bool,
}

#[derive(Debug, Clone)]
struct Running {
    environment: EnvironmentKey,
    replica: ReplicaKey,
    /// Without one the engine is asked.
    gauge: Option<Arc<Gauge>>,
}

impl Meters {
    /// What every running replica uses now.
    pub(crate) async fn read(&self, containers: &Containers) -> Result<Vec<Usage>, StepError> {
        let mut known = self.0.lock().await;
        if known.is_stale(containers) {
            known.list(containers).await?;
        }
        let mut readings = read_gauges(&known.running).await;
        readings.extend(ask(containers, &known.running).await?);
        known.lost = readings.len() < known.running.len();
        let mut all: Vec<Usage> = readings.into_iter().map(|(of, reading)| usage(of, reading)).collect();
        all.sort_by(|a, b| (&a.environment, &a.replica).cmp(&(&b.environment, &b.replica)));
        Ok(all)
    }
}

impl Known {
    fn is_stale(&self, containers: &Containers) -> bool {
        let starts = containers.starts.load(Ordering::Relaxed);
        self.lost || self.listed.is_none_or(|(at, then)| then != starts || at.elapsed() >= LIST_EVERY)
    }

    async fn list(&mut self, containers: &Containers) -> Result<(), StepError> {
        let starts = containers.starts.load(Ordering::Relaxed);
        let listed = containers.list(&names::owned(&containers.instance, "replica")).await?;
        let mut running = BTreeMap::new();
        for one in listed.into_iter().filter(|one| one.state == "running") {
            let environment = names::read_environment(&one.labels);
            let (Some(environment), Some(labels)) = (environment, names::read_replica(&one.labels)) else {
                continue;
            };
            let gauge = match self.running.remove(&one.id).and_then(|known| known.gauge) {
                Some(gauge) if gauge.is_alive() => Some(gauge),
                _ => gauge_of(containers, &one.id).await?.map(Arc::new),
            };
            running.insert(one.id, Running { environment, replica: labels.key, gauge });
        }
        *self = Self { running, listed: Some((Instant::now(), starts)), lost: false };
        Ok(())
    }
}

/// Where the kernel counts for a container.
async fn gauge_of(containers: &Containers, id: &str) -> Result<Option<Gauge>, StepError> {
    let inspected = containers.inspect(id).await?;
    Ok(inspected.and_then(|seen| Gauge::of(i32::try_from(seen.state.pid).ok()?, &seen.id)))
}

async fn read_gauges(running: &BTreeMap<String, Running>) -> Vec<(Running, Reading)> {
    let with_gauge: Vec<Running> = running.values().filter(|one| one.gauge.is_some()).cloned().collect();
    let reading = tokio::task::spawn_blocking(move || {
        let read = |one: Running| one.gauge.as_ref().and_then(|gauge| gauge.read()).map(|now| (one, now));
        with_gauge.into_iter().filter_map(read).collect()
    });
    reading.await.unwrap_or_default()
}

async fn ask(
    containers: &Containers,
    running: &BTreeMap<String, Running>,
) -> Result<Vec<(Running, Reading)>, StepError> {
    let without_gauge = running.iter().filter(|(_, one)| one.gauge.is_none());
    let asked: Vec<_> =
        without_gauge.map(|(id, one)| async move { (one, ask_one(containers, id).await) }).collect();
    let mut asking = futures::stream::iter(asked).buffer_unordered(SIDE_BY_SIDE);
    let mut all = Vec::new();
    while let Some((one, reading)) = asking.next().await {
        all.extend(reading?.map(|reading| (one.clone(), reading)));
    }
    Ok(all)
}

/// One of `stream=false` is one reading; Podman's lacks the reading before it, so nothing but totals is of use.
async fn ask_one(containers: &Containers, id: &str) -> Result<Option<Reading>, StepError> {
    let at = path(&["containers", id, "stats"], &[("stream", "false"), ("one-shot", "true")]);
    let answer = containers.client.get(&at).await?;
    if !answer.status.is_success() {
        // It ended between the list and the question.
        return Ok(None);
    }
    Ok(Some(reading_of(&answer.json("asking for usage")?)))
}

fn reading_of(stats: &Stats) -> Reading {
    let cache = stats.memory.stats.get("inactive_file").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Reading {
        cpu_micros: stats.cpu.cpu_usage.total_usage / 1000,
        memory_bytes: stats.memory.usage.saturating_sub(cache),
        received_bytes: stats.networks.values().map(|one| one.rx_bytes).sum(),
        sent_bytes: stats.networks.values().map(|one| one.tx_bytes).sum(),
    }
}

fn usage(of: Running, reading: Reading) -> Usage {
    Usage {
        environment: of.environment,
        replica: of.replica,
        cpu_micros: reading.cpu_micros,
        memory_bytes: reading.memory_bytes,
        received_bytes: reading.received_bytes,
        sent_bytes: reading.sent_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_is_summed_without_its_page_cache() {
        let text = r#"{"cpu_stats":{"cpu_usage":{"total_usage":1500000}},
            "memory_stats":{"usage":5000,"stats":{"inactive_file":1000,"pgfault":"?"}},
            "networks":{"eth0":{"rx_bytes":10,"tx_bytes":1},"eth1":{"rx_bytes":5}}}"#;
        let reading = reading_of(&serde_json::from_str(text).unwrap());
        assert_eq!((reading.cpu_micros, reading.memory_bytes), (1500, 4000));
        assert_eq!((reading.received_bytes, reading.sent_bytes), (15, 1));
        let nothing = r#"{"networks":null,"memory_stats":{"stats":null}}"#;
        assert_eq!(reading_of(&serde_json::from_str(nothing).unwrap()), Reading::default());
    }
}
