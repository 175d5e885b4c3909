//! The port of API, pages, git and registry: takes connections within bounds and hands their requests to the router.
//! Who may do what is decided behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// What one connection, and all of them, may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections at once. More wait in the system's queue until one ends.
    connections: usize,
    /// A head must be whole this long after the one before was answered: slow heads and idle connections end.
    head: Duration,
    /// Bytes of a head.
    head_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 1024, head: Duration::from_secs(30), head_bytes: 64 << 10 }
    }
}

/// How long to wait after a connection could not be accepted: descriptors have run out.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves until `stop`, and then what is under way.
pub(super) async fn run(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let ending = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = room.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the API could not be accepted");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let connection = ending.watch(connection(stream, peer, router.clone(), bounds));
        tokio::spawn(async move {
            // A client that goes away is no failure of ours.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    ending.shutdown().await;
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
) -> impl GracefulConnection<Error = hyper::Error> + Send {
    // Small answers go out at once; a system that cannot do that is only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(router.clone(), peer, request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(bounds.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const BOUNDS: Bounds = Bounds { connections: 2, head: Duration::from_millis(300), head_bytes: 8 << 10 };
    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    async fn start() -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(peer));
        let server = tokio::spawn(run(listener, router, BOUNDS, stop.clone()));
        (address, stop, server)
    }

    /// What is read until the server closes, or until nothing came for a second.
    async fn read(stream: &mut TcpStream) -> (String, bool) {
        let (mut text, mut bytes) = (String::new(), [0; 4096]);
        loop {
            match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut bytes)).await {
                Err(_) => return (text, false),
                Ok(Ok(0) | Err(_)) => return (text, true),
                Ok(Ok(read)) => text.push_str(&String::from_utf8_lossy(&bytes[..read])),
            }
        }
    }

    #[tokio::test]
    async fn slow_heads_and_idle_connections_end() {
        let (address, ..) = start().await;
        for said in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", ASK] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said).await.unwrap();
            let since = Instant::now();
            let (text, closed) = read(&mut stream).await;
            assert!(closed && since.elapsed() < Duration::from_secs(1), "{said:?} {text}");
            assert_eq!(text.contains("127.0.0.1"), said == ASK, "{text}");
        }
    }

    #[tokio::test]
    async fn a_long_head_is_refused() {
        let (address, ..) = start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
        let _ = stream.write_all(long.as_bytes()).await;
        let (text, closed) = read(&mut stream).await;
        assert!(closed && !text.contains(" 200 "), "{text}");
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_for_a_place() {
        let (address, ..) = start().await;
        let idle = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(ASK).await.unwrap();
        let mut bytes = [0; 16];
        let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut bytes)).await;
        assert!(early.is_err(), "there is no place yet");
        let (text, _) = read(&mut third).await;
        assert!(text.contains("127.0.0.1"), "the idle ones ended: {text}");
        drop(idle);
    }

    #[tokio::test]
    async fn it_stops_when_told_to() {
        let (address, stop, server) = start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ASK).await.unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), server).await.unwrap().unwrap();
        drop(stream);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
