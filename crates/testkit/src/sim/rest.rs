//! What must be true once everything rests: what serves is what was wanted last, and nothing else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use naru_engine::Engine as _;
use naru_model::manifest;
use naru_model::rollout::{ReplicaState, Status};
use naru_model::workload::EnvironmentSpec;
use naru_model::{CommitId, EnvironmentKey, ReleaseNumber, RevisionNumber, Timestamp};
use naru_source::deploy::DeployRepositories;
use naru_store::environment::{Environment, EnvironmentStatus};
use naru_store::intent::{Intent, IntentKind, IntentState};
use naru_store::revision::{Outcome, Revision};

use super::director::Director;
use super::people::{Deed, Quality};
use super::push::Fate;
use super::runs;

/// Nothing waits and everything is as it shall be, or waits for a person.
pub(super) async fn is_at_rest(director: &Director) -> bool {
    why_not(director).await.is_empty()
}

/// What does not rest.
pub(super) async fn why_not(director: &Director) -> String {
    let store = &director.store;
    let mut why = runs::why_not(store).await;
    let waiting = store.projects_with_intents().await.expect("the store answers");
    why.extend(waiting.iter().map(|project| format!("intents of {project} wait")));
    for project in store.projects().await.expect("the store answers") {
        if project.deleting {
            why.push(format!("{} is still being taken down", project.name));
        }
    }
    for key in store.environment_keys().await.expect("the store answers") {
        let Some(row) = store.environment(&key).await.expect("the store answers") else { continue };
        let rests = rests(director, &key, &row).await;
        if director.people.crossing().any(|project| project.environments.contains(&key)) {
            let there = director.stage.fake.truth(&key).replicas.len();
            let spec = spec_of_serving(director, &key, &row).await;
            let wanted: u32 = spec.services.values().map(|service| service.replicas).sum();
            if there > wanted as usize {
                why.push(format!("{key} keeps what it had before"));
            }
        }
        if !rests || row.status_generation != row.generation {
            why.push(format!("{key} is {:?}", row.status));
        }
    }
    for project in director.people.projects.iter().filter(|project| project.deleted) {
        let row = store.project(&project.name).await.expect("the store answers");
        why.extend(row.filter(|row| !row.deleting).map(|row| format!("{} is not deleted", row.name)));
    }
    for scope in director.stage.fake.job_scopes().await.expect("the fake answers") {
        why.push(format!("{scope:?} is left on the engine"));
    }
    why.join("; ")
}

/// Whether an environment needs nothing any more, or waits for a person.
async fn rests(director: &Director, key: &EnvironmentKey, row: &Environment) -> bool {
    match &row.status {
        // What died since the last look is not written down yet: who looked may have ended with its lease.
        EnvironmentStatus::Reconciled { status: Status::Live } => !director.stage.promises().is_harmed(key),
        // What serves dies again and again, and there is nothing to return to.
        EnvironmentStatus::Reconciled { status: Status::Degraded { .. } } => {
            row.target == row.serving && keeps_dying(director, key).await
        }
        EnvironmentStatus::Idle | EnvironmentStatus::Blocked { .. } => true,
        EnvironmentStatus::Reconciled { .. } | EnvironmentStatus::Retrying { .. } => false,
    }
}

async fn keeps_dying(director: &Director, key: &EnvironmentKey) -> bool {
    quality(director, key).await == Some(Quality::DiesSoon)
}

/// Whether an environment moves, or has just moved, away from a revision that keeps dying.
async fn old_side_keeps_dying(director: &Director, key: &EnvironmentKey, row: &Environment) -> bool {
    let Some(target) = row.target else { return false };
    let rollout = director.store.rollout(key, target).await.expect("the store answers");
    match rollout.and_then(|rollout| rollout.replaced).or(row.serving) {
        Some(old) => quality_of(director, key, old).await == Some(Quality::DiesSoon),
        None => false,
    }
}

/// Whether all that does not rest are canaries whose old side keeps dying: trouble that does not stop, while each step
/// waits for requests that it answers.
pub(super) async fn waits_for_a_judgement(director: &Director) -> bool {
    let canaries = director.people.crossing().filter(|project| project.way.is_canary());
    let canaries: BTreeSet<_> = canaries.flat_map(|project| project.environments.clone()).collect();
    for key in director.store.environment_keys().await.expect("the store answers") {
        let Some(row) = director.store.environment(&key).await.expect("the store answers") else { continue };
        if rests(director, &key, &row).await {
            continue;
        }
        if !canaries.contains(&key) || !old_side_keeps_dying(director, &key, &row).await {
            return false;
        }
    }
    true
}

