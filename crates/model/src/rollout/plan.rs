//! The next actions, in the order in which people would tell them: release command, start, probe, steps or preview, turns,
//! hold and hand over what only one may have, route, watch, drain, stop. Nothing is remembered but
//! [`super::Progress`]: each pass finds its place from what is seen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Action;
use super::failure::{aborted, gave_up};
use super::gate::{
    self, {Gate, Gates},
};
use super::release::{ReleaseCommand, release_command};
use super::replicas::{Keep, Replicas, exclusive_volumes, has_exited, stop};
use super::table::{Lane, Lanes, meanwhile, table, with_backends};
use super::turns::Turns;
use super::watch::{Watch, is_watched, kept_warm, watch};
use super::{Phase, Plan, Progress, ReplicaSeen, Serving, Situation, Stage, Status, Wanted};
use crate::name::ServiceName;
use crate::route::RouteTable;
use crate::time::Timestamp;

/// How long requests of old replicas may take to finish after the switch.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// The same while requests of an exclusive service are held: holding is bounded, so this is shorter.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(2);
/// How long new replicas have the traffic before the old ones are let go: what dies of its first requests gives the
/// traffic back. A replica that had to be started again must first run that long without traffic.
const WATCH: Duration = Duration::from_secs(2);
/// How long a whole move may take before it is given up; steps of a canary and the wait for a person come on top.
pub(super) const MOVE_LIMIT: Duration = Duration::from_mins(30);
/// When to look again while something moves.
const SOON: Duration = Duration::from_millis(150);
/// When to look again at rest: what was changed by hand is noticed within this time.
const AT_REST: Duration = Duration::from_secs(5);
/// When to look again at what is missing or has just been switched to.
const WATCHING: Duration = Duration::from_millis(500);

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
    progress: Option<Progress>,
    look_again: Duration,
}

/// What a move is about.
struct Move<'a> {
    old: Option<&'a Wanted>,
    /// Services that must become ready before the switch.
    changed: BTreeSet<&'a ServiceName>,
    /// Those of them that have a volume alone: their old replica stops before the new one starts.
    handed_over: BTreeSet<&'a ServiceName>,
    /// Those of them whose replicas change places in turns.
    turns: Vec<Turns<'a>>,
    gates: Gates<'a>,
}

impl<'a> Move<'a> {
    fn of(situation: &'a Situation, old: Option<&'a Wanted>) -> Self {
        let want = &situation.want;
        let changed = changed_services(want, old);
        let handed_over = changed.iter().copied().filter(|service| want.spec.is_exclusive(service)).collect();
        let turns = old
            .into_iter()
            .flat_map(|old| changed.iter().filter_map(move |service| Turns::of(want, old, service)));
        let turns = turns.collect();
        Self { old, changed, handed_over, turns, gates: Gates::of(situation, old) }
    }

