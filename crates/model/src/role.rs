//! Roles, and the one table of what each may do. Nothing else grants anything: `naru-identity` looks up who somebody is,
//! and asks here. `docs/reference/permissions.md` is written from the table.

mod reference;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::authorise::Permission;
use crate::name::NameError;

pub use reference::reference;

/// What somebody is in an organisation. Later ones may do all that earlier ones may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Pushes, runs and deploys.
    Developer,
    /// Changes projects, their configuration and protected environments.
    Maintainer,
    /// Decides who belongs to the organisation.
    Owner,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Maintainer, Self::Owner];

    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }

    /// The table: whether this role may do this.
    pub fn allows(self, permission: Permission) -> bool {
        row(permission).roles.contains(&self)
    }
}

/// The role that somebody has for one project or one environment in the place of the organisation's; `none` takes the
/// access away.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LocalRole {
    /// No access: the thing is answered as if it were missing.
    None,
    /// As [`Role::Viewer`].
    Viewer,
    /// As [`Role::Developer`].
    Developer,
    /// As [`Role::Maintainer`].
    Maintainer,
    /// As [`Role::Owner`].
    Owner,
}

impl LocalRole {
    /// The role, if it is one.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::None => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Developer => Some(Role::Developer),
            Self::Maintainer => Some(Role::Maintainer),
            Self::Owner => Some(Role::Owner),
        }
    }

    /// Its word on the wire.
    pub fn word(self) -> &'static str {
        self.role().map_or("none", Role::word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for LocalRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let known = Self::ALL.into_iter().find(|role| role.word() == text);
        known.ok_or_else(|| NameError::new("role", text, "viewer, developer, maintainer or owner"))
    }
}

impl FromStr for LocalRole {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let all = [Self::None, Self::Viewer, Self::Developer, Self::Maintainer, Self::Owner];
        let known = all.into_iter().find(|role| role.word() == text);
        known.ok_or_else(|| NameError::new("role", text, "viewer, developer, maintainer, owner or none"))
    }
}

/// The role that counts: the environment's, else the project's, else the organisation's. A project that is taken away
/// takes its environments with it, and who is no member has no role anywhere.
pub fn that_counts(
    organisation: Option<Role>,
    project: Option<LocalRole>,
    environment: Option<LocalRole>,
) -> Option<Role> {
    let organisation = organisation?;
    let in_project = project.map_or(Some(organisation), LocalRole::role)?;
    environment.map_or(Some(in_project), LocalRole::role)
}

/// What is really asked for: to deploy into a protected environment takes more.
pub fn asked_in(permission: Permission, protected: bool) -> Permission {
    match permission {
        Permission::Deploy if protected => Permission::DeployProtected,
        other => other,
    }
}

/// Whether everybody with an account may do this to the instance.
pub fn everybody_may(permission: Permission) -> bool {
    row(permission).holder == Holder::Everybody
}

/// Whether an instance administrator may do this to the instance.
pub fn administrators_may(permission: Permission) -> bool {
    matches!(row(permission).holder, Holder::Everybody | Holder::Administrators)
}

/// Whether a token's scopes contain this permission. Without scopes a token may what its account may. To be known here
/// comes with `read`; one's own account is never opened by a token that was cut down.
pub fn scopes_allow(scopes: &[Permission], permission: Permission) -> bool {
    scopes.is_empty()
        || scopes.contains(&permission)
        || (permission == Permission::UseInstance && scopes.contains(&Permission::Read))
}

/// Who holds a permission.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The roles of the row, in an organisation and what belongs to it.
    Members,
    /// Everybody with an account.
    Everybody,
    /// Instance administrators.
    Administrators,
}

/// What can be asked of a resource, and who may.
struct Row {
    permission: Permission,
    holder: Holder,
    roles: &'static [Role],
    meaning: &'static str,
}

const ALL: &[Role] = &[Role::Viewer, Role::Developer, Role::Maintainer, Role::Owner];
const DEVELOPERS: &[Role] = &[Role::Developer, Role::Maintainer, Role::Owner];
const MAINTAINERS: &[Role] = &[Role::Maintainer, Role::Owner];
const OWNERS: &[Role] = &[Role::Owner];

const fn members(permission: Permission, roles: &'static [Role], meaning: &'static str) -> Row {
    Row { permission, holder: Holder::Members, roles, meaning }
}

const fn instance(permission: Permission, holder: Holder, meaning: &'static str) -> Row {
    Row { permission, holder, roles: &[], meaning }
}

