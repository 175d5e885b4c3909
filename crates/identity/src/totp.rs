//! The second factor: codes of an authenticator (TOTP, RFC 6238: HMAC-SHA-1, six digits, 30 s), and recovery codes for
//! when it is lost. A code counts once; one that is up to 30 s early or late counts, too.
//!
//! Only accounts with a password have one: for who comes by a login provider, the provider asks.

use naru_secret::{Sealed, place};
use naru_store::StoreError;
use naru_store::identity::Account;
use naru_store::totp::Totp as Row;
use secrecy::{ExposeSecret as _, SecretString};
use totp_rs::{Builder, Secret, Totp};

use crate::audit::Deed;
use crate::secret_text::digest;
use crate::{Identity, IdentityError, Known, Origin, Result};

/// As many recovery codes are made, each good once.
const RECOVERY_CODES: usize = 10;
/// 120 random bits: enough that a plain digest of it tells nothing.
const RECOVERY_BYTES: usize = 15;
/// Characters of a recovery code without its hyphens, in base 32.
const RECOVERY_LENGTH: usize = 24;
const SECRET_BYTES: usize = 20;
/// Longer texts are no code.
const LONGEST: usize = 64;

/// A second factor that is being set up. Its text is shown, and never again once a code was given for it.
#[derive(Debug, Clone)]
pub struct NewTotp {
    /// In base 32, as people type it.
    pub secret: SecretString,
    /// For an authenticator on the same machine, and for the picture that one on another takes.
    pub link: SecretString,
}

/// How the second factor of an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TotpState {
    /// A code is asked for at each login with the password.
    pub on: bool,
    /// One was begun and waits for its first code.
    pub begun: bool,
    /// Recovery codes that are left.
    pub recovery_codes: usize,
    /// Whether the account has a password, without which it has no second factor here.
    pub has_password: bool,
}

/// What a text turned out to be, for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Code {
    /// The account has no second factor.
    NotAsked,
    /// That of a step; whether it was used before, the store says.
    Step(u64),
    /// The digest of what may be a recovery code.
    Recovery(String),
    Wrong,
}

fn totp(secret: Secret) -> Option<Totp> {
    Builder::new().with_secret(secret).build().ok()
}

