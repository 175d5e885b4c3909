//! Asking for what is due, and telling the edge everything that is kept. Two loops: an authority that takes its time
//! keeps nobody waiting for a certificate that is there.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use naru_edge::{Certificate, TlsHost, TlsTable};
use naru_model::Timestamp;
use naru_model::api::Transport;
use naru_model::certificate::CertificateSource;
use naru_secret::{ExposeSecret as _, SecretString, place};
use naru_store::certificate::{RoutedHost, StoredCertificate};
use naru_store::lease::Lease;

use crate::{Certificates, Error, choose, inspect};

/// Who looks after certificates, of several processes on one store.
const LEASE: &str = "certificates";
/// Orders at once: authorities bound what one client may have under way.
const AT_ONCE: usize = 4;
/// Who gave them.
const BY: &str = "naru";

impl Certificates {
    /// Asks for what is due, and tells the edge what was had. Repeating it is harmless.
    ///
    /// # Errors
    /// When rows, key or edge do not answer. A certificate that cannot be had is no error: it is written down, and tried
    /// again later.
    pub async fn ask(&self) -> Result<(), Error> {
        let Some(lease) = self.store.lease(LEASE).await? else { return Ok(()) };
        let away = OnceLock::new();
        let orders = self.due().await?.into_iter().map(|due| self.have(&lease, due, &away));
        a_few_at_once(orders).await
    }

    /// Asks for one certificate, tells the edge when it was had, and writes it down when it was not. An authority that is
    /// found to be `away` is asked by those that are under way, not once per host.
    async fn have(
        &self,
        lease: &Lease,
        (host, source): (String, CertificateSource),
        away: &OnceLock<String>,
    ) -> Result<(), Error> {
        let had = match (away.get(), source) {
            (Some(reason), CertificateSource::Acme) => Err(Error::Away(reason.clone())),
            _ => self.store.guard(lease, self.get(&host, source)).await?,
        };
        match had {
            Ok(()) => self.publish().await,
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => {
                self.failed(&host, &error).await?;
                if let Error::Away(reason) = error {
                    let _ = away.set(reason);
                }
                Ok(())
            }
        }
    }

    /// Tells the edge, when this process is the one that does.
    ///
    /// # Errors
    /// When rows, key or edge do not answer.
    pub async fn tell(&self) -> Result<(), Error> {
        match self.store.lease(LEASE).await? {
            Some(lease) => self.store.guard(&lease, self.publish()).await?,
            None => Ok(()),
        }
    }

    async fn due(&self) -> Result<Vec<(String, CertificateSource)>, Error> {
        let Some(_) = self.port else { return Ok(Vec::new()) };
        let now = self.store.now();
        let kept = self.store.certificates().await?;
        let troubles = self.store.certificate_troubles().await?;
        let hosts = by_host(self.store.routed_hosts().await?);
        for host in troubles.keys().filter(|host| !hosts.contains_key(*host)) {
            self.store.forget_certificate_trouble(host).await?;
        }
        let due = hosts.into_keys().filter_map(|host| {
            let source = choose::due(&host, &kept, troubles.get(&host), &self.settings, now)?;
            Some((host, source))
        });
        Ok(due.collect())
    }

    /// Gets one certificate.
    async fn get(&self, host: &str, source: CertificateSource) -> Result<(), Error> {
        let (chain, key) = match (&self.settings.acme, source) {
            (Some(acme), CertificateSource::Acme) => self.order(acme, host).await?,
            _ => self.sign(host).await?,
        };
        let now = self.now_of(source, &chain)?;
        let facts = inspect::check(host, &chain, key.expose_secret(), now)
            .map_err(|problem| Error::Authority(problem.cause.join("; ")))?;
        self.keep(host, source, chain, &key, facts, BY).await?;
        tracing::info!(host, %source, until = %facts.not_after, "a certificate was had");
        Ok(())
    }

    /// The hour that a new certificate is checked at: an authority's clock may be a little ahead.
    fn now_of(&self, source: CertificateSource, chain: &str) -> Result<Timestamp, Error> {
        let now = self.store.now();
        match source {
            CertificateSource::Acme => {
                let facts = inspect::facts(chain).map_err(Error::Authority)?;
                Ok(now.max(facts.not_before))
            }
            _ => Ok(now),
        }
    }

