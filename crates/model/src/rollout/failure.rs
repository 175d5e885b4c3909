//! When a move is given up, and the evidence that is shown for it.

use std::collections::BTreeSet;

use super::gate::Gates;
use super::plan::elapsed;
use super::replicas::{Replicas, is_ready};
use super::{Decision, Replaced, ReplicaSeen, ReplicaState, Situation, Stage, Wanted};
use crate::job::ExitReason;
use crate::name::ServiceName;
use crate::problem::Problem;
use crate::time::Timestamp;

/// A new replica that exits so often before it was ready is not going to make it. While requests are held for a volume
/// that changes hands, once is enough: the old replica must come back before the holding ends.
const EXITS: u32 = 3;
/// How many of a replica's last lines are shown.
const LINES: usize = 8;

/// Why the move to `want` cannot succeed any more; `None` while it can.
pub(super) fn gave_up(
    situation: &Situation,
    old: Option<&Wanted>,
    changed: &BTreeSet<&ServiceName>,
    replicas: &Replicas<'_>,
) -> Option<Problem> {
    let want = &situation.want;
    let services = || want.spec.services.iter().filter(|(service, _)| changed.contains(service));
    let fresh: Vec<_> = services()
        .flat_map(|(service, spec)| {
            replicas.made_from(&want.spec, service).map(move |replica| (replica, spec))
        })
        .collect();
    let (mut exits, mut late) = (None, None);
    for (replica, spec) in &fresh {
        match &replica.state {
            ReplicaState::Exited { at, .. } if *at >= situation.since => {
                let limit = if want.spec.is_exclusive(&replica.key.service) { 1 } else { EXITS };
                if replica.key.attempt + 1 >= limit {
                    exits = Some(replica.key.attempt + 1);
                }
            }
            ReplicaState::Starting | ReplicaState::Running { ready: false, .. }
                if unready_since(situation, replica)
                    .is_some_and(|since| elapsed(since, situation.now) > spec.template.ready_within) =>
            {
                late = Some(spec.template.ready_within);
            }
            _ => {}
        }
    }
    let begun = situation.progress.since.map_or(situation.since, |since| since.max(situation.since));
    let limit = Gates::limit(situation.progress.stage);
    let took = limit.filter(|limit| elapsed(begun, situation.now) > *limit);
    if exits.is_none() && late.is_none() && took.is_none() {
        return None;
    }
    let wanted: u32 = services().map(|(_, spec)| spec.replicas).sum();
    let ready = fresh.iter().filter(|(replica, _)| is_ready(replica)).count();
    let within = late.or(took);
    let headline = match within {
        Some(within) => {
            format!("{ready} of {wanted} new replicas became ready within {} s", within.as_secs())
        }
        None if exits == Some(1) => format!("{ready} of {wanted} new replicas became ready, and one exited"),
        None => format!("{ready} of {wanted} new replicas became ready, and one exited {EXITS} times"),
    };
    let mut problem = start_problem(situation, old, "delivery.unhealthy").cause(headline);
    for (replica, spec) in fresh.iter().filter(|(replica, _)| !is_ready(replica)).take(4) {
        problem = describe(problem, situation, replica, spec.template.port);
    }
    Some(hints(problem, situation))
}

/// Since when a new replica is not ready: since it runs, or, once all were ready, since the first was not any more.
fn unready_since(situation: &Situation, replica: &ReplicaSeen) -> Option<Timestamp> {
    match (situation.progress.stage, &replica.state) {
        (Stage::Start, ReplicaState::Running { since, .. }) => Some(*since),
        (Stage::Start, _) => None,
        _ => situation.progress.unready_since,
    }
}

/// A person gave the move up.
pub(super) fn aborted(situation: &Situation, old: Option<&Wanted>) -> Option<Problem> {
    let Some(Decision::Abort { by }) = &situation.decision else { return None };
    let problem =
        start_problem(situation, old, "delivery.aborted").cause(format!("{by} gave the rollout up"));
    Some(problem.hint("deliver it again when its time has come:").command(deploy(situation)))
}

/// A step of a canary showed that the new revision is worse.
pub(super) fn analysed(situation: &Situation, old: &Wanted, why: Vec<String>) -> Problem {
    let problem = start_problem(situation, Some(old), "delivery.analysis");
    hints(why.into_iter().fold(problem, Problem::cause), situation)
}

