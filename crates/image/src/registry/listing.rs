//! Lists: a repository's tags, and what refers to a manifest.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};
use naru_model::TagName;
use naru_model::authorise::Permission;
use naru_store::image::Referrer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::access::parse_digest;
use super::document::OCI_INDEX;
use super::refusal::{Code, Refusal};

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A page of tags when nothing smaller was asked for.
const TAGS: u32 = 1000;

/// A page of referrers; with their annotations they fit a manifest.
const REFERRERS: u32 = 200;

#[derive(Debug, Deserialize)]
pub(super) struct TagPage {
    n: Option<u32>,
    last: Option<String>,
}

/// GET: section "Listing Tags". Tags are in byte order.
pub(super) async fn tags(
    State(registry): Shared,
    Path((project, name)): Path<(String, String)>,
    Query(page): Query<TagPage>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &name), Permission::Read).await?;
    let limit = page.n.unwrap_or(TAGS).min(TAGS);
    let found = registry.store.tags(&repository, page.last.as_deref(), limit + 1).await?;
    let Some(mut tags) = found else {
        return Err(Refusal::new(Code::NameUnknown, format!("nothing was ever pushed to {repository}")));
    };
    let more = tags.len() > limit as usize;
    tags.truncate(limit as usize);
    let mut response = axum::Json(json!({
        "name": repository.to_string(),
        "tags": tags.iter().map(TagName::as_str).collect::<Vec<_>>(),
    }))
    .into_response();
    if let Some(last) = tags.last().filter(|_| more) {
        let link = format!("</v2/{repository}/tags/list?n={limit}&last={last}>; rel=\"next\"");
        response.headers_mut().insert(header::LINK, link.parse().expect("names are plain text"));
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
pub(super) struct ReferrerPage {
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    last: Option<String>,
}

/// GET: section "Listing Referrers".
pub(super) async fn referrers(
    State(registry): Shared,
    Path((project, name, digest)): Path<(String, String, String)>,
    Query(page): Query<ReferrerPage>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = registry.enter_repository(&headers, (&project, &name), Permission::Read).await?;
    let subject = parse_digest(&digest)?;
    let kind = page.artifact_type.as_deref();
    let mut found =
        registry.store.referrers(&repository, &subject, kind, page.last.as_deref(), REFERRERS + 1).await?;
    let more = found.len() > REFERRERS as usize;
    found.truncate(REFERRERS as usize);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": found.iter().map(descriptor).collect::<Vec<_>>(),
    });
    let mut response = ([(header::CONTENT_TYPE, OCI_INDEX)], Body::from(index.to_string())).into_response();
    if kind.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, http::HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = found.last().filter(|_| more) {
        let mut query = format!("last={}", last.digest);
        if let Some(kind) = kind {
            query.push_str("&artifactType=");
            percent_encode(kind, &mut query);
        }
        let link = format!("</v2/{repository}/referrers/{subject}?{query}>; rel=\"next\"");
        response.headers_mut().insert(header::LINK, link.parse().expect("encoded as plain text"));
    }
    Ok(response)
}

fn descriptor(referrer: &Referrer) -> Value {
    let mut descriptor = json!({
        "mediaType": referrer.media_type,
        "digest": referrer.digest.as_str(),
        "size": referrer.size,
    });
    if let Some(artifact_type) = &referrer.artifact_type {
        descriptor["artifactType"] = json!(artifact_type);
    }
    if !referrer.annotations.is_empty() {
        descriptor["annotations"] = json!(referrer.annotations);
    }
    descriptor
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}"); // writing to a String does not fail
        }
    }
}
