//! Sealing: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a random nonce. The place a value belongs to is
//! authenticated with it, so a sealed text that is moved to another place does not open.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use naru_model::job::SecretScope;
use naru_model::{Problem, SecretName, SecretVersion};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::key::{Key, KeyError, KeyRing};

const FORMAT: &str = "naru1";
const NONCE_BYTES: usize = 24;

/// The place a value belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Whose secret.
    pub scope: &'a SecretScope,
    /// Its name.
    pub name: &'a SecretName,
    /// Which version of it.
    pub version: SecretVersion,
}

impl Binding<'_> {
    /// Different places give different bytes: names contain no slash.
    fn associated_data(&self) -> Vec<u8> {
        let place = match self.scope {
            SecretScope::Pipeline(project) => format!("pipeline/{project}"),
            SecretScope::Environment(key) => format!("environment/{}/{}", key.project, key.environment),
            SecretScope::Project(project) => format!("project/{project}"),
        };
        format!("{FORMAT}/{place}/{}/{}", self.name, self.version).into_bytes()
    }
}

/// A sealed value: text that may be stored anywhere. `naru1.<key id>.<nonce and ciphertext in URL-safe base64>`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed {
    key_id: String,
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// The key that it was sealed with.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The text has not the form of a sealed value.
    #[error("this is no sealed value")]
    Malformed,
    /// The key it was sealed with is not in the ring.
    #[error("the key {0} that this secret was sealed with is missing")]
    KeyMissing(String),
    /// It was changed, or it was sealed for another place.
    #[error("a sealed secret was changed or moved")]
    Refused,
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        let problem = Self::new("secret.unreadable", error.to_string());
        match error {
            OpenError::KeyMissing(_) => {
                problem.hint("restore the key file from a backup, or set the secret again")
            }
            OpenError::Malformed | OpenError::Refused => problem.hint("set the secret again"),
        }
    }
}

/// The associated data of something that belongs to the instance. No scope of a [`Binding`] begins with this word.
fn of_instance(name: &str) -> Vec<u8> {
    format!("{FORMAT}/instance/{name}").into_bytes()
}

impl KeyRing {
    /// Seals a value for one place with the newest key.
    pub fn seal(&self, binding: &Binding<'_>, value: &SecretString) -> Result<Sealed, KeyError> {
        self.seal_with(&binding.associated_data(), value)
    }

    /// Seals a secret of the instance itself, such as the private key of a host, under a name of its own.
    pub fn seal_own(&self, name: &str, value: &SecretString) -> Result<Sealed, KeyError> {
        self.seal_with(&of_instance(name), value)
    }

    /// Opens what [`KeyRing::seal_own`] sealed under this name.
    pub fn open_own(&self, name: &str, sealed: &Sealed) -> Result<SecretString, OpenError> {
        self.open_with(&of_instance(name), sealed)
    }

    fn seal_with(&self, associated: &[u8], value: &SecretString) -> Result<Sealed, KeyError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(KeyError::Randomness)?;
        let key = self.newest();
        let payload = Payload { msg: value.expose_secret().as_bytes(), aad: associated };
        let ciphertext = cipher(key)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a value in memory is far below the cipher's limit of 256 GiB");
        Ok(Sealed { key_id: key.id.clone(), nonce, ciphertext })
    }

    /// Opens a value that was sealed for this place, with whichever key it was sealed.
    pub fn open_sealed(&self, binding: &Binding<'_>, sealed: &Sealed) -> Result<SecretString, OpenError> {
        self.open_with(&binding.associated_data(), sealed)
    }

    fn open_with(&self, associated: &[u8], sealed: &Sealed) -> Result<SecretString, OpenError> {
        let key = self.by_id(&sealed.key_id).ok_or_else(|| OpenError::KeyMissing(sealed.key_id.clone()))?;
        let payload = Payload { msg: &sealed.ciphertext, aad: associated };
        let opened =
            cipher(key).decrypt(&XNonce::from(sealed.nonce), payload).map_err(|_| OpenError::Refused)?;
        let opened = Zeroizing::new(opened);
        std::str::from_utf8(&opened).map(SecretString::from).map_err(|_| OpenError::Refused)
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes.expose_secret().into())
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.nonce.as_slice(), &self.ciphertext].concat();
        write!(f, "{FORMAT}.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(with {})", self.key_id)
    }
}

