//! The next actions, in the order in which people would tell them: release command, start, probe, hold and hand over
//! what only one may have, route, watch, drain, stop. Nothing is remembered: each pass finds its place from what is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::failure::{gave_up, release_command_failed};
use super::replicas::{Replicas, exclusive_volumes, has_exited, stop};
use super::table::{hold, table, with_backends};
use super::{Action, Phase, Plan, Serving, Situation, Status, Wanted};
use crate::job::{JobKey, JobScope, JobSpec, JobState, JobWork};
use crate::name::ServiceName;
use crate::problem::Problem;
use crate::route::RouteTable;
use crate::time::Timestamp;
use crate::workload::VolumeAccess;

/// How long requests of old replicas may take to finish after the switch.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// The same while requests of an exclusive service are held: holding is bounded, so this is shorter.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(2);
/// How long new replicas have the traffic before the old ones are let go: what dies of its first requests gives the
/// traffic back. A replica that had to be started again must first run that long without traffic.
const WATCH: Duration = Duration::from_secs(2);
/// How long a whole move may take before it is given up.
pub(super) const MOVE_LIMIT: Duration = Duration::from_mins(30);
/// When to look again while something moves.
const SOON: Duration = Duration::from_millis(150);
/// When to look again at rest: what was changed by hand is noticed within this time.
const AT_REST: Duration = Duration::from_secs(5);
/// How much a release command may print.
const RELEASE_LOG_LIMIT: u64 = 16 << 20;

/// Decides what to do now.
pub fn plan(situation: &Situation) -> Plan {
    let mut draft = Draft::new(situation);
    let status = match &situation.serving {
        Serving::Want => draft.keep(),
        Serving::Other(old) => draft.advance(Some(old)),
        Serving::Nothing => draft.advance(None),
    };
    draft.finish(status)
}

/// A plan in the making.
struct Draft<'a> {
    situation: &'a Situation,
    replicas: Replicas<'a>,
    actions: Vec<Action>,
    released: bool,
    switched: bool,
    look_again: Duration,
}

impl<'a> Draft<'a> {
    fn new(situation: &'a Situation) -> Self {
        let replicas = Replicas::new(situation);
        Self {
            situation,
            replicas,
            actions: Vec::new(),
            released: false,
            switched: false,
            look_again: AT_REST,
        }
    }

    fn finish(mut self, status: Status) -> Plan {
        if matches!(status, Status::Moving { .. }) || !self.actions.is_empty() {
            self.look_again = self.look_again.min(SOON);
        }
        Plan {
            actions: self.actions,
            status,
            released: self.released,
            switched: self.switched,
            look_again: self.look_again,
        }
    }

    /// `want` serves: keep it so, and take away what is left of others.
    fn keep(&mut self) -> Status {
        let want = &self.situation.want;
        if let Some(job) = &self.situation.job {
            self.actions.push(Action::StopJob { key: job.key.clone() });
        }
        self.start_missing(want, |_| true);
        let table = table(self.situation, want, &self.replicas);
        let routed = self.publish(&table);
        let leftovers = self.retire(&[want]);

        let missing: Vec<String> = want
            .spec
            .services
            .keys()
            .filter_map(|service| self.replicas.missing(&want.spec, service))
            .collect();
        if !missing.is_empty() {
            self.look_again = self.look_again.min(Duration::from_millis(500));
            return Status::Degraded { detail: missing.join(", ") };
        }
        match leftovers {
            _ if !routed => moving(Phase::Route, "the edge is taking over the routes"),
            Some(leftovers) => leftovers,
            None => Status::Live,
        }
    }

