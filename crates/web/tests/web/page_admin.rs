//! Pages of the instance: edge, activity, one's own account.

use naru_model::role::Role;

use crate::page::{Browser, has, leads};
use crate::world::World;

#[tokio::test]
async fn a_token_is_shown_once_and_can_be_revoked() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::minji(&world).await;
    let made =
        browser.post("/account/tokens", "label=laptop+%3Cb%3E&days=30&project=shop&read_only=true").await;
    assert_eq!(made.status, 201, "{}", made.text);
    has(&made, &["naru_", "laptop &#60;b&#62;", "shown only this once", "<code>read</code>"]);
    let text = made.text.split("data-copy>naru_").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let page = browser.get("/account").await;
    has(&page, &["laptop", "minji", "instance administrator"]);
    assert!(!page.text.contains(text), "a token's text is not kept");
    let token = format!("naru_{text}");
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.status, 200);

    let row = page.text.split("laptop").nth(1).unwrap();
    let id = row.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(leads(&browser.post("/account/tokens/revoke", &format!("id={id}")).await), "/account");
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.status, 401);
    has(&browser.get("/account").await, &["revoked"]);
}

#[tokio::test]
async fn a_token_for_nothing_is_refused_and_what_was_typed_stays() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    for project in ["missing", "..%2F.."] {
        let refused = browser.post("/account/tokens", &format!("label=mine&days=30&project={project}")).await;
        assert!(refused.status == 400 || refused.status == 404, "{project}: {}", refused.status);
        has(&refused, &["value=\"mine\"", "role=\"alert\""]);
    }
}

#[tokio::test]
async fn activity_is_filtered_and_edge_teaches() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    browser.post("/account/tokens", "label=ci&days=30").await;
    has(&browser.get("/activity").await, &["token.create", "minji", "done"]);
    let none = browser.get("/activity?action=project.delete").await;
    has(&none, &["Nothing matches", "value=\"project.delete\""]);
    has(&browser.get("/activity?login=%22%3E%3Cscript%3E").await, &["&#34;&#62;&#60;script&#62;"]);
    has(&browser.get("/edge").await, &["No host yet", "naru certificate set"]);
}

#[tokio::test]
async fn accounts_are_disabled_let_in_again_and_given_links() {
    let (world, token) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    let yuna = Browser::member(&world, "yuna", Role::Developer).await;
    let accounts = "/instance/accounts";
    has(&browser.get(accounts).await, &["yuna", "may log in", "yuna is logged out at once"]);
    let last = browser.post(accounts, "login=minji&disabled=true").await;
    assert_eq!(last.status, 409);
    has(&last, &["keeps an administrator", "role=\"alert\""]);
    assert_eq!(leads(&browser.post(accounts, "login=yuna&disabled=true").await), accounts);
    assert_eq!(leads(&yuna.get("/").await), "/login");
    has(&browser.get(accounts).await, &["disabled", "Let in again"]);
    assert_eq!(leads(&browser.post(accounts, "login=yuna&disabled=false").await), accounts);
    assert_eq!(Browser::of(&world, "yuna").await.get("/").await.status, 200);
    assert_eq!(browser.post(accounts, "login=nobody&disabled=true").await.status, 404);
    let link = browser.post("/instance/accounts/password", "login=yuna").await;
    assert_eq!(link.status, 201);
    has(&link, &["/password?token="]);
    let audit = world.get(&token, "/api/v1/audit?action=account.change").await;
    assert!(audit.text.contains("yuna: disabled"), "{}", audit.text);
}

#[tokio::test]
async fn the_instance_is_its_administrators_to_see() {
    let (world, _) = World::with_administrator().await;
    world.store.create_account("hana", "").await.unwrap();
    let theirs = "theirs".parse().unwrap();
    world.store.create_organisation(&theirs, "", "hana").await.unwrap();
    let browser = Browser::minji(&world).await;
    has(&browser.get("/instance").await, &["theirs", "blobs", "1.5 GiB", "Fake 1.0", "127.0.0.1:7070"]);
    has(&browser.get("/account").await, &["href=\"/instance/accounts\""]);
    let yuna = Browser::member(&world, "yuna", Role::Owner).await;
    for path in ["/instance", "/instance/accounts"] {
        assert_eq!(yuna.get(path).await.status, 403, "{path}");
        assert!(!yuna.get("/account").await.text.contains(&format!("href=\"{path}\"")), "{path}");
    }
    assert_eq!(yuna.post("/instance/accounts", "login=minji&disabled=true").await.status, 403);
    assert_eq!(yuna.post("/instance/accounts/password", "login=minji").await.status, 403);
}
