//! What is said about a project, favourites, and what runs and is kept: over the API.

use axum::http::StatusCode;
use naru_model::OrganisationName;
use naru_model::authorise::Permission;
use naru_model::role::Role;
use naru_model::rollout::{ReplicaKey, ReplicaSeen, ReplicaState, Status};
use naru_model::workload::TemplateHash;
use naru_model::{RevisionNumber, job::ExitReason};
use serde_json::{Value, json};

use crate::seed::{Ending, environment, run};
use crate::world::{World, is};

#[tokio::test]
async fn what_is_said_about_a_project_is_checked_kept_and_told() {
    let (world, token) = World::with_administrator().await;
    let made = world.call(&token, "POST", "/api/v1/projects", json!({ "name": "shop" })).await.json();
    assert_eq!(made["owner"], "minji", "who made it");
    let path = "/api/v1/projects/shop";
    let said = json!({
        "summary": " Sells things ", "description": "More\r\n\r\nabout it\n",
        "contacts": [{ "label": "On call", "address": "oncall@example.com" }, { "address": "https://chat.example.com" }],
    });
    let answer = world.call(&token, "PUT", path, said).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = world.get(&token, path).await.json();
    assert_eq!(
        (&shown["summary"], &shown["description"], &shown["owner"]),
        (&json!("Sells things"), &json!("More\n\nabout it"), &json!("minji"))
    );
    assert_eq!(shown["contacts"][1], json!({ "label": "", "address": "https://chat.example.com" }));
    let listed = world.get(&token, "/api/v1/projects").await.json();
    assert_eq!(listed["items"][0]["summary"], "Sells things");
    assert_eq!(listed["items"][0]["description"], Value::Null, "lists leave it out");

    for bad in [
        json!({ "summary": "two\nlines" }),
        json!({ "summary": "x".repeat(121) }),
        json!({ "summary": "\u{202e}evil" }),
        json!({ "description": "x".repeat(4001) }),
        json!({ "contacts": [{ "address": "javascript:alert(1)" }] }),
        json!({ "contacts": vec![json!({ "address": "a@example.com" }); 9] }),
        json!({ "owner": "nobody" }),
    ] {
        is(&world.call(&token, "PUT", path, bad).await, StatusCode::BAD_REQUEST, "api.bad-about");
    }
    let unknown = world.call(&token, "PUT", path, json!({ "sumary": "x" })).await;
    is(&unknown, StatusCode::BAD_REQUEST, "api.bad-request");
    let kept = world.get(&token, path).await.json();
    assert_eq!(kept, shown, "nothing was changed");

    world.store.create_account("yuna", "").await.unwrap();
    world.store.join(&OrganisationName::main(), "yuna", Role::Viewer).await.unwrap();
    world.call(&token, "PUT", path, json!({ "owner": "yuna", "contacts": [] })).await;
    let audit = world.get(&token, "/api/v1/audit?action=project").await.json();
    assert_eq!(audit["items"][0]["detail"], "contacts, owner yuna");
    assert_eq!(world.get(&token, path).await.json()["summary"], "Sells things", "what is left out stays");
}

#[tokio::test]
async fn favourites_are_ones_own_and_are_not_changed_by_what_was_cut_down() {
    let (world, token) = World::with_administrator().await;
    let shop = world.project("shop").await;
    world.project("blog").await;
    let path = "/api/v1/projects/shop/favourite";
    for _ in 0..2 {
        assert_eq!(world.call(&token, "PUT", path, json!({})).await.status, 204);
    }
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.json()["favourite"], true);
    let favourites = world.get(&token, "/api/v1/projects?favourites=true").await.json();
    assert_eq!(favourites["items"].as_array().unwrap().len(), 1);
    let all = world.get(&token, "/api/v1/projects").await.json();
    assert_eq!((&all["items"][0]["favourite"], &all["items"][1]["favourite"]), (&json!(false), &json!(true)));
    let cut_down = world.scoped(&shop, &[Permission::Read]).await;
    is(&world.call(&cut_down, "DELETE", path, Value::Null).await, StatusCode::FORBIDDEN, "api.forbidden");
    assert_eq!(world.call(&token, "DELETE", path, Value::Null).await.status, 204);
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.json()["favourite"], false);
    is(
        &world.call(&token, "PUT", "/api/v1/projects/none/favourite", json!({})).await,
        StatusCode::NOT_FOUND,
        "api.missing",
    );
}

#[tokio::test]
async fn what_runs_and_what_is_kept_is_told() {
    let (world, token) = World::with_administrator().await;
    let shop = world.project("shop").await;
    run(&world, &shop, "minji", Ending::Success).await;
    environment(&world, &shop, "production", 1, Status::Live).await;
    let base = "/api/v1/projects/shop/environments/production";
    let away = world.get(&token, &format!("{base}/replicas")).await;
    is(&away, StatusCode::SERVICE_UNAVAILABLE, "instance.trouble");
    let at = world.store.now();
    let seen = |index, state| ReplicaSeen {
        key: ReplicaKey {
            service: "web".parse().unwrap(),
            revision: RevisionNumber(1),
            index,
            attempt: index,
        },
        template: TemplateHash(String::new()),
        state,
        address: None,
    };
    let exited = ReplicaState::Exited {
        reason: ExitReason::Exited { code: 3 },
        started: None,
        at,
        last_lines: vec!["a secret line".to_owned()],
    };
    *world.behind.replicas.lock().unwrap() =
        Some(vec![seen(1, exited), seen(0, ReplicaState::Running { since: at, ready: true })]);
    let replicas = world.get(&token, &format!("{base}/replicas")).await.json();
    assert_eq!(
        replicas["items"],
        json!([
            { "name": "web-1-0", "service": "web", "revision": 1, "restarts": 0, "condition": "ready",
              "since": "2026-11-21T10:00:00Z" },
            { "name": "web-1-1-1", "service": "web", "revision": 1, "restarts": 1, "condition": "exited",
              "since": "2026-11-21T10:00:00Z", "ended": "exited with code 3" },
        ])
    );
    let volumes = world.get(&token, &format!("{base}/volumes")).await.json();
    assert_eq!(
        volumes["items"],
        json!([{ "name": "data", "service": "web", "path": "/data", "size": "1Gi", "access": "exclusive" }])
    );
    let storage = world.get(&token, "/api/v1/storage").await.json();
    assert_eq!(storage, json!({ "parts": [{ "name": "blobs", "bytes": 1_610_612_736 }] }));
    is(
        &world.get(&token, "/api/v1/projects/shop/environments/none/replicas").await,
        StatusCode::NOT_FOUND,
        "api.missing",
    );
}
