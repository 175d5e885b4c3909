//! Maintenance: who may switch it, what may be said, and where it is shown.

use std::time::Duration;

use naru_model::authorise::Permission;
use serde_json::{Value, json};

use crate::world::World;

const PRODUCTION: &str = "/api/v1/projects/shop/environments/production";
const MAINTENANCE: &str = "/api/v1/projects/shop/environments/production/maintenance";

#[tokio::test]
async fn it_is_begun_changed_shown_and_ended() {
    let (world, token) = World::with_administrator().await;
    let project = world.project("shop").await;
    assert_eq!(world.get(&token, MAINTENANCE).await.status, 404, "there is no environment yet");
    world.call(&token, "PUT", PRODUCTION, json!({})).await;
    assert_eq!(world.get(&token, MAINTENANCE).await.json(), json!({ "on": false }));

    let until = (world.store.now() + Duration::from_hours(1)).to_string();
    let told = json!({ "message": "  <b>Moving</b>\nsoon back ", "until": until });
    let begun = world.call(&token, "PUT", MAINTENANCE, told).await.json();
    assert_eq!((&begun["on"], &begun["until"]), (&json!(true), &json!(until)));
    assert_eq!(begun["message"], "<b>Moving</b>\nsoon back");
    let shown = world.get(&token, PRODUCTION).await.json();
    assert_eq!(shown["maintenance"], begun);
    let crossing = world.get(&token, &format!("{PRODUCTION}/crossing")).await.json();
    assert_eq!(crossing["maintenance"], begun);
    // Changed, it is still the same maintenance.
    let changed = world.call(&token, "PUT", MAINTENANCE, json!({})).await.json();
    assert_eq!((&changed["since"], changed.get("message")), (&begun["since"], None));

    let reader = world.scoped(&project, &[Permission::Read]).await;
    assert_eq!(world.get(&reader, MAINTENANCE).await.status, 200);
    assert_eq!(world.call(&reader, "PUT", MAINTENANCE, json!({})).await.status, 403);
    assert_eq!(world.call(&reader, "DELETE", MAINTENANCE, Value::Null).await.status, 403);
    assert_eq!(world.get(&token, MAINTENANCE).await.json(), changed);
    for _ in 0..2 {
        assert_eq!(world.call(&token, "DELETE", MAINTENANCE, Value::Null).await.status, 204);
    }
    assert_eq!(world.get(&token, MAINTENANCE).await.json(), json!({ "on": false }));
    assert!(world.get(&token, PRODUCTION).await.json().get("maintenance").is_none());
}

#[tokio::test]
async fn what_cannot_be_told_to_visitors_is_refused() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    world.call(&token, "PUT", PRODUCTION, json!({})).await;
    for bad in [
        json!({ "message": "x".repeat(1_001) }),
        json!({ "message": "a\u{1b}[2Jb" }),
        json!({ "until": "1999-01-01T00:00:00Z" }),
        json!({ "until": "2999-01-01T00:00:00Z" }),
    ] {
        let refused = world.call(&token, "PUT", MAINTENANCE, bad.clone()).await;
        assert_eq!((refused.status, refused.code()), (400, "api.bad-maintenance".to_owned()), "{bad}");
    }
    assert!(world.call(&token, "PUT", MAINTENANCE, json!({ "text": "x" })).await.status >= 400);
    assert_eq!(world.get(&token, MAINTENANCE).await.json(), json!({ "on": false }));
}
