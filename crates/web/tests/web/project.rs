//! Projects, environments and the crossing of one that has nothing yet.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::world::{World, is};

#[tokio::test]
async fn a_project_is_created_listed_and_taken_down() {
    let (world, token) = World::with_administrator().await;
    let made = world.call(&token, "POST", "/api/v1/projects", json!({ "name": "shop" })).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["source_url"], "http://127.0.0.1:7070/git/shop.git");
    assert_eq!(made.json()["default_branch"], "main");
    assert_eq!(world.behind.repositories.lock().unwrap().len(), 1);

    let again = world.call(&token, "POST", "/api/v1/projects", json!({ "name": "shop" })).await;
    is(&again, StatusCode::CONFLICT, "api.exists");

    let unconfirmed = world.call(&token, "DELETE", "/api/v1/projects/shop?confirm=other", Value::Null).await;
    is(&unconfirmed, StatusCode::BAD_REQUEST, "api.not-confirmed");
    let done = world.call(&token, "DELETE", "/api/v1/projects/shop?confirm=shop", Value::Null).await;
    assert_eq!(done.status, 202);
    assert_eq!(world.get(&token, "/api/v1/projects/shop").await.json()["deleting"], true);
}

#[tokio::test]
async fn a_project_whose_repositories_cannot_be_made_is_not_made() {
    let (world, token) = World::with_administrator().await;
    let refused = world.call(&token, "POST", "/api/v1/projects", json!({ "name": "unlucky" })).await;
    is(&refused, StatusCode::SERVICE_UNAVAILABLE, "source.git-failed");
    is(&world.get(&token, "/api/v1/projects/unlucky").await, StatusCode::NOT_FOUND, "api.missing");
}

#[tokio::test]
async fn lists_are_paged() {
    let (world, token) = World::with_administrator().await;
    for name in ["ant", "bee", "cat"] {
        world.project(name).await;
    }
    let first = world.get(&token, "/api/v1/projects?limit=2").await.json();
    assert_eq!((&first["items"][0]["name"], &first["next"]), (&json!("ant"), &json!("bee")));
    let second = world.get(&token, "/api/v1/projects?limit=2&after=bee").await.json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_new_project_has_a_crossing_that_waits() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let crossing = world.get(&token, "/api/v1/projects/shop/environments/production/crossing").await.json();
    let states: Vec<_> = crossing["landings"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["waiting"; 6]);
    assert_eq!(crossing["sentence"], "nothing serves in production yet");
    let other = world.get(&token, "/api/v1/projects/shop/environments/staging/crossing").await;
    is(&other, StatusCode::NOT_FOUND, "api.missing");
}

#[tokio::test]
async fn what_cannot_be_done_yet_says_why() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let base = "/api/v1/projects/shop/environments/production";
    let deploy = world.call(&token, "POST", &format!("{base}/deploy"), json!({})).await;
    is(&deploy, StatusCode::CONFLICT, "api.no-release");
    let deploy = world.call(&token, "POST", &format!("{base}/deploy"), json!({ "release": 7 })).await;
    is(&deploy, StatusCode::NOT_FOUND, "api.missing");
    assert_eq!(world.call(&token, "PUT", base, json!({})).await.status, 200);
    let rollback = world.call(&token, "POST", &format!("{base}/rollback"), json!({})).await;
    is(&rollback, StatusCode::CONFLICT, "api.no-earlier-revision");
    let rollback = world.call(&token, "POST", &format!("{base}/rollback"), json!({ "revision": 3 })).await;
    is(&rollback, StatusCode::NOT_FOUND, "api.missing");
    for path in ["runs/1", "releases/1", "intents/1", "runs/1/steps/test/logs"] {
        let answer = world.get(&token, &format!("/api/v1/projects/shop/{path}")).await;
        is(&answer, StatusCode::NOT_FOUND, "api.missing");
    }
    let replay = world.call(&token, "POST", "/api/v1/projects/shop/triggers/x/replay", json!({})).await;
    is(&replay, StatusCode::NOT_FOUND, "api.missing");
    let cancel = world.call(&token, "POST", "/api/v1/projects/shop/runs/1/cancel", json!({})).await;
    is(&cancel, StatusCode::NOT_FOUND, "api.missing");
}
