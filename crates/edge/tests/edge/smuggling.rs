//! Bytes that two readers could split into different requests. Behind the edge stands a replica that reads raw bytes
//! and writes down every request it finds: it must find exactly those that were sent, and nobody's answer may become
//! another's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_edge::Limits;

use crate::harness::{Fixture, Wire, backend, key, raw_replica, route};

/// What the replica found, as `METHOD target body`.
#[derive(Clone, Default)]
struct Found(Arc<Mutex<Vec<String>>>);

impl Found {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Reads requests one after the other, strictly, and answers each with what it was.
async fn counting() -> (std::net::SocketAddr, Found) {
    let found = Found::default();
    let book = found.clone();
    let address = raw_replica(move |mut wire| {
        let book = book.clone();
        async move {
            while let Some(request) = next_request(&mut wire).await {
                book.0.lock().unwrap().push(request.clone());
                let answer = if request.contains("/socket") {
                    "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_owned()
                } else {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}", request.len())
                };
                wire.write(answer.as_bytes()).await;
            }
        }
    })
    .await;
    (address, found)
}

async fn next_request(wire: &mut Wire) -> Option<String> {
    while !wire.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
        if !wire.more_whenever().await {
            return None;
        }
    }
    let head = wire.until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let count = |name: &str| head.lines().filter(|line| line.starts_with(name)).count();
    assert!(count("content-length:") + count("transfer-encoding:") <= 1, "{head}");
    assert_eq!(count("host:"), 1, "{head}");
    let body = if let Some(length) = field("content-length:") {
        wire.take(length.parse().unwrap()).await
    } else if field("transfer-encoding:").is_some() {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(wire.until("\r\n").await.trim(), 16).unwrap();
            if size == 0 {
                while wire.until("\r\n").await != "\r\n" {}
                break body;
            }
            body.extend(wire.take(size).await);
            wire.take(2).await;
        }
    } else {
        Vec::new()
    };
    let line = head.lines().next().unwrap().trim_end_matches(" http/1.1");
    Some(format!("{line} {}", String::from_utf8_lossy(&body)).trim_end().to_owned())
}

struct Stage {
    fixture: Fixture,
    found: Found,
}

impl Stage {
    async fn set() -> Self {
        let (address, found) = counting().await;
        let fixture =
            Fixture::with(Limits { response_head: Duration::from_secs(5), ..Limits::default() }).await;
        fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
        Self { fixture, found }
    }

    /// Sends the bytes, and then an honest request of somebody else, whose answer must be its own.
    async fn send(&self, bytes: &[u8], answers: usize) -> (Vec<u16>, Vec<String>, Wire) {
        let mut wire = self.fixture.connect().await;
        wire.write(bytes).await;
        let mut statuses = Vec::new();
        for _ in 0..answers {
            statuses.push(wire.answer().await.status);
        }
        let own = self.fixture.get("shop.test", "/honest").await;
        assert_eq!(own.text(), "get /honest", "another's answer after {:?}", String::from_utf8_lossy(bytes));
        let mut found = self.found.take();
        assert_eq!(found.pop().as_deref(), Some("get /honest"));
        (statuses, found, wire)
    }

    async fn refuses(&self, name: &str, bytes: &[u8]) {
        let mut wire = self.fixture.connect().await;
        wire.write(bytes).await;
        assert!(wire.more().await, "{name}: no answer");
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.head);
        assert!(wire.is_closed().await);
        assert!(wire.buffer.is_empty(), "{name}: a second answer");
        let (_, found, _) = self.send(b"GET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n", 1).await;
        assert_eq!(found, ["get /next"], "{name}");
    }

    async fn passes(&self, name: &str, bytes: &[u8], wanted: &[&str]) {
        let (statuses, found, _) = self.send(bytes, wanted.len()).await;
        assert!(statuses.iter().all(|&status| status == 200), "{name}: {statuses:?}");
        assert_eq!(found, wanted, "{name}");
    }
}

/// A request with these lines behind the request line, and then these bytes.
fn post(lines: &str, then: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n{then}").into_bytes()
}

fn get(lines: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n").into_bytes()
}

const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";

