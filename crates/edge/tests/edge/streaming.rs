//! Bodies and upgraded connections: as they come, both ways, counted to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get, post};
use futures::{SinkExt as _, StreamExt as _};
use naru_edge::Limits;
use tokio::sync::{Notify, mpsc};

use crate::harness::{Fixture, Replica, SOON, backend, key, raw_replica, route, single, until};

/// Answers with what the test sends, piece by piece.
async fn streaming() -> (Replica, mpsc::Sender<&'static str>) {
    let (sender, receiver) = mpsc::channel::<&'static str>(4);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let router = Router::new().fallback(move || {
        let receiver = Arc::clone(&receiver);
        async move {
            let pieces = futures::stream::unfold(receiver, |receiver| async move {
                let piece = receiver.lock().await.recv().await?;
                Some((Ok::<_, std::io::Error>(Bytes::from(piece)), receiver))
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(pieces))
                .unwrap()
        }
    });
    (Replica::start(router).await, sender)
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let fixture = Fixture::start().await;
    let (replica, events) = streaming().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET /events HTTP/1.1\r\nHost: shop.test\r\nAccept: text/event-stream\r\n\r\n").await;
    wire.until("\r\n\r\n").await;
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        // The next one is only sent after this one came through.
        events.send(event).await.unwrap();
        wire.until(event).await;
    }
    assert_eq!(fixture.in_flight().await, 1);
    drop(events);
    wire.until("0\r\n\r\n").await;
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn an_upload_is_passed_on_while_it_comes_and_answered_meanwhile() {
    let fixture = Fixture::start().await;
    // Sends back what it gets, as it gets it.
    let echo = Router::new()
        .fallback(|request: axum::extract::Request| async move { Response::new(request.into_body()) });
    let replica = Replica::start(echo).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for piece in ["first", "secnd", "third"] {
        wire.write(format!("5\r\n{piece}\r\n").as_bytes()).await;
        wire.until(piece).await;
    }
    wire.write(b"0\r\n\r\n").await;
    wire.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn large_bodies_pass_unharmed() {
    let fixture = Fixture::start().await;
    let echo = Router::new()
        .fallback(|request: axum::extract::Request| async move { Response::new(request.into_body()) });
    let replica = Replica::start(echo).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let length = 20 * 1024 * 1024;
    let body: Vec<u8> = (0..=250).cycle().take(length).collect();
    let stream = tokio::net::TcpStream::connect(fixture.edge.address()).await.unwrap();
    let (read, mut write) = stream.into_split();
    let sent = body.clone();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(&sent).await.unwrap();
        write
    });
    let mut all = Vec::new();
    let mut read = read;
    tokio::time::timeout(SOON * 3, tokio::io::AsyncReadExt::read_to_end(&mut read, &mut all))
        .await
        .unwrap()
        .unwrap();
    drop(sending.await.unwrap());
    let start = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&all[..start]).into_owned();
    let text = all[start..].to_vec();
    let came = if head.contains("content-length") { text } else { unchunk(&text) };
    assert!(came == body, "{} of {} bytes came back", came.len(), body.len());
}

fn unchunk(mut text: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = text.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&text[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&text[end + 2..end + 2 + size]);
        text = &text[end + 4 + size..];
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let address = raw_replica(|mut wire| async move {
        let head = wire.until("\r\n\r\n").await.to_ascii_lowercase();
        let body = wire.until("0\r\n").await;
        let trailers = wire.until("\r\n\r\n").await.to_ascii_lowercase();
        let good = head.contains("trailer: x-sum") && body.contains("abc") && trailers.contains("x-sum: 6");
        let status = if good { "200 OK" } else { "500 Wrong" };
        wire.write(
            format!(
                "HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\nTrailer: x-check\r\n\r\n2\r\nok\r\n0\r\nx-check: 7\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
        wire.more().await;
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
    let answer = fixture
        .send(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\nTrailer: x-sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
        )
        .await;
    assert_eq!((answer.status, answer.text()), (200, "ok"), "{}", answer.head);
    assert_eq!(answer.header("x-check"), Some("7"), "{}", answer.head);
}

#[tokio::test]
async fn a_body_is_only_asked_for_when_the_replica_asks() {
    let fixture = Fixture::start().await;
    let router = Router::new()
        .route("/take", post(|body: String| async move { body }))
        .route("/refuse", post(|| async { (StatusCode::FORBIDDEN, "no") }));
    let replica = Replica::start(router).await;
    fixture.publish(1, single("shop.test", &replica)).await;

    let mut wire = fixture.connect().await;
    let head = "HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    wire.write(format!("POST /take {head}").as_bytes()).await;
    assert_eq!(wire.answer().await.status, 100);
    wire.write(b"hello").await;
    assert_eq!(wire.answer().await.text(), "hello");

    let mut wire = fixture.connect().await;
    wire.write(format!("POST /refuse {head}").as_bytes()).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
}

/// Sends messages back.
async fn echoing_sockets() -> Replica {
    let router = Router::new().route(
        "/socket",
        any(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message)) = socket.recv().await {
                    if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
                        return;
                    }
                }
            })
        }),
    );
    Replica::start(router).await
}

