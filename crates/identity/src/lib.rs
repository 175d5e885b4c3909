//! Who somebody is, and what they may do: accounts, passwords, tokens, sessions, the setup link, the audit log, and
//! the one [`Authorise`] that every route asks.
//!
//! It knows no HTTP: headers and cookies are read by `naru-web`, by the git router and by the registry router, which
//! all hand over [`Credentials`]. Rows are kept by `naru-store`.

mod attempts;
mod authority;
mod error;
mod password;
mod secret_text;

use std::sync::Arc;
use std::time::Duration;

use naru_model::authorise::{Permission, Principal};
use naru_model::{ProjectName, Timestamp};
use naru_store::Store;
use naru_store::identity::{AuditEntry, AuditRow, SessionRow, SetupOutcome, TokenKind, TokenRow};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use attempts::Attempts;
use secret_text::SecretText;

pub use error::IdentityError;
pub use naru_model::authorise::{Authorise, Credentials};

/// The result of every call here.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// A browser stays logged in this long.
pub const SESSION_LASTS: Duration = Duration::from_hours(12);

/// Passwords hashed at the same time: each takes 19 MiB and a CPU.
const HASHING_AT_ONCE: usize = 2;

/// Accounts, tokens and sessions of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    store: Store,
    attempts: Arc<Attempts>,
    hashing: Arc<Semaphore>,
}

/// A token or session that was just made: the only time its plain text exists.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Names it.
    pub id: String,
    /// Shown once; only its digest is kept.
    pub plain: SecretString,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What a new token should be.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// What its owner calls it; at most 80 characters.
    pub label: String,
    /// Binds it to one project; without it the token may do whatever its account may.
    pub project: Option<ProjectName>,
    /// What a token bound to a project may do.
    pub permissions: Vec<Permission>,
    /// How long it lives; `None` for until it is revoked.
    pub lasts: Option<Duration>,
}

