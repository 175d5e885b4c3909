//! Who goes on next, when time passes, what happens meanwhile: all drawn from the seed.

mod deeds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use naru_model::{CommitId, EnvironmentKey, RevisionNumber, Timestamp};
use naru_store::Store;
use naru_store::environment::EnvironmentStatus;
use naru_store::log::LogStore;
use naru_store::revision::Outcome;

use super::mistake::Mistake;
use super::people::People;
use super::process::{Disk, Ended, Failure, Process, Running, Task, Work};
use super::stage::Stage;
use super::switch::Parked;
use super::time::elapsed;
use super::way::Visitors;
use super::{push, rest, runs, trouble};

/// Once nothing goes wrong any more, everything rests within this time of the world.
const CONVERGED_WITHIN: Duration = Duration::from_mins(12);
/// The same while the old side of a canary keeps dying, which is trouble that does not stop.
const JUDGED_WITHIN: Duration = Duration::from_mins(20);
/// Turns in one simulation; more mean that something spins.
const MOST_TURNS: u32 = 8_000;

/// The simulation as a whole.
pub(super) struct Director {
    pub(super) stage: Arc<Stage>,
    /// The rows, as a reader sees them who makes no effects.
    pub(super) store: Store,
    pub(super) logs: LogStore,
    pub(super) people: People,
    disk: Disk,
    processes: Vec<Process>,
    lives: u32,
    next_deed: Timestamp,
    next_happening: Timestamp,
    next_decision: Timestamp,
    visitors: Visitors,
    next_start: Option<Timestamp>,
    next_end: Option<Timestamp>,
    under_way: BTreeMap<(EnvironmentKey, String), Timestamp>,
    targets: BTreeMap<EnvironmentKey, Aimed>,
    calm: bool,
    turns: u32,
}

/// What an environment was aimed at when somebody last looked, and what was in quarantine then.
#[derive(Default)]
struct Aimed {
    target: Option<RevisionNumber>,
    bad: BTreeSet<CommitId>,
}

impl Director {
    pub(super) fn new(stage: &Arc<Stage>, disk: Disk) -> Self {
        let now = stage.now();
        Self {
            stage: stage.clone(),
            store: disk.store.clone(),
            logs: disk.logs.clone(),
            people: People::default(),
            disk,
            processes: Vec::new(),
            lives: 0,
            next_deed: now,
            next_happening: now,
            next_decision: now,
            visitors: Visitors::default(),
            next_start: None,
            next_end: None,
            under_way: BTreeMap::new(),
            targets: BTreeMap::new(),
            calm: false,
            turns: 0,
        }
    }

    /// A busy time with trouble, then calm; at the end somebody deploys once more everywhere. Stops at the first promise
    /// that is broken.
    pub(super) async fn direct(&mut self) {
        self.people.begin(&self.stage.clone(), &self.store.clone()).await;
        let manners = self.stage.trouble().manners;
        self.stage.fake.set_manners(manners);
        self.start_process().await;
        let long = self.stage.chance().between(Duration::from_secs(10), Duration::from_secs(40));
        let end = self.stage.now() + long;
        while self.stage.now() < end && self.goes_on() {
            self.step().await;
        }
        self.calm_down();
        self.rest("after the trouble").await;
        if self.goes_on() {
            rest::check(self).await;
        }
        if self.goes_on() {
            let asked = rest::deploy_everywhere(self).await;
            self.rest("after the last deploys").await;
            if self.goes_on() {
                rest::check(self).await;
                rest::check_last(self, &asked).await;
            }
        }
    }

    pub(super) fn goes_on(&self) -> bool {
        self.stage.promises().broken.is_empty()
    }

    fn calm_down(&mut self) {
        self.stage.tell("nothing goes wrong any more");
        self.calm = true;
        let two = self.processes.len() > 1;
        self.stage.trouble().end();
        self.stage.fake.set_manners(naru_engine::fake::Manners::default());
        self.stage.fake.script_jobs("-release-", naru_engine::fake::JobScript::default());
        self.next_end = None;
        if !two && self.processes.is_empty() {
            self.next_start = Some(self.stage.now());
        }
        let now = self.stage.now();
        for task in self.processes.iter_mut().flat_map(|process| &mut process.tasks) {
            task.due = now;
        }
    }

