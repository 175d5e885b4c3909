//! One request: check it, find a replica, send it, answer. Reads from top to bottom as it happens.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::sync::{SemaphorePermit, oneshot};

use super::Edge;
use super::admit::Asked;
use super::backend::{Backend, Connected, Sender};
use super::body::{Lease, ReplyBody, RequestBody, StreamedBody, Upload};
use super::events::EventStream;
use super::head::{self, Origin, X_REQUEST_ID};
use super::notice::Notice;
use super::page::{self, About, Failure, Manner};
use super::record::Record;
use super::routing::{Ticket, Tried};
use super::sticky::Place;
use super::threshold::{self, Reply};
use super::upgrade;
use super::wire::Signals;

/// A client's connection, as its requests see it.
pub(super) struct Client {
    pub(super) edge: Arc<Edge>,
    pub(super) signals: Arc<Signals>,
    pub(super) peer: IpAddr,
    /// It came by TLS.
    pub(super) secure: bool,
    pub(super) origin: Origin,
    pub(super) worker: usize,
}

/// Answers one request. There is always an answer.
pub(super) async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    client.signals.begin(request.version());
    let host = request.headers().get(header::HOST).cloned();
    let mut record = Record::open(&client, request.method(), request.uri(), host.as_ref());
    let manner = Manner::of(request.headers());
    let is_head = request.method() == Method::HEAD;
    let mut response = match carry(&client, request, &mut record).await {
        Ok(Outcome::Carried(carried)) => carried.into_response(record, &client),
        Ok(Outcome::Own(reply)) => with_text(&client, reply.into_response(), record, is_head),
        Err(failure) => failed(&client, failure, &manner, record, is_head),
    };
    threshold::remember(&client, host.as_ref(), &mut response);
    let is_last = client.edge.is_crowded() || client.edge.is_draining.load(Ordering::Acquire);
    if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn failed(
    client: &Client,
    failure: Failure,
    manner: &Manner,
    record: Record,
    is_head: bool,
) -> Response<ReplyBody> {
    let request_id = record.request_id.to_str().unwrap_or_default();
    let about = About { service: record.service(), request_id, maintenance: notice(client, &record) };
    let rendered = page::render(failure, manner, &about);
    with_text(client, rendered, record, is_head)
}

fn notice<'a>(client: &Client, record: &'a Record) -> Option<Notice<'a>> {
    record.maintenance().map(|told| Notice::at(client.edge.clock.now(), told))
}

/// An answer that the edge words itself.
fn with_text<T: Into<Bytes>>(
    client: &Client,
    worded: Response<T>,
    mut record: Record,
    is_head: bool,
) -> Response<ReplyBody> {
    let (mut head, text) = worded.into_parts();
    let text = text.into();
    record.answered(head.status);
    head.headers.insert(X_REQUEST_ID.clone(), record.request_id.clone());
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    let text = if is_head { Bytes::new() } else { text };
    Response::from_parts(head, ReplyBody::page(text, record, Arc::clone(&client.signals)))
}

/// Where the answer comes from.
enum Outcome {
    Carried(Carried),
    Own(Reply),
}

/// A replica's answer, with what must live as long as its body.
struct Carried {
    response: Response<Incoming>,
    lease: Lease,
    /// The protocol the client asked for, and its half of the connection.
    upgrade: Option<Box<(HeaderValue, hyper::upgrade::OnUpgrade)>>,
    /// The place that the visitor was given.
    given: Option<Place>,
}

