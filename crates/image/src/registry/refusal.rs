//! Errors as registry clients read them: the JSON body and codes of the OCI distribution specification, section
//! "Error Codes".

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use naru_store::StoreError;
use serde_json::json;

/// The specification's codes, and `UNAVAILABLE` for what it leaves to the server (status 5xx).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    Unavailable,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The status this code goes with, where a case does not ask for another.
    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestBlobUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request that was turned away.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
    detail: Vec<serde_json::Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let mut refusal = Self {
            status: code.status(),
            code,
            message: message.into(),
            detail: Vec::new(),
            headers: Vec::new(),
        };
        match code {
            Code::Unauthorized => {
                let scheme = HeaderValue::from_static("Basic realm=\"Naru\"");
                refusal.headers.push((header::WWW_AUTHENTICATE, scheme));
            }
            Code::TooManyRequests | Code::Unavailable => {
                refusal.headers.push((header::RETRY_AFTER, HeaderValue::from_static("5")));
            }
            _ => {}
        }
        refusal
    }

    /// Answers with another status than the code's usual one.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// One error per detail, with the same code and message.
    pub(crate) fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail.push(detail);
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, message) = (self.code.as_str(), self.message);
        let errors: Vec<_> = if self.detail.is_empty() {
            vec![json!({ "code": code, "message": message })]
        } else {
            let with = |detail| json!({ "code": code, "message": message, "detail": detail });
            self.detail.into_iter().map(with).collect()
        };
        let mut response = Response::new(Body::from(json!({ "errors": errors }).to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the registry could not use its database");
        Self::new(Code::Unavailable, "the registry's database does not answer; try again in a moment")
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            tracing::error!(%error, "the registry's disk is full");
            return Self::new(
                Code::Unavailable,
                "the registry's disk is full; nothing of this upload was kept, images pushed before are intact",
            )
            .status(StatusCode::INSUFFICIENT_STORAGE);
        }
        tracing::error!(%error, "the registry could not read or write its blobs");
        Self::new(Code::Unavailable, "the registry could not read or write its blobs")
            .status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
