//! One instance with two organisations, in memory but for git and blobs, and everybody who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use naru_identity::external::External;
use naru_identity::{Identity, NewToken};
use naru_image::{NeedUnknown, NeededImages, NeededNow, Registry};
use naru_model::api::{
    Capabilities, Certificate, CertificateAuthority, CertificateUpload, Check, StoredPart,
};
use naru_model::authorise::Principal;
use naru_model::effect::Unobserved;
use naru_model::role::{LocalRole, Role};
use naru_model::rollout::ReplicaSeen;
use naru_model::{BranchName, CommitId, EnvironmentKey, OrganisationName, Problem, ProjectName};
use naru_secret::KeyRing;
use naru_source::{Hosting, HostingSettings, SourceRepositories};
use naru_store::Store;
use naru_store::log::{LogLimits, LogStore};
use naru_testkit::clock::HandClock;
use naru_web::{Address, Behind, WebContext};
use secrecy::ExposeSecret as _;
use tower::ServiceExt as _;

const HOST: &str = "127.0.0.1:7070";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Person {
    /// Not logged in.
    Nobody,
    /// Owns another organisation.
    Stranger,
    /// May change the instance, and belongs to no organisation.
    Administrator,
    Viewer,
    Developer,
    Maintainer,
    Owner,
    /// A developer whose access to the project was taken away.
    Barred,
    /// A developer whose access to `staging` was taken away.
    Fenced,
    /// The owner, with a token for another project.
    Bound,
}

impl Person {
    pub(super) const MEMBERS: [Self; 4] = [Self::Viewer, Self::Developer, Self::Maintainer, Self::Owner];

