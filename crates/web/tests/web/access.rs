//! Nothing answers without a good token but what is needed to get one.

use axum::body::Body;
use axum::http::StatusCode;
use naru_model::authorise::Permission;
use serde_json::Value;

use crate::world::{World, is, request};

/// Every route of the OpenAPI document, which is read off the table of routes: (method, path, open).
fn routes() -> Vec<(String, String, bool)> {
    let document: Value = serde_json::from_str(&naru_web::openapi_document()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if ["get", "put", "post", "delete", "patch"].contains(&method.as_str()) {
                let open = operation["security"] == serde_json::json!([{}]);
                routes.push((method.to_uppercase(), path.clone(), open));
            }
        }
    }
    assert!(routes.len() > 40, "the walk would prove nothing: {routes:?}");
    routes
}

fn filled(path: &str) -> String {
    path.replace("{project}", "shop")
        .replace("{organisation}", "main")
        .replace("{environment}", "production")
        .replace("{run}", "1")
        .replace("{release}", "1")
        .replace("{revision}", "1")
        .replace("{intent}", "1")
        .replace("{step}", "test")
        .replace("{secret}", "KEY")
        .replace("{trigger}", "x")
        .replace("{id}", "x")
}

#[tokio::test]
async fn every_route_refuses_nobody_and_a_bad_token() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    for (method, path, open) in routes() {
        if open {
            continue;
        }
        for token in [None, Some("naru_000000000000_wrong"), Some(""), Some("session_000000000000_x")] {
            let request = request(token, &method, &filled(&path)).body(Body::empty()).unwrap();
            let answer = world.read(request).await;
            is(&answer, StatusCode::UNAUTHORIZED, "api.unauthenticated");
        }
    }
}

#[tokio::test]
async fn another_projects_token_sees_nothing_not_even_that_something_is_there() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let mine = world.project("mine").await;
    let token = world
        .scoped(&mine, &[Permission::Read, Permission::Deploy, Permission::Run, Permission::Administer])
        .await;
    for (method, path, open) in routes() {
        if open || !path.contains("{project}") {
            continue;
        }
        let there = filled(&path);
        let missing = there.replace("/projects/shop", "/projects/none");
        let there = world.call(&token, &method, &there, Value::Null).await;
        let missing = world.call(&token, &method, &missing, Value::Null).await;
        is(&there, StatusCode::NOT_FOUND, "api.missing");
        assert_eq!(there.text.replace("shop", "none"), missing.text, "{method} {path}");
    }
}

#[tokio::test]
async fn a_reading_token_changes_nothing() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let token = world.scoped(&shop, &[Permission::Read]).await;
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.status, 200);
    for (method, path, open) in routes() {
        if open || method == "GET" {
            continue;
        }
        let answer = world.call(&token, &method, &filled(&path), Value::Null).await;
        assert!(matches!(answer.status, 403 | 404), "{method} {path}: {}", answer.status);
    }
    for path in ["/api/v1/projects", "/api/v1/tokens", "/api/v1/audit", "/api/v1/doctor", "/api/v1/events"] {
        is(&world.get(&token, path).await, StatusCode::FORBIDDEN, "api.forbidden");
    }
}

#[tokio::test]
async fn requests_under_a_strangers_name_or_from_a_strangers_page_are_refused() {
    let (world, token) = World::with_administrator().await;
    let rebound = request(Some(&token), "GET", "/api/v1/projects").header("host", "evil.example");
    let mut rebound = rebound.body(Body::empty()).unwrap();
    rebound.headers_mut().insert("host", "evil.example".parse().unwrap());
    is(&world.read(rebound).await, StatusCode::MISDIRECTED_REQUEST, "api.unknown-host");

    let foreign = request(Some(&token), "POST", "/api/v1/projects").header("origin", "http://evil.example");
    is(&world.read(foreign.body(Body::from("{}")).unwrap()).await, StatusCode::FORBIDDEN, "api.foreign-page");

    let mut form = request(Some(&token), "POST", "/api/v1/projects").body(Body::from("name=x")).unwrap();
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    is(&world.read(form).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "api.content-type");
}

#[tokio::test]
async fn bodies_have_a_limit_and_must_make_sense() {
    let (world, token) = World::with_administrator().await;
    let huge = serde_json::json!({ "name": "x".repeat(2 << 20) });
    is(
        &world.call(&token, "POST", "/api/v1/projects", huge).await,
        StatusCode::PAYLOAD_TOO_LARGE,
        "api.too-large",
    );
    for body in ["", "{", "[]", "{\"name\": 7}", "{\"name\": \"../etc\"}", "{\"name\": \"a; rm\"}"] {
        let request = request(Some(&token), "POST", "/api/v1/projects").body(Body::from(body)).unwrap();
        is(&world.read(request).await, StatusCode::BAD_REQUEST, "api.bad-request");
    }
    for name in ["..", "a;b", "$(id)", "-a", "a%0Ab", &"a".repeat(300)] {
        let answer = world.get(&token, &format!("/api/v1/projects/{name}")).await;
        is(&answer, StatusCode::BAD_REQUEST, "api.bad-name");
    }
}

#[tokio::test]
async fn probes_answer_everybody_under_any_name() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz"] {
        let mut request = request(None, "GET", path).body(Body::empty()).unwrap();
        request.headers_mut().insert("host", "10.0.0.7".parse().unwrap());
        assert_eq!(world.read(request).await.json()["status"], "ok", "{path}");
    }
}

#[tokio::test]
async fn changes_leave_a_line_in_the_audit_log_also_when_they_fail() {
    let (world, token) = World::with_administrator().await;
    let create = |name: &str| serde_json::json!({ "name": name });
    world.call(&token, "POST", "/api/v1/projects", create("shop")).await;
    world.call(&token, "POST", "/api/v1/projects", create("shop")).await;
    let lines = world.get(&token, "/api/v1/audit?limit=2").await.json();
    let line = |index: usize| {
        let line = &lines["items"][index];
        format!("{} {} {}", line["login"], line["action"], line["result"]).replace('"', "")
    };
    assert_eq!(line(0), "minji project.create api.exists");
    assert_eq!(line(1), "minji project.create done");
}
