//! One attempt to log in by a provider, from the moment a browser leaves until it is back. Kept by nobody but the
//! browser: sealed, so that it can neither be read nor made there, and good for ten minutes.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use naru_model::Timestamp;
use naru_model::name::ProviderName;
use naru_secret::{KeyRing, Sealed};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::ExternalError;

/// How long somebody may take at the provider.
pub const ATTEMPT_LASTS: Duration = Duration::from_mins(10);

/// What sealed attempts are sealed for.
const PLACE: &str = "login-attempt";
const RANDOM_BYTES: usize = 32;
/// Longest path to return to.
const LONGEST_NEXT: usize = 1024;

/// Why somebody goes to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To come in.
    Enter,
    /// To come in, and prove it again even when the provider still knows the browser.
    EnterAgain,
    /// To tie the login to the account that this session is of.
    Tie {
        /// Its id.
        session: String,
    },
}

/// What has to be the same when the browser is back.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) provider: ProviderName,
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// PKCE (RFC 7636): only its digest goes by the browser.
    pub(crate) verifier: String,
    pub(crate) purpose: Purpose,
    pub(crate) next: String,
    pub(crate) began_at: Timestamp,
}

impl Attempt {
    pub(crate) fn new(provider: ProviderName, purpose: Purpose, next: Option<&str>, now: Timestamp) -> Self {
        let next = next.and_then(own_path).unwrap_or("/").to_owned();
        Self { provider, state: random(), nonce: random(), verifier: random(), purpose, next, began_at: now }
    }

    /// For the browser's cookie.
    pub(crate) fn seal(&self, keys: &KeyRing) -> Result<String, ExternalError> {
        let text = serde_json::to_string(self).expect("an attempt is plain data");
        let sealed = keys.seal_own(PLACE, &SecretString::from(text));
        sealed.map(|sealed| sealed.to_string()).map_err(|error| ExternalError::NotSetUp(error.to_string()))
    }

    /// The attempt that a browser brings back, if it is one of this provider, in time, and the one that the provider
    /// answers to.
    pub(crate) fn open(
        keys: &KeyRing,
        sealed: &str,
        provider: &ProviderName,
        state: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let sealed: Sealed = sealed.parse().ok()?;
        let text = keys.open_own(PLACE, &sealed).ok()?;
        let attempt: Self = serde_json::from_str(text.expose_secret()).ok()?;
        let same: bool = attempt.state.as_bytes().ct_eq(state.as_bytes()).into();
        let age = Duration::try_from(now.duration_since(attempt.began_at)).ok()?;
        (same && attempt.provider == *provider && age < ATTEMPT_LASTS).then_some(attempt)
    }
}

/// A path of this server, or nothing: an address of another would send people there with a link of ours.
fn own_path(text: &str) -> Option<&str> {
    let own = text.starts_with('/')
        && !text[1..].starts_with(['/', '\\'])
        && text.len() <= LONGEST_NEXT
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    own.then_some(text)
}

fn random() -> String {
    let mut bytes = [0_u8; RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_attempt_opens_once_more_for_who_began_it_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::open(&folder.path().join("key")).unwrap();
        let others = KeyRing::open(&folder.path().join("other")).unwrap();
        let keycloak: ProviderName = "keycloak".parse().unwrap();
        let attempt = Attempt::new(keycloak.clone(), Purpose::Enter, Some("/projects/shop?x=1"), at(0));
        let sealed = attempt.seal(&keys).unwrap();
        assert!(!sealed.contains(&attempt.verifier) && !sealed.contains(&attempt.nonce));
        let open = |keys, sealed: &str, provider: &str, state: &str, now| {
            Attempt::open(keys, sealed, &provider.parse().unwrap(), state, at(now))
        };
        let back = open(&keys, &sealed, "keycloak", &attempt.state, 599).unwrap();
        assert_eq!((back.verifier, back.next.as_str()), (attempt.verifier.clone(), "/projects/shop?x=1"));
        assert!(open(&keys, &sealed, "keycloak", &attempt.state, 600).is_none(), "too late");
        assert!(open(&keys, &sealed, "keycloak", &attempt.state, -1).is_none(), "before it began");
        assert!(open(&keys, &sealed, "github", &attempt.state, 1).is_none(), "another provider");
        assert!(open(&keys, &sealed, "keycloak", "", 1).is_none(), "no state");
        assert!(open(&keys, &sealed, "keycloak", &attempt.nonce, 1).is_none(), "another state");
        assert!(open(&others, &sealed, "keycloak", &attempt.state, 1).is_none(), "another instance's");
        assert!(open(&keys, "naru1.x.AAAA", "keycloak", &attempt.state, 1).is_none());
        let second = Attempt::new(keycloak, Purpose::Enter, None, at(0));
        assert!(second.state != attempt.state && second.nonce != attempt.nonce);
    }

    #[test]
    fn nobody_is_sent_elsewhere_afterwards() {
        for good in ["/", "/projects/shop?tab=runs#3", "/a//b"] {
            assert_eq!(own_path(good), Some(good));
        }
        let long = format!("/{}", "a".repeat(LONGEST_NEXT));
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\nb",
            "/a b",
            "/\t/evil.example",
            "/a\\b",
            "/é",
            &long,
        ] {
            assert_eq!(own_path(bad), None, "{bad:?}");
        }
    }
}
