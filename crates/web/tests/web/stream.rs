//! Server-sent events: changes, and logs that go on where a client was cut off.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use naru_identity::NewToken;
use naru_model::authorise::Principal;
use naru_model::role::{LocalRole, Role};
use naru_model::{EnvironmentKey, OrganisationName};
use naru_store::log::{LogRecord, LogStream};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::world::{World, request};

/// Reads events until one satisfies `done`, and returns all that came.
async fn events(body: &mut Body, done: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let reading = async {
        while !done(&text) {
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the event comes");
    text
}

async fn open(world: &World, token: &str, path: &str, last: Option<&str>) -> Body {
    let mut request = request(Some(token), "GET", path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

#[tokio::test]
async fn a_project_hears_of_its_own_changes_only() {
    let (world, token) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let other = world.project("other").await;
    let mut body = open(&world, &token, "/api/v1/projects/shop/events", None).await;
    events(&mut body, |text| text.contains("event: ready")).await;
    for project in [&other, &shop] {
        let key = EnvironmentKey { project: project.clone(), environment: "production".parse().unwrap() };
        world.store.ensure_environment(&key, None).await.unwrap();
    }
    let heard = events(&mut body, |text| text.contains("event: change")).await;
    assert!(heard.contains("\"shop\"") && !heard.contains("\"other\""), "{heard}");
}

async fn service(world: &World) -> LogStream {
    let shop = world.project("shop").await;
    let environment = EnvironmentKey { project: shop, environment: "production".parse().unwrap() };
    world.store.ensure_environment(&environment, None).await.unwrap();
    LogStream::Service { environment, service: "web".parse().unwrap() }
}

async fn print(world: &World, stream: &LogStream, lines: &[&str]) {
    let record = |line: &&str| LogRecord {
        at: "2026-11-21T10:00:00Z".parse().unwrap(),
        source: "web-1-0".to_owned(),
        text: (*line).to_owned(),
    };
    world.logs.append(stream, lines.iter().map(record).collect()).await.unwrap();
}

const LOGS: &str = "/api/v1/projects/shop/environments/production/logs?service=web";

#[tokio::test]
async fn logs_are_read_page_by_page() {
    let (world, token) = World::with_administrator().await;
    let stream = service(&world).await;
    print(&world, &stream, &["one", "two \u{1b}[31mred"]).await;
    let page = world.get(&token, LOGS).await.json();
    assert_eq!(page["items"][1]["text"], "two \u{1b}[31mred");
    assert_eq!(page["items"][0]["source"], "web-1-0");
    assert_eq!(page["next"], Value::Null);
    let position = page["items"][0]["position"].as_str().unwrap();
    let rest = world.get(&token, &format!("{LOGS}&after={position}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    let bad = world.get(&token, &LOGS.replace("=web", "=..%2F..")).await;
    assert_eq!((bad.status, bad.code().as_str()), (400, "api.bad-name"));
}

#[tokio::test]
async fn a_follower_that_was_cut_off_goes_on_where_it_was() {
    let (world, token) = World::with_administrator().await;
    let stream = service(&world).await;
    print(&world, &stream, &["one", "two"]).await;
    let path = format!("{LOGS}&follow=true");
    let mut body = open(&world, &token, &path, None).await;
    let first = events(&mut body, |text| text.contains("two")).await;
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(body);
    let mut body = open(&world, &token, &path, Some(&id)).await;
    print(&world, &stream, &["three"]).await;
    let rest = events(&mut body, |text| text.contains("three")).await;
    assert!(rest.contains("two") && !rest.contains("\"one\""), "{rest}");
}

/// Waits for the end of a stream.
async fn ends(body: &mut Body) {
    let reading = async { while body.frame().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("the stream ends within 5 s");
}

async fn member(world: &World, login: &str, role: Role) -> String {
    world.store.create_account(login, "").await.unwrap();
    world.store.join(&OrganisationName::main(), login, role).await.unwrap();
    let principal = Principal { login: login.to_owned(), credential_id: "test".to_owned() };
    let issued = world.identity.create_token(&principal, NewToken::default()).await.unwrap();
    issued.plain.expose_secret().to_owned()
}

#[tokio::test]
async fn streams_end_with_what_opened_them() {
    let (world, _) = World::with_administrator().await;
    let stream = service(&world).await;
    print(&world, &stream, &["one"]).await;
    let logs = format!("{LOGS}&follow=true");
    for path in ["/api/v1/events", "/api/v1/projects/shop/events", logs.as_str()] {
        let login = format!("user-{}", path.len());
        let token = member(&world, &login, Role::Viewer).await;
        let mut body = open(&world, &token, path, None).await;
        events(&mut body, |text| text.contains("event: ready") || text.contains("one")).await;
        let id = token.split('_').nth(1).unwrap();
        world.store.revoke_token(&login, id).await.unwrap();
        ends(&mut body).await;
    }
}

#[tokio::test]
async fn a_lost_role_ends_the_streams_it_opened_and_no_others() {
    let (world, owner) = World::with_administrator().await;
    let stream = service(&world).await;
    print(&world, &stream, &["one"]).await;
    let token = member(&world, "yuna", Role::Developer).await;
    let follow = format!("{LOGS}&follow=true");
    let mut lost = open(&world, &token, &follow, None).await;
    let mut kept = open(&world, &owner, &follow, None).await;
    for body in [&mut lost, &mut kept] {
        events(body, |text| text.contains("one")).await;
    }
    let shop = "shop".parse().unwrap();
    world.store.set_project_role(&shop, "yuna", Some(LocalRole::None)).await.unwrap();
    ends(&mut lost).await;
    print(&world, &stream, &["two"]).await;
    events(&mut kept, |text| text.contains("two")).await;
}

#[tokio::test]
async fn everybody_hears_of_their_own_projects_only() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let secret = world.project("secret").await;
    let token = member(&world, "yuna", Role::Viewer).await;
    world.store.set_project_role(&secret, "yuna", Some(LocalRole::None)).await.unwrap();
    let mut body = open(&world, &token, "/api/v1/events", None).await;
    events(&mut body, |text| text.contains("event: ready")).await;
    for project in [&secret, &shop] {
        let key = EnvironmentKey { project: project.clone(), environment: "production".parse().unwrap() };
        world.store.ensure_environment(&key, None).await.unwrap();
    }
    world.store.delete_project(&shop).await.unwrap();
    let heard = events(&mut body, |text| text.contains("\"projects\"")).await;
    assert!(heard.contains("\"shop\"") && !heard.contains("\"secret\""), "{heard}");
    assert!(!heard.contains("identity"), "{heard}");
}

#[tokio::test]
async fn a_search_finds_lines_of_every_page_and_of_every_revision() {
    let (world, token) = World::with_administrator().await;
    let stream = service(&world).await;
    let long: Vec<String> = (0..2_500).map(|number| format!("order {number} done")).collect();
    print(&world, &stream, &long.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut found = 0;
    let mut path = format!("{LOGS}&search=7%20done");
    loop {
        let page = world.get(&token, &path).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().all(|line| line["text"].as_str().unwrap().ends_with("7 done")), "{page}");
        found += items.len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{LOGS}&search=7%20done&after={next}");
    }
    assert_eq!(found, 250);
    let none = world.get(&token, &format!("{LOGS}&search=%3Cb%3E")).await.json();
    assert_eq!((none["items"].as_array().unwrap().len(), &none["next"]), (0, &Value::Null));
    for bad in ["", "%0A", &"x".repeat(201)] {
        let bad = world.get(&token, &format!("{LOGS}&search={bad}")).await;
        assert_eq!((bad.status, bad.code().as_str()), (400, "api.bad-search"));
    }
    let mut body = open(&world, &token, &format!("{LOGS}&follow=true&search=later"), None).await;
    print(&world, &stream, &["now", "later"]).await;
    let heard = events(&mut body, |text| text.contains("later")).await;
    assert!(!heard.contains("order") && !heard.contains("now"), "{heard}");
}
