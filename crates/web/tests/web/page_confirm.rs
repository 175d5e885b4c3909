//! Acts that cannot be undone or that give rights ask once more who it is, when the last proof is old.

use std::time::Duration;

use crate::page::{Browser, has, leads};
use crate::world::World;

const PASSWORD: &str = "password=river+crossing+at+dawn";

#[tokio::test]
async fn an_old_login_is_asked_for_the_password_and_comes_back_to_the_form() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    world.pass(Duration::from_mins(11));
    let make = async || browser.post("/account/tokens", "label=ci&days=30").await;
    assert_eq!(leads(&make().await), "/confirm?next=%2Faccount");
    let page = browser.get("/confirm?next=%2Faccount").await;
    has(&page, &["Confirm that it is you", "value=\"/account\"", "Nothing was changed", "type=\"password\""]);
    let wrong = browser.post("/confirm", "password=wrong&next=/account").await;
    assert_eq!(wrong.status, 400);
    has(&wrong, &["The password is wrong", "aria-invalid=\"true\""]);
    assert!(!wrong.text.contains("value=\"wrong\""), "a password is never sent back");
    assert_eq!(leads(&make().await), "/confirm?next=%2Faccount", "nothing was made");

    let right = browser.post("/confirm", &format!("{PASSWORD}&next=/account")).await;
    assert_eq!(leads(&right), "/account?confirmed=1");
    has(&browser.get("/account?confirmed=1").await, &["do now what you came for"]);
    assert_eq!(make().await.status, 201);
    world.pass(Duration::from_mins(11));
    assert!(!browser.get("/account?confirmed=1").await.text.contains("do now what you came for"));
    let lines = world.get(&world.administrator_token().await, "/api/v1/audit?action=account.confirm").await;
    assert!(lines.text.contains("identity.wrong-password") && lines.text.contains("done"), "{}", lines.text);
}

#[tokio::test]
async fn the_way_back_stays_on_this_server() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    for (next, expected) in [("//evil.example/x", "/?confirmed=1"), ("https://evil.example", "/?confirmed=1")]
    {
        assert_eq!(leads(&browser.get(&format!("/confirm?next={next}")).await), expected);
        world.pass(Duration::from_mins(11));
        let page = browser.get(&format!("/confirm?next={next}")).await;
        has(&page, &["name=\"next\" value=\"/\"", "<a href=\"/\">Back without doing it"]);
        assert_eq!(leads(&browser.post("/confirm", &format!("{PASSWORD}&next={next}")).await), expected);
    }
}

#[tokio::test]
async fn guessing_there_is_bounded_like_a_login() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    world.pass(Duration::from_mins(11));
    for _ in 0..5 {
        assert_eq!(browser.post("/confirm", "password=wrong").await.status, 400);
    }
    let bounded = browser.post("/confirm", PASSWORD).await;
    assert_eq!(bounded.status, 429);
    has(&bounded, &["Too many attempts"]);
    let login = Browser::nobody(&world).post("/login", &format!("login=minji&{PASSWORD}")).await;
    assert_eq!(login.status, 429, "they count together");
}

#[tokio::test]
async fn an_account_without_a_password_is_not_asked_for_one() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::member(&world, "yuna", naru_model::role::Role::Owner).await;
    world.pass(Duration::from_mins(11));
    let page = browser.get("/confirm?next=/organisations/main").await;
    has(&page, &["has no password and no login provider"]);
    assert!(!page.text.contains("type=\"password\""));
    assert_eq!(browser.post("/confirm", "password=").await.status, 400);
}
