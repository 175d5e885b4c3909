//! Pushing blobs: at once, in two requests, in chunks, or by mounting one from another repository.
//!
//! The bytes that have arrived are the state of an upload (`folder`). Kept in memory beside them is only the open file
//! with its running hash, which spares hashing again what a later request adds to.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::{HeaderName, StatusCode, header};
use naru_model::Digest;
use naru_model::authorise::Permission;
use naru_store::image::Repository;
use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::access::{parse_digest, repository_in_query};
use super::range::ChunkRange;
use super::refusal::{Code, Refusal};
use super::{DOCKER_CONTENT_DIGEST, Registry, Shared, blocking};
use crate::folder::{Upload, UploadKey};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Bytes are collected up to this much before they are hashed and written in one go.
const BATCH: usize = 1 << 20;

/// After a refusal, at most about this much is read on.
const DRAIN_LIMIT_BYTES: u64 = 1 << 30;

/// Up to this much is hashed and written where it is received.
const SMALL: usize = 16 * 1024;

/// How long a request waits for another one on the same upload.
const TURN: Duration = Duration::from_secs(10);

type Slot = Arc<tokio::sync::Mutex<Option<Upload>>>;

/// The uploads that are open. An entry without an upload is resumed from its file.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<UploadKey, Slot>>);

impl Sessions {
    fn slot(&self, key: &UploadKey) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    fn forget(&self, key: &UploadKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The upload, unless a request is at it.
    fn unused(&self, key: &UploadKey) -> Option<OwnedMutexGuard<Option<Upload>>> {
        self.slot(key).try_lock_owned().ok()
    }

    /// Closes what nobody is using: a later request opens its file again.
    fn close_idle(&self) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
    }
}

/// An upload that this request alone may change.
struct Turn {
    registry: Arc<Registry>,
    key: UploadKey,
    slot: OwnedMutexGuard<Option<Upload>>,
}

impl Registry {
    /// Ends uploads that got their last byte before `before`, unless a request is at them. Returns how many.
    pub(crate) async fn expire_uploads(self: &Arc<Self>, before: SystemTime) -> io::Result<u64> {
        self.sessions.close_idle();
        let folder = self.folder.clone();
        let mut expired = 0;
        for (key, _) in blocking(move || folder.uploads()).await?.into_iter().filter(|(_, at)| *at < before) {
            if let Some(slot) = self.sessions.unused(&key) {
                Turn { registry: Arc::clone(self), key, slot }.discard().await;
                expired += 1;
            }
        }
        Ok(expired)
    }

    /// Waits for this request's turn and opens the upload.
    async fn turn(self: &Arc<Self>, key: UploadKey) -> Result<Turn, Refusal> {
        let slot = self.sessions.slot(&key);
        let waiting = tokio::time::timeout(TURN, slot.lock_owned()).await;
        let mut slot = waiting
            .map_err(|_| Refusal::new(Code::TooManyRequests, "another request is writing to this upload"))?;
        if slot.is_none() {
            let (folder, wanted) = (self.folder.clone(), key.clone());
            *slot = blocking(move || folder.resume_upload(&wanted)).await?;
        }
        if slot.is_none() {
            self.sessions.forget(&key);
            return Err(Refusal::new(Code::BlobUploadUnknown, "there is no such upload"));
        }
        Ok(Turn { registry: Arc::clone(self), key, slot })
    }

    /// Opens a new upload.
    async fn begin(self: &Arc<Self>, repository: Repository) -> Result<Turn, Refusal> {
        let key = UploadKey { repository, id: Uuid::new_v4() };
        let mut slot = self.sessions.slot(&key).lock_owned().await;
        let (folder, wanted, limits) = (self.folder.clone(), key.clone(), self.limits);
        let made =
            blocking(move || folder.create_upload(&wanted, limits.uploads_per_project, limits.uploads)).await;
        match made {
            Ok(Some(upload)) => *slot = Some(upload),
            Ok(None) => {
                self.sessions.forget(&key);
                return Err(Refusal::new(Code::TooManyRequests, "too many uploads are in progress"));
            }
            Err(error) => {
                self.sessions.forget(&key);
                return Err(error.into());
            }
        }
        Ok(Turn { registry: Arc::clone(self), key, slot })
    }
}

