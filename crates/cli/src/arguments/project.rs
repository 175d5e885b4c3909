//! Commands about projects, and about what asked for runs and what came of them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use naru_model::about::Contact;
use naru_model::{BranchName, OrganisationName, ProjectName, ReleaseNumber, RunNumber};

use super::{InProject, Paging};

#[derive(Debug, Subcommand)]
pub(crate) enum Project {
    /// Creates a project with its two repositories.
    Create {
        /// Lower-case letters, digits and single hyphens, at most 40 characters.
        name: ProjectName,
        /// Whose it shall be. Without it: main.
        #[arg(long, short, value_name = "NAME")]
        organisation: Option<OrganisationName>,
        /// The branch that is delivered to production.
        #[arg(long, value_name = "NAME", default_value = "main")]
        branch: BranchName,
    },
    /// Lists projects by name.
    List {
        /// Only your favourites.
        #[arg(long)]
        favourites: bool,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a project.
    Show {
        /// Which. Without it: NARU_PROJECT, else the git remote of this folder.
        name: Option<ProjectName>,
    },
    /// Says what a project is for, who answers for it and whom to ask. What is not named stays.
    #[command(after_help = "Examples:
  naru project set shop --summary 'Sells things' --owner minji
  naru project set shop --description about.txt
  naru project set shop --contact 'On call: oncall@example.com' --contact https://chat.example.com/shop
  naru project set shop --no-contacts --owner ''")]
    Set(Set),
    /// Keeps a project among your favourites: first on the home page.
    Star {
        /// Which. Without it: NARU_PROJECT, else the git remote of this folder.
        name: Option<ProjectName>,
    },
    /// Takes a project out of your favourites.
    Unstar {
        /// Which. Without it: NARU_PROJECT, else the git remote of this folder.
        name: Option<ProjectName>,
    },
    /// Stops everything of a project and removes it, with its repositories and volumes.
    Delete {
        /// Which.
        name: ProjectName,
        /// The name once more; asked for without it.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["summary", "description", "owner", "contact", "no_contacts"])))]
pub(crate) struct Set {
    /// Which. Without it: NARU_PROJECT, else the git remote of this folder.
    pub(crate) name: Option<ProjectName>,
    /// What it is for, in one line of at most 120 characters; empty for none.
    #[arg(long, value_name = "TEXT")]
    pub(crate) summary: Option<String>,
    /// A file with more about it, as plain text; - reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) description: Option<PathBuf>,
    /// The login of who answers for it; empty for nobody.
    #[arg(long, value_name = "LOGIN")]
    pub(crate) owner: Option<String>,
    /// Whom to ask: an e-mail address or an https:// link, with a label before it if you like. Can be given more than once,
    /// and takes the place of all contacts before.
    #[arg(long, value_name = "CONTACT")]
    pub(crate) contact: Vec<Contact>,
    /// Takes all contacts away.
    #[arg(long, conflicts_with = "contact")]
    pub(crate) no_contacts: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trigger {
    /// Lists triggers, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Asks for the same again.
    Replay {
        /// The trigger's id.
        id: String,
        #[command(flatten)]
        place: InProject,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Lists runs, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a run with its steps.
    Show {
        /// The run's number. Without it: the newest.
        number: Option<RunNumber>,
        #[command(flatten)]
        place: InProject,
    },
    /// Prints what the steps of a run printed.
    #[command(after_help = "Examples:
  naru run logs -p shop -f               follow the newest run
  naru run logs 12 -p shop --step test")]
    Logs {
        /// The run's number. Without it: the newest.
        number: Option<RunNumber>,
        #[command(flatten)]
        place: InProject,
        /// Only this step.
        #[arg(long, value_name = "NAME")]
        step: Option<String>,
        /// Goes on until the run is over.
        #[arg(long, short)]
        follow: bool,
        /// Puts the time before each line.
        #[arg(long, short)]
        times: bool,
    },
    /// Stops a run with all its processes.
    Cancel {
        /// The run's number.
        number: RunNumber,
        #[command(flatten)]
        place: InProject,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Lists releases, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a release with its images.
    Show {
        /// The release's number. Without it: the newest.
        number: Option<ReleaseNumber>,
        #[command(flatten)]
        place: InProject,
    },
}
