//! Projects on the wire.

use crate::name::{BranchName, ProjectName};
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// What a new project should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewProject {
    /// Its name.
    pub name: ProjectName,
    /// The branch that is delivered when `naru.yaml` names none; `main` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<BranchName>,
}

/// One project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
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
