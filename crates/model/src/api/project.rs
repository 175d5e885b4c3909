//! Projects on the wire.

use crate::name::{BranchName, OrganisationName, ProjectName};
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// What a new project should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewProject {
    /// Its name, unique on the instance.
    pub name: ProjectName,
    /// Whose it shall be; `main` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationName>,
    /// The branch that is delivered when `naru.yaml` names none; `main` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<BranchName>,
}

/// One project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Whose it is.
    #[serde(default = "OrganisationName::main")]
    pub organisation: OrganisationName,
    /// The branch that is delivered when `naru.yaml` names none.
    pub default_branch: BranchName,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether it is being taken down.
    pub deleting: bool,
    /// Where to push the source to.
    pub source_url: String,
    /// Where its deploy repository is.
    pub deploy_url: String,
}
