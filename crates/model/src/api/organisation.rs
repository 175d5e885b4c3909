//! Organisations, members and roles on the wire.

use crate::name::OrganisationName;
use crate::role::Role;
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
}
