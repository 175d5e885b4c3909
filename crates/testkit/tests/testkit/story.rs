//! What a person sees of deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use naru_engine::fake::{Behaviour, Manners};
use naru_model::effect::Unobserved;
use naru_model::{EnvironmentKey, ProjectName, ReleaseNumber, RevisionNumber};
use naru_source::deploy::Message;
use naru_store::Topic;
use naru_store::environment::EnvironmentStatus;
use naru_store::intent::IntentKind;
use naru_store::revision::Outcome;
use naru_testkit::rig::{Rig, World};

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) const WEB: &str = "
service:
  build: { dockerfile: Dockerfile }
  port: 8080
  health: /healthz
  replicas: 2
";

pub(crate) const BOARD: &str = "
services:
  web:
    build: { dockerfile: Dockerfile }
    port: 8080
    volumes: { data: { path: /data } }
  worker: { image: web, run: ./worker }
release: { service: web, run: ./migrate up }
";

pub(crate) fn production(project: &ProjectName) -> EnvironmentKey {
    EnvironmentKey { project: project.clone(), environment: "production".parse().unwrap() }
}

pub(crate) async fn start(world: &World) -> (Rig, ProjectName, EnvironmentKey) {
    let rig = Rig::start(world, Arc::new(Unobserved)).await;
    let project = rig.create_project("shop").await;
    let key = production(&project);
    (rig, project, key)
}

pub(crate) fn replicas(world: &World, key: &EnvironmentKey) -> Vec<String> {
    let mut replicas: Vec<_> =
        world.fake.truth(key).replicas.iter().map(|replica| replica.key.to_string()).collect();
    replicas.sort();
    replicas
}

#[tokio::test]
async fn a_release_becomes_a_revision_and_serves() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-1-1"]);
    let table = world.fake.table(&key).unwrap();
    assert_eq!(table.routes[0].host, "shop.localhost");
    assert_eq!(table.routes[0].backends.len(), 2);

    rig.release(&project, WEB, "two").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
    assert_eq!(replicas(&world, &key), ["web-2-0", "web-2-1"]);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_try_in_vain_wakes_nobody_so_that_the_next_one_waits() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let look = || naru_delivery::reconcile::reconcile(&rig.delivery, &key);
    let mut changes = rig.store.changes();
    world.fake.set_manners(Manners { unreachable: true, ..Manners::default() });
    look().await.unwrap();
    assert!(changes.has_rung(&[Topic::Environments]), "that the engine is gone is news");
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(look().await.unwrap());
    }
    assert!(!changes.has_rung(&[Topic::Environments]), "that it is still gone is not");
    assert_eq!(waits.last(), Some(&Duration::from_secs(15)), "{waits:?}");
    world.fake.set_manners(Manners::default());
    look().await.unwrap();
    assert!(changes.has_rung(&[Topic::Environments]));
}

#[tokio::test]
async fn rows_that_were_deleted_come_back_from_the_deploy_repository() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    for content in ["one", "two", "three"] {
        rig.release(&project, WEB, content).await;
        rig.settle(MINUTE).await;
    }
    let before = rig.store.revisions(&key, 100).await.unwrap();
    rig.store.cache_revisions(&key, &[]).await.unwrap();
    assert_eq!(rig.store.revisions(&key, 100).await.unwrap(), vec![]);
    rig.settle(MINUTE).await;
    assert_eq!(rig.store.revisions(&key, 100).await.unwrap(), before);
    assert_eq!(before.len(), 3);
    assert_eq!(replicas(&world, &key), ["web-3-0", "web-3-1"]);
}

#[expect(clippy::disallowed_methods, reason = "a person's own git, beside Naru's")]
fn git() -> std::process::Command {
    std::process::Command::new("git")
}

/// What a person does by hand: one more replica, committed and pushed.
fn three_replicas_by_hand(rig: &Rig, key: &EnvironmentKey) {
    edit_by_hand(rig, key, "replicas: 2", "replicas: 3");
}