#[tokio::test]
async fn a_websocket_that_pauses_is_not_taken_for_a_slow_head() {
    let limits = Limits { head_read: Duration::from_millis(100), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let replica = echoing_sockets().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let stream = tokio::net::TcpStream::connect(fixture.edge.address()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://shop.test/socket", stream).await.unwrap();
    for text in ["one", "two"] {
        socket.send(tokio_tungstenite::tungstenite::Message::text(text)).await.unwrap();
        let back = tokio::time::timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), text);
        // Longer than a head may take: nothing must happen in it.
        let quiet = tokio::time::timeout(Duration::from_millis(400), socket.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}

#[tokio::test]
async fn a_websocket_is_carried_and_counted() {
    let fixture = Fixture::start().await;
    let replica = echoing_sockets().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let stream = tokio::net::TcpStream::connect(fixture.edge.address()).await.unwrap();
    let (mut socket, answer) =
        tokio_tungstenite::client_async("ws://shop.test/socket", stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    for text in ["one", "two", &"x".repeat(100_000)] {
        socket.send(tokio_tungstenite::tungstenite::Message::text(text)).await.unwrap();
        let back = tokio::time::timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), text);
    }
    assert_eq!(fixture.in_flight().await, 1);
    // A table without this replica does not cut it, and it stays counted.
    fixture.publish(2, Vec::new()).await;
    assert_eq!(fixture.in_flight().await, 1);
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn draining_waits_for_what_is_under_way_and_then_ends_it() {
    let fixture = Fixture::start().await;
    let (replica, events) = streaming().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    events.send("a").await.unwrap();
    wire.until("a").await;
    let edge = Arc::clone(fixture.edge.edge());
    let draining = tokio::spawn(async move { edge.drain(SOON).await });
    tokio::task::yield_now().await;
    events.send("b").await.unwrap();
    wire.until("b").await;
    assert!(!draining.is_finished());
    drop(events);
    wire.until("0\r\n\r\n").await;
    assert!(draining.await.unwrap(), "nothing had to be broken off");

    let fixture = Fixture::start().await;
    let (replica, events) = streaming().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    events.send("a").await.unwrap();
    wire.until("a").await;
    assert!(!fixture.edge.drain(Duration::from_millis(100)).await);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_at_the_replica() {
    struct Left(Arc<AtomicUsize>);
    impl Drop for Left {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let left = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(Notify::new());
    let (counter, started) = (Arc::clone(&left), Arc::clone(&begun));
    let router = Router::new().route(
        "/",
        get(move || {
            let guard = Left(Arc::clone(&counter));
            started.notify_one();
            async move {
                std::future::pending::<()>().await;
                drop(guard);
            }
        }),
    );
    let fixture = Fixture::start().await;
    let replica = Replica::start(router).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    begun.notified().await;
    drop(wire);
    until(async || left.load(Ordering::SeqCst) == 1).await;
    fixture.until_in_flight(0).await;
    let metrics = fixture.edge.client().metrics().await.unwrap();
    assert_eq!(metrics.routes.iter().map(|route| route.counts.cancelled).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_stalled_upload_is_answered_408() {
    let limits = Limits { request_body_idle: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let replica = Replica::start(Router::new().fallback(|body: String| async move { body })).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhe").await;
    assert_eq!(wire.answer().await.status, 408);
    assert!(wire.is_closed().await);
    fixture.until_in_flight(0).await;
}
