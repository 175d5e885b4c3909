//! One accepted connection: TLS where the port asks for it, then HTTP/1.1 or HTTP/2, until it ends or the edge
//! drains. What becomes of a request is `proxy`; what is particular to HTTP/2 is `http2`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::head::Origin;
use super::proxy::{self, Client};
use super::wire::{Abort, Signals, Wire};
use super::{Edge, http2};

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// HTTP/1.1, and HTTP/2 to clients that know it is spoken here (RFC 9113 §3.3).
    Plain,
    /// TLS, within which ALPN chooses between the two.
    Tls,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

const TOO_MANY: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 10\r\ncontent-type: \
    text/plain; charset=utf-8\r\ncontent-length: 36\r\n\r\nToo many connections of this client\n";

/// A connection that was accepted.
pub(super) struct Arrival {
    pub(super) edge: Arc<Edge>,
    pub(super) peer: SocketAddr,
    pub(super) worker: usize,
    pub(super) port: Port,
}

impl Arrival {
    /// Carries it to its end. Clients come and go, and send nonsense; what they were answered is in the access log.
    pub(super) async fn carry(self, stream: TcpStream) {
        let most = self.edge.limits.connections_per_client;
        let Some(_guest) = self.edge.guests.enter(self.peer.ip(), most) else {
            return self.turn_away(&stream);
        };
        let _ = stream.set_nodelay(true);
        self.edge.connections.fetch_add(1, Ordering::Relaxed);
        let edge = Arc::clone(&self.edge);
        let _count = CountDown(&edge.connections);
        match self.port {
            Port::Plain => match self.opening(&stream).await {
                Some(Protocol::Http1) => self.http1(stream).await,
                // Larger, and rarer: kept out of the memory of the other.
                Some(Protocol::Http2) => Box::pin(self.http2(stream)).await,
                None => {}
            },
            Port::Tls => Box::pin(self.tls(stream)).await,
        }
    }

    /// Waits until the edge drains and what was on its way then has arrived: a request that meets a closed connection is
    /// lost. It is answered, and told that it was the last.
    async fn over(&self) {
        self.edge.draining.cancelled().await;
        tokio::time::sleep(self.edge.limits.last_requests).await;
    }

    /// A client with too many connections is told where that can be said for nothing.
    fn turn_away(&self, stream: &TcpStream) {
        if self.port == Port::Plain {
            let _ = stream.try_write(TOO_MANY);
        }
    }

    async fn tls(self, stream: TcpStream) {
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.edge.limits.handshake, self.handshake(stream)) => shaken,
            () = self.over() => return,
        };
        let Ok(Ok(stream)) = shaken else { return };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await;
        } else {
            self.http1(stream).await;
        }
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.readable().await?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.edge.tls));
        let mut handshake = std::pin::pin!(acceptor.accept(stream));
        match self.edge.workers.begin(self.worker, handshake.as_mut()).await {
            Poll::Ready(shaken) => shaken,
            Poll::Pending => handshake.await,
        }
    }

    /// Which protocol the first bytes belong to; none when nothing comes. Nothing is taken from the stream.
    async fn opening(&self, stream: &TcpStream) -> Option<Protocol> {
        tokio::select! {
            biased; // What has come already is served.
            opening = tokio::time::timeout(self.edge.limits.client_idle, peek(stream)) => opening.ok()?,
            () = self.over() => None,
        }
    }

    async fn http1<S>(self, stream: S)
    where
        S: Abort + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let signals = Arc::new(Signals::default());
        let limits = &self.edge.limits;
        let wire = Wire::new(stream, Arc::clone(&signals), limits.head_read, limits.client_write_idle);
        let client = self.client(signals);
        let service = service_fn(move |request| proxy::answer(Arc::clone(&client), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.client_idle)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(64 * 1024))
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = self.over() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = self.edge.ended.cancelled() => {}
        }
    }

    async fn http2<S>(self, stream: S)
    where
        S: Abort + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.client(Arc::new(Signals::default()));
        let wire = Wire::unwatched(stream, self.edge.limits.client_write_idle);
        http2::carry(client, wire).await;
    }

    fn client(&self, signals: Arc<Signals>) -> Arc<Client> {
        let secure = self.port == Port::Tls;
        Arc::new(Client {
            edge: Arc::clone(&self.edge),
            signals,
            peer: self.peer.ip(),
            secure,
            origin: Origin::new(self.peer, secure),
            worker: self.worker,
        })
    }
}

/// The beginning of what an HTTP/2 client sends first (RFC 9113 §3.4). No method of HTTP/1.1 has this name.
const PREFACE: &[u8] = b"PRI ";
/// How long is waited for the rest of a preface that comes in pieces before it is looked at again, and how often.
const PIECES: Duration = Duration::from_millis(10);
const LOOKS: u32 = 100;

async fn peek(stream: &TcpStream) -> Option<Protocol> {
    let mut first = [0; PREFACE.len()];
    for _ in 0..LOOKS {
        let seen = stream.peek(&mut first).await.ok()?;
        match &first[..seen] {
            [] => return None,
            PREFACE => return Some(Protocol::Http2),
            piece if PREFACE.starts_with(piece) => tokio::time::sleep(PIECES).await,
            _ => break,
        }
    }
    Some(Protocol::Http1)
}

struct CountDown<'a>(&'a AtomicUsize);

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
