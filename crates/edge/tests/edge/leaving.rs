//! What has to leave a replica or the edge: told in time, in its own words, and let finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::any;
use futures::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use naru_edge::Limits;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Said;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Fixture, Replica, SOON, single, until};
use crate::tls_harness::{Http2, get};

type Socket = WebSocketStream<TcpStream>;

/// Sends messages back, large ones in answer to `large`.
async fn echo() -> Replica {
    let router = Router::new().route(
        "/socket",
        any(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message)) = socket.recv().await {
                    let answer = match &message {
                        Message::Text(text) if text.as_str() == "large" => Message::binary(vec![1; 1 << 20]),
                        Message::Close(_) => return,
                        _ => message,
                    };
                    if socket.send(answer).await.is_err() {
                        return;
                    }
                }
            })
        }),
    );
    Replica::start(router).await
}

async fn open(fixture: &Fixture) -> Socket {
    let stream = TcpStream::connect(fixture.edge.address()).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async("ws://shop.test/socket", stream).await.unwrap();
    socket
}

async fn next(socket: &mut Socket) -> Said {
    let said = tokio::time::timeout(SOON * 3, socket.next()).await.expect("nothing came");
    said.expect("the stream ended").expect("it was no orderly end")
}

async fn is_told_to_go(socket: &mut Socket) {
    match next(socket).await {
        Said::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    // The client closes in its turn, and the stream ends in order.
    let end = tokio::time::timeout(SOON * 3, socket.next()).await.expect("it stayed open");
    assert!(end.is_none(), "after the farewell: {end:?}");
}

#[tokio::test]
async fn a_thousand_websockets_leave_in_order_when_the_edge_stops() {
    let limits = Limits { farewell_spread: Duration::from_secs(1), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let replica = echo().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut sockets = Vec::new();
    for _ in 0..1_000 {
        let mut socket = open(&fixture).await;
        socket.send(Said::text("hello")).await.unwrap();
        assert_eq!(next(&mut socket).await.into_text().unwrap().as_str(), "hello");
        sockets.push(socket);
    }
    assert_eq!(fixture.in_flight().await, 1_000);
    let told = async {
        futures::future::join_all(sockets.iter_mut().map(is_told_to_go)).await;
    };
    let (in_time, ()) = tokio::join!(fixture.edge.drain(SOON * 3), told);
    assert!(in_time, "something had to be broken off");
}

#[tokio::test]
async fn a_message_under_way_is_finished_before_the_farewell() {
    let limits = Limits { farewell_spread: Duration::ZERO, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let replica = echo().await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut socket = open(&fixture).await;
    socket.send(Said::text("large")).await.unwrap();
    // More than the sockets between hold: it stands in the middle when the farewell is due.
    until(async || fixture.in_flight().await == 1).await;
    let reading = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(next(&mut socket).await.into_data().len(), 1 << 20);
        is_told_to_go(&mut socket).await;
    };
    let (in_time, ()) = tokio::join!(fixture.edge.drain(SOON * 3), reading);
    assert!(in_time);
}

#[tokio::test]
async fn websockets_leave_a_replica_that_left_the_table() {
    let limits = Limits {
        farewell: Duration::from_millis(200),
        farewell_spread: Duration::from_millis(50),
        probe: Duration::from_millis(20),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits).await;
    let (old, new) = (echo().await, echo().await);
    fixture.publish(1, single("shop.test", &old)).await;
    let mut socket = open(&fixture).await;
    // A new table that still names the replica changes nothing.
    fixture.publish(2, single("shop.test", &old)).await;
    let quiet = tokio::time::timeout(Duration::from_millis(500), socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    fixture.publish(3, single("shop.test", &new)).await;
    is_told_to_go(&mut socket).await;
    drop(socket);
    fixture.until_in_flight(0).await;
    // Back in the table, the replica is as good as any.
    fixture.publish(4, single("shop.test", &old)).await;
    let mut socket = open(&fixture).await;
    let quiet = tokio::time::timeout(Duration::from_millis(500), socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(old.count(), 2);
}

#[tokio::test]
async fn answers_of_a_draining_edge_give_their_connection_back() {
    let fixture = Fixture::start().await;
    let go = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&go);
    let router = Router::new().fallback(move || {
        let go = Arc::clone(&waits);
        async move {
            go.notified().await;
            "done"
        }
    });
    let replica = Replica::start(router).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    until(async || replica.count() == 1).await;
    let finishing = async {
        until(async || {
            TcpStream::connect(fixture.edge.address()).await.is_err() || fixture.in_flight().await == 1
        })
        .await;
        go.notify_one();
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text(), answer.header("connection")), (200, "done", Some("close")));
        assert!(wire.is_closed().await);
    };
    let (in_time, ()) = tokio::join!(fixture.edge.drain(SOON), finishing);
    assert!(in_time);
}

/// Answers with what the test sends, piece by piece, as this kind of content.
async fn streaming(kind: &'static str) -> (Replica, mpsc::UnboundedSender<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(receiver));
    let router = Router::new().fallback(move || {
        let receiver = Arc::clone(&receiver);
        async move {
            let pieces = futures::stream::unfold(receiver, |receiver| async move {
                let piece = receiver.lock().await.recv().await?;
                Some((Ok::<_, std::io::Error>(Bytes::from(piece)), receiver))
            });
            ([("content-type", kind)], Body::from_stream(pieces))
        }
    });
    (Replica::start(router).await, sender)
}

fn hasty() -> Limits {
    Limits {
        farewell: Duration::from_millis(200),
        farewell_spread: Duration::ZERO,
        probe: Duration::from_millis(20),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_stream_of_events_ends_between_two_of_them_when_its_replica_leaves() {
    let fixture = Fixture::with(hasty()).await;
    let (old, events) = streaming("text/event-stream; charset=utf-8").await;
    let new = Replica::named("new").await;
    fixture.publish(1, single("shop.test", &old)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    events.send("data: 1\n\ndata: 2, first half").unwrap();
    wire.until("first half").await;
    fixture.publish(2, single("shop.test", &new)).await;
    // It is due by now, and it waits for the end of the event.
    let quiet = tokio::time::timeout(Duration::from_millis(600), wire.more_whenever()).await;
    assert!(quiet.is_err(), "{:?}", String::from_utf8_lossy(&wire.buffer));
    assert_eq!(fixture.in_flight().await, 1);
    events.send(", second half\n\ndata: 3\n\n").unwrap();
    let rest = wire.until("\r\n0\r\n\r\n").await;
    assert!(rest.contains(", second half\n\n") && !rest.contains("data: 3"), "{rest}");
    fixture.until_in_flight(0).await;
    // The connection is whole: the client comes back on it, and elsewhere.
    wire.write(b"GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "new");
    assert_eq!(old.count(), 1);
}

#[tokio::test]
async fn a_quiet_stream_of_events_ends_at_once_and_by_http2_with_the_end_of_the_stream() {
    let fixture = Fixture::with(hasty()).await;
    let (old, events) = streaming("text/event-stream").await;
    let new = Replica::named("new").await;
    fixture.publish(1, single("shop.test", &old)).await;
    let connection = Http2::plain(fixture.edge.address()).await;
    let (head, mut body) = connection.begin(get("http://shop.test/events")).await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    events.send("data: 1\n\n").unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n");
    fixture.publish(2, single("shop.test", &new)).await;
    let rest = tokio::time::timeout(SOON * 3, body.collect()).await.expect("it stayed open");
    assert!(rest.expect("it was reset").to_bytes().is_empty());
    assert_eq!(connection.get("http://shop.test/events").await.body(), "new");
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn streams_of_anything_else_stay_to_their_end() {
    let fixture = Fixture::with(hasty()).await;
    let (old, pieces) = streaming("application/x-ndjson").await;
    let new = Replica::named("new").await;
    fixture.publish(1, single("shop.test", &old)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    pieces.send("{}\n\n").unwrap();
    wire.until("{}\n\n").await;
    fixture.publish(2, single("shop.test", &new)).await;
    let quiet = tokio::time::timeout(Duration::from_millis(600), wire.more_whenever()).await;
    assert!(quiet.is_err(), "{:?}", String::from_utf8_lossy(&wire.buffer));
    pieces.send("{\"last\":1}\n").unwrap();
    wire.until("last").await;
    drop(pieces);
    wire.until("0\r\n\r\n").await;
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn requests_on_their_way_when_the_edge_drains_are_answered_as_the_last() {
    let fixture = Fixture::with(Limits { last_requests: SOON, ..Limits::default() }).await;
    let replica = Replica::named("one").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    let ask = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let mut kept = fixture.connect().await;
    kept.write(ask).await;
    assert_eq!(kept.answer().await.header("connection"), None);
    let mut fresh = fixture.connect().await;
    let edge = Arc::clone(fixture.edge.edge());
    until(async || edge.metrics().await.connections == 2).await;
    let draining = tokio::spawn(async move { edge.drain(SOON).await });
    tokio::task::yield_now().await;
    for wire in [&mut kept, &mut fresh] {
        wire.write(ask).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(wire.is_closed().await);
    }
    assert!(draining.await.unwrap(), "nothing had to be broken off");
}
