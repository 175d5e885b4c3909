//! Login providers and the logins there, on the wire.

use serde::{Deserialize, Serialize};

use crate::name::ProviderName;
use crate::time::Timestamp;

/// What a login provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// OpenID Connect, such as Keycloak.
    OpenidConnect,
    /// GitHub's OAuth and API.
    Github,
}

/// Where people may log in besides with a password: a browser begins at `/login/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginProvider {
    /// Its name in addresses.
    pub name: ProviderName,
    /// What people call it.
    pub title: String,
    /// What it speaks.
    pub kind: ProviderKind,
}

/// A login at a provider that is tied to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExternalLogin {
    /// Which provider.
    pub provider: ProviderName,
    /// What the person is called there.
    pub name: String,
    /// Since when it is tied.
    #[schema(value_type = String, format = DateTime)]
    pub tied_at: Timestamp,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Timestamp,
}
