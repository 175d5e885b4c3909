//! What everything in one simulation shares: the world, its time, the choices, the trace, and what is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use naru_engine::fake::Fake;
use naru_engine::{Engine as _, Traffic as _};
use naru_model::effect::Moment;
use naru_model::pipeline::StepGraph;
use naru_model::rollout::{Action, ReplicaKey};
use naru_model::route::RouteTable;
use naru_model::workload::{Template, TemplateHash};
use naru_model::{Clock, CommitId, EnvironmentKey, Generation, ProjectName, RunNumber, Timestamp};
use naru_source::commits;
use naru_source::deploy::memory::InMemory;

use super::chance::Chance;
use super::mistake::Mistake;
use super::people::Quality;
use super::promise::Promises;
use super::push::Pushed;
use super::runs::Runs;
use super::switch::{Parked, Switch};
use super::time::WallClock;
use super::trouble::Trouble;
use crate::clock::HandClock;

/// A call under a lease ends within this time, whatever happens: less than what is left of a lease that was just looked at.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How much later than it wanted whoever waits is let go on, at most.
const LATE: Duration = Duration::from_secs(1);

/// One simulated world, shared by all that act in it.
pub(super) struct Stage {
    pub(super) world: Arc<HandClock>,
    pub(super) wall: Arc<WallClock>,
    pub(super) fake: Fake,
    pub(super) deploy: InMemory,
    pub(super) sources: commits::memory::InMemory,
    pub(super) switch: Switch,
    pub(super) mistake: Option<Mistake>,
    pub(super) began: Timestamp,
    chance: Mutex<Chance>,
    apart: Mutex<Chance>,
    front: Mutex<Chance>,
    pushed: Mutex<BTreeMap<CommitId, Pushed>>,
    graphs: Mutex<BTreeMap<(ProjectName, RunNumber), StepGraph>>,
    runs: Mutex<Runs>,
    /// How good the content of an image is, and so what is made from it.
    contents: Mutex<BTreeMap<String, Quality>>,
    qualities: Mutex<BTreeMap<TemplateHash, Quality>>,
    trouble: Mutex<Trouble>,
    promises: Mutex<Promises>,
    trace: Mutex<Vec<String>>,
    calls: Mutex<Vec<(EnvironmentKey, Generation, Call)>>,
}

/// A change that was asked for.
#[derive(Clone)]
pub(super) enum Call {
    Act(Action),
    Publish(RouteTable),
}

/// Calls that are remembered.
const REMEMBERED: usize = 30;

impl Stage {
    pub(super) fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        let world = Arc::new(HandClock::default());
        let wall = Arc::new(WallClock::of(world.clone()));
        let mut chance = Chance::of(seed);
        let mut trouble = Trouble::draw(&mut chance);
        if let Some(mistake) = mistake {
            trouble.favour(mistake);
        }
        Self {
            began: world.now(),
            fake: Fake::new(world.clone()),
            deploy: InMemory::new(wall.clone()),
            sources: commits::memory::InMemory::default(),
            world,
            wall,
            switch: Switch::default(),
            mistake,
            chance: Mutex::new(chance),
            apart: Mutex::new(Chance::of(!seed)),
            front: Mutex::new(Chance::of(seed.rotate_left(32))),
            pushed: Mutex::default(),
            graphs: Mutex::default(),
            runs: Mutex::default(),
            contents: Mutex::default(),
            qualities: Mutex::default(),
            trouble: Mutex::new(trouble),
            promises: Mutex::default(),
            trace: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.now()
    }

