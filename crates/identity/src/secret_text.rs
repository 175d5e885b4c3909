//! The plain text of tokens, sessions and one-time links: `naru_<id>_<secret>`. The id finds the row, so that the
//! comparison of the secret can take constant time.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Begins every API token.
pub(crate) const TOKEN: &str = "naru";
/// Begins every session cookie.
pub(crate) const SESSION: &str = "session";
/// Begins every setup link's token.
pub(crate) const SETUP: &str = "setup";
/// Begins every invitation's token.
pub(crate) const INVITATION: &str = "invite";
/// Begins the token of every link to a new password.
pub(crate) const RESET: &str = "password";

const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// Longer texts are refused unread.
const LONGEST: usize = 128;

/// A fresh random text.
pub(crate) struct SecretText {
    id: String,
    plain: String,
}

impl SecretText {
    pub(crate) fn new(prefix: &str) -> Self {
        let mut bytes = [0_u8; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        let id = hex::encode(&bytes[..ID_BYTES]);
        let plain = format!("{prefix}_{id}_{}", BASE64_URL_SAFE_NO_PAD.encode(&bytes[ID_BYTES..]));
        Self { id, plain }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn plain(&self) -> SecretString {
        self.plain.clone().into()
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.plain)
    }
}

/// What is kept of a text.
pub(crate) fn digest(plain: &str) -> String {
    hex::encode(Sha256::digest(plain.as_bytes()))
}

/// Whether a text is the one that this digest was made from; takes the same time for every answer.
pub(crate) fn matches(plain: &str, stored: &str) -> bool {
    plain.len() <= LONGEST && digest(plain).as_bytes().ct_eq(stored.as_bytes()).into()
}

/// The id within a text of this kind, if it has the shape of one.
pub(crate) fn id_of<'a>(prefix: &str, plain: &'a str) -> Option<&'a str> {
    if plain.len() > LONGEST {
        return None;
    }
    let (id, secret) = plain.strip_prefix(prefix)?.strip_prefix('_')?.split_once('_')?;
    let is_hex =
        id.len() == ID_BYTES * 2 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_hex && !secret.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_text_is_recognised_by_its_digest_only() {
        let text = SecretText::new(TOKEN);
        let plain = text.plain();
        let plain = plain.expose_secret();
        assert!(plain.starts_with("naru_"));
        assert_eq!(id_of(TOKEN, plain), Some(text.id()));
        assert!(matches(plain, &text.digest()));
        assert!(!matches(&plain[..plain.len() - 1], &text.digest()));
        assert_ne!(SecretText::new(TOKEN).digest(), text.digest());
    }

    #[test]
    fn other_shapes_have_no_id() {
        let long = format!("naru_{}_{}", "a".repeat(12), "b".repeat(200));
        for bad in [
            "",
            "naru_",
            "naru__x",
            "naru_0123456789ab_",
            "naru_0123456789AB_x",
            "session_0123456789ab_x",
            &long,
        ] {
            assert_eq!(id_of(TOKEN, bad), None, "{bad}");
        }
    }
}
