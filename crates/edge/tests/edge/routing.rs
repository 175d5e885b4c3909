//! Which replica a request reaches.

use std::collections::BTreeMap;

use naru_model::Generation;
use naru_model::route::{Route, Sticky};

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
async fn a_cookie_keeps_a_visitor_at_its_revision() {
    let fixture = Fixture::start().await;
    let (old, new) = (Replica::named("old").await, Replica::named("new").await);
    let shared = |host: &str, new_weight: u32, sticky: Option<Sticky>| {
        let backends = vec![
            backend(key(2, 0), new.address, new_weight),
            backend(key(1, 0), old.address, 10_000 - new_weight),
        ];
        Route { sticky, ..route(host, "/", backends) }
    };
    let tables = |weight: u32| vec![shared("shop.test", weight, Some(Sticky::Cookie))];
    fixture.publish(1, tables(5_000)).await;
    let mut visitors = Vec::new();
    for _ in 0..20 {
        let answer = fixture.get("shop.test", "/").await;
        let cookie = answer.header("set-cookie").expect("a new visitor is told its place");
        let pair = cookie.split(';').next().unwrap().to_owned();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        visitors.push((pair, answer.text().to_owned()));
    }
    assert!(visitors.iter().any(|(_, first)| first == "new"));
    assert!(visitors.iter().any(|(_, first)| first == "old"));
    for weight in [5_000, 8_000] {
        fixture.publish(2, tables(weight)).await;
        for (pair, first) in &visitors {
            let request = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nCookie: {pair}\r\n\r\n");
            let mut wire = fixture.connect().await;
            wire.write(request.as_bytes()).await;
            let answer = wire.answer().await;
            assert_eq!(answer.header("set-cookie"), None, "it has its place already");
            if weight == 5_000 || first == "new" {
                assert_eq!(answer.text(), first);
            }
        }
    }
    fixture.publish(3, vec![shared("shop.test", 10_000, None)]).await;
    assert_eq!(fixture.get("shop.test", "/").await.header("set-cookie"), None);
}

#[tokio::test]
async fn figures_tell_the_revisions_apart() {
    let fixture = Fixture::start().await;
    let (old, new) = (Replica::named("old").await, dead_address().await);
    fixture.publish(1, vec![route("old.test", "/", vec![backend(key(1, 0), old.address, 1)])]).await;
    let started = fixture.status().await.counting_since.expect("it says since when it counts");
    for _ in 0..3 {
        fixture.get("old.test", "/").await;
    }
    let both = vec![
        route("old.test", "/", vec![backend(key(1, 0), old.address, 1)]),
        route("new.test", "/", vec![backend(key(2, 0), new, 1)]),
    ];
    fixture.publish(2, both).await;
    assert_eq!(fixture.get("new.test", "/").await.status, 502);
    fixture.until_in_flight(0).await;
    let seen = fixture.status().await;
    assert_eq!(seen.counting_since, Some(started));
    let of = |revision: u32| {
        let figures = seen.figures.iter().find(|figures| figures.revision.0 == revision).unwrap();
        let timed: u64 = figures.latency.iter().map(|bucket| bucket.requests).sum();
        (figures.requests, figures.errors, timed)
    };
    assert_eq!(of(1), (3, 0, 3));
    assert_eq!(of(2), (1, 1, 1));
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
