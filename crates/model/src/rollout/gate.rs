//! What stands between ready replicas and all the requests: the steps of canaries, each judged before the next, and a
//! person who promotes what is previewed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::analysis::{Verdict, Window, judge};
use super::failure::{analysed, starved};
use super::plan::{MOVE_LIMIT, elapsed, moving};
use super::table::{Lane, Lanes};
use super::{Decision, Phase, Progress, Situation, Stage, Status, Wanted};
use crate::definition::{Canary, Promotion, Strategy};
use crate::name::ServiceName;
use crate::problem::Problem;
use crate::route::preview_of;

/// The services of a move whose requests do not go over all at once.
#[derive(Default)]
pub(super) struct Gates<'a> {
    canaries: BTreeMap<&'a ServiceName, &'a Canary>,
    previewed: BTreeSet<&'a ServiceName>,
}

/// What the gates say.
pub(super) enum Gate<'a> {
    /// Requests may go over.
    Open,
    /// Not yet: meanwhile these lanes and previews hold.
    Waits { lanes: Lanes<'a>, previewed: BTreeSet<&'a ServiceName>, status: Status },
    /// The new revision is worse than the old one, or nobody could tell in time.
    Failed(Box<Problem>),
}

impl<'a> Gates<'a> {
    /// The gates between `old` and what is wanted. None of them stands in the way of a return, of the first revision, or
    /// of a service that no request reaches.
    pub(super) fn of(situation: &'a Situation, old: Option<&'a Wanted>) -> Self {
        let mut gates = Self::default();
        let Some(old) = old.filter(|_| !situation.returning) else { return gates };
        for (service, spec) in &situation.want.spec.services {
            let moves = old.spec.services.get(service).is_some_and(|before| before.template != spec.template);
            let is_routed =
                |wanted: &Wanted| wanted.spec.routes.iter().any(|route| route.service == *service);
            if !moves || !is_routed(old) || !is_routed(&situation.want) {
                continue;
            }
            match &spec.strategy {
                Strategy::Canary(canary) => drop(gates.canaries.insert(service, canary)),
                Strategy::BlueGreen(settings) if settings.promote == Promotion::Manual => {
                    gates.previewed.insert(service);
                }
                Strategy::BlueGreen(_) | Strategy::Rolling(_) => {}
            }
        }
        gates
    }

    fn is_open(&self) -> bool {
        self.canaries.is_empty() && self.previewed.is_empty()
    }

    fn steps(&self) -> usize {
        self.canaries.values().map(|canary| canary.steps.len()).max().unwrap_or(0)
    }

    /// The stage after step `index`, or the first.
    fn next(&self, index: Option<usize>) -> Stage {
        let next = index.map_or(0, |index| index + 1);
        if next < self.steps() {
            Stage::Step(next)
        } else if self.previewed.is_empty() {
            Stage::Promoted
        } else {
            Stage::Preview
        }
    }

