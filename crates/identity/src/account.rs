//! The first account, logging in, and one's own password.

use std::time::Duration;

use naru_model::authorise::Principal;
use naru_store::identity::{Account, SetupOutcome};
use secrecy::{ExposeSecret as _, SecretString};

use crate::audit::Deed;
use crate::secret_text::{self, SecretText};
use crate::{Identity, IdentityError, Known, Origin, Result, password};

/// For so long after the last proof, a session may do what cannot be undone or gives rights.
const CONFIRMED_LASTS: Duration = Duration::from_mins(10);

/// What somebody logs in with.
#[derive(Debug, Clone)]
pub struct Login {
    /// The login name.
    pub login: String,
    /// Its password.
    pub password: SecretString,
    /// A code of its second factor, if it has one, or a recovery code.
    pub code: Option<SecretString>,
}

/// What somebody proves with once more to be who they are.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The password.
    pub password: SecretString,
    /// A code of the second factor, if there is one, or a recovery code.
    pub code: Option<SecretString>,
}

/// What a proof came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proved {
    All,
    /// The password was right, the code was not.
    ButCode,
    Nothing,
}

impl Identity {
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

    /// Makes the first administrator, who also owns the organisation `main`, and uses up the setup token. Returns the new
    /// principal.
    pub async fn setup(
        &self,
        token: &SecretString,
        login: &str,
        password: SecretString,
        origin: &Origin,
    ) -> Result<Principal> {
        self.attempts.check("setup", origin, self.store.now())?;
        if !self.is_setup_token(token).await? {
            self.attempts.failed("setup", origin, self.store.now());
            return Err(IdentityError::NoSuchSetupLink);
        }
        password::check_login(login)?;
        self.check_new_password(login, &password)?;
        let hash = self.hash(password).await?;
        let digest = secret_text::digest(token.expose_secret());
        match self.store.use_setup_token(&digest, login, &hash).await? {
            SetupOutcome::Done => {}
            SetupOutcome::NoSuchLink => return Err(IdentityError::NoSuchSetupLink),
        }
        let principal = Principal { login: login.to_owned(), credential_id: "setup".to_owned() };
        self.record(&principal, origin, Deed::done("account.create", login)).await?;
        Ok(principal)
    }

    /// Checks a login name, its password and, where it has a second factor, a code. Bounded by rate; the answer and the
    /// work are the same for a login that does not exist, for one that is disabled, for a wrong password, and for a code
    /// that is wrong, used or missing.
    pub async fn log_in(&self, login: Login, origin: &Origin) -> Result<Principal> {
        let name = login.login.as_str();
        self.attempts.check(name, origin, self.store.now())?;
        let account = self.store.account(name).await?;
        let given = Proof { password: login.password, code: login.code };
        let proved = self.prove((name, account.as_ref()), given, origin).await?;
        if proved == Proved::All {
            let principal = Principal { login: name.to_owned(), credential_id: "password".to_owned() };
            self.record(&principal, origin, Deed::done("account.login", name)).await?;
            return Ok(principal);
        }
        // What was typed as a login that does not exist may be a password: it is not written down.
        let name = account.map(|account| account.login).unwrap_or_default();
        let without_code = proved == Proved::ButCode;
        let result = if without_code { "identity.wrong-code" } else { "identity.wrong-password" };
        let failed = Deed { result, ..Deed::done("account.login", &name) };
        let principal = Principal { login: name.clone(), credential_id: "password".to_owned() };
        self.record(&principal, origin, failed).await?;
        Err(IdentityError::WrongPassword)
    }

    /// Looks at what was given for an account, if there is one. A code is used up only beside the right password. Counts
    /// the attempt; whether there may be one, the caller asks before.
    async fn prove(
        &self,
        (login, account): (&str, Option<&Account>),
        given: Proof,
        origin: &Origin,
    ) -> Result<Proved> {
        let now = self.store.now();
        let hash = account.map(|account| account.password_hash.clone());
        let matches = self.verify(given.password, hash.filter(|hash| !hash.is_empty())).await?;
        let code = self.code_of(account, given.code.as_ref());
        let admitted = matches && account.is_some_and(|account| account.disabled_at.is_none());
        if admitted && self.use_code(login, code, origin).await? {
            self.attempts.succeeded(login);
            return Ok(Proved::All);
        }
        self.attempts.failed(login, origin, now);
        Ok(if admitted { Proved::ButCode } else { Proved::Nothing })
    }

    /// Takes as long for every answer.
    async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        let _permit = self.hashing.acquire().await.map_err(|_| IdentityError::Closing)?;
        tokio::task::spawn_blocking(move || password::verify(&password, hash.as_deref()))
            .await
            .map_err(|_| IdentityError::Closing)
    }
}

impl Identity {
    /// Checks the password of somebody who is logged in. Bounded by rate, like a login.
    pub(crate) async fn check_again(
        &self,
        login: &str,
        password: SecretString,
        origin: &Origin,
    ) -> Result<()> {
        let now = self.store.now();
        self.attempts.check(login, origin, now)?;
        let hash = self.store.account(login).await?.map(|account| account.password_hash);
        if self.verify(password, hash.filter(|hash| !hash.is_empty())).await? {
            self.attempts.succeeded(login);
            return Ok(());
        }
        self.attempts.failed(login, origin, now);
        Err(IdentityError::WrongPassword)
    }

    /// Sets one's own password. Ends every other session of the account.
    pub async fn change_password(
        &self,
        known: &Known,
        current: SecretString,
        new: SecretString,
        origin: &Origin,
    ) -> Result<()> {
        let login = &known.principal.login;
        self.check_again(login, current, origin).await?;
        self.check_new_password(login, &new)?;
        let hash = self.hash(new).await?;
        let keep = known.session.as_ref().map(|session| session.id.as_str());
        Ok(self.store.set_password(login, &hash, keep).await?)
    }

    /// Notes that in this session the password was given again, and a code where there is a second factor, for acts that
    /// cannot be undone or that give rights. Bounded by rate, like a login.
    pub async fn confirm(&self, known: &Known, given: Proof, origin: &Origin) -> Result<()> {
        let login = &known.principal.login;
        self.attempts.check(login, origin, self.store.now())?;
        let account = self.store.account(login).await?;
        match self.prove((login, account.as_ref()), given, origin).await? {
            Proved::All => {}
            Proved::ButCode => return Err(IdentityError::WrongCode),
            Proved::Nothing => return Err(IdentityError::WrongPassword),
        }
        match &known.session {
            Some(session) => Ok(self.store.confirm_session(&session.id).await?),
            None => Ok(()),
        }
    }

    /// Whether a browser has to prove again whose it is. A token cannot, and is cut down by its scopes instead.
    pub fn must_confirm(&self, known: &Known) -> bool {
        let Some(session) = &known.session else { return false };
        let now = self.store.now();
        session
            .authenticated_at
            .is_none_or(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default() > CONFIRMED_LASTS)
    }
}
