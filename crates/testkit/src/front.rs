//! What lies before a release: hosted git, the pipeline, the registry. A push comes in as git sends it, only without a
//! socket; the builder, a process of its own in reality, pushes what it built while its job runs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, StatusCode};
use naru_delivery::inputs::Vault;
use naru_engine::Engine;
use naru_engine::fake::Fake;
use naru_image::{NeedUnknown, NeededImages, NeededNow, Registry};
use naru_model::authorise::{Authorise, Credentials, Decision, Permission, Principal, Resource};
use naru_model::effect::Effects;
use naru_model::job::{JobState, JobWork};
use naru_model::{CommitId, ProjectName};
use naru_pipeline::{Admission, Collectors, Room, Settings};
use naru_secret::KeyRing;
use naru_source::{Hosting, HostingSettings, SourceRepositories};
use naru_store::Store;
use naru_store::image::ManifestName;
use naru_store::log::LogStore;
use tower::ServiceExt as _;

use crate::person::{Commit, Image};
use crate::rig::World;

/// The largest answer that is read.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;
/// How long the end of a log may take, in real time.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// Hosted git, pipeline and registry of a rig.
pub struct Front {
    /// The pipeline.
    pub pipeline: Arc<naru_pipeline::Context>,
    /// The repositories that people push to.
    pub sources: SourceRepositories,
    /// What seals secrets and signs receipts.
    pub keys: Arc<KeyRing>,
    hosting: Arc<Hosting>,
    registry: Arc<Registry>,
}

impl Front {
    /// Opens what is there, and makes good what a crash left, as `naru serve` does.
    pub(crate) async fn open(
        world: &World,
        (store, logs): (&Store, &LogStore),
        engine: Arc<dyn Engine>,
        effects: Arc<dyn Effects>,
    ) -> Self {
        let sources = SourceRepositories::new(world.data.join("git"), effects);
        let keys = Arc::new(KeyRing::open(&world.data.join("key")).expect("a key file"));
        let inputs = Vault { store: store.clone(), keys: keys.clone(), sources: sources.clone() };
        let pipeline = naru_pipeline::Context {
            store: store.clone(),
            logs: logs.clone(),
            engine,
            inputs: Arc::new(inputs),
            admission: Arc::new(Plenty),
            sources: Arc::new(sources.clone()),
            settings: Settings::for_cpus(2, "127.0.0.1:7070".into()),
            collectors: Collectors::default(),
        };
        let hosting =
            Hosting::open(store.clone(), sources.clone(), Arc::new(Anyone), HostingSettings::default())
                .await
                .expect("the hooks' folder");
        hosting.recover().await.expect("the hosted repositories are made good");
        let limits = naru_image::Limits::default();
        let blobs = world.data.join("blobs");
        let registry = Registry::open(&blobs, store.clone(), Arc::new(Anyone), Arc::new(Unknown), limits)
            .expect("a blob folder");
        Self { pipeline: Arc::new(pipeline), sources, keys, hosting, registry }
    }

    /// Pushes a commit to `main`. Panics unless git takes it.
    pub async fn push(&self, project: &ProjectName, commit: &Commit) {
        let old = commit.parent.as_ref().map_or_else(|| "0".repeat(40), ToString::to_string);
        let line = format!("{old} {} refs/heads/main\0 report-status", commit.id);
        let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
        body.extend_from_slice(&commit.pack);
        let path = format!("/git/{project}.git/git-receive-pack");
        let kind = "application/x-git-receive-pack-request";
        let answer = send(self.hosting.router(), Method::POST, &path, kind, body).await;
        let said = String::from_utf8_lossy(&answer.1);
        assert!(answer.0.is_success() && said.contains("ok refs/heads/main"), "{}: {said}", answer.0);
    }

    /// Pushes the image of every build that was begun, unless it is there already.
    pub(crate) async fn carry_out_builds(&self, fake: &Fake) {
        for start in fake.started_jobs() {
            let JobWork::Build { workspace, push_to, .. } = &start.spec.work else { continue };
            let (_, name) = push_to.split_once('/').expect("a registry and a name");
            let (repository, tag) = name.rsplit_once(':').expect("a name and a tag");
            if !self.has_image(&workspace.project, repository, tag).await {
                self.push_image(repository, tag, &workspace.commit).await;
            }
        }
    }

    async fn has_image(&self, project: &ProjectName, repository: &str, tag: &str) -> bool {
        let (_, name) = repository.split_once('/').expect("a project and a name");
        let repository = naru_store::image::Repository {
            project: project.clone(),
            name: name.parse().expect("a repository name"),
        };
        let tag = ManifestName::Tag(tag.parse().expect("a tag"));
        self.pipeline.store.manifest(&repository, &tag).await.expect("the store answers").is_some()
    }

    async fn push_image(&self, repository: &str, tag: &str, commit: &CommitId) {
        let image = Image::of(commit);
        for blob in &image.blobs {
            let digest = naru_model::Digest::of(blob);
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let kind = "application/octet-stream";
            let answer = send(self.registry.router(), Method::POST, &path, kind, blob.clone()).await;
            assert_eq!(answer.0, StatusCode::CREATED, "{:?}", answer.1);
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let (manifest, kind) = image.manifest();
        let answer = send(self.registry.router(), Method::PUT, &path, kind, manifest.into()).await;
        assert_eq!(answer.0, StatusCode::CREATED, "{:?}", answer.1);
    }

    /// Waits for the logs of ended jobs that are being copied: the only work that goes on beside the passes.
    pub(crate) async fn finish_logs(&self, fake: &Fake) {
        let wait = async {
            while self.log_is_under_way(fake).await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LOG_LIMIT, wait).await.expect("the logs of ended jobs are stored");
    }

    async fn log_is_under_way(&self, fake: &Fake) -> bool {
        for scope in fake.job_scopes().await.expect("the fake answers") {
            for job in fake.true_jobs(&scope) {
                let ended = matches!(job.state, JobState::Finished(_));
                if ended && self.pipeline.collectors.follows(&job.key) {
                    return true;
                }
            }
        }
        false
    }
}

async fn send(router: Router, method: Method, path: &str, kind: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer mina")
        .header("content-type", kind)
        .header("content-length", body.len())
        .body(Body::from(body))
        .expect("a request");
    let Ok(response) = router.oneshot(request).await;
    let status = response.status();
    (status, to_bytes(response.into_body(), ANSWER_LIMIT_BYTES).await.expect("a whole answer"))
}

/// Everybody may do everything: who may is not what is tested here.
struct Anyone;

impl Authorise for Anyone {
    fn authorise<'a>(&'a self, _: &'a Credentials, _: Permission, _: &'a Resource) -> Decision<'a> {
        let mina = Principal { login: "mina".into(), credential_id: "1".into() };
        Box::pin(std::future::ready(Ok(mina)))
    }
}

/// The machine is never full.
struct Plenty;

impl Admission for Plenty {
    fn room(&self) -> Room {
        Room { memory_bytes: u64::MAX, disk_bytes: u64::MAX }
    }
}

/// Nothing is collected here, so nobody asks.
struct Unknown;

impl NeededImages for Unknown {
    fn needed<'a>(&'a self, _: &'a ProjectName) -> NeededNow<'a> {
        Box::pin(std::future::ready(Err(NeedUnknown("nobody asks here".into()))))
    }
}
