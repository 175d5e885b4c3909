//! The receipts of rollouts: what was seen at their turns is noted while they are under way, and signed when they have
//! ended. Reads what the loops saw; decides nothing.

use std::collections::BTreeMap;

use naru_model::receipt::{PAYLOAD_TYPE, PhaseTime, Receipt, Served, Verdict};
use naru_model::rollout::{Serving, Situation, Status};
use naru_model::route::TrafficSeen;
use naru_model::{EnvironmentKey, Problem, RevisionNumber, Timestamp};
use naru_store::StoreError;
use naru_store::environment::{Environment, EnvironmentStatus};
use naru_store::receipt::{Counted, Moment};
use naru_store::revision::{Outcome, Revision, Rollout};

use crate::Context;

/// Notes how a rollout stands when it has come to another phase, or to its end.
pub(crate) async fn note(
    cx: &Context,
    environment: &Environment,
    situation: &Situation,
    status: &Status,
) -> Result<(), StoreError> {
    let (key, revision) = (&environment.key, situation.want.revision);
    let (phase, observed) = match status {
        Status::Moving { phase, detail, .. } => (Some(*phase), detail.clone()),
        Status::Live if was_live(environment) => return Ok(()),
        Status::Live => (None, "everything that is wanted runs, and nothing else".to_owned()),
        // Its end is noted where it is given up.
        Status::Degraded { .. } | Status::Failed { .. } => return Ok(()),
    };
    let moment = moment(situation, phase, observed);
    let last = cx.store.last_moment(key, revision).await?;
    let is_known = last.as_ref().is_some_and(|last| {
        last.phase.is_none() || (last.phase, last.has_traffic) == (moment.phase, moment.has_traffic)
    });
    // What serves and has its receipt is mended without another one.
    let is_mended = last.is_none() && situation.serving == Serving::Want;
    if is_known || is_mended {
        return Ok(());
    }
    cx.store.note_moment(key, revision, &moment).await
}

/// Notes the end of a rollout that is given up.
pub(crate) async fn note_failure(
    cx: &Context,
    environment: &Environment,
    situation: &Situation,
    problem: &Problem,
) -> Result<(), StoreError> {
    let moment = moment(situation, None, problem.summary.clone());
    cx.store.note_moment(&environment.key, situation.want.revision, &moment).await
}

fn was_live(environment: &Environment) -> bool {
    environment.status_generation == environment.generation
        && environment.status == EnvironmentStatus::Reconciled { status: Status::Live }
}

fn moment(situation: &Situation, phase: Option<naru_model::rollout::Phase>, observed: String) -> Moment {
    let Situation { want, serving, traffic, now, .. } = situation;
    let previous = match serving {
        Serving::Other(old) => Some(old.revision),
        Serving::Nothing | Serving::Want => None,
    };
    Moment {
        phase,
        has_traffic: routed(traffic).any(|backend| backend.revision == want.revision && backend.weight > 0),
        at: *now,
        observed,
        previous,
        counting_since: traffic.counting_since,
        counted: counted(traffic),
        leaving: leaving(traffic),
    }
}

fn routed(traffic: &TrafficSeen) -> impl Iterator<Item = &naru_model::route::Backend> {
    let routes = traffic.applied.iter().flat_map(|applied| &applied.table.routes);
    routes.flat_map(|route| &route.backends)
}

fn counted(traffic: &TrafficSeen) -> Vec<Counted> {
    let mut sums: BTreeMap<RevisionNumber, (u64, u64)> = BTreeMap::new();
    for figures in &traffic.figures {
        let sum = sums.entry(figures.revision).or_default();
        sum.0 += figures.requests;
        sum.1 += figures.errors;
    }
    sums.into_iter().map(|(revision, (requests, errors))| Counted { revision, requests, errors }).collect()
}

