//! Organisations, members and roles on the wire.

use crate::name::{EnvironmentName, OrganisationName};
use crate::role::{LocalRole, Role};
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// One organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Organisation {
    /// Its name, unique on the instance.
    pub name: OrganisationName,
    /// What people call it; may be empty.
    #[serde(default)]
    pub display_name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Somebody who belongs to an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Member {
    /// Who.
    pub login: String,
    /// What people call them; may be empty.
    #[serde(default)]
    pub display_name: String,
    /// In which role.
    pub role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub added_at: Timestamp,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// Whether a group at a login provider alone makes them a member: their role is decided there, at each login.
    #[serde(default)]
    pub by_group: bool,
}

/// What a new organisation should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewOrganisation {
    /// Its name, unique on the instance.
    pub name: OrganisationName,
    /// What people call it, at most 80 characters.
    #[serde(default)]
    pub display_name: String,
    /// The login of its first owner; the caller without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What an organisation is called from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrganisationChange {
    /// What people call it, at most 80 characters.
    pub display_name: String,
}

/// The role that a member shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemberRole {
    /// Which.
    pub role: Role,
}

/// A role for one project, or for one environment of it, in the place of the organisation's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnRole {
    /// Whose.
    pub login: String,
    /// In this environment; in the whole project without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Which.
    pub role: LocalRole,
}

/// The role that a member shall have for one project or environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WantedRole {
    /// Which.
    pub role: LocalRole,
}

/// Whether an environment is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Protection {
    /// To deploy here takes `deploy-protected`, and releases wait for a person.
    pub protected: bool,
}

/// What a new invitation should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewInvitation {
    /// The role of who accepts it.
    pub role: Role,
    /// Whom it is meant for, as a note for those who manage members.
    #[serde(default)]
    pub address: String,
    /// How long it can be used, in seconds: 7 days without it, 30 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_seconds: Option<u64>,
}

/// A one-time link that was just made. Shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssuedLink {
    /// Names it.
    pub id: String,
    /// The whole link, for a browser.
    pub link: String,
    /// The token in it, for the API.
    pub token: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// An invitation as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Invitation {
    /// Names it.
    pub id: String,
    /// Where it leads.
    pub organisation: OrganisationName,
    /// In which role.
    pub role: Role,
    /// Whom it is meant for.
    #[serde(default)]
    pub address: String,
    /// Who made it.
    pub invited_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
    /// Who used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
}

/// The token of an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InvitationToken {
    /// The token of the one-time link.
    pub invitation: String,
}

/// Accepts an invitation with a new account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Acceptance {
    /// The token of the one-time link.
    pub invitation: String,
    /// 1 to 40 lower-case letters, digits and `. _ -`, starting with a letter.
    pub login: String,
    /// 10 to 200 characters.
    pub password: String,
}
