//! The certificates in use, by name, and what their hosts ask of visitors. Swapped as a whole: a handshake or a
//! request sees one table or the next, never half of each.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;

use crate::tls_table::{Certificate, TlsTable, TlsTableError};

/// Sessions of clients that cannot keep tickets.
const SESSIONS: usize = 4_096;

/// What is in force.
#[derive(Default)]
pub(super) struct Shelf {
    current: ArcSwap<Laid>,
}

#[derive(Default)]
struct Laid {
    table: TlsTable,
    hosts: HashMap<Box<str>, HostEntry>,
}

struct HostEntry {
    key: Arc<CertifiedKey>,
    redirect: bool,
    hsts: Option<HeaderValue>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("hosts", &self.current.load().hosts.len()).finish()
    }
}

impl Shelf {
    /// Puts a table in force; on an error the one before stays.
    pub(super) fn lay(&self, table: TlsTable) -> Result<(), TlsTableError> {
        if self.current.load().table == table {
            return Ok(());
        }
        table.check()?;
        let provider = provider();
        let mut hosts = HashMap::new();
        for certificate in &table.certificates {
            let key = Arc::new(usable(certificate, &provider)?);
            for host in &certificate.hosts {
                let entry = HostEntry {
                    key: Arc::clone(&key),
                    redirect: host.redirect,
                    hsts: host.hsts_s.and_then(|s| HeaderValue::try_from(format!("max-age={s}")).ok()),
                };
                hosts.insert(host.host.as_str().into(), entry);
            }
        }
        self.current.store(Arc::new(Laid { table, hosts }));
        Ok(())
    }

    /// What is in force.
    pub(super) fn table(&self) -> TlsTable {
        self.current.load().table.clone()
    }

    /// The port that requests to the plain port are sent on to, when this host has a certificate and wants that.
    pub(super) fn redirect(&self, host: &str) -> Option<u16> {
        let laid = self.current.load();
        laid.hosts.get(host).filter(|entry| entry.redirect).map(|_| laid.table.port)
    }

    /// What browsers are told about this host's future.
    pub(super) fn hsts(&self, host: &str) -> Option<HeaderValue> {
        self.current.load().hosts.get(host)?.hsts.clone()
    }

    /// The answer to a challenge that the edge was told of.
    pub(super) fn challenge(&self, token: &str) -> Option<String> {
        self.current.load().table.challenges.get(token).cloned()
    }

    /// Hosts with a certificate.
    pub(super) fn hosts(&self) -> BTreeMap<String, bool> {
        let laid = self.current.load();
        laid.hosts.iter().map(|(host, entry)| (host.to_string(), entry.redirect)).collect()
    }
}

impl ResolvesServerCert for Shelf {
    /// A client that names no host, or one without a certificate, gets none: the handshake ends with an alert.
    /// Another host's certificate would tell it who else lives here, and a made-up one would teach people to click
    /// warnings away.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let laid = self.current.load();
        laid.hosts.get(hello.server_name()?).map(|entry| Arc::clone(&entry.key))
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Chain and key as rustls wants them; refuses a key that belongs to another certificate.
fn usable(certificate: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, TlsTableError> {
    let unusable = |cause: String| TlsTableError::Unusable {
        host: certificate.hosts.first().map(|host| host.host.clone()).unwrap_or_default(),
        cause,
    };
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
        .map_err(|error| unusable(error.to_string()))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| unusable(error.to_string()))
}

/// TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, sessions resumed by tickets or from memory; no early data, which could
/// be replayed.
pub(super) fn server_config(shelf: Arc<Shelf>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shelf);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}