#[rustfmt::skip] // one row, one line
const TABLE: &[Row] = &[
    members(Permission::Read, ALL, "see runs, releases, revisions, logs, configuration and the names of secrets; clone; pull images"),
    members(Permission::PushSource, DEVELOPERS, "push to the source repository"),
    members(Permission::PushImage, DEVELOPERS, "push images to the registry, delete tags and manifests"),
    members(Permission::Run, DEVELOPERS, "replay triggers, cancel runs"),
    members(Permission::Deploy, DEVELOPERS, "deploy, promote, roll back, open and close for maintenance, where the environment is not protected"),
    members(Permission::DeployProtected, MAINTAINERS, "the same where the environment is protected"),
    members(Permission::PushDeploy, MAINTAINERS, "push to the deploy repository; needed in each environment of the project"),
    members(Permission::Configure, MAINTAINERS, "change configuration and secrets, without reading secrets"),
    members(Permission::ReadSecrets, MAINTAINERS, "read the values of secrets, for an export"),
    members(Permission::CreateProject, MAINTAINERS, "create projects in the organisation"),
    members(Permission::Administer, MAINTAINERS, "change a project: its environments, what is protected, secrets of its pipeline"),
    members(Permission::Delete, OWNERS, "delete a project"),
    members(Permission::ManageMembers, OWNERS, "invite, change and remove members; give roles for projects and environments"),
    members(Permission::ReadAudit, OWNERS, "read the audit log of the organisation"),
    instance(Permission::UseInstance, Holder::Everybody, "list what one may see, check receipts, ask what the engine can do"),
    instance(Permission::OwnTokens, Holder::Everybody, "change one's own account: tokens, sessions, password, second factor"),
    instance(Permission::ReadInstance, Holder::Administrators, "read the state of the instance: doctor, certificates, metrics"),
    instance(Permission::AdministerInstance, Holder::Administrators, "change the instance: certificates, accounts, organisations"),
];

fn row(permission: Permission) -> &'static Row {
    TABLE.iter().find(|row| row.permission == permission).expect("a test counts the rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every permission; the match fails to compile when one is missing.
    fn permissions() -> Vec<Permission> {
        let all: Vec<Permission> = TABLE.iter().map(|row| row.permission).collect();
        for permission in &all {
            let word = serde_json::to_value(permission).unwrap();
            assert_eq!(word.as_str(), Some(permission.word()));
        }
        all
    }

    #[test]
    fn every_permission_has_one_row() {
        let schema = serde_json::to_value(<Permission as utoipa::PartialSchema>::schema()).unwrap();
        // An enumeration whose variants carry documentation is a list of single ones in the schema.
        let one_each = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let mut variants: Vec<String> = one_each
            .iter()
            .flat_map(|one| one["enum"].as_array().cloned().unwrap_or_default())
            .map(|word| word.as_str().unwrap().to_owned())
            .collect();
        let mut rows: Vec<String> = permissions().iter().map(ToString::to_string).collect();
        variants.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, variants);
    }

    #[test]
    fn a_higher_role_may_all_that_a_lower_one_may() {
        for pair in Role::ALL.windows(2) {
            let [lower, higher] = pair else { unreachable!() };
            assert!(lower < higher);
            for permission in permissions() {
                assert!(!lower.allows(permission) || higher.allows(permission), "{higher} {permission}");
            }
        }
    }

    #[test]
    fn no_role_opens_the_instance_and_no_office_opens_a_project() {
        for permission in permissions() {
            let of_members = Role::ALL.iter().any(|role| role.allows(permission));
            assert_ne!(of_members, administrators_may(permission), "{permission}");
        }
        assert!(!administrators_may(Permission::ReadSecrets) && !everybody_may(Permission::ReadInstance));
    }

    #[test]
    fn the_nearest_role_counts() {
        use LocalRole as Local;
        let member = Some(Role::Developer);
        for (organisation, project, environment, expected) in [
            (None, Some(Local::Owner), Some(Local::Owner), None),
            (member, None, None, Some(Role::Developer)),
            (member, Some(Local::Viewer), None, Some(Role::Viewer)),
            (member, Some(Local::None), None, None),
            (member, Some(Local::None), Some(Local::Owner), None),
            (member, None, Some(Local::None), None),
            (member, Some(Local::Viewer), Some(Local::Maintainer), Some(Role::Maintainer)),
        ] {
            assert_eq!(that_counts(organisation, project, environment), expected);
        }
    }

    #[test]
    fn a_protected_environment_takes_more_of_who_deploys() {
        assert!(Role::Developer.allows(asked_in(Permission::Deploy, false)));
        assert!(!Role::Developer.allows(asked_in(Permission::Deploy, true)));
        assert!(Role::Maintainer.allows(asked_in(Permission::Deploy, true)));
        assert_eq!(asked_in(Permission::Read, true), Permission::Read);
    }

    #[test]
    fn scopes_cut_down() {
        assert!(scopes_allow(&[], Permission::Delete));
        let read = [Permission::Read];
        assert!(scopes_allow(&read, Permission::Read) && scopes_allow(&read, Permission::UseInstance));
        assert!(!scopes_allow(&read, Permission::Deploy) && !scopes_allow(&read, Permission::OwnTokens));
        assert!(!scopes_allow(&[Permission::Deploy], Permission::DeployProtected));
    }

    #[test]
    fn roles_are_read_by_their_words() {
        for role in Role::ALL {
            assert_eq!(role.word().parse::<Role>().unwrap(), role);
            assert_eq!(role.word().parse::<LocalRole>().unwrap().role(), Some(role));
        }
        assert_eq!("none".parse::<LocalRole>().unwrap(), LocalRole::None);
        assert!("none".parse::<Role>().is_err() && "Owner".parse::<Role>().is_err());
    }
}