#[tokio::test]
async fn what_gives_the_length_twice_or_wrongly_is_refused() {
    let stage = Stage::set().await;
    let end = "0\r\n\r\n";
    let end_and_inner = &format!("{end}{INNER}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, bytes) in [
        ("CL.TE", post(&format!("Content-Length: 6\r\n{chunked}"), &format!("{end}G"))),
        ("TE.CL", post(&format!("{chunked}Content-Length: 4\r\n"), &format!("2c\r\n{INNER}\r\n{end}"))),
        ("TE.TE, identity last", post(&format!("{chunked}Transfer-Encoding: identity\r\n"), end_and_inner)),
        ("TE.TE, twice", post(&format!("{chunked}{chunked}"), end_and_inner)),
        ("TE in one line twice", post("Transfer-Encoding: chunked, chunked\r\n", end_and_inner)),
        ("TE with a prefix", post("Transfer-Encoding: xchunked\r\n", end_and_inner)),
        ("TE with gzip", post("Transfer-Encoding: gzip, chunked\r\n", end_and_inner)),
        ("TE of identity", post("Transfer-Encoding: identity\r\n", "")),
        ("TE empty", post("Transfer-Encoding:\r\n", end)),
        ("TE quoted", post("Transfer-Encoding: \"chunked\"\r\n", end)),
        ("TE with a parameter", post("Transfer-Encoding: chunked;q=1\r\n", end)),
        ("TE behind a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", end_and_inner)),
        ("TE with a blank before the colon", post("Transfer-Encoding : chunked\r\n", end_and_inner)),
        ("TE with a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", end_and_inner)),
        ("TE behind a fold", post("X: y\r\n Transfer-Encoding: chunked\r\n", end_and_inner)),
        ("TE on a folded line", post("Transfer-Encoding:\r\n chunked\r\n", end_and_inner)),
        ("TE behind a bare line feed", post("X: y\nTransfer-Encoding: chunked\r\n", end_and_inner)),
        ("TE behind a bare return", post("X: y\rTransfer-Encoding: chunked\r\n", end_and_inner)),
        ("TE in HTTP/1.0", format!("POST / HTTP/1.0\r\nHost: shop.test\r\n{chunked}\r\n{end}").into_bytes()),
        ("the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd")),
        ("a list of lengths", post("Content-Length: 3, 3\r\n", "abc")),
        ("a length with a sign", post("Content-Length: +3\r\n", "abc")),
        ("a negative length", post("Content-Length: -1\r\n", "abc")),
        ("a hexadecimal length", post("Content-Length: 0x3\r\n", "abc")),
        ("a length with blanks", post("Content-Length: 1 3\r\n", "abc")),
        ("an empty length", post("Content-Length:\r\n", "")),
        ("a length past 64 bits", post("Content-Length: 18446744073709551619\r\n", "abc")),
        ("a length with a blank before the colon", post("Content-Length : 3\r\n", "abc")),
        (
            "the second of two in one write",
            [INNER.as_bytes(), &post(&format!("{chunked}Content-Length: 4\r\n"), end)].concat(),
        ),
    ] {
        stage.refuses(name, &bytes).await;
    }
}

