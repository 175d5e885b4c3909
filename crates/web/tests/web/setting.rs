//! Configuration and secrets.

use axum::http::StatusCode;
use naru_model::job::SecretScope;
use serde_json::{Value, json};

use crate::world::{World, is};

const CONFIGURATION: &str = "/api/v1/projects/shop/environments/production/configuration";

#[tokio::test]
async fn variables_are_set_and_unset_all_at_once() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let change = json!({ "set": { "A": "1", "B": "2" } });
    let changed = world.call(&token, "PUT", CONFIGURATION, change.clone()).await.json();
    assert_eq!(changed["version"], 1);
    let intent = changed["intent"].as_i64().unwrap();
    let intent = world.get(&token, &format!("/api/v1/projects/shop/intents/{intent}")).await.json();
    assert_eq!((&intent["state"], &intent["by"]), (&json!("pending"), &json!("minji")));

    let same = world.call(&token, "PUT", CONFIGURATION, change).await.json();
    assert_eq!((&same["version"], &same["intent"]), (&json!(1), &Value::Null));

    let change = json!({ "set": { "C": "" }, "unset": ["A"] });
    assert_eq!(world.call(&token, "PUT", CONFIGURATION, change).await.json()["version"], 2);
    let now = world.get(&token, CONFIGURATION).await.json();
    assert_eq!(now["variables"], json!({ "B": "2", "C": "" }));
}

#[tokio::test]
async fn variables_that_cannot_be_stored_are_refused() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let long = "x".repeat(40_000);
    for change in [json!({}), json!({ "set": { "A": "a\0b" } }), json!({ "set": { "A": long } })] {
        let refused = world.call(&token, "PUT", CONFIGURATION, change).await;
        is(&refused, StatusCode::BAD_REQUEST, "api.bad-configuration");
    }
    for change in [json!({ "set": { "1A": "x" } }), json!({ "unset": ["a b"] }), json!({ "set": { "A": 7 } })]
    {
        let refused = world.call(&token, "PUT", CONFIGURATION, change).await;
        is(&refused, StatusCode::BAD_REQUEST, "api.bad-request");
    }
    let elsewhere = CONFIGURATION.replace("production", "typo");
    let refused = world.call(&token, "PUT", &elsewhere, json!({ "set": { "A": "1" } })).await;
    is(&refused, StatusCode::NOT_FOUND, "api.missing");
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let (world, token) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let value = "postgres://user:hunter2@db/shop";
    for (base, scope) in [
        (
            "/api/v1/projects/shop/environments/production/secrets",
            SecretScope::Environment(naru_model::EnvironmentKey {
                project: shop.clone(),
                environment: "production".parse().unwrap(),
            }),
        ),
        ("/api/v1/projects/shop/secrets", SecretScope::Pipeline(shop.clone())),
    ] {
        let one = format!("{base}/DATABASE_URL");
        for version in [1, 2] {
            let set = world.call(&token, "PUT", &one, json!({ "value": value })).await;
            assert_eq!((set.status, &set.json()["version"]), (200, &json!(version)), "{}", set.text);
            assert!(!set.text.contains("hunter2"));
        }
        let list = world.get(&token, base).await;
        assert_eq!(list.json()["items"][0]["version"], 2);
        assert!(!list.text.contains("hunter2"));
        let name = "DATABASE_URL".parse().unwrap();
        let sealed =
            world.store.sealed_secret(&scope, &name, naru_model::SecretVersion(2)).await.unwrap().unwrap();
        assert!(!sealed.sealed.contains("hunter2"));
        assert_eq!(world.call(&token, "DELETE", &one, Value::Null).await.status, 200);
        assert_eq!(world.get(&token, base).await.json()["items"], json!([]));
        let reading = world.get(&token, &one).await;
        assert_eq!(reading.status, 405, "there is no way to ask for a value");
    }
}

#[tokio::test]
async fn bad_secrets_are_refused() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let base = "/api/v1/projects/shop/environments/production/secrets";
    for value in [String::new(), "a\0b".to_owned(), "x".repeat((64 << 10) + 1)] {
        let refused = world.call(&token, "PUT", &format!("{base}/KEY"), json!({ "value": value })).await;
        is(&refused, StatusCode::BAD_REQUEST, "api.bad-secret");
    }
    let refused = world.call(&token, "PUT", &format!("{base}/a%20b"), json!({ "value": "x" })).await;
    is(&refused, StatusCode::BAD_REQUEST, "api.bad-name");
}
