//! TLS: which certificate, which protocol, what follows from having one, and what handshakes may not do.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use naru_edge::control::ControlError;
use naru_edge::process::in_process;
use naru_edge::server::AccessLog;
use naru_edge::{Limits, TlsTable};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Fixture, Replica, SOON, TestClock, Wire, single};
use crate::tls_harness::{Authority, Http2, shake};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// An edge with a replica on `shop.test`, and a certificate for it.
async fn secured(authority: &Authority) -> (Fixture, Replica) {
    let fixture = Fixture::start().await;
    let mirror = Replica::mirror().await;
    fixture.publish(1, single("shop.test", &mirror)).await;
    fixture.edge.client().secure(&authority.table(&["shop.test"])).await.unwrap();
    (fixture, mirror)
}

async fn http1(stream: tokio_rustls::client::TlsStream<tokio::net::TcpStream>, request: &str) -> String {
    let mut stream = stream;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the answer ends").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn alpn_chooses_the_protocol_and_replicas_hear_of_https() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    let address = fixture.edge.tls_address();

    let stream = authority.connect(address, "shop.test", BOTH).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let seen = Http2::on(stream).await.get("https://shop.test/x").await;
    assert!(seen.body().contains("x-forwarded-proto: https\n"), "{}", seen.body());
    assert!(seen.body().contains("proto=https\n"), "{}", seen.body());

    for protocols in [&["http/1.1"][..], &[]] {
        let stream = authority.connect(address, "shop.test", protocols).await.unwrap();
        let answer = http1(stream, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("x-forwarded-proto: https\n"), "{answer}");
    }
    let old = Arc::new(authority.client(BOTH, &[&rustls::version::TLS12]));
    let stream = shake(&old, address, "shop.test").await.unwrap();
    assert_eq!(Http2::on(stream).await.get("https://shop.test/").await.status(), 200);
    assert!(authority.connect(address, "shop.test", &["spdy/3"]).await.is_err());
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_change_without_a_reload() {
    let (first, second) = (Authority::new(), Authority::new());
    let (fixture, _mirror) = secured(&first).await;
    let address = fixture.edge.tls_address();
    let client = fixture.edge.client();
    client.secure(&first.table(&["shop.test", "other.test"])).await.unwrap();

    let connected = Http2::on(first.connect(address, "shop.test", BOTH).await.unwrap()).await;
    assert_eq!(connected.get("https://shop.test/").await.status(), 200);
    first.connect(address, "other.test", BOTH).await.unwrap();
    // Nobody is shown a certificate of somebody else: not who asks for an unknown name, nor who names none.
    for unknown in ["unknown.test", "127.0.0.1"] {
        let error = first.connect(address, unknown, BOTH).await.unwrap_err();
        assert!(error.to_string().contains("AccessDenied"), "{unknown}: {error}");
    }

    client.secure(&second.table(&["shop.test"])).await.unwrap();
    assert!(first.connect(address, "shop.test", BOTH).await.is_err(), "the new certificate is another's");
    second.connect(address, "shop.test", BOTH).await.unwrap();
    assert!(second.connect(address, "other.test", BOTH).await.is_err(), "its certificate was taken away");
    assert_eq!(connected.get("https://shop.test/").await.status(), 200, "an open connection goes on");
    let seen = client.tls().await.unwrap();
    assert_eq!(seen.hosts, BTreeMap::from([("shop.test".to_owned(), false)]));
}

#[tokio::test]
async fn an_unusable_certificate_changes_nothing() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    let client = fixture.edge.client();
    let good = authority.table(&["shop.test"]);
    let mut mixed = good.clone();
    mixed.certificates[0].key = authority.sign("shop.test").key;
    let mut cut = good.clone();
    cut.certificates[0].chain.truncate(200);
    let mut empty = good.clone();
    empty.certificates[0].chain.clear();
    for bad in [mixed, cut, empty] {
        let Err(ControlError::Refused(problem)) = client.secure(&bad).await else { panic!("it is refused") };
        assert_eq!(problem.code, "edge.tls-refused");
        assert!(problem.cause[0].contains("shop.test"), "{problem}");
        assert!(!problem.to_string().contains("PRIVATE KEY"), "{problem}");
    }
    authority.connect(fixture.edge.tls_address(), "shop.test", BOTH).await.unwrap();
}

#[tokio::test]
async fn certificates_are_kept_for_the_next_edge_where_nobody_else_reads_them() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    let file = fixture.data.path().join("edge/tls.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fixture.edge.client().about().await.unwrap().persisted);
    fixture.edge.drain(Duration::ZERO).await;

    let listen = "127.0.0.1:0".parse().unwrap();
    let start =
        || in_process(fixture.data.path(), listen, Limits::default(), AccessLog::Off, Arc::new(TestClock));
    let next = start().await.unwrap();
    authority.connect(next.tls_address(), "shop.test", BOTH).await.unwrap();
    next.drain(Duration::ZERO).await;

    std::fs::write(&file, "{\"version\": 1, \"tab").unwrap();
    let after = start().await.unwrap();
    assert!(authority.connect(after.tls_address(), "shop.test", BOTH).await.is_err());
    assert_eq!(after.client().tls().await.unwrap().hosts.len(), 0);
    assert!(fixture.data.path().join("edge/tls.json.invalid").exists());
}

