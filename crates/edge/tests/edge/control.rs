//! Publishing, counting, holding, and what survives a restart.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use naru_edge::Limits;
use naru_edge::control::ControlError;
use naru_edge::process::in_process;
use naru_edge::server::AccessLog;
use naru_model::Generation;
use std::sync::Arc;

use crate::harness::{Fixture, Replica, TestClock, Wire, environment, held, route, single, table};

#[tokio::test]
async fn a_lower_generation_is_refused_and_an_equal_one_replaces() {
    let fixture = Fixture::start().await;
    let (one, two) = (Replica::named("one").await, Replica::named("two").await);
    let client = fixture.edge.client();
    fixture.publish(5, single("shop.test", &one)).await;
    let stale = client.publish(&table("production", single("shop.test", &two)), Generation(4)).await;
    assert!(matches!(stale, Err(ControlError::Stale { applied: Generation(5) })), "{stale:?}");
    assert_eq!(fixture.get("shop.test", "/").await.text(), "one");
    fixture.publish(5, single("shop.test", &two)).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "two");
    assert_eq!(client.tables().await.unwrap()[&environment("production")], Generation(5));

    // Off the edge and back: an environment that was made again counts from the start.
    fixture.publish(6, Vec::new()).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 404);
    assert!(client.tables().await.unwrap().is_empty());
    fixture.publish(1, single("shop.test", &one)).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "one");
}

#[tokio::test]
async fn an_equal_table_keeps_its_time() {
    let fixture = Fixture::start().await;
    let one = Replica::named("one").await;
    let since = async || {
        let seen = fixture.edge.client().status(&environment("production")).await.unwrap();
        seen.applied.unwrap().since
    };
    fixture.publish(1, single("shop.test", &one)).await;
    let first = since().await;
    fixture.publish(2, single("shop.test", &one)).await;
    assert_eq!(since().await, first);
    fixture.publish(3, single("other.test", &one)).await;
    assert!(since().await > first);
}

#[tokio::test]
async fn bad_tables_are_refused_and_change_nothing() {
    let fixture = Fixture::start().await;
    let one = Replica::named("one").await;
    fixture.publish(1, single("shop.test", &one)).await;
    let client = fixture.edge.client();
    let bad = [
        table("production", vec![route("Shop.test", "/", vec![])]),
        table("production", vec![route("shop.test", "x", vec![])]),
        table("production", vec![route("a.test", "/", vec![]), route("a.test", "/", vec![])]),
        table("staging", single("shop.test", &one)),
    ];
    for table in bad {
        let refused = client.publish(&table, Generation(9)).await;
        let Err(ControlError::Refused(problem)) = refused else { panic!("{refused:?}") };
        assert_eq!(problem.code, "edge.table-refused");
    }
    assert_eq!(fixture.get("shop.test", "/").await.text(), "one");
    assert_eq!(client.tables().await.unwrap().len(), 1);
}

#[tokio::test]
async fn held_requests_wait_and_none_fails() {
    let fixture = Fixture::start().await;
    fixture.publish(1, held("shop.test")).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut wire = fixture.connect().await;
        wire.write(b"POST /x HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello").await;
        waiting.push(wire);
    }
    crate::harness::until(async || fixture.edge.client().metrics().await.unwrap().held == 50).await;
    let replica = Replica::start(axum::Router::new().fallback(|body: String| async move { body })).await;
    fixture.publish(2, single("shop.test", &replica)).await;
    let released = std::time::Instant::now();
    for wire in &mut waiting {
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
    }
    assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
    assert_eq!(replica.count(), 50);
    assert_eq!(fixture.edge.client().metrics().await.unwrap().held, 0);
}