async fn carry(
    client: &Arc<Client>,
    request: Request<Incoming>,
    record: &mut Record,
) -> Result<Outcome, Failure> {
    let (mut parts, body) = request.into_parts();
    head::check(&parts, client.signals.fault()).map_err(Failure::Refused)?;
    let host = head::host_of(&parts).map_err(Failure::Refused)?.into_owned();
    if let Some(reply) = threshold::reply(client, &host, &parts.uri) {
        return Ok(Outcome::Own(reply));
    }
    let path = parts.uri.clone();
    let limits = &client.edge.limits;
    if head::bytes_of(&parts.headers) > limits.head_bytes || parts.headers.len() > limits.header_fields {
        return Err(Failure::HeadTooLarge);
    }

    let has_body = !body.is_end_stream();
    let mut tried = Tried::default();
    let asked = Asked {
        host: &host,
        path: path.path(),
        headers: &parts.headers,
        peer: client.peer,
        body_bytes: body.size_hint().exact(),
    };
    let ticket = client.edge.admit(&asked, tried, record).await?;
    let bounds = record.bounds();
    let chunked = has_body && body.size_hint().exact().is_none();
    let protocol = if has_body { None } else { head::upgrade_of(&parts.headers) };
    let wants_upgrade = protocol.is_some();
    let upgrade = protocol.clone().zip(parts.extensions.remove::<hyper::upgrade::OnUpgrade>()).map(Box::new);
    head::to_replica(&mut parts, &client.origin, &record.request_id, protocol, chunked);
    let (body, upload, gate) = outgoing_body(client, &parts, body, has_body, bounds.body_bytes);

    let mut attempt = Attempt {
        client,
        host: &host,
        path: path.path(),
        upload,
        gate,
        upgrade_wanted: wants_upgrade,
        patience: bounds.answer_ms.map_or(limits.response_head, Duration::from_millis),
    };
    let (response, ticket, sender) = attempt.send(parts, body, ticket, &mut tried, record).await?;
    let lease = Lease {
        sender: Some(sender),
        in_flight: ticket.in_flight,
        upload: attempt.upload,
        worker: client.worker,
        limits: Arc::clone(&client.edge.limits),
    };
    Ok(Outcome::Carried(Carried { response, lease, upgrade, given: ticket.given }))
}

/// The body as the replica gets it, the channel that tells how far it is, and the gate of `Expect: 100-continue`.
fn outgoing_body(
    client: &Client,
    parts: &request::Parts,
    body: Incoming,
    has_body: bool,
    bytes_max: Option<u64>,
) -> (RequestBody, Option<Arc<Upload>>, Option<oneshot::Sender<bool>>) {
    if !has_body {
        return (RequestBody::Empty, None, None);
    }
    let limits = &client.edge.limits;
    let upload = Arc::new(Upload::default());
    let mut streamed = StreamedBody::new(body, Arc::clone(&upload), limits.request_body_idle, bytes_max);
    let expects = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let gate = expects.then(|| {
        let (open, opened) = oneshot::channel();
        streamed.wait_for(opened, limits.expect_continue);
        open
    });
    (RequestBody::Streamed(Box::new(streamed)), Some(upload), gate)
}

/// Sending, and sending again where that is safe.
struct Attempt<'a> {
    client: &'a Arc<Client>,
    host: &'a str,
    path: &'a str,
    upload: Option<Arc<Upload>>,
    gate: Option<oneshot::Sender<bool>>,
    upgrade_wanted: bool,
    /// From the end of the request to the head of the answer.
    patience: Duration,
}

/// What one try came to.
enum Try {
    Answered(Response<Incoming>, Sender),
    /// Nothing of the request was sent.
    Unsent(Request<RequestBody>, Failure),
    /// It may have reached the replica; the copy, if any, may be sent again.
    Lost(Option<Request<RequestBody>>, Failure),
}

