//! What the edge is told about TLS, as a whole: certificates, what their hosts ask of visitors, and challenges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Certificates in one table.
const CERTIFICATES_MAX: usize = 10_000;
/// Hosts in one table.
const HOSTS_MAX: usize = 20_000;
/// Challenges in one table.
const CHALLENGES_MAX: usize = 1_000;
/// Bytes of a token, and of the answer to it. RFC 8555 §8.1 has about 40 and 90.
const CHALLENGE_BYTES_MAX: usize = 512;

/// Everything at once. Published again as a whole whenever anything in it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsTable {
    /// The port at which visitors reach the TLS listener, for redirects.
    pub port: u16,
    /// Every certificate with the hosts it is shown for.
    pub certificates: Vec<Certificate>,
    /// Answers to HTTP-01 challenges by token (RFC 8555 §8.3): the key authorization.
    pub challenges: BTreeMap<String, String>,
}

/// One certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Who it is shown for.
    pub hosts: Vec<TlsHost>,
    /// The chain in PEM, the host's own certificate first.
    pub chain: String,
    /// The private key in PEM.
    pub key: String,
}

/// What visitors of a host are asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsHost {
    /// Lower case, without port.
    pub host: String,
    /// Whether requests to the plain port are sent on to TLS.
    pub redirect: bool,
    /// For how many seconds browsers shall use nothing but TLS (RFC 6797); absent: nothing is said.
    pub hsts_s: Option<u64>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Why a table is refused. Publishing it again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsTableError {
    /// More than fits.
    #[error("{0} {1}; at most {2} fit")]
    TooMany(usize, &'static str, usize),
    /// A host that is not a lower-case name without port.
    #[error("host {0:?} is not a lower-case name without port")]
    Host(String),
    /// Two certificates for one host.
    #[error("{0} is named twice")]
    Twice(String),
    /// A token or an answer that is none.
    #[error("{0:?} is no challenge")]
    Challenge(String),
    /// Chain and key cannot be used.
    #[error("the certificate of {host} cannot be used: {cause}")]
    Unusable {
        /// One of its hosts.
        host: String,
        /// What is wrong.
        cause: String,
    },
}

impl TlsTable {
    /// Checks everything but chains and keys.
    pub(crate) fn check(&self) -> Result<(), TlsTableError> {
        let hosts = self.certificates.iter().map(|certificate| certificate.hosts.len()).sum();
        let counts = [
            (self.certificates.len(), "certificates", CERTIFICATES_MAX),
            (hosts, "hosts", HOSTS_MAX),
            (self.challenges.len(), "challenges", CHALLENGES_MAX),
        ];
        if let Some(&(count, what, most)) = counts.iter().find(|(count, _, most)| count > most) {
            return Err(TlsTableError::TooMany(count, what, most));
        }
        let mut seen = BTreeSet::new();
        for host in self.certificates.iter().flat_map(|certificate| &certificate.hosts) {
            if !is_host(&host.host) {
                return Err(TlsTableError::Host(host.host.clone()));
            }
            if !seen.insert(&host.host) {
                return Err(TlsTableError::Twice(host.host.clone()));
            }
        }
        match self.challenges.iter().find(|(token, answer)| !is_challenge(token, answer)) {
            Some((token, _)) => Err(TlsTableError::Challenge(token.clone())),
            None => Ok(()),
        }
    }
}

fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

/// Base64url, and the answer is the token, a dot, and base64url.
fn is_challenge(token: &str, answer: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= CHALLENGE_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    plain(token) && answer.strip_prefix(token).and_then(|rest| rest.strip_prefix('.')).is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_host(host: &str) -> TlsTable {
        let host = TlsHost { host: host.into(), redirect: true, hsts_s: None };
        let certificate = Certificate { hosts: vec![host], chain: String::new(), key: "secret".into() };
        TlsTable { certificates: vec![certificate], ..TlsTable::default() }
    }

    #[test]
    fn hosts_are_lower_case_and_named_once() {
        assert_eq!(with_host("shop.test").check(), Ok(()));
        for bad in ["", "Shop.test", "shop.test:80", "*.test", "a b", ".test"] {
            assert_eq!(with_host(bad).check(), Err(TlsTableError::Host(bad.into())));
        }
        let mut twice = with_host("shop.test");
        twice.certificates.extend(with_host("shop.test").certificates);
        assert_eq!(twice.check(), Err(TlsTableError::Twice("shop.test".into())));
    }

    #[test]
    fn challenges_cannot_carry_anything_else() {
        let verdict = |token: &str, answer: &str| {
            let challenges = BTreeMap::from([(token.to_owned(), answer.to_owned())]);
            TlsTable { challenges, ..TlsTable::default() }.check().is_ok()
        };
        assert!(verdict("tok-en_1", "tok-en_1.abc"));
        assert!(!verdict("../x", "../x.abc"));
        assert!(!verdict("token", "other.abc"));
        assert!(!verdict("token", "token.<script>"));
        assert!(!verdict("", ".abc"));
    }

    #[test]
    fn keys_are_not_printed() {
        assert!(!format!("{:?}", with_host("shop.test")).contains("secret"));
    }
}
