//! Heads: what is passed on, what is removed, what is refused. A replica sees exactly the requests that were sent.

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
async fn ambiguous_requests_are_refused_and_never_sent_on() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let chunked = "0\r\n\r\n";
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let bad = [
        format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n{chunked}{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}"
        ),
        format!("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: xchunked\r\n\r\n{chunked}"),
        format!("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunked}"),
        format!("POST / HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3, 3\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: +3\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: -1\r\n\r\nabc".to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length : 3\r\n\r\nabc".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: 1\r\n X-B: folded\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test\r\nHost: shop.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test/x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test other\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: user@shop.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test:80:80\r\n\r\n".to_owned(),
        "GET http://other.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test\r\nX-A: a\0b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: shop.test\r\nX A: b\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_owned(),
    ];
    for bytes in &bad {
        let mut wire = fixture.connect().await;
        wire.write(bytes.as_bytes()).await;
        assert!(wire.more().await, "no answer to {bytes:?}");
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{bytes:?}: {}", answer.head);
        assert!(wire.is_closed().await);
        assert!(wire.buffer.is_empty(), "a second answer to {bytes:?}");
    }
    for method in ["CONNECT shop.test:80", "TRACE /"] {
        let answer = fixture.send(&format!("{method} HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
        assert!(matches!(answer.status, 400 | 405), "{method}: {}", answer.head);
    }
    assert_eq!(replica.count(), 0);
}

#[tokio::test]
async fn the_replica_counts_what_was_sent() {
    let fixture = Fixture::start().await;
    let replica = Replica::start(axum::Router::new().fallback(|body: String| async move { body })).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    // A body that looks like a request stays a body, by length and in chunks, also when pipelined.
    let inner = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let mut wire = fixture.connect().await;
    let by_length =
        format!("POST /1 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let in_chunks = format!(
        "POST /2 HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x};ext=1\r\n{inner}\r\n0\r\n\r\n",
        inner.len()
    );
    let last = "GET /3 HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    wire.write(format!("{by_length}{in_chunks}{last}").as_bytes()).await;
    for want in [inner, inner, ""] {
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, want));
    }
    assert_eq!(replica.count(), 3);
}

#[tokio::test]
async fn absolute_targets_are_sent_on_as_paths() {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    let answer = fixture
        .send("GET http://shop.test/a?b HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.text().starts_with("GET /a?b\n"), "{}", answer.text());
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
