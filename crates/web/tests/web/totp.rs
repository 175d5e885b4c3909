//! The second factor, by API and by pages.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::page::{Browser, has, leads};
use crate::world::{World, is};

const PASSWORD: &str = "river crossing at dawn";
const TOTP: &str = "/api/v1/account/totp";

/// What an authenticator shows.
pub(crate) fn code(world: &World, secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    totp.generate(u64::try_from(world.store.now().as_second()).unwrap()).to_string()
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before).nth(1).and_then(|rest| rest.split(after).next()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test]
async fn it_is_set_up_used_and_turned_off_by_the_api() {
    let (world, token) = World::with_administrator().await;
    let off = json!({ "on": false, "begun": false, "recovery_codes": 0 });
    assert_eq!(world.get(&token, TOTP).await.json(), off);
    let post =
        async |path: &str, body: Value| world.call(&token, "POST", &format!("{TOTP}/{path}"), body).await;
    is(
        &post("begin", json!({ "password": "wrong" })).await,
        StatusCode::BAD_REQUEST,
        "identity.wrong-password",
    );
    is(&post("confirm", json!({ "code": "123456" })).await, StatusCode::CONFLICT, "identity.totp");
    let begun = post("begin", json!({ "password": PASSWORD })).await.json();
    let secret = begun["secret"].as_str().unwrap().to_owned();
    assert!(begun["link"].as_str().unwrap().contains(&format!(":minji?secret={secret}&issuer=Naru%20127")));
    is(&post("confirm", json!({ "code": "000000" })).await, StatusCode::BAD_REQUEST, "identity.wrong-code");
    let made = post("confirm", json!({ "code": code(&world, &secret) })).await.json();
    let recovery = made["codes"].as_array().unwrap().clone();
    assert_eq!(recovery.len(), 10);
    is(&post("begin", json!({ "password": PASSWORD })).await, StatusCode::CONFLICT, "identity.totp");

    let log_in = async |login: &str, password: &str, code: Value| {
        let body = json!({ "login": login, "password": password, "code": code });
        world.call("", "POST", "/api/v1/login", body).await
    };
    let without = log_in("minji", PASSWORD, Value::Null).await;
    for other in [
        log_in("minji", "wrong", recovery[0].clone()).await,
        log_in("nobody", PASSWORD, json!("123456")).await,
        log_in("minji", PASSWORD, json!("123456")).await,
    ] {
        assert_eq!((other.status, &other.text), (without.status, &without.text), "all refusals are alike");
    }
    is(&without, StatusCode::UNAUTHORIZED, "identity.wrong-password");
    assert_eq!(log_in("minji", PASSWORD, recovery[0].clone()).await.status, 201);
    let audit = world.get(&token, "/api/v1/audit?action=account").await.text;
    for word in ["account.totp-on", "account.recovery-code", "9 left", "identity.wrong-code"] {
        assert!(audit.contains(word), "{word} is missing in {audit}");
    }
    assert!(!audit.contains(&secret));
    assert_eq!(post("off", json!({ "password": PASSWORD })).await.status, 204);
    assert_eq!(log_in("minji", PASSWORD, Value::Null).await.status, 201);
}

#[tokio::test]
async fn an_administrator_takes_it_off_who_lost_it() {
    let (world, token) = World::with_administrator().await;
    let begun = world.call(&token, "POST", &format!("{TOTP}/begin"), json!({ "password": PASSWORD })).await;
    let shown = code(&world, begun.json()["secret"].as_str().unwrap());
    let confirmed = world.call(&token, "POST", &format!("{TOTP}/confirm"), json!({ "code": shown })).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    assert_eq!(world.call(&token, "DELETE", "/api/v1/accounts/minji/totp", Value::Null).await.status, 204);
    let missing = world.call(&token, "DELETE", "/api/v1/accounts/none/totp", Value::Null).await;
    is(&missing, StatusCode::NOT_FOUND, "identity.missing");
    let login = json!({ "login": "minji", "password": PASSWORD });
    assert_eq!(world.call("", "POST", "/api/v1/login", login).await.status, 201);
}

#[tokio::test]
async fn it_is_set_up_on_its_page_and_asked_for_at_the_next_login() {
    let (world, _) = World::with_administrator().await;
    let mut browser = Browser::minji(&world).await;
    has(&browser.get("/account").await, &["/account/totp", "off, set it up"]);
    has(&browser.get("/account/totp").await, &["The second factor is off"]);
    let wrong = browser.post("/account/totp/begin", "password=wrong").await;
    assert_eq!(wrong.status, 400);
    has(&wrong, &["The password is wrong"]);
    let sent = format!("password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(leads(&browser.post("/account/totp/begin", &sent).await), "/account/totp");
    let page = browser.get("/account/totp").await;
    has(&page, &["<svg class=\"qr\"", "otpauth://totp/Naru%20127", "one-time-code"]);
    let secret = between(&page.text, "Secret <code data-copy>", "<").to_owned();
    has(&browser.post("/account/totp/confirm", "code=000000").await, &["The code is wrong"]);
    let done = browser.post("/account/totp/confirm", &format!("code={}", code(&world, &secret))).await;
    has(&done, &["Recovery codes", "shown only now"]);
    let recovery = between(&done.text, "<pre data-copy tabindex=\"0\">", "\n").to_owned();
    browser.language = "ko";
    let page = browser.get("/account/totp").await;
    has(&page, &["2단계 인증이 켜져 있어요", "10개"]);
    assert!(!page.text.contains(&secret) && !page.text.contains(&recovery), "both are shown once");

    let guest = Browser::nobody(&world);
    let log_in = async |more: &str| guest.post("/login", &format!("login=minji&{sent}{more}")).await;
    for more in ["", "&code=000000"] {
        let refused = log_in(more).await;
        assert_eq!(refused.status, 401);
        has(&refused, &["The login, the password or the code is wrong."]);
    }
    assert_eq!(leads(&log_in(&format!("&code={recovery}")).await), "/");
    assert_eq!(log_in(&format!("&code={recovery}")).await.status, 401);
}
