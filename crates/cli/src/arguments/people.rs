//! Commands about people: organisations, members, invitations, roles, accounts and sessions.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use naru_model::role::{LocalRole, Role};
use naru_model::{EnvironmentName, OrganisationName, ProjectName, Timestamp};

use super::{InEnvironment, InProject, Paging, duration};

/// Which organisation.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InOrganisation {
    /// The organisation. Without it: main.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) organisation: Option<OrganisationName>,
}

impl InOrganisation {
    pub(crate) fn name(&self) -> OrganisationName {
        self.organisation.clone().unwrap_or_else(OrganisationName::main)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Organisation {
    /// Lists the organisations that you belong to.
    List {
        /// Lists all of the instance, for its administrators.
        #[arg(long)]
        all: bool,
    },
    /// Makes an organisation. For instance administrators.
    Create {
        /// Lower-case letters, digits and single hyphens, at most 40 characters.
        name: OrganisationName,
        /// What people call it.
        #[arg(long, value_name = "TEXT", default_value = "")]
        title: String,
        /// The login of its first owner. Without it: you.
        #[arg(long, value_name = "LOGIN")]
        owner: Option<String>,
    },
    /// Changes what people call an organisation.
    Rename {
        /// Which.
        name: OrganisationName,
        /// What people call it from now on.
        title: String,
    },
    /// Removes an organisation that has no projects.
    Delete {
        /// Which.
        name: OrganisationName,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Lists who belongs to an organisation, by login.
    List {
        #[command(flatten)]
        place: InOrganisation,
        #[command(flatten)]
        paging: Paging,
    },
    /// Gives a member another role: viewer, developer, maintainer or owner.
    Set {
        /// Who.
        login: String,
        /// In which role.
        role: Role,
        #[command(flatten)]
        place: InOrganisation,
    },
    /// Takes a member out of an organisation, with the roles in its projects.
    Remove {
        /// Who.
        login: String,
        #[command(flatten)]
        place: InOrganisation,
    },
    /// Leaves an organisation.
    Leave(InOrganisation),
    /// Makes a one-time link that sets a new password for a member.
    PasswordLink {
        /// Who.
        login: String,
        #[command(flatten)]
        place: InOrganisation,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invitation {
    /// Makes a one-time link into an organisation and prints it once.
    Create {
        /// The role of who accepts it: viewer, developer, maintainer or owner.
        role: Role,
        /// Whom it is meant for, as a note.
        #[arg(long = "for", value_name = "TEXT", default_value = "")]
        address: String,
        /// How long it can be used, such as 12h or 7d; 30d at most. Without it: 7d.
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        lasts: Option<Duration>,
        #[command(flatten)]
        place: InOrganisation,
    },
    /// Lists the newest invitations, used ones included.
    List(InOrganisation),
    /// Takes an invitation back that was not used yet.
    Revoke {
        /// The invitation's id.
        id: String,
        #[command(flatten)]
        place: InOrganisation,
    },
    /// Makes an account with an invitation, and logs in to it.
    Accept {
        /// The whole link.
        link: String,
        /// The login name of the new account; asked for without it.
        #[arg(long = "login", value_name = "NAME")]
        name: Option<String>,
    },
    /// Joins an organisation with the account that you are logged in to.
    Join {
        /// The whole link.
        link: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Lists the roles of a project and its environments that replace the organisation's.
    List(InProject),
    /// Gives a member a role for a project, or for one environment of it; none takes the access away.
    #[command(after_help = "Examples:
  naru role set yuna maintainer -p shop                  in the whole project
  naru role set yuna none -p shop -e production          nothing in production")]
    Set {
        /// Who.
        login: String,
        /// Which: viewer, developer, maintainer, owner or none.
        role: LocalRole,
        #[command(flatten)]
        place: RolePlace,
    },
    /// Takes such a role back: the wider one counts again.
    Unset {
        /// Who.
        login: String,
        #[command(flatten)]
        place: RolePlace,
    },
    /// Makes an environment take `deploy-protected` of who deploys, and releases wait for a person.
    Protect {
        #[command(flatten)]
        place: InEnvironment,
        /// Takes the protection away.
        #[arg(long)]
        off: bool,
    },
}

/// A project, or one environment of it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RolePlace {
    #[command(flatten)]
    pub(crate) project: InProject,
    /// The environment. Without it: the whole project.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) environment: Option<EnvironmentName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Lists all accounts, by login. For instance administrators.
    List(Paging),
    /// Lets nobody log in with an account any more. For instance administrators.
    Disable {
        /// Which.
        login: String,
    },
    /// Lets somebody log in again. For instance administrators.
    Enable {
        /// Which.
        login: String,
    },
    /// Lets an account change the instance, or not any more. For instance administrators.
    Administrator {
        /// Which.
        login: String,
        /// Not any more.
        #[arg(long)]
        off: bool,
    },
    /// Makes a one-time link that sets a new password. For instance administrators.
    PasswordLink {
        /// Whose.
        login: String,
    },
    /// Sets your own password; ends your other sessions.
    Password,
    /// Your second factor: codes of an authenticator, asked for at each login with the password.
    #[command(
        subcommand,
        after_help = "Examples:
  naru account totp begin           prints the secret for an authenticator
  naru account totp confirm         asks for its first code, and prints recovery codes

It counts once a code was given for it. Who logs in by a login provider is asked there."
    )]
    Totp(Totp),
    /// Sets a password with a one-time link.
    Reset {
        /// The whole link.
        link: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Totp {
    /// Says whether it is on, and how many recovery codes are left.
    Status,
    /// Makes a secret for an authenticator. Asks for your password.
    Begin,
    /// Turns it on with a code of the authenticator, and prints the recovery codes once.
    Confirm,
    /// Turns it off. Asks for your password.
    Off,
    /// Takes it off an account whose owner lost it. For instance administrators.
    Reset {
        /// Whose.
        login: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Lists the browsers that are logged in to your account.
    List,
    /// Logs a browser out.
    End {
        /// The session's id.
        id: String,
    },
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One JSON object per line.
    Ndjson,
    /// A table for spreadsheets.
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Of this login.
    #[arg(long = "by", value_name = "LOGIN")]
    pub(crate) login: Option<String>,
    /// With this action, or those below it: project finds project.create.
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// In this project.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// That ended so: done, failed, or an error code.
    #[arg(long, value_name = "RESULT")]
    pub(crate) result: Option<String>,
    /// Not earlier, such as 2026-11-29T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Timestamp>,
    /// Earlier, such as 2026-11-30T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,
    /// Prints all of them in this form, 100,000 at most, instead of a page.
    #[arg(long, value_name = "FORM")]
    pub(crate) export: Option<Form>,
    #[command(flatten)]
    pub(crate) paging: Paging,
}
