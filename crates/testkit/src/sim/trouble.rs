//! What can go wrong in a simulation. Each seed draws some kinds of trouble and leaves others out, so that each is also met
//! alone.

use std::time::Duration;

use naru_engine::Engine as _;
use naru_engine::fake::{EdgeKnows, Manners};
use naru_model::EnvironmentKey;
use naru_model::job::JobScope;
use naru_model::rollout::{ReplicaKey, ReplicaState};

use super::chance::Chance;
use super::mistake::Mistake;
use super::stage::{Stage, at_once};

/// How often what goes wrong, of a thousand opportunities.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    /// The process ends at an effect.
    pub(super) crash_permille: u32,
    /// Another task goes on at an effect.
    pub(super) switch_permille: u32,
    /// A call to the engine or the edge fails: before it did anything, or after and nobody was told.
    pub(super) error_permille: u32,
    /// A call takes long and then counts as failed, whatever it did.
    pub(super) hang_permille: u32,
    /// A change of the store or the deploy repository is refused: busy, or the disk is full.
    pub(super) refusal_permille: u32,
    /// A wake-up is lost; the timer makes good for it.
    pub(super) lost_wake_permille: u32,
    /// Another process runs beside the first for a time.
    pub(super) two_processes: bool,
    /// Kinds of things that happen to the world.
    pub(super) happenings: Vec<Happening>,
    /// How the engine and the edge behave.
    pub(super) manners: Manners,
    /// Releases that do not work.
    pub(super) bad_release_permille: u32,
    /// Whether people edit the deploy repository, and delete projects.
    pub(super) hand_commits: bool,
    pub(super) deletions: bool,
}

/// What happens to the world by itself, or by somebody's hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    ReplicaDies,
    ReplicaFlaps,
    ReplicaRemoved,
    EdgeRestarts,
    ClockJumps,
    Requests,
    /// A call that was thought lost arrives after newer ones.
    StaleCall,
    /// The engine does not know a job any more.
    JobLost,
}

impl Happening {
    const ALL: &[Self] = &[
        Self::ReplicaDies,
        Self::ReplicaFlaps,
        Self::ReplicaRemoved,
        Self::EdgeRestarts,
        Self::ClockJumps,
        Self::Requests,
        Self::StaleCall,
    ];
}

impl Trouble {
    /// What a seed has in store.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let mut some = |of: u32, permille: u32| if chance.permille(of) { permille } else { 0 };
        let (crash_permille, error_permille) = (some(500, 6), some(400, 40));
        let (hang_permille, refusal_permille) = (some(300, 15), some(300, 40));
        let lost_wake_permille = some(400, 300);
        let switch_permille = *chance.one_of(&[0, 100, 200, 500]).expect("four");
        let manners = Manners {
            observed_late: if chance.permille(300) {
                chance.between(Duration::from_millis(50), Duration::from_secs(2))
            } else {
                Duration::ZERO
            },
            applied_late: if chance.permille(400) {
                chance.between(Duration::from_millis(20), Duration::from_secs(1))
            } else {
                Duration::ZERO
            },
            conflict_every: if chance.permille(200) {
                3 + u32::try_from(chance.below(6)).unwrap_or(0)
            } else {
                0
            },
            unreachable: false,
        };
        let happenings = Happening::ALL.iter().copied().filter(|_| chance.permille(400)).collect();
        Self {
            crash_permille,
            switch_permille,
            error_permille,
            hang_permille,
            refusal_permille,
            lost_wake_permille,
            two_processes: chance.permille(400),
            happenings,
            manners,
            bad_release_permille: if chance.permille(600) { 400 } else { 0 },
            hand_commits: chance.permille(300),
            deletions: chance.permille(200),
        }
    }

    /// A mistake is played where it can show.
    pub(super) fn favour(&mut self, mistake: Mistake) {
        match mistake {
            Mistake::AcknowledgedBeforeStored => self.crash_permille = 30,
            Mistake::LeaseNotChecked => {
                self.two_processes = true;
                self.switch_permille = 400;
                self.hang_permille = 80;
            }
            Mistake::StaleWriteAccepted => self.happenings = vec![Happening::StaleCall],
            Mistake::ClockDerivedNames | Mistake::SecondReplicaOnRepeat => {
                self.manners.observed_late = Duration::from_secs(2);
            }
            _ => {}
        }
    }

    /// Nothing goes wrong any more; whoever came beside stays.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// Something happens to the world. Says what.
