//! What must hold at every step, and who is excused for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use naru_model::rollout::{Action, ReplicaKey, ReplicaState, Seen};
use naru_model::route::{Route, RouteMode, RouteTable, is_preview};
use naru_model::workload::TemplateHash;
use naru_model::{EnvironmentKey, Timestamp};

use super::crossing::{Crossing, Side};
use super::stage::{Stage, at_once};
use super::time::elapsed;
use super::way::Way;

/// A replica's requests may take so long after the switch; see the planner.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// The same while requests are held for a volume that changes hands.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(2);

/// What is seen may be so old.
const SEEN_LATE: Duration = Duration::from_secs(3);

/// What was promised, and what was broken.
#[derive(Default)]
pub(super) struct Promises {
    pub(super) broken: Vec<String>,
    /// Environments that something happened to which visitors may notice.
    harmed: BTreeMap<EnvironmentKey, (Timestamp, String)>,
    /// Environments that nobody wants to run: visitors may notice.
    down: BTreeSet<EnvironmentKey>,
    /// Environments that were seen to serve: from then on visitors notice.
    served: BTreeSet<EnvironmentKey>,
    /// When a process last saw what runs.
    observed: BTreeMap<(String, EnvironmentKey), Timestamp>,
    told_by_fake: usize,
    /// How requests moved so far.
    crossings: BTreeMap<EnvironmentKey, Crossing>,
}

impl Promises {
    pub(super) fn harm(&mut self, key: &EnvironmentKey, now: Timestamp, why: &str) {
        self.harmed.insert(key.clone(), (now, why.to_owned()));
    }

    /// How requests of an environment moved so far.
    pub(super) fn crossing(&mut self, key: &EnvironmentKey) -> &mut Crossing {
        self.crossings.entry(key.clone()).or_default()
    }

    /// Looks at how the requests of an environment move.
    pub(super) fn look_at_crossing(&mut self, stage: &Stage, key: &EnvironmentKey, way: Way) {
        let Some(table) = stage.fake.table(key) else { return };
        if table.routes.is_empty() {
            self.crossing(key).end();
        }
        let is_harmed = self.harmed.contains_key(key);
        let (templates, truth) = (stage.templates(key), stage.fake.truth(key));
        for route in table.routes.iter().filter(|route| !is_preview(&route.host)) {
            let side = |template: &TemplateHash| side(&truth, template, is_harmed);
            let quality = |template: &TemplateHash| stage.quality_of(template);
            let wrong = self.crossing(key).look(way, route, &templates, side, quality);
            self.broken.extend(wrong.map(|wrong| format!("{key}: {}: {wrong}", route.host)));
        }
    }

    /// A process saw what runs of an environment.
    pub(super) fn observed(&mut self, who: &str, key: &EnvironmentKey, now: Timestamp) {
        self.observed.insert((who.to_owned(), key.clone()), now);
    }

    /// A process's pass that began at a time found the environment at rest, if it looked at all.
    pub(super) fn mended(&mut self, who: &str, key: &EnvironmentKey, began: Timestamp) {
        let looked = self.observed.get(&(who.to_owned(), key.clone())).is_some_and(|at| *at >= began);
        if looked && self.harmed.get(key).is_some_and(|(since, _)| *since + SEEN_LATE < began) {
            self.harmed.remove(key);
        }
    }

    /// Somebody wants nothing of an environment to run, or wants it again.
    pub(super) fn set_down(&mut self, key: &EnvironmentKey, down: bool) {
        if down {
            self.down.insert(key.clone())
        } else {
            self.down.remove(key)
        };
    }

    /// Whether something happened to replicas of an environment, and nobody has looked since.
    pub(super) fn is_harmed(&self, key: &EnvironmentKey) -> bool {
        self.harmed.contains_key(key)
    }

    pub(super) fn is_excused(&self, key: &EnvironmentKey) -> bool {
        !self.served.contains(key) || self.harmed.contains_key(key) || self.down.contains(key)
    }

    /// A replica may be stopped when it has nothing under way, or had its time to finish.
    pub(super) fn before_action(&mut self, stage: &Stage, key: &EnvironmentKey, action: &Action) {
        let (Action::Stop { replica, .. } | Action::Remove { replica }) = action else { return };
        let truth = stage.fake.truth(key);
        let Some(seen) = truth.replicas.iter().find(|seen| seen.key == *replica) else { return };
        if !matches!(seen.state, ReplicaState::Running { .. }) || self.is_excused(key) {
            return;
        }
        let traffic = at_once(naru_engine::Traffic::status(&stage.fake, key));
        let traffic = traffic.unwrap_or_default();
        let busy = traffic.in_flight.iter().any(|one| one.replica == *replica);
        let Some(applied) = traffic.applied.filter(|_| busy) else { return };
        let held = applied.table.routes.iter().any(|route| route.mode == RouteMode::Hold);
        let limit = if held { HAND_OVER_LIMIT } else { DRAIN_LIMIT };
        if elapsed(applied.since, stage.now()) < limit && !stage.wall.jumped_since(applied.since) {
            self.broken.push(format!("{key}: {replica} is stopped before its requests are done"));
        }
    }

