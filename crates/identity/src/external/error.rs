//! Why somebody does not come in by a login provider, and what they are told.

use naru_model::Problem;
use naru_store::StoreError;

use super::transport::CallError;
use crate::IdentityError;

/// Why a login by a provider did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// No provider of this name is set up.
    #[error("there is no login provider of that name")]
    NoProvider,
    /// The browser did not bring what it was given at the start, brought it too late, or brought another's.
    #[error("this login was not begun in this browser, or more than ten minutes ago")]
    NoAttempt,
    /// The provider says no: the person declined, or is not let in there.
    #[error("the provider did not let the login through")]
    Declined(String),
    /// What the provider said does not hold.
    #[error("what the provider answered could not be verified")]
    NotVerified(String),
    /// The provider does not answer, or not as it should.
    #[error("the login provider does not answer")]
    Away(String),
    /// The provider's secret cannot be read from its file.
    #[error("the login provider is not set up completely")]
    NotSetUp(String),
    /// Nobody here has this login, and nobody may make an account with it.
    #[error("no account here has this login")]
    NoAccount,
    /// The login belongs to another account here.
    #[error("this login belongs to another account here")]
    Taken,
    /// The account has another login of the same provider already.
    #[error("the account has another login of this provider already")]
    HasOne,
    /// The session that began to tie the login ended meanwhile.
    #[error("you were logged out meanwhile")]
    LoggedOut,
    /// The account was disabled.
    #[error("this account is disabled")]
    Disabled,
    /// It is the only way into the account.
    #[error("this login is the only way into the account")]
    OnlyWay,
    /// Identity said no.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<StoreError> for ExternalError {
    fn from(error: StoreError) -> Self {
        Self::Identity(error.into())
    }
}

impl From<CallError> for ExternalError {
    fn from(error: CallError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<ExternalError> for Problem {
    fn from(error: ExternalError) -> Self {
        let summary = error.to_string();
        match error {
            ExternalError::NoProvider => {
                Self::new("login.no-provider", summary).hint("choose one of those on the login page")
            }
            ExternalError::NoAttempt => Self::new("login.no-attempt", summary)
                .state("nobody was logged in")
                .hint("begin again on the login page, and allow cookies for this address"),
            ExternalError::Declined(why) => Self::new("login.declined", summary)
                .cause(why)
                .state("nobody was logged in")
                .hint("begin again on the login page"),
            ExternalError::NotVerified(why) => Self::new("login.not-verified", summary)
                .cause(why)
                .state("nobody was logged in")
                .hint("begin again; if it stays so, whoever runs this server should look at its clock and at the provider's settings"),
            ExternalError::Away(why) => Self::new("login.provider-away", summary)
                .cause(why)
                .state("nobody was logged in; passwords and tokens work as before")
                .hint("try again in a moment; `naru doctor` says what is wrong"),
            ExternalError::NotSetUp(why) => Self::new("login.settings", summary)
                .cause(why)
                .hint("mend what docs/reference/login.md describes; `naru doctor` says what is wrong"),
            ExternalError::NoAccount => Self::new("login.no-account", summary)
                .state("nobody was logged in")
                .hint("log in with your password and tie this login to your account; without one, ask whoever runs this server"),
            ExternalError::Taken => Self::new("login.taken", summary)
                .state("nothing was changed")
                .hint("untie it there first"),
            ExternalError::HasOne => Self::new("login.has-one", summary)
                .state("nothing was changed")
                .hint("untie that one first"),
            ExternalError::LoggedOut => Self::new("login.logged-out", summary)
                .state("nothing was changed")
                .hint("log in, then tie the login again"),
            ExternalError::Disabled => Self::new("login.disabled", summary)
                .state("nobody was logged in")
                .hint("ask whoever runs this server"),
            ExternalError::OnlyWay => Self::new("login.only-way", summary)
                .state("nothing was changed")
                .hint("set a password first, or tie another login"),
            ExternalError::Identity(error) => error.into(),
        }
    }
}
