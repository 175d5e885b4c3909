//! What replicas use, as the engine counts it. Totals only: rates are for whoever keeps the numbers.

use futures::StreamExt as _;
use naru_model::EnvironmentKey;

use super::api::{Listed, Stats};
use super::client::path;
use super::container::Containers;
use super::names;
use crate::{StepError, Usage};

const SIDE_BY_SIDE: usize = 8;

/// What the environment's running replicas use now.
pub(crate) async fn of(
    containers: &Containers,
    environment: &EnvironmentKey,
) -> Result<Vec<Usage>, StepError> {
    let labels = names::of_environment(&containers.instance, "replica", environment);
    let listed = containers.list(&labels).await?;
    let running = listed.iter().filter(|it| it.state == "running");
    let asked: Vec<_> = running.map(|it| one(containers, it)).collect();
    let mut all = Vec::new();
    let mut asking = futures::stream::iter(asked).buffer_unordered(SIDE_BY_SIDE);
    while let Some(usage) = asking.next().await {
        all.extend(usage?);
    }
    all.sort_by(|a, b| a.replica.cmp(&b.replica));
    Ok(all)
}

async fn one(containers: &Containers, listed: &Listed) -> Result<Option<Usage>, StepError> {
    let Some(labels) = names::read_replica(&listed.labels) else { return Ok(None) };
    let at = path(&["containers", &listed.id, "stats"], &[("stream", "false"), ("one-shot", "true")]);
    let answer = containers.client.get(&at).await?;
    if !answer.status.is_success() {
        // It ended between the list and the question.
        return Ok(None);
    }
    let stats: Stats = answer.json("asking for usage")?;
    // Docker counts the page cache, which the kernel takes back when it likes.
    let cache =
        stats.memory_stats.stats.get("inactive_file").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Ok(Some(Usage {
        replica: labels.key,
        cpu_micros: stats.cpu_stats.cpu_usage.total_usage / 1000,
        memory_bytes: stats.memory_stats.usage.saturating_sub(cache),
    }))
}
