//! A crossing drawn from its facts: pure, so that every state can be told in a test.

use naru_model::api::{Condition, Crossing, Landing, LandingName, LandingState};
use naru_model::pipeline::{RunState, StepRecord, StepState};
use naru_model::{Problem, Timestamp};
use naru_store::revision::{Outcome, Revision};
use naru_store::run::Run;
use naru_store::trigger::TriggerState;

use super::Facts;
use crate::routes::environment::condition;

fn landing(name: LandingName, state: LandingState) -> Landing {
    Landing { name, state, at: None, reference: None, detail: None }
}

/// Tells the facts as one line with six landings.
pub(crate) fn draw(facts: &Facts) -> Crossing {
    let (sentence, problem) = summary(facts);
    let landings =
        vec![trigger(facts), run(facts), image(facts), release(facts), rollout(facts), live(facts)];
    Crossing {
        project: facts.project.clone(),
        environment: facts.name.clone(),
        sentence,
        landings,
        problem,
        urls: facts.urls.clone(),
        maintenance: facts.maintenance.clone(),
    }
}

fn trigger(facts: &Facts) -> Landing {
    let Some(trigger) = &facts.trigger else {
        let state = if facts.revision.is_some() { LandingState::Skipped } else { LandingState::Waiting };
        return landing(LandingName::Trigger, state);
    };
    let state = match trigger.state {
        TriggerState::Received => LandingState::Moving,
        TriggerState::Rejected | TriggerState::Failed => LandingState::Failed,
        TriggerState::Accepted | TriggerState::Run | TriggerState::Ignored | TriggerState::Superseded => {
            LandingState::Done
        }
    };
    Landing {
        at: Some(trigger.received_at),
        reference: Some(format!("{} by {}", trigger.kind, trigger.by)),
        detail: (!trigger.detail.is_empty()).then(|| trigger.detail.clone()),
        ..landing(LandingName::Trigger, state)
    }
}

fn run(facts: &Facts) -> Landing {
    let Some(run) = &facts.run else { return landing(LandingName::Run, after(&trigger(facts))) };
    let (state, detail) = match run.state {
        RunState::Queued => (LandingState::Waiting, "queued"),
        RunState::Running => (LandingState::Moving, "running"),
        RunState::Succeeded => (LandingState::Done, "succeeded"),
        RunState::Failed => (LandingState::Failed, "failed"),
        RunState::Cancelled => (LandingState::Failed, "cancelled"),
        RunState::Superseded => (LandingState::Skipped, "superseded by a newer commit"),
    };
    let detail = if run.note.is_empty() { detail.to_owned() } else { run.note.clone() };
    Landing {
        at: run.finished_at.or(run.started_at).or(Some(run.created_at)),
        reference: Some(format!("run {}", run.number)),
        detail: Some(detail),
        ..landing(LandingName::Run, state)
    }
}

fn image(facts: &Facts) -> Landing {
    let builds: Vec<&StepRecord> = facts.build_steps().collect();
    if builds.is_empty() {
        return landing(LandingName::Image, after(&run(facts)));
    }
    let any = |state: StepState| builds.iter().any(|step| step.state == state);
    let (done, count) = facts.builds();
    let state = if any(StepState::Failed) || any(StepState::Cancelled) {
        LandingState::Failed
    } else if done == count {
        LandingState::Done
    } else if any(StepState::Running) || any(StepState::Starting) || done > 0 {
        LandingState::Moving
    } else if any(StepState::Skipped) {
        LandingState::Skipped
    } else {
        LandingState::Waiting
    };
    let at: Option<Timestamp> = builds.iter().filter_map(|step| step.finished.or(step.started)).max();
    Landing { at, reference: Some(format!("{done} of {count} built")), ..landing(LandingName::Image, state) }
}

fn release(facts: &Facts) -> Landing {
    let Some(release) = &facts.release else { return landing(LandingName::Release, after(&image(facts))) };
    Landing {
        at: Some(release.created_at),
        reference: Some(format!("release {}", release.number)),
        ..landing(LandingName::Release, LandingState::Done)
    }
}

/// Whether the newest revision carries this change, and not the one before it.
fn is_rendered(facts: &Facts) -> bool {
    let carried = facts.revision.as_ref().and_then(|revision| revision.release);
    match (&facts.release, &facts.trigger) {
        (Some(release), _) => carried.is_some_and(|carried| carried >= release.number),
        (None, Some(_)) => false,
        (None, None) => facts.revision.is_some(),
    }
}

