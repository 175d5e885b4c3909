//! Who somebody is, and what they may do: accounts, passwords, tokens, sessions, organisations, the setup link, the audit
//! log, and the one [`Authorise`] that every route asks.
//!
//! It knows no HTTP: headers and cookies are read by `naru-web`, by the git router and by the registry router, which
//! all hand over [`Credentials`]. Rows are kept by `naru-store`.

mod account;
mod attempts;
mod audit;
mod authority;
mod error;
pub mod external;
mod frequent;
mod invitation;
mod password;
mod secret_text;
mod session;
mod token;
mod totp;

use std::net::IpAddr;
use std::sync::Arc;

use naru_model::Timestamp;
use naru_secret::KeyRing;
use naru_store::Store;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use attempts::Attempts;

pub use account::{Login, Proof};
pub use audit::Deed;
pub use authority::Known;
pub use error::IdentityError;
pub use invitation::NewInvitation;
pub use naru_model::authorise::{Authorise, Credentials};
pub use session::SESSION_LASTS;
pub use token::NewToken;
pub use totp::{NewTotp, TotpState};

/// The result of every call here.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// Passwords hashed at the same time: each takes 19 MiB and a CPU.
const HASHING_AT_ONCE: usize = 2;

/// Accounts, tokens and sessions of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    store: Store,
    keys: Arc<KeyRing>,
    /// What this instance is called: no password may be made of it.
    names: Arc<[String]>,
    attempts: Arc<Attempts>,
    hashing: Arc<Semaphore>,
}

/// A token, session or link that was just made: the only time its plain text exists.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Names it.
    pub id: String,
    /// Shown once; only its digest is kept.
    pub plain: SecretString,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Where a request came from. Empty for what Naru does by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as it is known.
    pub address: Option<IpAddr>,
    /// What the client says it is; a stranger's text.
    pub user_agent: String,
}

impl Origin {
    /// The address as it is written down.
    fn address_text(&self) -> String {
        self.address.map(|address| address.to_canonical().to_string()).unwrap_or_default()
    }
}

impl Identity {
    /// Over the rows of this store; the keys seal what second factors are made of.
    pub fn new(store: Store, keys: Arc<KeyRing>) -> Self {
        Self {
            store,
            keys,
            names: Arc::from([]),
            attempts: Arc::new(Attempts::default()),
            hashing: Arc::new(Semaphore::new(HASHING_AT_ONCE)),
        }
    }

    /// The host that people know this instance by.
    pub fn known_as(self, host: &str) -> Self {
        Self { names: host.split('.').map(str::to_lowercase).collect(), ..self }
    }

    /// Refuses what is no password for this account.
    fn check_new_password(&self, login: &str, password: &SecretString) -> Result<()> {
        password::check_password(password, login, &self.names)
    }

    async fn hash(&self, password: SecretString) -> Result<String> {
        let _permit = self.hashing.acquire().await.map_err(|_| IdentityError::Closing)?;
        tokio::task::spawn_blocking(move || password::hash(&password))
            .await
            .map_err(|_| IdentityError::Closing)?
    }
}
