//! Pulling, pushing and deleting manifests.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use naru_model::authorise::Permission;
use naru_model::{Digest, TagName};
use naru_store::image::{ManifestName, NewManifest, Pushed};
use serde_json::json;

use super::access::parse_manifest_name;
use super::refusal::{Code, Refusal};
use super::{DOCKER_CONTENT_DIGEST, Registry, Shared, document};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Tags that one push by digest may set.
const TAGS_PER_PUSH: usize = 50;

type ManifestPath = Path<(String, String, String)>;

fn no_such_manifest(name: &str) -> Refusal {
    Refusal::new(Code::ManifestUnknown, format!("the repository has no manifest {name}"))
}

/// GET and HEAD: sections "Pulling manifests" and "Checking if content exists in the registry".
pub(super) async fn get(
    State(registry): Shared,
    Path((project, repository, name)): ManifestPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &repository), Permission::Read).await?;
    let wanted = parse_manifest_name(&name)?;
    let found =
        registry.store.manifest(&repository, &wanted).await?.ok_or_else(|| no_such_manifest(&name))?;
    registry.recent.seen(&repository, &found.digest);
    let headers = [
        (DOCKER_CONTENT_DIGEST, found.digest.to_string()),
        (header::ETAG, format!("\"{}\"", found.digest)),
        (header::CONTENT_TYPE, found.media_type),
        (header::CONTENT_LENGTH, found.content.len().to_string()),
    ];
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(found.content) };
    Ok((headers, body).into_response())
}

/// PUT: sections "Pushing Manifests" and "Pushing Manifests with Subject".
pub(super) async fn put(
    State(registry): Shared,
    Path((project, repository, name)): ManifestPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let repository =
        registry.enter_repository(&headers, (&project, &repository), Permission::PushImage).await?;
    let wanted = parse_manifest_name(&name)?;
    let content = receive(&registry, body).await?;
    let digest = Digest::of(&content);
    let tags = match wanted {
        ManifestName::Tag(tag) => vec![tag],
        ManifestName::Digest(stated) if stated != digest => {
            let message = format!("the content's digest is {digest}, not {stated}");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
        ManifestName::Digest(_) => tags_in_query(query.as_deref().unwrap_or_default())?,
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let read = document::read(content_type, &content)
        .map_err(|why| Refusal::new(Code::ManifestInvalid, format!("the manifest was refused: {why}")))?;
    let manifest = NewManifest {
        digest: &digest,
        media_type: &read.media_type,
        content: &content,
        blobs: &read.blobs,
        manifests: &read.manifests,
        subject: read.subject.as_ref(),
        artifact_type: read.artifact_type.as_deref(),
        annotations: &read.annotations,
    };
    match registry.store.put_manifest(&repository, &manifest, &tags).await? {
        Pushed::Stored => {}
        Pushed::Missing(digests) => {
            let missing = Refusal::new(Code::ManifestBlobUnknown, format!("{repository} does not have it"));
            let details = digests.iter().map(|digest| json!({ "digest": digest.as_str() }));
            return Err(details.fold(missing, Refusal::detail));
        }
        Pushed::WrongSize(digest) => {
            let message = format!("the manifest states another size for {digest} than it has");
            return Err(Refusal::new(Code::ManifestInvalid, message));
        }
    }
    let mut response = StatusCode::CREATED.into_response();
    let location = format!("/v2/{repository}/manifests/{digest}");
    let said = [(header::LOCATION, location), (DOCKER_CONTENT_DIGEST, digest.to_string())].into_iter();
    let subject = read.subject.map(|subject| (OCI_SUBJECT, subject.to_string()));
    let tags = tags.iter().map(|tag| (OCI_TAG, tag.to_string()));
    for (name, value) in said.chain(subject).chain(tags) {
        response.headers_mut().append(name, value.parse().expect("names and digests are plain text"));
    }
    Ok(response)
}

async fn receive(registry: &Registry, body: Body) -> Result<Vec<u8>, Refusal> {
    let limit = registry.limits.manifest_bytes;
    let too_slow = |_| Refusal::new(Code::ManifestInvalid, "the manifest did not arrive in time");
    let received = tokio::time::timeout(registry.limits.silence, axum::body::to_bytes(body, limit)).await;
    match received.map_err(too_slow)? {
        Ok(content) => Ok(content.into()),
        Err(error) => {
            let message = format!("the manifest did not arrive, or has more than {limit} bytes: {error}");
            Err(Refusal::new(Code::ManifestInvalid, message).status(StatusCode::PAYLOAD_TOO_LARGE))
        }
    }
}

/// `tag=` may be given many times when a manifest is pushed by digest. Tags need no percent-encoding.
fn tags_in_query(query: &str) -> Result<Vec<TagName>, Refusal> {
    let mut tags = Vec::new();
    for tag in query.split('&').filter_map(|pair| pair.strip_prefix("tag=")) {
        let tag = tag.parse().map_err(|error| Refusal::new(Code::ManifestInvalid, format!("{error}")))?;
        if tags.len() == TAGS_PER_PUSH {
            return Err(Refusal::new(Code::ManifestInvalid, format!("at most {TAGS_PER_PUSH} tags at once"))
                .status(StatusCode::URI_TOO_LONG));
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// DELETE: sections "Deleting tags" and "Deleting Manifests". An image that a kept revision needs stays.
pub(super) async fn delete(
    State(registry): Shared,
    Path((project, repository, name)): ManifestPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository =
        registry.enter_repository(&headers, (&project, &repository), Permission::PushImage).await?;
    let wanted = parse_manifest_name(&name)?;
    if let ManifestName::Digest(digest) = &wanted {
        let needed = registry.needed.needed(&repository.project).await.map_err(|error| {
            tracing::error!(%error, "it could not be found out which images are needed");
            Refusal::new(Code::Unavailable, "it could not be found out whether the image is needed")
        })?;
        if needed.contains(digest) {
            let message = format!("a kept release or revision of {} needs {digest}", repository.project);
            return Err(Refusal::new(Code::Denied, message).status(StatusCode::METHOD_NOT_ALLOWED));
        }
    }
    if registry.store.delete_manifest(&repository, &wanted).await? {
        Ok(StatusCode::ACCEPTED.into_response())
    } else {
        Err(no_such_manifest(&name))
    }
}
