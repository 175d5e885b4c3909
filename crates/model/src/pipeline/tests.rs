//! Situations in, plans out.

use std::fmt::Write as _;

use super::*;
use crate::definition::parse;
use crate::id::RunNumber;
use crate::job::{JobExit, JobKey, JobScope, JobSeen, JobState};

const FILE: &str = "
pipeline:
  lint: { image: rust, run: lint }
  test: { image: rust, run: test, timeout: 60s }
  publish: { image: rust, run: publish, needs: [build:web] }
services:
  web: { build: { needs: [test] }, port: 80 }
  site: { build: { static: . } }
";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn exit(code: i32, second: i64) -> JobState {
    JobState::Finished(JobExit { reason: ExitReason::Exited { code }, started: None, finished: at(second) })
}

/// A run under test: what is recorded, and what the engine has.
struct Story {
    graph: StepGraph,
    state: RunState,
    cancel: bool,
    room: usize,
    steps: Vec<StepRecord>,
    jobs: Vec<JobSeen>,
    log: String,
}

impl Story {
    fn new() -> Self {
        let graph = StepGraph::of(&parse(FILE).unwrap());
        let steps = graph.waiting();
        Self {
            graph,
            state: RunState::Queued,
            cancel: false,
            room: 9,
            steps,
            jobs: Vec::new(),
            log: String::new(),
        }
    }

    fn job(&mut self, name: &str, attempt: u32, state: JobState) {
        let scope = JobScope::Run("shop".parse().unwrap(), RunNumber(1));
        let key = JobKey { scope, name: name.into(), attempt };
        self.jobs.retain(|job| job.key != key);
        self.jobs.push(JobSeen { key, state, outputs: BTreeMap::new() });
    }

    fn log_is_complete(&mut self, name: &str) {
        self.steps.iter_mut().find(|step| step.name.to_string() == name).unwrap().log_complete = true;
    }

    /// One pass; stopped jobs are gone afterwards.
    fn pass(&mut self, second: i64) -> &mut Self {
        let plan = plan_run(&RunFacts {
            state: self.state,
            cancel: self.cancel,
            graph: &self.graph,
            steps: &self.steps,
            jobs: &self.jobs,
            room: self.room,
            now: at(second),
        });
        let steps: Vec<String> =
            plan.steps.iter().map(|step| format!("{}={}", step.name, step.state)).collect();
        writeln!(self.log, "{second:>3} s {}: {}", plan.state, steps.join(" ")).unwrap();
        for action in &plan.actions {
            writeln!(self.log, "      {action:?}").unwrap();
            if let RunAction::Stop(name, attempt) = action {
                self.jobs
                    .retain(|job| job.key.name != name.job_name().as_str() || job.key.attempt != *attempt);
            }
        }
        if !plan.wait_for_room.is_empty() {
            writeln!(self.log, "      no room for {:?}", plan.wait_for_room).unwrap();
        }
        if plan.cleared {
            self.log.push_str("      cleared\n");
        }
        self.state = plan.state;
        self.steps = plan.steps;
        self
    }
}

