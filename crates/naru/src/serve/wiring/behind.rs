//! What the API asks for that is in no row.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use naru_certificate::Certificates;
use naru_engine::Engine;
use naru_engine::docker::DockerEngine;
use naru_identity::external::External;
use naru_model::api::{
    Capabilities, Certificate, CertificateAuthority, CertificateUpload, Check, CheckState, StoredPart,
};
use naru_model::rollout::ReplicaSeen;
use naru_model::{BranchName, CommitId, EnvironmentKey, Problem, ProjectName};
use naru_source::SourceRepositories;
use naru_source::deploy::InGit;
use naru_web::Behind;

use super::again::Again;

/// The commit of nothing: what a first revision is compared with.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Answers from repositories, engine and machine.
pub(super) struct Answers {
    pub(super) delivery: naru_delivery::Context,
    pub(super) deploy: InGit,
    pub(super) sources: SourceRepositories,
    pub(super) docker: Arc<DockerEngine>,
    pub(super) edge: naru_edge::control::Client,
    pub(super) edge_addresses: Vec<SocketAddr>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) external: External,
    pub(super) data: PathBuf,
    pub(super) seen: Seen,
}

/// What is told again for a moment instead of being looked at for everybody.
#[derive(Default)]
pub(super) struct Seen {
    checks: Again<Vec<Check>>,
    capabilities: Again<Capabilities>,
    storage: Again<Vec<StoredPart>>,
}

/// How long what the checks saw is told again, and what the engine says of itself: they start processes and read the whole
/// database, and the engine takes a third of a second.
const CHECKS_HOLD: Duration = Duration::from_secs(5);
/// How long the size of the data folder is told again: every file of it is looked at.
const COUNT_HOLDS: Duration = Duration::from_mins(1);

fn trouble(what: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("instance.trouble", what)
        .cause(error.to_string())
        .hint("try again; if it stays, look at:")
        .command("naru doctor")
}

impl Answers {
    async fn look(&self) -> Vec<Check> {
        let data = self.data.clone();
        let looked = tokio::task::spawn_blocking(move || crate::doctor::of_machine(&data)).await;
        let mut checks = looked.unwrap_or_default();
        checks.push(match self.delivery.store.check().await {
            Ok(()) => check("database", CheckState::Good, "every page is whole".into()),
            Err(error) => check("database", CheckState::Failed, error.to_string()),
        });
        checks.push(match self.docker.capabilities().await {
            Ok(engine) if engine.missing.is_empty() => {
                check("running engine", CheckState::Good, engine.engine)
            }
            Ok(engine) => {
                let detail = format!("{}: {}", engine.engine, engine.missing.join("; "));
                check("running engine", CheckState::Attention, detail)
            }
            Err(error) => check("running engine", CheckState::Failed, error.to_string()),
        });
        checks.push(self.certificates.look().await);
        checks.extend(self.external.doctor().await);
        checks
    }
}

#[async_trait]
impl Behind for Answers {
    async fn create_repositories(
        &self,
        project: &ProjectName,
        default_branch: &BranchName,
    ) -> Result<(), Problem> {
        self.sources
            .create(project, default_branch)
            .await
            .map_err(|error| trouble("the source repository could not be made", &error))?;
        let deploy = self.deploy.of(project);
        deploy.create().await.map_err(|error| trouble("the deploy repository could not be made", &error))
    }

    async fn first_commit(
        &self,
        project: &ProjectName,
        branch: &BranchName,
        files: &[(&str, &str)],
        by: &str,
    ) -> Result<CommitId, Problem> {
        let now = self.delivery.store.now();
        let begun = self.sources.begin(project, branch, files, (by, now)).await;
        begun.map_err(|error| trouble("the first commit could not be made", &error))
    }

    async fn ready(&self) -> Result<(), Problem> {
        let asked = self.delivery.store.projects_with_intents().await;
        asked.map_err(|error| trouble("the database does not answer", &error))?;
        let engine = self.docker.capabilities().await;
        engine.map(drop).map_err(|error| trouble("the container engine does not answer", &error))
    }

