//! The first administrator, by page and by API; logging in and out.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::world::{Answer, HOST, World, is, request};

const PASSWORD: &str = "river crossing at dawn";

async fn page(world: &World, path: &str, language: &str) -> Answer {
    let request = request(None, "GET", path).header("accept-language", language);
    world.read(request.body(Body::empty()).unwrap()).await
}

async fn submit(world: &World, form: &str) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri("/setup")
        .header("host", HOST)
        .header("origin", format!("http://{HOST}"))
        .header("content-type", "application/x-www-form-urlencoded");
    world.read(request.body(Body::from(form.to_owned())).unwrap()).await
}

#[tokio::test]
async fn the_page_makes_the_first_administrator_and_shows_the_token_once() {
    let world = World::new().await;
    let link = world.identity.offer_setup().await.unwrap().unwrap();
    let link = link.expose_secret();
    let form = page(&world, &format!("/setup?token={link}"), "en").await;
    assert!(form.text.contains(link) && form.text.contains("Make the first administrator"));
    assert!(page(&world, "/setup", "ko-KR").await.text.contains("첫 관리자 만들기"));
    assert!(form.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));

    let short = submit(&world, &format!("token={link}&login=minji&password=short")).await;
    assert_eq!(short.status, 400);
    assert!(short.text.contains("value=\"minji\"") && short.text.contains("aria-invalid"));
    assert!(!short.text.contains("value=\"short\""), "a password is never sent back");

    let made =
        submit(&world, &format!("token={link}&login=minji&password={}", PASSWORD.replace(' ', "+"))).await;
    assert_eq!(made.status, 201);
    let cookie = made.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let token = made
        .text
        .split("<pre class=\"command\" data-copy>")
        .nth(1)
        .and_then(|rest| rest.split("</pre>").next())
        .unwrap();
    assert_eq!(world.get(token, "/api/v1/whoami").await.json()["login"], "minji");

    let session = cookie.split(';').next().unwrap();
    let request = request(None, "GET", "/api/v1/whoami").header("cookie", session);
    assert_eq!(world.read(request.body(Body::empty()).unwrap()).await.status, 200);

    let again = submit(&world, &format!("token={link}&login=second&password=another+password")).await;
    assert_eq!(again.status, 403);
    assert_eq!(page(&world, "/setup", "en").await.status, 303, "there is nothing left to set up");
}

#[tokio::test]
async fn what_is_typed_into_the_form_cannot_become_markup() {
    let world = World::new().await;
    let answer = submit(&world, "token=%22%3E%3Cscript%3E&login=%3Cimg+src%3Dx%3E&password=x").await;
    assert_eq!(answer.status, 403);
    assert!(!answer.text.contains("<script>") && !answer.text.contains("<img"));
}

#[tokio::test]
async fn who_is_not_logged_in_is_told_what_is_missing() {
    let world = World::new().await;
    assert_eq!(page(&world, "/", "en").await.headers["location"], "/login");
    let login = page(&world, "/login", "en").await;
    assert!(login.text.contains("naru login http://127.0.0.1:7070"));
    assert!(login.text.contains("No administrator exists yet"));
    assert!(page(&world, "/login", "ko").await.text.contains("아직 관리자가 없어요"));
}

#[tokio::test]
async fn the_api_sets_up_logs_in_and_logs_out() {
    let world = World::new().await;
    let link = world.identity.offer_setup().await.unwrap().unwrap();
    let body = json!({ "setup_token": link.expose_secret(), "login": "minji", "password": PASSWORD });
    let made = world.call("", "POST", "/api/v1/setup", body.clone()).await;
    assert_eq!(made.status, 201);
    is(&world.call("", "POST", "/api/v1/setup", body).await, StatusCode::FORBIDDEN, "identity.setup-link");

    let wrong = json!({ "login": "minji", "password": "wrong" });
    for _ in 0..5 {
        let refused = world.call("", "POST", "/api/v1/login", wrong.clone()).await;
        is(&refused, StatusCode::UNAUTHORIZED, "identity.wrong-password");
    }
    let right = json!({ "login": "minji", "password": PASSWORD });
    let waiting = world.call("", "POST", "/api/v1/login", right).await;
    is(&waiting, StatusCode::TOO_MANY_REQUESTS, "identity.too-many-attempts");
    assert_eq!(waiting.headers["retry-after"], "60");

    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.call(&token, "POST", "/api/v1/logout", Value::Null).await.status, 204);
    is(&world.get(&token, "/api/v1/whoami").await, StatusCode::UNAUTHORIZED, "api.unauthenticated");
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let new = json!({ "label": "ci", "project": "shop", "permissions": ["read"], "lasts_seconds": 60 });
    let made = world.call(&token, "POST", "/api/v1/tokens", new).await.json();
    let plain = made["token"].as_str().unwrap();
    assert_eq!(world.get(plain, "/api/v1/projects/shop").await.status, 200);
    let list = world.get(&token, "/api/v1/tokens").await;
    assert!(list.text.contains("\"ci\"") && !list.text.contains(plain));
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(world.call(&token, "DELETE", &path, Value::Null).await.status, 204);
    is(&world.get(plain, "/api/v1/projects/shop").await, StatusCode::UNAUTHORIZED, "api.unauthenticated");
    is(
        &world.call(&token, "DELETE", "/api/v1/tokens/x", Value::Null).await,
        StatusCode::NOT_FOUND,
        "identity.missing",
    );
    let for_nothing = json!({ "label": "ci", "project": "none", "permissions": ["read"] });
    is(
        &world.call(&token, "POST", "/api/v1/tokens", for_nothing).await,
        StatusCode::NOT_FOUND,
        "api.missing",
    );
}
