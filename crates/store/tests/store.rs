//! The store against a real SQLite file: leases, environments, intents, configuration and secrets.

#![allow(clippy::disallowed_methods, reason = "tests start the programs that they compare with")]

#[path = "store/blob.rs"]
mod blob;
#[path = "store/log.rs"]
mod log;
#[path = "store/metric.rs"]
mod metric;
#[path = "store/people.rs"]
mod people;
#[path = "store/project.rs"]
mod project;
#[path = "store/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use naru_model::effect::Unobserved;
use naru_model::job::SecretScope;
use naru_model::rollout::Decision;
use naru_model::{
    Clock, CommitId, ConfigurationVersion, EnvironmentKey, Generation, Problem, ReleaseNumber,
    RevisionNumber, SecretVersion, Timestamp,
};
use naru_store::intent::{IntentKind, IntentState, Restored};
use naru_store::lease::{Holder, LASTS};
use naru_store::revision::{Outcome, Revision};
use naru_store::{Store, StoreError};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct Fixture {
    store: Store,
    clock: Arc<Hand>,
    key: EnvironmentKey,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Another process on the same file.
    async fn another_worker(&self) -> Store {
        let file = self.folder.path().join("naru.db");
        Store::open(&file, self.clock.clone(), Arc::new(Unobserved)).await.unwrap()
    }

    fn go_on(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_000_000)));
    let store =
        Store::open(&folder.path().join("naru.db"), clock.clone(), Arc::new(Unobserved)).await.unwrap();
    let key = EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    store.create_project(&key.project, &"main".parse().unwrap()).await.unwrap();
    store.ensure_environment(&key, None).await.unwrap();
    Fixture { store, clock, key, folder }
}

