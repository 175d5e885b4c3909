//! One instance of the API in memory, and requests to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use naru_identity::external::External;
use naru_identity::{Identity, NewToken, Origin};
use naru_model::api::{
    Capabilities, Certificate, CertificateAuthority, CertificateUpload, Check, StoredPart,
};
use naru_model::authorise::{Permission, Principal};
use naru_model::certificate::CertificateSource;
use naru_model::effect::Unobserved;
use naru_model::rollout::ReplicaSeen;
use naru_model::{BranchName, Clock, CommitId, EnvironmentKey, Problem, ProjectName, Timestamp};
use naru_secret::KeyRing;
use naru_store::Store;
use naru_store::log::{LogLimits, LogStore};
use naru_web::{Address, Behind, WebContext};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) const HOST: &str = "127.0.0.1:7070";

pub(crate) struct Hands(pub(crate) Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Remembers which repositories were asked for.
#[derive(Default)]
pub(crate) struct Stand {
    pub(crate) repositories: Mutex<Vec<ProjectName>>,
    pub(crate) commits: Mutex<Vec<String>>,
    certificates: Mutex<BTreeMap<String, Certificate>>,
    /// What the engine sees; nothing while it is away.
    pub(crate) replicas: Mutex<Option<Vec<ReplicaSeen>>>,
}

#[async_trait]
impl Behind for Stand {
    async fn create_repositories(&self, project: &ProjectName, _: &BranchName) -> Result<(), Problem> {
        if project.as_str() == "unlucky" {
            return Err(Problem::new("source.git-failed", "git ended with an error"));
        }
        self.repositories.lock().unwrap().push(project.clone());
        Ok(())
    }
    async fn first_commit(
        &self,
        _: &ProjectName,
        branch: &BranchName,
        files: &[(&str, &str)],
        by: &str,
    ) -> Result<CommitId, Problem> {
        let names: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        self.commits.lock().unwrap().push(format!("{by} {branch}: {}", names.join(" ")));
        Ok("0123456789abcdef0123456789abcdef01234567".parse().unwrap())
    }
    async fn ready(&self) -> Result<(), Problem> {
        Ok(())
    }
    async fn doctor(&self) -> Vec<Check> {
        Vec::new()
    }
    async fn capabilities(&self) -> Result<Capabilities, Problem> {
        Ok(Capabilities { engine: "Fake 1.0".to_owned(), missing: Vec::new() })
    }
    async fn storage(&self) -> Result<Vec<StoredPart>, Problem> {
        Ok(vec![StoredPart { name: "blobs".to_owned(), bytes: 3 << 29 }])
    }
    async fn replicas(&self, _: &EnvironmentKey) -> Result<Vec<ReplicaSeen>, Problem> {
        let seen = self.replicas.lock().unwrap().clone();
        seen.ok_or_else(|| Problem::new("instance.trouble", "the container engine does not answer"))
    }
    async fn difference(
        &self,
        _: &EnvironmentKey,
        _: Option<&CommitId>,
        _: &CommitId,
    ) -> Result<String, Problem> {
        Ok("+replicas: 3\n".to_owned())
    }
    async fn certificates(&self) -> Result<Vec<Certificate>, Problem> {
        Ok(self.certificates.lock().unwrap().values().cloned().collect())
    }
    async fn set_certificate(
        &self,
        host: &str,
        given: CertificateUpload,
        by: &str,
    ) -> Result<Certificate, Problem> {
        if given.chain != "a chain" || by != "minji" {
            return Err(Problem::new("certificate.refused", "this certificate cannot be used"));
        }
        let certificate = Certificate {
            host: host.to_owned(),
            routed: false,
            source: Some(CertificateSource::Own),
            not_before: None,
            not_after: None,
            renews_at: None,
            trouble: None,
        };
        self.certificates.lock().unwrap().insert(host.to_owned(), certificate.clone());
        Ok(certificate)
    }
    async fn unset_certificate(&self, host: &str) -> Result<(), Problem> {
        let missing = || Problem::new("certificate.missing", "nobody gave a certificate");
        self.certificates.lock().unwrap().remove(host).map(drop).ok_or_else(missing)
    }
    async fn certificate_authority(&self) -> Result<CertificateAuthority, Problem> {
        Ok(CertificateAuthority { certificate: "trust me".to_owned() })
    }
    async fn metrics(&self) -> Result<(&'static str, String), Problem> {
        Ok(("application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n".to_owned()))
    }
    async fn urls(&self, key: &EnvironmentKey) -> Vec<String> {
        vec![format!("http://{}.localhost:8080", key.project)]
    }
}

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) logs: LogStore,
    pub(crate) behind: Arc<Stand>,
    pub(crate) keys: Arc<KeyRing>,
    clock: Arc<Hands>,
    _folder: tempfile::TempDir,
}