    fn turns_of(&self, service: &ServiceName) -> Option<&Turns<'a>> {
        self.turns.iter().find(|turns| turns.service == service)
    }
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
            progress: None,
            look_again: AT_REST,
        }
    }

    fn finish(mut self, status: Status) -> Plan {
        let pace = match &status {
            _ if !self.actions.is_empty() || self.progress.is_some() => SOON,
            // A person who promotes wakes the loop; a step takes its time.
            Status::Moving { phase: Phase::Preview, .. } => AT_REST,
            Status::Moving { phase: Phase::Canary, .. } => WATCHING,
            Status::Moving { .. } => SOON,
            _ => AT_REST,
        };
        self.look_again = self.look_again.min(pace);
        Plan {
            actions: self.actions,
            status,
            released: self.released,
            switched: self.switched,
            progress: self.progress,
            look_again: self.look_again,
        }
    }

    /// `want` serves: keep it so, and take away what is left of others.
    fn keep(&mut self) -> Status {
        let want = &self.situation.want;
        match watch(self.situation, &self.replicas) {
            Watch::Calm => {}
            Watch::Uneasy(progress) => self.progress = Some(progress),
            Watch::Failed(problem) => return Status::Failed { problem },
        }
        if let Some(job) = &self.situation.job {
            self.actions.push(Action::StopJob { key: job.key.clone() });
        }
        self.start_missing(want, |_| true);
        let table = table(self.situation, want, &self.replicas);
        let routed = self.publish(&table);
        let leftovers = self.retire_leftovers();
        if is_watched(self.situation) {
            self.look_again = self.look_again.min(WATCHING);
        }

        let missing: Vec<String> = want
            .spec
            .services
            .keys()
            .filter_map(|service| self.replicas.missing(&want.spec, service))
            .collect();
        if !missing.is_empty() {
            self.look_again = self.look_again.min(WATCHING);
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
        if let Some(problem) = aborted(self.situation, old) {
            return Status::Failed { problem: Box::new(problem) };
        }
        if let Some(waiting) = self.release_command(old) {
            return waiting;
        }
        let going = Move::of(self.situation, old);
        if let Some(problem) = gave_up(self.situation, old, &going.changed, &self.replicas) {
            return Status::Failed { problem: Box::new(problem) };
        }
        self.retire_overtaken(old);
        self.start_new(&going);
        if !self.stands_beside(&going) {
            self.keep_old(old, &Lanes::new(), &BTreeSet::new());
            self.note_unready();
            return self.starting(&going.changed);
        }
        if let Some(waiting) = self.pass_gates(&going) {
            return waiting;
        }
        let mut lanes = Lanes::new();
        if let Some(waiting) = self.take_turns(&going, &mut lanes) {
            return waiting;
        }
        if let Some(waiting) = self.hand_over(&going, &mut lanes) {
            return waiting;
        }
        self.switch(&going)
    }

    /// All new replicas are ready: the requests go to them, and once that is so for a while, the move is done.
    fn switch(&mut self, going: &Move<'a>) -> Status {
        let table = table(self.situation, &self.situation.want, &self.replicas);
        if !self.publish(&table) {
            return moving(Phase::Route, "the edge is taking over the routes");
        }
        let routed_since = self.situation.traffic.applied.as_ref().map(|applied| applied.since);
        let can_return = going.old.is_some() && !going.changed.is_empty() && !self.situation.returning;
        if can_return && !passed(routed_since, WATCH, self.situation.now) {
            return moving(Phase::Route, "the new replicas have the traffic and are watched");
        }
        self.switched = true;
        moving(Phase::Drain, "the old replicas finish what they have")
    }

    /// `None` once it is done.
    fn release_command(&mut self, old: Option<&'a Wanted>) -> Option<Status> {
        let (command, action) = release_command(self.situation);
        self.actions.extend(action);
        match command {
            ReleaseCommand::NotNeeded => None,
            ReleaseCommand::Done => {
                self.released = true;
                None
            }
            ReleaseCommand::Runs => {
                self.keep_old(old, &Lanes::new(), &BTreeSet::new());
                Some(moving(Phase::Release, "the release command runs"))
            }
            ReleaseCommand::Failed(problem) => Some(Status::Failed { problem }),
        }
    }

    /// Starts new replicas beside the old ones, as many as there is room for.
    fn start_new(&mut self, going: &Move<'a>) {
        let want = &self.situation.want;
        for service in want.spec.services.keys().filter(|service| !going.handed_over.contains(service)) {
            let room = going.turns_of(service).map_or(usize::MAX, |turns| turns.room(want, &self.replicas));
            self.start(want, service, room);
        }
    }

    /// Whether every new replica that there is room for is ready, so that requests may begin to move. It stays so while
    /// a volume changes hands.
    fn stands_beside(&self, going: &Move<'a>) -> bool {
        let spec = &self.situation.want.spec;
        let begun = going.handed_over.iter().any(|service| self.replicas.any_made_from(spec, service));
        begun
            || going.changed.difference(&going.handed_over).all(|service| match going.turns_of(service) {
                Some(turns) => self.replicas.ready(spec, service).count() >= turns.first_room(),
                None => self.is_complete(service),
            })
    }

    fn is_complete(&self, service: &ServiceName) -> bool {
        self.replicas.missing(&self.situation.want.spec, service).is_none() && self.is_trusted(service)
    }

    fn is_trusted(&self, service: &ServiceName) -> bool {
        self.replicas.is_trusted(&self.situation.want.spec, service, WATCH)
    }

    /// Remembers since when replicas are missing that have been ready already.
    fn note_unready(&mut self) {
        let progress = &self.situation.progress;
        if progress.stage != Stage::Start && progress.unready_since.is_none() {
            self.progress = Some(Progress { unready_since: Some(self.situation.now), ..progress.clone() });
        }
    }

    /// `None` once nothing stands between the ready replicas and the requests.
    fn pass_gates(&mut self, going: &Move<'a>) -> Option<Status> {
        let progress = &self.situation.progress;
        if progress.unready_since.is_some() {
            self.progress = Some(Progress { unready_since: None, ..progress.clone() });
        }
        let (gate, progress) = going.gates.look(self.situation, going.old);
        self.progress = progress.or(self.progress.take());
        match gate {
            Gate::Open => None,
            Gate::Waits { lanes, previewed, status } => {
                if self.keep_old(going.old, &lanes, &previewed) {
                    self.progress = self.progress.take().or_else(|| gate::in_force(self.situation));
                }
                Some(status)
            }
            Gate::Failed(problem) => Some(Status::Failed { problem }),
        }
    }

    /// Lets the replicas of large services change places. `None` once all their new ones are ready.
    fn take_turns(&mut self, going: &Move<'a>, lanes: &mut Lanes<'a>) -> Option<Status> {
        let (want, old) = (&self.situation.want, going.old?);
        for turns in &going.turns {
            let keep = turns.old_to_keep(want, &self.replicas);
            lanes.insert(turns.service, Lane::Mixed { old: keep });
        }
        if going.turns.iter().all(|turns| self.is_complete(turns.service)) {
            return None;
        }
        self.keep_old(Some(old), lanes, &BTreeSet::new());
        for turns in &going.turns {
            let keep = turns.old_to_keep(want, &self.replicas);
            let alive = self.replicas.alive(&old.spec, turns.service);
            self.retire(alive.into_iter().skip(keep).collect());
        }
        Some(self.starting(&going.changed))
    }

    /// Holds the requests of services whose volume changes hands, stops who has it, and starts them anew. `None` once
    /// they are ready.
    fn hand_over(&mut self, going: &Move<'a>, lanes: &mut Lanes<'a>) -> Option<Status> {
        let want = &self.situation.want;
        if going.handed_over.is_empty() {
            return None;
        }
        let displaced = displaced_services(want, going.old, &going.handed_over);
        lanes.extend(displaced.iter().map(|service| (*service, Lane::Held)));
        let holders = self.replicas.holders_of_volumes(want, &going.handed_over);
        if holders.is_empty() {
            self.start_missing(want, |service| going.handed_over.contains(service));
            if going.changed.iter().all(|service| self.is_complete(service)) {
                return None;
            }
            self.keep_old(going.old, lanes, &BTreeSet::new());
            return Some(self.starting(&going.changed));
        }
        if !self.keep_old(going.old, lanes, &BTreeSet::new()) {
            return Some(moving(Phase::Hold, "requests are about to be held"));
        }
        let held_since = self.situation.traffic.applied.as_ref().map(|applied| applied.since);
        for replica in holders {
            let drained = self.replicas.in_flight(&replica.key) == 0
                || passed(held_since, HAND_OVER_LIMIT, self.situation.now);
            if drained {
                self.actions.push(stop(&replica.key, want, going.old));
            }
        }
        Some(moving(Phase::Hold, "requests are held while the old replica gives its volume away"))
    }

    /// Keeps `old` serving, but for the services in other lanes. Says whether the edge does as told.
    fn keep_old(
        &mut self,
        old: Option<&'a Wanted>,
        lanes: &Lanes<'a>,
        previewed: &BTreeSet<&ServiceName>,
    ) -> bool {
        let Some(old) = old else { return true };
        self.start_missing(old, |service| {
            !matches!(lanes.get(service), Some(Lane::Held | Lane::Mixed { .. }))
        });
        let table = meanwhile(self.situation, old, &self.replicas, lanes, previewed);
        self.publish(&table)
    }

    fn start_missing(&mut self, wanted: &'a Wanted, which: impl Fn(&ServiceName) -> bool) {
        for service in wanted.spec.services.keys().filter(|service| which(service)) {
            self.start(wanted, service, usize::MAX);
        }
    }

    fn start(&mut self, wanted: &'a Wanted, service: &ServiceName, room: usize) {
        let (actions, look_again) = self.replicas.start_missing(wanted, service, room);
        self.actions.extend(actions);
        self.look_again = self.look_again.min(look_again.unwrap_or(AT_REST));
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

    /// Stops and removes what `want` does not ask for and is not kept warm.
    fn retire_leftovers(&mut self) -> Option<Status> {
        let mut keep = vec![Keep::all(&self.situation.want)];
        if let Some(replaced) = &self.situation.replaced {
            keep.push(Keep { wanted: &replaced.wanted, services: Some(kept_warm(self.situation)) });
        }
        let leftovers = self.replicas.not_in(&keep);
        self.retire(leftovers)
    }

    /// Stops what was started for a revision that neither serves nor is wanted any more: its move was overtaken.
    fn retire_overtaken(&mut self, old: Option<&'a Wanted>) {
        let keep: Vec<Keep<'_>> =
            [Some(&self.situation.want), old].into_iter().flatten().map(Keep::all).collect();
        let overtaken = self.replicas.made_from_none_of(&keep).collect();
        self.retire(overtaken);
    }

    /// Stops and removes replicas that no request can reach any more.
    fn retire(&mut self, replicas: Vec<&'a ReplicaSeen>) -> Option<Status> {
        let mut waiting = None;
        let applied = self.situation.traffic.applied.as_ref();
        for replica in replicas {
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
}

/// Services of `want` that must become ready before the switch: new ones, others made from something else than before,
/// and those that grow. A service that stays as it is does not hold up the others.
pub(super) fn changed_services<'w>(want: &'w Wanted, old: Option<&Wanted>) -> BTreeSet<&'w ServiceName> {
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

pub(super) fn moving(phase: Phase, detail: impl Into<String>) -> Status {
    Status::Moving { phase, detail: detail.into(), until: None }
}

/// Whether `limit` has passed since `since`; it has when nobody knows since when.
pub(super) fn passed(since: Option<Timestamp>, limit: Duration, now: Timestamp) -> bool {
    since.is_none_or(|since| elapsed(since, now) >= limit)
}

/// The time between two instants; none when the clock went back.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
