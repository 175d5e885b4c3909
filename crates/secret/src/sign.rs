//! Signing what others must be able to check: Ed25519 (RFC 8032) over DSSE's pre-authentication encoding, in DSSE's
//! envelope. The signing key is derived from the ring's, so it rotates with it, and old signatures stay checkable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use naru_model::receipt::{Envelope, PublicKey, Signature};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use secrecy::ExposeSecret as _;

use crate::key::{Key, KeyRing};

/// What the ring's key is asked for; another purpose would have another text.
const PURPOSE: &[u8] = b"naru: signing key for receipts, version 1";
/// Bytes of a public key's digest that name it.
const ID_BYTES: usize = 8;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The envelope is not one.
    #[error("this is no signed receipt: {0}")]
    Malformed(&'static str),
    /// No signature is by a key that is known here.
    #[error("it is signed with a key that this instance does not have: {0}")]
    UnknownKey(String),
    /// It was changed after it was signed, or signed by somebody else.
    #[error("the signature does not belong to this content")]
    Forged,
}

impl KeyRing {
    /// Signs a document with the newest key.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let pair = pair_of(self.newest());
        let signature = pair.sign(&encoding(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature {
                keyid: public_key(&pair).id,
                sig: STANDARD.encode(signature.as_ref()),
            }],
        }
    }

    /// The keys that signatures can be checked with, oldest first.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.retired().iter().cloned().chain(self.all().iter().map(public_key_of)).collect()
    }
}

/// The content of an envelope, if one of the keys signed it.
pub fn verify(envelope: &Envelope, keys: &[PublicKey]) -> Result<Vec<u8>, VerifyError> {
    let decode = |text: &str, what| STANDARD.decode(text).map_err(|_| VerifyError::Malformed(what));
    let payload = decode(&envelope.payload, "the payload is not base64")?;
    let Some(first) = envelope.signatures.first() else {
        return Err(VerifyError::Malformed("there is no signature"));
    };
    let known = envelope
        .signatures
        .iter()
        .find_map(|signature| Some((signature, keys.iter().find(|key| key.id == signature.keyid)?)));
    let Some((signature, key)) = known else { return Err(VerifyError::UnknownKey(first.keyid.clone())) };
    let key = decode(&key.key, "the key is not base64")?;
    let signature = decode(&signature.sig, "the signature is not base64")?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&encoding(&envelope.payload_type, &payload), &signature)
        .map_err(|_| VerifyError::Forged)?;
    Ok(payload)
}

fn pair_of(key: &Key) -> Ed25519KeyPair {
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes.expose_secret()), PURPOSE);
    Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("the seed has 32 bytes")
}

pub(crate) fn public_key_of(key: &Key) -> PublicKey {
    public_key(&pair_of(key))
}

fn public_key(pair: &Ed25519KeyPair) -> PublicKey {
    let public = pair.public_key().as_ref();
    let digest = ring::digest::digest(&ring::digest::SHA256, public);
    PublicKey { id: hex::encode(&digest.as_ref()[..ID_BYTES]), key: STANDARD.encode(public) }
}

/// DSSE's pre-authentication encoding: type and content cannot run into each other.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
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
    fn what_was_signed_is_accepted_also_after_the_key_was_rotated() {
        let (_folder, mut ring) = ring();
        let envelope = ring.sign("application/x", b"hello");
        assert_eq!(verify(&envelope, &ring.public_keys()).unwrap(), b"hello");
        ring.rotate().unwrap();
        assert_eq!(ring.public_keys().len(), 2);
        assert_eq!(verify(&envelope, &ring.public_keys()).unwrap(), b"hello");
        assert_ne!(ring.sign("application/x", b"hello").signatures, envelope.signatures);
    }

    #[test]
    fn what_was_changed_or_is_of_others_is_not() {
        let (_folder, ring) = ring();
        let (_other_folder, other) = self::ring();
        let keys = ring.public_keys();
        let good = ring.sign("application/x", b"hello");
        let changed = Envelope { payload: STANDARD.encode(b"hellp"), ..good.clone() };
        assert_eq!(verify(&changed, &keys), Err(VerifyError::Forged));
        let retyped = Envelope { payload_type: "application/y".into(), ..good.clone() };
        assert_eq!(verify(&retyped, &keys), Err(VerifyError::Forged));
        assert!(matches!(
            verify(&other.sign("application/x", b"hello"), &keys),
            Err(VerifyError::UnknownKey(_))
        ));
        let named_alike = Envelope {
            signatures: vec![Signature {
                keyid: keys[0].id.clone(),
                sig: other.sign("application/x", b"hello").signatures[0].sig.clone(),
            }],
            ..good.clone()
        };
        assert_eq!(verify(&named_alike, &keys), Err(VerifyError::Forged));
        assert!(matches!(
            verify(&Envelope { signatures: Vec::new(), ..good }, &keys),
            Err(VerifyError::Malformed(_))
        ));
    }

    #[test]
    fn the_encoding_is_dsses() {
        // The example of DSSE's specification.
        assert_eq!(
            encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
