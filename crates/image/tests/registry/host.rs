//! A registry on a port of its own, with two projects and callers of different rights.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_image::registry::{Limits, Registry};
use naru_image::retention::{NeededImages, NeededNow};
use naru_model::authorise::{Authorise, Credentials, Decision, Denied, Permission, Principal, Resource};
use naru_model::effect::Unobserved;
use naru_model::{Clock, Digest, ProjectName, Timestamp};
use naru_store::Store;
use reqwest::{Method, RequestBuilder, Response};

/// A clock that is set by hand, so that grace periods pass without waiting.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<Mutex<Timestamp>>);

impl HandClock {
    pub(crate) fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += time;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// `owner` may do everything in `shop` and `other`, `reader` may pull from `shop`, `stranger` may do everything in
/// `other`.
struct Guards;

impl Authorise for Guards {
    fn authorise<'a>(
        &'a self,
        credentials: &'a Credentials,
        permission: Permission,
        resource: &'a Resource,
    ) -> Decision<'a> {
        let Credentials::Token(token) = credentials else {
            return Box::pin(async { Err(Denied::Unauthenticated) });
        };
        let project = match resource {
            Resource::Instance | Resource::Organisation(_) => "",
            Resource::Project(project) => project.as_str(),
            Resource::Environment(key) => key.project.as_str(),
        };
        let decision = match (token.as_str(), project) {
            ("owner", _) | ("stranger", "other") => Ok(()),
            ("reader", "shop") if permission == Permission::Read => Ok(()),
            ("reader" | "stranger", _) => Err(Denied::Forbidden),
            _ => Err(Denied::Unauthenticated),
        };
        let principal = Principal { login: token.clone(), credential_id: "1".into() };
        Box::pin(async move { decision.map(|()| principal) })
    }
}

/// What is needed, as the tests say.
#[derive(Clone, Default)]
pub(crate) struct Needs(pub(crate) Arc<Mutex<BTreeSet<Digest>>>);

impl NeededImages for Needs {
    fn needed<'a>(&'a self, _: &'a ProjectName) -> NeededNow<'a> {
        let needed = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(needed) })
    }
}

pub(crate) struct Host {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) clock: HandClock,
    pub(crate) needs: Needs,
    pub(crate) address: String,
    pub(crate) folder: Arc<tempfile::TempDir>,
    server: tokio::task::JoinHandle<()>,
    client: reqwest::Client,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let blobs = folder.path().join("blobs");
        Self::start_over(folder, &blobs, limits).await
    }

    pub(crate) async fn start_over(folder: Arc<tempfile::TempDir>, blobs: &Path, limits: Limits) -> Self {
        let clock = HandClock(Arc::new(Mutex::new(Timestamp::now())));
        let file = folder.path().join("naru.db");
        let store = Store::open(&file, Arc::new(clock.clone()), Arc::new(Unobserved)).await.unwrap();
        for project in ["shop", "other"] {
            let name = project.parse().unwrap();
            if store.project(&name).await.unwrap().is_none() {
                store.create_project(&name, &"main".parse().unwrap()).await.unwrap();
            }
        }
        let needs = Needs::default();
        let registry =
            Registry::open(blobs, store.clone(), Arc::new(Guards), Arc::new(needs.clone()), limits).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = registry.router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { registry, store, clock, needs, address, folder, server, client }
    }

    /// The same data folder in a new process, as far as the registry can tell.
    pub(crate) async fn restart(self) -> Self {
        let folder = Arc::clone(&self.folder);
        drop(self);
        let blobs = folder.path().join("blobs");
        Self::start_over(folder, &blobs, Limits::default()).await
    }

    pub(crate) fn request_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).basic_auth("any", Some(token))
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as("owner", method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Pushes a blob in one request.
    pub(crate) async fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let response = self.request(Method::POST, &path).body(content.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        digest
    }

    /// Starts an upload and returns where it is.
    pub(crate) async fn begin(&self, repository: &str) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let response = self.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), 202);
        header(&response, "location")
    }

    /// Pushes an image of one layer under a tag.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> Digest {
        self.push_blob(repository, b"{}").await;
        self.push_blob(repository, layer).await;
        let response = self.put_manifest(repository, tag, &image(layer)).await;
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        header(&response, "docker-content-digest").parse().unwrap()
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        manifest: &serde_json::Value,
    ) -> Response {
        self.request(Method::PUT, &format!("/v2/{repository}/manifests/{name}"))
            .header("content-type", manifest["mediaType"].as_str().unwrap())
            .body(manifest.to_string())
            .send()
            .await
            .unwrap()
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type, "digest": Digest::of(content).as_str(), "size": content.len(),
    })
}

/// An image of one layer with an empty configuration.
pub(crate) fn image(layer: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    })
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("no {name} in {response:?}"));
    value.to_str().unwrap().to_owned()
}

/// The code of the first error of a refusal.
pub(crate) async fn code(response: Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}