impl Identity {
    /// Over the rows of this store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            attempts: Arc::new(Attempts::default()),
            hashing: Arc::new(Semaphore::new(HASHING_AT_ONCE)),
        }
    }

    /// Called at every start. While nobody can log in, makes a new one-time setup token and returns its plain text for
    /// the caller to show; an older one stops working. `None` once the first administrator exists.
    pub async fn offer_setup(&self) -> Result<Option<SecretString>> {
        if self.store.has_account().await? {
            return Ok(None);
        }
        let token = SecretText::new(secret_text::SETUP);
        self.store.set_setup_token(&token.digest()).await?;
        Ok(Some(token.plain()))
    }

    /// Whether the first administrator is still to be made.
    pub async fn needs_setup(&self) -> Result<bool> {
        Ok(!self.store.has_account().await?)
    }

    /// Whether this setup token would be accepted now.
    pub async fn is_setup_token(&self, token: &SecretString) -> Result<bool> {
        let stored = self.store.setup_token().await?;
        Ok(stored.is_some_and(|stored| secret_text::matches(token.expose_secret(), &stored)))
    }

    /// Makes the first administrator and uses up the setup token. Returns the new principal.
    pub async fn setup(
        &self,
        token: &SecretString,
        login: &str,
        password: SecretString,
    ) -> Result<Principal> {
        self.attempts.check("setup", self.store.now())?;
        if !self.is_setup_token(token).await? {
            self.attempts.failed("setup", self.store.now());
            return Err(IdentityError::NoSuchSetupLink);
        }
        password::check_login(login)?;
        password::check_password(&password)?;
        let hash = self.hash(password).await?;
        let digest = secret_text::digest(token.expose_secret());
        match self.store.use_setup_token(&digest, login, &hash).await? {
            SetupOutcome::Done => {}
            SetupOutcome::NoSuchLink => return Err(IdentityError::NoSuchSetupLink),
        }
        let principal = Principal { login: login.to_owned(), credential_id: "setup".to_owned() };
        self.record(&principal, "account.create", None, login, "done").await?;
        Ok(principal)
    }

    /// Checks a login name and its password. Limited by rate; takes as long for a login that does not exist.
    pub async fn check_password(&self, login: &str, password: SecretString) -> Result<Principal> {
        let now = self.store.now();
        self.attempts.check(login, now)?;
        let account = self.store.account(login).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let permit = self.hashing.acquire().await.map_err(|_| IdentityError::Closing)?;
        let matches = tokio::task::spawn_blocking(move || password::verify(&password, hash.as_deref()))
            .await
            .map_err(|_| IdentityError::Closing)?;
        drop(permit);
        let principal = Principal { login: login.to_owned(), credential_id: "password".to_owned() };
        if account.is_some() && matches {
            self.attempts.succeeded(login);
            return Ok(principal);
        }
        self.attempts.failed(login, now);
        if account.is_some() {
            self.record(&principal, "account.login", None, login, "identity.wrong-password").await?;
        }
        Err(IdentityError::WrongPassword)
    }

    /// Makes a token for this principal.
    pub async fn create_token(&self, principal: &Principal, new: NewToken) -> Result<Issued> {
        let label = new.label.trim();
        if label.chars().count() > 80 || label.chars().any(char::is_control) {
            return Err(IdentityError::BadLabel);
        }
        if new.project.is_none() && !new.permissions.is_empty() {
            return Err(IdentityError::PermissionsWithoutProject);
        }
        let kind = if new.project.is_some() { TokenKind::Project } else { TokenKind::Account };
        let issued = self
            .issue(kind, Some(&principal.login), label, new.project.clone(), new.permissions, new.lasts)
            .await?;
        self.record(principal, "token.create", new.project.as_ref(), &issued.id, "done").await?;
        Ok(issued)
    }

    /// Makes a token for Naru's own use, such as the engine's pulls and a build's push: for one project, or for all.
    pub async fn engine_token(
        &self,
        project: Option<&ProjectName>,
        permissions: &[Permission],
        lasts: Duration,
    ) -> Result<Issued> {
        self.issue(TokenKind::Engine, None, "engine", project.cloned(), permissions.to_vec(), Some(lasts))
            .await
    }

    async fn issue(
        &self,
        kind: TokenKind,
        account: Option<&str>,
        label: &str,
        project: Option<ProjectName>,
        permissions: Vec<Permission>,
        lasts: Option<Duration>,
    ) -> Result<Issued> {
        let text = SecretText::new(secret_text::TOKEN);
        let now = self.store.now();
        let expires_at = lasts.map(|lasts| now.saturating_add(lasts)).transpose().unwrap_or(None);
        let row = TokenRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            kind,
            account: account.map(str::to_owned),
            label: label.to_owned(),
            project,
            permissions,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        self.store.add_token(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at })
    }

    /// The principal's tokens, newest first, after the one with id `after`.
    pub async fn tokens(&self, login: &str, after: Option<&str>, limit: u32) -> Result<Vec<TokenRow>> {
        Ok(self.store.tokens(login, after, limit).await?)
    }

    /// Revokes one of the principal's tokens. Repeating it changes nothing.
    pub async fn revoke_token(&self, principal: &Principal, id: &str) -> Result<()> {
        self.store.revoke_token(&principal.login, id).await?;
        self.record(principal, "token.revoke", None, id, "done").await
    }

    /// Logs a browser in.
    pub async fn start_session(&self, principal: &Principal) -> Result<Issued> {
        let text = SecretText::new(secret_text::SESSION);
        let expires_at = self.store.now().saturating_add(SESSION_LASTS).unwrap_or(Timestamp::MAX);
        let row = SessionRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            account: principal.login.clone(),
            expires_at,
        };
        self.store.add_session(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at: Some(expires_at) })
    }

    /// Ends what the caller came with: its session is forgotten, its token revoked.
    pub async fn log_out(&self, principal: &Principal) -> Result<()> {
        let id = &principal.credential_id;
        if let Some(session) = id.strip_prefix("session:") {
            return Ok(self.store.end_session(session).await?);
        }
        if let Some(token) = id.strip_prefix("token:") {
            return self.revoke_token(principal, token).await;
        }
        Ok(())
    }

    /// Writes a line into the audit log: who did what on what, and how it ended (`done` or a problem's code).
    pub async fn record(
        &self,
        principal: &Principal,
        action: &str,
        project: Option<&ProjectName>,
        target: &str,
        result: &str,
    ) -> Result<()> {
        let entry = AuditEntry {
            login: &principal.login,
            credential: &principal.credential_id,
            action,
            project,
            target,
            result,
        };
        Ok(self.store.record_audit(entry).await?)
    }

    /// The audit log, newest first, before the line with this number.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>> {
        Ok(self.store.audit(before, limit).await?)
    }

    async fn hash(&self, password: SecretString) -> Result<String> {
        let _permit = self.hashing.acquire().await.map_err(|_| IdentityError::Closing)?;
        tokio::task::spawn_blocking(move || password::hash(&password))
            .await
            .map_err(|_| IdentityError::Closing)?
    }
}
