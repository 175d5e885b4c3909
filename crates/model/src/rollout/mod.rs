//! Moving an environment from one revision to another: what is wanted, what is seen, and the actions between.
//!
//! The decision is [`plan`]: synchronous, pure and total. It names no engine and no store. It is one state machine for
//! all strategies: `plan` tells the order, `gate` what stands between ready replicas and all the requests, `analysis`
//! what a step of a canary has shown, `turns` how many replicas change places at once, `watch` what happens after the
//! switch, `table` where requests go meanwhile.

mod analysis;
mod failure;
mod gate;
mod plan;
mod release;
mod replicas;
mod table;
mod turns;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use plan::plan;
pub use watch::remembers;

use crate::id::{EnvironmentKey, RevisionNumber};
use crate::job::{ExitReason, JobKey, JobSeen, JobSpec};
use crate::maintenance::Maintenance;
use crate::name::ServiceName;
use crate::problem::Problem;
use crate::route::{RevisionFigures, RouteTable, TrafficSeen};
use crate::time::{Timestamp, is_ahead};
use crate::workload::{EnvironmentSpec, ServiceSpec, TemplateHash};

/// Names one replica of an environment. `revision` is the one it was first started for; `attempt` counts restarts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaKey {
    /// Which service.
    pub service: ServiceName,
    /// The revision it was started for.
    pub revision: RevisionNumber,
    /// Counts from 0 within service and revision.
    pub index: u32,
    /// Counts from 0; a replica that exited comes back with the next number.
    pub attempt: u32,
}

impl fmt::Display for ReplicaKey {
    /// `web-41-0`, and `web-41-0-2` after two restarts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.service, self.revision, self.index)?;
        if self.attempt > 0 { write!(f, "-{}", self.attempt) } else { Ok(()) }
    }
}

/// What the engine sees of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Every replica this instance made for the environment, the exited ones included.
    pub replicas: Vec<ReplicaSeen>,
}

/// One replica as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSeen {
    /// Which replica.
    pub key: ReplicaKey,
    /// What it was made from.
    pub template: TemplateHash,
    /// How it is.
    pub state: ReplicaState,
    /// Where it listens, once known.
    pub address: Option<SocketAddr>,
}

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaState {
    /// Created, not running yet (its image may still be pulled).
    Starting,
    /// Running.
    Running {
        /// Since when.
        since: Timestamp,
        /// Whether its probe answers. A worker without a probe is ready after [`crate::workload::Template::SETTLE`].
        ready: bool,
    },
    /// Asked to stop, not gone yet.
    Stopping,
    /// Over; kept until it is removed.
    Exited {
        /// Why.
        reason: ExitReason,
        /// When it had started, if it did.
        started: Option<Timestamp>,
        /// When it ended.
        at: Timestamp,
        /// Its last log lines, secrets masked.
        last_lines: Vec<String>,
    },
}

/// One change to the world. Named by object and generation: repeating it is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Creates and starts a replica; does nothing when it exists.
    Start {
        /// Its name.
        replica: ReplicaKey,
        /// What it is made from (`replicas` is not read).
        service: Box<ServiceSpec>,
    },
    /// Sends SIGTERM, later SIGKILL; returns at once. Does nothing when it is gone.
    Stop {
        /// Which replica.
        replica: ReplicaKey,
        /// How long it may take before SIGKILL.
        within: Duration,
    },
    /// Removes a replica that exited, or kills and removes one that must not stay.
    Remove {
        /// Which replica.
        replica: ReplicaKey,
    },
    /// Starts or adopts the release command.
    EnsureJob {
        /// Its name.
        key: JobKey,
        /// What it does.
        job: Box<JobSpec>,
    },
    /// Stops and removes a job that is no longer wanted, or whose end has been recorded.
    StopJob {
        /// Which job.
        key: JobKey,
    },
    /// Replaces the environment's routes. Carried out by traffic, not by the engine.
    Publish {
        /// The whole table.
        table: RouteTable,
    },
}

/// What the planner knows. All of it is data; nothing is remembered between passes but what is in here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    /// Which environment.
    pub environment: EnvironmentKey,
    /// The revision that is wanted.
    pub want: Wanted,
    /// What has the traffic, as recorded at the last switch.
    pub serving: Serving,
    /// When the move to `want` began.
    pub since: Timestamp,
    /// How far the move to `want` is, as the last pass left it.
    #[serde(default)]
    pub progress: Progress,
    /// What a person said about the move.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// Whether the move goes back to what served before: then at once, without steps and promotion.
    #[serde(default)]
    pub returning: bool,
    /// What `want` took the traffic from, when it can be returned to.
    #[serde(default)]
    pub replaced: Option<Replaced>,
    /// Whether the release command of `want` has succeeded, or need not run because its content served before.
    pub released: bool,
    /// What the engine sees.
    pub seen: Seen,
    /// The release command's job, if the engine knows it.
    pub job: Option<JobSeen>,
    /// What the edge says.
    pub traffic: TrafficSeen,
    /// What visitors are told instead of being served, while maintenance is on.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// The hour.
    pub now: Timestamp,
}