/// A person's clone of the deploy repository: replaces a text in the one manifest that has it, commits and pushes.
pub(crate) fn edit_by_hand(rig: &Rig, key: &EnvironmentKey, from: &str, to: &str) {
    let clone = tempfile::tempdir().unwrap();
    let url = rig.path(&format!("git/deploy/{}.git", key.project));
    let run = |arguments: Vec<String>| {
        let mut command = git();
        command.args(["-c", "user.name=Mina", "-c", "user.email=mina@example.com", "-C"]).arg(clone.path());
        let output = command.args(&arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(vec!["clone".into(), "-q".into(), url.display().to_string(), ".".into()]);
    let folder = clone.path().join("production");
    let mut edited = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if !path.ends_with("kustomization.yaml") && text.contains(from) {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            edited += 1;
        }
    }
    assert_eq!(edited, 1, "exactly one manifest says `{from}`");
    run(vec!["commit".into(), "-qam".into(), format!("Say {to}")]);
    run(vec!["push".into(), "-q".into(), "origin".into(), "HEAD:main".into()]);
}

#[tokio::test]
async fn a_persons_edit_is_honoured_and_survives_the_next_release() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    three_replicas_by_hand(&rig, &key);
    rig.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-1-1", "web-2-0"]);
    rig.release(&project, WEB, "two").await;
    rig.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key), ["web-3-0", "web-3-1", "web-3-2"]);
    let revisions = rig.store.revisions(&key, 10).await.unwrap();
    assert_eq!(revisions[1].author, "Mina");
    assert_eq!(revisions[1].release, revisions[2].release);
}

#[tokio::test]
async fn a_bad_release_is_given_up_and_the_next_good_one_is_delivered() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let exits = Behaviour {
        ready_after: None,
        exits_after: Some((Duration::from_secs(1), 1)),
        prints: vec!["DATABASE_URL is not set".into()],
        ..Behaviour::default()
    };
    world.fake.script_replicas("web-bad", exits);
    rig.release(&project, WEB, "bad").await;
    rig.settle(2 * MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-1-1"]);
    let rollout = rig.store.rollout(&key, RevisionNumber(2)).await.unwrap().unwrap();
    assert_eq!(rollout.outcome, Outcome::Failed);
    let problem = rollout.problem.unwrap();
    assert_eq!(problem.code, "delivery.unhealthy");
    assert!(problem.cause.iter().any(|line| line.contains("DATABASE_URL is not set")), "{problem}");
    assert_eq!(problem.state.as_deref(), Some("release 1 (revision 1) still serves all traffic"));

    rig.release(&project, WEB, "good").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rollback_returns_with_its_configuration_and_quarantines_what_it_left() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    let set = |value: &str| BTreeMap::from([("COLOUR".parse().unwrap(), Some(value.to_owned()))]);
    let release = rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    rig.store.change_configuration(&key, &set("blue"), "mina").await.unwrap();
    rig.settle(MINUTE).await;
    rig.store.change_configuration(&key, &set("red"), "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));

    rig.store.intend(&key, &IntentKind::Rollback { revision: RevisionNumber(2) }, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(4)));
    let revision = rig.store.revision(&key, RevisionNumber(4)).await.unwrap().unwrap();
    assert_eq!((revision.release, revision.configuration.0), (Some(release), 1));
    let configuration = rig.store.configuration(&key).await.unwrap();
    assert_eq!(configuration.variables.values().collect::<Vec<_>>(), ["blue"]);
    let bad: Vec<_> = quarantined(&rig, &key).await;
    assert_eq!(bad, [(RevisionNumber(3), None)], "the release is good: revision 2 is made from it, too");
}

async fn quarantined(rig: &Rig, key: &EnvironmentKey) -> Vec<(RevisionNumber, Option<ReleaseNumber>)> {
    let bad = rig.store.quarantined(key).await.unwrap();
    bad.into_iter().map(|bad| (bad.revision, bad.release)).collect()
}

#[tokio::test]
async fn a_rollback_to_another_release_quarantines_the_one_that_no_good_revision_uses() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let second = rig.release(&project, WEB, "two").await;
    rig.settle(MINUTE).await;
    rig.store.intend(&key, &IntentKind::Rollback { revision: RevisionNumber(1) }, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(quarantined(&rig, &key).await, [(RevisionNumber(2), Some(second))]);
    rig.store.intend(&key, &IntentKind::Deploy { release: second }, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(quarantined(&rig, &key).await, []);
}

#[tokio::test]
async fn settings_that_fail_do_not_quarantine_the_release_and_a_deploy_tries_them_again() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    let release = rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let exits = Behaviour {
        ready_after: None,
        exits_after: Some((Duration::from_secs(1), 1)),
        ..Behaviour::default()
    };
    world.fake.script_replicas("web-one", exits);
    let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("blue".to_owned()))]);
    rig.store.change_configuration(&key, &set, "mina").await.unwrap();
    rig.settle(2 * MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(quarantined(&rig, &key).await, [(RevisionNumber(2), None)]);

    world.fake.script_replicas("web-one", Behaviour::default());
    rig.store.intend(&key, &IntentKind::Deploy { release }, "mina").await.unwrap();
    rig.settle(2 * MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)), "the same render, tried again");
    assert_eq!(quarantined(&rig, &key).await, []);
}