#[test]
fn a_green_run() {
    let mut story = Story::new();
    story.pass(0);
    for name in ["lint", "test", "build-site"] {
        story.job(name, 1, JobState::Running { since: at(1) });
    }
    story.pass(1);
    for name in ["lint", "test", "build-site"] {
        story.job(name, 1, exit(0, 5));
    }
    story.pass(5);
    for name in ["lint", "test", "build:site"] {
        story.log_is_complete(name);
    }
    story.job("build-web", 1, exit(0, 7));
    story.pass(7);
    story.job("publish", 1, exit(0, 8));
    story.log_is_complete("build:web");
    story.pass(8);
    story.log_is_complete("publish");
    story.pass(9).pass(10);
    insta::assert_snapshot!(story.log, @r#"
     0 s running: lint=starting publish=waiting test=starting build:site=starting build:web=waiting
         Start(Step("lint"), 1)
         Start(Step("test"), 1)
         Start(Build("site"), 1)
     1 s running: lint=running publish=waiting test=running build:site=running build:web=waiting
         Collect(Step("lint"), 1)
         Collect(Step("test"), 1)
         Collect(Build("site"), 1)
     5 s running: lint=succeeded publish=waiting test=succeeded build:site=succeeded build:web=starting
         Start(Build("web"), 1)
         Collect(Step("lint"), 1)
         Collect(Step("test"), 1)
         Collect(Build("site"), 1)
     7 s running: lint=succeeded publish=starting test=succeeded build:site=succeeded build:web=succeeded
         Start(Step("publish"), 1)
         Stop(Step("lint"), 1)
         Stop(Step("test"), 1)
         Stop(Build("site"), 1)
         Collect(Build("web"), 1)
     8 s succeeded: lint=succeeded publish=succeeded test=succeeded build:site=succeeded build:web=succeeded
         Stop(Build("web"), 1)
         Collect(Step("publish"), 1)
     9 s succeeded: lint=succeeded publish=succeeded test=succeeded build:site=succeeded build:web=succeeded
         Stop(Step("publish"), 1)
    10 s succeeded: lint=succeeded publish=succeeded test=succeeded build:site=succeeded build:web=succeeded
         cleared
    "#);
}

#[test]
fn a_failure_skips_what_needs_it_and_keeps_its_log() {
    let mut story = Story::new();
    story.pass(0);
    story.job("test", 1, exit(101, 3));
    story.job("lint", 1, JobState::Running { since: at(1) });
    story.job("build-site", 1, JobState::Preparing);
    story.pass(3);
    story.job("lint", 1, exit(0, 4));
    story.job("build-site", 1, exit(0, 4));
    story.pass(4);
    for name in ["lint", "test", "build:site"] {
        story.log_is_complete(name);
    }
    story.pass(5).pass(6);
    insta::assert_snapshot!(story.log, @r#"
    0 s running: lint=starting publish=waiting test=starting build:site=starting build:web=waiting
        Start(Step("lint"), 1)
        Start(Step("test"), 1)
        Start(Build("site"), 1)
    3 s running: lint=running publish=skipped test=failed build:site=starting build:web=skipped
        Collect(Step("lint"), 1)
        Start(Build("site"), 1)
        Collect(Step("test"), 1)
    4 s running: lint=succeeded publish=skipped test=failed build:site=succeeded build:web=skipped
        Collect(Step("test"), 1)
        Collect(Step("lint"), 1)
        Collect(Build("site"), 1)
    5 s failed: lint=succeeded publish=skipped test=failed build:site=succeeded build:web=skipped
        Stop(Step("test"), 1)
        Stop(Step("lint"), 1)
        Stop(Build("site"), 1)
    6 s failed: lint=succeeded publish=skipped test=failed build:site=succeeded build:web=skipped
        cleared
    "#);
}

#[test]
fn a_cancelled_run_stops_its_jobs() {
    let mut story = Story::new();
    story.room = 2;
    story.pass(0);
    story.job("lint", 1, exit(0, 1));
    story.job("build-site", 1, JobState::Running { since: at(1) });
    story.cancel = true;
    story.pass(2).pass(3);
    story.log_is_complete("lint");
    story.pass(4).pass(5);
    insta::assert_snapshot!(story.log, @r#"
    0 s running: lint=starting publish=waiting test=starting build:site=waiting build:web=waiting
        Start(Step("lint"), 1)
        Start(Step("test"), 1)
        no room for [Build("site")]
    2 s cancelled: lint=succeeded publish=cancelled test=cancelled build:site=cancelled build:web=cancelled
        Stop(Step("test"), 1)
        Collect(Step("lint"), 1)
        Stop(Build("site"), 1)
    3 s cancelled: lint=succeeded publish=cancelled test=cancelled build:site=cancelled build:web=cancelled
        Collect(Step("lint"), 1)
    4 s cancelled: lint=succeeded publish=cancelled test=cancelled build:site=cancelled build:web=cancelled
        Stop(Step("lint"), 1)
    5 s cancelled: lint=succeeded publish=cancelled test=cancelled build:site=cancelled build:web=cancelled
        cleared
    "#);
}

#[test]
fn a_lost_job_is_ordered_again_a_few_times() {
    let mut story = Story::new();
    story.room = 1;
    story.graph.nodes.retain(|name, _| name.to_string() == "lint");
    story.steps = story.graph.waiting();
    for attempt in 1..=3 {
        story.pass(i64::from(attempt) * 10);
        story.job("lint", attempt, JobState::Running { since: at(1) });
        story.pass(i64::from(attempt) * 10 + 1);
        story.jobs.clear();
    }
    story.pass(41).pass(60);
    insta::assert_snapshot!(story.log, @r#"
    10 s running: lint=starting
         Start(Step("lint"), 1)
    11 s running: lint=running
         Collect(Step("lint"), 1)
    20 s running: lint=starting
         Start(Step("lint"), 2)
    21 s running: lint=running
         Collect(Step("lint"), 2)
    30 s running: lint=starting
         Start(Step("lint"), 3)
    31 s running: lint=running
         Collect(Step("lint"), 3)
    41 s running: lint=failed
    60 s failed: lint=failed
         cleared
    "#);
}

#[test]
fn a_job_that_the_engine_does_not_end_in_time_is_ended_here() {
    let mut story = Story::new();
    story.graph.nodes.retain(|name, _| name.to_string() == "test");
    story.steps = story.graph.waiting();
    story.pass(0);
    story.job("test", 1, JobState::Running { since: at(1) });
    story.pass(121).pass(122).pass(123);
    insta::assert_snapshot!(story.log, @r#"
      0 s running: test=starting
          Start(Step("test"), 1)
    121 s running: test=running
          Collect(Step("test"), 1)
    122 s running: test=failed
          Stop(Step("test"), 1)
    123 s running: test=failed
    "#);
}

#[test]
fn a_preparation_that_a_restart_forgot_is_ordered_again_as_the_same_attempt() {
    let mut story = Story::new();
    story.graph.nodes.retain(|name, _| name.to_string() == "lint");
    story.steps = story.graph.waiting();
    story.pass(0);
    story.job("lint", 1, JobState::Preparing);
    story.pass(1);
    story.jobs.clear();
    story.pass(2);
    story.cancel = true;
    story.pass(3).pass(4);
    insta::assert_snapshot!(story.log, @r#"
    0 s running: lint=starting
        Start(Step("lint"), 1)
    1 s running: lint=starting
        Start(Step("lint"), 1)
    2 s running: lint=starting
        Start(Step("lint"), 1)
    3 s cancelled: lint=cancelled
        Stop(Step("lint"), 1)
    4 s cancelled: lint=cancelled
        cleared
    "#);
}

#[test]
fn steps_are_shown_after_what_they_need() {
    let graph = StepGraph::of(&parse(FILE).unwrap());
    let names: Vec<String> =
        graph.in_order(graph.waiting()).iter().map(|step| step.name.to_string()).collect();
    assert_eq!(names, ["lint", "test", "build:site", "build:web", "publish"]);
}

fn queued(project: &str, number: u32, branch: &str, state: RunState) -> QueuedRun {
    QueuedRun {
        project: project.parse().unwrap(),
        number: RunNumber(number),
        branch: branch.parse().unwrap(),
        state,
    }
}

#[test]
fn newer_commits_supersede_queued_runs_and_branches_take_turns() {
    let runs = [
        queued("shop", 1, "main", RunState::Running),
        queued("shop", 2, "main", RunState::Queued),
        queued("shop", 3, "next", RunState::Queued),
        queued("blog", 1, "main", RunState::Queued),
        queued("shop", 4, "main", RunState::Queued),
    ];
    let plan = plan_queue(&runs, 3);
    assert_eq!(plan.superseded, [("shop".parse().unwrap(), RunNumber(2), RunNumber(4))]);
    let active: Vec<String> =
        plan.active.iter().map(|(project, number)| format!("{project} {number}")).collect();
    assert_eq!(active, ["shop 1", "shop 3", "blog 1"], "the newest of main waits for the one that runs");
    assert_eq!(plan_queue(&runs, 1).active.len(), 1);
}
