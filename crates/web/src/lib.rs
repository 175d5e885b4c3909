//! The HTTP API under `/api/v1`, its event streams, and the pages. Handlers are thin: they read what is true, or record
//! what is wanted and let a loop do it.
//!
//! It decides nothing about who may do what (`naru-identity` does) and runs nothing. The git and registry routers are
//! merged beside it by the binary. What lies behind the API but in no row — repositories, engine, checks —
//! comes in through [`Behind`].

mod access;
mod behind;
mod border;
mod failure;
mod pages;
mod paging;
mod routes;
mod streams;
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use naru_identity::Identity;
use naru_identity::external::External;
use naru_secret::KeyRing;
use naru_store::Store;
use naru_store::log::LogStore;
use tokio::sync::Semaphore;

pub use behind::Behind;
pub use border::guarded;
pub use pages::PageRoute;

/// The largest body that is read: configuration with many variables fits.
const BODY_LIMIT_BYTES: usize = 1 << 20;

/// Event and log streams open at once; each holds a task and a connection.
const STREAMS_AT_ONCE: usize = 256;

/// Everything the API stands on. Made once by the binary.
pub struct WebContext {
    /// Rows.
    pub store: Store,
    /// Accounts, tokens and the one authorisation.
    pub identity: Identity,
    /// Where people may log in besides with a password.
    pub external: External,
    /// Seals secrets before they are stored.
    pub keys: Arc<KeyRing>,
    /// What steps and services printed.
    pub logs: LogStore,
    /// What is in no row.
    pub behind: Arc<dyn Behind>,
    /// Where this instance is reached.
    pub address: Address,
}

/// Where this instance is reached.
#[derive(Debug, Clone)]
pub struct Address {
    /// The base of every link, without a trailing slash, such as `http://127.0.0.1:7070`.
    pub base_url: String,
    /// Host names, without port, that requests may name besides `127.0.0.1`, `::1` and `localhost`. Others are refused:
    /// a page of a stranger could otherwise reach this server under a name of its own (DNS rebinding).
    pub hosts: Vec<String>,
    /// Addresses of proxies in front, whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
}

impl Address {
    /// Whether browsers reach it with TLS.
    fn has_tls(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}

/// What handlers are given.
#[derive(Clone)]
struct Cx(Arc<Inner>);

struct Inner {
    web: WebContext,
    streams: Arc<Semaphore>,
}

impl std::ops::Deref for Cx {
    type Target = WebContext;
    fn deref(&self) -> &WebContext {
        &self.0.web
    }
}

/// The API and the pages.
pub fn router(cx: WebContext) -> Router {
    let cx = Cx(Arc::new(Inner { web: cx, streams: Arc::new(Semaphore::new(STREAMS_AT_ONCE)) }));
    let address = cx.address.clone();
    let router = table::router(&cx)
        .merge(pages::router(&cx))
        .fallback(pages::nowhere)
        .method_not_allowed_fallback(pages::not_so)
        .layer(axum::middleware::from_fn_with_state(cx.clone(), border::check))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(cx);
    guarded(router, &address)
}

/// The OpenAPI 3.1 document of the API, as JSON with a final newline; the same text as `docs/reference/openapi.json`.
pub fn openapi_document() -> String {
    table::document()
}

/// Every route that answers with a page.
pub fn page_routes() -> Vec<PageRoute> {
    pages::routes()
}