/// Everything that must hold at rest.
pub(super) async fn check(director: &Director) {
    for key in director.people.environments() {
        check_environment(director, &key).await;
    }
    check_orphans(director).await;
    runs::check(director).await;
}

async fn check_environment(director: &Director, key: &EnvironmentKey) {
    let (stage, store) = (&director.stage, &director.store);
    let intents = intents(director, key).await;
    for broken in unkept(director, key, &intents) {
        stage.broken(broken);
    }
    check_given_up(director, key, &intents).await;
    let Some(row) = store.environment(key).await.expect("the store answers") else { return };
    let revisions = store.revisions(key, 1000).await.expect("the store answers");
    let Some(newest) = revisions.first() else { return };
    check_intent(director, key, &row, newest, &intents, &revisions);
    let quarantined = store.quarantined(key).await.expect("the store answers");
    let bad = quarantined.iter().find(|bad| bad.revision == newest.number);
    match bad {
        None if row.target != Some(newest.number) || row.serving != row.target => stage.broken(format!(
            "{key}: revision {} is wanted and not in quarantine, but target is {:?} and {:?} serves ({:?})",
            newest.number, row.target, row.serving, row.status
        )),
        Some(bad) if bad.reason.is_empty() => stage.broken(format!("{key}: quarantine without a reason")),
        Some(_) if row.target != row.serving => {
            stage.broken(format!("{key}: target {:?}, but {:?} serves", row.target, row.serving));
        }
        _ => {}
    }
    match quality(director, key).await {
        Some(Quality::Exits | Quality::NeverReady) => {
            stage.broken(format!("{key}: what serves cannot work: {:?}", row.serving));
        }
        Some(Quality::DiesSoon) => return,
        Some(Quality::Good | Quality::Fails | Quality::Slow) | None => {}
    }
    check_world(director, key, &row).await;
}

/// What somebody gave up, and was told so, did not get the requests after all.
async fn check_given_up(director: &Director, key: &EnvironmentKey, intents: &[Intent]) {
    let newest = intents.last().map(|intent| intent.id);
    let given_up = director.people.given_up.iter();
    // Whoever asked for something since may have asked for the same again.
    for (_, revision, _) in given_up.filter(|(of, _, by_then)| of == key && Some(*by_then) == newest) {
        let rollout = director.store.rollout(key, *revision).await.expect("the store answers");
        if rollout.is_some_and(|rollout| rollout.outcome == Outcome::Live) {
            director.stage.broken(format!("{key}: revision {revision} was given up, and is live"));
        }
    }
}

/// The intents of an environment, oldest first.
pub(super) async fn intents(director: &Director, key: &EnvironmentKey) -> Vec<Intent> {
    let store = &director.store;
    let Some(newest) = store.newest_intent(key).await.expect("the store answers") else { return Vec::new() };
    let mut intents = Vec::new();
    for id in 1..=newest.id {
        let intent = store.intent(&key.project, id).await.expect("the store answers");
        intents.extend(intent.filter(|intent| intent.environment == key.environment));
    }
    intents
}

/// What was acknowledged and is not there.
fn unkept(director: &Director, key: &EnvironmentKey, intents: &[Intent]) -> Vec<String> {
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for (_, kind) in director.people.acknowledged.iter().filter(|(of, _)| of == key) {
        *asked.entry(format!("{kind:?}")).or_default() += 1;
    }
    let kept = |kind: &str| intents.iter().filter(|intent| format!("{:?}", intent.kind) == kind).count();
    asked
        .into_iter()
        .filter(|(kind, count)| kept(kind) < *count)
        .map(|(kind, _)| format!("{key}: {kind} was acknowledged and is lost"))
        .collect()
}

