//! Counts frames that cost an HTTP/2 client nothing and the edge something: resets, pings, settings, priorities, empty
//! pieces. hyper answers or ignores each of them, as often as they come (CVE-2019-9512 and its kin, CVE-2023-44487).
//! Also bounds how long the head of a request may take to arrive.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::Limits;

/// A connection whose frames are looked at as they arrive.
pub(super) struct Guarded<S> {
    inner: S,
    frames: FrameWatch,
    head_read: Duration,
    head_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, limits: &Limits) -> Self {
        let budget = Budget::new(limits.cheap_frames, limits.cheap_frames_per_s);
        Self { inner, frames: FrameWatch::new(budget), head_read: limits.head_read, head_timer: None }
    }

    /// Runs from the first frame of a head to its last.
    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.frames.in_head {
            self.head_timer = None;
            return Poll::Pending;
        }
        let head_read = self.head_read;
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(head_read)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if Pin::new(&mut this.inner).poll_read(cx, buf)?.is_pending() {
            return this.poll_head_timer(cx).map(Err);
        }
        if this.frames.look(&buf.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        tracing::debug!("a client's flood of frames is cut off");
        Poll::Ready(Err(io::Error::other("too many frames that ask for nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Bytes before the first frame (RFC 9113 §3.4), and of the head of each (§4.1).
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Follows frames across reads; looks at their heads only.
struct FrameWatch {
    head: [u8; FRAME_HEAD],
    have: usize,
    /// Bytes until the next frame's head.
    skip: usize,
    /// A HEADERS frame came whose block has not ended.
    in_head: bool,
    /// It ends with the frame that is being skipped.
    head_ends: bool,
    budget: Budget,
}

impl FrameWatch {
    fn new(budget: Budget) -> Self {
        Self { head: [0; FRAME_HEAD], have: 0, skip: PREFACE, in_head: false, head_ends: false, budget }
    }

    /// Looks at what arrived. False when the client has sent too many cheap frames.
    fn look(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip == 0 && self.head_ends {
                (self.in_head, self.head_ends) = (false, false);
            }
            let taken = (FRAME_HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEAD {
                self.have = 0;
                if !self.frame() {
                    return false;
                }
            }
        }
        true
    }

    fn frame(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let cheap = match kind {
            DATA => self.skip == 0 && flags & END_STREAM == 0,
            HEADERS => false,
            // As many as the answer needs; they cannot pass 2^31 together (§6.9.1).
            WINDOW_UPDATE => false,
            _ => true,
        };
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_head = true;
            self.head_ends = flags & END_HEADERS != 0;
            if self.skip == 0 && self.head_ends {
                (self.in_head, self.head_ends) = (false, false);
            }
        }
        !cheap || self.budget.spend()
    }
}

/// So many at once, and so many a second after that.
struct Budget {
    left: f64,
    most: f64,
    per_s: f64,
    at: Option<Instant>,
}

impl Budget {
    fn new(at_once: u32, per_s: u32) -> Self {
        let most = f64::from(at_once);
        Self { left: most, most, per_s: f64::from(per_s), at: None }
    }

    fn spend(&mut self) -> bool {
        let now = Instant::now();
        let passed = self.at.map_or(Duration::ZERO, |at| now.duration_since(at));
        self.at = Some(now);
        self.left = (self.left + passed.as_secs_f64() * self.per_s).min(self.most) - 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RST_STREAM: u8 = 3;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(FRAME_HEAD + payload, 0xff);
        bytes
    }

    fn watch(cheap: u32) -> FrameWatch {
        let mut watch = FrameWatch::new(Budget::new(cheap, 0));
        assert!(watch.look(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        watch
    }

    #[test]
    fn cheap_frames_are_counted_however_they_are_cut() {
        for (kind, flags, payload) in [(RST_STREAM, 0, 4), (PING, 0, 8), (DATA, 0, 0), (4, 0, 0), (77, 0, 20)]
        {
            for cut in [1, 3, 9, 10, 1000] {
                let bytes: Vec<u8> = std::iter::repeat_n(frame(kind, flags, payload), 11).flatten().collect();
                let mut watch = watch(10);
                let within = 10 * (FRAME_HEAD + payload);
                assert!(bytes[..within].chunks(cut).all(|piece| watch.look(piece)), "{kind} in {cut}");
                assert!(!bytes[within..].chunks(cut).all(|piece| watch.look(piece)), "{kind} in {cut}");
            }
        }
    }

    #[test]
    fn requests_and_bodies_are_not() {
        let mut watch = watch(0);
        for _ in 0..1_000 {
            assert!(watch.look(&frame(HEADERS, END_HEADERS | END_STREAM, 40)));
            assert!(watch.look(&frame(DATA, 0, 16_384)));
            assert!(watch.look(&frame(DATA, END_STREAM, 0)));
            assert!(watch.look(&frame(WINDOW_UPDATE, 0, 4)));
        }
    }

    #[test]
    fn a_head_lasts_until_its_last_byte() {
        let mut watch = watch(10);
        let (first, last) = (frame(HEADERS, 0, 10), frame(CONTINUATION, END_HEADERS, 10));
        assert!(watch.look(&first));
        assert!(watch.in_head);
        assert!(watch.look(&last[..15]));
        assert!(watch.in_head);
        assert!(watch.look(&last[15..]));
        assert!(!watch.in_head);
    }
}