#[tokio::test]
async fn a_full_waiting_room_and_a_long_hold_answer_503() {
    let limits = Limits { held_requests: 2, hold: Duration::from_millis(700), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    fixture.publish(1, held("shop.test")).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut wire = fixture.connect().await;
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nAccept: application/json\r\n\r\n").await;
        waiting.push(wire);
    }
    crate::harness::until(async || fixture.edge.client().metrics().await.unwrap().held == 2).await;
    let over = fixture.get("shop.test", "/").await;
    assert_eq!(over.status, 503);
    assert_eq!(over.header("retry-after"), Some("10"));
    assert!(over.text().contains("edge.hold-full"), "{}", over.text());
    for wire in &mut waiting {
        let answer = wire.answer().await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("edge.hold-over") && answer.text().contains("\"service\":\"web\""));
    }
}

#[tokio::test]
async fn requests_of_an_earlier_table_stay_counted() {
    let fixture = Fixture::start().await;
    let release = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&release);
    let slow = Replica::start(axum::Router::new().fallback(move || {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            "slow"
        }
    }))
    .await;
    fixture.publish(1, single("shop.test", &slow)).await;
    let mut wire = fixture.connect().await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    fixture.until_in_flight(1).await;
    let new = Replica::named("new").await;
    let mut routes = single("shop.test", &new);
    routes[0].backends[0].replica.revision = naru_model::RevisionNumber(2);
    fixture.publish(2, routes).await;
    let seen = fixture.edge.client().status(&environment("production")).await.unwrap();
    assert_eq!(seen.in_flight.len(), 1);
    assert_eq!(seen.in_flight[0].replica.revision.0, 1);
    release.notify_one();
    assert_eq!(wire.answer().await.text(), "slow");
    fixture.until_in_flight(0).await;
}

#[tokio::test]
async fn tables_survive_a_restart_and_a_torn_file_does_not_stop_it() {
    let replica = Replica::named("kept").await;
    let data = tempfile::tempdir().unwrap();
    let start = || {
        let listen = "127.0.0.1:0".parse().unwrap();
        in_process(data.path(), listen, Limits::default(), AccessLog::Off, Arc::new(TestClock))
    };
    let get = async |address| {
        let mut wire = Wire::connect(address).await;
        wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
        wire.answer().await.status
    };
    let first = start().await.unwrap();
    first.client().publish(&table("production", single("shop.test", &replica)), Generation(7)).await.unwrap();
    first.drain(Duration::from_secs(1)).await;

    let second = start().await.unwrap();
    assert_eq!(get(second.address()).await, 200);
    let stale = second.client().publish(&table("production", Vec::new()), Generation(6)).await;
    assert!(matches!(stale, Err(ControlError::Stale { .. })));
    second.drain(Duration::from_secs(1)).await;

    let file = data.path().join("edge/table.json");
    let whole = std::fs::read(&file).unwrap();
    for torn in [&whole[..whole.len() / 2], b"", b"{\"version\":99,\"tables\":[]}", b"\0\0\0"] {
        std::fs::write(&file, torn).unwrap();
        let next = start().await.unwrap();
        assert_eq!(get(next.address()).await, 404);
        assert!(data.path().join("edge/table.json.invalid").exists());
        next.client()
            .publish(&table("production", single("shop.test", &replica)), Generation(1))
            .await
            .unwrap();
        assert_eq!(get(next.address()).await, 200);
        next.drain(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn the_control_socket_is_for_its_owner_only() {
    let fixture = Fixture::start().await;
    for (name, mode) in [("", 0o700), ("control.sock", 0o600), ("sockets.sock", 0o600)] {
        let found = std::fs::metadata(fixture.data.path().join("edge").join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
    }
    fixture.publish(1, Vec::new()).await;
    let file = std::fs::metadata(fixture.data.path().join("edge/table.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_long_data_path_is_no_obstacle() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let edge =
        in_process(&deep, listen, Limits::default(), AccessLog::Off, Arc::new(TestClock)).await.unwrap();
    assert_eq!(edge.client().about().await.unwrap().pid, std::process::id());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let data = tempfile::tempdir().unwrap();
    let client = naru_edge::control::Client::of(data.path());
    assert!(matches!(client.about().await, Err(ControlError::Unreachable(_))));
}
