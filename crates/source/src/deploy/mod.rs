//! Deploy repositories: one per project, the only statement of what should run.
//!
//! Branch `main` has a folder per environment. Naru commits renders to it, merged with what people changed; people may
//! push to it. What a manifest may say is the business of `naru_model::manifest`; what becomes of a commit is decided
//! by delivery.
//!
//! Beside the branch, `refs/naru/render/<environment>` keeps what Naru rendered last, without people's edits: the base
//! of the next merge. `refs/naru/main` is where Naru left the branch. Every move of the three is one transaction, valid
//! only from where the caller saw the branch.

mod all;
mod error;
mod history;
pub mod hook;
pub mod memory;
mod objects;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use naru_model::effect::Effects;
use naru_model::{
    BranchName, Clock, CommitId, EnvironmentKey, EnvironmentName, InstanceId, ProjectName, ReleaseNumber,
};

use crate::git::{Git, Reference};

pub use all::{DeployRepositories, InGit};
pub use error::DeployError;
pub use history::RevisionCommit;
pub use hook::AllowedEnvironments;
pub use read::Observed;
pub use write::{Committed, Message};

/// The result of every call here.
pub type Result<T, E = DeployError> = std::result::Result<T, E>;

const MAIN: &str = "refs/heads/main";
/// Where Naru left the branch; shows when somebody rewrote it behind Naru's back.
const LEFT_AT: &str = "refs/naru/main";

/// The deploy repository of one project. Cheap to clone.
#[derive(Clone)]
pub struct DeployRepository {
    git: Git,
    project: ProjectName,
    instance: InstanceId,
    clock: Arc<dyn Clock>,
}

impl DeployRepository {
    /// The repository `<data>/git/deploy/<project>.git`, which need not exist yet.
    pub fn new(
        data: &Path,
        project: &ProjectName,
        instance: &InstanceId,
        clock: Arc<dyn Clock>,
        effects: Arc<dyn Effects>,
    ) -> Self {
        let folder = data.join("git").join("deploy").join(format!("{project}.git"));
        Self { git: Git::new(folder, effects), project: project.clone(), instance: instance.clone(), clock }
    }

    /// The repository as git sees it.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Makes the repository, empty. Doing it again changes nothing that was pushed.
    pub async fn create(&self) -> Result<()> {
        let main: BranchName = "main".parse().expect("a branch name");
        self.git.init_bare(&main).await?;
        // A reference on disk whose objects are not would be a repository that is lost with the machine's power.
        self.git.configure(&[("core.fsync", "committed"), ("core.fsyncMethod", "batch")]).await?;
        Ok(())
    }

    /// The commit of branch `main`; `None` when the branch does not exist.
    pub async fn head(&self) -> Result<Option<CommitId>> {
        Ok(self.references().await?.main)
    }

    /// Where all references are, in one look.
    async fn references(&self) -> Result<References> {
        if !self.git.exists().await {
            return Err(DeployError::Missing { project: self.project.clone() });
        }
        let mut references = References::default();
        for Reference { name, object } in self.git.references("refs/").await? {
            match name.as_str() {
                MAIN => references.main = Some(object),
                LEFT_AT => references.left_at = Some(object),
                _ => {
                    references.others.insert(name, object);
                }
            }
        }
        Ok(references)
    }

    fn key(&self, environment: &EnvironmentName) -> EnvironmentKey {
        EnvironmentKey { project: self.project.clone(), environment: environment.clone() }
    }

    fn render_reference(environment: &EnvironmentName) -> String {
        format!("refs/naru/render/{environment}")
    }
}

/// Where the references of a repository are.
#[derive(Debug, Default)]
struct References {
    main: Option<CommitId>,
    left_at: Option<CommitId>,
    others: BTreeMap<String, CommitId>,
}

impl References {
    fn render(&self, environment: &EnvironmentName) -> Option<&CommitId> {
        self.others.get(&DeployRepository::render_reference(environment))
    }
}

/// The trailers of Naru's commits. People's commits must not carry them; the receive hook sees to it.
mod trailer {
    pub(super) const ENVIRONMENT: &str = "Naru-Environment";
    pub(super) const RELEASE: &str = "Naru-Release";
    pub(super) const CONFIGURATION: &str = "Naru-Configuration";
    pub(super) const REVISION: &str = "Naru-Revision";
    pub(super) const RENDER: &str = "Naru-Render";
    pub(super) const SECRET: &str = "Naru-Secret";
    pub(super) const INTENT: &str = "Naru-Intent";
}

/// The subject of a commit that renders a release, for people.
pub fn subject(environment: &EnvironmentName, release: Option<ReleaseNumber>) -> String {
    match release {
        Some(release) => format!("Render release {release} for {environment}"),
        None => format!("Render {environment}"),
    }
}
