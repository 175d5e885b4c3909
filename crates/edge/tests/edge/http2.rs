//! HTTP/2: the same rules as for HTTP/1.1, and bounds on what only HTTP/2 can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioExecutor;
use naru_edge::Limits;
use naru_model::route::RouteMode;
use tokio::sync::Notify;

use crate::frames::{self, Frames};
use crate::harness::{Fixture, Replica, SOON, access_line, held, single, until};
use crate::tls_harness::{Http2, get, text_of};

/// A replica that answers `/` at once and `/slow` when it is told to.
async fn slow_replica() -> (Replica, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let wait = Arc::clone(&release);
    let slow = axum::routing::get(async move || {
        wait.notified().await;
        "slow"
    });
    let quick = axum::routing::get(async || "quick");
    (Replica::start(axum::Router::new().route("/", quick).route("/slow", slow)).await, release)
}

#[tokio::test]
async fn the_rules_of_a_request_hold() {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let request = Request::get("http://shop.test:81/x?y=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-forwarded-for", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6")
        .header("x-request-id", "forged")
        .body(Full::default())
        .unwrap();
    let answer = connection.ask(request).await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    assert_eq!(
        *answer.body(),
        format!(
            "GET /x?y=1\ncookie: a=1; b=2\nforwarded: for=127.0.0.1;host=\"shop.test:81\";proto=http\n\
             host: shop.test:81\nx-forwarded-for: 127.0.0.1\nx-forwarded-host: shop.test:81\n\
             x-forwarded-proto: http\nx-request-id: {id}\n"
        )
    );
    drop(connection);
    let line = access_line(&fixture, id).await;
    assert!(line.contains("\"host\":\"shop.test:81\"") && line.contains("\"status\":200"), "{line}");
}

#[tokio::test]
async fn what_is_refused_never_reaches_a_replica() {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let status = async |request: Request<Full<Bytes>>| connection.ask(request).await.status().as_u16();
    let with = |name: &str, value: &str| {
        Request::get("http://shop.test/").header(name, value).body(Full::default()).unwrap()
    };
    assert_eq!(status(with("host", "other.test")).await, 400, "authority and Host differ");
    assert_eq!(status(with("host", "SHOP.test")).await, 200);
    assert_eq!(status(get("http://a@shop.test/")).await, 400);
    let request = |method: &str| Request::builder().method(method).uri("http://shop.test/");
    assert_eq!(status(request("TRACE").body(Full::default()).unwrap()).await, 405);
    assert_eq!(mirror.count(), 1);

    // Heads, by size and by number of fields.
    assert_eq!(status(with("x-large", &"x".repeat(40_000))).await, 431);
    let many = (0..200).fold(request("GET"), |builder, n| builder.header(format!("x-{n}"), "1"));
    assert_eq!(status(many.body(Full::default()).unwrap()).await, 431);
    assert_eq!(mirror.count(), 1);
    assert_eq!(status(get("http://shop.test/")).await, 200, "the connection goes on");

    // Fields of a connection are malformed here (RFC 9113 §8.2.2): the stream ends, the connection goes on.
    let mut raw = Frames::connect(fixture.edge.address()).await;
    for (stream, field) in
        [("upgrade", "websocket"), ("connection", "upgrade"), ("transfer-encoding", "chunked")]
            .into_iter()
            .enumerate()
            .map(|(n, field)| (2 * u32::try_from(n).unwrap() + 1, field))
    {
        raw.write(&frames::headers(stream, &frames::request("shop.test", "/", &[field]))).await;
        assert_eq!(raw.reset_of(stream).await, frames::PROTOCOL_ERROR, "{field:?}");
    }
    // Extended CONNECT (RFC 8441) was not offered.
    let websocket =
        [frames::literal(":method", "CONNECT"), frames::literal(":protocol", "websocket")].concat();
    let rest = [frames::literal(":scheme", "http"), frames::literal(":path", "/")].concat();
    let block = [websocket, rest, frames::literal(":authority", "shop.test")].concat();
    raw.write(&frames::headers(7, &block)).await;
    assert!(raw.ends_stream(7).await);
    assert_eq!(mirror.count(), 2);
}

#[tokio::test]
async fn many_requests_share_a_connection_and_a_held_route_holds_them() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, held("shop.test")).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let waiting: Vec<_> = (0..80).map(|_| tokio::spawn(connection.begin(get("http://shop.test/")))).collect();
    until(async || fixture.edge.edge().metrics().await.held == 80).await;
    let mut routes = single("shop.test", &replica);
    routes[0].mode = RouteMode::Serve;
    fixture.publish(2, routes).await;
    for answer in waiting {
        assert_eq!(text_of(answer.await.unwrap().unwrap()).await.body(), "ok");
    }
    assert_eq!(replica.count(), 80);
}

