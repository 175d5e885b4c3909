//! Who may do what. Every route, git and registry included, asks one [`Authorise`]; nobody else decides.

use std::fmt;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::id::EnvironmentKey;
use crate::name::{OrganisationName, ProjectName};

/// What a caller presented. Values are secrets: never logged, never stored as they are.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing was presented.
    #[default]
    None,
    /// `Authorization: Bearer …`, or the password of a git or registry login (any user name).
    Token(String),
    /// The session cookie of a browser.
    Session(String),
}

impl Credentials {
    /// Reads an `Authorization` header: `Bearer token`, or `Basic` whose password is a token. The caller decodes
    /// base64, since this crate knows no encodings.
    pub fn from_header(header: Option<&str>, decode_base64: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let Some((scheme, value)) = header.and_then(|header| header.split_once(' ')) else {
            return Self::None;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::Token(value.trim().to_owned());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = decode_base64(value.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some((_, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
                return Self::Token(password.to_owned());
            }
        }
        Self::None
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Session(_) => "Session(…)",
        })
    }
}

/// What a caller wants to do. One variant per row of the table in [`crate::role`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// See a project, its runs, releases, revisions and logs; clone its repositories; pull its images.
    Read,
    /// Push to the source repository.
    PushSource,
    /// Push to the deploy repository.
    PushDeploy,
    /// Push images to the registry, delete tags and manifests.
    PushImage,
    /// Start, cancel and repeat runs.
    Run,
    /// Deploy, promote and roll back; open and close for maintenance.
    Deploy,
    /// The same where the environment is protected.
    DeployProtected,
    /// Change configuration and secrets, without reading the secrets.
    Configure,
    /// Read the values of secrets, for an export.
    ReadSecrets,
    /// Create projects in an organisation.
    CreateProject,
    /// Change a project and its environments.
    Administer,
    /// Delete a project.
    Delete,
    /// Invite, change and remove members of an organisation; give roles.
    ManageMembers,
    /// Read the audit log of an organisation.
    ReadAudit,
    /// Be known here: what everybody with an account may see of the instance.
    UseInstance,
    /// Read the instance's own state: storage, certificates, doctor.
    ReadInstance,
    /// Change what belongs to the whole instance, such as certificates, accounts and organisations.
    AdministerInstance,
    /// Change one's own account: its tokens, sessions and password.
    OwnTokens,
}

impl Permission {
    /// Its word on the wire, such as `push-source`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::PushSource => "push-source",
            Self::PushDeploy => "push-deploy",
            Self::PushImage => "push-image",
            Self::Run => "run",
            Self::Deploy => "deploy",
            Self::DeployProtected => "deploy-protected",
            Self::Configure => "configure",
            Self::ReadSecrets => "read-secrets",
            Self::CreateProject => "create-project",
            Self::Administer => "administer",
            Self::Delete => "delete",
            Self::ManageMembers => "manage-members",
            Self::ReadAudit => "read-audit",
            Self::UseInstance => "use-instance",
            Self::ReadInstance => "read-instance",
            Self::AdministerInstance => "administer-instance",
            Self::OwnTokens => "own-tokens",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a caller wants to do it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// The instance itself.
    Instance,
    /// An organisation and its members.
    Organisation(OrganisationName),
    /// A project and everything in it.
    Project(ProjectName),
    /// One environment of a project.
    Environment(EnvironmentKey),
}

/// Who is asking, once known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The account's login name.
    pub login: String,
    /// The token or session it came with, by id; for the audit log.
    pub credential_id: String,
}

/// Why a request was turned away. A thing that may not be seen answers like a missing one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credentials, or credentials that are not valid: 401.
    #[error("log in first")]
    Unauthenticated,
    /// Known, but not allowed: 404 for what the caller may not even read, otherwise 403.
    #[error("not allowed")]
    Forbidden,
    /// The decision could not be made (the store does not answer): 503.
    #[error("the decision could not be made: {0}")]
    Unavailable(String),
}

/// A boxed future, so that the trait can be a trait object.
pub type Decision<'a> = Pin<Box<dyn Future<Output = Result<Principal, Denied>> + Send + 'a>>;

/// The one layer that decides. Implemented by `identity`, asked by every router.
pub trait Authorise: Send + Sync + 'static {
    /// Identifies the caller and decides.
    fn authorise<'a>(
        &'a self,
        credentials: &'a Credentials,
        permission: Permission,
        resource: &'a Resource,
    ) -> Decision<'a>;
}