/// A step of a canary had too few requests to go by.
pub(super) fn starved(situation: &Situation, old: &Wanted, why: String) -> Problem {
    start_problem(situation, Some(old), "delivery.no-data")
        .cause(why)
        .cause("without enough requests nothing says that the new revision is as good as the old one")
        .hint("promote the next one yourself while it waits, or ask for fewer `requests` in its `analysis`:")
        .command(format!(
            "naru rollout promote --project {} --environment {}",
            situation.environment.project, situation.environment.environment
        ))
}

/// The revision failed soon after it got all the traffic.
pub(super) fn crashed(situation: &Situation, replaced: &Replaced, replicas: &[&ReplicaSeen]) -> Problem {
    let project = &situation.environment.project;
    let environment = &situation.environment.environment;
    let after = elapsed(replaced.switched_at, situation.now).as_secs();
    let summary = format!("{} of `{project}` failed in `{environment}`", name(&situation.want));
    let mut problem = Problem::new("delivery.crashed", summary)
        .cause(format!("it failed {after} s after it got all the traffic"))
        .state(format!("{} gets the traffic back", name(&replaced.wanted)));
    for replica in replicas.iter().filter(|replica| !is_ready(replica)).take(4) {
        let service = situation.want.spec.services.get(&replica.key.service);
        problem = describe(problem, situation, replica, service.and_then(|service| service.template.port));
    }
    hints(problem, situation)
}

/// The release command did not succeed.
pub(super) fn release_command_failed(situation: &Situation, reason: &ExitReason) -> Problem {
    let old = match &situation.serving {
        super::Serving::Other(old) => Some(old),
        _ => None,
    };
    let problem = start_problem(situation, old, "delivery.release-command")
        .cause(format!("the release command {reason}; nothing was switched"));
    hints(problem, situation)
}

fn describe(problem: Problem, situation: &Situation, replica: &ReplicaSeen, port: Option<u16>) -> Problem {
    match &replica.state {
        ReplicaState::Exited { reason, started, at, last_lines } => {
            let after = started.map(|started| format!(" after {} s", elapsed(started, *at).as_secs()));
            let mut problem = problem.cause(format!("{} {reason}{}", replica.key, after.unwrap_or_default()));
            let skip = last_lines.len().saturating_sub(LINES);
            for line in &last_lines[skip..] {
                problem = problem.cause(format!("  {line}"));
            }
            problem
        }
        ReplicaState::Running { since, .. } => {
            let probe = port
                .map_or_else(String::new, |port| format!(", but does not answer its probe on port {port}"));
            let seconds = elapsed(*since, situation.now).as_secs();
            problem.cause(format!("{} has run for {seconds} s{probe}", replica.key))
        }
        ReplicaState::Starting => problem.cause(format!("{} was not started by the engine", replica.key)),
        ReplicaState::Stopping => problem.cause(format!("{} is stopping", replica.key)),
    }
}

fn start_problem(situation: &Situation, old: Option<&Wanted>, code: &'static str) -> Problem {
    let project = &situation.environment.project;
    let environment = &situation.environment.environment;
    let state = match old {
        Some(old) => format!("{} still serves all traffic", name(old)),
        None => "nothing served before, and nothing serves now".to_owned(),
    };
    Problem::new(code, format!("{} of `{project}` did not reach `{environment}`", name(&situation.want)))
        .state(state)
}

fn name(wanted: &Wanted) -> String {
    match wanted.spec.release {
        Some(release) => format!("release {release} (revision {})", wanted.revision),
        None => format!("revision {}", wanted.revision),
    }
}

fn deploy(situation: &Situation) -> String {
    let project = &situation.environment.project;
    let environment = &situation.environment.environment;
    format!("naru deploy --project {project} --environment {environment}")
}

fn hints(problem: Problem, situation: &Situation) -> Problem {
    let project = &situation.environment.project;
    let environment = &situation.environment.environment;
    problem
        .hint("read the log, mend the cause, then push again or deploy again:")
        .command(format!("naru logs --project {project} --environment {environment}"))
        .command(deploy(situation))
}
