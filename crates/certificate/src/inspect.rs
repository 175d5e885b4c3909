//! What a certificate says, and whether it can be shown for a host. No IO.

use naru_model::{Problem, Timestamp};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Bytes of a chain, and of a key.
const CHAIN_MAX: usize = 64 * 1024;
const KEY_MAX: usize = 16 * 1024;
/// Certificates of a chain.
const LENGTH_MAX: usize = 10;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// Checks that chain and key can be shown for `host` now: that both are what they should be and belong together, that the
/// first certificate covers the host, that each is signed by the next, and that it is in force.
///
/// # Errors
/// `certificate.refused`, with what is wrong. The key is never part of it.
pub fn check(host: &str, chain: &str, key: &str, now: Timestamp) -> Result<Facts, Problem> {
    examine(host, chain, key, now).map_err(|cause| {
        Problem::new("certificate.refused", format!("this certificate cannot be used for `{host}`"))
            .cause(cause)
            .state("nothing was changed")
    })
}

fn examine(host: &str, chain: &str, key: &str, now: Timestamp) -> Result<Facts, String> {
    if chain.len() > CHAIN_MAX || key.len() > KEY_MAX {
        return Err("chain or key is larger than any".into());
    }
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the key is not a private key in PEM: {error}"))?;
    belong_together(&chain, key)?;
    covers(&chain[0], host)?;
    signs_the_one_before(&chain)?;
    let facts = facts_of(&parse(&chain[0])?)?;
    if now < facts.not_before {
        return Err(format!("it is not valid before {}", facts.not_before));
    }
    if facts.not_after <= now {
        return Err(format!("it ended {}", facts.not_after));
    }
    Ok(facts)
}

/// When the first certificate of a chain is valid.
pub(crate) fn facts(chain: &str) -> Result<Facts, String> {
    facts_of(&parse(&certificates(chain)?[0])?)
}

/// At least one.
fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the chain is not PEM: {error}"))?;
    match chain.len() {
        0 => Err("there is no certificate in the chain".into()),
        1..=LENGTH_MAX => Ok(chain),
        more => Err(format!("the chain has {more} certificates; at most {LENGTH_MAX} make sense")),
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err("something follows the certificate".into()),
        Err(error) => Err(format!("this is no certificate: {error}")),
    }
}

fn belong_together(chain: &[CertificateDer<'static>], key: PrivateKeyDer<'static>) -> Result<(), String> {
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain.to_vec(), key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("the key belongs to another certificate".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn covers(certificate: &CertificateDer<'_>, host: &str) -> Result<(), String> {
    // A star is covered by a star: any name in its place is.
    let name = match host.strip_prefix('*') {
        Some(rest) => format!("any-other-name{rest}"),
        None => host.to_owned(),
    };
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| error.to_string())?;
    let wanted = ServerName::try_from(name).map_err(|_| format!("`{host}` is not a host"))?;
    verify_server_name(&parsed, &wanted)
        .map_err(|_| format!("it is for other hosts than `{host}`: {}", names_of(certificate)))
}

fn names_of(certificate: &CertificateDer<'_>) -> String {
    let names = parse(certificate).ok().and_then(|parsed| {
        let extension = parsed.subject_alternative_name().ok()??;
        let names: Vec<String> =
            extension.value.general_names.iter().take(20).map(ToString::to_string).collect();
        Some(names.join(", "))
    });
    names.unwrap_or_else(|| "it names none".into())
}

fn signs_the_one_before(chain: &[CertificateDer<'_>]) -> Result<(), String> {
    let parsed = chain.iter().map(|one| parse(one)).collect::<Result<Vec<_>, _>>()?;
    match parsed.windows(2).position(|pair| pair[0].issuer() != pair[1].subject()) {
        None => Ok(()),
        Some(at) => Err(format!(
            "certificate {} of the chain is signed by `{}`, and the next is `{}`; the host's own comes first",
            at + 1,
            parsed[at].issuer(),
            parsed[at + 1].subject()
        )),
    }
}

fn facts_of(parsed: &X509Certificate<'_>) -> Result<Facts, String> {
    let instant = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    Ok(Facts {
        not_before: instant(parsed.validity().not_before.timestamp())?,
        not_after: instant(parsed.validity().not_after.timestamp())?,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn signed(by: &CertifiedIssuer<'_, KeyPair>, host: &str, years: (i32, i32)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_fits_is_taken_and_everything_else_is_named() {
        let authority = issuer("authority");
        let (chain, key) = signed(&authority, "shop.test", (2026, 2027));
        let facts = check("shop.test", &chain, &key, now()).unwrap();
        assert_eq!(facts.not_after.to_string(), "2027-01-01T00:00:00Z");
        let whole = format!("{chain}{}", authority.pem());
        assert!(check("shop.test", &whole, &key, now()).is_ok());

        let (star, star_key) = signed(&authority, "*.shop.test", (2026, 2027));
        assert!(check("*.shop.test", &star, &star_key, now()).is_ok());
        assert!(check("a.shop.test", &star, &star_key, now()).is_ok());

        let (_, other_key) = signed(&authority, "shop.test", (2026, 2027));
        let (ended, ended_key) = signed(&authority, "shop.test", (2024, 2025));
        let (early, early_key) = signed(&authority, "shop.test", (2027, 2028));
        let turned = format!("{}{chain}", authority.pem());
        let strangers = format!("{chain}{}", issuer("stranger").pem());
        let mut causes = Vec::new();
        for (host, chain, key) in [
            ("shop.test", chain.as_str(), other_key.as_str()),
            ("other.test", &chain, &key),
            ("*.shop.test", &chain, &key),
            ("b.a.shop.test", &star, &star_key),
            ("shop.test", &ended, &ended_key),
            ("shop.test", &early, &early_key),
            ("shop.test", "", &key),
            ("shop.test", "nonsense", &key),
            ("shop.test", &chain, "nonsense"),
            ("shop.test", &chain, &chain),
            ("shop.test", &turned, &key),
            ("shop.test", &strangers, &key),
            ("shop.test", &chain.repeat(11), &key),
            ("shop.test", &"x".repeat(100_000), &key),
        ] {
            let problem = check(host, chain, key, now()).unwrap_err();
            assert_eq!(problem.code, "certificate.refused");
            assert!(!problem.to_string().contains("PRIVATE"), "{problem}");
            causes.push(problem.cause[0].clone());
        }
        assert_eq!(causes[0], "the key belongs to another certificate");
        assert_eq!(causes[1], "it is for other hosts than `other.test`: DNSName(shop.test)");
        assert_eq!(causes[4], "it ended 2025-01-01T00:00:00Z");
        assert_eq!(causes[5], "it is not valid before 2027-01-01T00:00:00Z");
        assert_eq!(causes[6], "there is no certificate in the chain");
        assert!(causes[11].starts_with("certificate 1 of the chain is signed by"), "{}", causes[11]);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let authority = issuer("authority");
        let (chain, key) = signed(&authority, "shop.test", (2026, 2027));
        for at in (0..chain.len()).step_by(7) {
            let mut cut = chain.clone().into_bytes();
            cut[at] = cut[at].wrapping_add(1) & 0x7f;
            // Whatever it says, it says it without a panic.
            let _ = check("shop.test", std::str::from_utf8(&cut).unwrap(), &key, now());
        }
    }
}