/// Requests at replicas that have no route any more.
fn leaving(traffic: &TrafficSeen) -> u64 {
    let without_route = traffic
        .in_flight
        .iter()
        .filter(|in_flight| routed(traffic).all(|backend| backend.replica != in_flight.replica));
    without_route.map(|in_flight| u64::from(in_flight.requests)).sum()
}

/// Signs the receipts of rollouts that have ended.
pub async fn pass(cx: &Context) -> Result<(), StoreError> {
    for (key, number) in cx.store.rollouts_without_receipt().await? {
        let Some(rollout) = cx.store.rollout(&key, number).await? else { continue };
        let Some(revision) = cx.store.revision(&key, number).await? else { continue };
        let images = match cx.specs.read(cx, &key, &revision.commit).await {
            Ok(spec) => spec
                .services
                .iter()
                .map(|(name, service)| (name.to_string(), service.template.image.to_string()))
                .collect(),
            // A revision that cannot be read ran nothing.
            Err(_) => BTreeMap::new(),
        };
        let moments = cx.store.moments(&key, number).await?;
        let Some(receipt) = receipt(cx, &key, &revision, &rollout, &moments, images) else { continue };
        let payload = serde_json::to_vec(&receipt).expect("a receipt is plain data");
        let envelope = cx.keys.sign(PAYLOAD_TYPE, &payload);
        cx.store.issue_receipt(&key, number, rollout.outcome, &envelope).await?;
    }
    Ok(())
}

fn receipt(
    cx: &Context,
    key: &EnvironmentKey,
    revision: &Revision,
    rollout: &Rollout,
    moments: &[Moment],
    images: BTreeMap<String, String>,
) -> Option<Receipt> {
    let (first, last) = (moments.first()?, moments.last()?);
    let verdict = match rollout.outcome {
        Outcome::Moving => return None,
        Outcome::Live => Verdict::Promoted,
        Outcome::Failed => Verdict::Aborted,
        Outcome::Overtaken => Verdict::Overtaken,
    };
    let finished_at = rollout.finished_at.map_or(last.at, |finished| finished.max(last.at));
    let traffic = traffic(moments);
    Some(Receipt {
        instance: cx.repositories.instance.clone(),
        project: key.project.clone(),
        environment: key.environment.clone(),
        revision: revision.number,
        commit: revision.commit.clone(),
        release: revision.release,
        configuration: revision.configuration,
        author: revision.author.clone(),
        images,
        previous: moments.iter().find_map(|moment| moment.previous),
        started_at: rollout.started_at.min(first.at),
        finished_at,
        verdict,
        reason: reason(verdict, rollout, moments, &traffic),
        phases: phases(moments, finished_at),
        traffic,
        is_counted_whole: moments.iter().all(|moment| moment.counting_since == first.counting_since),
    })
}

/// Each phase from its first moment to the next one's.
fn phases(moments: &[Moment], finished_at: Timestamp) -> Vec<PhaseTime> {
    let mut phases: Vec<PhaseTime> = Vec::new();
    for (index, moment) in moments.iter().enumerate() {
        let Some(phase) = moment.phase else { continue };
        let until = moments.get(index + 1).map_or(finished_at, |next| next.at);
        let milliseconds = u64::try_from(until.duration_since(moment.at).as_millis()).unwrap_or(0);
        match phases.last_mut().filter(|last| last.phase == phase) {
            Some(last) => {
                last.milliseconds += milliseconds;
                last.observed.clone_from(&moment.observed);
            }
            None => phases.push(PhaseTime {
                phase,
                began_at: moment.at,
                milliseconds,
                observed: moment.observed.clone(),
            }),
        }
    }
    phases
}

