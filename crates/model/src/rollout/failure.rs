//! When a move is given up, and the evidence that is shown for it.

use std::collections::BTreeSet;

use super::plan::{MOVE_LIMIT, elapsed};
use super::replicas::{Replicas, is_ready};
use super::{ReplicaSeen, ReplicaState, Situation, Wanted};
use crate::job::ExitReason;
use crate::name::ServiceName;
use crate::problem::Problem;

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
            ReplicaState::Running { since, ready: false }
                if elapsed(*since, situation.now) > spec.template.ready_within =>
            {
                late = Some(spec.template.ready_within);
            }
            _ => {}
        }
    }
    let took_too_long = elapsed(situation.since, situation.now) > MOVE_LIMIT;
    if exits.is_none() && late.is_none() && !took_too_long {
        return None;
    }
    let wanted: u32 = services().map(|(_, spec)| spec.replicas).sum();
    let ready = fresh.iter().filter(|(replica, _)| is_ready(replica)).count();
    let within = late.or(took_too_long.then_some(MOVE_LIMIT));
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
    let name = |wanted: &Wanted| match wanted.spec.release {
        Some(release) => format!("release {release} (revision {})", wanted.revision),
        None => format!("revision {}", wanted.revision),
    };
    let state = match old {
        Some(old) => format!("{} still serves all traffic", name(old)),
        None => "nothing served before, and nothing serves now".to_owned(),
    };
    Problem::new(code, format!("{} of `{project}` did not reach `{environment}`", name(&situation.want)))
        .state(state)
}

fn hints(problem: Problem, situation: &Situation) -> Problem {
    let project = &situation.environment.project;
    let environment = &situation.environment.environment;
    problem
        .hint("read the log, mend the cause, then push again or deploy again:")
        .command(format!("naru logs --project {project} --environment {environment}"))
        .command(format!("naru deploy --project {project} --environment {environment}"))
}
