//! Which replicas are whose, which are missing, which are too many. Templates decide, not revisions: a revision that
//! leaves a template as it was keeps the replicas that are there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::plan::elapsed;
use super::{Action, ReplicaKey, ReplicaSeen, ReplicaState, Situation, Wanted};
use crate::name::{ServiceName, VolumeName};
use crate::time::is_ahead;
use crate::workload::{EnvironmentSpec, Template, TemplateHash, VolumeAccess};

/// A replica that ran at least this long before it exited is started again at once.
const STEADY: Duration = Duration::from_mins(1);
/// The longest wait before a replica that keeps exiting is started again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Requests are held for a replica that is started again so soon. What keeps exiting for longer fails them at once.
const WORTH_HOLDING: Duration = Duration::from_secs(1);
/// The same for one that has a volume alone: it may have been stopped for revisions that were overtaken or given up.
const WORTH_HOLDING_ALONE: Duration = Duration::from_secs(4);
/// How long a replica whose template nobody knows any more may take to stop.
const STOP_UNKNOWN: Duration = Duration::from_secs(10);

/// What is seen, sorted.
pub(super) struct Replicas<'a> {
    situation: &'a Situation,
    /// Templates are hashed once per pass.
    hashes: HashMap<*const Template, TemplateHash>,
}

impl<'a> Replicas<'a> {
    pub(super) fn new(situation: &'a Situation) -> Self {
        let mut specs = vec![&situation.want.spec];
        if let super::Serving::Other(old) = &situation.serving {
            specs.push(&old.spec);
        }
        specs.extend(situation.replaced.iter().map(|replaced| &replaced.wanted.spec));
        let hashes = specs
            .into_iter()
            .flat_map(|spec| spec.services.values())
            .map(|service| (std::ptr::from_ref(&service.template), service.template.hash()))
            .collect();
        Self { situation, hashes }
    }

