//! Certificates on the wire. Private keys go in and never come out.

use serde::{Deserialize, Serialize};

use crate::certificate::CertificateSource;
use crate::time::Timestamp;

/// The certificate of a host, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    /// The host; `*.example.com` stands for one more name before it.
    pub host: String,
    /// Whether a route leads from this host to a service.
    pub routed: bool,
    /// Where the certificate comes from that visitors are shown; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<CertificateSource>,
    /// From when on it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// When the next one is asked for; absent for certificates that somebody gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub renews_at: Option<Timestamp>,
    /// Why a certificate that is wanted could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<CertificateTrouble>,
}

/// Why a certificate could not be had. What serves goes on meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CertificateTrouble {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// How often it was tried since.
    pub attempts: u32,
    /// What was seen last.
    pub reason: String,
    /// When it is tried again.
    #[schema(value_type = String, format = DateTime)]
    pub next_attempt: Timestamp,
}

/// A certificate that somebody gives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CertificateUpload {
    /// The chain in PEM, the host's own certificate first.
    pub chain: String,
    /// Its private key in PEM.
    pub key: String,
}

impl std::fmt::Debug for CertificateUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateUpload").finish_non_exhaustive()
    }
}

/// The authority that signs certificates for local development.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CertificateAuthority {
    /// Its own certificate in PEM, to be trusted by browsers and clients.
    pub certificate: String,
}

/// What the hosts of an environment ask of visitors, once they have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Transport {
    /// Whether plain requests are sent on to TLS.
    pub redirect: bool,
    /// For how many seconds browsers shall use nothing but TLS (`Strict-Transport-Security`); absent: nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts_s: Option<u64>,
}

impl Default for Transport {
    fn default() -> Self {
        Self { redirect: true, hsts_s: None }
    }
}
