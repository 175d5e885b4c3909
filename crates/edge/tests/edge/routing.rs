//! Which replica a request reaches.

use std::collections::BTreeMap;

use naru_model::Generation;

use crate::harness::{Fixture, Replica, backend, dead_address, key, route, single, table};

#[tokio::test]
async fn host_and_longest_prefix_choose_the_route() {
    let fixture = Fixture::start().await;
    let (shop, api, other) =
        (Replica::named("shop").await, Replica::named("api").await, Replica::named("other").await);
    fixture
        .publish(
            1,
            vec![
                route("shop.test", "/", vec![backend(key(1, 0), shop.address, 1)]),
                route("shop.test", "/api", vec![backend(key(1, 1), api.address, 1)]),
                route("other.test", "/", vec![backend(key(1, 2), other.address, 1)]),
            ],
        )
        .await;
    for (host, path, want) in [
        ("shop.test", "/", "shop"),
        ("SHOP.test:8080", "/x?y=/api", "shop"),
        ("shop.test", "/api", "api"),
        ("shop.test", "/api/v1?q=1", "api"),
        ("shop.test", "/apix", "shop"),
        ("other.test.", "/api", "other"),
    ] {
        let answer = fixture.get(host, path).await;
        assert_eq!((answer.status, answer.text()), (200, want), "{host}{path}");
    }
    assert_eq!(fixture.get("nobody.test", "/").await.status, 404);
}

#[tokio::test]
async fn weights_share_requests() {
    let fixture = Fixture::start().await;
    let (old, new) = (Replica::named("old").await, Replica::named("new").await);
    let backends = vec![backend(key(1, 0), old.address, 90), backend(key(2, 0), new.address, 10)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut wire = fixture.connect().await;
    for _ in 0..200 {
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        *counts.entry(wire.answer().await.text().to_owned()).or_default() += 1;
    }
    assert!((178..=182).contains(&counts["old"]), "{counts:?}");
}

#[tokio::test]
async fn connections_to_replicas_are_reused() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    for _ in 0..20 {
        assert_eq!(fixture.get("shop.test", "/").await.status, 200);
        fixture.until_in_flight(0).await;
    }
    assert_eq!(replica.count(), 20);
    assert_eq!(replica.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_dead_replica_costs_nothing_while_another_lives() {
    let fixture = Fixture::start().await;
    let alive = Replica::named("alive").await;
    let backends = vec![backend(key(1, 0), dead_address().await, 1), backend(key(1, 1), alive.address, 1)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    for _ in 0..20 {
        assert_eq!(fixture.get("shop.test", "/").await.text(), "alive");
    }
    // Nothing of the body was sent to the dead one: a POST moves on as well.
    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    for _ in 0..20 {
        assert_eq!(fixture.send(post).await.status, 200);
    }
}

#[tokio::test]
async fn a_thousand_routes() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    let routes = (0..1_000)
        .map(|number| route(&format!("s{number}.test"), "/", vec![backend(key(1, 0), replica.address, 1)]));
    let table = table("production", routes.collect());
    fixture.edge.client().publish(&table, Generation(1)).await.unwrap();
    assert_eq!(fixture.get("s0.test", "/").await.status, 200);
    assert_eq!(fixture.get("s999.test", "/").await.status, 200);
    assert_eq!(fixture.get("s1000.test", "/").await.status, 404);
}
