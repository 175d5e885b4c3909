//! A rotation that is cut off at every effect, and goes on afterwards.

use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;

use naru_model::certificate::CertificateSource;
use naru_model::job::SecretScope;
use naru_model::{EnvironmentKey, SecretName, SecretVersion};
use naru_secret::{ExposeSecret as _, SecretString};
use naru_store::certificate::{StoredAuthority, StoredCertificate};
use tokio::sync::Notify;

use super::*;

/// Stands still for ever at the side of an effect with this number.
struct Cut {
    at: usize,
    seen: Mutex<usize>,
    reached: Notify,
}

impl Cut {
    fn at(at: usize) -> Arc<Self> {
        Arc::new(Self { at, seen: Mutex::new(0), reached: Notify::new() })
    }
}

struct Told(Arc<Cut>);

impl Effects for Told {
    fn at<'a>(&'a self, _: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if !name.contains("key.") {
            return Box::pin(std::future::ready(()));
        }
        let mut seen = self.0.seen.lock().unwrap();
        *seen += 1;
        if *seen == self.0.at {
            self.0.reached.notify_one();
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(()))
    }
}

async fn open(folder: &Path, effects: &Arc<dyn Effects>) -> Store {
    Store::open(&folder.join("naru.db"), Arc::new(SystemClock), effects.clone()).await.unwrap()
}

fn nobody() -> Arc<dyn Effects> {
    Arc::new(naru_model::effect::Unobserved)
}

fn plain(text: &str) -> SecretString {
    text.to_owned().into()
}

fn key() -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() }
}

async fn secret(store: &Store, ring: &KeyRing, scope: &SecretScope, name: &str) {
    let name: SecretName = name.parse().unwrap();
    let version = store.next_secret_version(scope, &name).await.unwrap();
    let sealed = ring.seal(&Binding { scope, name: &name, version }, &plain(&format!("the value of {name}")));
    store.add_secret(scope, &name, version, &sealed.unwrap().to_string(), "minji").await.unwrap();
}

/// One of everything that is sealed.
async fn filled(folder: &Path) {
    let ring = KeyRing::open(&folder.join("key")).unwrap();
    let store = open(folder, &nobody()).await;
    let own = |name: &str| ring.seal_own(name, &plain("a key")).unwrap().to_string();
    store.create_project(&key().project, &"main".parse().unwrap()).await.unwrap();
    store.ensure_environment(&key(), None).await.unwrap();
    secret(&store, &ring, &SecretScope::Environment(key()), "OWN").await;
    secret(&store, &ring, &SecretScope::Environment(key()), "OWN").await;
    secret(&store, &ring, &SecretScope::Pipeline(key().project), "NPM").await;
    secret(&store, &ring, &SecretScope::Project(key().project), "SHARED").await;
    store.create_account("minji", "").await.unwrap();
    store.begin_totp("minji", &own(&place::totp("minji"))).await.unwrap();
    store.put_acme_account("https://acme", &own(&place::acme_account("https://acme"))).await.unwrap();
    let authority = StoredAuthority { certificate: String::new(), key: own(place::LOCAL_AUTHORITY) };
    store.put_local_authority(&authority).await.unwrap();
    let source = CertificateSource::Own;
    let certificate = StoredCertificate {
        host: "shop.example.com".to_owned(),
        source,
        chain: String::new(),
        key: own(&place::certificate(source, "shop.example.com")),
        not_before: store.now(),
        not_after: store.now(),
        by: "minji".to_owned(),
    };
    store.put_certificate(&certificate).await.unwrap();
}

/// Everything opens with the one key that is left.
async fn assert_whole(folder: &Path, before: &str) {
    let ring = KeyRing::open(&folder.join("key")).unwrap();
    assert_eq!(ring.key_ids().len(), 1, "the old key is gone");
    assert_ne!(ring.newest_id(), before);
    let store = open(folder, &nobody()).await;
    let values = store.sealed_values().await.unwrap();
    assert_eq!(values.len(), 9);
    for value in values {
        let sealed: Sealed = value.sealed.parse().unwrap();
        assert_eq!(sealed.key_id(), ring.newest_id(), "{value:?}");
        assert!(matches!(again(&ring, &value), Ok(None)));
    }
    let scope = SecretScope::Environment(key());
    for (name, version) in [("OWN", 2), ("SHARED", 1)] {
        let name: SecretName = name.parse().unwrap();
        let found = store.sealed_secret(&scope, &name, SecretVersion(version)).await.unwrap().unwrap();
        let (scope, version) = found.place(&scope);
        let binding = Binding { scope: &scope, name: &name, version };
        let opened = ring.open_sealed(&binding, &found.sealed.parse().unwrap()).unwrap();
        assert_eq!(opened.expose_secret(), format!("the value of {name}"));
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_goes_on_and_ends_the_same() {
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        let file = folder.path().join("key");
        let before = KeyRing::open(&file).unwrap();
        let receipt = before.sign("application/x", b"what happened");
        let cut = Cut::at(at);
        let effects: Arc<dyn Effects> = Arc::new(Told(cut.clone()));
        let store = open(folder.path(), &effects).await;
        let ended = tokio::select! {
            done = rotate(&file, &store, &effects) => Some(done.unwrap()),
            () = cut.reached.notified() => None,
        };
        drop(store);
        if ended.is_none() {
            let store = open(folder.path(), &nobody()).await;
            let old = KeyRing::open(&file).unwrap();
            for value in store.sealed_values().await.unwrap() {
                assert!(again(&old, &value).is_ok(), "everything opens in between: {value:?}");
            }
            rotate(&file, &store, &nobody()).await.unwrap();
        }
        let once_cut_at_the_end = KeyRing::open(&file).unwrap();
        assert!(naru_secret::verify(&receipt, &once_cut_at_the_end.public_keys()).is_ok(), "receipts stay");
        assert_whole(folder.path(), before.newest_id()).await;
        if ended.is_some() {
            assert!(at > 20, "the rotation has more sides of effects than {at}");
            break;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_and_keeps_every_key() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let store = open(folder.path(), &nobody()).await;
    let other = tempfile::tempdir().unwrap();
    let strange = KeyRing::open(&other.path().join("key")).unwrap();
    secret(&store, &strange, &SecretScope::Environment(key()), "LOST").await;
    let file = folder.path().join("key");
    let refused = rotate(&file, &store, &nobody()).await.unwrap_err();
    assert_eq!(refused.code, "key.unreadable");
    assert!(refused.cause[0].contains("LOST"), "{refused}");
    assert_eq!(KeyRing::open(&file).unwrap().key_ids().len(), 2);
    let scope = SecretScope::Environment(key());
    store.unset_secret(&scope, &"LOST".parse().unwrap(), true, "minji").await.unwrap();
    let done = rotate(&file, &store, &nobody()).await.unwrap();
    assert_eq!((done.sealed, done.retired), (9, 1));
}
