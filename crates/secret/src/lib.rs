//! Secrets: sealing them with a key that is kept outside the database, and masking them in logs.
//!
//! Where sealed values are stored, and who may set or use them, is decided elsewhere.

mod key;
mod pattern;
pub mod place;
mod redact;
mod seal;
mod sign;

pub use key::{KeyError, KeyRing};
pub use redact::{LineRedactor, MASK, Redactor};
pub use seal::{Binding, OpenError, Sealed};
pub use secrecy::{ExposeSecret, SecretString};
pub use sign::{VerifyError, verify};
