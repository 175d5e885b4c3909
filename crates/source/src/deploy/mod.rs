//! Deploy repositories: one per project, the only statement of what should run.
//!
//! Branch `main` has a folder per environment. Naru commits renders to it, merged with what people changed; people may
//! push to it. What a manifest may say is the business of `naru_model::manifest`; what becomes of a commit is decided
//! by delivery.
//!
//! Beside the branch, `refs/naru/render/<environment>` keeps what Naru rendered last, without people's edits: the base
//! of the next merge. `refs/naru/main` is where Naru left the branch. Every move of the three is one transaction, valid
//! only from where the caller saw the branch.

mod error;
mod history;
pub mod hook;
mod objects;
mod read;
mod write;

use std::path::Path;
use std::sync::Arc;

use naru_model::effect::Effects;
use naru_model::{
    BranchName, Clock, CommitId, EnvironmentKey, EnvironmentName, InstanceId, ProjectName, ReleaseNumber,
};

use crate::git::{Git, Reference};

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

    /// Makes the repository, empty, and sets what it accepts. Doing it again changes nothing that was pushed.
    pub async fn create(&self) -> Result<()> {
        let main: BranchName = "main".parse().expect("a branch name");
        self.git.init_bare(&main).await?;
        self.git
            .configure(&[
                ("receive.denyNonFastForwards", "true"),
                ("receive.denyDeletes", "true"),
                ("receive.fsckObjects", "true"),
                ("receive.maxInputSize", "67108864"),
                ("receive.advertisePushOptions", "false"),
                // Naru's own references are neither shown nor pushed to.
                ("transfer.hideRefs", "refs/naru"),
            ])
            .await?;
        Ok(())
    }

    /// The commit of branch `main`; `None` when the branch does not exist.
    pub async fn head(&self) -> Result<Option<CommitId>> {
        if !self.git.exists().await {
            return Err(DeployError::Missing { project: self.project.clone() });
        }
        let found = self.git.references(MAIN).await?;
        Ok(found.into_iter().find(|reference| reference.name == MAIN).map(|reference| reference.object))
    }

    /// Where Naru left the branch, if it ever committed.
    async fn left_at(&self) -> Result<Option<CommitId>> {
        Ok(self.reference(LEFT_AT).await?.map(|reference| reference.object))
    }

    async fn reference(&self, name: &str) -> Result<Option<Reference>> {
        Ok(self.git.references(name).await?.into_iter().find(|reference| reference.name == name))
    }

    fn key(&self, environment: &EnvironmentName) -> EnvironmentKey {
        EnvironmentKey { project: self.project.clone(), environment: environment.clone() }
    }

    fn render_reference(environment: &EnvironmentName) -> String {
        format!("refs/naru/render/{environment}")
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
}

/// The subject of a commit that renders a release, for people.
pub fn subject(environment: &EnvironmentName, release: Option<ReleaseNumber>) -> String {
    match release {
        Some(release) => format!("Render release {release} for {environment}"),
        None => format!("Render {environment}"),
    }
}
