//! Pulling, checking and deleting blobs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{StatusCode, header};
use naru_model::Digest;
use naru_model::authorise::Permission;
use naru_store::image::Unlinked;
use tokio::task::JoinHandle;

use super::access::parse_digest;
use super::range::Part;
use super::refusal::{Code, Refusal};
use super::{DOCKER_CONTENT_DIGEST, Registry, Shared, blocking};

/// A blob up to this long is read at once and sent with its headers.
const SMALL: u64 = 64 * 1024;

/// A longer one is read in pieces of this size, one ahead of the one being sent.
const PIECE: u64 = 512 * 1024;

type BlobPath = Path<(String, String, String)>;

fn no_such_blob(digest: &Digest) -> Refusal {
    Refusal::new(Code::BlobUnknown, format!("the repository has no blob {digest}"))
}

/// GET and HEAD: sections "Pulling blobs" and "Checking if content exists in the registry".
pub(super) async fn get(
    State(registry): Shared,
    Path((project, name, digest)): BlobPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &name), Permission::Read).await?;
    let digest = parse_digest(&digest)?;
    let Some(size) = registry.store.blob(&repository, &digest).await? else {
        return Err(no_such_blob(&digest));
    };
    registry.recent.seen(&repository, &digest);
    let etag = format!("\"{digest}\"");
    let base = [
        (DOCKER_CONTENT_DIGEST, digest.to_string()),
        (header::ETAG, etag.clone()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&etag)) {
        return Ok((StatusCode::NOT_MODIFIED, base).into_response());
    }
    if method == Method::HEAD {
        return Ok((base, [(header::CONTENT_LENGTH, size.to_string())]).into_response());
    }
    let asked = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|tag| tag == etag));
    let (status, start, length) = match Part::parse(asked, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes { start, end } => (StatusCode::PARTIAL_CONTENT, start, end - start + 1),
        Part::Outside => {
            return Err(Refusal::new(Code::SizeInvalid, "the range lies outside the blob")
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, &format!("bytes */{size}")));
        }
    };
    let body = read(&registry, &digest, start, length).await?;
    let mut response = (status, base, [(header::CONTENT_LENGTH, length.to_string())], body).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{size}", start + length - 1);
        response.headers_mut().insert(header::CONTENT_RANGE, range.parse().expect("digits"));
    }
    Ok(response)
}

/// Opens a blob and reads its first piece, so that a file that is gone is a 404 and not a broken answer.
async fn read(registry: &Arc<Registry>, digest: &Digest, start: u64, length: u64) -> Result<Body, Refusal> {
    let (folder, wanted) = (registry.folder.clone(), digest.clone());
    let first = if length <= SMALL { length } else { PIECE.min(length) };
    let opened = blocking(move || {
        let mut file = folder.read_blob(&wanted)?;
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        piece(file, first)
    })
    .await;
    match opened {
        Ok((_, bytes)) if first == length => Ok(Body::from(bytes)),
        Ok((file, bytes)) => Ok(Body::from_stream(pieces(file, bytes, length - first))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_such_blob(digest)),
        Err(error) => Err(error.into()),
    }
}

fn piece(mut file: File, length: u64) -> io::Result<(File, Bytes)> {
    let mut buffer = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    Read::by_ref(&mut file).take(length).read_to_end(&mut buffer)?;
    if buffer.len() as u64 != length {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "a blob's file is shorter than its row says",
        ));
    }
    Ok((file, Bytes::from(buffer)))
}

type NextPiece = JoinHandle<io::Result<(File, Bytes)>>;

fn read_ahead(file: File, left: u64) -> NextPiece {
    tokio::task::spawn_blocking(move || piece(file, PIECE.min(left)))
}

/// The first piece and everything after it. While one is sent the next is read; no thread waits for a slow receiver.
fn pieces(file: File, first: Bytes, left: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let next = read_ahead(file, left);
    futures::stream::once(async move { Ok(first) }).chain(futures::stream::try_unfold(
        (Some(next), left),
        |(next, left)| async move {
            let Some(next) = next else { return Ok(None) };
            let (file, bytes) = next.await.map_err(io::Error::other)??;
            let left = left - bytes.len() as u64;
            let next = (left > 0).then(|| read_ahead(file, left));
            Ok(Some((bytes, (next, left))))
        },
    ))
}

/// DELETE: section "Deleting Blobs".
pub(super) async fn delete(
    State(registry): Shared,
    Path((project, name, digest)): BlobPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &name), Permission::PushImage).await?;
    let digest = parse_digest(&digest)?;
    match registry.store.unlink_blob(&repository, &digest).await? {
        Unlinked::Done => Ok(StatusCode::ACCEPTED.into_response()),
        Unlinked::Missing => Err(no_such_blob(&digest)),
        Unlinked::Needed => Err(Refusal::new(
            Code::Unsupported,
            format!("a manifest of {repository} is made of {digest}; delete that first"),
        )),
    }
}