    /// Lets everything come to rest.
    async fn rest(&mut self, when: &str) {
        let began = self.stage.now();
        while self.goes_on() {
            self.step().await;
            if self.is_quiet() && rest::is_at_rest(self).await {
                self.stage.tell(format!("everything rests {when}"));
                return;
            }
            let passed = elapsed(began, self.stage.now());
            if passed >= JUDGED_WITHIN
                || (passed >= CONVERGED_WITHIN && !rest::waits_for_a_judgement(self).await)
            {
                let why = rest::why_not(self).await;
                self.stage.broken(format!("no rest {when} after {passed:?}: {why}"));
            }
        }
    }

    /// Nothing is under way, and nothing is due soon.
    fn is_quiet(&self) -> bool {
        let soon = self.stage.now() + Duration::from_millis(300);
        let mut tasks = self.processes.iter().flat_map(|process| &process.tasks);
        !self.processes.is_empty() && tasks.all(|task| task.running.is_none() && task.due > soon)
    }

    /// One turn, or some time.
    async fn step(&mut self) {
        self.turns += 1;
        if self.turns > MOST_TURNS {
            self.stage.broken(format!("it takes more than {MOST_TURNS} turns"));
            return;
        }
        self.events().await;
        let waits = self.stage.chance().permille(if self.calm { 20 } else { 100 });
        match self.choose() {
            Some((process, task)) if !waits || self.must_go_on(process, task) => {
                self.turn(process, task).await;
                let spent = self.stage.chance().between(Duration::ZERO, Duration::from_millis(20));
                self.pass_time(spent);
            }
            Some(_) => {
                let spent = self.stage.chance().between(Duration::from_millis(10), Duration::from_secs(1));
                self.pass_time(spent);
            }
            None => {
                let next = self.next_time();
                let now = self.stage.now();
                self.pass_time(elapsed(now, next).max(Duration::from_millis(1)));
            }
        }
        let keys = self.people.environments();
        let stage = self.stage.clone();
        stage.promises().look(&stage, &keys);
        for project in self.people.crossing() {
            for key in &project.environments {
                stage.promises().look_at_crossing(&stage, key, project.way);
            }
        }
    }

    /// Time passes, but no call under way misses its limit.
    fn pass_time(&mut self, long: Duration) {
        let now = self.stage.now();
        let running = self.processes.iter().flat_map(|process| &process.tasks);
        let limit = running.filter_map(|task| task.running.as_ref()).map(|running| running.parked.by).min();
        let end = limit.map_or(now + long, |limit| limit.min(now + long));
        let passed = elapsed(now, end);
        self.stage.world.advance(passed);
        self.visitors.come(&self.stage, &self.people.projects, self.calm, passed);
        self.stage.end_requests(&mut self.under_way);
    }

    /// A task that can go on: one whose limit has come, or any.
    fn choose(&self) -> Option<(usize, usize)> {
        let now = self.stage.now();
        let mut able = Vec::new();
        for (p, process) in self.processes.iter().enumerate() {
            for (t, task) in process.tasks.iter().enumerate() {
                match &task.running {
                    Some(running) if running.parked.by <= now => return Some((p, t)),
                    Some(running) if running.parked.not_before <= now => able.push((p, t)),
                    None if task.due <= now => able.push((p, t)),
                    _ => {}
                }
            }
        }
        self.stage.chance().one_of(&able).copied()
    }

    fn must_go_on(&self, process: usize, task: usize) -> bool {
        let running = &self.processes[process].tasks[task].running;
        running.as_ref().is_some_and(|running| running.parked.by <= self.stage.now())
    }

    /// When something can go on again.
    fn next_time(&self) -> Timestamp {
        let tasks = self.processes.iter().flat_map(|process| &process.tasks);
        let tasks =
            tasks.map(|task| task.running.as_ref().map_or(task.due, |running| running.parked.not_before));
        let mut times: Vec<Timestamp> = tasks.collect();
        times.extend(self.next_start);
        times.extend(self.people.crossing().next().map(|_| self.next_decision));
        if !self.calm {
            times.extend([self.next_deed, self.next_happening]);
            times.extend(self.next_end);
        }
        times.into_iter().min().unwrap_or(self.stage.now() + Duration::from_secs(1))
    }

