//! Which certificate a host is shown, where the next comes from, and when. Pure.

use std::time::Duration;

use naru_model::Timestamp;
use naru_model::certificate::CertificateSource;
use naru_store::certificate::{StoredCertificate, Trouble};

use crate::Settings;

/// The first pause after an attempt that failed; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_mins(1);
/// And the longest.
const PAUSE_MOST: Duration = Duration::from_hours(6);

/// Where a certificate for this host is taken from by itself; none for hosts that no authority would vouch for.
pub fn automatic(host: &str, settings: &Settings) -> Option<CertificateSource> {
    let below =
        |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if below("localhost") || settings.local.iter().any(|domain| below(domain)) {
        return Some(CertificateSource::Local);
    }
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    let is_name = host.contains('.') && !is_address;
    (settings.acme.is_some() && is_name).then_some(CertificateSource::Acme)
}

/// The certificate that visitors of a host are shown: one that somebody gave before one by ACME before a local one; an
/// ended one only when there is no other.
pub fn shown<'a>(
    host: &str,
    kept: &'a [StoredCertificate],
    settings: &Settings,
    now: Timestamp,
) -> Option<&'a StoredCertificate> {
    let automatic = automatic(host, settings);
    kept.iter()
        .filter(|one| covers(&one.host, host))
        .filter(|one| one.source != CertificateSource::Local || automatic == Some(CertificateSource::Local))
        .min_by_key(|one| (one.not_after <= now, one.source, one.host != host))
}

/// Whether a certificate kept for `kept` is for `host`: the same, or `*.` and what follows the first dot.
fn covers(kept: &str, host: &str) -> bool {
    kept == host
        || kept.strip_prefix('*').is_some_and(|rest| {
            host.split_once('.').is_some_and(|(_, parent)| rest.strip_prefix('.') == Some(parent))
        })
}

/// At two thirds of its life.
pub fn renews_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life_ms = not_after.as_millisecond() - not_before.as_millisecond();
    let at = not_before.as_millisecond() + life_ms / 3 * 2;
    Timestamp::from_millisecond(at).unwrap_or(not_after)
}

/// Where to ask for a certificate for this host now, if anywhere.
pub fn due(
    host: &str,
    kept: &[StoredCertificate],
    trouble: Option<&Trouble>,
    settings: &Settings,
    now: Timestamp,
) -> Option<CertificateSource> {
    let source = automatic(host, settings)?;
    let good = |one: &StoredCertificate| covers(&one.host, host) && now < one.not_after;
    if kept.iter().any(|one| one.source == CertificateSource::Own && good(one)) {
        return None;
    }
    let fresh = |one: &StoredCertificate| {
        one.host == host && one.source == source && now < renews_at(one.not_before, one.not_after)
    };
    let waits = trouble.is_some_and(|trouble| now < trouble.next_attempt);
    (!kept.iter().any(fresh) && !waits).then_some(source)
}

/// How long to wait after this many attempts that failed.
pub fn pause(attempts: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(PAUSE_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AcmeSettings;

    fn settings() -> Settings {
        let acme = AcmeSettings { directory: "https://acme.test".into(), contact: None, root: None };
        Settings { acme: Some(acme), local: vec!["dev.test".into()] }
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(days * 86_400).unwrap()
    }

    fn kept(host: &str, source: CertificateSource, from: i64, to: i64) -> StoredCertificate {
        StoredCertificate {
            host: host.into(),
            source,
            chain: String::new(),
            key: String::new(),
            not_before: at(from),
            not_after: at(to),
            by: String::new(),
        }
    }

    #[test]
    fn hosts_have_one_source() {
        use CertificateSource::{Acme, Local};
        for (host, source) in [
            ("shop.example.com", Some(Acme)),
            ("shop.localhost", Some(Local)),
            ("localhost", Some(Local)),
            ("notlocalhost", None),
            ("a.dev.test", Some(Local)),
            ("dev.test", Some(Local)),
            ("xdev.test", Some(Acme)),
            ("127.0.0.1", None),
            ("[::1]", None),
        ] {
            assert_eq!(automatic(host, &settings()), source, "{host}");
        }
        assert_eq!(automatic("shop.example.com", &Settings::default()), None);
    }

    #[test]
    fn given_ones_come_first_and_ended_ones_last() {
        use CertificateSource::{Acme, Local, Own};
        let source = |kept: &[StoredCertificate], day| {
            shown("a.x.test", kept, &settings(), at(day)).map(|one| (one.source, one.host.clone()))
        };
        let all = [
            kept("*.x.test", Own, 0, 50),
            kept("a.x.test", Acme, 0, 90),
            kept("a.x.test", Local, 0, 900),
            kept("b.x.test", Own, 0, 900),
        ];
        assert_eq!(source(&all, 10), Some((Own, "*.x.test".into())));
        assert_eq!(source(&all, 60), Some((Acme, "a.x.test".into())));
        // It is not a host for the local authority: nobody trusts that for it.
        assert_eq!(source(&all, 100), Some((Own, "*.x.test".into())));
        let exact = [all[0].clone(), kept("a.x.test", Own, 0, 50)];
        assert_eq!(source(&exact, 10), Some((Own, "a.x.test".into())));
        assert_eq!(shown("x.test", &all, &settings(), at(1)), None);
        assert_eq!(shown("b.a.x.test", &all, &settings(), at(1)), None, "a star is one label");
    }

    #[test]
    fn certificates_are_asked_for_at_two_thirds_of_their_life() {
        use CertificateSource::{Acme, Own};
        let due = |kept: &[StoredCertificate], day| due("a.x.test", kept, None, &settings(), at(day));
        assert_eq!(due(&[], 0), Some(Acme));
        let acme = [kept("a.x.test", Acme, 0, 90)];
        assert_eq!((due(&acme, 59), due(&acme, 60), due(&acme, 100)), (None, Some(Acme), Some(Acme)));
        let with_own = [acme[0].clone(), kept("*.x.test", Own, 0, 80)];
        assert_eq!((due(&with_own, 70), due(&with_own, 81)), (None, Some(Acme)));
    }

    #[test]
    fn pauses_grow_to_six_hours() {
        let minutes: Vec<u64> = (1..12).map(|n| pause(n).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!(pause(u32::MAX), PAUSE_MOST);
        let trouble = Trouble {
            host: "a.x.test".into(),
            since: at(0),
            attempts: 1,
            reason: String::new(),
            next_attempt: at(2),
        };
        assert_eq!(due("a.x.test", &[], Some(&trouble), &settings(), at(1)), None);
        assert!(due("a.x.test", &[], Some(&trouble), &settings(), at(2)).is_some());
    }
}
