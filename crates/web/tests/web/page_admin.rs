//! Pages of the instance: edge, activity, one's own account.

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
