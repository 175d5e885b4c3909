//! Acts that cannot be undone or that give rights ask once more who it is, when the last proof is old.

use std::time::Duration;

use crate::page::{Browser, has, leads};
use crate::totp::code;
use crate::world::World;

/// Sets up the administrator's second factor; returns its secret.
async fn second_factor(world: &World, token: &str) -> String {
    let post = async |path: &str, body: serde_json::Value| {
        let answer = world.call(token, "POST", &format!("/api/v1/account/totp/{path}"), body).await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.json()
    };
    let begun = post("begin", serde_json::json!({ "password": "river crossing at dawn" })).await;
    let secret = begun["secret"].as_str().unwrap().to_owned();
    post("confirm", serde_json::json!({ "code": code(world, &secret) })).await;
    secret
}

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
        has(&page, &["name=\"next\" value=\"/\"", "href=\"/\">Back without doing it"]);
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

#[tokio::test]
async fn who_has_a_second_factor_is_asked_for_a_code_too_and_each_counts_once() {
    let (world, token) = World::with_administrator().await;
    let secret = second_factor(&world, &token).await;
    let browser = Browser::of(&world, "minji").await;
    world.pass(Duration::from_mins(11));
    let make = async || leads(&browser.post("/account/tokens", "label=ci&days=30").await).to_owned();
    assert_eq!(make().await, "/confirm?next=%2Faccount");
    has(&browser.get("/confirm?next=/account").await, &["name=\"code\"", "one-time-code", "recovery code"]);
    let confirm =
        async |more: &str| browser.post("/confirm", &format!("{PASSWORD}&next=/account{more}")).await;
    for more in ["", "&code=", "&code=000000", "&code=%F0%9F%9A%A2"] {
        let refused = confirm(more).await;
        assert_eq!(refused.status, 400, "{more}");
        has(&refused, &["The password or the code is wrong", "aria-invalid=\"true\""]);
        assert!(!refused.text.contains("000000"), "a code is never sent back");
    }
    let right = code(&world, &secret);
    let wrong_password = browser.post("/confirm", &format!("password=wrong&code={right}")).await;
    assert_eq!(wrong_password.status, 400);
    has(&wrong_password, &["The password or the code is wrong"]);
    world.pass(Duration::from_mins(1));
    assert_eq!(make().await, "/confirm?next=%2Faccount", "nothing of this counted");

    let right = code(&world, &secret);
    assert_eq!(leads(&confirm(&format!("&code={right}")).await), "/account?confirmed=1");
    assert_eq!(browser.post("/account/tokens", "label=ci&days=30").await.status, 201);
    assert_eq!(confirm(&format!("&code={right}")).await.status, 400, "the same code once more");
    let login = Browser::nobody(&world).post("/login", &format!("login=minji&{PASSWORD}&code={right}")).await;
    assert_eq!(login.status, 401, "nor does it log in");
    let audit = world.get(&token, "/api/v1/audit?action=account.confirm").await.text;
    for word in ["identity.wrong-code", "identity.wrong-password", "done"] {
        assert!(audit.contains(word), "{word} is missing in {audit}");
    }
    let korean = Browser { language: "ko", ..Browser::of(&world, "minji").await };
    world.pass(Duration::from_mins(11));
    has(&korean.get("/confirm?next=/account").await, &["인증 앱의 코드나 복구 코드예요"]);
    let refused = korean.post("/confirm", &format!("{PASSWORD}&code=1")).await;
    has(&refused, &["비밀번호나 코드가 맞지 않거나, 이미 쓴 코드예요"]);
}

#[tokio::test]
async fn turning_the_second_factor_off_takes_a_code_once_the_last_proof_is_old() {
    let (world, token) = World::with_administrator().await;
    let secret = second_factor(&world, &token).await;
    let browser = Browser::of(&world, "minji").await;
    world.pass(Duration::from_mins(11));
    let off = async || leads(&browser.post("/account/totp/off", PASSWORD).await).to_owned();
    assert_eq!(off().await, "/confirm?next=%2Faccount%2Ftotp");
    let code = code(&world, &secret);
    let sent = format!("{PASSWORD}&code={code}&next=/account/totp");
    assert_eq!(leads(&browser.post("/confirm", &sent).await), "/account/totp?confirmed=1");
    assert_eq!(off().await, "/account/totp");
    world.pass(Duration::from_mins(11));
    let page = browser.get("/confirm?next=/account").await;
    assert!(!page.text.contains("name=\"code\""), "without a second factor no code is asked for");
    assert_eq!(
        leads(&browser.post("/confirm", &format!("{PASSWORD}&next=/account")).await),
        "/account?confirmed=1"
    );
}
