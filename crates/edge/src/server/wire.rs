//! A client's connection below HTTP: watches what hyper hides, and gives up on clients that stall.
//!
//! hyper resolves a request with both Content-Length and Transfer-Encoding, or with a repeated Content-Length, by
//! itself and drops the evidence. The watch looks at heads as they arrive and raises a flag. It also answers 408 to
//! a head that takes too long, which hyper would only close.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What the connection and the requests on it tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// A head gave the body's length twice.
    ambiguous: AtomicBool,
    /// Request bodies that came to their end, or were known to be absent.
    bodies_over: AtomicU64,
    /// An answer is under way.
    busy: AtomicBool,
}

impl Signals {
    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }
    pub(super) fn body_over(&self) {
        self.bodies_over.fetch_add(1, Ordering::Relaxed);
    }
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }
}

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; \
    charset=utf-8\r\ncontent-length: 47\r\n\r\nThe head of the request did not arrive in time\n";

/// How long a client that was answered may take to close its side, and how much it may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// The connection.
pub(super) struct Wire<S> {
    stream: S,
    signals: Arc<Signals>,
    /// Absent where the bytes are not HTTP/1.1.
    watch: Option<HeadWatch>,
    head_read: Duration,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_idle: Duration,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

impl<S> Wire<S> {
    /// Carries HTTP/1.1.
    pub(super) fn new(stream: S, signals: Arc<Signals>, head_read: Duration, write_idle: Duration) -> Self {
        Self { signals, watch: Some(HeadWatch::default()), head_read, ..Self::unwatched(stream, write_idle) }
    }

    /// Carries anything.
    pub(super) fn unwatched(stream: S, write_idle: Duration) -> Self {
        Self {
            stream,
            signals: Arc::default(),
            watch: None,
            head_read: Duration::MAX,
            head_timer: None,
            write_idle,
            write_timer: None,
            linger: None,
            lingered: 0,
        }
    }

    fn in_head(&self) -> bool {
        self.watch.as_ref().is_some_and(HeadWatch::in_head)
    }

    /// Runs while nothing arrives: a head that has begun must end in time.
    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Error>
    where
        S: AsyncWrite + Unpin,
    {
        if !self.in_head() || self.signals.busy.load(Ordering::Relaxed) {
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let bodies_over = this.signals.bodies_over.load(Ordering::Relaxed);
                let watch = this.watch.as_mut();
                if watch.is_some_and(|watch| watch.look(&buf.filled()[before..], bodies_over)) {
                    this.signals.ambiguous.store(true, Ordering::Relaxed);
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
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

/// Follows heads line by line, across reads. Between a head with a body and the signal that the body is over it
/// looks at nothing. A head that shares a read with the end of a body is not seen: hyper still frames it by one
/// rule, and what is sent on is hyper's framing, not the client's.
#[derive(Debug, Default)]
struct HeadWatch {
    state: State,
    /// The beginning of a line that was cut by the end of a read.
    partial: Vec<u8>,
    lengths: u32,
    codings: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for the first byte of a head.
    #[default]
    Between,
    /// Within a head.
    Head,
    /// Within a body, or whatever follows; ends when this count changes.
    Body(u64),
}

/// Enough of a line to know its name.
const NAME_MAX: usize = 32;

impl HeadWatch {
    fn in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Looks at what arrived. True when a head in it gives the length of its body twice.
    fn look(&mut self, mut bytes: &[u8], bodies_over: u64) -> bool {
        if let State::Body(seen) = self.state {
            if seen == bodies_over {
                return false;
            }
            self.state = State::Between;
        }
        let mut found = false;
        while !bytes.is_empty() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                let room = NAME_MAX.saturating_sub(self.partial.len()).min(bytes.len());
                self.partial.extend_from_slice(&bytes[..room]);
                self.state = State::Head;
                return found;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let ends_head = if self.partial.is_empty() {
                self.line(line)
            } else {
                let room = NAME_MAX.min(line.len());
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(&line[..room]);
                let ends = self.line(&whole);
                whole.clear();
                self.partial = whole;
                ends
            };
            if ends_head {
                found |= self.lengths > 1 || self.lengths + self.codings > 1;
                let has_body = self.lengths + self.codings > 0;
                (self.lengths, self.codings) = (0, 0);
                if has_body {
                    self.state = State::Body(bodies_over);
                    return found;
                }
                self.state = State::Between;
            }
        }
        found
    }

    /// One line, at least its beginning. True when it is the empty one at the end of a head.
    fn line(&mut self, line: &[u8]) -> bool {
        match line {
            b"\n" | b"\r\n" => return self.state == State::Head,
            [b'c' | b'C', ..] if named(line, b"content-length") => self.lengths += 1,
            [b't' | b'T', ..] if named(line, b"transfer-encoding") => self.codings += 1,
            _ => {}
        }
        self.state = State::Head;
        false
    }
}

fn named(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len()
        && line[..name.len()].eq_ignore_ascii_case(name)
        && matches!(line[name.len()], b':' | b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&[u8]]) -> bool {
        let mut watch = HeadWatch::default();
        let found: Vec<bool> = pieces.iter().map(|piece| watch.look(piece, 0)).collect();
        found.contains(&true)
    }

    #[test]
    fn lengths_given_twice_are_seen_however_they_are_cut() {
        let bad: &[&[u8]] = &[
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\ncontent-length: 3\r\n\r\n",
            b"POST / HTTP/1.1\nContent-Length: 3\nContent-Length: 3\n\n",
            b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length:3\r\ncontent-length:3\r\n\r\n",
        ];
        for head in bad {
            assert!(verdict(&[head]));
            for cut in 1..head.len() {
                let (left, right) = head.split_at(cut);
                assert!(verdict(&[left, right]), "cut at {cut}");
            }
            let bytes: Vec<&[u8]> = head.chunks(1).collect();
            assert!(verdict(&bytes));
        }
    }

    #[test]
    fn bodies_are_not_read_as_heads() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\n".as_slice();
        let body = b"\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
        let mut watch = HeadWatch::default();
        assert!(!watch.look(head, 0));
        assert!(!watch.look(body, 0));
        assert!(!watch.in_head());
        assert!(!watch.look(b"GET / HT", 1));
        assert!(watch.in_head());
        assert!(!verdict(&[&[head, body].concat()]));
    }

    #[test]
    fn the_answer_to_a_slow_head_is_well_formed() {
        let text = std::str::from_utf8(TIMED_OUT).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
