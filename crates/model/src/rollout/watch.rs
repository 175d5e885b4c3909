//! After the switch: a revision that fails soon after it got the traffic gives it back, and what it replaced is kept warm
//! for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use super::failure::crashed;
use super::plan::{changed_services, elapsed};
use super::replicas::{Replicas, is_ready};
use super::{Progress, ReplicaSeen, ReplicaState, Situation};
use crate::definition::Strategy;
use crate::name::ServiceName;
use crate::problem::Problem;
use crate::workload::{EnvironmentSpec, ServiceSpec};

/// How long a revision is watched after it got all the traffic.
pub(super) const AFTER_SWITCH: Duration = Duration::from_secs(30);
/// How long a watched service may be without a ready replica while its replicas run. A single probe that is lost on a
/// busy machine is no reason to return.
const UNREADY: Duration = Duration::from_secs(5);
/// A watched replica that exits so often is not going to stay.
const EXITS: u32 = 3;

/// What the watch says.
pub(super) enum Watch {
    /// Nothing to see, or nothing to return to.
    Calm,
    /// Something is wrong for less than [`UNREADY`]; to be recorded.
    Uneasy(Progress),
    /// The traffic goes back.
    Failed(Box<Problem>),
}

/// Looks at a revision that serves.
pub(super) fn watch(situation: &Situation, replicas: &Replicas<'_>) -> Watch {
    let Some(replaced) = &situation.replaced else { return Watch::Calm };
    let want = &situation.want;
    if !is_watched(situation) {
        return Watch::Calm;
    }
    let changed = changed_services(want, Some(&replaced.wanted));
    let of =
        |service: &ServiceName| -> Vec<&ReplicaSeen> { replicas.made_from(&want.spec, service).collect() };
    let gone = changed.iter().copied().find(|service| {
        let all = of(service);
        let mut exits = all.iter().filter(|replica| exited_since(replica, situation));
        let serves = all.iter().any(|replica| is_ready(replica));
        exits.any(|replica| !serves || replica.key.attempt + 1 >= EXITS)
    });
    if let Some(service) = gone {
        return Watch::Failed(Box::new(crashed(situation, replaced, &of(service))));
    }
    let unready = changed.iter().copied().find(|service| {
        let all = of(service);
        let runs = |replica: &&ReplicaSeen| matches!(replica.state, ReplicaState::Running { .. });
        all.iter().any(runs) && !all.iter().any(|replica| is_ready(replica))
    });
    match (unready, situation.progress.unready_since) {
        (None, None) => Watch::Calm,
        (None, Some(_)) => Watch::Uneasy(Progress { unready_since: None, ..situation.progress.clone() }),
        (Some(_), None) => {
            Watch::Uneasy(Progress { unready_since: Some(situation.now), ..situation.progress.clone() })
        }
        (Some(service), Some(since)) if elapsed(since, situation.now) >= UNREADY => {
            Watch::Failed(Box::new(crashed(situation, replaced, &of(service))))
        }
        (Some(_), Some(_)) => Watch::Calm,
    }
}

fn exited_since(replica: &ReplicaSeen, situation: &Situation) -> bool {
    let switched_at = situation.replaced.as_ref().map(|replaced| replaced.switched_at);
    matches!(replica.state, ReplicaState::Exited { at, .. } if switched_at.is_some_and(|switched| at >= switched))
}

/// Whether a revision that serves is still watched. Once something else was wanted meanwhile, replicas may have been
/// stopped for that: what exited then proves nothing.
pub(super) fn is_watched(situation: &Situation) -> bool {
    let replaced = situation.replaced.as_ref();
    replaced.is_some_and(|replaced| {
        situation.since <= replaced.switched_at
            && elapsed(replaced.switched_at, situation.now) <= AFTER_SWITCH
    })
}

/// How long after the switch it matters what a revision replaced.
pub fn remembers(spec: &EnvironmentSpec) -> Duration {
    let keep = |service: &ServiceSpec| match &service.strategy {
        Strategy::BlueGreen(settings) => settings.keep.duration(),
        Strategy::Rolling(_) | Strategy::Canary(_) => Duration::ZERO,
    };
    spec.services.values().map(keep).max().unwrap_or_default().max(AFTER_SWITCH)
}

/// The services of what was replaced that stay ready to return to.
pub(super) fn kept_warm(situation: &Situation) -> BTreeSet<&ServiceName> {
    let Some(replaced) = &situation.replaced else { return BTreeSet::new() };
    let ago = elapsed(replaced.switched_at, situation.now);
    let services = situation.want.spec.services.iter().filter(|(_, spec)| match &spec.strategy {
        Strategy::Rolling(_) => false,
        Strategy::BlueGreen(settings) => ago < settings.keep.duration().max(AFTER_SWITCH),
        Strategy::Canary(_) => ago < AFTER_SWITCH,
    });
    services
        .map(|(service, _)| service)
        .filter(|service| replaced.wanted.spec.services.contains_key(*service))
        .collect()
}
