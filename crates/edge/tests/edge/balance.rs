//! Which replica is asked: by load, by health, by age; and when a request is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use naru_edge::Limits;
use naru_model::route::Backend;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use crate::harness::{Fixture, Replica, backend, dead_address, key, raw_replica, route, until};

/// Requests that were sent to another replica, as the edge counts them.
async fn retried(fixture: &Fixture) -> u64 {
    fixture.edge.client().metrics().await.unwrap().routes.iter().map(|route| route.counts.retried).sum()
}

/// Answers with an error while `ill`.
async fn moody(ill: &Arc<AtomicBool>) -> Replica {
    let ill = Arc::clone(ill);
    Replica::start(Router::new().fallback(move || {
        let status =
            if ill.load(Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        async move { status }
    }))
    .await
}

/// No slow start, which would hide what these tests look at.
fn at_once() -> Limits {
    Limits { slow_start: Duration::ZERO, ..Limits::default() }
}

#[tokio::test]
async fn the_busy_replica_of_a_revision_gets_nothing_more() {
    let fixture = Fixture::with(at_once()).await;
    let free = Arc::new(Notify::new());
    let waits = Arc::clone(&free);
    let stuck = Replica::start(Router::new().fallback(move || {
        let free = Arc::clone(&waits);
        async move { free.notified().await }
    }))
    .await;
    let quick = Replica::named("quick").await;
    let new = Replica::named("new").await;
    let backends = vec![
        backend(key(2, 0), new.address, 200),
        backend(key(1, 0), stuck.address, 400),
        backend(key(1, 1), quick.address, 400),
    ];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut wire = fixture.connect().await;
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
        let before = stuck.count();
        tokio::select! {
            answer = wire.answer() => assert_eq!(answer.status, 200),
            () = until(async || stuck.count() > before) => waiting.push(wire),
        }
    }
    assert_eq!((stuck.count(), waiting.len()), (1, 1));
    // The weights still choose the revision.
    assert!((15..=25).contains(&new.count()), "{}", new.count());
    assert_eq!(quick.count(), 99 - new.count());
    free.notify_one();
    assert_eq!(waiting[0].answer().await.status, 200);
}

