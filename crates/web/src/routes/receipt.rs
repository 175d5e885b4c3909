//! Receipts of rollouts: showing them, and checking those that somebody brings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{ReceiptKeys, SignedReceipt, VerifiedReceipt};
use naru_model::receipt::{Envelope, PAYLOAD_TYPE, Receipt};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, RevisionNumber};
use naru_secret::{VerifyError, verify};

use crate::Cx;
use crate::access::Chosen;
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::environment::{OneRevision, revision};

/// The receipt of the rollout to a revision.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/revisions/{revision}/receipt",
    operation_id = "showReceipt", tag = "revision",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), ("revision" = RevisionNumber, Path)),
    responses((status = 200, body = SignedReceipt), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<OneRevision>,
) -> Result<Json<SignedReceipt>> {
    let (key, row) = revision(&cx, &chosen, path).await?;
    let newest = newest(&cx, &key, row.number).await?;
    newest.transpose()?.map(|(_, signed)| Json(signed)).ok_or_else(|| {
        let problem = Problem::new("api.missing", format!("revision {} has no receipt yet", row.number))
            .cause("a receipt is signed when the rollout has ended and the old replicas are gone")
            .hint("see how far it is:")
            .command(format!("naru status --project {} --environment {}", key.project, key.environment));
        Failure::new(StatusCode::NOT_FOUND, problem)
    })
}

/// The newest receipt of the rollout to a revision, if there is one yet, with the key by which its signature verifies; or
/// why it does not.
pub(crate) async fn newest(
    cx: &Cx,
    key: &EnvironmentKey,
    revision: RevisionNumber,
) -> Result<Option<Result<(String, SignedReceipt), NotAuthentic>>> {
    let Some(newest) = cx.store.receipts(key, revision).await?.into_iter().next() else { return Ok(None) };
    Ok(Some(read(cx, &newest.envelope).map(|(key, receipt)| {
        (key, SignedReceipt { issued_at: newest.at, receipt, envelope: newest.envelope })
    })))
}

/// The keys that receipts of this instance can be checked with, oldest first.
#[utoipa::path(get, path = "/api/v1/receipt-keys", operation_id = "listReceiptKeys", tag = "instance",
    responses((status = 200, body = ReceiptKeys), (status = "default", body = Problem)))]
pub(crate) async fn keys(State(cx): State<Cx>) -> Json<ReceiptKeys> {
    Json(ReceiptKeys { keys: cx.keys.public_keys() })
}

/// Says whether a receipt was signed by this instance and is unchanged.
#[utoipa::path(post, path = "/api/v1/receipts/verify", operation_id = "verifyReceipt", tag = "instance",
    request_body = Envelope,
    responses((status = 200, body = VerifiedReceipt), (status = "default", body = Problem)))]
pub(crate) async fn check(
    State(cx): State<Cx>,
    Body(envelope): Body<Envelope>,
) -> Result<Json<VerifiedReceipt>> {
    let (key, receipt) = read(&cx, &envelope)?;
    Ok(Json(VerifiedReceipt { key, receipt }))
}

/// Why a document is no receipt that this instance signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAuthentic {
    /// No key of this instance signed it as it is.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// It is signed as something else.
    #[error("its type is not {PAYLOAD_TYPE}")]
    OtherType,
    /// Its content is none that this version knows.
    #[error("{0}")]
    Unreadable(String),
}

impl From<NotAuthentic> for Failure {
    fn from(why: NotAuthentic) -> Self {
        Self::refused(
            Problem::new("receipt.not-authentic", "this is no receipt that this instance signed")
                .cause(why.to_string())
                .hint("ask the instance that is named in it, or show it again:")
                .command("naru receipt show"),
        )
    }
}

/// What an envelope holds, and by which key, if it is one of ours.
fn read(cx: &Cx, envelope: &Envelope) -> Result<(String, Receipt), NotAuthentic> {
    let keys = cx.keys.public_keys();
    let payload = verify(envelope, &keys)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(NotAuthentic::OtherType);
    }
    let receipt =
        serde_json::from_slice(&payload).map_err(|error| NotAuthentic::Unreadable(error.to_string()))?;
    let signed = |key: &String| envelope.signatures.iter().any(|signature| signature.keyid == *key);
    let key = keys.into_iter().map(|key| key.id).find(signed).unwrap_or_default();
    Ok((key, receipt))
}
