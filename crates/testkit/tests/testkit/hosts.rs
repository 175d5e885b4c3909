//! A host leads to one environment: who comes second is refused by name, before the edge would, and keeps serving what
//! it served.

use naru_model::rollout::Status;
use naru_model::{EnvironmentKey, OrganisationName, Problem, RevisionNumber};
use naru_store::environment::EnvironmentStatus;
use naru_testkit::rig::{Rig, World};

use crate::story::{MINUTE, WEB, edit_by_hand, production, start};

fn with_host(host: &str) -> String {
    format!("{WEB}\nenvironments:\n  production: {{ host: {host} }}\n")
}

async fn refusal(rig: &Rig, key: &EnvironmentKey) -> Problem {
    let intent = rig.store.newest_intent(key).await.unwrap().unwrap();
    intent.problem.expect("it was refused")
}

async fn blocked(rig: &Rig, key: &EnvironmentKey) -> Problem {
    match rig.store.environment(key).await.unwrap().unwrap().status {
        EnvironmentStatus::Blocked { problem } => *problem,
        status => panic!("{status:?}"),
    }
}

fn hosts(world: &World, key: &EnvironmentKey) -> Vec<String> {
    let table = world.fake.table(key);
    table.map_or_else(Vec::new, |table| table.routes.into_iter().map(|route| route.host).collect())
}

#[tokio::test]
async fn default_hosts_that_meet_are_refused_by_name() {
    let world = World::default();
    let (rig, shop, _) = start(&world).await;
    let both = format!("{WEB}\nenvironments:\n  production: {{}}\n  staging: {{ branch: main }}\n");
    rig.release(&shop, &both, "one").await;
    rig.settle(MINUTE).await;
    let staging = EnvironmentKey { project: shop, environment: "staging".parse().unwrap() };
    assert_eq!(hosts(&world, &staging), ["shop-staging.localhost"]);

    let second = rig.create_project("shop-staging").await;
    let key = production(&second);
    rig.release(&second, WEB, "two").await;
    rig.settle(MINUTE).await;
    let problem = refusal(&rig, &key).await;
    assert_eq!(problem.code, "delivery.host-taken");
    let text = problem.to_string();
    assert!(text.contains("environment `staging` of project `shop` has it"), "{text}");
    assert!(text.contains("`shop-staging.localhost`"), "{text}");
    assert_eq!(rig.store.revisions(&key, 10).await.unwrap(), vec![], "nothing was committed");
    assert_eq!(hosts(&world, &key), Vec::<String>::new());

    rig.release(&second, &with_host("second.example.com"), "three").await;
    rig.settle(MINUTE).await;
    assert_eq!(hosts(&world, &key), ["second.example.com"]);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn who_wants_a_host_that_is_taken_keeps_serving_and_gets_it_once_it_is_free() {
    let world = World::default();
    let (rig, shop, first) = start(&world).await;
    rig.release(&shop, &with_host("www.example.com"), "one").await;
    let late = rig.create_project("late").await;
    let key = production(&late);
    rig.release(&late, WEB, "two").await;
    rig.settle(MINUTE).await;

    rig.release(&late, &with_host("www.example.com"), "three").await;
    rig.settle(MINUTE).await;
    assert_eq!(refusal(&rig, &key).await.code, "delivery.host-taken");
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(1)));
    assert_eq!(hosts(&world, &key), ["late.localhost"]);

    rig.release(&shop, &with_host("shop.example.com"), "four").await;
    rig.settle(MINUTE).await;
    assert_eq!(hosts(&world, &first), ["shop.example.com"]);
    rig.release(&late, &with_host("www.example.com"), "five").await;
    rig.settle(MINUTE).await;
    assert_eq!(hosts(&world, &key), ["www.example.com"]);

    // The way back to a host that went to another is closed, too.
    let back = naru_store::intent::IntentKind::Rollback { revision: RevisionNumber(1) };
    rig.store.intend(&first, &back, "mina").await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(refusal(&rig, &first).await.code, "delivery.host-taken");
    assert_eq!(hosts(&world, &first), ["shop.example.com"]);
}

#[tokio::test]
async fn a_commit_by_hand_does_not_take_a_host_away() {
    let world = World::default();
    let (rig, shop, first) = start(&world).await;
    rig.release(&shop, WEB, "one").await;
    let late = rig.create_project("late").await;
    let key = production(&late);
    rig.release(&late, WEB, "two").await;
    rig.settle(MINUTE).await;

    edit_by_hand(&rig, &key, "late.localhost", "shop.localhost");
    rig.settle(MINUTE).await;
    assert_eq!(blocked(&rig, &key).await.code, "delivery.host-taken");
    assert_eq!(hosts(&world, &first), ["shop.localhost"]);
    assert_eq!(hosts(&world, &key), ["late.localhost"]);

    edit_by_hand(&rig, &key, "shop.localhost", "later.localhost");
    rig.settle(MINUTE).await;
    let status = rig.store.environment(&key).await.unwrap().unwrap().status;
    assert_eq!(status, EnvironmentStatus::Reconciled { status: Status::Live });
    assert_eq!(hosts(&world, &key), ["later.localhost"]);
}

#[tokio::test]
async fn a_path_below_the_host_of_another_organisation_leads_to_no_service() {
    let world = World::default();
    let (rig, shop, first) = start(&world).await;
    rig.release(&shop, WEB, "one").await;
    let others: OrganisationName = "others".parse().unwrap();
    rig.store.create_account("ria", "").await.unwrap();
    rig.store.create_organisation(&others, "", "ria").await.unwrap();
    let main = "main".parse().unwrap();
    rig.store.create_project_in(&others, &"late".parse().unwrap(), &main, None).await.unwrap();
    for (name, is_free) in [("late", false), ("beside", true)] {
        let project = rig.create_project(name).await;
        let key = production(&project);
        rig.release(&project, WEB, name).await;
        rig.settle(MINUTE).await;
        edit_by_hand(&rig, &key, "value: /", "value: /admin");
        edit_by_hand(&rig, &key, &format!("{name}.localhost"), "shop.localhost");
        rig.settle(MINUTE).await;
        if is_free {
            assert_eq!(hosts(&world, &key), ["shop.localhost"], "within an organisation paths are shared");
            continue;
        }
        let problem = blocked(&rig, &key).await;
        assert_eq!(problem.code, "delivery.host-taken");
        assert!(!problem.to_string().contains("project `shop`"), "a stranger learns no names: {problem}");
        assert_eq!(hosts(&world, &key), ["late.localhost"]);
    }
    assert_eq!(hosts(&world, &first), ["shop.localhost"]);
}

#[tokio::test]
async fn narus_own_hosts_lead_to_no_service() {
    let world = World::default();
    let (rig, shop, key) = start(&world).await;
    rig.release(&shop, WEB, "one").await;
    rig.settle(MINUTE).await;
    for own in ["naru.example.com", "localhost"] {
        rig.release(&shop, &with_host(own), own).await;
        rig.settle(MINUTE).await;
        let problem = refusal(&rig, &key).await;
        assert_eq!(problem.code, "delivery.host-taken", "{own}");
        assert!(problem.summary.contains("Naru's own host"), "{problem}");
        assert_eq!(hosts(&world, &key), ["shop.localhost"], "{own}");
    }
    edit_by_hand(&rig, &key, "shop.localhost", "naru.example.com");
    rig.settle(MINUTE).await;
    assert!(blocked(&rig, &key).await.summary.contains("Naru's own host"));
    assert_eq!(hosts(&world, &key), ["shop.localhost"]);
}