/// What has the traffic, as recorded at the last switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serving {
    /// Nothing: this is the environment's first revision.
    Nothing,
    /// Another revision: kept alive until the switch, and returned to when the move fails.
    Other(Wanted),
    /// The wanted revision itself.
    Want,
}

/// A revision and what it asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its number.
    pub revision: RevisionNumber,
    /// What it asks for.
    pub spec: EnvironmentSpec,
}

/// How far a move is. A row: what is not in here is found anew in each pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Since when; `None` at the start.
    pub since: Option<Timestamp>,
    /// Since when the figures of `baseline` count.
    pub counting_since: Option<Timestamp>,
    /// What the edge had counted when the stage began.
    pub baseline: Vec<RevisionFigures>,
    /// Since when a service of the revision that was switched to has no ready replica, while it is watched.
    pub unready_since: Option<Timestamp>,
}

impl Progress {
    /// The same, after a clock that was set back: what lies in the future is now, so that a wait lasts its length once more,
    /// and not until the clock has caught up. `None` when nothing lies there.
    pub fn after_set_back(&self, now: Timestamp) -> Option<Self> {
        let mend = |at: Option<Timestamp>| at.map(|at| if is_ahead(at, now) { now } else { at });
        let (since, unready_since) = (mend(self.since), mend(self.unready_since));
        let mended = Self { since, unready_since, ..self.clone() };
        (mended != *self).then_some(mended)
    }
}

/// Where a move stands between ready replicas and all the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Replicas become ready.
    #[default]
    Start,
    /// A canary's step, counting from 0.
    Step(usize),
    /// The new revision is ready, answers at its preview, and waits for a person.
    Preview,
    /// Nothing stands in the way of the switch.
    Promoted,
}

/// What a person said about a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It goes on to the end, without further steps.
    Promote {
        /// Who said so.
        by: String,
    },
    /// It is given up.
    Abort {
        /// Who said so.
        by: String,
    },
}

/// What had the traffic before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// It.
    pub wanted: Wanted,
    /// When it lost the traffic.
    pub switched_at: Timestamp,
}

/// What to do now, and what to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Actions, in order; each is safe only after the ones before it were carried out.
    pub actions: Vec<Action>,
    /// How the environment is.
    pub status: Status,
    /// The release command of the wanted revision has succeeded; to be recorded before the next pass.
    pub released: bool,
    /// The wanted revision has all the traffic from now on; to be recorded before the next pass.
    pub switched: bool,
    /// How far the move is now, when that is something else than the situation says; to be recorded before the next
    /// pass.
    pub progress: Option<Progress>,
    /// When to look again, at the latest.
    pub look_again: Duration,
}

/// How an environment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Status {
    /// Everything that is wanted runs, and nothing else.
    Live,
    /// Under way.
    Moving {
        /// The phase.
        phase: Phase,
        /// One sentence for people, such as "1 of 2 new replicas are ready".
        detail: String,
        /// When the next step of a canary is due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// `want` has all the traffic, but replicas are missing or restarting.
    Degraded {
        /// One sentence for people.
        detail: String,
    },
    /// The move was given up, or its end was taken back: `want` is bad, and what served before has the traffic, or gets
    /// it back.
    Failed {
        /// Why, with evidence.
        problem: Box<Problem>,
    },
}

/// The phases of a rollout, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The release command runs.
    Release,
    /// Requests are held and the old replicas of exclusive volumes stop.
    Hold,
    /// New replicas start.
    Start,
    /// New replicas run and are probed.
    Probe,
    /// A share of the requests goes to the new replicas and is judged.
    Canary,
    /// The new replicas wait for a person.
    Preview,
    /// The edge is told.
    Route,
    /// Old replicas finish what they have.
    Drain,
    /// Old replicas stop.
    Stop,
}

impl Status {
    /// Where a move stands, in one sentence: "25 % of requests go to revision 7; next step in 40 s".
    pub fn sentence(&self, now: Timestamp) -> Option<String> {
        let Self::Moving { detail, until, .. } = self else { return None };
        Some(match until {
            Some(until) => format!("{detail}; next step in {} s", plan::elapsed(now, *until).as_secs()),
            None => detail.clone(),
        })
    }
}
