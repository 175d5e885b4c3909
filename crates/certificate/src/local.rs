//! The authority of this instance, for development: made once, its key sealed in the store. Browsers trust what it signs
//! after somebody told them to (`naru certificate authority`).

use std::time::Duration;

use naru_model::Timestamp;
use naru_secret::{ExposeSecret as _, SecretString, place};
use naru_store::certificate::StoredAuthority;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::{Certificates, Error};

/// How long the authority lasts, and what it signs. Browsers take no more than 825 days from one that was added by hand.
const AUTHORITY_LASTS: Duration = Duration::from_hours(24 * 365 * 10);
const CERTIFICATE_LASTS: Duration = Duration::from_hours(24 * 90);
/// Clocks of clients differ.
const EARLIER: Duration = Duration::from_hours(1);

impl Certificates {
    /// The authority, which is made when it is asked for the first time.
    pub(crate) async fn authority(&self) -> Result<StoredAuthority, Error> {
        if let Some(authority) = self.store.local_authority().await? {
            return Ok(authority);
        }
        let (certificate, key) = make_authority(self.store.now())?;
        let key = self.keys.seal_own(place::LOCAL_AUTHORITY, &SecretString::from(key))?.to_string();
        self.store.put_local_authority(&StoredAuthority { certificate, key }).await?;
        // Another process may have been first.
        self.store.local_authority().await?.ok_or_else(|| Error::Authority("it did not stay".into()))
    }

    /// Signs a certificate: its chain and its key, in PEM.
    pub(crate) async fn sign(&self, host: &str) -> Result<(String, SecretString), Error> {
        let authority = self.authority().await?;
        let key = self.keys.open_own(place::LOCAL_AUTHORITY, &authority.key.parse()?)?;
        let (chain, key) = sign(host, &authority.certificate, key.expose_secret(), self.store.now())?;
        Ok((chain, SecretString::from(key)))
    }
}

fn make_authority(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = lasting(CertificateParams::new(Vec::new())?, now, AUTHORITY_LASTS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, "Naru");
    params.distinguished_name.push(DnType::CommonName, "Naru local development");
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn sign(host: &str, authority: &str, key: &str, now: Timestamp) -> Result<(String, String), Error> {
    let authority_key = KeyPair::from_pem(key)?;
    let certificate = CertificateDer::from_pem_slice(authority.as_bytes())
        .map_err(|error| Error::Authority(error.to_string()))?;
    let issuer = Issuer::from_ca_cert_der(&certificate, authority_key)?;
    let own = KeyPair::generate()?;
    let mut params = lasting(CertificateParams::new([host.to_owned()])?, now, CERTIFICATE_LASTS);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, host);
    let signed = params.signed_by(&own, &issuer)?;
    Ok((format!("{}{authority}", signed.pem()), own.serialize_pem()))
}

fn lasting(mut params: CertificateParams, now: Timestamp, lasts: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    params.not_before = epoch + since.saturating_sub(EARLIER);
    params.not_after = epoch + since + lasts;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect;

    #[test]
    fn what_it_signs_can_be_shown() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let (authority, key) = make_authority(now).unwrap();
        let (chain, own) = sign("shop.localhost", &authority, &key, now).unwrap();
        let facts = inspect::check("shop.localhost", &chain, &own, now).unwrap();
        assert_eq!(facts.not_before.to_string(), "2026-11-21T09:00:00Z");
        assert_eq!(facts.not_after.to_string(), "2027-02-19T10:00:00Z");
        assert!(inspect::check("other.localhost", &chain, &own, now).is_err());
    }
}
