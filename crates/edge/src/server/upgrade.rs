//! After a 101: bytes both ways until either side ends, counted as one request under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, pin::Pin};

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{Lease, ReplyBody};
use super::proxy::Client;
use super::record::Record;

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
            Ok::<_, hyper::Error>(copy(client_side, replica_side, idle).await)
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

/// Bytes that came from the client, and from the replica.
async fn copy(client: Upgraded, replica: Upgraded, idle: Duration) -> (u64, u64) {
    let received = Arc::new(AtomicU64::new(0));
    let sent = Arc::new(AtomicU64::new(0));
    let mut client = Counted { inner: TokioIo::new(client), read: Arc::clone(&received) };
    let mut replica = Counted { inner: TokioIo::new(replica), read: Arc::clone(&sent) };
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

struct Counted {
    inner: TokioIo<Upgraded>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
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