    async fn doctor(&self) -> Vec<Check> {
        let looked =
            self.seen.checks.or_look::<Infallible>(CHECKS_HOLD, async { Ok(self.look().await) }).await;
        let Ok(checks) = looked;
        checks
    }

    async fn capabilities(&self) -> Result<Capabilities, Problem> {
        let ask = async {
            let engine = self.docker.capabilities().await;
            let engine = engine.map_err(|error| trouble("the container engine does not answer", &error))?;
            Ok(Capabilities { engine: engine.engine, missing: engine.missing })
        };
        self.seen.capabilities.or_look(CHECKS_HOLD, ask).await
    }

    async fn storage(&self) -> Result<Vec<StoredPart>, Problem> {
        let data = self.data.clone();
        let count = async {
            let counted = tokio::task::spawn_blocking(move || super::storage::parts(&data)).await;
            let counted = counted.map_err(|error| trouble("the data folder could not be counted", &error))?;
            counted.map_err(|error| trouble("the data folder could not be counted", &error))
        };
        self.seen.storage.or_look(COUNT_HOLDS, count).await
    }

    async fn replicas(&self, key: &EnvironmentKey) -> Result<Vec<ReplicaSeen>, Problem> {
        let seen = self.docker.observe(key).await;
        Ok(seen.map_err(|error| trouble("the container engine does not answer", &error))?.replicas)
    }

    async fn difference(
        &self,
        key: &EnvironmentKey,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<String, Problem> {
        let from = from.map_or(EMPTY_TREE, CommitId::as_str);
        let repository = self.deploy.of(&key.project);
        let arguments =
            ["diff", "--no-color", "--no-ext-diff", from, to.as_str(), "--", key.environment.as_str()];
        let text = repository.git().read(&arguments).await;
        let text = text.map_err(|error| trouble("the revisions could not be compared", &error))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn certificates(&self) -> Result<Vec<Certificate>, Problem> {
        self.certificates.list().await
    }

    async fn set_certificate(
        &self,
        host: &str,
        given: CertificateUpload,
        by: &str,
    ) -> Result<Certificate, Problem> {
        self.certificates.give(host, given, by).await
    }

    async fn unset_certificate(&self, host: &str) -> Result<(), Problem> {
        self.certificates.take_back(host).await
    }

    async fn certificate_authority(&self) -> Result<CertificateAuthority, Problem> {
        self.certificates.trusted().await
    }

    async fn metrics(&self) -> Result<(&'static str, String), Problem> {
        let metrics = self.edge.metrics().await;
        let metrics = metrics.map_err(|error| trouble("the edge does not answer", &error))?;
        Ok((naru_edge::CONTENT_TYPE, naru_edge::open_metrics(metrics)))
    }

    async fn urls(&self, key: &EnvironmentKey) -> Vec<String> {
        let Ok(tables) = self.delivery.traffic.status(key).await else { return Vec::new() };
        let Some(applied) = tables.applied else { return Vec::new() };
        let secured = self.certificates.edge.tls().await.unwrap_or_default().hosts;
        let plain_port = self.edge_addresses.first().map_or(80, SocketAddr::port);
        let url = |route: &naru_model::route::Route| {
            let path = if route.path == "/" { "" } else { route.path.as_str() };
            match self.certificates.port.filter(|_| secured.contains_key(&route.host)) {
                Some(443) => format!("https://{}{path}", route.host),
                Some(port) => format!("https://{}:{port}{path}", route.host),
                None if plain_port == 80 => format!("http://{}{path}", route.host),
                None => format!("http://{}:{plain_port}{path}", route.host),
            }
        };
        applied.table.routes.iter().map(url).collect()
    }
}

fn check(name: &str, state: CheckState, detail: String) -> Check {
    Check { name: name.to_owned(), state, detail, hint: None }
}