#[tokio::test]
async fn a_replica_that_cannot_be_reached_is_passed_over_and_returns() {
    let limits = Limits { eject: Duration::from_millis(50), probe: Duration::from_millis(20), ..at_once() };
    let fixture = Fixture::with(limits).await;
    // Bound, and not listening: connections are refused, and nobody else gets the address.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let works = Replica::named("works").await;
    let backends = vec![backend(key(1, 0), address, 1), backend(key(1, 1), works.address, 1)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    for _ in 0..20 {
        assert_eq!(fixture.get("shop.test", "/").await.text(), "works");
    }
    // Only the first found out; probes did from then on.
    assert_eq!(retried(&fixture).await, 1);
    let back = Replica::on(socket.listen(64).unwrap(), Router::new().fallback(|| async { "back" }));
    until(async || fixture.get("shop.test", "/").await.text() == "back").await;
    assert!(back.count() >= 1);
    assert_eq!(retried(&fixture).await, 1, "no request had to find out that it is back");
}

#[tokio::test]
async fn a_replica_of_errors_is_passed_over_while_another_is_well() {
    let limits = Limits {
        eject: Duration::from_millis(200),
        probe: Duration::from_millis(20),
        eject_errors: 5,
        ..at_once()
    };
    let fixture = Fixture::with(limits).await;
    let (ill, other_ill) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (one, other) = (moody(&ill).await, moody(&other_ill).await);
    let backends = vec![backend(key(1, 0), one.address, 1), backend(key(1, 1), other.address, 1)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    let mut errors = 0;
    while one.count() < 5 {
        errors += usize::from(fixture.get("shop.test", "/").await.status == 503);
    }
    assert_eq!(errors, 5, "errors of a replica are its answers, and nobody's to repeat");
    assert_eq!(fixture.get("shop.test", "/").await.status, 200);
    assert_eq!(fixture.get("shop.test", "/").await.status, 200);
    // It can be reached, so it is tried again after a while; being well again, it stays.
    ill.store(false, Ordering::SeqCst);
    let seen = one.count();
    until(async || {
        assert_eq!(fixture.get("shop.test", "/").await.status, 200);
        one.count() > seen + 10
    })
    .await;
    // Never all: when both are ill, both are asked, and the errors reach the clients.
    ill.store(true, Ordering::SeqCst);
    other_ill.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(fixture.get("shop.test", "/").await.status, 503);
    }
    let before = (one.count(), other.count());
    for _ in 0..20 {
        assert_eq!(fixture.get("shop.test", "/").await.status, 503);
    }
    assert!(one.count() > before.0 && other.count() > before.1);
}

#[tokio::test]
async fn a_new_replica_takes_its_share_by_and_by() {
    let limits = Limits { slow_start: Duration::from_hours(1), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let (old, new) = (Replica::named("old").await, Replica::named("new").await);
    let one = |revision: u32, replica: &Replica| backend(key(revision, 0), replica.address, 1);
    // The only one, new as it is, takes everything.
    fixture.publish(1, vec![route("shop.test", "/", vec![one(2, &new)])]).await;
    for _ in 0..10 {
        assert_eq!(fixture.get("shop.test", "/").await.text(), "new");
    }
    // Both are new: they share.
    fixture.publish(2, vec![route("shop.test", "/", vec![one(1, &old), one(2, &new)])]).await;
    for _ in 0..100 {
        assert_eq!(fixture.get("shop.test", "/").await.status, 200);
    }
    assert!((35..=65).contains(&old.count()), "{}", old.count());

    let limits = Limits { slow_start: Duration::from_secs(2), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let (old, new) = (Replica::named("old").await, Replica::named("new").await);
    fixture.publish(1, vec![route("shop.test", "/", vec![one(1, &old)])]).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "old");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "old");
    fixture.publish(2, vec![route("shop.test", "/", vec![one(1, &old), one(2, &new)])]).await;
    let share_of_hundred = async || {
        let before = new.count();
        for _ in 0..100 {
            assert_eq!(fixture.get("shop.test", "/").await.status, 200);
        }
        new.count() - before
    };
    // In turns at last, and by no means before; how far it is by then is for the machine to say.
    until(async || share_of_hundred().await >= 45).await;
}

#[tokio::test]
async fn a_body_that_was_not_taken_goes_to_the_next_replica_whole() {
    let fixture = Fixture::start().await;
    let echo = Replica::start(Router::new().fallback(|body: String| async move { body })).await;
    let backends = vec![backend(key(1, 0), dead_address().await, 1), backend(key(1, 1), echo.address, 1)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    let body = "x".repeat(100_000);
    for number in 0..4 {
        let answer = fixture
            .send(&format!(
                "POST /{number} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!((answer.status, answer.text() == body), (200, true));
    }
    assert_eq!((echo.count(), retried(&fixture).await), (4, 1));
}

/// Takes a request and closes; counts what it took.
async fn taking(taken: &Arc<AtomicUsize>) -> std::net::SocketAddr {
    let taken = Arc::clone(taken);
    raw_replica(move |mut wire| {
        let taken = Arc::clone(&taken);
        async move {
            wire.until("\r\n\r\n").await;
            taken.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test]
async fn repetitions_are_bounded_and_counted() {
    let fixture = Fixture::start().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut backends = Vec::new();
    for index in 0..6 {
        backends.push(backend(key(1, index), taking(&taken).await, 1));
    }
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 502);
    assert_eq!(taken.load(Ordering::SeqCst), 3, "once, and twice again");
    until(async || retried(&fixture).await == 2).await;
    // What changes something, and what has a body that was taken, is sent once.
    for request in [
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "PATCH / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    ] {
        taken.store(0, Ordering::SeqCst);
        assert_eq!(fixture.send(request).await.status, 502);
        assert_eq!(taken.load(Ordering::SeqCst), 1, "{request}");
    }
    assert_eq!(retried(&fixture).await, 2);
}

#[tokio::test]
async fn a_replica_with_a_health_path_returns_when_it_says_that_it_is_well() {
    let limits = Limits {
        eject: Duration::from_millis(20),
        eject_max: Duration::from_millis(50),
        probe: Duration::from_millis(10),
        probed: Duration::from_millis(200),
        eject_errors: 5,
        ..at_once()
    };
    let fixture = Fixture::with(limits).await;
    let (mood, probes) = (Arc::new(AtomicUsize::new(ILL)), Arc::new(AtomicUsize::new(0)));
    let one = minded(&mood, &probes).await;
    let other = Replica::named("other").await;
    let asked = Backend { health: Some("/healthz?deep=1".to_owned()), ..backend(key(1, 0), one.address, 1) };
    fixture
        .publish(1, vec![route("shop.test", "/", vec![asked, backend(key(1, 1), other.address, 1)])])
        .await;
    while fixture.get("shop.test", "/").await.status != 503 || one.count() < 5 {}
    // It can be reached, and it answers; but not that it is well, or not in time.
    for mood_now in [ILL, SILENT, ILL] {
        mood.store(mood_now, Ordering::SeqCst);
        let before = probes.load(Ordering::SeqCst);
        until(async || probes.load(Ordering::SeqCst) > before + 3).await;
        for _ in 0..20 {
            assert_eq!(fixture.get("shop.test", "/").await.text(), "other");
        }
    }
    mood.store(WELL, Ordering::SeqCst);
    until(async || fixture.get("shop.test", "/").await.text() == "well").await;
}

const ILL: usize = 0;
const SILENT: usize = 1;
const WELL: usize = 2;

/// A replica that answers as its mood is, at its health path too.
async fn minded(mood: &Arc<AtomicUsize>, probes: &Arc<AtomicUsize>) -> Replica {
    let (mood, probes) = (Arc::clone(mood), Arc::clone(probes));
    Replica::start(Router::new().fallback(move |uri: Uri| {
        let mood = mood.load(Ordering::SeqCst);
        if uri == "/healthz?deep=1" {
            probes.fetch_add(1, Ordering::SeqCst);
        }
        async move {
            match mood {
                WELL => (StatusCode::OK, "well"),
                SILENT => std::future::pending().await,
                _ => (StatusCode::SERVICE_UNAVAILABLE, "ill"),
            }
        }
    }))
    .await
}

#[tokio::test]
async fn repetitions_at_once_are_bounded() {
    let fixture = Fixture::with(Limits { retries_at_once: 0, ..Limits::default() }).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let backends =
        vec![backend(key(1, 0), taking(&taken).await, 1), backend(key(1, 1), taking(&taken).await, 1)];
    fixture.publish(1, vec![route("shop.test", "/", backends)]).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 502);
    assert_eq!((taken.load(Ordering::SeqCst), retried(&fixture).await), (1, 0));
}

#[tokio::test]
async fn kept_connections_that_broke_do_not_multiply_a_request() {
    // Answers the first request of a connection, takes the second and closes.
    let seconds = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seconds);
    let address = raw_replica(move |mut wire| {
        let seconds = Arc::clone(&counter);
        async move {
            wire.until("\r\n\r\n").await;
            // Slowly, so that many connections are open at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            if wire.more_whenever().await {
                seconds.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
    let many = (0..20).map(|_| fixture.get("shop.test", "/"));
    assert!(futures::future::join_all(many).await.iter().all(|answer| answer.status == 200));
    assert_eq!(fixture.get("shop.test", "/").await.status, 200);
    assert_eq!(
        seconds.load(Ordering::SeqCst),
        1,
        "of twenty kept connections one was tried, and then a new one"
    );
}
