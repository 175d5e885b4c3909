//! Certificates and what is asked of visitors: who may, and what the answers are.

use naru_model::authorise::Permission;
use serde_json::{Value, json};

use crate::world::World;

const SHOP: &str = "/api/v1/certificates/shop.example.com";
const TRANSPORT: &str = "/api/v1/projects/shop/environments/production/transport";

#[tokio::test]
async fn certificates_are_set_listed_and_unset_by_who_may_change_the_instance() {
    let (world, token) = World::with_administrator().await;
    let given = json!({ "chain": "a chain", "key": "a key" });
    let set = world.call(&token, "PUT", SHOP, given.clone()).await;
    assert_eq!((set.status, &set.json()["source"]), (200, &json!("own")));
    let refused = world.call(&token, "PUT", SHOP, json!({ "chain": "", "key": "a key" })).await;
    assert_eq!((refused.status, refused.code()), (400, "certificate.refused".to_owned()));

    let listed = world.get(&token, "/api/v1/certificates").await;
    assert_eq!(listed.json()["items"][0]["host"], "shop.example.com");
    assert!(!listed.text.contains("a key"), "{}", listed.text);
    let authority = world.get(&token, "/api/v1/certificate-authority").await;
    assert_eq!(authority.json()["certificate"], "trust me");

    // A project's token cannot reach for the hosts of others.
    let project = world.project("shop").await;
    let scoped = world.scoped(&project, &[Permission::Deploy, Permission::AdministerInstance]).await;
    assert_eq!(world.call(&scoped, "PUT", SHOP, given).await.status, 403);
    assert_eq!(world.call(&scoped, "DELETE", SHOP, Value::Null).await.status, 403);

    assert_eq!(world.call(&token, "DELETE", SHOP, Value::Null).await.status, 204);
    let missing = world.call(&token, "DELETE", SHOP, Value::Null).await;
    assert_eq!((missing.status, missing.code()), (404, "certificate.missing".to_owned()));
}

#[tokio::test]
async fn an_environment_says_what_it_asks_of_visitors() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    assert_eq!(world.get(&token, TRANSPORT).await.status, 404, "there is no environment yet");
    world.call(&token, "PUT", "/api/v1/projects/shop/environments/production", json!({})).await;
    assert_eq!(world.get(&token, TRANSPORT).await.json(), json!({ "redirect": true }));
    let wanted = json!({ "redirect": false, "hsts_s": 600 });
    assert_eq!(world.call(&token, "PUT", TRANSPORT, wanted.clone()).await.json(), wanted);
    assert_eq!(world.get(&token, TRANSPORT).await.json(), wanted);
    let long = world.call(&token, "PUT", TRANSPORT, json!({ "redirect": true, "hsts_s": 1u64 << 40 })).await;
    assert_eq!((long.status, long.code()), (400, "api.bad-transport".to_owned()));
    assert_eq!(world.get(&token, TRANSPORT).await.json(), wanted);
}
