//! What lies behind the API but in no row: repositories, the engine, checks of the machine. The binary
//! implements it over the crates that own these things.

use async_trait::async_trait;
use naru_model::api::{
    Capabilities, Certificate, CertificateAuthority, CertificateUpload, Check, StoredPart,
};
use naru_model::rollout::ReplicaSeen;
use naru_model::{BranchName, CommitId, EnvironmentKey, Problem, ProjectName};

/// Answers from outside the store.
#[async_trait]
pub trait Behind: Send + Sync + 'static {
    /// Makes the source and deploy repositories of a project that has no row yet. Repeating it is harmless.
    async fn create_repositories(
        &self,
        project: &ProjectName,
        default_branch: &BranchName,
    ) -> Result<(), Problem>;

    /// Commits files, path → content, as the first commit of a project's source repository, whose `branch` does not exist
    /// yet.
    async fn first_commit(
        &self,
        project: &ProjectName,
        branch: &BranchName,
        files: &[(&str, &str)],
        by: &str,
    ) -> Result<CommitId, Problem>;

    /// Whether requests can be served: the store answers, git and the engine are there.
    async fn ready(&self) -> Result<(), Problem>;

    /// Looks at everything Naru stands on and says how to mend what is broken.
    async fn doctor(&self) -> Vec<Check>;

    /// What the container engine can do here.
    async fn capabilities(&self) -> Result<Capabilities, Problem>;

    /// A unified diff between two commits of the environment's folder in the deploy repository; from nothing for the
    /// first.
    async fn difference(
        &self,
        key: &EnvironmentKey,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<String, Problem>;

    /// Every host with a route or with a certificate that somebody gave.
    async fn certificates(&self) -> Result<Vec<Certificate>, Problem>;

    /// Checks, seals and keeps a certificate. `certificate.refused` when it cannot be used for this host.
    async fn set_certificate(
        &self,
        host: &str,
        given: CertificateUpload,
        by: &str,
    ) -> Result<Certificate, Problem>;

    /// Forgets a certificate that somebody gave. `certificate.missing` when there is none.
    async fn unset_certificate(&self, host: &str) -> Result<(), Problem>;

    /// The authority of this instance, which is made when it is asked for the first time.
    async fn certificate_authority(&self) -> Result<CertificateAuthority, Problem>;

    /// What the edge counts, and the media type it is written in.
    async fn metrics(&self) -> Result<(&'static str, String), Problem>;

    /// Every replica of an environment as the engine sees it, those that exited included.
    async fn replicas(&self, key: &EnvironmentKey) -> Result<Vec<ReplicaSeen>, Problem>;

    /// What the data folder holds, the largest part first. May take long where there are many files.
    async fn storage(&self) -> Result<Vec<StoredPart>, Problem>;

    /// Where an environment can be reached, as URLs.
    async fn urls(&self, key: &EnvironmentKey) -> Vec<String>;
}