    /// A table leads somewhere, and takes no traffic from those who can serve it without giving it to others who can.
    pub(super) fn before_publish(&mut self, stage: &Stage, table: &RouteTable) {
        let key = &table.environment;
        for route in table.routes.iter().filter(|route| !route.backends.is_empty()) {
            let total: u64 = route.backends.iter().map(|one| u64::from(one.weight)).sum();
            if total == 0 || route.mode == RouteMode::Hold {
                self.broken.push(format!("{key}: {} has backends, but no request gets there", route.host));
            }
            let names: BTreeSet<_> = route.backends.iter().map(|one| &one.replica).collect();
            if names.len() < route.backends.len() {
                self.broken.push(format!("{key}: {} names a replica twice", route.host));
            }
        }
        if self.is_excused(key) {
            return;
        }
        let truth = stage.fake.truth(key);
        let ready = ready(&truth);
        // Who was ready when somebody looked may have died by itself since: that is known only later.
        let has_just_died = |replica: &ReplicaKey| {
            let died = |at: Timestamp| elapsed(at, stage.now()) <= SEEN_LATE;
            truth.replicas.iter().any(|seen| {
                seen.key == *replica && matches!(&seen.state, ReplicaState::Exited { at, .. } if died(*at))
            })
        };
        let can_serve = |replica: &ReplicaKey| ready.contains(replica) || has_just_died(replica);
        // A preview ends with the wait for a person.
        let is_kept = |route: &&Route| !is_preview(&route.host);
        for route in stage.fake.table(key).iter().flat_map(|table| &table.routes).filter(is_kept) {
            let served = route.backends.iter().any(|one| ready.contains(&one.replica));
            let next = table.routes.iter().find(|next| next.host == route.host && next.path == route.path);
            let goes_on = next.is_some_and(|next| {
                next.mode == RouteMode::Hold || next.backends.iter().any(|one| can_serve(&one.replica))
            });
            if served && !goes_on {
                self.broken.push(format!("{key}: {} is taken from replicas that serve it", route.host));
            }
        }
    }

    /// Looks at the world after a step.
    pub(super) fn look(&mut self, stage: &Stage, keys: &[EnvironmentKey]) {
        let told = stage.fake.violations();
        for violation in told.iter().skip(self.told_by_fake) {
            let excused = self.harmed.keys().any(|key| violation.starts_with(&format!("{key}:")));
            if !excused {
                self.broken.push(violation.clone());
            }
        }
        self.told_by_fake = told.len();
        for key in keys {
            self.look_at(stage, key);
        }
    }

    fn look_at(&mut self, stage: &Stage, key: &EnvironmentKey) {
        let truth = stage.fake.truth(key);
        self.count(key, &truth);
        let died = |replica: &ReplicaKey| {
            truth.replicas.iter().any(|seen| seen.key == *replica && has_died(&seen.state))
        };
        let Some(table) = stage.fake.table(key) else { return };
        let ready = ready(&truth);
        if table.routes.iter().flat_map(|route| &route.backends).any(|one| ready.contains(&one.replica)) {
            self.served.insert(key.clone());
        }
        if table.routes.iter().flat_map(|route| &route.backends).any(|one| died(&one.replica)) {
            self.harm(key, stage.now(), "a replica died by itself");
        }
        // What alone could serve may also die again before it gets its first request. Previews wait for a person.
        let (previews, routes): (Vec<_>, Vec<_>) = table.routes.iter().partition(|one| is_preview(&one.host));
        let could_serve = |replica: &&ReplicaKey| {
            routes.iter().any(|route| route.service == replica.service)
                && !previews.iter().flat_map(|route| &route.backends).any(|one| one.replica == **replica)
        };
        let nobody_can = !ready.iter().any(|replica| could_serve(&replica));
        if nobody_can && truth.replicas.iter().any(|seen| has_died(&seen.state)) {
            self.harm(key, stage.now(), "what could serve died by itself");
        }
        if self.is_excused(key) {
            return;
        }
        for route in table.routes.iter().filter(|route| route.mode == RouteMode::Serve) {
            if !route.backends.iter().any(|one| ready.contains(&one.replica)) {
                self.broken.push(format!("{key}: nobody serves {}", route.host));
            }
        }
    }

    /// Of one template there are never more replicas than anybody may want.
    fn count(&mut self, key: &EnvironmentKey, truth: &Seen) {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for seen in truth.replicas.iter().filter(|seen| matches!(seen.state, ReplicaState::Running { .. })) {
            *counts.entry((&seen.key.service, &seen.template)).or_default() += 1;
        }
        for ((service, _), count) in counts {
            if count > super::people::MOST_REPLICAS {
                self.broken
                    .push(format!("{key}: {count} replicas of {service} run, more than anybody wants"));
            }
        }
    }
}

/// How the replicas of a template are in truth. Those that stop have been let go.
fn side(truth: &Seen, template: &TemplateHash, is_harmed: bool) -> Side {
    let mut states = truth.replicas.iter().filter(|seen| seen.template == *template).map(|seen| &seen.state);
    if states.clone().any(|state| matches!(state, ReplicaState::Running { ready: true, .. })) {
        if is_harmed { Side::Unready } else { Side::Ready }
    } else if states.any(|state| !matches!(state, ReplicaState::Stopping)) {
        Side::Unready
    } else {
        Side::Gone
    }
}

fn has_died(state: &ReplicaState) -> bool {
    matches!(state, ReplicaState::Exited { .. })
}

/// The replicas that are ready in truth.
fn ready(truth: &Seen) -> BTreeSet<ReplicaKey> {
    let ready =
        truth.replicas.iter().filter(|seen| matches!(seen.state, ReplicaState::Running { ready: true, .. }));
    ready.map(|seen| seen.key.clone()).collect()
}