    /// `want` does not serve yet: bring it there without taking anything from `old` before its time.
    fn advance(&mut self, old: Option<&'a Wanted>) -> Status {
        match self.release_command() {
            ReleaseCommand::Done => {}
            ReleaseCommand::Runs => {
                self.keep_old(old, &BTreeSet::new());
                return moving(Phase::Release, "the release command runs");
            }
            ReleaseCommand::Failed(problem) => return Status::Failed { problem: Box::new(problem) },
        }
        let want = &self.situation.want;
        let changed = changed_services(want, old);
        if let Some(problem) = gave_up(self.situation, old, &changed, &self.replicas) {
            return Status::Failed { problem: Box::new(problem) };
        }
        let handed_over: BTreeSet<_> =
            changed.iter().copied().filter(|service| want.spec.is_exclusive(service)).collect();
        self.start_missing(want, |service| !handed_over.contains(service));
        let is_ready = |service: &&&ServiceName| {
            self.replicas.missing(&want.spec, service).is_none()
                && self.replicas.is_trusted(&want.spec, service, WATCH)
        };
        let independent_ready = changed.difference(&handed_over).all(|service| is_ready(&service));
        let all_ready = changed.iter().all(|service| is_ready(&service));
        let begun = handed_over.iter().any(|service| self.replicas.any_made_from(&want.spec, service));
        if !independent_ready && !begun {
            self.keep_old(old, &BTreeSet::new());
            return self.starting(&changed);
        }
        let displaced = displaced_services(want, old, &handed_over);
        if let Some(waiting) = self.hand_over(old, &handed_over, &displaced) {
            return waiting;
        }
        if !all_ready {
            self.keep_old(old, &displaced);
            return self.starting(&changed);
        }
        let table = table(self.situation, want, &self.replicas);
        if !self.publish(&table) {
            return moving(Phase::Route, "the edge is taking over the routes");
        }
        let routed_since = self.situation.traffic.applied.as_ref().map(|applied| applied.since);
        let can_return = old.is_some() && !changed.is_empty();
        if can_return && !passed(routed_since, WATCH, self.situation.now) {
            return moving(Phase::Route, "the new replicas have the traffic and are watched");
        }
        self.switched = true;
        moving(Phase::Drain, "the old replicas finish what they have")
    }

    /// Holds the requests of the `displaced` services, stops who has the volumes that those in `handed_over` need, and
    /// starts these anew. `None` once nothing is left to wait for but their readiness.
    fn hand_over(
        &mut self,
        old: Option<&'a Wanted>,
        handed_over: &BTreeSet<&ServiceName>,
        displaced: &BTreeSet<&ServiceName>,
    ) -> Option<Status> {
        let want = &self.situation.want;
        let holders = self.replicas.holders_of_volumes(want, handed_over);
        if holders.is_empty() {
            self.start_missing(want, |service| handed_over.contains(service));
            return None;
        }
        if !self.keep_old(old, displaced) {
            return Some(moving(Phase::Hold, "requests are about to be held"));
        }
        let held_since = self.situation.traffic.applied.as_ref().map(|applied| applied.since);
        for replica in &holders {
            let finished = self.replicas.in_flight(&replica.key) == 0;
            if finished || passed(held_since, HAND_OVER_LIMIT, self.situation.now) {
                self.actions.push(stop(&replica.key, want, old));
            }
        }
        Some(moving(Phase::Hold, "requests are held while the old replica gives its volume away"))
    }

    /// Keeps `old` whole and routed while `want` is not there yet, but for the services that gave their volumes away:
    /// their requests are held. Says whether the edge does so.
    fn keep_old(&mut self, old: Option<&'a Wanted>, displaced: &BTreeSet<&ServiceName>) -> bool {
        let Some(old) = old else { return true };
        self.start_missing(old, |service| !displaced.contains(service));
        let table = hold(table(self.situation, old, &self.replicas), displaced);
        self.publish(&table)
    }

    fn start_missing(&mut self, wanted: &'a Wanted, which: impl Fn(&ServiceName) -> bool) {
        for service in wanted.spec.services.keys().filter(|service| which(service)) {
            let (actions, look_again) = self.replicas.start_missing(wanted, service);
            self.actions.extend(actions);
            self.look_again = self.look_again.min(look_again.unwrap_or(AT_REST));
        }
    }

    /// Says whether `table` is in force, and asks for it when it is not.
    fn publish(&mut self, table: &RouteTable) -> bool {
        let in_force = match &self.situation.traffic.applied {
            Some(applied) => &applied.table == table,
            None => table.routes.is_empty(),
        };
        if !in_force {
            self.actions.push(Action::Publish { table: table.clone() });
        }
        in_force
    }

    /// Stops and removes what none of `keep` asks for and no request can reach any more.
    fn retire(&mut self, keep: &[&Wanted]) -> Option<Status> {
        let mut waiting = None;
        let applied = self.situation.traffic.applied.as_ref();
        for replica in self.replicas.not_in(keep) {
            if has_exited(replica) {
                self.actions.push(Action::Remove { replica: replica.key.clone() });
                waiting = waiting.or(Some(moving(Phase::Stop, "the old replicas are being removed")));
                continue;
            }
            let routed =
                applied.is_some_and(|applied| with_backends(&applied.table).any(|key| key == &replica.key));
            let drained = self.replicas.in_flight(&replica.key) == 0
                || passed(applied.map(|applied| applied.since), DRAIN_LIMIT, self.situation.now);
            if routed || !drained {
                waiting = Some(moving(Phase::Drain, "the old replicas finish what they have"));
            } else {
                self.actions.push(stop(&replica.key, &self.situation.want, None));
                waiting = waiting.or(Some(moving(Phase::Stop, "the old replicas stop")));
            }
        }
        waiting
    }

