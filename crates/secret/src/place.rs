//! The names under which secrets of the instance itself are sealed. A value opens under its own name only, so that whoever
//! seals it anew has to know the names, too: they stand here, once.

use std::fmt::Display;

/// The key of the instance's own authority for certificates.
pub const LOCAL_AUTHORITY: &str = "local-authority";

/// The private key of a certificate for a host, by where it comes from.
pub fn certificate(source: impl Display, host: &str) -> String {
    format!("certificate/{source}/{host}")
}

/// The account at an ACME directory.
pub fn acme_account(directory: &str) -> String {
    format!("acme-account/{directory}")
}

/// What the second factor of an account is made of.
pub fn totp(login: &str) -> String {
    format!("totp/{login}")
}
