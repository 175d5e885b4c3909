//! A client's connection below HTTP: watches what hyper hides, and gives up on clients that stall.
//!
//! hyper forgives what another reader of the same bytes may understand differently, and drops the evidence: `framing`
//! looks at the bytes as they arrive, and what it finds is kept for the request. The wire also answers 408 to a head
//! that takes too long, which hyper would only close.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::framing::{Fault, Watch};

/// What the connection and the requests on it tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// What the bytes that arrived cannot be trusted for.
    fault: OnceLock<Fault>,
    /// An answer is under way.
    busy: AtomicBool,
    /// What follows is another protocol.
    switched: AtomicBool,
    /// The end of the connection is the end of the answer: HTTP/1.0.
    closing_ends: AtomicBool,
    /// The answer broke off, and an orderly close would pass it off as whole.
    cut: AtomicBool,
}

impl Signals {
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }
    pub(super) fn begin(&self, version: Version) {
        self.busy.store(true, Ordering::Relaxed);
        self.closing_ends.store(version < Version::HTTP_11, Ordering::Relaxed);
    }
    pub(super) fn end(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }
    pub(super) fn broke_off(&self) {
        self.cut.store(self.closing_ends.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    pub(super) fn set_switched(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }
}

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; \
    charset=utf-8\r\ncontent-length: 47\r\n\r\nThe head of the request did not arrive in time\n";

/// How long a client that was answered may take to close its side, and how much it may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// The connection.
pub(super) struct Wire<S: Abort> {
    stream: S,
    signals: Arc<Signals>,
    /// Absent where the bytes are not HTTP/1.1.
    watch: Option<Watch>,
    head_read: Duration,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_idle: Duration,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

/// A stream that can end so that the other side sees a broken connection.
pub(super) trait Abort {
    /// Closing it resets the connection from now on.
    fn abort(&self);
}

impl Abort for TcpStream {
    fn abort(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Abort for TlsStream<TcpStream> {
    fn abort(&self) {
        self.get_ref().0.abort();
    }
}

impl<S: Abort> Wire<S> {
    /// Carries HTTP/1.1.
    pub(super) fn new(stream: S, signals: Arc<Signals>, head_read: Duration, write_idle: Duration) -> Self {
        Self {
            stream,
            signals,
            watch: Some(Watch::default()),
            head_read,
            head_timer: None,
            write_idle,
            write_timer: None,
            linger: None,
            lingered: 0,
        }
    }

    /// Carries anything.
    pub(super) fn unwatched(stream: S, write_idle: Duration) -> Self {
        let mut wire = Self::new(stream, Arc::default(), Duration::MAX, write_idle);
        wire.watch = None;
        wire
    }

    fn in_head(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::in_head)
    }

    /// Runs while nothing arrives: a head that has begun must end in time.
    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Error>
    where
        S: AsyncWrite + Unpin,
    {
        if !self.in_head()
            || self.signals.busy.load(Ordering::Relaxed)
            || self.signals.switched.load(Ordering::Relaxed)
        {
            self.head_timer = None;
            return Poll::Pending;
        }
        let head_read = self.head_read;
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(head_read)));
        ready!(timer.as_mut().poll(cx));
        // The answer is small and nothing else was written: it fits the empty socket buffer, or is not sent.
        if let Poll::Ready(Ok(_)) = Pin::new(&mut self.stream).poll_write(cx, TIMED_OUT) {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn stalled<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if let Some(timer) = &mut self.write_timer {
                // Cheaper to move on than to make again.
                timer.as_mut().reset(Instant::now() + self.write_idle);
            }
            return result;
        }
        let write_idle = self.write_idle;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_idle)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: Abort> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.signals.cut.load(Ordering::Relaxed) {
            self.stream.abort();
        }
    }
}

impl<S: Abort + AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if !this.signals.switched.load(Ordering::Relaxed)
                    && let Some(watch) = &mut this.watch
                    && let Some(fault) = watch.look(&buf.filled()[before..])
                {
                    let _ = this.signals.fault.set(fault);
                }
                if !this.in_head() {
                    this.head_timer = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_head_timer(cx).map(Err),
        }
    }
}

impl<S: Abort + AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.stalled(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.stalled(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes without losing the answer: as long as unread bytes lie in the kernel, closing resets the connection,
    /// and a reset discards what the client has not read yet. RFC 9112 §9.6.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.signals.switched.load(Ordering::Relaxed) {
            // What the client still sends is the other protocol's, and is read as that.
            return Poll::Ready(Ok(()));
        }
        let timer = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut discarded = [0; 4096];
        while timer.as_mut().poll(cx).is_pending() && this.lingered < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut discarded);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => this.lingered += buf.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_slow_head_is_well_formed() {
        let text = std::str::from_utf8(TIMED_OUT).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
