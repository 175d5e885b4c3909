//! The generator against a server that answers badly on purpose: what fails must be counted, and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use naru_load::{Kind, Report, Stream, Target};
use tokio_util::sync::CancellationToken;

/// Answers `/good`, `/short`, `/broken` and `/error` as they are named; closes after every third answer.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    for _ in 0..3 {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let path = request.split(' ').nth(1)?;
        let text = match path {
            "/good" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
            "/short" => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
            "/error" => "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nbroken",
        };
        stream.write_all(text.as_bytes()).ok()?;
        if path == "/broken" {
            return None;
        }
    }
    None
}

async fn reports(kind: Kind, paths: &[&str]) -> Vec<Report> {
    let target = Target { plain: server(), tls: None };
    let stream = |path: &&str| Stream {
        name: (*path).to_owned(),
        kind,
        host: "shop.localhost".to_owned(),
        path: (*path).to_owned(),
        rate: 100.0,
        bytes: Some(4),
    };
    let streams: Vec<Stream> = paths.iter().map(stream).collect();
    let stop = CancellationToken::new();
    let end = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        end.cancel();
    });
    naru_load::run(&target, &streams, &stop).await.unwrap()
}

#[tokio::test]
async fn only_whole_and_right_answers_count_as_good() {
    for kind in [Kind::Fresh, Kind::KeepAlive] {
        for report in reports(kind, &["/good", "/short", "/broken", "/error"]).await {
            assert!(report.requests >= 5, "{report:?}");
            let failed = if report.name == "/good" { 0 } else { report.requests };
            assert_eq!(report.failed, failed, "{kind:?} {report:?}");
            assert_eq!(report.latencies_us.len() as u64, report.requests - failed);
        }
    }
}

#[tokio::test]
async fn http2_without_a_listener_for_it_is_refused() {
    let target = Target { plain: server(), tls: None };
    let stream = Stream {
        name: "h2".to_owned(),
        kind: Kind::Http2,
        host: "shop.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 1.0,
        bytes: None,
    };
    assert!(naru_load::run(&target, &[stream], &CancellationToken::new()).await.is_err());
}