#[tokio::test]
async fn plain_requests_are_sent_on_but_not_challenges() {
    let authority = Authority::new();
    let (fixture, mirror) = secured(&authority).await;
    let mut table = authority.table(&["shop.test"]);
    table.port = 8443;
    table.certificates[0].hosts[0].redirect = true;
    table.challenges.insert("tok-1".into(), "tok-1.thumb".into());
    fixture.edge.client().secure(&table).await.unwrap();

    let answer = fixture.get("Shop.Test:8080", "/a?b=c%20d").await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), Some("https://shop.test:8443/a?b=c%20d"));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("strict-transport-security"), None);
    let answer = fixture
        .send("POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
        .await;
    assert_eq!(answer.status, 308);
    // What is malformed is refused, wherever it would have been sent.
    let twice = "GET / HTTP/1.1\r\nHost: shop.test\r\nHost: shop.test\r\n\r\n";
    assert_eq!(fixture.send(twice).await.status, 400);
    assert_eq!(mirror.count(), 0);

    let challenges = "/.well-known/acme-challenge";
    // The authority asks by whatever name is being proved.
    for host in ["shop.test", "not-yet.test"] {
        let answer = fixture.get(host, &format!("{challenges}/tok-1")).await;
        assert_eq!((answer.status, answer.text()), (200, "tok-1.thumb"));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    }
    assert_eq!(mirror.count(), 0);
    // One that nobody told of may be the service's own.
    assert_eq!(fixture.get("shop.test", &format!("{challenges}/other")).await.status, 200);
    assert_eq!(fixture.get("not-yet.test", &format!("{challenges}/other")).await.status, 404);
    assert_eq!(mirror.count(), 1);

    table.port = 443;
    fixture.edge.client().secure(&table).await.unwrap();
    let answer = fixture.get("shop.test", "/").await;
    assert_eq!(answer.header("location"), Some("https://shop.test/"));
}

#[tokio::test]
async fn browsers_are_told_to_remember_tls_where_that_is_wanted() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    let mut table = authority.table(&["shop.test", "other.test"]);
    table.certificates[0].hosts[0].hsts_s = Some(31_536_000);
    fixture.edge.client().secure(&table).await.unwrap();
    let address = fixture.edge.tls_address();
    let hsts = async |host: &str| {
        let connection = Http2::on(authority.connect(address, host, BOTH).await.unwrap()).await;
        let answer = connection.get(&format!("https://{host}/")).await;
        answer.headers().get("strict-transport-security").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(hsts("shop.test").await.as_deref(), Some("max-age=31536000"));
    assert_eq!(hsts("other.test").await, None);
    assert_eq!(fixture.get("shop.test", "/").await.header("strict-transport-security"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "curl is the client that the edge is tried with")]
async fn curl_speaks_http2_with_it() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    let roots = fixture.data.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let curl = async |port: u16, arguments: &[&str], scheme: &str| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--cacert"]).arg(&roots);
        curl.args(["--resolve", &format!("shop.test:{port}:127.0.0.1"), "--write-out", "%{http_version}"]);
        curl.args(arguments).arg(format!("{scheme}://shop.test:{port}/upload")).env_clear();
        let output = curl.kill_on_drop(true).output().await.expect("curl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let tls = curl(fixture.edge.tls_address().port(), &["--http2", "--data", "a=b"], "https").await;
    assert!(tls.starts_with("POST /upload\n") && tls.ends_with("\n2"), "{tls}");
    let plain = curl(fixture.edge.address().port(), &["--http2-prior-knowledge"], "http").await;
    assert!(plain.starts_with("GET /upload\n") && plain.ends_with("\n2"), "{plain}");
    // An upgrade from HTTP/1.1 (h2c) is not taken up; the request is answered all the same.
    let upgrade = curl(fixture.edge.address().port(), &["--http2"], "http").await;
    assert!(upgrade.ends_with("\n1.1"), "{upgrade}");
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    let (fixture, _mirror) = secured(&authority).await;
    for version in rustls::ALL_VERSIONS {
        let config = Arc::new(authority.client(&["http/1.1"], &[version]));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = shake(&config, fixture.edge.tls_address(), "shop.test").await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind());
            // Tickets come with the answer.
            stream.write_all(GET.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        let resumed = kinds[1] == Some(HandshakeKind::Resumed);
        assert!(resumed && kinds[0] != kinds[1], "{version:?}: {kinds:?}");
    }
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_cut_off() {
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    fixture.edge.client().secure(&TlsTable::default()).await.unwrap();
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"] {
        let mut wire = Wire::connect(fixture.edge.tls_address()).await;
        wire.write(bytes).await;
        assert!(wire.is_closed().await);
        assert!(!wire.buffer.starts_with(b"HTTP"), "{:?}", wire.buffer);
    }
}

#[tokio::test]
async fn large_bodies_and_websockets_pass_through_tls() {
    let authority = Authority::new();
    let fixture = Fixture::start().await;
    let echo = axum::routing::post(async |body: bytes::Bytes| body);
    let socket = axum::routing::get(async |upgrade: axum::extract::WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        })
    });
    let router = axum::Router::new()
        .route("/echo", echo.layer(axum::extract::DefaultBodyLimit::disable()))
        .route("/socket", socket);
    let replica = Replica::start(router).await;
    fixture.publish(1, single("shop.test", &replica)).await;
    fixture.edge.client().secure(&authority.table(&["shop.test"])).await.unwrap();
    let address = fixture.edge.tls_address();

    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let connection = Http2::on(authority.connect(address, "shop.test", BOTH).await.unwrap()).await;
    let request = http::Request::post("https://shop.test/echo")
        .body(http_body_util::Full::new(bytes::Bytes::from(body.clone())))
        .unwrap();
    let answer = connection.begin(request).await.unwrap();
    let echoed = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    assert!(echoed == body, "{} bytes came back", echoed.len());

    let stream = authority.connect(address, "shop.test", &["http/1.1"]).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("wss://shop.test/socket", stream).await.unwrap();
    socket.send("over TLS".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "over TLS");
}
