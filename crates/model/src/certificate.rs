//! Certificates: where they come from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a certificate comes from. For a host that has several, the first of these is shown.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateSource {
    /// Somebody gave it.
    Own,
    /// An authority gave it by ACME (RFC 8555).
    Acme,
    /// The authority of this instance signed it; browsers have to be told to trust that.
    Local,
}

impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Acme => "acme",
            Self::Local => "local",
        })
    }
}

impl FromStr for CertificateSource {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "own" => Ok(Self::Own),
            "acme" => Ok(Self::Acme),
            "local" => Ok(Self::Local),
            _ => Err("this is no source of certificates"),
        }
    }
}
