//! Bodies on their way through: counted, watched for stalls, never collected.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::backend::{InFlight, Sender};
use super::events::EventStream;
use super::record::Record;
use super::wire::Signals;
use crate::Limits;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The other side broke off.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Nothing arrived for too long.
    #[error("the body stalled")]
    Stalled,
    /// It is larger than the route takes.
    #[error("the body is too large")]
    TooLarge,
    /// The replica answered finally instead of asking for the body.
    #[error("the body was not asked for")]
    NotAsked,
}

/// What a request's body tells the one who waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// It was sent to its end.
    over: AtomicBool,
    /// The client stalled.
    stalled: AtomicBool,
    /// The client broke off, or sent what is not a body.
    broken: AtomicBool,
    /// It is larger than the route takes.
    too_large: AtomicBool,
    bytes: AtomicU64,
}

impl Upload {
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large.load(Ordering::Acquire)
    }
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A request's body on its way to a replica.
pub(super) enum RequestBody {
    /// There is none; such a request can be sent again.
    Empty,
    /// As it arrives.
    Streamed(Box<StreamedBody>),
}

pub(super) struct StreamedBody {
    inner: Incoming,
    upload: Arc<Upload>,
    idle: Duration,
    bytes_max: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// Closed until the replica asks for the body (`Expect: 100-continue`).
    gate: Option<Gate>,
}

struct Gate {
    opened: oneshot::Receiver<bool>,
    patience: Pin<Box<Sleep>>,
}

impl StreamedBody {
    pub(super) fn new(inner: Incoming, upload: Arc<Upload>, idle: Duration, bytes_max: Option<u64>) -> Self {
        let bytes_max = bytes_max.unwrap_or(u64::MAX);
        Self { inner, upload, idle, bytes_max, timer: None, gate: None }
    }

    /// Holds the body back until `opened` says whether it is wanted, or `patience` ends.
    pub(super) fn wait_for(&mut self, opened: oneshot::Receiver<bool>, patience: Duration) {
        self.gate = Some(Gate { opened, patience: Box::pin(tokio::time::sleep(patience)) });
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(gate) = &mut self.gate else { return Poll::Ready(true) };
        let open = match Pin::new(&mut gate.opened).poll(cx) {
            Poll::Ready(answer) => answer.unwrap_or(true),
            Poll::Pending => {
                ready!(gate.patience.as_mut().poll(cx));
                true
            }
        };
        self.gate = None;
        Poll::Ready(open)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streamed(body) = self.get_mut() else { return Poll::Ready(None) };
        if !ready!(body.poll_gate(cx)) {
            return Poll::Ready(Some(Err(BodyError::NotAsked)));
        }
        match Pin::new(&mut body.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    let before = body.upload.bytes.fetch_add(length, Ordering::Relaxed);
                    if before + length > body.bytes_max {
                        body.upload.too_large.store(true, Ordering::Release);
                        return Poll::Ready(Some(Err(BodyError::TooLarge)));
                    }
                }
                if let Some(timer) = &mut body.timer {
                    timer.as_mut().reset(Instant::now() + body.idle);
                }
                if body.inner.is_end_stream() {
                    body.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                body.upload.broken.store(true, Ordering::Release);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                body.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = body.idle;
                let timer = body.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                ready!(timer.as_mut().poll(cx));
                body.upload.stalled.store(true, Ordering::Release);
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(body) => body.inner.size_hint(),
        }
    }
}

impl StreamedBody {
    fn finish(&mut self) {
        self.upload.over.store(true, Ordering::Release);
    }
}

/// An answer's body on its way to the client, with everything that lasts as long as the answer does.
pub(super) struct ReplyBody {
    source: Source,
    /// Absent after a 101: there the task that carries the bytes has it.
    record: Option<Record>,
    signals: Arc<Signals>,
}

enum Source {
    /// Made by the edge.
    Page(Option<Bytes>),
    /// From a replica.
    Replica(Box<FromReplica>),
}

struct FromReplica {
    inner: Incoming,
    /// When it is a stream of events.
    events: Option<Box<EventStream>>,
    ended: bool,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    lease: Lease,
}

/// A connection to a replica in use; it goes back to its pool when the exchange came to its end on both sides.
pub(super) struct Lease {
    pub(super) sender: Option<Sender>,
    pub(super) in_flight: InFlight,
    pub(super) upload: Option<Arc<Upload>>,
    pub(super) worker: usize,
    pub(super) limits: Arc<Limits>,
}

impl ReplyBody {
    pub(super) fn page(text: Bytes, record: Record, signals: Arc<Signals>) -> Self {
        Self { source: Source::Page((!text.is_empty()).then_some(text)), record: Some(record), signals }
    }

    pub(super) fn replica(
        inner: Incoming,
        events: Option<Box<EventStream>>,
        lease: Lease,
        record: Record,
        signals: Arc<Signals>,
    ) -> Self {
        let idle = lease.limits.response_body_idle;
        let from = FromReplica { inner, events, ended: false, idle, timer: None, lease };
        Self { source: Source::Replica(Box::new(from)), record: Some(record), signals }
    }

    pub(super) fn switching(signals: Arc<Signals>) -> Self {
        Self { source: Source::Page(None), record: None, signals }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Page(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Source::Replica(from) => from.poll(cx),
        };
        match (&polled, &mut this.record) {
            (Poll::Ready(Some(Ok(frame))), Some(record)) => {
                record.sent(frame.data_ref().map_or(0, Bytes::len));
            }
            (Poll::Ready(Some(Err(_))), Some(record)) => {
                record.lost();
                this.signals.broke_off();
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Page(text) => text.is_none(),
            Source::Replica(from) => from.ended || from.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Replica(from) => from.inner.size_hint(),
        }
    }
}

impl FromReplica {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.events.as_mut().is_some_and(|events| events.poll_over(cx)) {
            // The replica has more to say: its connection is of no use any more.
            self.lease.sender = None;
            self.ended = true;
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(timer) = &mut self.timer {
                    timer.as_mut().reset(Instant::now() + self.idle);
                }
                Poll::Ready(Some(Ok(match &mut self.events {
                    Some(events) => frame.map_data(|piece| events.pass(piece)),
                    None => frame,
                })))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease.in_flight.backend().health.failed(&self.lease.limits);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = self.idle;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.signals.end();
        let whole = self.is_end_stream();
        if let Source::Replica(from) = &mut self.source {
            from.lease.end(whole);
            if let (Some(upload), Some(record)) = (&from.lease.upload, &mut self.record) {
                record.received(upload.bytes());
            }
        }
        if let (false, Some(record)) = (whole, &mut self.record) {
            record.broken();
        }
    }
}

impl Lease {
    /// Reuses the connection when nothing of this exchange is left on it. Dropping it closes it.
    fn end(&mut self, whole_answer: bool) {
        let whole_request = self.upload.as_ref().is_none_or(|upload| upload.is_over());
        if let Some(sender) = self.sender.take()
            && whole_answer
            && whole_request
        {
            self.in_flight.backend().put_back(self.worker, sender, &self.limits);
        }
    }
}
