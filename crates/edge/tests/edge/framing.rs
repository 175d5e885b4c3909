//! Heads: what is passed on, what is removed, and how much of them is taken.

use std::time::Duration;

use naru_edge::Limits;

use crate::harness::{Fixture, Replica, backend, key, raw_replica, route, single, until};

#[tokio::test]
async fn forged_and_hop_by_hop_headers_do_not_reach_the_replica() {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    let answer = fixture
        .send(
            "GET /x?y=1 HTTP/1.1\r\nHost: shop.test:81\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\n\
             Keep-Alive: timeout=9\r\nProxy-Authorization: Basic eA==\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Port: 443\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: forged\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nCookie: a=b\r\n\r\n",
        )
        .await;
    let seen = answer.text();
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
    assert_eq!(
        seen,
        format!(
            "GET /x?y=1\ncookie: a=b\nforwarded: for=127.0.0.1;host=\"shop.test:81\";proto=http\n\
             host: shop.test:81\nx-forwarded-for: 127.0.0.1\nx-forwarded-host: shop.test:81\n\
             x-forwarded-proto: http\nx-request-id: {id}\n"
        )
    );
}

#[tokio::test]
async fn hop_by_hop_headers_of_an_answer_stay_behind() {
    let address = raw_replica(|mut wire| async move {
        wire.until("\r\n\r\n").await;
        wire.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Private\r\nX-Private: 1\r\n\
              Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Request-Id: theirs\r\nX-Kept: 1\r\n\r\nok",
        )
        .await;
        wire.more().await;
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
    let answer = fixture.get("shop.test", "/").await;
    assert_eq!((answer.status, answer.text(), answer.header("x-kept")), (200, "ok", Some("1")));
    for name in ["x-private", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_ne!(answer.header("x-request-id"), Some("theirs"));
}

#[tokio::test]
async fn header_sizes_and_counts_are_bounded() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let large = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: {}\r\n\r\n", "a".repeat(40_000));
    assert_eq!(fixture.send(&large).await.status, 431);
    let many = "X-Again: 1\r\n".repeat(200);
    assert_eq!(fixture.send(&format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{many}\r\n")).await.status, 431);
    assert_eq!(replica.count(), 0);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_408() {
    let limits = Limits { head_read: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let mut slow = fixture.connect().await;
    slow.write(b"GET / HTTP/1.1\r\nHost: sh").await;
    assert_eq!(slow.answer().await.status, 408);
    assert!(slow.is_closed().await);
    // Nothing at all is not a request: such a connection stays until it is idle for too long.
    let mut idle = fixture.connect().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    idle.write(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 404);
}

#[tokio::test]
async fn idle_clients_are_let_go() {
    let limits = Limits { client_idle: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 404);
    assert!(wire.is_closed().await);
    until(async || fixture.edge.client().metrics().await.unwrap().connections == 0).await;
}

#[tokio::test]
async fn connections_past_the_bound_wait() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let one = fixture.connect().await;
    let two = fixture.connect().await;
    until(async || fixture.edge.client().metrics().await.unwrap().connections == 2).await;
    let mut third = fixture.connect().await;
    third.write(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    let waits = tokio::time::timeout(Duration::from_millis(200), third.more()).await;
    assert!(waits.is_err(), "the third was served while the bound was reached");
    drop(one);
    // What was waiting is served; being at the bound, the edge gives the connection back.
    assert_eq!(third.answer().await.header("connection"), Some("close"));
    drop(two);
}

#[tokio::test]
async fn head_requests_have_no_body_and_keep_the_connection() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("twelve bytes").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    for path in ["/", "/again"] {
        wire.write(format!("HEAD {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
        let answer = wire.answer_to("HEAD").await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("12")));
    }
    wire.write(b"HEAD / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    assert_eq!(wire.answer_to("HEAD").await.status, 404);
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "twelve bytes");
}

#[tokio::test]
async fn old_clients_get_an_answer_that_ends_with_the_connection() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "ok");
    assert!(wire.is_closed().await);
}
