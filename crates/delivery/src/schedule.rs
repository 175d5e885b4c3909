//! When each environment is looked at: as soon as something of its project changed, and whenever its last pass asked to.
//! Bounded: a fixed number of passes at once, one per environment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use naru_model::EnvironmentKey;
use naru_store::Topic;
use tokio::time::Instant;

use crate::{Context, reconcile};

/// Passes at once.
const AT_ONCE: usize = 16;
/// How often the list of environments is read anew, should a wake-up have been missed.
const RELIST: Duration = Duration::from_secs(30);
/// When to look again at an environment whose rows could not be read.
const UNREADABLE: Duration = Duration::from_secs(2);

/// Reconciles every environment until it is dropped.
pub(crate) async fn run(cx: &Context) {
    let mut changes = cx.store.changes();
    let mut due: BTreeMap<EnvironmentKey, Instant> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut busy: BTreeSet<EnvironmentKey> = BTreeSet::new();
    let mut relist = Instant::now();
    loop {
        if relist <= Instant::now() {
            relist = Instant::now() + RELIST;
            list(cx, &mut due).await;
        }
        for key in ready(&due, &busy, AT_ONCE - busy.len()) {
            due.insert(key.clone(), Instant::now() + RELIST);
            busy.insert(key.clone());
            running.push(look(cx, key));
        }
        let next = due.iter().filter(|(key, _)| !busy.contains(*key)).map(|(_, at)| *at).min();
        let next = if busy.len() < AT_ONCE { next.unwrap_or(relist).min(relist) } else { relist };
        tokio::select! {
            Some((key, again)) = running.next(), if !running.is_empty() => {
                busy.remove(&key);
                let at = Instant::now() + again;
                due.entry(key).and_modify(|due| *due = (*due).min(at)).or_insert(at);
            }
            change = changes.next() => match change {
                Some(change) if change.topic == Topic::Environments => {
                    let now = Instant::now();
                    let of_project = due.iter_mut().filter(|(key, _)| {
                        change.project.as_ref().is_none_or(|project| *project == key.project)
                    });
                    of_project.for_each(|(_, at)| *at = now);
                    let known = change.project.is_none_or(|project| due.keys().any(|key| key.project == project));
                    if !known {
                        relist = now;
                    }
                }
                Some(change) if change.topic == Topic::Projects => relist = Instant::now(),
                Some(_) => {}
                None => {
                    relist = Instant::now();
                    for at in due.values_mut() {
                        *at = relist;
                    }
                }
            },
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Environments whose time has come, earliest first.
fn ready(
    due: &BTreeMap<EnvironmentKey, Instant>,
    busy: &BTreeSet<EnvironmentKey>,
    at_most: usize,
) -> Vec<EnvironmentKey> {
    let now = Instant::now();
    let mut ready: Vec<_> = due.iter().filter(|(key, at)| **at <= now && !busy.contains(*key)).collect();
    ready.sort_by_key(|(_, at)| **at);
    ready.into_iter().take(at_most).map(|(key, _)| key.clone()).collect()
}

async fn list(cx: &Context, due: &mut BTreeMap<EnvironmentKey, Instant>) {
    match cx.store.environment_keys().await {
        Ok(keys) => {
            let keys: BTreeSet<_> = keys.into_iter().collect();
            due.retain(|key, _| keys.contains(key));
            for key in keys {
                due.entry(key).or_insert_with(Instant::now);
            }
        }
        Err(error) => tracing::warn!(%error, "environments could not be listed"),
    }
}

async fn look(cx: &Context, key: EnvironmentKey) -> (EnvironmentKey, Duration) {
    let again = match reconcile::reconcile(cx, &key).await {
        Ok(again) => again,
        // Something else is wanted by now: that is looked at next.
        Err(naru_store::StoreError::Stale(_)) => Duration::ZERO,
        Err(error) => {
            tracing::warn!(environment = %key, %error, "an environment could not be reconciled");
            UNREADABLE
        }
    };
    (key, again)
}