#[tokio::test]
async fn heads_that_readers_take_apart_differently_are_refused() {
    let stage = Stage::set().await;
    for (name, bytes) in [
        ("two hosts", get("Host: other.test\r\n")),
        ("the same host twice", get("Host: shop.test\r\n")),
        ("no host", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("no host in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n".to_vec()),
        ("a host with a path", b"GET / HTTP/1.1\r\nHost: shop.test/x\r\n\r\n".to_vec()),
        ("a host with a blank", b"GET / HTTP/1.1\r\nHost: shop.test other\r\n\r\n".to_vec()),
        ("a host with a user", b"GET / HTTP/1.1\r\nHost: user@shop.test\r\n\r\n".to_vec()),
        ("a host with two ports", b"GET / HTTP/1.1\r\nHost: shop.test:80:80\r\n\r\n".to_vec()),
        ("a host in a list", b"GET / HTTP/1.1\r\nHost: shop.test, other.test\r\n\r\n".to_vec()),
        ("a host with a quote", b"GET / HTTP/1.1\r\nHost: shop.test\";for=1\r\n\r\n".to_vec()),
        ("a host on a folded line", b"GET / HTTP/1.1\r\nHost:\r\n shop.test\r\n\r\n".to_vec()),
        ("a blank before the first field", b"GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n".to_vec()),
        (
            "another host in the target",
            b"GET http://other.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec(),
        ),
        ("a user in the target", b"GET http://u@shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("an authority as target", b"GET shop.test:80 HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("an asterisk as target", b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a relative target", b"GET a/b HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a blank in the target", b"GET /a b HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a control character in the target", b"GET /a\x01b HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a folded line", get("X-A: 1\r\n X-B: folded\r\n")),
        ("a fold with a tab", get("X-A: 1\r\n\tfolded\r\n")),
        ("a bare line feed in the request line", b"GET / HTTP/1.1\nHost: shop.test\r\n\r\n".to_vec()),
        ("bare line feeds only", b"GET / HTTP/1.1\nHost: shop.test\n\n".to_vec()),
        ("a bare line feed at the end", b"GET / HTTP/1.1\r\nHost: shop.test\r\n\n".to_vec()),
        ("a request behind a bare line feed", get("X-A: b\n\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n")),
        ("a bare return in a value", get("X-A: a\rb\r\n")),
        ("a NUL in a value", get("X-A: a\0b\r\n")),
        ("a control character in a value", get("X-A: a\x08b\r\n")),
        ("a DEL in a value", get("X-A: a\x7fb\r\n")),
        ("a NUL in a name", get("X\0A: b\r\n")),
        ("a blank in a name", get("X A: b\r\n")),
        ("a blank behind a name", get("X-A : b\r\n")),
        ("an empty name", get(": b\r\n")),
        ("a line without a colon", get("X-A\r\n")),
        ("a byte past ASCII in a name", "GET / HTTP/1.1\r\nHost: shop.test\r\nX\u{e9}: b\r\n\r\n".into()),
        ("no version", b"GET /\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("an unknown version", b"GET / HTTP/1.7\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a version in lower case", b"GET / http/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("two blanks in the request line", b"GET  / HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("no method", b" / HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("a method with a colon", b"GE:T / HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec()),
        ("bytes before 101", format!("{UPGRADE}{INNER}").into_bytes()),
    ] {
        stage.refuses(name, &bytes).await;
    }
    for method in ["CONNECT shop.test:80", "TRACE /", "TRACK /"] {
        let bytes = format!("{method} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        let answer = stage.fixture.send(&bytes).await;
        if method == "TRACK /" {
            assert_eq!(answer.status, 200, "an unknown method is the replica's to judge");
            assert_eq!(stage.found.take(), ["track /"]);
        } else {
            assert!(matches!(answer.status, 400 | 405), "{method}: {}", answer.head);
            assert!(stage.found.take().is_empty());
        }
    }
}

const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

#[tokio::test]
async fn what_is_plain_passes_as_it_was_meant() {
    let stage = Stage::set().await;
    let length = INNER.len();
    let by_length = post(&format!("Content-Length: {length}\r\n"), INNER);
    let in_chunks =
        post("Transfer-Encoding: chunked\r\n", &format!("{length:x};ext=\"1\"\r\n{INNER}\r\n0\r\n\r\n"));
    let whole = format!("post /a {}", INNER.trim_end());
    for (name, bytes, wanted) in [
        ("a body that looks like a request", by_length.clone(), vec![whole.as_str()]),
        ("the same in a chunk with an extension", in_chunks.clone(), vec![whole.as_str()]),
        (
            "three in one write",
            [by_length, in_chunks, get("")].concat(),
            vec![whole.as_str(), whole.as_str(), "get /a"],
        ),
        (
            "a coding in capitals",
            post("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            vec!["post /a abc"],
        ),
        (
            "a size with zeros",
            post("Transfer-Encoding: chunked\r\n", "0003\r\nabc\r\n000\r\n\r\n"),
            vec!["post /a abc"],
        ),
        ("an empty line first", [b"\r\n".as_slice(), &get("")].concat(), vec!["get /a"]),
        (
            "a whole target",
            b"GET http://shop.test/b?c HTTP/1.1\r\nHost: shop.test\r\n\r\n".to_vec(),
            vec!["get /b?c"],
        ),
        (
            "a GET with a body",
            b"GET /b HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
            vec!["get /b abc"],
        ),
        // The field is not the framing's, but gateways that turn fields into variables may think so.
        (
            "names with underscores",
            post("Content_Length: 9\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n", "abc"),
            vec!["post /a abc"],
        ),
        // `Connection` names fields of this connection; those that frame and address the message are not among them.
        (
            "a named length",
            post("Connection: content-length, host\r\nContent-Length: 3\r\n", "abc"),
            vec!["post /a abc"],
        ),
        (
            "trailers that would be framing",
            post(
                "Transfer-Encoding: chunked\r\nTrailer: Content-Length, Host\r\n",
                "3\r\nabc\r\n0\r\nContent-Length: 50\r\nHost: b\r\n\r\n",
            ),
            vec!["post /a abc"],
        ),
    ] {
        stage.passes(name, &bytes, &wanted).await;
    }
}

#[tokio::test]
async fn chunks_that_are_not_what_they_say_end_the_request() {
    let stage = Stage::set().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, body) in [
        ("a size past 64 bits", format!("10000000000000003\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("a size that is no number", format!("x\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("a size with a sign", format!("+3\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("a size with a prefix", format!("0x3\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("no size", format!("\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("a chunk that is longer", format!("3\r\nabcd\r\n0\r\n\r\n{INNER}")),
        ("a bare line feed behind the size", format!("3\nabc\r\n0\r\n\r\n{INNER}")),
        ("a bare line feed in an extension", format!("3;a\nb\r\nabc\r\n0\r\n\r\n{INNER}")),
        ("a bare line feed behind the chunk", format!("3\r\nabc\n0\r\n\r\n{INNER}")),
        ("an endless extension", format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(200_000))),
        ("endless trailers", format!("3\r\nabc\r\n0\r\n{}\r\n", "x: y\r\n".repeat(40_000))),
    ] {
        let mut wire = stage.fixture.connect().await;
        wire.write(&post(chunked, &body)).await;
        while wire.more().await {}
        let text = String::from_utf8_lossy(&wire.buffer).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{name}: {text}");
        let own = stage.fixture.get("shop.test", "/honest").await;
        assert_eq!(own.text(), "get /honest", "{name}");
        // The replica saw a beginning at most, and then the end of the connection.
        assert_eq!(stage.found.take(), ["get /honest"], "{name}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_leaves_a_plain_connection() {
    let stage = Stage::set().await;
    let mut wire = stage.fixture.connect().await;
    wire.write(UPGRADE.as_bytes()).await;
    assert_eq!(wire.answer().await.status, 426);
    // What follows is read as a request and checked as one; nothing tunnels past the rules.
    wire.write(b"GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "get /a");
    wire.write(b"GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 404);
    assert_eq!(stage.found.take(), ["get /socket", "get /a"]);
}

#[tokio::test]
async fn answers_that_readers_take_apart_differently_do_not_pass() {
    let answers = [
        ("both lengths", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 502),
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 502),
        ("a coding nobody asked for", "Transfer-Encoding: gzip\r\n\r\nabc", 502),
        ("another coding below chunks", "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 502),
        ("a folded line", "X-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc", 502),
        ("a NUL", "X-A: b\0c\r\nContent-Length: 3\r\n\r\nabc", 502),
        ("plain", "Content-Length: 3\r\n\r\nabc", 200),
    ];
    for (name, rest, status) in answers {
        let address = raw_replica(move |mut wire| async move {
            wire.until("\r\n\r\n").await;
            wire.write(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()).await;
            wire.more_whenever().await;
        })
        .await;
        let fixture = Fixture::start().await;
        fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
        let answer = fixture.get("shop.test", "/").await;
        assert_eq!(answer.status, status, "{name}: {}", answer.head);
    }
}

#[tokio::test]
async fn an_answer_too_many_reaches_nobody() {
    // Answers each request, and then another that nobody sent.
    let address = raw_replica(|mut wire| async move {
        while let Some(request) = next_request(&mut wire).await {
            let own = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}", request.len());
            wire.write(format!("{own}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").as_bytes()).await;
        }
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
    for number in 0..50 {
        let answer = fixture.get("shop.test", &format!("/{number}")).await;
        assert_eq!(answer.text(), format!("get /{number}"));
    }
}

#[tokio::test]
async fn a_protocol_that_was_not_asked_for_is_not_spoken() {
    let address = raw_replica(|mut wire| async move {
        wire.until("\r\n\r\n").await;
        wire.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
            .await;
        wire.more_whenever().await;
    })
    .await;
    let fixture = Fixture::start().await;
    fixture.publish(1, vec![route("shop.test", "/", vec![backend(key(1, 0), address, 1)])]).await;
    assert_eq!(fixture.get("shop.test", "/").await.status, 502);
    assert_eq!(fixture.send(UPGRADE).await.status, 502);
}
