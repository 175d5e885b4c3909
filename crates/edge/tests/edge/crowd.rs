//! Many requests at the same instant at a replica with few connections: they are opened by and by.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use naru_edge::Limits;
use tokio::sync::Semaphore;

use crate::harness::{Fixture, Replica, Wire, single, until};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// Answers as often as it is let to.
async fn patient() -> (Replica, Arc<Semaphore>) {
    let free = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&free);
    let replica = Replica::start(Router::new().fallback(move || {
        let free = Arc::clone(&waits);
        async move { free.acquire().await.unwrap().forget() }
    }))
    .await;
    (replica, free)
}

async fn crowd(fixture: &Fixture, size: u32) -> Vec<Wire> {
    let mut crowd = Vec::new();
    for _ in 0..size {
        let mut wire = fixture.connect().await;
        wire.write(ASK).await;
        crowd.push(wire);
    }
    fixture.until_in_flight(size).await;
    crowd
}

#[tokio::test]
async fn a_crowd_shares_the_connections_that_the_replica_has_answered() {
    let limits =
        Limits { unanswered_per_replica: 4, unanswered: Duration::from_hours(1), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let (replica, free) = patient().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let crowd = crowd(&fixture, 100).await;
    until(async || replica.count() == 4).await;
    assert_eq!(replica.connections.load(Ordering::SeqCst), 4, "the others wait");
    free.add_permits(100);
    for mut wire in crowd {
        assert_eq!(wire.answer().await.status, 200);
    }
    assert_eq!(replica.count(), 100);
}

#[tokio::test]
async fn a_replica_that_takes_its_time_is_asked_all_the_same() {
    let limits =
        Limits { unanswered_per_replica: 4, unanswered: Duration::from_millis(5), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let (replica, free) = patient().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let crowd = crowd(&fixture, 50).await;
    until(async || replica.count() == 50).await;
    free.add_permits(50);
    for mut wire in crowd {
        assert_eq!(wire.answer().await.status, 200);
    }
}

#[tokio::test]
async fn who_waited_for_too_long_is_told_and_the_replica_is_not_blamed() {
    let limits = Limits {
        unanswered_per_replica: 1,
        unanswered: Duration::from_hours(1),
        response_head: Duration::from_secs(1),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits).await;
    let (replica, free) = patient().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    for mut wire in crowd(&fixture, 3).await {
        assert_eq!(wire.answer().await.status, 504);
    }
    free.add_permits(10);
    assert_eq!(fixture.get("shop.test", "/").await.status, 200);
}