    pub(super) fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().expect("nothing panics while it chooses")
    }

    /// Choices about strategies, which leave the stories of seeds without them as they are.
    pub(super) fn apart(&self) -> MutexGuard<'_, Chance> {
        self.apart.lock().expect("nothing panics while it chooses")
    }

    /// Choices about what lies before a release.
    pub(super) fn front(&self) -> MutexGuard<'_, Chance> {
        self.front.lock().expect("nothing panics while it chooses")
    }

    /// The commits that people made.
    pub(super) fn pushed(&self) -> MutexGuard<'_, BTreeMap<CommitId, Pushed>> {
        self.pushed.lock().expect("nothing panics while it holds the commits")
    }

    /// What the steps of each run need.
    pub(super) fn graphs(&self) -> MutexGuard<'_, BTreeMap<(ProjectName, RunNumber), StepGraph>> {
        self.graphs.lock().expect("nothing panics while it holds the graphs")
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().expect("nothing panics while it holds the runs")
    }

    /// An image with this content is so good.
    pub(super) fn know_content(&self, content: &str, quality: Quality) {
        self.contents.lock().expect("nothing panics while it writes").insert(content.to_owned(), quality);
    }

    /// A replica is made from a template.
    pub(super) fn know_template(&self, template: &Template) {
        let contents = self.contents.lock().expect("nothing panics while it reads");
        let image = template.image.to_string();
        let known = contents.iter().find(|(content, _)| image.contains(content.as_str()));
        if let Some((_, quality)) = known {
            let mut qualities = self.qualities.lock().expect("nothing panics while it writes");
            qualities.insert(template.hash(), *quality);
        }
    }

    pub(super) fn quality_of(&self, template: &TemplateHash) -> Option<Quality> {
        self.qualities.lock().expect("nothing panics while it reads").get(template).copied()
    }

    /// What each replica of an environment was made from.
    pub(super) fn templates(&self, key: &EnvironmentKey) -> BTreeMap<ReplicaKey, TemplateHash> {
        self.fake.truth(key).replicas.into_iter().map(|seen| (seen.key, seen.template)).collect()
    }

    pub(super) fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().expect("nothing panics while it holds the trouble")
    }

    pub(super) fn promises(&self) -> MutexGuard<'_, Promises> {
        self.promises.lock().expect("nothing panics while it holds the promises")
    }

    pub(super) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// One line of the story, with the world's time.
    pub(super) fn tell(&self, line: impl AsRef<str>) {
        let at = super::time::elapsed(self.began, self.now());
        let line = format!("{:>9.3} s  {}", at.as_secs_f64(), line.as_ref());
        self.trace.lock().expect("nothing panics while it writes").push(line);
    }

    /// A promise that was broken ends the simulation.
    pub(super) fn broken(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format!("BROKEN: {what}"));
        self.promises().broken.push(what);
    }

    pub(super) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.trace.lock().expect("nothing panics while it writes"))
    }

    /// How many rollouts were given up.
    pub(super) fn given_up(&self) -> usize {
        let trace = self.trace.lock().expect("nothing panics while it writes");
        trace.iter().filter(|line| line.ends_with("store.rollout.give-up")).count()
    }

    /// A change was carried out under a generation: one of an older generation is stale from now on.
    pub(super) fn remember(&self, key: &EnvironmentKey, generation: Generation, call: Call) {
        let mut calls = self.calls();
        calls.push((key.clone(), generation, call));
        let surplus = calls.len().saturating_sub(REMEMBERED);
        calls.drain(..surplus);
    }

    /// Whoever knew the generations is not there any more.
    pub(super) fn forget_calls(&self) {
        self.calls().clear();
    }

    /// Repeats a change of an older generation, which must be refused.
    pub(super) fn repeat_stale_call(&self) {
        let stale = {
            let calls = self.calls();
            let is_newer = |one: &Generation, key: &EnvironmentKey, publish: bool| {
                calls.iter().any(|(of, other, call)| {
                    of == key && other > one && matches!(call, Call::Publish(_)) == publish
                })
            };
            let stale: Vec<_> = calls
                .iter()
                .filter(|(key, one, call)| is_newer(one, key, matches!(call, Call::Publish(_))))
                .cloned()
                .collect();
            self.chance().one_of(&stale).cloned()
        };
        let Some((key, stale, call)) = stale else { return };
        let newest = self.calls().iter().filter(|(of, ..)| *of == key).map(|(_, one, _)| *one).max();
        let forged = newest.filter(|_| self.makes(Mistake::StaleWriteAccepted));
        let generation = forged.unwrap_or(stale);
        let done = match &call {
            Call::Act(action) => at_once(self.fake.apply(&key, generation, action)),
            Call::Publish(table) => at_once(self.fake.publish(table, generation)),
        };
        self.tell(format!("{key}: a call of generation {stale} arrives late -> {done:?}"));
        if done.is_ok() && !self.makes(Mistake::StaleWriteAccepted) {
            self.broken(format!("{key}: a stale call is carried out"));
        }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<(EnvironmentKey, Generation, Call)>> {
        self.calls.lock().expect("nothing panics while it holds the calls")
    }

    /// A place where another task may go on, time may pass, or the process may end.
    pub(super) async fn place(&self, who: &str, place: &str, moment: Option<Moment>) {
        let (crash, park) = {
            let (trouble, mut chance) = (self.trouble(), self.chance());
            (chance.permille(trouble.crash_permille), chance.permille(trouble.switch_permille))
        };
        let side = match moment {
            Some(Moment::Before) => ", before",
            Some(Moment::After) => ", after",
            None => "",
        };
        let place = format!("{who}: {place}{side}");
        if crash {
            self.park(place, Duration::ZERO, true).await;
        } else if park {
            self.park(place, Duration::ZERO, false).await;
        }
    }

    /// Parks for at least so long.
    pub(super) async fn park(&self, place: String, at_least: Duration, crash: bool) {
        let now = self.now();
        let by = now + CALL_LIMIT.max(at_least + LATE);
        let parked = Parked { place, not_before: now + at_least, by, crash };
        self.switch.park(parked).await;
    }

    /// Something happened to an environment that its visitors may notice until it has been mended.
    pub(super) fn harm(&self, key: &EnvironmentKey, why: &str) {
        let now = self.now();
        self.promises().harm(key, now, why);
    }

    /// Requests under way, until when; ended ones are forgotten by the world.
    pub(super) fn end_requests(&self, under_way: &mut BTreeMap<(EnvironmentKey, String), Timestamp>) {
        let now = self.now();
        under_way.retain(|(key, replica), until| {
            let goes_on = *until > now;
            if !goes_on {
                self.fake.set_in_flight(key, replica, 0);
            }
            goes_on
        });
    }
}

/// What the fake answers; it never waits.
pub(super) fn at_once<T>(answer: impl Future<Output = T>) -> T {
    futures::FutureExt::now_or_never(answer).expect("the fake answers at once")
}