/// The newest revision is what the last intent that was taken asked for.
fn check_intent(
    director: &Director,
    key: &EnvironmentKey,
    row: &Environment,
    newest: &Revision,
    intents: &[Intent],
    revisions: &[Revision],
) {
    let stage = &director.stage;
    let refused = intents.iter().find(|one| one.state == IntentState::Failed && one.problem.is_none());
    if let Some(refused) = refused {
        stage.broken(format!("{key}: {:?} was refused without a reason", refused.kind));
    }
    let is_so = |last: &Intent| match &last.kind {
        IntentKind::Deploy { release } => newest.release == Some(*release),
        IntentKind::Rollback { revision } => {
            let to = revisions.iter().find(|one| one.number == *revision);
            to.is_some_and(|to| (to.release, to.configuration) == (newest.release, newest.configuration))
        }
        IntentKind::Render => newest.configuration == row.configuration,
    };
    let last = last_taken(intents, revisions, stage.wall.jumped_since(Timestamp::UNIX_EPOCH));
    if !last.is_empty() && !last.iter().any(|last| is_so(last)) {
        let asked: Vec<_> = last.iter().map(|last| &last.kind).collect();
        stage.broken(format!(
            "{key}: {asked:?} was asked for last, but the newest revision is {} of release {:?} with configuration {}",
            newest.number, newest.release, newest.configuration
        ));
    }
}

/// The intent that was taken last: the newest, or a rollback that waited at the same time and was taken after it. Both
/// when the newest changed nothing and times do not tell.
fn last_taken<'a>(intents: &'a [Intent], revisions: &[Revision], clock_was_set: bool) -> Vec<&'a Intent> {
    let made = |intent: &Intent| {
        let commit = intent.commit.as_ref()?;
        revisions.iter().find(|revision| revision.commit == *commit)
    };
    let Some(newest) = intents.iter().rev().find(|intent| intent.state == IntentState::Done) else {
        return Vec::new();
    };
    let rollbacks = intents.iter().filter(|intent| matches!(intent.kind, IntentKind::Rollback { .. }));
    let last_rollback = rollbacks
        .filter_map(|rollback| Some((made(rollback)?, rollback)))
        .max_by_key(|(revision, _)| revision.number);
    match (made(newest), last_rollback) {
        (Some(of_newest), Some((revision, rollback))) if revision.number > of_newest.number => vec![rollback],
        // Git keeps whole seconds.
        (None, Some((revision, rollback)))
            if clock_was_set || revision.created_at + Duration::from_secs(1) > newest.created_at =>
        {
            vec![newest, rollback]
        }
        _ => vec![newest],
    }
}

/// How good the release is that serves.
async fn quality(director: &Director, key: &EnvironmentKey) -> Option<Quality> {
    let serving = director.store.environment(key).await.expect("the store answers")?.serving?;
    quality_of(director, key, serving).await
}

async fn quality_of(director: &Director, key: &EnvironmentKey, number: RevisionNumber) -> Option<Quality> {
    let revision = director.store.revision(key, number).await.expect("the store answers")?;
    let deploy = &director.stage.deploy;
    let spec = DeployRepositories::read_spec(deploy, key, &revision.commit).await;
    // Where a person removed the folder nothing runs, and a bad release does no harm.
    spec.ok().flatten()?;
    let project = director.people.projects.iter().find(|project| project.name == key.project)?;
    project.releases.get(&revision.release?).copied()
}

/// The world is what the serving revision asks for: each replica ready, each route leading to all of them, nothing else.
async fn check_world(director: &Director, key: &EnvironmentKey, row: &Environment) {
    let stage = &director.stage;
    let spec = spec_of_serving(director, key, row).await;
    let truth = stage.fake.truth(key);
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    for (service, service_spec) in &spec.services {
        let hash = service_spec.template.hash();
        let ready = truth.replicas.iter().filter(|seen| {
            seen.key.service == *service
                && seen.template == hash
                && matches!(seen.state, ReplicaState::Running { ready: true, .. })
        });
        wanted.insert(service.to_string(), service_spec.replicas);
        let ready = ready.count();
        if ready != service_spec.replicas as usize {
            stage.broken(format!("{key}: {ready} of {} {service} are ready at rest", service_spec.replicas));
        }
    }
    let all: u32 = wanted.values().sum();
    if truth.replicas.len() != all as usize {
        let there: Vec<_> = truth.replicas.iter().map(|seen| seen.key.to_string()).collect();
        stage.broken(format!("{key}: at rest there are {there:?}, but {wanted:?} are wanted"));
    }
    let table = stage.fake.table(key);
    let routes = table.as_ref().map_or(&[][..], |table| &table.routes);
    if routes.len() != spec.routes.len() {
        stage.broken(format!("{key}: {} routes at rest, {} wanted", routes.len(), spec.routes.len()));
    }
    for route in routes {
        let revisions: BTreeSet<_> = route.backends.iter().map(|one| one.revision).collect();
        let replicas = wanted.get(route.service.as_str()).copied().unwrap_or_default() as usize;
        if revisions.len() > 1 || route.backends.len() != replicas {
            stage.broken(format!("{key}: {} leads to {:?} at rest", route.host, route.backends));
        }
    }
}

