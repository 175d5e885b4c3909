//! The rules of a run: which steps may start, what a failure means for the others, when a run is over.
//!
//! The decisions are [`plan_queue`] (which runs go first) and [`plan_run`] (what happens within one run): synchronous, pure
//! and total. They know neither engine nor store; who calls them observes, records, and carries out the actions.

mod queue;
mod run;
mod test_summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use queue::{QueuePlan, QueuedRun, plan_queue};
pub use run::{RunAction, RunFacts, RunPlan, plan_run};
pub use test_summary::TestSummary;

use crate::definition::{NodeName, ProjectDefinition};
use crate::job::ExitReason;
use crate::time::Timestamp;

/// What must happen before what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepGraph {
    /// Every node.
    pub nodes: BTreeMap<NodeName, GraphNode>,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// What must succeed before.
    pub needs: Vec<NodeName>,
    /// How long its job may take.
    pub time_limit: Duration,
}

impl StepGraph {
    /// The steps and builds of a definition.
    pub fn of(definition: &ProjectDefinition) -> Self {
        let steps = definition.pipeline.iter().map(|(name, step)| {
            let node = GraphNode { needs: step.needs.clone(), time_limit: step.timeout.duration() };
            (NodeName::Step(name.clone()), node)
        });
        let builds = definition.builds().map(|(name, build)| {
            let node = GraphNode { needs: build.needs.clone(), time_limit: build.timeout.duration() };
            (NodeName::Build(name.clone()), node)
        });
        Self { nodes: steps.chain(builds).collect() }
    }

    /// Every node as a step that has not begun.
    pub fn waiting(&self) -> Vec<StepRecord> {
        self.nodes.keys().cloned().map(StepRecord::waiting).collect()
    }

    /// Sorts steps for people: each comes after what it needs, and otherwise by name.
    pub fn in_order(&self, mut steps: Vec<StepRecord>) -> Vec<StepRecord> {
        let mut sorted: Vec<StepRecord> = Vec::with_capacity(steps.len());
        while !steps.is_empty() {
            let is_ready = |step: &StepRecord| {
                let needs = self.nodes.get(&step.name).map_or(&[][..], |node| &node.needs);
                needs.iter().all(|need| sorted.iter().any(|done| done.name == *need))
            };
            let (ready, rest): (Vec<_>, Vec<_>) = steps.into_iter().partition(is_ready);
            if ready.is_empty() {
                sorted.extend(rest);
                break;
            }
            sorted.extend(ready);
            steps = rest;
        }
        sorted
    }
}

/// An enumeration that is stored and shown as one word.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
            utoipa::ToSchema,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// As one word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is not known")),
                }
            }
        }
    };
}

word!(
    /// How a run is.
    RunState {
        /// Accepted; nothing of it has started.
        Queued = "queued",
        /// At least one of its steps has started.
        Running = "running",
        /// Every step succeeded, and there is a release.
        Succeeded = "succeeded",
        /// A step failed, or the run could not begin.
        Failed = "failed",
        /// A person ended it.
        Cancelled = "cancelled",
        /// A newer commit of its branch came before it began.
        Superseded = "superseded",
    }
);

impl RunState {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

word!(
    /// How a step is.
    StepState {
        /// What it needs is not done, or there is no room yet.
        Waiting = "waiting",
        /// Its job was ordered; the engine has not shown it yet.
        Starting = "starting",
        /// Its job exists.
        Running = "running",
        /// Its job exited with 0.
        Succeeded = "succeeded",
        /// Its job ended in another way.
        Failed = "failed",
        /// What it needs did not succeed.
        Skipped = "skipped",
        /// A person ended the run.
        Cancelled = "cancelled",
    }
);

impl StepState {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Starting | Self::Running)
    }
}

/// What is known about a step of a run. Kept in the store; one pass reads it and writes the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which node of the graph.
    pub name: NodeName,
    /// How it is.
    pub state: StepState,
    /// Which attempt is or was the last, from 1; 0 before the first.
    pub attempt: u32,
    /// When its job was ordered.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// How its job ended.
    pub exit: Option<ExitReason>,
    /// What its job left: a build leaves `digest`.
    pub outputs: BTreeMap<String, String>,
    /// Whether all that the last attempt printed is stored.
    pub log_complete: bool,
    /// What the test runners in it said, once its log is complete.
    pub tests: Option<TestSummary>,
}

impl StepRecord {
    /// A step that has not begun.
    pub fn waiting(name: NodeName) -> Self {
        Self {
            name,
            state: StepState::Waiting,
            attempt: 0,
            started: None,
            finished: None,
            exit: None,
            outputs: BTreeMap::new(),
            log_complete: false,
            tests: None,
        }
    }
}