    /// The role in the organisation `ours`.
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::Nobody | Self::Stranger | Self::Administrator => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Developer | Self::Barred | Self::Fenced => Some(Role::Developer),
            Self::Maintainer => Some(Role::Maintainer),
            Self::Owner | Self::Bound => Some(Role::Owner),
        }
    }

    fn login(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// An answer as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

pub(super) struct World {
    router: Router,
    identity: Identity,
    _folder: tempfile::TempDir,
}

fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

fn place(name: &str) -> EnvironmentKey {
    EnvironmentKey { project: project("shop"), environment: name.parse().unwrap() }
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let clock = Arc::new(HandClock::default());
        let store = Store::open(&data.join("naru.db"), clock, Arc::new(Unobserved)).await.unwrap();
        let keys = Arc::new(KeyRing::open(&data.join("key")).unwrap());
        let identity = Identity::new(store.clone(), keys.clone());
        people(&store).await;
        things(&store).await;
        let logs = LogStore::open(&data.join("logs"), LogLimits::default()).await.unwrap();
        let base_url = format!("http://{HOST}");
        let web = naru_web::router(WebContext {
            store: store.clone(),
            identity: identity.clone(),
            external: External::open(identity.clone(), keys.clone(), &base_url, None).unwrap(),
            keys,
            logs,
            behind: Arc::new(Away),
            address: Address { base_url, hosts: Vec::new(), proxies: Vec::new() },
        });
        let authorise = Arc::new(identity.clone());
        let sources = SourceRepositories::new(data.join("git"), Arc::new(Unobserved));
        let hosting = Hosting::open(store.clone(), sources, authorise.clone(), HostingSettings::default())
            .await
            .unwrap();
        let limits = naru_image::Limits::default();
        let registry = Registry::open(&data.join("blobs"), store, authorise, Arc::new(Away), limits).unwrap();
        let router = web.merge(hosting.router()).merge(registry.router());
        Self { router, identity, _folder: folder }
    }

    /// Asks with a fresh token, since logging out ends it.
    pub(super) async fn ask(&self, person: Person, method: &str, path: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(token) = self.token(person).await {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let service = path.rsplit('/').next().unwrap_or_default();
        request = match (path.starts_with("/git/"), method) {
            (true, "POST") => request.header("content-type", format!("application/x-{service}-request")),
            (_, "GET") => request,
            _ => request.header("content-type", "application/json"),
        };
        let body = if path.starts_with("/api/") && method != "GET" { "{}" } else { "" };
        self.read(request.body(Body::from(body)).unwrap()).await
    }

    async fn read(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let goes_on = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let text = if goes_on {
            String::new()
        } else {
            // A git client that says nothing is cut off in the middle of its answer.
            let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Answer { status: parts.status.as_u16(), headers, text }
    }

    async fn token(&self, person: Person) -> Option<String> {
        let (login, project) = match person {
            Person::Nobody => return None,
            Person::Bound => (Person::Owner.login(), Some(project("mine"))),
            person => (person.login(), None),
        };
        let principal = Principal { login, credential_id: "test".to_owned() };
        let new = NewToken { project, ..NewToken::default() };
        let issued = self.identity.create_token(&principal, new).await.unwrap();
        Some(issued.plain.expose_secret().to_owned())
    }
}

async fn people(store: &Store) {
    let ours: OrganisationName = "ours".parse().unwrap();
    let theirs: OrganisationName = "them".parse().unwrap();
    for person in [
        Person::Stranger,
        Person::Administrator,
        Person::Owner,
        Person::Viewer,
        Person::Developer,
        Person::Maintainer,
        Person::Barred,
        Person::Fenced,
    ] {
        store.create_account(&person.login(), "").await.unwrap();
    }
    store.set_administrator(&Person::Administrator.login(), true).await.unwrap();
    store.create_organisation(&ours, "", &Person::Owner.login()).await.unwrap();
    store.create_organisation(&theirs, "", &Person::Stranger.login()).await.unwrap();
    for person in [Person::Viewer, Person::Developer, Person::Maintainer, Person::Barred, Person::Fenced] {
        store.join(&ours, &person.login(), person.role().unwrap()).await.unwrap();
    }
}

async fn things(store: &Store) {
    let main: BranchName = "main".parse().unwrap();
    for (name, organisation) in [("shop", "ours"), ("mine", "ours"), ("other", "them")] {
        store.create_project_in(&organisation.parse().unwrap(), &project(name), &main, None).await.unwrap();
    }
    for name in ["production", "staging"] {
        store.ensure_environment(&place(name), None).await.unwrap();
    }
    store.protect_environment(&place("production"), true).await.unwrap();
    let (barred, fenced) = (Person::Barred.login(), Person::Fenced.login());
    store.set_project_role(&project("shop"), &barred, Some(LocalRole::None)).await.unwrap();
    store.set_environment_role(&place("staging"), &fenced, Some(LocalRole::None)).await.unwrap();
}

/// Nothing lies behind: whoever gets so far was let in.
struct Away;

fn away() -> Problem {
    Problem::new("store.unavailable", "nothing lies behind")
}

#[async_trait]
impl Behind for Away {
    async fn create_repositories(&self, _: &ProjectName, _: &BranchName) -> Result<(), Problem> {
        Err(away())
    }
    async fn first_commit(
        &self,
        _: &ProjectName,
        _: &BranchName,
        _: &[(&str, &str)],
        _: &str,
    ) -> Result<CommitId, Problem> {
        Err(away())
    }
    async fn ready(&self) -> Result<(), Problem> {
        Err(away())
    }
    async fn doctor(&self) -> Vec<Check> {
        Vec::new()
    }
    async fn capabilities(&self) -> Result<Capabilities, Problem> {
        Err(away())
    }
    async fn storage(&self) -> Result<Vec<StoredPart>, Problem> {
        Err(away())
    }
    async fn replicas(&self, _: &EnvironmentKey) -> Result<Vec<ReplicaSeen>, Problem> {
        Err(away())
    }
    async fn difference(
        &self,
        _: &EnvironmentKey,
        _: Option<&CommitId>,
        _: &CommitId,
    ) -> Result<String, Problem> {
        Err(away())
    }
    async fn certificates(&self) -> Result<Vec<Certificate>, Problem> {
        Err(away())
    }
    async fn set_certificate(&self, _: &str, _: CertificateUpload, _: &str) -> Result<Certificate, Problem> {
        Err(away())
    }
    async fn unset_certificate(&self, _: &str) -> Result<(), Problem> {
        Err(away())
    }
    async fn certificate_authority(&self) -> Result<CertificateAuthority, Problem> {
        Err(away())
    }
    async fn metrics(&self) -> Result<(&'static str, String), Problem> {
        Err(away())
    }
    async fn urls(&self, _: &EnvironmentKey) -> Vec<String> {
        Vec::new()
    }
}

impl NeededImages for Away {
    fn needed<'a>(&'a self, _: &'a ProjectName) -> NeededNow<'a> {
        Box::pin(async { Err(NeedUnknown("nothing lies behind".to_owned())) })
    }
}