    fn starting(&self, changed: &BTreeSet<&ServiceName>) -> Status {
        let want = &self.situation.want.spec;
        let (mut ready, mut all) = (0, 0);
        for service in changed {
            ready += self.replicas.ready(want, service).count();
            all += want.services.get(*service).map_or(0, |spec| spec.replicas);
        }
        let phase = if self.replicas.all_run(want) { Phase::Probe } else { Phase::Start };
        moving(phase, format!("{ready} of {all} new replicas are ready"))
    }

    fn release_command(&mut self) -> ReleaseCommand {
        let Situation { environment, want, released, job, .. } = self.situation;
        let Some(command) = want.spec.release_command.as_ref().filter(|_| !released) else {
            if let Some(job) = job {
                self.actions.push(Action::StopJob { key: job.key.clone() });
            }
            return ReleaseCommand::Done;
        };
        match job.as_ref().map(|job| &job.state) {
            Some(JobState::Finished(exit)) if exit.reason.is_success() => {
                self.released = true;
                ReleaseCommand::Done
            }
            Some(JobState::Finished(exit)) => {
                ReleaseCommand::Failed(release_command_failed(self.situation, &exit.reason))
            }
            Some(_) => ReleaseCommand::Runs,
            None => {
                let key = JobKey {
                    scope: JobScope::Revision(environment.clone(), want.revision),
                    name: "release".into(),
                    attempt: 1,
                };
                // `parse` refuses a release command whose service is not there.
                if let Some(service) = want.spec.services.get(&command.service) {
                    let template = &service.template;
                    let shared = template.mounts.iter().filter(|mount| {
                        want.spec
                            .volumes
                            .get(&mount.volume)
                            .is_some_and(|volume| volume.access == VolumeAccess::Shared)
                    });
                    let job = JobSpec {
                        work: JobWork::Command {
                            image: template.image.to_string(),
                            command: command.command.clone(),
                            workspace: None,
                            caches: BTreeMap::new(),
                            beside: BTreeMap::new(),
                            environment: Some((environment.clone(), shared.cloned().collect())),
                        },
                        variables: template.variables.clone(),
                        limits: template.limits,
                        time_limit: command.time_limit,
                        log_limit_bytes: RELEASE_LOG_LIMIT,
                    };
                    self.actions.push(Action::EnsureJob { key, job: Box::new(job) });
                }
                ReleaseCommand::Runs
            }
        }
    }
}

/// Services of `want` that must become ready before the switch: new ones, others made from something else than before,
/// and those that grow. A service that stays as it is does not hold up the others.
fn changed_services<'w>(want: &'w Wanted, old: Option<&Wanted>) -> BTreeSet<&'w ServiceName> {
    let services = want.spec.services.iter().filter(|(service, spec)| {
        old.and_then(|old| old.spec.services.get(*service))
            .is_none_or(|before| before.template != spec.template || before.replicas < spec.replicas)
    });
    services.map(|(service, _)| service).collect()
}

/// The services in `handed_over`, and those of `old` that have a volume which they must have alone.
fn displaced_services<'w>(
    want: &Wanted,
    old: Option<&'w Wanted>,
    handed_over: &BTreeSet<&'w ServiceName>,
) -> BTreeSet<&'w ServiceName> {
    let volumes: BTreeSet<_> =
        handed_over.iter().flat_map(|service| exclusive_volumes(&want.spec, service)).collect();
    let holders = old
        .into_iter()
        .flat_map(|old| &old.spec.services)
        .filter(|(_, spec)| spec.template.mounts.iter().any(|mount| volumes.contains(&mount.volume)));
    holders.map(|(service, _)| service).chain(handed_over.iter().copied()).collect()
}

enum ReleaseCommand {
    Done,
    Runs,
    Failed(Problem),
}

fn moving(phase: Phase, detail: impl Into<String>) -> Status {
    Status::Moving { phase, detail: detail.into() }
}

/// Whether `limit` has passed since `since`; it has when nobody knows since when.
pub(super) fn passed(since: Option<Timestamp>, limit: Duration, now: Timestamp) -> bool {
    since.is_none_or(|since| elapsed(since, now) >= limit)
}

/// The time between two instants; none when the clock went back.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