#[tokio::test]
async fn streams_past_the_bound_are_refused() {
    let (replica, release) = slow_replica().await;
    let fixture = Fixture::with(Limits { streams: 10, ..Limits::default() }).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut raw = Frames::connect(fixture.edge.address()).await;
    let block = frames::request("shop.test", "/slow", &[]);
    for n in 0..15 {
        raw.write(&frames::headers(2 * n + 1, &block)).await;
    }
    for n in 10..15 {
        assert_eq!(raw.reset_of(2 * n + 1).await, frames::REFUSED_STREAM);
    }
    fixture.until_in_flight(10).await;
    assert_eq!(replica.count(), 10);
    for _ in 0..10 {
        release.notify_one();
    }
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn a_client_that_resets_rapidly_is_cut_off() {
    let (replica, _release) = slow_replica().await;
    let limits = Limits { cheap_frames: 50, cheap_frames_per_s: 1, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let beside = Http2::plain(fixture.edge.address()).await;
    let mut raw = Frames::connect(fixture.edge.address()).await;
    let block = frames::request("shop.test", "/slow", &[]);
    let sent = AtomicUsize::new(0);
    let attack = async {
        for n in 0..100_000 {
            let pair = [frames::headers(2 * n + 1, &block), frames::reset(2 * n + 1)].concat();
            if raw.try_write(&pair).await.is_err() {
                return;
            }
            sent.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        panic!("nobody stopped it");
    };
    tokio::time::timeout(SOON, attack).await.expect("it is cut off");
    assert!(replica.count() <= 60, "{} requests reached the replica", replica.count());
    assert_eq!(beside.get("http://shop.test/").await.body(), "quick");
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn floods_of_pings_settings_and_empty_pieces_are_cut_off() {
    let limits = Limits { cheap_frames: 50, cheap_frames_per_s: 1, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let floods: [(&str, Vec<u8>); 5] = [
        ("ping", frames::frame(6, 0, 0, &[7; 8])),
        ("settings", frames::frame(4, 0, 0, &[])),
        ("priority", frames::frame(2, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", frames::frame(99, 0, 0, &[1; 30])),
        ("continuation", frames::frame(9, 0, 1, &[])),
    ];
    for (name, flood) in floods {
        let mut raw = Frames::connect(fixture.edge.address()).await;
        if name == "continuation" {
            raw.write(&frames::frame(1, 0, 1, &[])).await;
        }
        let attack = async {
            for _ in 0..1_000_000 {
                if raw.try_write(&flood).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            panic!("nobody stopped {name}");
        };
        tokio::time::timeout(SOON, attack).await.unwrap_or_else(|_| panic!("{name} is not cut off"));
    }
    until(async || fixture.edge.edge().metrics().await.connections == 0).await;
}

#[tokio::test]
async fn a_head_without_an_end_is_cut_off() {
    let fixture = Fixture::with(Limits { head_read: Duration::from_millis(300), ..Limits::default() }).await;
    let mut raw = Frames::connect(fixture.edge.address()).await;
    // Without END_HEADERS, and with a frame that never gets its last byte.
    raw.write(&frames::frame(1, 1, 1, &frames::request("shop.test", "/", &[]))).await;
    assert!(raw.is_closed().await);
    let mut raw = Frames::connect(fixture.edge.address()).await;
    let whole = frames::headers(1, &frames::request("shop.test", "/", &[]));
    raw.write(&whole[..whole.len() - 1]).await;
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn connections_without_a_request_are_ended_with_a_word() {
    let fixture =
        Fixture::with(Limits { client_idle: Duration::from_millis(200), ..Limits::default() }).await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    assert_eq!(connection.get("http://shop.test/").await.status(), 200);
    // GOAWAY without an error is a clean end for the client.
    tokio::time::timeout(SOON, connection.driver).await.expect("it ends").unwrap().unwrap();
    // One that does not react to it is closed.
    let mut deaf = Frames::connect(fixture.edge.address()).await;
    assert!(deaf.sees(frames::GOAWAY).await);
    assert!(deaf.is_closed().await);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_stream() {
    let large = axum::routing::get(async || vec![b'x'; 10_000_000]);
    let slow = axum::routing::get(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        "slow"
    });
    let replica = Replica::start(axum::Router::new().route("/", large).route("/slow", slow)).await;
    let limits = Limits { client_write_idle: Duration::from_millis(300), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1_000);
    let stream = tokio::net::TcpStream::connect(fixture.edge.address()).await.unwrap();
    let connection = Http2::with(builder, stream).await;
    let answer = connection.begin(get("http://shop.test/")).await.unwrap();
    fixture.until_in_flight(1).await;
    let begun = Instant::now();
    fixture.until_in_flight(0).await;
    assert!(begun.elapsed() < SOON);
    assert!(answer.into_body().collect().await.is_err(), "it is told that this was not all");
    // Waiting for the replica is not the reader's fault.
    assert_eq!(connection.get("http://shop.test/slow").await.body(), "slow");
}

#[tokio::test]
async fn a_drain_lets_streams_end_and_sends_clients_elsewhere() {
    let (replica, release) = slow_replica().await;
    let fixture = Fixture::start().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let slow = tokio::spawn(connection.begin(get("http://shop.test/slow")));
    fixture.until_in_flight(1).await;
    let edge = Arc::clone(fixture.edge.edge());
    let drained = tokio::spawn(async move { edge.drain(SOON).await });
    // New requests are turned away before they are sent: the client can use another connection for them.
    let turned_away = async {
        while connection.begin(get("http://shop.test/")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, turned_away).await.expect("the client hears of it");
    release.notify_one();
    assert_eq!(text_of(slow.await.unwrap().unwrap()).await.body(), "slow");
    assert!(drained.await.unwrap(), "nothing was broken off");
}

#[tokio::test]
async fn prefaces_in_pieces_and_methods_that_look_like_one_are_understood() {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    let mut wire = fixture.connect().await;
    for piece in ["P", "R", "OPFIND / HTTP/1.1\r\nHost: shop.test\r\n\r\n"] {
        wire.write(piece.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(wire.answer().await.text().starts_with("PROPFIND /"));
    let mut raw = Frames::unopened(fixture.edge.address()).await;
    for piece in [&frames::PREFACE[..2], &frames::PREFACE[2..]] {
        raw.write(piece).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    raw.write(&frames::frame(4, 0, 0, &[])).await;
    raw.write(&frames::headers(1, &frames::request("shop.test", "/", &[]))).await;
    assert!(raw.ends_stream(1).await);
    assert_eq!(mirror.count(), 2);
}
