//! Commands about projects, and about what asked for runs and what came of them.

use clap::Subcommand;
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
    List(Paging),
    /// Shows a project.
    Show {
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
