//! What clients see when a replica fails, and what is written down about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use naru_edge::Limits;

use crate::harness::{Fixture, Replica, backend, dead_address, key, raw_replica, route, single, until};

#[tokio::test]
async fn every_failure_says_which_it_is_in_the_client_s_language() {
    let limits = Limits { response_head: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let slow = Replica::start(Router::new().fallback(std::future::pending::<()>)).await;
    let resets = raw_replica(|mut wire| async move {
        wire.until("\r\n\r\n").await;
    })
    .await;
    let nonsense = raw_replica(|mut wire| async move {
        wire.until("\r\n\r\n").await;
        wire.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        wire.more().await;
    })
    .await;
    let at = |host: &str, address| route(host, "/", vec![backend(key(1, 0), address, 1)]);
    fixture
        .publish(
            1,
            vec![
                at("dead.test", dead_address().await),
                at("resets.test", resets),
                at("nonsense.test", nonsense),
                at("slow.test", slow.address),
                route("empty.test", "/", Vec::new()),
            ],
        )
        .await;
    for (host, status, english, korean, code) in [
        ("nobody.test", 404, "Nothing here", "찾을 수 없음", "edge.no-route"),
        ("dead.test", 502, "Service unreachable", "연결할 수 없는 서비스", "edge.unreachable"),
        ("resets.test", 502, "Service broke off", "끊긴 연결", "edge.broke-off"),
        ("nonsense.test", 502, "Unusable answer", "사용할 수 없는 응답", "edge.nonsense"),
        ("empty.test", 503, "No replica is ready", "준비된 복제본 없음", "edge.no-replica"),
        ("slow.test", 504, "No answer in time", "응답 시간 초과", "edge.too-slow"),
    ] {
        for (language, title) in [("en-GB,en", english), ("ko-KR,ko;q=0.9,en;q=0.5", korean)] {
            let answer = fixture
                .send(&format!(
                    "GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nAccept-Language: {language}\r\n\
                     Connection: close\r\n\r\n"
                ))
                .await;
            let text = answer.text();
            assert_eq!(answer.status, status, "{host}");
            assert!(text.contains(title) && text.contains(code), "{host} {language}: {text}");
            assert!(text.contains(answer.header("x-request-id").unwrap()));
            assert_eq!(text.contains(">web<"), host != "nobody.test", "the service is named: {text}");
            assert!(!text.contains("127.0.0.1"), "nothing of the inside: {text}");
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
        }
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    let breaks = raw_replica(move |mut wire| {
        let counter = Arc::clone(&counter);
        async move {
            wire.until("\r\n\r\n").await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), breaks, 1)])]).await;
    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(fixture.send(post).await.status, 502);
    assert_eq!(received.load(Ordering::SeqCst), 1);

    // A GET may be repeated, and finds the replica that works.
    let works = Replica::named("works").await;
    let backends = vec![backend(key(1, 0), breaks, 1), backend(key(1, 1), works.address, 1)];
    fixture.publish(2, vec![route("shop.test", "/", backends)]).await;
    for _ in 0..10 {
        assert_eq!(fixture.get("shop.test", "/").await.text(), "works");
    }
    assert_eq!(works.count(), 10);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_failure() {
    // Answers once per connection and closes without saying so.
    let once = raw_replica(|mut wire| async move {
        wire.until("\r\n\r\n").await;
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), once, 1)])]).await;
    let mut wire = fixture.connect().await;
    for _ in 0..50 {
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        assert_eq!(wire.answer().await.status, 200);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    for head in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 9\r\n\r\nhello"] {
        let address = raw_replica(move |mut wire| async move {
            wire.until("\r\n\r\n").await;
            wire.write(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await;
        })
        .await;
        let fixture = Fixture::start().await;
        fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
        let mut wire = fixture.connect().await;
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        while wire.more().await {}
        let text = String::from_utf8_lossy(&wire.buffer).into_owned();
        assert!(text.contains("hello") && !text.contains("0\r\n\r\n"), "{text}");
        until(async || broken(&fixture).await == 1).await;

        // An old client knows the end of the answer by the end of the connection: it must not be an orderly one.
        let mut wire = fixture.connect().await;
        wire.write(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
        let mut all = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut wire.stream, &mut all).await;
        assert!(end.is_err(), "{}", String::from_utf8_lossy(&all));
    }
}

async fn broken(fixture: &Fixture) -> u64 {
    fixture.edge.client().metrics().await.unwrap().routes.iter().map(|route| route.counts.broken).sum()
}

#[tokio::test]
async fn requests_are_counted_and_written_down_without_their_query() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("ok").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let answer = fixture.get("shop.test", "/path?token=secret").await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    fixture.get("nobody.test", "/").await;
    let log = fixture.data.path().join("edge/access.log");
    until(async || std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 2)).await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("secret"));
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    for (field, want) in [
        ("request_id", serde_json::json!(id)),
        ("host", "shop.test".into()),
        ("method", "GET".into()),
        ("path", "/path".into()),
        ("status", 200.into()),
        ("bytes_out", 2.into()),
        ("environment", "shop/production".into()),
        ("service", "web".into()),
        ("revision", 1.into()),
        ("replica", "web-1-0".into()),
    ] {
        assert_eq!(line[field], want, "{field}");
    }
    let metrics = fixture.edge.client().metrics().await.unwrap();
    let counts = &metrics.routes.iter().find(|route| route.revision.is_some()).unwrap().counts;
    assert_eq!((counts.status_2xx, counts.in_flight, counts.bytes_out), (1, 0, 2));
    assert_eq!(counts.latency_counts.iter().sum::<u64>(), 1);
    assert_eq!(metrics.unrouted.status_4xx, 1);
}
