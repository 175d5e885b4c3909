//! The fake's routes.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_model::rollout::ReplicaKey;
use naru_model::route::{AppliedTable, InFlight, RevisionFigures, RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation, Timestamp};

use crate::StepError;

/// Which tables an edge knows that takes another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKnows {
    /// Those in force, from its file.
    All,
    /// Those before the last change: the file could not be written.
    Older,
    /// None: the file is gone.
    Nothing,
}

#[derive(Default)]
pub(super) struct Routes {
    entries: BTreeMap<EnvironmentKey, Entry>,
    pub(super) in_flight: BTreeMap<(EnvironmentKey, ReplicaKey), u32>,
    pub(super) counting_since: Option<Timestamp>,
    pub(super) figures: BTreeMap<EnvironmentKey, Vec<RevisionFigures>>,
}

struct Entry {
    applied: Option<AppliedTable>,
    coming: Option<(Timestamp, AppliedTable)>,
    /// The table before the one in force.
    before: Option<AppliedTable>,
    newest: Generation,
}

impl Routes {
    pub(super) fn publish(
        &mut self,
        table: &RouteTable,
        generation: Generation,
        now: Timestamp,
        delay: Duration,
    ) -> Result<(), StepError> {
        let entry = self.entries.entry(table.environment.clone()).or_insert_with(|| Entry {
            applied: None,
            coming: None,
            before: None,
            newest: generation,
        });
        if generation < entry.newest {
            return Err(StepError::Transient(format!("generation {generation} is stale")));
        }
        entry.newest = generation;
        if let Some((_, coming)) = entry.coming.as_mut().filter(|(_, coming)| coming.table == *table) {
            coming.generation = generation;
            return Ok(());
        }
        let at = now + delay;
        entry.coming = Some((at, AppliedTable { generation, since: at, table: table.clone() }));
        self.settle(now);
        Ok(())
    }

    pub(super) fn settle(&mut self, now: Timestamp) {
        for entry in self.entries.values_mut() {
            let Some((at, coming)) = &entry.coming else { continue };
            if *at > now {
                continue;
            }
            let mut next = coming.clone();
            if let Some(applied) = entry.applied.as_ref().filter(|applied| applied.table == next.table) {
                next.since = applied.since;
            } else {
                entry.before.clone_from(&entry.applied);
            }
            entry.applied = Some(next);
            entry.coming = None;
        }
    }

    pub(super) fn restart(&mut self, knows: EdgeKnows, now: Timestamp) {
        if knows == EdgeKnows::Nothing {
            self.entries.clear();
        }
        for entry in self.entries.values_mut() {
            entry.coming = None;
            if knows == EdgeKnows::Older {
                entry.applied.clone_from(&entry.before);
            }
            entry.newest = entry.applied.as_ref().map_or(Generation(0), |applied| applied.generation);
            if let Some(applied) = &mut entry.applied {
                applied.since = now;
            }
        }
        self.in_flight.clear();
    }

    pub(super) fn applied(&self, environment: &EnvironmentKey) -> Option<AppliedTable> {
        self.entries.get(environment).and_then(|entry| entry.applied.clone())
    }

    pub(super) fn all_applied(&self) -> impl Iterator<Item = &AppliedTable> {
        self.entries.values().filter_map(|entry| entry.applied.as_ref())
    }

    pub(super) fn seen(&self, environment: &EnvironmentKey) -> TrafficSeen {
        let in_flight = self
            .in_flight
            .iter()
            .filter(|((of, _), requests)| of == environment && **requests > 0)
            .map(|((_, replica), requests)| InFlight { replica: replica.clone(), requests: *requests })
            .collect();
        TrafficSeen {
            applied: self.applied(environment),
            in_flight,
            counting_since: self.counting_since,
            figures: self.figures.get(environment).cloned().unwrap_or_default(),
        }
    }

    /// Adds to what was counted.
    pub(super) fn count(&mut self, environment: &EnvironmentKey, more: &RevisionFigures) {
        let figures = self.figures.entry(environment.clone()).or_default();
        let known =
            figures.iter_mut().find(|known| known.service == more.service && known.revision == more.revision);
        let Some(known) = known else { return figures.push(more.clone()) };
        known.requests += more.requests;
        known.errors += more.errors;
        for bucket in &more.latency {
            match known.latency.iter_mut().find(|known| known.below_ms == bucket.below_ms) {
                Some(known) => known.requests += bucket.requests,
                None => known.latency.push(*bucket),
            }
        }
        known.latency.sort_by_key(|bucket| bucket.below_ms.unwrap_or(u64::MAX));
    }

    pub(super) fn tables(&self) -> BTreeMap<EnvironmentKey, Generation> {
        self.all_applied()
            .filter(|applied| !applied.table.routes.is_empty())
            .map(|applied| (applied.table.environment.clone(), applied.generation))
            .collect()
    }
}