/// A response that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(&format!("http://{HOST}")).await
    }

    /// Where people reach it under this address.
    pub(crate) async fn at(base_url: &str) -> Self {
        Self::made(tempfile::tempdir().unwrap(), None, base_url).await
    }

    /// With an administrator, and login providers as this file names them; `folder` holds what it names.
    pub(crate) async fn with_providers(text: &str, folder: tempfile::TempDir) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = folder.path().join("providers.toml");
        std::fs::write(&file, text).unwrap();
        let world = Self::made(folder, Some(&file), &format!("http://{HOST}")).await;
        world.administrator().await;
        world
    }

    async fn made(folder: tempfile::TempDir, providers: Option<&Path>, base_url: &str) -> Self {
        let clock = Arc::new(Hands(Mutex::new("2026-11-21T10:00:00Z".parse().unwrap())));
        let store =
            Store::open(&folder.path().join("naru.db"), clock.clone(), Arc::new(Unobserved)).await.unwrap();
        let keys = Arc::new(KeyRing::open(&folder.path().join("key")).unwrap());
        let identity = Identity::new(store.clone(), keys.clone());
        let logs = LogStore::open(&folder.path().join("logs"), LogLimits::default()).await.unwrap();
        let behind = Arc::new(Stand::default());
        let external = External::open(identity.clone(), keys.clone(), base_url, providers).unwrap();
        let router = naru_web::router(WebContext {
            store: store.clone(),
            identity: identity.clone(),
            external,
            keys: keys.clone(),
            logs: logs.clone(),
            behind: behind.clone(),
            address: Address { base_url: base_url.to_owned(), hosts: Vec::new(), proxies: Vec::new() },
        });
        Self { router, store, identity, logs, behind, keys, clock, _folder: folder }
    }

    /// With an administrator; returns a token that may do everything.
    pub(crate) async fn with_administrator() -> (Self, String) {
        let world = Self::new().await;
        world.administrator().await;
        let token = world.administrator_token().await;
        (world, token)
    }

    /// A token of the administrator that may do everything.
    pub(crate) async fn administrator_token(&self) -> String {
        let principal = Principal { login: "minji".to_owned(), credential_id: "test".to_owned() };
        let issued = self.identity.create_token(&principal, NewToken::default()).await.unwrap();
        issued.plain.expose_secret().to_owned()
    }

    /// Lets time go by.
    pub(crate) fn pass(&self, time: std::time::Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now += time;
    }

    pub(crate) async fn administrator(&self) -> Principal {
        let link = self.identity.offer_setup().await.unwrap().unwrap();
        let password = "river crossing at dawn".to_owned().into();
        self.identity.setup(&link, "minji", password, &Origin::default()).await.unwrap()
    }

    pub(crate) async fn project(&self, name: &str) -> ProjectName {
        let name: ProjectName = name.parse().unwrap();
        self.store.create_project(&name, &"main".parse().unwrap()).await.unwrap();
        name
    }

    /// A token of the administrator for one project.
    pub(crate) async fn scoped(&self, project: &ProjectName, permissions: &[Permission]) -> String {
        let principal = Principal { login: "minji".to_owned(), credential_id: "test".to_owned() };
        let new = NewToken {
            project: Some(project.clone()),
            permissions: permissions.to_vec(),
            ..NewToken::default()
        };
        self.identity.create_token(&principal, new).await.unwrap().plain.expose_secret().to_owned()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn read(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// A request with a token and a JSON body.
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.read(request(Some(token), method, path).body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(token, "GET", path, Value::Null).await
    }
}

pub(crate) fn request(token: Option<&str>, method: &str, path: &str) -> http::request::Builder {
    let mut builder = Request::builder().method(method).uri(path).header("host", HOST);
    if method != "GET" {
        builder = builder.header("content-type", "application/json");
    }
    if let Some(token) = token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    builder
}

pub(crate) fn is(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status.as_u16(), code), "{}", answer.text);
}
