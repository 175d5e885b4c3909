//! What can go wrong here, and what people are told.

use std::time::Duration;

use naru_model::Problem;
use naru_store::StoreError;

/// Why an identity call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The setup link was used, replaced by a newer one, or never existed.
    #[error("this setup link is not valid")]
    NoSuchSetupLink,
    /// The invitation was used, taken back, has ended, or never existed.
    #[error("this invitation is not valid")]
    NoSuchInvitation,
    /// The link to a new password was used, replaced by a newer one, has ended, or never existed.
    #[error("this link is not valid")]
    NoSuchPasswordLink,
    /// The login or its password is wrong; which of them is not said.
    #[error("the login, the password or the code is wrong")]
    WrongPassword,
    /// The code that was to confirm a second factor is not one of it.
    #[error("the code is wrong")]
    WrongCode,
    /// There is a second factor already.
    #[error("this account has a second factor already")]
    HasTotp,
    /// No second factor is being set up.
    #[error("no second factor is being set up")]
    NoTotp,
    /// A sealed secret cannot be opened, or none can be sealed.
    #[error("the second factor cannot be read or kept: {0}")]
    Unsealed(String),
    /// Too many wrong passwords.
    #[error("too many attempts")]
    TooManyAttempts {
        /// When the next attempt is looked at.
        retry_after: Duration,
    },
    /// Not usable as a login name.
    #[error("this login name is not usable")]
    BadLogin,
    /// Not usable as a password.
    #[error("this password is not usable")]
    BadPassword,
    /// One of the passwords that are tried first.
    #[error("this password is too easy to guess")]
    FrequentPassword,
    /// Not usable as a token's label.
    #[error("this label is not usable")]
    BadLabel,
    /// An environment was named for a token that is not bound to a project.
    #[error("a token for one environment needs its project")]
    EnvironmentWithoutProject,
    /// The process is stopping.
    #[error("the server is stopping")]
    Closing,
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let summary = error.to_string();
        match error {
            IdentityError::NoSuchSetupLink => Self::new("identity.setup-link", summary)
                .cause("it was used already, a newer one replaced it, or it was mistyped")
                .hint("restart the server to get a new link, if there is no administrator yet"),
            IdentityError::NoSuchInvitation => Self::new("identity.invitation", summary)
                .cause("it was used already, was taken back, has ended, or was mistyped")
                .hint("ask who invited you for a new one"),
            IdentityError::NoSuchPasswordLink => Self::new("identity.password-link", summary)
                .cause("it was used already, a newer one replaced it, it has ended, or was mistyped")
                .hint("ask who made it for a new one"),
            IdentityError::WrongPassword => Self::new("identity.wrong-password", summary),
            IdentityError::WrongCode => Self::new("identity.wrong-code", summary)
                .cause("a code is good for half a minute, and only once")
                .state("nothing was changed")
                .hint("look at the clock of the authenticator, and give the next code"),
            IdentityError::HasTotp => Self::new("identity.totp", summary)
                .state("the second factor that is there still counts")
                .hint("turn it off first:")
                .command("naru account totp off"),
            IdentityError::NoTotp => {
                Self::new("identity.totp", summary).hint("begin first:").command("naru account totp begin")
            }
            IdentityError::Unsealed(why) => Self::new("identity.unsealed", "a second factor cannot be read or kept")
                .cause(why)
                .hint("restore the key file from a backup; recovery codes work without it"),
            IdentityError::TooManyAttempts { retry_after } => {
                Self::new("identity.too-many-attempts", summary).cause(format!(
                    "wrong passwords; the next attempt is looked at in {} s",
                    retry_after.as_secs().max(1)
                ))
            }
            IdentityError::BadLogin => Self::new("identity.bad-login", summary)
                .cause("a login is 1 to 40 lower-case letters, digits and . _ -, and starts with a letter")
                .cause("`naru`, alone or before a digit or sign, is Naru itself"),
            IdentityError::BadPassword => {
                Self::new("identity.bad-password", summary).cause("a password has 10 to 200 characters")
            }
            IdentityError::FrequentPassword => Self::new("identity.frequent-password", summary)
                .cause("it is among the most used ones, repeats itself, or is made of the login or this server's name")
                .state("nothing was changed")
                .hint("several words that do not belong together are long and easy to keep in mind"),
            IdentityError::BadLabel => Self::new("identity.bad-label", summary)
                .cause("a label has at most 80 characters and no control characters"),
            IdentityError::EnvironmentWithoutProject => Self::new("identity.token-scope", summary)
                .hint("name the project, or leave the environment out"),
            IdentityError::Closing => Self::new("store.unavailable", summary).hint("try again in a moment"),
            IdentityError::Store(StoreError::Missing(what)) => {
                Self::new("identity.missing", format!("{what} does not exist"))
            }
            IdentityError::Store(StoreError::Exists(what)) => {
                Self::new("identity.exists", format!("{what} exists already"))
            }
            IdentityError::Store(error) => Self::new("store.unavailable", error.to_string())
                .state("nothing was changed")
                .hint("try again in a moment; `naru doctor` on the server says what is wrong"),
        }
    }
}