/// Without what people put between groups, in capitals.
fn bare(text: &str) -> String {
    let kept = text.chars().take(LONGEST).filter(|c| !c.is_whitespace() && *c != '-');
    kept.map(|c| c.to_ascii_uppercase()).collect()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// A fresh recovery code, in groups of four.
fn recovery_code() -> String {
    let bytes: [u8; RECOVERY_BYTES] = random();
    let text = Secret::new(Box::new(bytes)).to_base32().to_ascii_lowercase();
    let groups: Vec<&str> =
        text.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join("-")
}

/// What authenticators read (the key URI format of Google Authenticator).
fn link(issuer: &str, login: &str, secret: &str) -> String {
    let issuer: String = issuer.bytes().map(encoded).collect();
    let login: String = login.bytes().map(encoded).collect();
    format!(
        "otpauth://totp/{issuer}:{login}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    )
}

/// A byte as a part of a path or query (RFC 3986, 2.1).
fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

impl Identity {
    /// How the second factor of an account stands.
    pub async fn totp(&self, login: &str) -> Result<TotpState> {
        let Some(account) = self.store.account(login).await? else { return Ok(TotpState::default()) };
        let on = account.totp.as_ref().is_some_and(|totp| totp.confirmed);
        Ok(TotpState {
            on,
            begun: account.totp.is_some() && !on,
            recovery_codes: account.totp.map_or(0, |totp| totp.recovery.len()),
            has_password: !account.password_hash.is_empty(),
        })
    }

    /// Makes the secret of a second factor, which counts once a code was given for it. Asks for the password. `issuer` is
    /// what the authenticator shows beside the login.
    pub async fn begin_totp(
        &self,
        known: &Known,
        password: SecretString,
        issuer: &str,
        origin: &Origin,
    ) -> Result<NewTotp> {
        let login = &known.principal.login;
        self.check_again(login, password, origin).await?;
        let secret = Secret::new_stack(random::<SECRET_BYTES>()).to_base32();
        let sealed = self.keys.seal_own(&place::totp(login), &secret.clone().into());
        let sealed = sealed.map_err(|error| IdentityError::Unsealed(error.to_string()))?;
        self.store.begin_totp(login, &sealed.to_string()).await.map_err(has_one)?;
        Ok(NewTotp { link: link(issuer, login, &secret).into(), secret: secret.into() })
    }

    /// What was begun, once more: until it is confirmed, its owner may look at it again.
    pub async fn begun_totp(&self, login: &str, issuer: &str) -> Result<Option<NewTotp>> {
        let account = self.store.account(login).await?;
        let Some(row) = account.and_then(|account| account.totp).filter(|row| !row.confirmed) else {
            return Ok(None);
        };
        let secret = self.open_totp(login, &row)?;
        let link = link(issuer, login, secret.expose_secret());
        Ok(Some(NewTotp { link: link.into(), secret }))
    }

    /// Makes a second factor count by a code of it, ends the account's other sessions, and returns the recovery codes:
    /// the only time that they can be read.
    pub async fn confirm_totp(
        &self,
        known: &Known,
        code: &SecretString,
        origin: &Origin,
    ) -> Result<Vec<SecretString>> {
        let login = &known.principal.login;
        let now = self.store.now();
        self.attempts.check(login, origin, now)?;
        let account = self.store.account(login).await?;
        let row = account.and_then(|account| account.totp).filter(|row| !row.confirmed);
        let row = row.ok_or(IdentityError::NoTotp)?;
        let Code::Step(step) = self.read_code(login, Some(&row), code) else {
            self.attempts.failed(login, origin, now);
            return Err(IdentityError::WrongCode);
        };
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let digests: Vec<String> = codes.iter().map(|code| digest(&bare(code))).collect();
        let keep = known.session.as_ref().map(|session| session.id.as_str());
        self.store.confirm_totp(login, (&row.sealed, step), &digests, keep).await.map_err(has_one)?;
        Ok(codes.into_iter().map(SecretString::from).collect())
    }

    /// Takes one's own second factor away. Asks for the password.
    pub async fn turn_totp_off(&self, known: &Known, password: SecretString, origin: &Origin) -> Result<()> {
        let login = &known.principal.login;
        self.check_again(login, password, origin).await?;
        Ok(self.store.remove_totp(login).await?)
    }

    /// Takes the second factor of somebody away who lost it. For instance administrators.
    pub async fn reset_totp(&self, login: &str) -> Result<()> {
        Ok(self.store.remove_totp(login).await?)
    }

    fn open_totp(&self, login: &str, row: &Row) -> Result<SecretString> {
        let unsealed = |why: String| IdentityError::Unsealed(why);
        let sealed: Sealed = row.sealed.parse().map_err(|_| unsealed("the secret is damaged".into()))?;
        self.keys.open_own(&place::totp(login), &sealed).map_err(|error| unsealed(error.to_string()))
    }

    /// What a text is for an account. Does as much for an account that has no second factor, and for none at all.
    pub(crate) fn code_of(&self, account: Option<&Account>, code: Option<&SecretString>) -> Code {
        let login = account.map(|account| account.login.as_str()).unwrap_or_default();
        let row = account.and_then(|account| account.totp.as_ref()).filter(|row| row.confirmed);
        let nothing = SecretString::default();
        let read = self.read_code(login, row, code.unwrap_or(&nothing));
        if row.is_some() { read } else { Code::NotAsked }
    }

    fn read_code(&self, login: &str, row: Option<&Row>, code: &SecretString) -> Code {
        let text = bare(code.expose_secret());
        let secret = row.map(|row| self.open_totp(login, row));
        let secret = match secret {
            Some(Ok(secret)) => Secret::try_from_base32(secret.expose_secret()).ok(),
            Some(Err(error)) => {
                tracing::error!(%error, login, "the second factor of an account cannot be read");
                None
            }
            None => None,
        };
        let known = secret.is_some();
        let totp = totp(secret.unwrap_or_else(|| Secret::new_stack([0; SECRET_BYTES])));
        let now = u64::try_from(self.store.now().as_second()).unwrap_or(0);
        let step = totp.and_then(|totp| totp.check(&text, now)).filter(|_| known);
        let recovery = digest(&text);
        match step {
            Some(step) => Code::Step(step),
            None if row.is_some() && text.len() == RECOVERY_LENGTH => Code::Recovery(recovery),
            None => Code::Wrong,
        }
    }

    /// Uses a code up. Says no when it was used before.
    pub(crate) async fn use_code(&self, login: &str, code: Code, origin: &Origin) -> Result<bool> {
        match code {
            Code::NotAsked => Ok(true),
            Code::Wrong => Ok(false),
            Code::Step(step) => Ok(self.store.use_totp_step(login, step).await?),
            Code::Recovery(digest) => {
                let used = self.store.use_recovery_code(login, &digest).await?;
                if used {
                    let left = self.totp(login).await?.recovery_codes;
                    let detail = format!("{left} left");
                    let deed = Deed { detail: &detail, ..Deed::done("account.recovery-code", login) };
                    let principal = naru_model::authorise::Principal {
                        login: login.to_owned(),
                        credential_id: "password".to_owned(),
                    };
                    self.record(&principal, origin, deed).await?;
                }
                Ok(used)
            }
        }
    }
}

fn has_one(error: StoreError) -> IdentityError {
    match error {
        StoreError::Stale(_) => IdentityError::HasTotp,
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        // RFC 6238, appendix B, of whose eight digits authenticators show the last six.
        let totp = totp(Secret::new_stack(*b"12345678901234567890")).unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 30), Some(time / 30), "a step late");
            assert_eq!(totp.check(code, time + 90), None, "too late");
        }
        for bad in ["", "28708", "2870821", "28708x", "２８７０８２"] {
            assert_eq!(totp.check(bad, 59), None, "{bad}");
        }
    }

    #[test]
    fn recovery_codes_are_long_and_read_however_they_are_typed() {
        let code = recovery_code();
        assert_eq!(code.len(), RECOVERY_LENGTH + 5, "{code}");
        assert_ne!(code, recovery_code());
        let typed = code.to_ascii_uppercase().replace('-', " ");
        assert_eq!(bare(&typed), bare(&code));
        assert_eq!(bare(&code).len(), RECOVERY_LENGTH);
        assert!(bare(&"x".repeat(10_000)).len() <= LONGEST);
    }

    #[test]
    fn a_link_cannot_be_changed_by_a_name() {
        let link = link("Naru a&b", "min.ji", "AAAA");
        assert!(
            link.starts_with("otpauth://totp/Naru%20a%26b:min.ji?secret=AAAA&issuer=Naru%20a%26b&"),
            "{link}"
        );
    }
}