fn revision(number: u32) -> Revision {
    Revision {
        number: RevisionNumber(number),
        commit: CommitId::try_from(format!("{number:040x}")).unwrap(),
        release: Some(ReleaseNumber(number)),
        configuration: ConfigurationVersion(0),
        author: "Naru".into(),
        message: "Deliver".into(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_its_fence_rises_with_every_change() {
    let f = fixture().await;
    let other = f.another_worker().await;
    let first = f.store.lease("delivery").await.unwrap().unwrap();
    assert_eq!(f.store.holder("delivery").await.unwrap(), Holder::Me(first.clone()));
    assert_eq!(other.holder("delivery").await.unwrap(), Holder::Another);
    assert_eq!(other.lease("delivery").await.unwrap(), None);
    f.go_on(LASTS * 9 / 10);
    f.store.guard(&first, async {}).await.unwrap();
    f.go_on(LASTS * 9 / 10);
    assert_eq!(other.lease("delivery").await.unwrap(), None, "an effect renewed it");

    f.go_on(LASTS / 5);
    assert_eq!(f.store.holder("delivery").await.unwrap(), Holder::Nobody);
    let second = other.lease("delivery").await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    let late = f.store.guard(&first, async { panic!("the effect of who lost the lease") }).await;
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    other.guard(&second, async {}).await.unwrap();

    f.store.end_leases().await.unwrap();
    let third = f.store.lease("delivery").await.unwrap().unwrap();
    assert!(third.fence > second.fence);
    let late = other.guard(&second, async { panic!("the effect of who lost the lease") }).await;
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
}

#[tokio::test]
async fn an_effect_that_takes_long_keeps_its_lease_and_is_given_up_when_it_is_lost() {
    let f = fixture().await;
    let other = f.another_worker().await;
    let lease = f.store.lease("delivery").await.unwrap().unwrap();
    let long = async {
        f.go_on(LASTS * 2 / 3);
        tokio::time::sleep(Duration::from_secs(6)).await;
        f.go_on(LASTS * 2 / 3);
        other.lease("delivery").await.unwrap()
    };
    assert_eq!(f.store.guard(&lease, long).await.unwrap(), None, "it was renewed meanwhile");

    let stolen = async {
        f.go_on(LASTS * 2);
        other.lease("delivery").await.unwrap().unwrap();
        std::future::pending::<()>().await;
    };
    let lost = tokio::time::timeout(Duration::from_mins(1), f.store.guard(&lease, stolen)).await;
    assert!(matches!(lost, Ok(Err(StoreError::Stale(_)))), "{lost:?}");
}

#[tokio::test]
async fn a_project_name_is_taken_once_and_everything_goes_with_it() {
    let f = fixture().await;
    let again = f.store.create_project(&f.key.project, &"main".parse().unwrap()).await;
    assert!(matches!(again, Err(StoreError::Exists(what)) if what == "project shop"));
    f.store.forget_project(&f.key.project).await.unwrap();
    assert_eq!(f.store.environment(&f.key).await.unwrap(), None);
}

#[tokio::test]
async fn a_stale_writer_changes_nothing() {
    let f = fixture().await;
    f.store.aim(&f.key, RevisionNumber(1), &[], false).await.unwrap();
    f.store.aim(&f.key, RevisionNumber(2), &[], false).await.unwrap();
    let environment = f.store.environment(&f.key).await.unwrap().unwrap();
    assert_eq!(environment.generation, Generation(2));
    let late = f.store.mark_switched(&f.key, Generation(1), RevisionNumber(1)).await;
    assert!(matches!(late, Err(StoreError::Stale(_))));
    let late = f.store.give_up(&f.key, Generation(1), &revision(1), None, &Problem::new("x", "x")).await;
    assert!(matches!(late, Err(StoreError::Stale(_))));
    assert_eq!(f.store.environment(&f.key).await.unwrap().unwrap().serving, None);
    assert_eq!(
        f.store.rollout(&f.key, RevisionNumber(1)).await.unwrap().unwrap().outcome,
        Outcome::Overtaken
    );
}

#[tokio::test]
async fn a_move_that_a_person_gave_up_does_not_end_well_after_all() {
    let f = fixture().await;
    f.store.aim(&f.key, RevisionNumber(1), &[], false).await.unwrap();
    f.store.mark_switched(&f.key, Generation(1), RevisionNumber(1)).await.unwrap();
    f.store.aim(&f.key, RevisionNumber(2), &[], false).await.unwrap();
    let abort = Decision::Abort { by: "mina".into() };
    assert!(f.store.decide(&f.key, RevisionNumber(2), &abort).await.unwrap());
    let late = f.store.mark_switched(&f.key, Generation(2), RevisionNumber(2)).await;
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    let serving = f.store.environment(&f.key).await.unwrap().unwrap().serving;
    assert_eq!(serving, Some(RevisionNumber(1)));
}

#[tokio::test]
async fn a_failed_revision_is_quarantined_until_a_person_deploys_its_release_again() {
    let f = fixture().await;
    f.store.aim(&f.key, RevisionNumber(1), &[], false).await.unwrap();
    f.store.mark_switched(&f.key, Generation(1), RevisionNumber(1)).await.unwrap();
    f.store.aim(&f.key, RevisionNumber(2), &[], false).await.unwrap();
    let problem = Problem::new("delivery.unhealthy", "it did not start");
    f.store.give_up(&f.key, Generation(2), &revision(2), Some(RevisionNumber(1)), &problem).await.unwrap();

    let environment = f.store.environment(&f.key).await.unwrap().unwrap();
    assert_eq!((environment.target, environment.serving), (Some(RevisionNumber(1)), Some(RevisionNumber(1))));
    assert_eq!(f.store.quarantined(&f.key).await.unwrap()[0].revision, RevisionNumber(2));
    assert_eq!(f.store.rollout(&f.key, RevisionNumber(2)).await.unwrap().unwrap().problem, Some(problem));

    f.store.intend(&f.key, &IntentKind::Deploy { release: ReleaseNumber(2) }, "mina").await.unwrap();
    assert_eq!(f.store.quarantined(&f.key).await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_release_is_followed_once() {
    let f = fixture().await;
    let branch = "main".parse().unwrap();
    for _ in 0..2 {
        f.store.follow_release(std::slice::from_ref(&f.key), &branch, ReleaseNumber(1)).await.unwrap();
    }
    let pending = f.store.pending_intents(&f.key.project).await.unwrap();
    assert_eq!(pending.len(), 1);
    f.store.fulfil_intent(&f.key, pending[0].id, Some(&revision(1).commit), None, "naru").await.unwrap();
    assert_eq!(
        f.store.intent(&f.key.project, pending[0].id).await.unwrap().unwrap().state,
        IntentState::Done
    );
}

#[tokio::test]
async fn configuration_versions_count_on_after_a_rollback() {
    let f = fixture().await;
    let set = |value: &str| BTreeMap::from([("COLOUR".parse().unwrap(), Some(value.to_owned()))]);
    let (one, intent) = f.store.change_configuration(&f.key, &set("blue"), "mina").await.unwrap();
    assert!(one == ConfigurationVersion(1) && intent.is_some());
    assert_eq!(f.store.change_configuration(&f.key, &set("blue"), "mina").await.unwrap(), (one, None));
    f.store.change_configuration(&f.key, &set("red"), "mina").await.unwrap();

    let restored = Restored { configuration: one, secrets: vec![], left: Some((RevisionNumber(2), None)) };
    f.store.fulfil_intent(&f.key, 1, None, Some(&restored), "mina").await.unwrap();
    let current = f.store.configuration(&f.key).await.unwrap();
    assert_eq!(current.variables.values().collect::<Vec<_>>(), ["blue"]);
    let (three, _) = f.store.change_configuration(&f.key, &set("green"), "mina").await.unwrap();
    assert_eq!(three, ConfigurationVersion(3));
}

#[tokio::test]
async fn a_revoked_secret_version_answers_with_the_current_one() {
    let f = fixture().await;
    let scope = SecretScope::Environment(f.key.clone());
    let name = "KEY".parse().unwrap();
    let (one, two) = (SecretVersion(1), SecretVersion(2));
    assert_eq!(f.store.next_secret_version(&scope, &name).await.unwrap(), one);
    f.store.add_secret(&scope, &name, one, "sealed-1", "mina").await.unwrap();
    let raced = f.store.add_secret(&scope, &name, one, "sealed-x", "jun").await;
    assert!(matches!(raced, Err(StoreError::Exists(_))));

    f.store.unset_secret(&scope, &name, false, "mina").await.unwrap();
    assert_eq!(f.store.secrets(&scope).await.unwrap(), vec![]);
    assert_eq!(f.store.sealed_secret(&scope, &name, one).await.unwrap().unwrap().sealed, "sealed-1");

    f.store.unset_secret(&scope, &name, true, "mina").await.unwrap();
    assert_eq!(f.store.sealed_secret(&scope, &name, one).await.unwrap(), None);
    f.store.add_secret(&scope, &name, two, "sealed-2", "mina").await.unwrap();
    assert_eq!(f.store.sealed_secret(&scope, &name, one).await.unwrap().unwrap().version, two);
}

mod triggers {
    use std::collections::BTreeMap;

    use naru_store::trigger::{NewTrigger, SettledIn, Settlement, TriggerKind, TriggerState};

    use super::*;

    fn push(new: &str) -> NewTrigger {
        NewTrigger {
            project: "shop".parse().unwrap(),
            kind: TriggerKind::Push,
            reference: "refs/heads/main".into(),
            old: None,
            new: Some(new.repeat(40).parse().unwrap()),
            by: "mina".into(),
        }
    }

    #[tokio::test]
    async fn a_move_that_two_report_is_one_trigger_of_who_asked_for_it() {
        let f = fixture().await;
        let project = &f.key.project;
        let heads = BTreeMap::from([("refs/heads/main".to_owned(), "a".repeat(40).parse().unwrap())]);
        let asked = NewTrigger { kind: TriggerKind::Person, ..push("a") };
        let found = NewTrigger { kind: TriggerKind::Found, by: "git".into(), ..push("a") };
        for (first, second) in [(&found, &asked), (&asked, &found)] {
            for report in [first, second] {
                f.store.record_found_triggers(project, std::slice::from_ref(report), &heads).await.unwrap();
            }
            let listed = f.store.triggers(project, None, 10).await.unwrap();
            let seen: Vec<_> = listed.iter().map(|t| (t.kind, t.by.as_str())).collect();
            assert_eq!(seen, [(TriggerKind::Person, "mina")]);
        }
    }

    #[tokio::test]
    async fn the_life_of_a_trigger() {
        let f = fixture().await;
        let project = &f.key.project;
        let ids = f.store.receive_triggers(&[push("a"), push("b")]).await.unwrap();
        assert!(ids[0] < ids[1]);
        assert_eq!(f.store.unsettled_triggers().await.unwrap().len(), 2);
        assert!(f.store.pending_triggers().await.unwrap().is_empty());

        let settle =
            |index: usize, state, detail: &str| Settlement { id: ids[index], state, detail: detail.into() };
        let heads = BTreeMap::from([("refs/heads/main".to_owned(), "a".repeat(40).parse().unwrap())]);
        let settlements =
            [settle(0, TriggerState::Accepted, ""), settle(1, TriggerState::Rejected, "non-fast-forward")];
        f.store.settle_triggers(project, &settlements, SettledIn::Source(&heads)).await.unwrap();
        assert_eq!(f.store.known_heads(project).await.unwrap(), heads);
        let again = [settle(0, TriggerState::Rejected, "twice")];
        f.store.settle_triggers(project, &again, SettledIn::Source(&BTreeMap::new())).await.unwrap();
        assert!(f.store.known_heads(project).await.unwrap().is_empty());

        let pending = f.store.pending_triggers().await.unwrap();
        assert_eq!(pending.iter().map(|trigger| trigger.id).collect::<Vec<_>>(), [ids[0]]);
        assert_eq!(pending[0].branch().unwrap().as_str(), "main");
        f.store.finish_trigger(ids[0], TriggerState::Ignored, "nothing wants it").await.unwrap();
        let twice = f.store.finish_trigger(ids[0], TriggerState::Failed, "").await;
        assert!(matches!(twice, Err(StoreError::Stale(_))));

        let listed = f.store.triggers(project, None, 10).await.unwrap();
        let seen: Vec<_> = listed.iter().map(|t| (t.id, t.state, t.detail.as_str())).collect();
        assert_eq!(
            seen,
            [
                (ids[1], TriggerState::Rejected, "non-fast-forward"),
                (ids[0], TriggerState::Ignored, "nothing wants it")
            ]
        );
        let page = f.store.triggers(project, Some(ids[1]), 10).await.unwrap();
        assert_eq!(page.iter().map(|trigger| trigger.id).collect::<Vec<_>>(), [ids[0]]);
    }

    #[tokio::test]
    async fn a_replay_is_a_new_row_that_waits() {
        let f = fixture().await;
        let branch = "main".parse().unwrap();
        let commit = "c".repeat(40).parse().unwrap();
        let first = f.store.request_run(&f.key.project, &branch, &commit, "mina").await.unwrap();
        let second = f.store.replay_trigger(&f.key.project, first, "jun").await.unwrap();
        let row = f.store.trigger(second).await.unwrap().unwrap();
        assert_eq!((row.replay_of, row.by.as_str(), row.state), (Some(first), "jun", TriggerState::Accepted));
        assert_eq!(row.new, Some(commit));
        let foreign = f.store.replay_trigger(&"other".parse().unwrap(), first, "jun").await;
        assert!(matches!(foreign, Err(StoreError::Missing(_))));
        f.store.forget_project(&f.key.project).await.unwrap();
        assert!(f.store.trigger(first).await.unwrap().is_none());
    }
}