    async fn turn(&mut self, process: usize, index: usize) {
        let now = self.stage.now();
        let who = self.processes[process].who.clone();
        let work = self.processes[process].tasks[index].work.clone();
        let under_way = self.processes[process].tasks[index].running.take();
        let mut running = under_way.unwrap_or_else(|| {
            self.stage.tell(format!("{who}: {work} begins"));
            let parked = Parked { place: String::new(), not_before: now, by: now, crash: false };
            Running { future: self.processes[process].begin(&work), parked, began: now }
        });
        match self.stage.switch.turn(&mut running.future).await {
            Err(parked) if parked.crash => {
                self.stage.tell(format!("CRASH of {}", parked.place));
                drop(running);
                self.end_process(process);
            }
            Err(parked) => {
                let began = running.began;
                running.parked = parked;
                self.processes[process].tasks[index].running = Some(running);
                self.wake(process, began).await;
            }
            Ok(ended) => {
                let began = running.began;
                if let (Work::Reconcile(key), Ended::Look(Ok(wait))) = (&work, &ended)
                    && *wait >= Duration::from_secs(5)
                    && !self.is_retrying(key).await
                {
                    self.stage.promises().mended(&who, key, began);
                }
                self.ended(process, index, ended);
                self.wake(process, began).await;
            }
        }
    }

    /// Whether the last pass over an environment did not get through: it waits, and nothing is mended.
    async fn is_retrying(&self, key: &EnvironmentKey) -> bool {
        let row = self.store.environment(key).await.expect("the store answers");
        row.is_some_and(|row| matches!(row.status, EnvironmentStatus::Retrying { .. }))
    }

    fn ended(&mut self, process: usize, index: usize, ended: Ended) {
        let now = self.stage.now();
        let who = self.processes[process].who.clone();
        let task: &mut Task = &mut self.processes[process].tasks[index];
        let (said, wait) = match ended {
            Ended::Pass(Ok(())) => ("done".to_owned(), task.work.timer()),
            Ended::Look(Ok(again)) => (format!("look again in {again:?}"), again),
            Ended::Look(Err(Failure::Stale(why))) => (format!("stale: {why}"), Duration::ZERO),
            Ended::Pass(Err(error)) | Ended::Look(Err(Failure::Other(error))) => {
                (error, Duration::from_secs(2))
            }
            Ended::Over => {
                self.stage.tell(format!("{who}: {} ends", task.work));
                self.processes[process].tasks.remove(index);
                return;
            }
            Ended::Answered(answer) => {
                self.stage.tell(format!("{who}: {} -> {answer:?}", task.work));
                let done = self.processes[process].tasks.remove(index);
                if let (Work::Ask(deed), Ok(_)) = (done.work, &answer) {
                    self.people.given_up.extend(deed.gives_up());
                }
                if let Ok(Some(promise)) = answer
                    && !self.stage.makes(Mistake::AcknowledgedBeforeStored)
                {
                    self.people.acknowledged.push(promise);
                }
                return;
            }
        };
        // Nobody is ever woken sooner than asked, and many are woken late.
        let late = self.stage.chance().below(if wait < Duration::from_secs(1) { 8 } else { 2 });
        task.due = now + wait + wait * u32::try_from(late).unwrap_or(0);
        self.stage.tell(format!("{who}: {} ends: {said}", task.work));
    }

    /// What rang wakes the process's tasks, late and in any order, or not at all.
    async fn wake(&mut self, process: usize, began: Timestamp) {
        let stage = self.stage.clone();
        let now = stage.now();
        self.processes[process].take_begun(now);
        if self.processes[process].should_look_at_runs() {
            runs::look(self, began).await;
        }
        if self.processes[process].should_list() {
            let keys = self.store.environment_keys().await.expect("the store answers");
            self.processes[process].look_after(&keys, now);
            self.look_at_targets(&keys).await;
            self.look_at_rollouts(&keys).await;
        }
        let process = &mut self.processes[process];
        let most = Duration::from_millis(if self.calm { 10 } else { 800 });
        process.wake(
            || now + stage.chance().between(Duration::ZERO, most),
            || stage.chance().permille(stage.trouble().lost_wake_permille),
        );
    }

