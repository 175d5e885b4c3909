//! Pages of an environment: what serves, its revisions, the way back, its settings.

use naru_model::{
    CommitId, ConfigurationVersion, Digest, EnvironmentKey, Generation, ReleaseNumber, RevisionNumber,
};
use naru_store::intent::IntentKind;
use naru_store::revision::Revision;

use crate::page::{Browser, has, leads};
use crate::world::World;

pub(crate) const PAGE: &str = "/projects/shop/environments/production";
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

fn commit(content: &str) -> CommitId {
    CommitId::try_from(Digest::of(content.as_bytes()).hex()[..40].to_owned()).unwrap()
}

/// Two revisions of releases of the same numbers; the second serves.
pub(crate) async fn shop(world: &World) -> EnvironmentKey {
    let project = world.project("shop").await;
    let key = EnvironmentKey { project, environment: "production".parse().unwrap() };
    world.store.ensure_environment(&key, None).await.unwrap();
    let revision = |number: u32| Revision {
        number: RevisionNumber(number),
        commit: commit(&number.to_string()),
        release: Some(ReleaseNumber(number)),
        configuration: ConfigurationVersion(number),
        author: "minji".into(),
        message: format!("Deliver release {number} {HOSTILE}"),
        created_at: world.store.now(),
    };
    world.store.cache_revisions(&key, &[revision(1), revision(2)]).await.unwrap();
    for number in [1, 2] {
        world.store.aim(&key, RevisionNumber(number), &[], false).await.unwrap();
        let generation = Generation(u64::from(number));
        world.store.mark_switched(&key, generation, RevisionNumber(number)).await.unwrap();
    }
    key
}

#[tokio::test]
async fn an_environment_says_what_serves_and_where_it_is_reached() {
    let (world, _) = World::with_administrator().await;
    shop(&world).await;
    let mut browser = Browser::minji(&world).await;
    let page = browser.get(PAGE).await;
    has(&page, &["production serves release 2 as revision 2", "http://shop.localhost:8080", "/rollback"]);
    has(&page, &["/git/shop.git", "/git/shop.deploy.git", "Begin maintenance"]);
    browser.language = "ko";
    has(&browser.get(PAGE).await, &["릴리스 2 운영 중", "되돌리기", "점검 시작"]);
    assert_eq!(browser.get("/projects/shop/environments/none").await.status, 404);
}

#[tokio::test]
async fn the_way_back_says_what_will_happen_first() {
    let (world, _) = World::with_administrator().await;
    let key = shop(&world).await;
    let browser = Browser::minji(&world).await;
    let asked = browser.get(&format!("{PAGE}/rollback")).await;
    has(
        &asked,
        &["Return to revision 1 in production", "from release 2 to release 1", "version 2 to version 1"],
    );
    has(&asked, &["Revision 2 goes into quarantine"]);
    assert!(world.store.newest_intent(&key).await.unwrap().is_none(), "asking changes nothing");
    assert_eq!(leads(&browser.post(&format!("{PAGE}/rollback"), "revision=1").await), PAGE);
    let intent = world.store.newest_intent(&key).await.unwrap().unwrap();
    assert_eq!(intent.kind, IntentKind::Rollback { revision: RevisionNumber(1) });
    let missing = browser.post(&format!("{PAGE}/rollback"), "revision=9").await;
    assert_eq!(missing.status, 404);
    has(&missing, &["revision 9 of `shop`"]);
}

#[tokio::test]
async fn revisions_are_listed_shown_and_compared_and_commit_messages_stay_text() {
    let (world, _) = World::with_administrator().await;
    shop(&world).await;
    let browser = Browser::minji(&world).await;
    for path in ["revisions", "revisions/2", "compare?from=1&to=2"] {
        let page = browser.get(&format!("{PAGE}/{path}")).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        has(&page, &["Deliver release 2", "&#60;img"]);
        assert!(!page.text.contains("<img"), "{path}");
    }
    let shown = browser.get(&format!("{PAGE}/revisions/2")).await;
    has(&shown, &["What changed since revision 1", "<span class=\"added\">+replicas: 3</span>"]);
    has(&shown, &["The receipt is signed when"]);
    let list = browser.get(&format!("{PAGE}/revisions?limit=1")).await;
    has(&list, &["?after=2", "serves"]);
    assert_eq!(browser.get(&format!("{PAGE}/revisions/9")).await.status, 404);
}

