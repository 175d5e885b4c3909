//! Why a deploy repository did not do what it was asked, sorted by what the caller does next.

use naru_model::manifest::Conflict;
use naru_model::{CommitId, EnvironmentName, Problem, ProjectName};

use crate::git::GitError;

/// Why a deploy repository did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Git failed; it may work in a moment.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The branch has moved since the caller read it: read it again and repeat.
    #[error("the deploy repository has moved")]
    Stale {
        /// Where the caller saw it.
        expected: Option<CommitId>,
        /// Where it is.
        found: Option<CommitId>,
    },
    /// The repository does not exist on disk.
    #[error("the deploy repository of `{project}` is missing")]
    Missing {
        /// Whose.
        project: ProjectName,
    },
    /// The branch no longer contains a commit it had: somebody rewrote or emptied it behind Naru's back.
    #[error("the deploy repository no longer contains commit {}", .missing.short())]
    Rewritten {
        /// The commit that is gone from the branch.
        missing: CommitId,
        /// Where the branch is now.
        head: Option<CommitId>,
    },
    /// A person removed the environment's folder; a render brings it back only when it is asked to.
    #[error("the folder of `{environment}` was removed from the deploy repository")]
    Removed {
        /// Whose folder.
        environment: EnvironmentName,
    },
    /// The commit has no folder for the environment.
    #[error("commit {} has no folder `{environment}`", .commit.short())]
    NoFolder {
        /// Whose folder.
        environment: EnvironmentName,
        /// Which commit.
        commit: CommitId,
    },
    /// People and Naru changed the same fields to different values.
    #[error("{} fields were changed by people and by Naru", .0.len())]
    Conflict(Vec<Conflict>),
    /// The manifests say something that is not honoured.
    #[error("the manifests are refused: {} problems", .0.len())]
    Refused(Vec<Problem>),
}

impl DeployError {
    /// Whether repeating it may help without a person.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Git(_) | Self::Stale { .. })
    }

    /// The error as people see it, one or more.
    pub fn into_problems(self) -> Vec<Problem> {
        let summary = self.to_string();
        let kept = |problem: Problem| vec![problem.state("nothing that runs was changed")];
        match self {
            Self::Git(error) => vec![error.into()],
            Self::Stale { .. } => kept(
                Problem::new("deploy.stale", summary)
                    .hint("nothing to do: it is tried again from the new commit"),
            ),
            Self::Missing { .. } => kept(
                Problem::new("deploy.missing", summary)
                    .hint("restore `git/deploy` of the data folder from a backup"),
            ),
            Self::Rewritten { missing, head } => {
                let now = head
                    .map_or_else(|| "the branch is gone".to_owned(), |head| format!("`main` is at {head}"));
                kept(
                    Problem::new("deploy.rewritten", summary)
                        .cause(now)
                        .hint("set the branch back, in the repository's folder on the server:")
                        .command(format!("git update-ref refs/heads/main {missing}")),
                )
            }
            Self::Removed { environment } => vec![
                Problem::new("deploy.removed", summary)
                    .cause("a commit on `main` took the folder away")
                    .hint(format!(
                        "deploy to `{environment}` by hand to bring it back, or revert that commit"
                    )),
            ],
            Self::NoFolder { .. } => kept(
                Problem::new("deploy.no-folder", summary).hint("choose a revision from `naru revision list`"),
            ),
            Self::Conflict(conflicts) => conflicts.iter().map(Conflict::to_problem).collect(),
            Self::Refused(problems) => problems,
        }
    }
}