/// What each revision was given between the first moment and the last.
fn traffic(moments: &[Moment]) -> Vec<Served> {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    let previous = moments.iter().find_map(|moment| moment.previous);
    // Whoever had the traffic leaves it when the new one has it; who is still there when it is stopped is broken off.
    let left = moments.iter().filter(|moment| moment.has_traffic).map(|moment| moment.leaving).max();
    let broken_off = if moments.iter().any(|moment| moment.has_traffic) { last.leaving } else { 0 };
    let before = |revision: RevisionNumber| {
        let same = first.counting_since == last.counting_since;
        first.counted.iter().find(|counted| same && counted.revision == revision)
    };
    let served = last.counted.iter().map(|counted| {
        let (requests, errors) =
            before(counted.revision).map_or((0, 0), |before| (before.requests, before.errors));
        let is_old = Some(counted.revision) == previous;
        Served {
            revision: counted.revision,
            requests: counted.requests.saturating_sub(requests),
            failed: counted.errors.saturating_sub(errors),
            drained: if is_old { left.unwrap_or(0).saturating_sub(broken_off) } else { 0 },
            broken_off: if is_old { broken_off } else { 0 },
        }
    });
    served.filter(|served| served.requests > 0 || served.drained > 0 || served.broken_off > 0).collect()
}

fn reason(verdict: Verdict, rollout: &Rollout, moments: &[Moment], traffic: &[Served]) -> String {
    match verdict {
        Verdict::Promoted => {
            let own = traffic.iter().find(|served| served.revision == rollout.revision);
            let (requests, failed) = own.map_or((0, 0), |served| (served.requests, served.failed));
            format!(
                "every new replica was ready; {requests} requests came to it meanwhile, {failed} of them failed"
            )
        }
        Verdict::Aborted => match &rollout.problem {
            Some(problem) => problem.summary.clone(),
            None => moments.last().map(|last| last.observed.clone()).unwrap_or_default(),
        },
        Verdict::Overtaken => "something newer was wanted before it ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use naru_model::rollout::Phase;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn moment(phase: Option<Phase>, millis: i64, has_traffic: bool, leaving: u64) -> Moment {
        Moment {
            phase,
            has_traffic,
            at: at(millis),
            observed: format!("at {millis}"),
            previous: Some(RevisionNumber(1)),
            counting_since: Some(at(0)),
            counted: Vec::new(),
            leaving,
        }
    }

    fn counts(revision: u32, requests: u64, errors: u64) -> Counted {
        Counted { revision: RevisionNumber(revision), requests, errors }
    }

    #[test]
    fn phases_last_until_the_next_one_and_requests_are_counted_from_the_first_moment_on() {
        let moments = [
            Moment { counted: vec![counts(1, 100, 3)], ..moment(Some(Phase::Start), 0, false, 0) },
            moment(Some(Phase::Route), 400, false, 0),
            moment(Some(Phase::Route), 450, true, 7),
            moment(Some(Phase::Drain), 2500, true, 2),
            Moment { counted: vec![counts(1, 160, 3), counts(2, 40, 1)], ..moment(None, 3000, true, 1) },
        ];
        let phases: Vec<_> =
            phases(&moments, at(3000)).into_iter().map(|phase| (phase.phase, phase.milliseconds)).collect();
        assert_eq!(phases, [(Phase::Start, 400), (Phase::Route, 2100), (Phase::Drain, 500)]);
        let served = traffic(&moments);
        let old = Served { revision: RevisionNumber(1), requests: 60, failed: 0, drained: 6, broken_off: 1 };
        let new = Served { revision: RevisionNumber(2), requests: 40, failed: 1, drained: 0, broken_off: 0 };
        assert_eq!(served, [old, new]);
    }

    #[test]
    fn an_edge_that_began_to_count_anew_is_not_subtracted_from() {
        let moments = [
            Moment { counted: vec![counts(1, 100, 3)], ..moment(Some(Phase::Start), 0, false, 0) },
            Moment {
                counting_since: Some(at(50)),
                counted: vec![counts(1, 20, 0)],
                ..moment(None, 100, false, 0)
            },
        ];
        assert_eq!(traffic(&moments)[0].requests, 20);
    }
}