impl Turn {
    fn length(&self) -> u64 {
        self.slot.as_ref().map_or(0, Upload::length)
    }

    /// Adds a request's body. What arrived before a sender broke off is kept; a disk that is full ends the upload.
    async fn receive(&mut self, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
        let before = self.length();
        let expected = self.expected(headers)?;
        let frames = &mut body.into_data_stream();
        let arrived = match self.write(frames).await {
            Ok(()) => self.length() - before,
            Err(Interrupted::Disk(error)) => {
                self.discard().await;
                self.drain(frames).await;
                return Err(error.into());
            }
            Err(Interrupted::TooLarge(limit)) => {
                self.discard().await;
                self.drain(frames).await;
                return Err(Refusal::new(Code::SizeInvalid, format!("a blob has at most {limit} bytes"))
                    .status(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Err(Interrupted::Sender(why)) => {
                return Err(Refusal::new(Code::BlobUploadInvalid, format!("the body broke off: {why}")));
            }
        };
        if let Some(expected) = expected.filter(|expected| *expected != arrived) {
            if let Some(upload) = self.slot.take() {
                blocking(move || upload.cut(before)).await?;
            }
            let message = format!("{arrived} bytes arrived where {expected} were announced");
            return Err(Refusal::new(Code::SizeInvalid, message));
        }
        Ok(())
    }

    /// How many bytes the headers announce; refuses a chunk that does not start where the upload ends.
    fn expected(&self, headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(range) = headers.get(header::CONTENT_RANGE) else { return Ok(length) };
        let range = range
            .to_str()
            .ok()
            .and_then(ChunkRange::parse)
            .ok_or_else(|| self.out_of_order("Content-Range is not <start>-<end>"))?;
        if range.start != self.length() {
            let message = format!("the chunk starts at {}, the upload is at {}", range.start, self.length());
            return Err(self.out_of_order(message));
        }
        if length.is_some_and(|length| length != range.length()) {
            return Err(Refusal::new(Code::SizeInvalid, "Content-Length and Content-Range do not agree"));
        }
        Ok(Some(range.length()))
    }

    fn out_of_order(&self, message: impl Into<String>) -> Refusal {
        Refusal::new(Code::BlobUploadInvalid, message)
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .header(header::LOCATION, &self.location())
            .header(header::RANGE, &self.range())
    }

    /// Streams a body to the file. While one batch is hashed and written on a blocking thread, the next is received.
    async fn write(&mut self, frames: &mut BodyDataStream) -> Result<(), Interrupted> {
        let limits = self.registry.limits;
        let upload = self.slot.take().ok_or_else(|| Interrupted::Sender("it was cancelled".to_owned()))?;
        let mut total = upload.length();
        let mut writer = Writer::Resting(Box::new(upload));
        let end = loop {
            let (batch, end) = collect(frames, limits.silence).await;
            total += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
            if total > limits.blob_bytes {
                return Err(Interrupted::TooLarge(limits.blob_bytes));
            }
            writer = writer.append(batch).await?;
            if let Some(end) = end {
                break end;
            }
        };
        *self.slot = Some(*writer.rest().await?);
        end.map_err(Interrupted::Sender)
    }

    /// Reads on and forgets: a sender that is still sending would not hear why its upload was refused.
    async fn drain(&self, frames: &mut BodyDataStream) {
        let mut forgotten = 0;
        while forgotten < DRAIN_LIMIT_BYTES {
            let (batch, end) = collect(frames, self.registry.limits.silence).await;
            if end.is_some() {
                return;
            }
            forgotten += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        }
    }

    /// Makes the upload a blob of its repository, if it is the one that was announced; otherwise it ends here.
    async fn place(mut self, digest: &Digest) -> Result<Response, Refusal> {
        let gone = || Refusal::new(Code::BlobUploadUnknown, "there is no such upload");
        let mut upload = self.slot.take().ok_or_else(gone)?;
        let actual = upload.digest();
        if actual != *digest {
            self.discard().await;
            let message = format!("the content's digest is {actual}, not {digest}; the upload was discarded");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
        let size = upload.length();
        let registry = Arc::clone(&self.registry);
        let gate = registry.gate.read().await;
        let known = registry.store.knows_blob(digest).await?;
        let (folder, key, wanted) = (registry.folder.clone(), self.key.clone(), digest.clone());
        let placed = blocking(move || {
            if known && folder.has_blob(&wanted, size) {
                folder.remove_upload(&key).map(|_| ())
            } else {
                folder.place(&key, &mut upload, &wanted)
            }
        });
        if let Err(error) = placed.await {
            self.discard().await;
            return Err(error.into());
        }
        registry.store.link_blob(&self.key.repository, digest, size).await?;
        drop(gate);
        registry.sessions.forget(&self.key);
        Ok(created(&self.key.repository, digest))
    }

    /// Ends the upload and removes what arrived.
    async fn discard(&mut self) {
        *self.slot = None;
        let (folder, key) = (self.registry.folder.clone(), self.key.clone());
        if let Err(error) = blocking(move || folder.remove_upload(&key)).await {
            tracing::warn!(%error, repository = %self.key.repository, "an ended upload could not be removed");
        }
        self.registry.sessions.forget(&self.key); // last: who waits for this turn then finds no file
    }

    fn location(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.key.repository, self.key.id)
    }

    /// What has arrived, as the specification wants it: inclusive, and `0-0` also for nothing.
    fn range(&self) -> String {
        format!("0-{}", self.length().saturating_sub(1))
    }

    fn answer(&self, status: StatusCode) -> Response {
        let headers = [
            (header::LOCATION, self.location()),
            (header::RANGE, self.range()),
            (DOCKER_UPLOAD_UUID, self.key.id.to_string()),
        ];
        (status, headers).into_response()
    }
}

/// Where an upload is while its body arrives.
enum Writer {
    Resting(Box<Upload>),
    Writing(tokio::task::JoinHandle<io::Result<Box<Upload>>>),
}

impl Writer {
    async fn rest(self) -> io::Result<Box<Upload>> {
        match self {
            Self::Resting(upload) => Ok(upload),
            Self::Writing(task) => task.await.map_err(io::Error::other)?,
        }
    }

    async fn append(self, batch: Vec<Bytes>) -> io::Result<Self> {
        let mut upload = self.rest().await?;
        let length: usize = batch.iter().map(Bytes::len).sum();
        if length <= SMALL {
            upload.append(&batch)?; // less work than handing it to another thread
            return Ok(Self::Resting(upload));
        }
        Ok(Self::Writing(tokio::task::spawn_blocking(move || {
            upload.append_side_by_side(&batch).map(|()| upload)
        })))
    }
}

/// Why a body did not arrive as a whole.
enum Interrupted {
    Disk(io::Error),
    TooLarge(u64),
    Sender(String),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The next batch of a body, and how the body ended if it did.
async fn collect(frames: &mut BodyDataStream, silence: Duration) -> (Vec<Bytes>, Option<Result<(), String>>) {
    let (mut batch, mut length) = (Vec::new(), 0);
    while length < BATCH {
        match tokio::time::timeout(silence, frames.next()).await {
            Ok(Some(Ok(bytes))) => {
                length += bytes.len();
                batch.push(bytes);
            }
            Ok(Some(Err(error))) => return (batch, Some(Err(error.to_string()))),
            Ok(None) => return (batch, Some(Ok(()))),
            Err(_) => return (batch, Some(Err("the sender was silent for too long".to_owned()))),
        }
    }
    (batch, None)
}

fn created(repository: &Repository, digest: &Digest) -> Response {
    let location = (header::LOCATION, format!("/v2/{repository}/blobs/{digest}"));
    (StatusCode::CREATED, [location, (DOCKER_CONTENT_DIGEST, digest.to_string())]).into_response()
}

/// Lets work on an upload finish even if the client goes away in the middle: what arrived is then accounted for.
async fn undisturbed(
    work: impl Future<Output = Result<Response, Refusal>> + Send + 'static,
) -> Result<Response, Refusal> {
    tokio::spawn(work).await.map_err(|error| Refusal::from(io::Error::other(error)))?
}

/// What a push may say in its query.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    digest: Option<String>,
    mount: Option<String>,
    from: Option<String>,
    #[serde(rename = "digest-algorithm")]
    algorithm: Option<String>,
}

type UploadPath = Path<(String, String, String)>;

/// POST: sections "Pushing blobs" and "Mounting a blob from another repository".
pub(super) async fn start(
    State(registry): Shared,
    Path((project, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &name), Permission::PushImage).await?;
    if asked.algorithm.is_some_and(|algorithm| algorithm != "sha256") {
        return Err(Refusal::new(Code::DigestInvalid, "only sha256 is supported"));
    }
    if let Some(mount) = &asked.mount {
        let digest = parse_digest(mount)?;
        if registry.mount(&headers, asked.from.as_deref(), &repository, &digest).await? {
            return Ok(created(&repository, &digest));
        }
    } else if let Some(digest) = &asked.digest {
        let digest = parse_digest(digest)?;
        return undisturbed(async move {
            let mut turn = registry.begin(repository).await?;
            if let Err(refusal) = turn.receive(&headers, body).await {
                turn.discard().await; // nobody was told of it, so nobody can resume it
                return Err(refusal);
            }
            turn.place(&digest).await
        })
        .await;
    }
    Ok(registry.begin(repository).await?.answer(StatusCode::ACCEPTED))
}

impl Registry {
    /// Whether the blob was mounted. A source that the caller may not read is as good as one that does not have it.
    async fn mount(
        &self,
        headers: &HeaderMap,
        from: Option<&str>,
        to: &Repository,
        digest: &Digest,
    ) -> Result<bool, Refusal> {
        let Some(from) = from.and_then(repository_in_query) else { return Ok(false) };
        Ok(self.may_read(headers, &from).await && self.store.mount_blob(&from, to, digest).await?)
    }

    /// The turn for a request that names an upload.
    async fn turn_at(
        self: &Arc<Self>,
        headers: &HeaderMap,
        (project, name, id): (String, String, String),
    ) -> Result<Turn, Refusal> {
        let repository = self.enter_repository(headers, (&project, &name), Permission::PushImage).await?;
        let unknown = |_| Refusal::new(Code::BlobUploadUnknown, "there is no such upload");
        let id = Uuid::parse_str(&id).map_err(unknown)?;
        self.turn(UploadKey { repository, id }).await
    }
}

/// PATCH: section "Pushing a blob in chunks".
pub(super) async fn append(
    State(registry): Shared,
    Path(path): UploadPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut turn = registry.turn_at(&headers, path).await?;
    undisturbed(async move {
        turn.receive(&headers, body).await?;
        Ok(turn.answer(StatusCode::ACCEPTED))
    })
    .await
}

/// PUT: ends an upload, with or without a last chunk.
pub(super) async fn finish(
    State(registry): Shared,
    Path(path): UploadPath,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut turn = registry.turn_at(&headers, path).await?;
    let digest = asked.digest.ok_or_else(|| Refusal::new(Code::DigestInvalid, "the digest is missing"))?;
    let digest = parse_digest(&digest)?;
    undisturbed(async move {
        turn.receive(&headers, body).await?;
        turn.place(&digest).await
    })
    .await
}

/// GET: where an upload is.
pub(super) async fn status(
    State(registry): Shared,
    Path(path): UploadPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Ok(registry.turn_at(&headers, path).await?.answer(StatusCode::NO_CONTENT))
}

/// DELETE: section "Cancel a blob upload".
pub(super) async fn cancel(
    State(registry): Shared,
    Path(path): UploadPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    registry.turn_at(&headers, path).await?.discard().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}
