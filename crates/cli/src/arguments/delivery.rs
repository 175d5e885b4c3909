//! Commands about what is delivered: revisions, rollouts and their receipts.

use clap::{Args, Subcommand};
use naru_model::{EnvironmentName, ReleaseNumber, RevisionNumber};

use super::{InEnvironment, InProject, Paging, Waiting};

#[derive(Debug, Subcommand)]
pub(crate) enum Revision {
    /// Lists revisions, newest first.
    List {
        #[command(flatten)]
        place: InEnvironment,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a revision.
    Show {
        /// The revision's number.
        number: RevisionNumber,
        #[command(flatten)]
        place: InEnvironment,
    },
    /// Shows what a revision changed in the manifests.
    Diff {
        /// The revision's number.
        number: RevisionNumber,
        #[command(flatten)]
        place: InEnvironment,
        /// Compares with this revision instead of the one before.
        #[arg(long, value_name = "NUMBER")]
        from: Option<RevisionNumber>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Shows what happened in the rollout to a revision: times, requests, verdict.
    #[command(after_help = "Examples:
  naru receipt show -p shop                      the newest revision that has one
  naru receipt show 41 -p shop --json > 41.json  with the signed document, for keeping

A receipt is signed when the rollout has ended and the old replicas are gone.")]
    Show {
        /// The revision's number. Without it: the newest whose rollout has ended.
        number: Option<RevisionNumber>,
        #[command(flatten)]
        place: InEnvironment,
    },
    /// Says whether a receipt from standard input was signed by this instance and is unchanged.
    #[command(after_help = "Examples:
  naru receipt verify < 41.json

Exit code: 0 when it is authentic, 1 when it is not.")]
    Verify,
    /// Prints the public keys that receipts can be checked with elsewhere.
    Keys,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The release's number. Without it: the newest of the environment's branch.
    pub(crate) release: Option<ReleaseNumber>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The revision's number. Without it: the newest earlier one that has served and is not in quarantine.
    pub(crate) revision: Option<RevisionNumber>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub(crate) place: InProject,
    /// The environment whose release it is.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: EnvironmentName,
    /// The environment it goes to.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) to: EnvironmentName,
    /// Also when the release is in quarantine.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Says where the rollout stands: its step, its preview, what it waits for.
    #[command(after_help = "Examples:
  naru rollout show -p shop
  naru rollout show -p shop -e staging --json

A canary tells its step and when the next is due. A blue-green rollout with manual promotion tells where the new revision
can be looked at before requests move: at next--<host>.")]
    Show(InEnvironment),
    /// Lets it go on to the end: past the steps that are left, or past the preview that waits.
    #[command(after_help = "Examples:
  naru rollout promote -p shop

Promoting a canary skips the judgement of the steps that are left. A revision that fails within 30 s after it got all
requests is still left by itself.")]
    Promote(InEnvironment),
    /// Gives it up: what served before keeps all requests, and the new revision goes into quarantine.
    #[command(after_help = "Examples:
  naru rollout abort -p shop

A rollout that is over cannot be given up; `naru rollback` returns from it.")]
    Abort(InEnvironment),
}