fn rollout(facts: &Facts) -> Landing {
    let name = LandingName::Rollout;
    let is = facts.environment.as_ref().map(|environment| condition(environment, facts.now).0);
    if !is_rendered(facts) {
        let blocked = facts.release.is_some() && (is == Some(Condition::Blocked) || facts.refused.is_some());
        let state = if blocked { LandingState::Failed } else { after(&release(facts)) };
        return landing(name, state);
    }
    let Some(revision) = &facts.revision else { return landing(name, LandingState::Waiting) };
    let outcome = facts.rollout.as_ref().map(|rollout| rollout.outcome);
    let state = match outcome {
        None => LandingState::Waiting,
        Some(Outcome::Moving) if is == Some(Condition::Blocked) => LandingState::Failed,
        Some(Outcome::Moving) => LandingState::Moving,
        Some(Outcome::Live) => LandingState::Done,
        Some(Outcome::Failed) => LandingState::Failed,
        Some(Outcome::Overtaken) => LandingState::Skipped,
    };
    let at = facts.rollout.as_ref().map(|rollout| rollout.finished_at.unwrap_or(rollout.started_at));
    let detail = match (&facts.environment, state) {
        (Some(environment), LandingState::Moving) => Some(condition(environment, facts.now).1),
        _ => None,
    };
    Landing { at, reference: Some(format!("revision {}", revision.number)), detail, ..landing(name, state) }
}

fn live(facts: &Facts) -> Landing {
    let name = LandingName::Live;
    let Some((environment, serving)) = facts.environment.as_ref().zip(facts.serving.as_ref()) else {
        return landing(name, after(&rollout(facts)));
    };
    let is_newest = is_rendered(facts)
        && facts.revision.as_ref().is_some_and(|revision| revision.number == serving.number);
    let (is, detail, _) = condition(environment, facts.now);
    let state = match (is_newest, is) {
        (true, Condition::Live | Condition::Moving) => LandingState::Done,
        (true, Condition::Degraded | Condition::Retrying) => LandingState::Moving,
        (true, _) => LandingState::Done,
        (false, _) => after(&rollout(facts)),
    };
    Landing {
        at: Some(environment.status_at),
        reference: Some(format!("revision {}", serving.number)),
        detail: Some(match (is_newest, state) {
            (true, _) => detail,
            (false, LandingState::Skipped) => "still serves".to_owned(),
            (false, _) => "serves until the new one is live".to_owned(),
        }),
        ..landing(name, state)
    }
}

/// What a landing is that nothing has reached: it waits, or what came before it stopped and it is left out.
fn after(before: &Landing) -> LandingState {
    match before.state {
        LandingState::Failed | LandingState::Skipped => LandingState::Skipped,
        LandingState::Waiting | LandingState::Moving | LandingState::Done => LandingState::Waiting,
    }
}

/// How it is in one sentence, and why it stopped.
fn summary(facts: &Facts) -> (String, Option<Problem>) {
    let serves = match &facts.serving {
        Some(Revision { number, release: Some(release), .. }) => {
            format!("{} serves release {release} as revision {number}", facts.name)
        }
        Some(revision) => format!("{} serves revision {}", facts.name, revision.number),
        None => format!("nothing serves in {} yet", facts.name),
    };
    if let Some(run) =
        facts.run.as_ref().filter(|run| matches!(run.state, RunState::Failed | RunState::Cancelled))
    {
        return (serves, Some(run_problem(facts, run)));
    }
    let rollout_problem = facts.rollout.as_ref().and_then(|rollout| rollout.problem.clone());
    let Some(environment) = &facts.environment else { return (serves, None) };
    let (is, detail, problem) = condition(environment, facts.now);
    if let Some(refused) = &facts.refused {
        return (serves, Some(refused.clone()));
    }
    match is {
        Condition::Idle | Condition::Live => (serves, rollout_problem.filter(|_| is_failed(facts))),
        Condition::Moving | Condition::Degraded | Condition::Retrying => {
            // A move that was given up is explained while its remains are cleared away, too.
            (format!("{serves}; {detail}"), rollout_problem.filter(|_| is_failed(facts)))
        }
        Condition::Failed | Condition::Blocked => (serves, problem.or(rollout_problem)),
    }
}

fn is_failed(facts: &Facts) -> bool {
    facts.rollout.as_ref().is_some_and(|rollout| rollout.outcome == Outcome::Failed)
}

fn run_problem(facts: &Facts, run: &Run) -> Problem {
    if let Some(problem) = &run.problem {
        return problem.clone();
    }
    let word = if run.state == RunState::Cancelled { "was cancelled" } else { "failed" };
    Problem::new("pipeline.run-failed", format!("run {} {word}", run.number))
        .command(format!("naru run logs {} --project {}", run.number, facts.project))
}