    /// Nobody aims at what is in quarantine, under whatever number; but what serves may be returned to.
    async fn look_at_targets(&mut self, keys: &[EnvironmentKey]) {
        for key in keys {
            let Some(row) = self.store.environment(key).await.expect("the store answers") else { continue };
            let revisions = self.store.revisions(key, 1000).await.expect("the store answers");
            let commit =
                |number| revisions.iter().find(|one| one.number == number).map(|one| one.commit.clone());
            let bad = self.store.quarantined(key).await.expect("the store answers");
            let bad: BTreeSet<_> = bad.iter().filter_map(|bad| commit(bad.revision)).collect();
            let last = self.targets.insert(key.clone(), Aimed { target: row.target, bad: bad.clone() });
            let last = last.unwrap_or_default();
            let Some(target) = row.target.filter(|_| last.target != row.target && row.target != row.serving)
            else {
                continue;
            };
            // What was good when it was aimed at may be left a moment later.
            if commit(target).is_some_and(|commit| bad.contains(&commit) && last.bad.contains(&commit)) {
                self.stage.broken(format!("{key}: revision {target} is in quarantine and aimed at again"));
            }
        }
    }

    /// Of an environment's rollouts one moves.
    async fn look_at_rollouts(&self, keys: &[EnvironmentKey]) {
        let moved = |key: &&EnvironmentKey| self.people.crossing().any(|one| one.environments.contains(key));
        for key in keys.iter().filter(moved) {
            let rollouts = self.store.rollouts(key, 100).await.expect("the store answers");
            let moving = rollouts.iter().filter(|rollout| rollout.outcome == Outcome::Moving);
            let moving: Vec<_> = moving.map(|rollout| rollout.revision).collect();
            if moving.len() > 1 {
                self.stage.broken(format!("{key}: the rollouts to {moving:?} move at the same time"));
            }
        }
    }

    async fn events(&mut self) {
        let now = self.stage.now();
        if self.next_start.is_some_and(|at| at <= now) {
            self.next_start = None;
            self.start_process().await;
        }
        if self.next_decision <= now && self.people.crossing().next().is_some() {
            let wait = self.stage.apart().between(Duration::from_secs(2), Duration::from_secs(20));
            self.next_decision = now + wait;
            self.somebody_decides().await;
        }
        if self.calm {
            return;
        }
        if self.next_end.is_some_and(|at| at <= now) {
            self.next_end = None;
            if self.processes.len() > 1 {
                let which = self.stage.chance().below(2);
                self.stage.tell(format!("{} is ended", self.processes[which].who));
                self.end_process(which);
            }
        }
        if self.next_deed <= now {
            self.next_deed =
                now + self.stage.chance().between(Duration::from_secs(1), Duration::from_secs(15));
            self.somebody_acts().await;
        }
        if self.next_happening <= now {
            let wait = self.stage.chance().between(Duration::from_millis(500), Duration::from_secs(12));
            self.next_happening = now + wait;
            let keys = self.people.environments();
            let none_runs =
                self.processes.iter().flat_map(|one| &one.tasks).all(|task| task.running.is_none());
            if let Some(request) = trouble::happen(&self.stage, &keys, none_runs) {
                self.under_way.insert((request.key, request.replica), now + request.long);
            }
        }
    }

    async fn start_process(&mut self) {
        self.lives += 1;
        let who = format!("serve{}", self.lives);
        self.stage.tell(format!("{who} starts"));
        if self.processes.is_empty() {
            // The lock on the data folder says that whoever held a lease has ended.
            self.store.end_leases().await.expect("the store answers");
            // And that whoever received a push and did not settle it never will.
            let (stage, store) = (self.stage.clone(), self.store.clone());
            push::settle_forgotten(stage, store, Duration::ZERO).await.expect("the store answers");
        }
        let pushes = self.people.projects.iter().any(|project| project.pushed);
        let mut process = Process::start(&self.stage, who, &self.disk, pushes);
        let keys = self.store.environment_keys().await.expect("the store answers");
        process.look_after(&keys, self.stage.now());
        self.processes.push(process);
        let trouble = self.stage.trouble().clone();
        if trouble.two_processes && !self.calm {
            let mut chance = self.stage.chance();
            let now = self.stage.now();
            if self.processes.len() == 1 {
                self.next_start = Some(now + chance.between(Duration::from_secs(1), Duration::from_secs(20)));
            } else {
                self.next_end = Some(now + chance.between(Duration::from_secs(1), Duration::from_mins(1)));
            }
        }
    }

    /// Nothing of the process goes on.
    fn end_process(&mut self, which: usize) {
        drop(self.processes.remove(which));
        if self.processes.is_empty() || self.stage.trouble().two_processes {
            let wait = self.stage.chance().between(Duration::ZERO, Duration::from_secs(20));
            self.next_start = Some(self.stage.now() + wait);
        }
    }
}