    async fn failed(&self, host: &str, error: &Error) -> Result<(), Error> {
        let before = self.store.certificate_troubles().await?.get(host).map_or(0, |trouble| trouble.attempts);
        let pause = choose::pause(before + 1);
        tracing::warn!(host, %error, again_in_s = pause.as_secs(), "no certificate could be had");
        let next = self.store.now().saturating_add(pause).unwrap_or(Timestamp::MAX);
        self.store.certificate_failed(host, &error.to_string(), next).await?;
        // The challenge is over.
        self.publish().await
    }

    /// Seals and keeps a certificate that was checked.
    pub(crate) async fn keep(
        &self,
        host: &str,
        source: CertificateSource,
        chain: String,
        key: &SecretString,
        facts: inspect::Facts,
        by: &str,
    ) -> Result<(), Error> {
        let key = self.keys.seal_own(&place::certificate(source, host), key)?.to_string();
        let inspect::Facts { not_before, not_after } = facts;
        let by = by.to_owned();
        let stored =
            StoredCertificate { host: host.to_owned(), source, chain, key, not_before, not_after, by };
        Ok(self.store.put_certificate(&stored).await?)
    }

    /// Tells the edge everything it needs to know.
    pub(crate) async fn publish(&self) -> Result<(), Error> {
        let Some(port) = self.port else { return Ok(()) };
        let _turn = self.turns.edge.lock().await;
        let table = self.table(port).await?;
        Ok(self.edge.secure(&table).await?)
    }

    async fn table(&self, port: u16) -> Result<TlsTable, Error> {
        let kept = self.store.certificates().await?;
        let now = self.store.now();
        let mut certificates: BTreeMap<(&str, CertificateSource), Certificate> = BTreeMap::new();
        for (host, transport) in by_host(self.store.routed_hosts().await?) {
            let Some(shown) = choose::shown(&host, &kept, &self.settings, now) else { continue };
            let host = TlsHost { host, redirect: transport.redirect, hsts_s: transport.hsts_s };
            let place = (shown.host.as_str(), shown.source);
            if let Some(certificate) = certificates.get_mut(&place) {
                certificate.hosts.push(host);
                continue;
            }
            match self.keys.open_own(&place::certificate(shown.source, &shown.host), &shown.key.parse()?) {
                Ok(key) => {
                    let (chain, key) = (shown.chain.clone(), key.expose_secret().to_owned());
                    certificates.insert(place, Certificate { hosts: vec![host], chain, key });
                }
                Err(error) => tracing::error!(host = host.host, %error, "a private key does not open"),
            }
        }
        let challenges = self.store.acme_challenges().await?;
        Ok(TlsTable { port, certificates: certificates.into_values().collect(), challenges })
    }
}

/// Carries out orders, so that one that is slow does not hold up the others. The first failure ends it.
async fn a_few_at_once<E>(
    orders: impl Iterator<Item = impl Future<Output = Result<(), E>>>,
) -> Result<(), E> {
    stream::iter(orders).buffer_unordered(AT_ONCE).try_collect().await
}

/// Hosts, each once. One that leads to several environments asks of visitors what all of them ask.
pub(crate) fn by_host(routed: Vec<RoutedHost>) -> BTreeMap<String, Transport> {
    let mut hosts: BTreeMap<String, Transport> = BTreeMap::new();
    for RoutedHost { host, transport, .. } in routed {
        hosts
            .entry(host)
            .and_modify(|before| {
                before.redirect &= transport.redirect;
                before.hsts_s = before.hsts_s.zip(transport.hsts_s).map(|(a, b)| a.min(b));
            })
            .or_insert(transport);
    }
    hosts
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_slow_order_does_not_hold_up_the_others() {
        let (under_way, most, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let (free, waits) = tokio::sync::oneshot::channel::<()>();
        let (mut free, mut waits) = (Some(free), Some(waits));
        let orders = (0..20).map(|number| {
            // The first waits for the last.
            let waits = waits.take();
            let free = (number == 19).then(|| free.take()).flatten();
            let (under_way, most, done) = (&under_way, &most, &done);
            async move {
                under_way.set(under_way.get() + 1);
                most.set(most.get().max(under_way.get()));
                match waits {
                    Some(waits) => waits.await.unwrap(),
                    None => tokio::task::yield_now().await,
                }
                if let Some(free) = free {
                    free.send(()).unwrap();
                }
                under_way.set(under_way.get() - 1);
                done.set(done.get() + 1);
                Ok::<(), Error>(())
            }
        });
        let all = tokio::time::timeout(std::time::Duration::from_mins(1), a_few_at_once(orders)).await;
        all.expect("the first held up the last").unwrap();
        assert_eq!((most.get(), done.get()), (AT_ONCE, 20));
    }
}
