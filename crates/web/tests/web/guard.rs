//! What no answer lacks, and answers at addresses that there are not.

use axum::body::Body;
use axum::http::Request;
use naru_identity::Origin;
use naru_model::authorise::Principal;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::page::{Browser, has, leads};
use crate::world::{HOST, World};

const LOGIN: &str = "login=minji&password=river+crossing+at+dawn";

#[tokio::test]
async fn every_answer_forbids_guessing_and_framing() {
    let (world, token) = World::with_administrator().await;
    for path in
        ["/healthz", "/api/v1/openapi.json", "/api/v1/whoami", "/api/v1/nothing", "/login", "/nothing"]
    {
        let answer = world.get(&token, path).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "not where TLS is not spoken");
    }
}

#[tokio::test]
async fn an_address_that_there_is_not_is_told_as_a_problem_or_a_page() {
    let (world, token) = World::with_administrator().await;
    let api = world.get(&token, "/api/v1/nothing").await;
    assert_eq!((api.status, api.code().as_str()), (404, "api.no-route"));
    let method = world.call(&token, "PATCH", "/api/v1/whoami", Value::Null).await;
    assert_eq!((method.status, method.code().as_str()), (405, "api.method"));
    let mut browser = Browser::minji(&world).await;
    let page = browser.get("/nothing/%3Cscript%3E").await;
    assert_eq!(page.status, 404);
    has(&page, &["<!doctype html>", "There is no such page", "Back to home"]);
    assert!(!page.text.contains("<script>"));
    browser.language = "ko";
    has(&browser.get("/nothing").await, &["없는 페이지예요"]);
    assert_eq!(Browser::nobody(&world).get("/nothing").await.status, 404, "without a login, too");
    assert_eq!(browser.post("/projects", "x=1").await.status, 405);
}

#[tokio::test]
async fn where_people_come_with_tls_cookies_are_bound_to_the_host_and_browsers_stay_with_it() {
    let world = World::at("https://naru.example.com").await;
    world.administrator().await;
    let browser = Browser::nobody(&world);
    let answer = browser.post("/login", LOGIN).await;
    assert_eq!(leads(&answer), "/");
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-naru_session=session_"), "{cookie}");
    for part in ["; Secure", "; Path=/;", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.headers["strict-transport-security"], "max-age=31536000");

    let minji = Principal { login: "minji".to_owned(), credential_id: "test".to_owned() };
    let session = world.identity.start_session(&minji, &Origin::default()).await.unwrap();
    let session = session.plain.expose_secret();
    for (name, expected) in [("__Host-naru_session", 200), ("naru_session", 303)] {
        let request = Request::builder().uri("/").header("host", HOST);
        let request = request.header("cookie", format!("{name}={session}"));
        assert_eq!(world.read(request.body(Body::empty()).unwrap()).await.status, expected, "{name}");
    }
}