#[tokio::test]
async fn a_release_command_runs_once_and_not_again_for_a_return() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, BOARD, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, BOARD, "two").await;
    rig.settle(MINUTE).await;
    rig.store.intend(&key, &IntentKind::Rollback { revision: RevisionNumber(1) }, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(3)));
    let jobs: Vec<_> = world.fake.started_jobs().iter().map(|start| start.key.to_string()).collect();
    assert_eq!(jobs, ["shop-production-rev-1-release-1", "shop-production-rev-2-release-1"]);
    assert_eq!(replicas(&world, &key), ["web-3-0", "worker-3-0"]);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rewritten_deploy_repository_changes_nothing_that_runs() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let repository = rig.deploy.of(&project);
    let folder = repository.git().folder().to_owned();
    let first = repository.head().await.unwrap().unwrap();
    let deleted = git().arg("-C").arg(&folder).args(["update-ref", "-d", "refs/heads/main"]).status();
    assert!(deleted.unwrap().success());
    rig.settle(MINUTE).await;
    let environment = rig.store.environment(&key).await.unwrap().unwrap();
    let EnvironmentStatus::Blocked { problem } = environment.status else {
        panic!("{:?}", environment.status)
    };
    assert!(problem.code.starts_with("deploy.") || problem.code.starts_with("delivery."), "{problem}");
    assert_eq!(replicas(&world, &key), ["web-1-0", "web-1-1"]);

    let restored =
        git().arg("-C").arg(&folder).args(["update-ref", "refs/heads/main", first.as_str()]).status();
    assert!(restored.unwrap().success());
    rig.release(&project, WEB, "two").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
}

#[tokio::test]
async fn a_folder_that_a_person_removed_stops_what_ran_there() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    let release = rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let clone = tempfile::tempdir().unwrap();
    let url = rig.path("git/deploy/shop.git").display().to_string();
    for arguments in [
        vec!["clone", "-q", &url, "."],
        vec!["rm", "-rq", "production"],
        vec!["commit", "-qm", "Take production down"],
        vec!["push", "-q", "origin", "HEAD:main"],
    ] {
        let mut command = git();
        command.args(["-c", "user.name=Mina", "-c", "user.email=mina@example.com", "-C"]).arg(clone.path());
        assert!(command.args(&arguments).status().unwrap().success(), "{arguments:?}");
    }
    rig.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key), Vec::<String>::new());
    assert_eq!(world.fake.table(&key).unwrap().routes, vec![]);

    rig.store.intend(&key, &IntentKind::Deploy { release }, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key).len(), 2);
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing_behind() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    rig.store.delete_project(&project).await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(rig.store.project(&project).await.unwrap(), None);
    assert_eq!(replicas(&world, &key), Vec::<String>::new());
    assert_eq!(world.fake.table(&key).unwrap().routes, vec![]);
    assert!(!rig.path("git/deploy/shop.git").exists());
}

#[tokio::test]
async fn an_edit_that_conflicts_blocks_with_file_and_field() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    three_replicas_by_hand(&rig, &key);
    rig.settle(MINUTE).await;
    rig.release(&project, &WEB.replace("replicas: 2", "replicas: 4"), "two").await;
    rig.settle(MINUTE).await;
    let intent = rig.store.newest_intent(&key).await.unwrap().unwrap();
    let problem = intent.problem.expect("a conflict");
    assert_eq!(problem.code, "manifest.conflict");
    assert!(problem.to_string().contains("replicas"), "{problem}");
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
}

#[tokio::test]
async fn a_concurrent_commit_is_not_lost() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let repository = rig.deploy.of(&project);
    let stale = repository.head().await.unwrap();
    three_replicas_by_hand(&rig, &key);
    let files =
        repository.read_environment(stale.as_ref().unwrap(), &key.environment).await.unwrap().unwrap();
    let message = Message {
        subject: "Late".into(),
        author: None,
        release: None,
        configuration: naru_model::ConfigurationVersion(0),
        recreate: false,
        intent: None,
    };
    let refused = repository.commit_render(&key.environment, &files, &message, stale.as_ref()).await;
    assert!(matches!(refused, Err(naru_source::deploy::DeployError::Stale { .. })), "{refused:?}");
}
