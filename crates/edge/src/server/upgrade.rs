//! After a 101: bytes both ways until either side ends, counted as one request under way. When the edge drains, or the
//! replica left its table some time ago, a WebSocket is closed between two messages (RFC 6455, status 1001); its client
//! may still say what it has to say, and close in its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, pin::Pin};

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::Edge;
use super::backend::Backend;
use super::body::{Lease, ReplyBody};
use super::proxy::Client;
use super::record::Record;
use super::routing::spread;
use super::websocket::{Frames, GOING_AWAY};

/// Answers 101 and leaves a task behind that carries the bytes.
pub(super) fn switch(
    mut response: Response<Incoming>,
    protocol: HeaderValue,
    ours: OnUpgrade,
    lease: Lease,
    mut record: Record,
    client: &Arc<Client>,
) -> Response<ReplyBody> {
    let theirs = hyper::upgrade::on(&mut response);
    let edge = Arc::clone(&client.edge);
    let signals = Arc::clone(&client.signals);
    signals.set_switched();
    let idle = edge.limits.upgraded_idle;
    let tracked = Arc::clone(&edge);
    let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    let mut answer = Response::new(ReplyBody::switching(signals));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(header::UPGRADE, protocol);
    tracked.tasks.spawn(async move {
        // Both are kept to the end: the count at the replica, and the record that is written then.
        let lease = lease;
        let carried = async {
            let (client_side, replica_side) = tokio::try_join!(ours, theirs)?;
            let parting = is_websocket.then(|| farewell(Arc::clone(&edge), lease.in_flight.backend()));
            Ok::<_, hyper::Error>(copy(client_side, replica_side, parting, idle).await)
        };
        tokio::select! {
            outcome = carried => match outcome {
                Ok((received, sent)) => {
                    record.received(received);
                    record.sent(usize::try_from(sent).unwrap_or(usize::MAX));
                }
                Err(_) => record.broken(),
            },
            () = edge.ended.cancelled() => record.broken(),
        }
        drop(lease);
    });
    answer
}

/// Ends when a WebSocket or a stream of events is to be closed. They do not all end at once: their clients come back at once, too.
pub(super) fn farewell(edge: Arc<Edge>, backend: &Arc<Backend>) -> Farewell {
    let backend = Arc::clone(backend);
    Box::pin(async move {
        tokio::select! {
            () = edge.draining.cancelled() => {}
            () = backend.leaving() => {}
        }
        let turn = edge.farewells.fetch_add(1, Ordering::Relaxed);
        let fraction = f64::from(spread(turn)) / f64::from(u32::MAX);
        tokio::time::sleep(edge.limits.farewell_spread.mul_f64(fraction)).await;
    })
}

pub(super) type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Bytes that came from the client, and from the replica.
async fn copy(client: Upgraded, replica: Upgraded, leave: Option<Farewell>, idle: Duration) -> (u64, u64) {
    let received = Arc::new(AtomicU64::new(0));
    let sent = Arc::new(AtomicU64::new(0));
    let said = Arc::new(AtomicBool::new(false));
    let reply = leave.is_some().then(|| Reply::to(&said));
    let messages = leave.map(|leave| Messages::until(leave, &said));
    let mut client = Side { inner: TokioIo::new(client), read: Arc::clone(&received), messages: None, reply };
    let mut replica = Side { inner: TokioIo::new(replica), read: Arc::clone(&sent), messages, reply: None };
    let mut copying = std::pin::pin!(tokio::io::copy_bidirectional(&mut client, &mut replica));
    let total = || received.load(Ordering::Relaxed) + sent.load(Ordering::Relaxed);
    loop {
        let before = total();
        match tokio::time::timeout(idle, copying.as_mut()).await {
            // How it ended matters to the two sides, not here.
            Ok(_) => break,
            Err(_) if total() == before => break,
            Err(_) => {}
        }
    }
    (received.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
}

/// One end of the tunnel, its bytes counted as they are read.
struct Side {
    inner: TokioIo<Upgraded>,
    read: Arc<AtomicU64>,
    /// On the replica's side of a WebSocket.
    messages: Option<Messages>,
    /// On the client's side of a WebSocket.
    reply: Option<Reply>,
}

/// What comes from the replica, and when it ends with a farewell instead.
struct Messages {
    frames: Frames,
    leave: Farewell,
    stage: Stage,
    said: Arc<AtomicBool>,
}

/// What comes from the client: after the farewell no more than its close frame, and not for ever.
struct Reply {
    frames: Frames,
    said: Arc<AtomicBool>,
    patience: Option<Pin<Box<Sleep>>>,
}

/// How long a client may take to answer the farewell.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Passing,
    /// Up to the end of the frame under way.
    Leaving,
    /// The farewell was said, or the replica closed by itself.
    Over,
}

impl Reply {
    fn to(said: &Arc<AtomicBool>) -> Self {
        Self { frames: Frames::default(), said: Arc::clone(said), patience: None }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.said.load(Ordering::Relaxed) {
            return false;
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        (self.frames.is_closed() && self.frames.at_boundary()) || patience.as_mut().poll(cx).is_ready()
    }
}

impl Messages {
    fn until(leave: Farewell, said: &Arc<AtomicBool>) -> Self {
        Self { frames: Frames::default(), leave, stage: Stage::Passing, said: Arc::clone(said) }
    }

    /// Whether nothing more of the replica's is passed on; what is to be said instead is put into `buf`.
    fn poll_over(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> bool {
        if self.stage == Stage::Passing && self.leave.as_mut().poll(cx).is_ready() {
            self.stage = Stage::Leaving;
        }
        if self.stage == Stage::Leaving && self.frames.is_closed() {
            // The replica said it: what remains is the end of its stream.
            self.stage = Stage::Passing;
            self.leave = Box::pin(std::future::pending());
        }
        if self.stage == Stage::Leaving && self.frames.at_boundary() && buf.remaining() >= GOING_AWAY.len() {
            buf.put_slice(&GOING_AWAY);
            self.stage = Stage::Over;
            self.said.store(true, Ordering::Relaxed);
            // The client's side looks at it from now on.
            cx.waker().wake_by_ref();
            return true;
        }
        self.stage == Stage::Over
    }

    /// How many of the bytes that came are passed on.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        if self.stage == Stage::Leaving {
            return self.frames.up_to_boundary(bytes);
        }
        self.frames.follow(bytes);
        bytes.len()
    }
}

impl AsyncRead for Side {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.messages.as_mut().is_some_and(|messages| messages.poll_over(cx, buf)) {
            return Poll::Ready(Ok(()));
        }
        if this.reply.as_mut().is_some_and(|reply| reply.poll_over(cx)) {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if let Some(reply) = &mut this.reply {
            reply.frames.follow(&buf.filled()[before..]);
        }
        if let (Some(messages), true) = (&mut this.messages, came > 0) {
            let passed = messages.pass(&buf.filled()[before..]);
            buf.set_filled(before + passed);
        }
        this.read.fetch_add(came as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