pub(super) fn happen(stage: &Stage, keys: &[EnvironmentKey], calm: bool) -> Option<Requests> {
    let happening = {
        let (trouble, mut chance) = (stage.trouble(), stage.chance());
        *chance.one_of(&trouble.happenings)?
    };
    match happening {
        Happening::EdgeRestarts => restart_edge(stage, keys),
        Happening::ClockJumps if calm => jump(stage),
        Happening::ClockJumps => {}
        Happening::StaleCall => stage.repeat_stale_call(),
        Happening::JobLost => lose_job(stage),
        Happening::Requests => return requests(stage, keys),
        happening => {
            let (key, replica) = some_replica(stage, keys)?;
            harm_replica(stage, happening, &key, &replica);
        }
    }
    None
}

/// Requests that go on for a time at a replica.
pub(super) struct Requests {
    pub(super) key: EnvironmentKey,
    pub(super) replica: String,
    pub(super) long: Duration,
}

/// A replica that runs.
fn some_replica(stage: &Stage, keys: &[EnvironmentKey]) -> Option<(EnvironmentKey, ReplicaKey)> {
    let key = stage.chance().one_of(keys)?.clone();
    let running: Vec<ReplicaKey> = stage
        .fake
        .truth(&key)
        .replicas
        .into_iter()
        .filter(|replica| matches!(replica.state, ReplicaState::Running { .. }))
        .map(|replica| replica.key)
        .collect();
    let replica = stage.chance().one_of(&running)?.clone();
    Some((key, replica))
}

fn harm_replica(stage: &Stage, happening: Happening, key: &EnvironmentKey, replica: &ReplicaKey) {
    match happening {
        Happening::ReplicaFlaps => {
            let long = stage.chance().between(Duration::from_millis(200), Duration::from_secs(5));
            stage.fake.make_unready(key, replica, long);
            stage.tell(format!("{key}: {replica} does not answer its probe for {long:?}"));
        }
        Happening::ReplicaRemoved => {
            stage.fake.remove_by_hand(key, &replica.to_string());
            stage.tell(format!("{key}: {replica} is removed by hand"));
        }
        _ => {
            stage.fake.kill(key, replica);
            stage.tell(format!("{key}: {replica} dies"));
        }
    }
    stage.harm(key, "a replica was harmed");
}

fn restart_edge(stage: &Stage, keys: &[EnvironmentKey]) {
    let knows = {
        let mut chance = stage.chance();
        *chance.one_of(&[EdgeKnows::All, EdgeKnows::Older, EdgeKnows::Nothing]).expect("three")
    };
    stage.fake.restart_edge(knows);
    stage.fake.forget_figures();
    stage.forget_calls();
    stage.tell(format!("the edge is started anew and knows of its tables: {knows:?}"));
    for key in keys {
        stage.harm(key, "the edge was started anew");
    }
}

/// A job of some run is not there any more.
fn lose_job(stage: &Stage) {
    let mut jobs = Vec::new();
    for scope in at_once(stage.fake.job_scopes()).unwrap_or_default() {
        if matches!(scope, JobScope::Run(..)) {
            jobs.extend(stage.fake.true_jobs(&scope));
        }
    }
    let Some(job) = stage.front().one_of(&jobs).map(|job| job.key.clone()) else { return };
    let _ = at_once(stage.fake.stop_job(&job));
    stage.runs().lost(&job);
    stage.tell(format!("the engine does not know {job} any more"));
}

fn jump(stage: &Stage) {
    let (millis, back) = {
        let mut chance = stage.chance();
        let millis = chance.between(Duration::from_millis(500), Duration::from_mins(3)).as_millis();
        (i64::try_from(millis).unwrap_or(0), chance.permille(500))
    };
    let by = if back { -millis } else { millis };
    stage.wall.jump(by);
    stage.tell(format!("the machine's clock is set by {by} ms"));
}

/// Visitors come to a replica that has a route.
fn requests(stage: &Stage, keys: &[EnvironmentKey]) -> Option<Requests> {
    let key = stage.chance().one_of(keys)?.clone();
    let table = stage.fake.table(&key)?;
    let backends: Vec<String> =
        table.routes.iter().flat_map(|route| &route.backends).map(|one| one.replica.to_string()).collect();
    let (replica, long) = {
        let mut chance = stage.chance();
        let replica = chance.one_of(&backends)?.clone();
        (replica, chance.between(Duration::from_millis(100), Duration::from_secs(20)))
    };
    stage.fake.set_in_flight(&key, &replica, 1);
    stage.tell(format!("{key}: a request to {replica} takes {long:?}"));
    Some(Requests { key, replica, long })
}
