//! Setup, login and tokens on the wire.

use crate::authorise::Permission;
use crate::name::{EnvironmentName, OrganisationName, ProjectName};
use crate::role::Role;
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// Makes the first administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Setup {
    /// The token of the one-time setup link.
    pub setup_token: String,
    /// 1 to 40 lower-case letters, digits and `. _ -`, starting with a letter.
    pub login: String,
    /// 10 to 200 characters.
    pub password: String,
}

/// Logs in with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Login {
    /// The login name.
    pub login: String,
    /// Its password.
    pub password: String,
    /// A code of the second factor, if there is one, or a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the new token is called, such as the name of the machine it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A new token. Its text is shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssuedToken {
    /// Names the token.
    pub id: String,
    /// The text to send as `Authorization: Bearer …`.
    pub token: String,
    /// Whose it is.
    pub login: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// What a new token should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewToken {
    /// What it is called, at most 80 characters.
    pub label: String,
    /// Binds it to one project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// Binds it to one environment of `project`; of the project itself it may then `read` at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// What it may do at most; empty for whatever its account may.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// How long it lives, in seconds; without it until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_seconds: Option<u64>,
}

/// A token as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Names the token.
    pub id: String,
    /// What it is called.
    pub label: String,
    /// The only project it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// The only environment of `project` in which it may do more than read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// What it may do at most; empty for whatever its account may.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Whoami {
    /// The login name.
    pub login: String,
    /// What people call them; may be empty.
    #[serde(default)]
    pub display_name: String,
    /// `en` or `ko`, if they chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Their time zone, if they chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether they may change the instance with what they came with.
    #[serde(default)]
    pub administrator: bool,
    /// The organisations they belong to.
    #[serde(default)]
    pub organisations: Vec<Membership>,
}

/// What somebody is in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Membership {
    /// Which organisation.
    pub organisation: OrganisationName,
    /// What people call it; may be empty.
    #[serde(default)]
    pub display_name: String,
    /// In which role.
    pub role: Role,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// Rises with time.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub login: String,
    /// What, such as `project.create`.
    pub action: String,
    /// In which organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationName>,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// On what.
    pub target: String,
    /// `done`, or the code of the problem.
    pub result: String,
    /// From where, if that is known.
    #[serde(default)]
    pub address: String,
    /// What else is worth knowing.
    #[serde(default)]
    pub detail: String,
}

/// An account, as instance administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    /// The login name.
    pub login: String,
    /// What people call them; may be empty.
    #[serde(default)]
    pub display_name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Since when nobody can log in with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disabled_at: Option<Timestamp>,
    /// Whether it may change the instance.
    pub administrator: bool,
}

/// What is changed of an account by an instance administrator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountChange {
    /// Nobody can log in with it, and its tokens and sessions are not good any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it may change the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<bool>,
}

/// What somebody changes of their own account. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Profile {
    /// What people call them, at most 80 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `en` or `ko`; empty for the browser's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// An IANA time zone, such as `Asia/Seoul`; empty for the browser's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Sets one's own password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordChange {
    /// The password until now.
    pub current: String,
    /// 10 to 200 characters.
    pub new: String,
}

/// Sets a password with a one-time link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordReset {
    /// The token of the one-time link.
    pub link: String,
    /// 10 to 200 characters.
    pub password: String,
}

/// The password once more, before the second factor is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Confirmation {
    /// The caller's password.
    pub password: String,
}

/// The proof once more, before acts that cannot be undone or that give rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Proof {
    /// The caller's password.
    pub password: String,
    /// A code of the caller's second factor, if there is one, or a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// Names it.
    pub id: String,
    /// Whether this request came with it.
    pub current: bool,
    /// What the browser says it is: a stranger's text.
    #[serde(default)]
    pub user_agent: String,
    /// Where it logged in from, if that is known.
    #[serde(default)]
    pub address: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Timestamp>,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// How the second factor of the caller's account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Totp {
    /// Whether a code is asked for at each login with the password.
    pub on: bool,
    /// Whether one was begun and waits for its first code.
    pub begun: bool,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
}

/// A second factor that is being set up. It counts once a code was given for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewTotp {
    /// For authenticators that are typed into, in base 32: TOTP with SHA-1, six digits, 30 s.
    pub secret: String,
    /// `otpauth://…`, for authenticators that open links.
    pub link: String,
}

/// A code of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TotpCode {
    /// Six digits.
    pub code: String,
}

/// Codes that log in once each when the authenticator is lost. Shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// In the place of the authenticator's code.
    pub codes: Vec<String>,
}