impl Attempt<'_> {
    /// A request goes to another replica when no connection could be made, or when it has no body, is idempotent,
    /// and its connection broke before an answer. Never after a byte of its body was taken.
    async fn send(
        &mut self,
        parts: request::Parts,
        body: RequestBody,
        mut ticket: Ticket,
        tried: &mut Tried,
        record: &mut Record,
    ) -> Result<(Response<Incoming>, Ticket, Sender), Failure> {
        let edge = &self.client.edge;
        let mut request = Request::from_parts(parts, body);
        let mut retries = 0;
        let mut place = None;
        loop {
            let (again, failure) = match self.once(request, &ticket).await {
                Try::Answered(response, sender) => return Ok((response, ticket, sender)),
                Try::Unsent(request, failure) => (Some(request), failure),
                Try::Lost(copy, failure) => (copy, failure),
            };
            let Some(copy) = again.filter(|_| retries < edge.limits.retries) else { return Err(failure) };
            if place.is_none() {
                place = Some(Retrying::enter(edge).ok_or(failure)?);
            }
            record.retried();
            tried.add(ticket.choice);
            retries += 1;
            let (headers, peer) = (copy.headers(), self.client.peer);
            let asked = Asked { host: self.host, path: self.path, headers, peer, body_bytes: None };
            ticket = match edge.admit(&asked, *tried, record).await {
                Ok(ticket) => ticket,
                // There was a replica, and it failed: that is the more telling of the two.
                Err(Failure::NoReplica) => return Err(failure),
                Err(other) => return Err(other),
            };
            request = copy;
        }
    }

    async fn once(&mut self, mut request: Request<RequestBody>, ticket: &Ticket) -> Try {
        let limits = Arc::clone(&self.client.edge.limits);
        let backend = Arc::clone(ticket.in_flight.backend());
        let mut anew = false;
        // A kept connection may have been closed a moment ago: that says nothing about the replica, and a new one
        // is made. What was not sent at all may try the other kept ones before.
        loop {
            let Connected { mut sender, fresh: place } = match self.connection(&backend, anew).await {
                Ok(connected) => connected,
                Err(Failure::TooSlow) => return Try::Lost(None, Failure::TooSlow),
                Err(failure) => return Try::Unsent(request, failure),
            };
            let fresh = place.is_some();
            let copy = self.copy_of(&request);
            self.watch_for_continue(&mut request);
            let answer = answer_of(&mut sender, request, place, limits.unanswered);
            match self.wait(answer).await {
                Err(failure) => {
                    backend.health.failed(&limits);
                    return Try::Lost(None, failure);
                }
                Ok(Ok(response)) => {
                    backend.health.answered(response.status(), &limits);
                    if let Some(gate) = self.gate.take() {
                        let _ = gate.send(response.status().is_success());
                    }
                    return Try::Answered(response, sender);
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(unsent) => return Try::Unsent(unsent, Failure::Unreachable),
                    None => match (self.judge(error.error()), copy) {
                        (Failure::BrokeOff, Some(copy)) if !fresh => {
                            request = copy;
                            anew = true;
                        }
                        (failure, copy) => {
                            if fresh && matches!(failure, Failure::BrokeOff | Failure::Nonsense) {
                                backend.health.failed(&limits);
                            }
                            return Try::Lost(copy.filter(|_| failure == Failure::BrokeOff), failure);
                        }
                    },
                },
            }
        }
    }

    /// One that is idle, or the next that there is; with `anew` only one that nobody used.
    async fn connection<'b>(&self, backend: &'b Backend, anew: bool) -> Result<Connected<'b>, Failure> {
        let (limits, worker) = (&self.client.edge.limits, self.client.worker);
        if !anew && let Some(sender) = backend.reuse(worker, limits) {
            return Ok(Connected { sender, fresh: None });
        }
        let connected =
            async { if anew { backend.anew(limits).await } else { backend.next(worker, limits).await } };
        // The replica is not to blame for those who wait: others are being served.
        let connected = tokio::time::timeout(self.patience, connected).await.map_err(|_| Failure::TooSlow)?;
        connected.map_err(|error| {
            backend.health.unreachable(limits);
            tracing::debug!(replica = %backend.name, %error, "a replica could not be reached");
            Failure::Unreachable
        })
    }

    /// A copy to send again: only of what is idempotent, has no body, and asks for no other protocol.
    fn copy_of(&self, request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
        let repeatable = self.upload.is_none() && !self.upgrade_wanted && request.method().is_idempotent();
        repeatable.then(|| {
            let mut copy = Request::new(RequestBody::Empty);
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            copy
        })
    }

    /// Opens the gate when the replica asks for the body.
    fn watch_for_continue(&mut self, request: &mut Request<RequestBody>) {
        if let Some(open) = self.gate.take() {
            let open = std::sync::Mutex::new(Some(open));
            let (relay, relayed) = oneshot::channel();
            self.gate = Some(relay);
            let shared = Arc::new(open);
            let by_answer = Arc::clone(&shared);
            hyper::ext::on_informational(request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    send_once(&shared, true);
                }
            });
            tokio::spawn(async move {
                if let Ok(wanted) = relayed.await {
                    send_once(&by_answer, wanted);
                }
            });
        }
    }

    /// Waits for the head of the answer; the time counts from the end of the request.
    async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let was_over = self.upload.as_ref().is_none_or(|upload| upload.is_over());
            match tokio::time::timeout(self.patience, answer.as_mut()).await {
                Ok(answer) => return Ok(answer),
                Err(_) if was_over => return Err(Failure::TooSlow),
                // A body that stalls ends by its own timer.
                Err(_) => {}
            }
        }
    }

    fn judge(&self, error: &hyper::Error) -> Failure {
        match &self.upload {
            Some(upload) if upload.is_too_large() => Failure::BodyTooLarge,
            Some(upload) if upload.is_stalled() => Failure::BodyStalled,
            Some(upload) if upload.is_broken() => Failure::BodyBroken,
            _ if error.is_parse() => Failure::Nonsense,
            _ => Failure::BrokeOff,
        }
    }
}