#[cfg(test)]
mod tests {
    use super::super::gather::is_revision_newer;
    use super::*;
    use naru_model::{CommitId, EnvironmentKey, ReleaseNumber, RevisionNumber, RunNumber};
    use naru_store::environment::Environment;
    use naru_store::environment::EnvironmentStatus;
    use naru_store::release::Release;
    use naru_store::revision::Rollout;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn commit() -> CommitId {
        "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
    }

    fn nothing() -> Facts {
        let (project, environment) = ("shop".parse().unwrap(), "production".parse().unwrap());
        Facts::new(&EnvironmentKey { project, environment }, Timestamp::UNIX_EPOCH)
    }

    fn a_release(number: u32, second: i64) -> Release {
        Release {
            project: "shop".parse().unwrap(),
            number: ReleaseNumber(number),
            run: RunNumber(number),
            branch: "main".parse().unwrap(),
            commit: commit(),
            images: std::collections::BTreeMap::new(),
            definition: naru_model::definition::ProjectDefinition::default(),
            created_at: at(second),
        }
    }

    fn a_revision(number: u32, release: u32, second: i64) -> Revision {
        Revision {
            number: RevisionNumber(number),
            commit: commit(),
            release: Some(ReleaseNumber(release)),
            configuration: naru_model::ConfigurationVersion(0),
            author: "minji".to_owned(),
            message: "Deliver".to_owned(),
            created_at: at(second),
        }
    }

    fn a_rollout(revision: u32, outcome: Outcome) -> Rollout {
        Rollout {
            revision: RevisionNumber(revision),
            started_at: at(10),
            released: true,
            switched_at: None,
            finished_at: None,
            outcome,
            problem: None,
            progress: naru_model::rollout::Progress::default(),
            decision: None,
            replaced: None,
        }
    }

    fn an_environment(serving: Option<u32>) -> Environment {
        let key =
            EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
        Environment {
            key,
            branch: Some("main".parse().unwrap()),
            created_at: at(0),
            considered_release: ReleaseNumber(1),
            configuration: naru_model::ConfigurationVersion(0),
            generation: naru_model::Generation(1),
            target: serving.map(RevisionNumber),
            target_since: at(0),
            serving: serving.map(RevisionNumber),
            status: EnvironmentStatus::Reconciled { status: naru_model::rollout::Status::Live },
            status_generation: naru_model::Generation(1),
            status_at: at(20),
            hindrance: None,
            protected: false,
        }
    }

    fn states(facts: &Facts) -> String {
        let mark = |landing: &Landing| match landing.state {
            LandingState::Waiting => '○',
            LandingState::Moving => '◐',
            LandingState::Done => '●',
            LandingState::Failed => '■',
            LandingState::Skipped => '–',
        };
        draw(facts).landings.iter().map(mark).collect()
    }

    fn delivered(outcome: Outcome, revision: u32, serving: u32) -> Facts {
        Facts {
            environment: Some(an_environment(Some(serving))),
            release: Some(a_release(2, 5)),
            revision: Some(a_revision(revision, 2, 8)),
            rollout: Some(a_rollout(revision, outcome)),
            serving: Some(a_revision(serving, 2, 8)),
            ..nothing()
        }
    }

    #[test]
    fn the_rollout_decides_what_follows_the_release() {
        assert_eq!(states(&nothing()), "○○○○○○");
        assert_eq!(states(&delivered(Outcome::Moving, 7, 6)), "–––●◐○");
        assert_eq!(states(&delivered(Outcome::Failed, 7, 6)), "–––●■–");
        assert_eq!(states(&delivered(Outcome::Live, 7, 7)), "–––●●●");
        let waiting = Facts { revision: Some(a_revision(6, 1, 3)), ..delivered(Outcome::Live, 6, 6) };
        assert_eq!(states(&waiting), "–––●○○", "a release that is not rendered yet");
        let refused = Facts {
            revision: Some(a_revision(6, 1, 3)),
            refused: Some(Problem::new("delivery.unhealthy", "both sides changed one field")),
            ..delivered(Outcome::Live, 6, 6)
        };
        assert_eq!(summary(&refused).1.unwrap().code, "delivery.unhealthy");
        assert_eq!(states(&refused), "–––●■–", "a release that was refused");
    }

    #[test]
    fn a_rollback_after_the_push_is_the_newest_change() {
        let pushed = Facts { trigger: None, ..delivered(Outcome::Live, 7, 7) };
        assert!(!is_revision_newer(&pushed), "the revision carries the newest release");
        let back = Facts { revision: Some(a_revision(8, 1, 30)), ..pushed };
        assert!(is_revision_newer(&back));
    }
}