    /// Where requests go at a step; a canary with fewer steps stays at its last.
    fn lanes(&self, index: usize) -> Lanes<'a> {
        let lane = |canary: &Canary| {
            let step = canary.steps.get(index).or(canary.steps.last())?;
            Some(Lane::Shared { percent: step.get(), sticky: canary.sticky.as_ref().map(Into::into) })
        };
        self.canaries.iter().filter_map(|(service, canary)| Some((*service, lane(canary)?))).collect()
    }

    /// Looks at the gates once all new replicas are ready. Also says how far the move is by now, when that changed.
    pub(super) fn look(
        &self,
        situation: &'a Situation,
        old: Option<&Wanted>,
    ) -> (Gate<'a>, Option<Progress>) {
        let progress = &situation.progress;
        let Some(old) = old.filter(|_| !self.is_open()) else { return (Gate::Open, None) };
        match (&situation.decision, progress.stage) {
            (_, Stage::Promoted) => (Gate::Open, None),
            (Some(Decision::Promote { .. }), _) => (Gate::Open, Some(entered(situation, Stage::Promoted))),
            (_, Stage::Start) => {
                let status = moving(Phase::Probe, "the new replicas are ready");
                (self.waits(Lanes::new(), status), Some(entered(situation, self.next(None))))
            }
            (_, Stage::Step(index)) => self.step(situation, old, index),
            (_, Stage::Preview) => (self.preview(situation), None),
        }
    }

    fn waits(&self, lanes: Lanes<'a>, status: Status) -> Gate<'a> {
        Gate::Waits { lanes, previewed: self.previewed.clone(), status }
    }

    fn preview(&self, situation: &Situation) -> Gate<'a> {
        let routes =
            situation.want.spec.routes.iter().filter(|route| self.previewed.contains(&route.service));
        let hosts: BTreeSet<String> = routes.filter_map(|route| preview_of(&route.host)).collect();
        let mut detail = format!("revision {} is ready and waits for promotion", situation.want.revision);
        if !hosts.is_empty() {
            detail.push_str("; it answers at ");
            detail.push_str(&hosts.into_iter().collect::<Vec<_>>().join(", "));
        }
        let last = self.steps().saturating_sub(1);
        self.waits(self.lanes(last), moving(Phase::Preview, detail))
    }

    fn step(&self, situation: &Situation, old: &Wanted, index: usize) -> (Gate<'a>, Option<Progress>) {
        let (progress, now) = (&situation.progress, situation.now);
        let lanes = self.lanes(index);
        let share = lanes.values().find_map(|lane| match lane {
            Lane::Shared { percent, .. } => Some(*percent),
            _ => None,
        });
        let detail =
            format!("{} % of requests go to revision {}", share.unwrap_or_default(), situation.want.revision);
        let Some(since) = progress.since else {
            // The edge may be slow: the step lasts from when its shares are in force.
            return (self.waits(lanes, moving(Phase::Canary, "the edge is taking over the shares")), None);
        };
        if progress.counting_since != situation.traffic.counting_since {
            // Another edge counts, from nothing: so does the step, but for its pause.
            let counting_since = situation.traffic.counting_since;
            let anew = Progress { counting_since, baseline: Vec::new(), ..progress.clone() };
            return (self.waits(lanes, moving(Phase::Canary, detail)), Some(anew));
        }
        let pause = self.canaries.values().map(|canary| canary.pause.duration()).max().unwrap_or_default();
        let over = elapsed(since, now) >= pause;
        match self.verdict(situation, old, over) {
            Verdict::Bad(why) => (Gate::Failed(Box::new(analysed(situation, old, why))), None),
            Verdict::TooFew(why) if elapsed(since, now) > pause + MOVE_LIMIT => {
                (Gate::Failed(Box::new(starved(situation, old, why))), None)
            }
            _ if !over => {
                let status = Status::Moving { phase: Phase::Canary, detail, until: Some(since + pause) };
                (self.waits(lanes, status), None)
            }
            Verdict::TooFew(_) => {
                let detail = format!("{detail}; too few were answered to judge by");
                (self.waits(lanes, moving(Phase::Canary, detail)), None)
            }
            Verdict::Good => {
                let next = entered(situation, self.next(Some(index)));
                (self.waits(lanes, moving(Phase::Canary, detail)), Some(next))
            }
        }
    }

    /// The verdict on all canaries: one that is bad speaks for all, one that has too little to go by holds up the others.
    fn verdict(&self, situation: &Situation, old: &Wanted, over: bool) -> Verdict {
        let (before, now) = (&situation.progress.baseline, &situation.traffic.figures);
        let mut bad = Vec::new();
        let mut too_few = None;
        for (service, canary) in &self.canaries {
            let new = Window::between(service, situation.want.revision, before, now);
            let old = Window::between(service, old.revision, before, now);
            match judge(&canary.analysis, &new, &old, over) {
                Verdict::Bad(why) => bad.extend(why),
                Verdict::TooFew(why) => too_few = Some(why),
                Verdict::Good => {}
            }
        }
        match too_few {
            _ if !bad.is_empty() => Verdict::Bad(bad),
            Some(why) => Verdict::TooFew(why),
            None => Verdict::Good,
        }
    }

    /// How long the stage may last before the move is given up for taking too long; `None` for as long as it wants, or
    /// as the stage itself says.
    pub(super) fn limit(stage: Stage) -> Option<Duration> {
        match stage {
            Stage::Start | Stage::Promoted => Some(MOVE_LIMIT),
            Stage::Step(_) | Stage::Preview => None,
        }
    }
}

/// A stage that was just decided. A step begins when its shares are in force: see [`in_force`].
fn entered(situation: &Situation, stage: Stage) -> Progress {
    let since = (!matches!(stage, Stage::Step(_))).then_some(situation.now);
    Progress { stage, since, ..Progress::default() }
}

/// A step whose shares are in force by now: what is counted from here on is its own. `None` when it has begun already.
pub(super) fn in_force(situation: &Situation) -> Option<Progress> {
    let progress = &situation.progress;
    let waits = matches!(progress.stage, Stage::Step(_)) && progress.since.is_none();
    waits.then(|| Progress {
        since: Some(situation.now),
        counting_since: situation.traffic.counting_since,
        baseline: situation.traffic.figures.clone(),
        ..progress.clone()
    })
}