/// The answer; `place` is given back with it, or after `unanswered` without it.
async fn answer_of(
    sender: &mut Sender,
    request: Request<RequestBody>,
    place: Option<SemaphorePermit<'_>>,
    unanswered: Duration,
) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
    let mut answer = std::pin::pin!(sender.try_send_request(request));
    if let Some(place) = place {
        if let Ok(answer) = tokio::time::timeout(unanswered, answer.as_mut()).await {
            return answer;
        }
        drop(place);
    }
    answer.await
}

/// One request that is being sent again; all together are bounded, so that a failing service is not asked ever more.
struct Retrying<'a>(&'a AtomicUsize);

impl<'a> Retrying<'a> {
    fn enter(edge: &'a Edge) -> Option<Self> {
        let before = edge.retrying.fetch_add(1, Ordering::Relaxed);
        let place = Self(&edge.retrying);
        (before < edge.limits.retries_at_once).then_some(place)
    }
}

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn send_once(slot: &std::sync::Mutex<Option<oneshot::Sender<bool>>>, wanted: bool) {
    let sender = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(sender) = sender {
        let _ = sender.send(wanted);
    }
}

impl Carried {
    fn into_response(self, mut record: Record, client: &Arc<Client>) -> Response<ReplyBody> {
        let Self { mut response, lease, upgrade, given } = self;
        let status = response.status();
        if !head::is_framed_once(response.headers()) {
            return failed(client, Failure::Nonsense, &Manner::default(), record, false);
        }
        let protocol = response.headers().get(header::UPGRADE).cloned();
        let trailers = response.headers().get(header::TRAILER).cloned();
        head::remove_hop_by_hop(response.headers_mut());
        if let Some(trailers) = trailers {
            response.headers_mut().insert(header::TRAILER, trailers);
        }
        response.headers_mut().insert(X_REQUEST_ID.clone(), record.request_id.clone());
        if let Some(place) = given {
            place.tell(response.headers_mut());
        }
        record.answered(status);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            if let (Some((asked, ours)), Some(protocol)) = (upgrade.map(|asked| *asked), protocol)
                && asked.as_bytes().eq_ignore_ascii_case(protocol.as_bytes())
            {
                return upgrade::switch(response, protocol, ours, lease, record, client);
            }
            // Nobody asked for this protocol.
            return failed(client, Failure::Nonsense, &Manner::default(), record, false);
        }
        let (head, body) = response.into_parts();
        let events = EventStream::of(&head.headers, &body, &client.edge, lease.in_flight.backend());
        let signals = Arc::clone(&client.signals);
        Response::from_parts(head, ReplyBody::replica(body, events, lease, record, signals))
    }
}