#[tokio::test]
async fn variables_are_set_pasted_and_removed_and_what_was_typed_stays() {
    let (world, _) = World::with_administrator().await;
    let key = shop(&world).await;
    let browser = Browser::minji(&world).await;
    let path = format!("{PAGE}/configuration");
    assert_eq!(leads(&browser.post(&path, "name=GREETING&value=hello").await), path);
    let pasted = "text=A%3D1%0D%0A%23+no%0D%0AB%3D%22two%22";
    assert_eq!(leads(&browser.post(&path, pasted).await), path);
    let found = world.store.configuration(&key).await.unwrap();
    let pairs: Vec<String> = found.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["A=1", "B=two", "GREETING=hello"]);
    has(&browser.get(&path).await, &["GREETING", "hello"]);

    let wrong = browser.post(&path, "name=1+bad&value=kept").await;
    assert_eq!(wrong.status, 400);
    has(&wrong, &["value=\"1 bad\"", ">kept</textarea>", "role=\"alert\""]);
    assert_eq!(leads(&browser.post(&format!("{path}/unset"), "name=A").await), path);
    assert!(!browser.get(&path).await.text.contains("<code>A</code>"));
}

#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out() {
    let (world, _) = World::with_administrator().await;
    shop(&world).await;
    let browser = Browser::minji(&world).await;
    let path = format!("{PAGE}/configuration");
    let sent = "name=PASSWORD&value=open+sesame";
    assert_eq!(leads(&browser.post(&format!("{PAGE}/secrets"), sent).await), path);
    let page = browser.get(&path).await;
    has(&page, &["PASSWORD", "minji"]);
    assert!(!page.text.contains("open sesame"));
    let wrong = browser.post(&format!("{PAGE}/secrets"), "name=no%20no&value=open+sesame").await;
    assert_eq!(wrong.status, 400);
    assert!(!wrong.text.contains("open sesame"), "a refused secret is not sent back");
    assert_eq!(leads(&browser.post(&format!("{PAGE}/secrets/unset"), "name=PASSWORD").await), path);
    assert!(!browser.get(&path).await.text.contains("PASSWORD"));
}

#[tokio::test]
async fn maintenance_begins_and_ends() {
    let (world, _) = World::with_administrator().await;
    shop(&world).await;
    let browser = Browser::minji(&world).await;
    let message = "message=Back+soon+%3Cb%3E";
    assert_eq!(leads(&browser.post(&format!("{PAGE}/maintenance/begin"), message).await), PAGE);
    has(&browser.get(PAGE).await, &["Back soon &#60;b&#62;", "End maintenance"]);
    assert_eq!(leads(&browser.post(&format!("{PAGE}/maintenance/end"), "").await), PAGE);
    has(&browser.get(PAGE).await, &["Begin maintenance"]);
}

#[tokio::test]
async fn a_project_ends_only_when_its_name_is_typed() {
    let (world, _) = World::with_administrator().await;
    shop(&world).await;
    let browser = Browser::minji(&world).await;
    let refused = browser.post("/projects/shop/settings/delete", "name=shopp").await;
    assert_eq!(refused.status, 400);
    has(&refused, &["The name is shop; nothing was deleted"]);
    let name = "shop".parse().unwrap();
    assert!(!world.store.project(&name).await.unwrap().unwrap().deleting);
    assert_eq!(leads(&browser.post("/projects/shop/settings/delete", "name=shop").await), "/projects");
    assert!(world.store.project(&name).await.unwrap().unwrap().deleting);
}

#[tokio::test]
async fn releases_and_rollouts_are_empty_pages_that_teach() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/projects/shop/releases").await, &["No release yet", "naru run list --project shop"]);
    assert_eq!(browser.get("/projects/shop/releases/1").await.status, 404);
    let key = EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    world.store.ensure_environment(&key, None).await.unwrap();
    has(&browser.get(&format!("{PAGE}/revisions")).await, &["Nothing was delivered here yet"]);
    let refused = browser.post(&format!("{PAGE}/rollout/abort"), "").await;
    assert_eq!(refused.status, 409);
    has(&refused, &["api.no-rollout"]);
}
