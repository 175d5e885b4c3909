//! Commands about variables and secrets.

use clap::{Args, Subcommand};
use naru_model::{SecretName, VariableName};

use super::{InEnvironment, Paging, Waiting, pair};

#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    /// Sets variables: one new revision for all of them.
    #[command(after_help = "Examples:
  naru env set GREETING=hello LOG_LEVEL=debug -p shop --wait

Values on the command line can be seen by other users of the machine: passwords belong into `naru secret set`.")]
    Set {
        /// Pairs of a name and a value.
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
        pairs: Vec<(VariableName, String)>,
        #[command(flatten)]
        place: InEnvironment,
        /// For all environments of the project that do not set the name themselves.
        #[arg(long, conflicts_with_all = ["environment", "wait"])]
        shared: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Lists variables by name, and which of them come from the project.
    List {
        #[command(flatten)]
        place: InEnvironment,
        /// Those that the project sets for all its environments.
        #[arg(long, conflicts_with = "environment")]
        shared: bool,
    },
    /// Unsets variables: one new revision for all of them.
    Unset {
        /// Names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<VariableName>,
        #[command(flatten)]
        place: InEnvironment,
        /// Those that the project sets for all its environments.
        #[arg(long, conflicts_with_all = ["environment", "wait"])]
        shared: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Lists versions of the configuration, newest first.
    Versions {
        #[command(flatten)]
        place: InEnvironment,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows what is different between two versions.
    Diff(VersionDiff),
    /// Makes a new version with the variables of an earlier one.
    #[command(after_help = "Examples:
  naru env versions -p shop
  naru env diff 3 -p shop                  what changed since version 3
  naru env restore 3 -p shop --wait

What comes from the project stays as it is. To return to a revision with its release: naru rollback.")]
    Restore(VersionRestore),
    /// Prints the variables as a .env file.
    Export(InEnvironment),
}

#[derive(Debug, Args)]
pub(crate) struct VersionDiff {
    /// The first version; 0 is the empty one.
    pub(crate) from: u32,
    /// The second. Without it: the newest.
    pub(crate) to: Option<u32>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
}

#[derive(Debug, Args)]
pub(crate) struct VersionRestore {
    /// The earlier version.
    pub(crate) version: u32,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Sets a secret. The value is read from standard input, or typed unseen; never from the command line.
    #[command(after_help = "Examples:
  naru secret set DATABASE_URL -p shop            asks for the value
  naru secret set TLS_KEY -p shop < key.pem       reads it from a file
  naru secret set NPM_TOKEN -p shop --pipeline    for the steps of the pipeline")]
    Set {
        /// The secret's name: the variable that the service sees.
        name: SecretName,
        #[command(flatten)]
        place: InEnvironment,
        /// For the steps of the pipeline instead of an environment.
        #[arg(long, conflicts_with = "environment")]
        pipeline: bool,
        /// For all environments of the project that have none of that name themselves.
        #[arg(long, conflicts_with_all = ["environment", "pipeline", "wait"])]
        shared: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Lists names and versions. Values are not shown.
    List {
        #[command(flatten)]
        place: InEnvironment,
        /// Those of the pipeline instead of an environment.
        #[arg(long, conflicts_with = "environment")]
        pipeline: bool,
        /// Those that the project has for all its environments.
        #[arg(long, conflicts_with_all = ["environment", "pipeline"])]
        shared: bool,
    },
    /// Unsets a secret.
    Unset {
        /// The secret's name.
        name: SecretName,
        #[command(flatten)]
        place: InEnvironment,
        /// One of the pipeline instead of an environment.
        #[arg(long, conflicts_with = "environment")]
        pipeline: bool,
        /// One that the project has for all its environments.
        #[arg(long, conflicts_with_all = ["environment", "pipeline", "wait"])]
        shared: bool,
        /// Also revokes every version: a rollback cannot bring one back.
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Lists versions of which secrets there were, newest first.
    Versions {
        #[command(flatten)]
        place: InEnvironment,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows which names are different between two versions. Values are never shown.
    Diff(VersionDiff),
    /// Makes the secrets of an earlier version the current ones again. Revoked ones do not come back.
    Restore(VersionRestore),
    /// Prints the values as a .env file, for who has read-secrets. Every export is in the audit log.
    #[command(after_help = "Examples:
  naru secret export -p shop -e staging > .env

Whoever reads the file has the secrets: keep it out of repositories.")]
    Export(InEnvironment),
}
