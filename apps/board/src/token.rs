//! The access token: who is signed in until when, signed so that a browser cannot change it. Also signs forms.
//!
//! A token is `<account>.<session>.<expires>.<signature>`. It lives for minutes; the refresh token in `visit` makes the
//! next one. Nothing here knows cookies.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::hex;
use crate::settings::Settings;
use crate::time::Seconds;

/// How long a token is good for.
pub const LIFE: Seconds = 5 * 60;

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub account: i64,
    pub session: i64,
    pub expires: Seconds,
}

/// The secret that signs.
pub struct Key(Vec<u8>);

impl Key {
    /// From the settings, else from the data folder, where it is generated once.
    pub fn open(settings: &Settings) -> Result<Self, Box<dyn std::error::Error>> {
        match &settings.key {
            Some(text) => Ok(Self(text.clone().into_bytes())),
            None => Self::kept(&settings.data.join("key")),
        }
    }

    fn kept(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        if !path.exists() {
            let unfinished = path.with_extension("new");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(hex::random()?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
        }
        let text = fs::read(path)?;
        if text.len() < 32 {
            return Err(format!("{} holds no key", path.display()).into());
        }
        Ok(Self(text))
    }

    /// Signs text for a purpose: a signature for one is worth nothing for another.
    fn sign(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // HMAC takes keys of any length, so this cannot fail; an empty key would sign worse, never verify better.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).or_else(|_| Hmac::new_from_slice(&[]));
        let mac = mac.unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
        mac.chain_update(purpose).chain_update([0]).chain_update(text)
    }

    /// A token that says this.
    pub fn issue(&self, access: Access) -> String {
        let text = format!("{}.{}.{}", access.account, access.session, access.expires);
        let signature = hex::encode(&self.sign("access", &text).finalize().into_bytes());
        format!("{text}.{signature}")
    }

    /// What a token says, if we signed it and it has not expired.
    pub fn read(&self, token: &str, now: Seconds) -> Option<Access> {
        let (text, signature) = token.rsplit_once('.')?;
        self.sign("access", text).verify_slice(&hex::decode(signature)?).ok()?;
        let mut parts = text.split('.').map(str::parse::<i64>);
        let mut next = || parts.next()?.ok();
        let access = Access { account: next()?, session: next()?, expires: next()? };
        (now < access.expires).then_some(access)
    }

    /// The hidden field of forms: bound to the browser and to its session.
    pub fn form(&self, browser: &str, session: Option<i64>) -> String {
        hex::encode(&self.sign("form", &bound(browser, session)).finalize().into_bytes())
    }

    /// Whether a hidden field was made by [`Key::form`] for the same browser and session.
    pub fn owns_form(&self, field: &str, browser: &str, session: Option<i64>) -> bool {
        hex::decode(field)
            .is_some_and(|field| self.sign("form", &bound(browser, session)).verify_slice(&field).is_ok())
    }
}

fn bound(browser: &str, session: Option<i64>) -> String {
    format!("{browser}.{}", session.unwrap_or_default())
}

/// What the database keeps instead of a refresh token: a thief of the database cannot sign in with it.
pub fn fingerprint(refresh: &str) -> Vec<u8> {
    Sha256::digest(refresh.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key(text.as_bytes().to_vec())
    }

    #[test]
    fn a_token_is_read_until_it_expires() {
        let access = Access { account: 7, session: 9, expires: 1000 };
        let token = key("a").issue(access);
        assert_eq!(key("a").read(&token, 999), Some(access));
        assert_eq!(key("a").read(&token, 1000), None);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = key("a").issue(Access { account: 7, session: 9, expires: 1000 });
        assert_eq!(key("b").read(&token, 0), None, "another key");
        assert_eq!(key("a").read(&token.replacen('7', "8", 1), 0), None, "another account");
        assert_eq!(key("a").read("", 0), None);
        assert_eq!(key("a").read("7.9.1000", 0), None);
        assert_eq!(key("a").read("7.9.1000.", 0), None);
    }

    #[test]
    fn a_form_belongs_to_one_browser_and_session() {
        let field = key("a").form("browser", Some(3));
        assert!(key("a").owns_form(&field, "browser", Some(3)));
        assert!(!key("a").owns_form(&field, "browser", None));
        assert!(!key("a").owns_form(&field, "other", Some(3)));
        assert!(!key("a").owns_form("", "browser", Some(3)));
    }
}
