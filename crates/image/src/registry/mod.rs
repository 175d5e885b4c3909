//! The registry: the OCI distribution specification 1.1 over `<data>/blobs` and the store.
//!
//! Every route authorises first (`access`). A blob is visible only through a repository that links it. Its bytes are in
//! place, on disk, before any row speaks of them. The catalogue of all repositories is not offered: it would tell
//! projects of each other.

mod access;
mod blob;
mod document;
#[doc(hidden)]
pub mod fuzz;
mod listing;
mod manifest;
mod range;
mod refusal;
mod upload;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::{HeaderName, header};
use naru_model::authorise::Authorise;
use naru_store::Store;
use tokio::sync::RwLock;

use crate::folder::BlobFolder;
use crate::recent::Recent;
use crate::retention::NeededImages;
use refusal::{Code, Refusal};
use upload::Sessions;

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Bounds of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A blob is refused when it has more bytes.
    pub blob_bytes: u64,
    /// A manifest is refused when it has more bytes; the specification wants at least 4 MiB.
    pub manifest_bytes: usize,
    /// Uploads in progress per project.
    pub uploads_per_project: usize,
    /// Uploads in progress in all.
    pub uploads: usize,
    /// A sender that is silent for this long is given up; what arrived is kept.
    pub silence: Duration,
    /// What nothing refers to is kept for this long: it may be part of a push in progress. Unfinished uploads end after
    /// this long without a byte.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob_bytes: 16 << 30,
            manifest_bytes: 4 << 20,
            uploads_per_project: 64,
            uploads: 512,
            silence: Duration::from_mins(1),
            grace: Duration::from_hours(1),
        }
    }
}

/// The registry of one instance.
pub struct Registry {
    pub(crate) store: Store,
    pub(crate) folder: BlobFolder,
    pub(crate) needed: Arc<dyn NeededImages>,
    pub(crate) limits: Limits,
    pub(crate) recent: Recent,
    /// Held for reading while a blob is put in place and linked, for writing while unlinked blobs are removed: a blob
    /// never loses its file between its rename and its row.
    pub(crate) gate: RwLock<()>,
    sessions: Sessions,
    authorise: Arc<dyn Authorise>,
}

impl Registry {
    /// Opens the registry over `folder` (`<data>/blobs`), creating it when it is missing.
    pub fn open(
        folder: &Path,
        store: Store,
        authorise: Arc<dyn Authorise>,
        needed: Arc<dyn NeededImages>,
        limits: Limits,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            folder: BlobFolder::open(folder)?,
            recent: Recent::new(limits.grace),
            gate: RwLock::new(()),
            sessions: Sessions::default(),
            store,
            authorise,
            needed,
            limits,
        }))
    }

    /// The routes below `/v2/`.
    pub fn router(self: &Arc<Self>) -> Router {
        let add = |router: Router<Arc<Self>>, (_, path, to): Offered| router.route(path, to);
        let offered = table().into_iter().fold(Router::new(), add);
        let offered = offered.fallback(elsewhere).with_state(Arc::clone(self));
        Router::new().nest_service("/v2", offered)
    }
}

/// Method, path below `/v2` and handler of one route.
type Offered = (&'static str, &'static str, MethodRouter<Arc<Registry>>);

const UPLOADS: &str = "/{project}/{repository}/blobs/uploads";
const UPLOADS_WITH_SLASH: &str = "/{project}/{repository}/blobs/uploads/";
const UPLOAD: &str = "/{project}/{repository}/blobs/uploads/{id}";
const BLOB: &str = "/{project}/{repository}/blobs/{digest}";
const MANIFEST: &str = "/{project}/{repository}/manifests/{name}";

fn table() -> [Offered; 14] {
    [
        ("GET", "/", get(ping)),
        ("POST", UPLOADS, post(upload::start)),
        ("POST", UPLOADS_WITH_SLASH, post(upload::start)),
        ("GET", UPLOAD, get(upload::status)),
        ("PATCH", UPLOAD, patch(upload::append)),
        ("PUT", UPLOAD, put(upload::finish)),
        ("DELETE", UPLOAD, delete(upload::cancel)),
        ("GET", BLOB, get(blob::get)),
        ("DELETE", BLOB, delete(blob::delete)),
        ("GET", MANIFEST, get(manifest::get)),
        ("PUT", MANIFEST, put(manifest::put)),
        ("DELETE", MANIFEST, delete(manifest::delete)),
        ("GET", "/{project}/{repository}/tags/list", get(listing::tags)),
        ("GET", "/{project}/{repository}/referrers/{digest}", get(listing::referrers)),
    ]
}

/// Method and path of every route, for the walk that asks each of them as everybody.
pub fn routes() -> Vec<(&'static str, String)> {
    table().into_iter().map(|(method, path, _)| (method, format!("/v2{path}"))).collect()
}

type Shared = State<Arc<Registry>>;

/// Section "Determining Support".
async fn ping(State(registry): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    registry.enter(&headers).await?;
    let version = (HeaderName::from_static("docker-distribution-api-version"), "registry/2.0");
    Ok(([version, (header::CONTENT_TYPE, "application/json")], "{}").into_response())
}

/// Anything else below `/v2/`: a name that is not `<project>/<name>`, or a route that is not offered.
async fn elsewhere(State(registry): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    registry.enter(&headers).await?;
    Err(Refusal::new(Code::NameInvalid, "image repositories are called <project>/<name>")
        .status(http::StatusCode::NOT_FOUND))
}

/// Runs blocking file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