    fn all(&self) -> impl Iterator<Item = &'a ReplicaSeen> {
        self.situation.seen.replicas.iter()
    }

    fn is_made_from(&self, replica: &ReplicaSeen, spec: &EnvironmentSpec, service: &ServiceName) -> bool {
        replica.key.service == *service
            && spec.services.get(service).is_some_and(|wanted| {
                self.hashes
                    .get(&std::ptr::from_ref(&wanted.template))
                    .is_some_and(|hash| *hash == replica.template)
            })
    }

    /// Starting or running replicas of the service's template: the ones to keep first, the surplus behind.
    pub(super) fn alive(&self, spec: &EnvironmentSpec, service: &ServiceName) -> Vec<&'a ReplicaSeen> {
        let mut alive: Vec<_> = self
            .all()
            .filter(|replica| {
                self.is_made_from(replica, spec, service)
                    && matches!(replica.state, ReplicaState::Starting | ReplicaState::Running { .. })
            })
            .collect();
        alive.sort_by_key(|replica| (!is_ready(replica), replica.key.clone()));
        alive
    }

    /// The replicas to keep: at most as many as are wanted.
    fn kept(&self, spec: &EnvironmentSpec, service: &ServiceName) -> Vec<&'a ReplicaSeen> {
        let mut kept = self.alive(spec, service);
        kept.truncate(spec.services.get(service).map_or(0, |wanted| wanted.replicas as usize));
        kept
    }

    /// The ready ones among the replicas to keep, in a stable order.
    pub(super) fn ready(
        &self,
        spec: &EnvironmentSpec,
        service: &ServiceName,
    ) -> impl Iterator<Item = &'a ReplicaSeen> + use<'a> {
        let mut ready: Vec<_> =
            self.kept(spec, service).into_iter().filter(|replica| is_ready(replica)).collect();
        ready.sort_by_key(|replica| replica.key.clone());
        ready.into_iter()
    }

    /// Whether a replica of the service is on its way to being ready.
    pub(super) fn is_coming(&self, spec: &EnvironmentSpec, service: &ServiceName) -> bool {
        let wanted = spec.services.get(service).map_or(0, |wanted| wanted.replicas as usize);
        let alive = self.alive(spec, service);
        if alive.iter().any(|replica| !is_ready(replica)) {
            return true;
        }
        let worth = if spec.is_exclusive(service) { WORTH_HOLDING_ALONE } else { WORTH_HOLDING };
        alive.len() < wanted && self.next_start(spec, service).is_none_or(|wait| wait <= worth)
    }

    /// One sentence about what is missing; `None` when every wanted replica is ready.
    pub(super) fn missing(&self, spec: &EnvironmentSpec, service: &ServiceName) -> Option<String> {
        let wanted = spec.services.get(service)?.replicas as usize;
        let ready = self.ready(spec, service).count();
        (ready < wanted).then(|| format!("{ready} of {wanted} replicas of {service} are ready"))
    }

    /// Whether no replica of the service is one that exited before and was started again less than `long` ago.
    pub(super) fn is_trusted(&self, spec: &EnvironmentSpec, service: &ServiceName, long: Duration) -> bool {
        self.kept(spec, service).into_iter().all(|replica| match replica.state {
            ReplicaState::Running { since, .. } if replica.key.attempt > 0 => {
                is_ahead(since, self.situation.now) || elapsed(since, self.situation.now) >= long
            }
            _ => true,
        })
    }

    /// Whether every wanted replica at least runs.
    pub(super) fn all_run(&self, spec: &EnvironmentSpec) -> bool {
        spec.services.iter().all(|(service, wanted)| {
            let running = self.alive(spec, service);
            running.iter().filter(|replica| matches!(replica.state, ReplicaState::Running { .. })).count()
                >= wanted.replicas as usize
        })
    }

    /// Whether any replica, exited ones included, was made from the service's template.
    pub(super) fn any_made_from(&self, spec: &EnvironmentSpec, service: &ServiceName) -> bool {
        self.all().any(|replica| self.is_made_from(replica, spec, service))
    }

    /// Replicas of the service's template, whatever their state.
    pub(super) fn made_from(
        &self,
        spec: &EnvironmentSpec,
        service: &ServiceName,
    ) -> impl Iterator<Item = &'a ReplicaSeen> {
        self.all().filter(move |replica| self.is_made_from(replica, spec, service))
    }

    pub(super) fn in_flight(&self, replica: &ReplicaKey) -> u32 {
        let in_flight = &self.situation.traffic.in_flight;
        in_flight.iter().find(|entry| entry.replica == *replica).map_or(0, |entry| entry.requests)
    }

    /// Replicas of the service, whatever made from but not from its template in `spec`, that have not exited.
    pub(super) fn others_alive(&self, spec: &EnvironmentSpec, service: &ServiceName) -> usize {
        let others = self.all().filter(|replica| {
            replica.key.service == *service
                && !has_exited(replica)
                && !self.is_made_from(replica, spec, service)
        });
        others.count()
    }

    /// Replicas that were made from no template in `keep`.
    pub(super) fn made_from_none_of(&self, keep: &[Keep<'_>]) -> impl Iterator<Item = &'a ReplicaSeen> {
        self.all().filter(|replica| {
            let service = &replica.key.service;
            !keep.iter().any(|keep| self.is_made_from(replica, &keep.wanted.spec, service))
        })
    }

    /// Replicas that none of `keep` asks for: other templates, removed services, surplus, and exited ones that have a
    /// successor.
    pub(super) fn not_in(&self, keep: &[Keep<'_>]) -> Vec<&'a ReplicaSeen> {
        let kept: BTreeSet<&ReplicaKey> = keep
            .iter()
            .flat_map(|keep| keep.services().flat_map(|service| self.kept(&keep.wanted.spec, service)))
            .map(|replica| &replica.key)
            .collect();
        self.all()
            .filter(|replica| !kept.contains(&replica.key))
            .filter(|replica| {
                let awaited = has_exited(replica)
                    && !self.has_successor(&replica.key)
                    && keep.iter().any(|keep| {
                        let spec = &keep.wanted.spec;
                        let service = &replica.key.service;
                        keep.services().any(|kept| kept == service)
                            && self.is_made_from(replica, spec, service)
                            && self.alive(spec, service).len() < spec.services[service].replicas as usize
                    });
                !awaited
            })
            .collect()
    }

    fn has_successor(&self, key: &ReplicaKey) -> bool {
        self.all().any(|other| {
            other.key.service == key.service
                && other.key.revision == key.revision
                && other.key.index == key.index
                && other.key.attempt > key.attempt
        })
    }

    /// Exited replicas of the service's template that nothing has taken the place of.
    fn exited(&self, spec: &EnvironmentSpec, service: &ServiceName) -> Vec<&'a ReplicaSeen> {
        let mut exited: Vec<_> = self
            .made_from(spec, service)
            .filter(|replica| has_exited(replica) && !self.has_successor(&replica.key))
            .collect();
        exited.sort_by_key(|replica| replica.key.clone());
        exited
    }

    /// How long to wait before the first exited replica is started again; `None` when none has exited.
    fn next_start(&self, spec: &EnvironmentSpec, service: &ServiceName) -> Option<Duration> {
        self.exited(spec, service).into_iter().map(|replica| self.wait_before_restart(replica)).min()
    }

    fn wait_before_restart(&self, replica: &ReplicaSeen) -> Duration {
        let ReplicaState::Exited { started, at, .. } = &replica.state else { return Duration::ZERO };
        let now = self.situation.now;
        if is_ahead(*at, now) || started.is_some_and(|started| elapsed(started, *at) >= STEADY) {
            return Duration::ZERO;
        }
        let pause = Duration::from_secs(1 << replica.key.attempt.min(6)).min(LONGEST_WAIT);
        pause.saturating_sub(elapsed(*at, now))
    }

    /// Starts what is missing of a service, up to `room` replicas in all. Returns when to look again if some must wait.
    pub(super) fn start_missing(
        &self,
        wanted: &Wanted,
        service: &ServiceName,
        room: usize,
    ) -> (Vec<Action>, Option<Duration>) {
        let spec = &wanted.spec;
        let Some(service_spec) = spec.services.get(service) else { return (Vec::new(), None) };
        let asked = (service_spec.replicas as usize).min(room);
        let missing = asked.saturating_sub(self.alive(spec, service).len());
        if missing == 0 || !self.volumes_are_free(spec, service) {
            return (Vec::new(), None);
        }
        let start = |replica| Action::Start { replica, service: Box::new(service_spec.clone()) };
        let (mut actions, mut look_again) = (Vec::new(), None);
        let exited = self.exited(spec, service);
        for replica in exited.iter().take(missing) {
            let wait = self.wait_before_restart(replica);
            if wait.is_zero() {
                actions.push(start(ReplicaKey { attempt: replica.key.attempt + 1, ..replica.key.clone() }));
            } else {
                look_again = Some(look_again.map_or(wait, |earlier: Duration| earlier.min(wait)));
            }
        }
        let taken: BTreeSet<u32> = self
            .all()
            .filter(|replica| replica.key.service == *service && replica.key.revision == wanted.revision)
            .map(|replica| replica.key.index)
            .collect();
        let free = (0..).filter(|index| !taken.contains(index)).take(missing.saturating_sub(exited.len()));
        actions.extend(free.map(|index| {
            start(ReplicaKey { service: service.clone(), revision: wanted.revision, index, attempt: 0 })
        }));
        (actions, look_again)
    }

    /// Whether nobody else has a volume that the service must have alone.
    fn volumes_are_free(&self, spec: &EnvironmentSpec, service: &ServiceName) -> bool {
        !spec.is_exclusive(service)
            || !self.all().any(|replica| {
                let is_the_one = self.is_made_from(replica, spec, service)
                    && !matches!(replica.state, ReplicaState::Stopping);
                !has_exited(replica) && !is_the_one && self.may_hold(replica, spec, service)
            })
    }

    /// Whether `replica`, made from something else, may hold an exclusive volume of `service`: it does when its service
    /// mounts that volume in any spec we know, or has the same name.
    fn may_hold(&self, replica: &ReplicaSeen, spec: &EnvironmentSpec, service: &ServiceName) -> bool {
        if replica.key.service == *service {
            return true;
        }
        let exclusive: BTreeSet<_> = spec.services[service]
            .template
            .mounts
            .iter()
            .map(|mount| &mount.volume)
            .filter(|volume| {
                spec.volumes.get(*volume).is_none_or(|volume| volume.access == VolumeAccess::Exclusive)
            })
            .collect();
        let mut specs = vec![spec, &self.situation.want.spec];
        if let super::Serving::Other(old) = &self.situation.serving {
            specs.push(&old.spec);
        }
        specs
            .iter()
            .filter_map(|spec| spec.services.get(&replica.key.service))
            .any(|other| other.template.mounts.iter().any(|mount| exclusive.contains(&mount.volume)))
    }

    /// Who, other than replicas made from `want`, has a volume that the services in `handed_over` must have alone.
    pub(super) fn holders_of_volumes(
        &self,
        want: &Wanted,
        handed_over: &BTreeSet<&ServiceName>,
    ) -> Vec<&'a ReplicaSeen> {
        self.all()
            .filter(|replica| {
                !has_exited(replica)
                    && handed_over.iter().any(|service| {
                        !self.is_made_from(replica, &want.spec, service)
                            && self.may_hold(replica, &want.spec, service)
                    })
            })
            .collect()
    }
}

/// What is not taken away of a revision.
pub(super) struct Keep<'k> {
    pub(super) wanted: &'k Wanted,
    /// Only these services; `None` for all.
    pub(super) services: Option<BTreeSet<&'k ServiceName>>,
}

