//! What one route, one client or one connection may ask of the edge at most.

use std::time::Duration;

use axum::Router;
use http::Request;
use http_body_util::Full;
use naru_edge::Limits;
use naru_model::route::{Rate, RouteLimits};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Fixture, Replica, SOON, single, until};
use crate::tls_harness::{Http2, get};

async fn bounded(limits: RouteLimits, answers: Router) -> (Fixture, Replica) {
    let fixture = Fixture::start().await;
    let replica = Replica::start(answers).await;
    let mut routes = single("shop.test", &replica);
    routes[0].limits = limits;
    routes.extend(single("free.test", &replica));
    fixture.publish(1, routes).await;
    (fixture, replica)
}

fn echo() -> Router {
    Router::new().fallback(|body: String| async move { body })
}

fn post(host: &str, lines: &str, then: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n{then}")
}

#[tokio::test]
async fn a_body_past_the_route_s_bound_is_answered_413() {
    let limits = RouteLimits { body_bytes: Some(10), ..RouteLimits::default() };
    let (fixture, replica) = bounded(limits, echo()).await;
    let fits = fixture.send(&post("shop.test", "Content-Length: 10\r\n", "0123456789")).await;
    assert_eq!((fits.status, fits.text()), (200, "0123456789"));
    let chunked = "Transfer-Encoding: chunked\r\n";
    let fits = fixture.send(&post("shop.test", chunked, "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")).await;
    assert_eq!((fits.status, fits.text()), (200, "0123456789"));
    // By its word, before a byte of it, and the replica hears nothing of it.
    let seen = replica.count();
    let large = fixture.send(&post("shop.test", "Content-Length: 11\r\n", "")).await;
    assert_eq!((large.status, large.header("connection")), (413, Some("close")));
    assert!(large.text().contains("edge.body-too-large"), "{}", large.text());
    assert_eq!(replica.count(), seen);
    // By what comes.
    let large = fixture.send(&post("shop.test", chunked, "5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n")).await;
    assert_eq!(large.status, 413);
    // Another route is not bounded by it.
    let free = fixture.send(&post("free.test", "Content-Length: 11\r\n", "01234567890")).await;
    assert_eq!((free.status, free.text()), (200, "01234567890"));
}

#[tokio::test]
async fn header_bytes_and_time_are_bounded_by_the_route() {
    let limits = RouteLimits { header_bytes: Some(300), answer_ms: Some(200), ..RouteLimits::default() };
    let slow = Router::new().fallback(std::future::pending::<()>);
    let (fixture, replica) = bounded(limits, slow).await;
    let large = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: {}\r\n\r\n", "a".repeat(300));
    assert_eq!(fixture.send(&large).await.status, 431);
    assert_eq!(replica.count(), 0);
    assert_eq!(fixture.get("shop.test", "/").await.status, 504);
    assert_eq!(replica.count(), 1);
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn a_client_past_its_rate_is_answered_429_and_told_when_to_return() {
    let limits =
        RouteLimits { rate: Some(Rate { requests: 1, seconds: 60, burst: 3 }), ..RouteLimits::default() };
    let (fixture, replica) = bounded(limits, echo()).await;
    for _ in 0..3 {
        assert_eq!(fixture.get("shop.test", "/").await.status, 200);
    }
    let refused = fixture.get("shop.test", "/").await;
    assert_eq!(refused.status, 429);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(refused.text().contains("edge.too-often"), "{}", refused.text());
    assert_eq!(replica.count(), 3);
    assert_eq!(fixture.get("free.test", "/").await.status, 200);
    // What is left does not grow with a new table.
    let mut routes = single("shop.test", &replica);
    routes[0].limits = limits;
    fixture.publish(2, routes.clone()).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 429);
    routes[0].limits = RouteLimits::default();
    fixture.publish(3, routes).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 200);
}

#[tokio::test]
async fn the_bounds_of_a_route_hold_for_http2() {
    let limits = RouteLimits {
        body_bytes: Some(10),
        header_bytes: Some(400),
        answer_ms: Some(300),
        rate: Some(Rate { requests: 1, seconds: 3_600, burst: 3 }),
    };
    let slow = axum::routing::get(std::future::pending::<()>);
    let (fixture, replica) = bounded(limits, echo().route("/slow", slow)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let post = |text: &'static str| Request::post("http://shop.test/").body(Full::from(text)).unwrap();
    let fits = connection.ask(post("0123456789")).await;
    assert_eq!((fits.status().as_u16(), fits.body().as_str()), (200, "0123456789"));
    // What is past a bound never reaches the replica, and costs nothing of the rate.
    let large = connection.ask(post("0123456789a")).await;
    assert_eq!(large.status(), 413);
    assert!(large.body().contains("edge.body-too-large"), "{}", large.body());
    let large = Request::get("http://shop.test/").header("x-a", "a".repeat(400)).body(Full::default());
    assert_eq!(connection.ask(large.unwrap()).await.status(), 431);
    assert_eq!(replica.count(), 1);
    assert_eq!(connection.ask(get("http://shop.test/slow")).await.status(), 504);
    assert_eq!(connection.ask(get("http://shop.test/")).await.status(), 200);
    let often = connection.ask(get("http://shop.test/")).await;
    assert_eq!(often.status(), 429);
    let wait: u32 = often.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    assert_eq!(replica.count(), 3);
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let limits = Limits { connections_per_client: 3, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let replica = Replica::start(echo()).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut wire = fixture.connect().await;
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        assert_eq!(wire.answer().await.status, 200);
        kept.push(wire);
    }
    let mut more = fixture.connect().await;
    assert_eq!(more.answer().await.status, 429);
    assert!(more.is_closed().await);
    kept.pop();
    until(async || {
        let mut wire = fixture.connect().await;
        let _ =
            wire.stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
        wire.answer().await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let limits = Limits { client_write_idle: Duration::from_millis(300), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let large = Router::new().fallback(|| async { vec![7_u8; 64 * 1024 * 1024] });
    let replica = Replica::start(large).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    fixture.until_in_flight(1).await;
    // Nothing is read: the sockets fill, and then nothing moves.
    fixture.until_in_flight(0).await;
    until(async || fixture.edge.client().metrics().await.unwrap().connections == 0).await;
    // One who reads slowly, and reads, gets all of it.
    let mut slow = fixture.connect().await;
    slow.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
    slow.until("\r\n\r\n").await;
    let mut left = 64 * 1024 * 1024 - slow.buffer.len();
    let mut piece = vec![0; 4 * 1024 * 1024];
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let read = tokio::io::AsyncReadExt::read(&mut slow.stream, &mut piece);
        let read = tokio::time::timeout(SOON, read).await.unwrap().unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}
