//! Projects on the wire.

use crate::about::Contact;
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
    /// What it is for, in one line of at most 120 characters; may be empty.
    #[serde(default)]
    pub summary: String,
    /// More about it: plain text with paragraphs; may be empty. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The login of who answers for it. They may have left the organisation since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whom to ask, and where.
    #[serde(default)]
    pub contacts: Vec<Contact>,
    /// Whether the caller keeps it among their favourites.
    #[serde(default)]
    pub favourite: bool,
    /// Where to push the source to.
    pub source_url: String,
    /// Where its deploy repository is.
    pub deploy_url: String,
}

/// What shall be said about a project from now on. What is left out stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// What it is for, in one line of at most 120 characters; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// More about it: plain text with paragraphs, at most 4,000 characters; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The login of who answers for it: a member of its organisation. Empty for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// All contacts, at most 8, in the place of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<Contact>>,
}
