//! A client's HTTP/2 connection: its bounds, its end, and how its requests become what `proxy` knows.
//!
//! hyper and h2 refuse what RFC 9113 forbids (§8.2: fields of a connection, such as `Upgrade`) and bound streams, heads
//! and windows. Here is what they leave open: connections without a request, answers that are not read, and, in
//! `frames`, frames that cost the sender nothing.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::Edge;
use super::body::{BodyError, ReplyBody};
use super::frames::Guarded;
use super::proxy::{self, Client};
use super::wire::{Abort, Wire};
use crate::Limits;

/// How long a client that was told to go may keep its connection without a request.
const FAREWELL: Duration = Duration::from_secs(5);

/// Carries a connection to its end.
pub(super) async fn carry<S>(client: Arc<Client>, wire: Wire<S>)
where
    S: Abort + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let edge = Arc::clone(&client.edge);
    let streams = Arc::new(Streams::new(&edge));
    let service = service_fn({
        let streams = Arc::clone(&streams);
        move |request| answer(Arc::clone(&client), Arc::clone(&streams), request)
    });
    let connection = builder(Spawner(Arc::clone(&streams)), &edge.limits)
        .serve_connection(TokioIo::new(Guarded::new(wire, &edge.limits)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = edge.draining.cancelled() => {}
        () = streams.crowded.notified() => {}
        () = streams.idle_for(edge.limits.client_idle) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = edge.ended.cancelled() => {}
        () = streams.idle_for(FAREWELL) => {}
    }
}

fn builder(spawner: Spawner, limits: &Limits) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.stream_window_bytes.saturating_mul(2))
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping);
    builder
}

async fn answer(
    client: Arc<Client>,
    streams: Arc<Streams>,
    mut request: Request<Incoming>,
) -> Result<Response<Watched>, Infallible> {
    // Within the task of the stream, which `Spawner` started.
    let reader = READER.with(Arc::clone);
    as_one_connection(&mut request);
    let response = proxy::answer(Arc::clone(&client), request).await?;
    if client.edge.is_crowded() {
        streams.crowded.notify_one();
    }
    reader.now();
    Ok(response.map(|body| Watched { body, reader }))
}

/// Puts the host where HTTP/1.1 has it, and joins what HTTP/2 may split (RFC 9113 §8.2.3). A `Host` that is there
/// already stays: `head` compares it with the authority.
fn as_one_connection(request: &mut Request<Incoming>) {
    let authority = request.uri().authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    let headers = request.headers_mut();
    if let Some(authority) = authority
        && !headers.contains_key(header::HOST)
    {
        headers.insert(header::HOST, authority);
    }
    join_cookies(headers);
}

fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice()))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// The streams of one connection, together.
struct Streams {
    edge: Arc<Edge>,
    open: AtomicUsize,
    started: AtomicU64,
    crowded: Notify,
}

impl Streams {
    fn new(edge: &Arc<Edge>) -> Self {
        Self {
            edge: Arc::clone(edge),
            open: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            crowded: Notify::new(),
        }
    }

    /// Resolves when there was no request for this long, at most twice as late.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let before = (self.open.load(Ordering::Relaxed), self.started.load(Ordering::Relaxed));
            tokio::time::sleep(limit).await;
            let now = (self.open.load(Ordering::Relaxed), self.started.load(Ordering::Relaxed));
            if before == now && now.0 == 0 {
                return;
            }
        }
    }
}

struct OpenStream(Arc<Streams>);

impl OpenStream {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        streams.started.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs each stream as a task of its own, counted, and ends it when its answer is not read. The task is the only
/// handle on a stream that hyper gives: dropping it resets the stream.
#[derive(Clone)]
struct Spawner(Arc<Streams>);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let edge = &self.0.edge;
        let open = OpenStream::new(&self.0);
        let limit = edge.limits.client_write_idle;
        let reader = Arc::new(Reader::default());
        edge.tasks.spawn(READER.scope(Arc::clone(&reader), async move {
            tokio::select! {
                biased;
                _ = stream => {}
                () = reader.stalls_for(limit) => {}
            }
            drop(open);
        }));
    }
}

tokio::task_local! {
    static READER: Arc<Reader>;
}

/// Since when it is the client's turn to take more of an answer.
struct Reader {
    epoch: Instant,
    /// Milliseconds after `epoch`; [`NOT_ITS_TURN`] while the replica is waited for.
    since: AtomicU64,
}

const NOT_ITS_TURN: u64 = u64::MAX;

impl Default for Reader {
    fn default() -> Self {
        Self { epoch: Instant::now(), since: AtomicU64::new(NOT_ITS_TURN) }
    }
}

impl Reader {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn now(&self) {
        self.since.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn not_its_turn(&self) {
        self.since.store(NOT_ITS_TURN, Ordering::Relaxed);
    }

    /// Resolves when the client has not taken anything for this long, at most half as much later.
    async fn stalls_for(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        loop {
            tokio::time::sleep(limit / 2).await;
            let since = self.since.load(Ordering::Relaxed);
            if since != NOT_ITS_TURN && self.elapsed_ms().saturating_sub(since) >= limit_ms {
                return;
            }
        }
    }
}

/// An answer's body. It is asked for a piece only when the client's window has room.
struct Watched {
    body: ReplyBody,
    reader: Arc<Reader>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.reader.now();
        } else {
            this.reader.not_its_turn();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_came_in_pieces_are_one() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=4"]);
    }
}