/// What the serving revision asks for.
async fn spec_of_serving(director: &Director, key: &EnvironmentKey, row: &Environment) -> EnvironmentSpec {
    let Some(serving) = row.serving else { return EnvironmentSpec::default() };
    let revision = director.store.revision(key, serving).await.expect("the store answers");
    let Some(revision) = revision else { return EnvironmentSpec::default() };
    let read = DeployRepositories::read_spec(&director.stage.deploy, key, &revision.commit);
    read.await.ok().flatten().unwrap_or_default()
}

/// Nothing is there that nobody wants.
async fn check_orphans(director: &Director) {
    let (stage, store) = (&director.stage, &director.store);
    let known = store.environment_keys().await.expect("the store answers");
    for key in stage.fake.environments().await.expect("the fake answers") {
        if !known.contains(&key) {
            stage.broken(format!("{key} is left on the engine"));
        }
    }
    for project in director.people.projects.iter().filter(|project| project.deleted) {
        for key in &project.environments {
            if stage.fake.table(key).is_some_and(|table| !table.routes.is_empty()) {
                stage.broken(format!("{key}: routes are left"));
            }
        }
        if stage.deploy.exists(&project.name) {
            stage.broken(format!("the deploy repository of {} is left", project.name));
        }
    }
    for key in known {
        if director.people.environments().contains(&key) {
            continue;
        }
        if let Some(files) = stage.deploy.files(&key)
            && manifest::parse_of(&key, &files).is_ok()
        {
            stage.broken(format!("{key} belongs to nobody"));
        }
    }
}

/// What somebody asks for at last.
pub(super) enum Asked {
    Release(ReleaseNumber),
    Commit(CommitId),
}

/// Somebody deploys a release that works, or pushes such a commit, everywhere.
pub(super) async fn deploy_everywhere(director: &mut Director) -> Vec<(EnvironmentKey, Asked)> {
    let (stage, store) = (director.stage.clone(), director.store.clone());
    let mut asked = Vec::new();
    for index in 0..director.people.projects.len() {
        if director.people.projects[index].deleted {
            continue;
        }
        let environments = director.people.projects[index].environments.clone();
        if director.people.projects[index].pushed {
            let project = director.people.projects[index].name.clone();
            let commit = director.people.commit(&stage, index, Quality::Good, Fate::Builds);
            asked.extend(environments.into_iter().map(|key| (key, Asked::Commit(commit.clone()))));
            director.ask(Deed::Push { project, commit });
            continue;
        }
        let release = director.people.release(&stage, &store, index, Quality::Good).await;
        for key in environments {
            director.ask(Deed::Intend(key.clone(), IntentKind::Deploy { release }));
            asked.push((key, Asked::Release(release)));
        }
    }
    asked
}

/// What was deployed last serves everywhere, unless the deploy was refused because people edited what it changes.
pub(super) async fn check_last(director: &Director, asked: &[(EnvironmentKey, Asked)]) {
    for (key, asked) in asked {
        let release = released(director, key, asked).await;
        let row = director.store.environment(key).await.expect("the store answers");
        let revisions = director.store.revisions(key, 1000).await.expect("the store answers");
        let serving = row.as_ref().and_then(|row| row.serving);
        let served = revisions.iter().find(|one| Some(one.number) == serving).and_then(|one| one.release);
        let intent = director.store.newest_intent(key).await.expect("the store answers");
        let refused = intent.is_some_and(|intent| intent.state == IntentState::Failed);
        if (release.is_none() || served != release) && !refused {
            director
                .stage
                .broken(format!("{key}: release {release:?} was deployed last, but {served:?} serves"));
        }
    }
}

async fn released(director: &Director, key: &EnvironmentKey, asked: &Asked) -> Option<ReleaseNumber> {
    match asked {
        Asked::Release(release) => Some(*release),
        Asked::Commit(commit) => {
            let releases = director.store.releases(&key.project, None, 100).await.expect("the store answers");
            releases.iter().find(|release| release.commit == *commit).map(|release| release.number)
        }
    }
}
