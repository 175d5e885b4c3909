//! Passwords: argon2id with the library's defaults (19 MiB, 2 passes), and what is accepted as login and password.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{IdentityError, Result, frequent};

/// Of no password: verified against when a login does not exist, so that the answer takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bmFydS1ub2JvZHktc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(crate) fn check_login(login: &str) -> Result<()> {
    let bytes = login.as_bytes();
    let fine = (1..=40).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b));
    if fine && !looks_like_the_system(login) { Ok(()) } else { Err(IdentityError::BadLogin) }
}

/// What Naru does by itself is recorded under the name `naru`; nobody may be taken for it.
fn looks_like_the_system(login: &str) -> bool {
    login.strip_prefix("naru").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The one check of every password that is to be set: how long it is, and that it is not one of those that are tried
/// first. `names` are what the instance is called.
pub(crate) fn check_password(password: &SecretString, login: &str, names: &[String]) -> Result<()> {
    let characters = password.expose_secret().chars().count();
    if !(10..=200).contains(&characters) {
        return Err(IdentityError::BadPassword);
    }
    let names = std::iter::once(login).chain(names.iter().map(String::as_str));
    if frequent::is_frequent(password.expose_secret(), names) {
        return Err(IdentityError::FrequentPassword);
    }
    Ok(())
}

/// Slow and hungry on purpose: call it on a blocking thread.
pub(crate) fn hash(password: &SecretString) -> Result<String> {
    match Argon2::default().hash_password(password.expose_secret().as_bytes()) {
        Ok(hash) => Ok(hash.to_string()),
        Err(_) => Err(IdentityError::BadPassword),
    }
}

/// Slow and hungry on purpose: call it on a blocking thread. Without a hash, or with the empty one of an account
/// that has no password, it takes as long and says no.
pub(crate) fn verify(password: &SecretString, hash: Option<&str>) -> bool {
    let hash = hash.filter(|hash| !hash.is_empty());
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
    let matches = Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_for_nobody_costs_a_real_verification() {
        let parsed = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(parsed.algorithm.as_str(), "argon2id");
        let real = hash(&"a good password".to_owned().into()).unwrap();
        let cost = |text: &str| text.split('$').nth(3).map(str::to_owned);
        assert_eq!(cost(NOBODY), cost(&real));
        assert!(!verify(&String::new().into(), None) && !verify(&String::new().into(), Some("")));
    }

    #[test]
    fn a_password_is_recognised() {
        let real = hash(&"a good password".to_owned().into()).unwrap();
        assert!(real.starts_with("$argon2id$"));
        assert!(verify(&"a good password".to_owned().into(), Some(&real)));
        assert!(!verify(&"a good passwore".to_owned().into(), Some(&real)));
        assert!(!verify(&"x".to_owned().into(), Some("not a hash")));
    }

    #[test]
    fn hostile_logins_are_refused() {
        for good in ["a", "minji", "min.ji_2-x", "naruto"] {
            assert!(check_login(good).is_ok(), "{good}");
        }
        let long = "a".repeat(41);
        for bad in [
            "",
            "A",
            "1a",
            "-a",
            "a b",
            "a\n",
            "민지",
            "a/b",
            "a;b",
            "naru",
            "naru-2",
            "naru.bot",
            long.as_str(),
        ] {
            assert!(check_login(bad).is_err(), "{bad:?}");
        }
    }
}