impl FromStr for Sealed {
    type Err = OpenError;
    fn from_str(text: &str) -> Result<Self, OpenError> {
        let mut parts = text.splitn(3, '.');
        let (Some(FORMAT), Some(key_id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(OpenError::Malformed);
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| OpenError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Malformed)?;
        Ok(Self { key_id: key_id.to_owned(), nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

impl TryFrom<String> for Sealed {
    type Error = OpenError;
    fn try_from(text: String) -> Result<Self, OpenError> {
        text.parse()
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> String {
        sealed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(&folder.path().join("key")).unwrap();
        (folder, ring)
    }

    #[test]
    fn a_value_opens_only_in_its_own_place() {
        let (_folder, ring) = ring();
        let (shop, other) =
            (SecretScope::Pipeline("shop".parse().unwrap()), SecretScope::Pipeline("other".parse().unwrap()));
        let (name, renamed) = ("API_KEY".parse().unwrap(), "API_KEY2".parse().unwrap());
        let here = Binding { scope: &shop, name: &name, version: SecretVersion(1) };
        let sealed = ring.seal(&here, &SecretString::from("hunter2")).unwrap();
        let sealed: Sealed = sealed.to_string().parse().unwrap();
        assert_eq!(ring.open_sealed(&here, &sealed).unwrap().expose_secret(), "hunter2");
        for elsewhere in [
            Binding { scope: &other, ..here },
            Binding { name: &renamed, ..here },
            Binding { version: SecretVersion(2), ..here },
        ] {
            assert_eq!(
                ring.open_sealed(&elsewhere, &sealed).unwrap_err(),
                OpenError::Refused,
                "{elsewhere:?}"
            );
        }
    }

    #[test]
    fn rotation_seals_with_the_new_key_and_opens_with_any() {
        let (folder, mut ring) = ring();
        let scope = SecretScope::Pipeline("shop".parse().unwrap());
        let name = "API_KEY".parse().unwrap();
        let here = Binding { scope: &scope, name: &name, version: SecretVersion(1) };
        let before = ring.seal(&here, &SecretString::from("hunter2")).unwrap();
        ring.rotate().unwrap();
        let ring = KeyRing::open(&folder.path().join("key")).unwrap();
        let after = ring.seal(&here, &SecretString::from("hunter2")).unwrap();
        assert_ne!(before.key_id, after.key_id);
        assert_eq!(ring.open_sealed(&here, &before).unwrap().expose_secret(), "hunter2");
        assert_eq!(ring.open_sealed(&here, &after).unwrap().expose_secret(), "hunter2");
        let stranger = KeyRing::open(&folder.path().join("another")).unwrap();
        assert_eq!(
            stranger.open_sealed(&here, &after).unwrap_err(),
            OpenError::KeyMissing(after.key_id.clone())
        );
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let (_folder, ring) = ring();
        let scope = SecretScope::Pipeline("shop".parse().unwrap());
        let name = "API_KEY".parse().unwrap();
        let here = Binding { scope: &scope, name: &name, version: SecretVersion(1) };
        let mut sealed = ring.seal(&here, &SecretString::from("hunter2")).unwrap();
        sealed.ciphertext[0] ^= 1;
        assert_eq!(ring.open_sealed(&here, &sealed).unwrap_err(), OpenError::Refused);
        for bad in ["", "naru1", "naru1.x", "naru1.x.AAAA", "naru2.x.AAAA", "hunter2"] {
            assert_eq!(bad.parse::<Sealed>().unwrap_err(), OpenError::Malformed, "{bad:?}");
        }
    }
}