impl<'k> Keep<'k> {
    pub(super) fn all(wanted: &'k Wanted) -> Self {
        Self { wanted, services: None }
    }

    fn services(&self) -> impl Iterator<Item = &'k ServiceName> {
        let all = self.wanted.spec.services.keys();
        all.filter(|service| self.services.as_ref().is_none_or(|only| only.contains(service)))
    }
}

/// The volumes that the service must have alone.
pub(super) fn exclusive_volumes<'s>(
    spec: &'s EnvironmentSpec,
    service: &ServiceName,
) -> BTreeSet<&'s VolumeName> {
    let mounts = spec.services.get(service).map_or(&[][..], |service| &service.template.mounts);
    mounts
        .iter()
        .map(|mount| &mount.volume)
        .filter(|volume| {
            spec.volumes.get(*volume).is_none_or(|volume| volume.access == VolumeAccess::Exclusive)
        })
        .collect()
}

/// Stops a replica within the time that its service allows.
pub(super) fn stop(key: &ReplicaKey, want: &Wanted, old: Option<&Wanted>) -> Action {
    let within = old
        .into_iter()
        .chain([want])
        .find_map(|wanted| wanted.spec.services.get(&key.service))
        .map_or(STOP_UNKNOWN, |service| service.template.stop_within);
    Action::Stop { replica: key.clone(), within }
}

pub(super) fn has_exited(replica: &ReplicaSeen) -> bool {
    matches!(replica.state, ReplicaState::Exited { .. })
}

pub(super) fn is_ready(replica: &ReplicaSeen) -> bool {
    matches!(replica.state, ReplicaState::Running { ready: true, .. })
}
