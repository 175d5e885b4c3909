//! Certificates that somebody gives, and those of the local authority.

use naru_certificate::Settings;
use naru_model::api::{CertificateUpload, Transport};
use naru_model::certificate::CertificateSource;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::world::{Roots, World};

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn upload(by: &CertifiedIssuer<'_, KeyPair>, host: &str) -> CertificateUpload {
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, by).unwrap();
    CertificateUpload { chain: signed.pem(), key: key.serialize_pem() }
}

#[tokio::test]
async fn what_somebody_gives_is_shown_at_once_and_before_everything_else() {
    let world = World::new(&["shop.localhost", "api.localhost", "www.shop.localhost"]).await;
    let certificates = world.certificates(Settings::default());
    certificates.ask().await.unwrap();
    let local = Roots::of(&certificates.trusted().await.unwrap().certificate);
    assert!(world.visit("shop.localhost", &local).await.unwrap().answer.ends_with("served"));

    let issuer = issuer();
    let given = certificates.give("Shop.localhost.", upload(&issuer, "shop.localhost"), "minji").await;
    assert_eq!(given.unwrap().source, Some(CertificateSource::Own));
    let theirs = Roots::of(&issuer.pem());
    assert!(world.visit("shop.localhost", &theirs).await.is_ok());
    assert!(world.visit("shop.localhost", &local).await.is_err());
    assert!(world.visit("api.localhost", &local).await.is_ok(), "the other host has its own");

    let refused = certificates.give("api.localhost", upload(&issuer, "shop.localhost"), "minji").await;
    assert_eq!(refused.unwrap_err().code, "certificate.refused");
    for bad in ["", "a b", "*", "a..b", "-a", "*.*.test", "a/b"] {
        let refused = certificates.give(bad, upload(&issuer, "shop.localhost"), "minji").await;
        assert_eq!(refused.unwrap_err().code, "certificate.refused", "{bad:?}");
    }

    certificates.take_back("shop.localhost").await.unwrap();
    assert!(world.visit("shop.localhost", &local).await.is_ok(), "the one before is shown again");
    assert_eq!(certificates.take_back("shop.localhost").await.unwrap_err().code, "certificate.missing");

    // One for a whole domain, and one that no route needs.
    certificates.give("*.shop.localhost", upload(&issuer, "*.shop.localhost"), "minji").await.unwrap();
    certificates.give("other.test", upload(&issuer, "other.test"), "minji").await.unwrap();
    let list = certificates.list().await.unwrap();
    let rows: Vec<_> = list.iter().map(|one| (one.host.as_str(), one.routed, one.source)).collect();
    let own = Some(CertificateSource::Own);
    assert_eq!(
        rows,
        [
            ("*.shop.localhost", false, own),
            ("api.localhost", true, Some(CertificateSource::Local)),
            ("other.test", false, own),
            ("shop.localhost", true, Some(CertificateSource::Local)),
            ("www.shop.localhost", true, own)
        ]
    );
    assert!(world.visit("www.shop.localhost", &theirs).await.is_ok());
}

#[tokio::test]
async fn the_local_authority_is_made_once_and_no_key_lies_open_in_the_store() {
    let world = World::new(&["shop.localhost", "shop.dev.test", "shop.example.com"]).await;
    let settings = Settings { acme: None, local: vec!["dev.test".into()] };
    let certificates = world.certificates(settings.clone());
    certificates.ask().await.unwrap();
    let trusted = certificates.trusted().await.unwrap();
    let roots = Roots::of(&trusted.certificate);
    for host in ["shop.localhost", "shop.dev.test"] {
        assert!(world.visit(host, &roots).await.is_ok(), "{host}");
    }
    assert!(world.visit("shop.example.com", &roots).await.is_err(), "nobody said it is for development");
    assert_eq!(world.certificates(settings).trusted().await.unwrap(), trusted);

    for file in ["naru.db", "naru.db-wal"] {
        let bytes = std::fs::read(world.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|window| window == b"PRIVATE KEY"), "{file}");
    }
}

#[tokio::test]
async fn environments_choose_redirect_and_hsts_and_hosts_lose_theirs_with_the_route() {
    let world = World::new(&["shop.localhost"]).await;
    let certificates = world.certificates(Settings::default());
    certificates.ask().await.unwrap();
    let roots = Roots::of(&certificates.trusted().await.unwrap().certificate);
    let answer = world.visit("shop.localhost", &roots).await.unwrap().answer;
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    assert!(world.plain("shop.localhost", "/").await.starts_with("HTTP/1.1 308"));

    let wanted = Transport { redirect: false, hsts_s: Some(600) };
    world.store.set_transport(&world.environment, wanted).await.unwrap();
    assert_eq!(world.store.transport(&world.environment).await.unwrap(), wanted);
    certificates.tell().await.unwrap();
    let answer = world.visit("shop.localhost", &roots).await.unwrap().answer;
    assert!(answer.contains("strict-transport-security: max-age=600\r\n"), "{answer}");
    assert!(world.plain("shop.localhost", "/").await.starts_with("HTTP/1.1 200"));

    world.lead(2, &["moved.localhost"]).await;
    certificates.ask().await.unwrap();
    assert!(world.visit("moved.localhost", &roots).await.is_ok());
    assert!(world.visit("shop.localhost", &roots).await.is_err(), "no route, no certificate");
}
