//! A project's people: who has which role where and why, roles of its own, protected environments.

use naru_model::EnvironmentKey;
use naru_model::role::Role;

use crate::page::{Browser, has, leads};
use crate::world::World;

const PEOPLE: &str = "/projects/shop/people";
const PRODUCTION: &str = "/projects/shop/environments/production/people";

async fn with_shop() -> World {
    let (world, _) = World::with_administrator().await;
    let project = world.project("shop").await;
    let key = EnvironmentKey { project, environment: "production".parse().unwrap() };
    world.store.ensure_environment(&key, None).await.unwrap();
    world
}

#[tokio::test]
async fn a_role_is_set_where_it_counts_and_taken_back() {
    let world = with_shop().await;
    let owner = Browser::minji(&world).await;
    let yuna = Browser::member(&world, "yuna", Role::Developer).await;
    has(
        &owner.get(PEOPLE).await,
        &["yuna", "from the organisation", "Environment production", "Not protected"],
    );
    assert_eq!(leads(&owner.post(PRODUCTION, "login=yuna&role=maintainer").await), PEOPLE);
    has(&owner.get(PEOPLE).await, &["<strong>maintainer</strong>", "set here"]);
    assert_eq!(leads(&owner.post(PEOPLE, "login=yuna&role=none").await), PEOPLE);
    assert_eq!(yuna.get("/projects/shop").await.status, 404);
    has(&owner.get(PEOPLE).await, &["<strong>no access</strong>"]);
    assert_eq!(leads(&owner.post(&format!("{PEOPLE}/unset"), "login=yuna").await), PEOPLE);
    assert_eq!(leads(&owner.post(&format!("{PRODUCTION}/unset"), "login=yuna").await), PEOPLE);
    assert_eq!(yuna.get("/projects/shop").await.status, 200);
    for (fields, status) in [("login=stranger&role=viewer", 404), ("login=yuna&role=king", 400), ("", 400)] {
        let refused = owner.post(PEOPLE, fields).await;
        assert_eq!(refused.status, status, "{fields}");
        has(&refused, &["role=\"alert\""]);
    }
    let audit = world.get(&world.administrator_token().await, "/api/v1/audit?action=role").await;
    assert!(audit.text.contains("yuna to none") && audit.text.contains("role.unset"), "{}", audit.text);
}

#[tokio::test]
async fn a_protected_environment_says_so_and_is_for_maintainers() {
    let world = with_shop().await;
    let owner = Browser::minji(&world).await;
    let yuna = Browser::member(&world, "yuna", Role::Developer).await;
    let begin = "/projects/shop/environments/production/maintenance/begin";
    assert_eq!(leads(&owner.post(&format!("{PRODUCTION}/protection"), "protected=true").await), PEOPLE);
    has(&owner.get(PEOPLE).await, &["to deploy here takes a maintainer", "Stop protecting it"]);
    assert_eq!(yuna.post(begin, "message=").await.status, 403);
    assert_eq!(leads(&owner.post(&format!("{PRODUCTION}/protection"), "protected=false").await), PEOPLE);
    assert_eq!(yuna.post(begin, "message=").await.status, 303);
}

#[tokio::test]
async fn the_page_is_for_who_administers_and_its_acts_for_owners() {
    let world = with_shop().await;
    let viewer = Browser::member(&world, "yuna", Role::Viewer).await;
    assert_eq!(viewer.get(PEOPLE).await.status, 403);
    assert!(!viewer.get("/projects/shop").await.text.contains("/projects/shop/people"));
    let maintainer = Browser::member(&world, "jun", Role::Maintainer).await;
    let page = maintainer.get(PEOPLE).await;
    has(&page, &["Protect it"]);
    assert!(!page.text.contains("Give a role here"));
    for path in [PEOPLE, PRODUCTION] {
        assert_eq!(maintainer.post(path, "login=jun&role=owner").await.status, 403);
        assert_eq!(viewer.post(&format!("{path}/unset"), "login=jun").await.status, 403);
    }
    world.store.create_account("hana", "").await.unwrap();
    let stranger = Browser::of(&world, "hana").await;
    let none = PRODUCTION.replace("shop", "none");
    for (here, missing) in [(PEOPLE, "/projects/none/people"), (PRODUCTION, none.as_str())] {
        let (here, missing) = (stranger.post(here, "").await, stranger.post(missing, "").await);
        assert_eq!((here.status, here.text.replace("shop", "none")), (404, missing.text));
    }
}
