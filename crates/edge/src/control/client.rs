//! The other side of the control socket: what `serve` holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use naru_model::route::{RouteTable, TrafficSeen};
use naru_model::{EnvironmentKey, Generation, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::place::{CONTROL, Place};
use super::{About, Drain, Publish, Refused, TlsSeen};
use crate::TlsTable;
use crate::server::Metrics;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Why the edge did not do what was asked, sorted by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// A later generation is in force: look again at what is wanted.
    #[error("generation {applied} is in force at the edge")]
    Stale {
        /// What is in force.
        applied: Generation,
    },
    /// Nobody answers, or not in time: try again in a moment.
    #[error("the edge does not answer: {0}")]
    Unreachable(String),
    /// It will not do this; trying again does not help.
    #[error("{}", .0.summary)]
    Refused(Box<Problem>),
}

/// Talks to the edge of one data folder. Cheap to clone; every call has a time limit.
#[derive(Debug, Clone)]
pub struct Client {
    place: Arc<Place>,
    name: Arc<str>,
}

impl Client {
    /// The edge of this data folder, whether it runs or not.
    pub fn of(data: &Path) -> Self {
        Self::at(Place::in_data(data), CONTROL.to_owned())
    }

    pub(super) fn at(place: Place, name: String) -> Self {
        Self { place: Arc::new(place), name: name.into() }
    }

    /// Puts a table in force. When this returns, every new request uses it.
    ///
    /// # Errors
    /// [`ControlError::Stale`] when a later generation is in force; an equal one is replaced.
    pub async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), ControlError> {
        let publish = Publish { generation, table: table.clone() };
        self.call(Method::PUT, "/v1/tables", Some(&publish)).await.map(drop)
    }

    /// Puts certificates and challenges in force, in the place of all before. When this returns, every new handshake
    /// uses them.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when a certificate cannot be used; then nothing has changed.
    pub async fn secure(&self, table: &TlsTable) -> Result<(), ControlError> {
        self.call(Method::PUT, "/v1/tls", Some(table)).await.map(drop)
    }

    /// The hosts that have a certificate at the edge.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub async fn tls(&self) -> Result<TlsSeen, ControlError> {
        self.get("/v1/tls").await
    }

    /// What is in force for an environment, and what is under way at its replicas.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub async fn status(&self, environment: &EnvironmentKey) -> Result<TrafficSeen, ControlError> {
        self.get(&format!("/v1/status/{}/{}", environment.project, environment.environment)).await
    }

    /// Environments that have routes, with the generation in force.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub async fn tables(&self) -> Result<BTreeMap<EnvironmentKey, Generation>, ControlError> {
        let tables: Vec<(EnvironmentKey, Generation)> = self.get("/v1/tables").await?;
        Ok(tables.into_iter().collect())
    }

    /// Counters per route and revision.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub async fn metrics(&self) -> Result<Metrics, ControlError> {
        self.get("/v1/metrics").await
    }

    /// Which process answers.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`].
    pub async fn about(&self) -> Result<About, ControlError> {
        self.get("/v1/about").await
    }

    /// Tells the edge to end: it accepts nothing more, and what is under way has `drain` to end.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`], also when it has already ended.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), ControlError> {
        self.call(Method::POST, "/v1/shutdown", Some(&Drain::new(drain))).await.map(drop)
    }

    /// Tells the edge to make room for its successor: it gives up its names and ends when drained.
    pub(crate) async fn retire(&self, drain: Duration) -> Result<(), ControlError> {
        self.call(Method::POST, "/v1/retire", Some(&Drain::new(drain))).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let answer = self.call(Method::GET, path, None::<&()>).await?;
        serde_json::from_slice(&answer).map_err(|error| unreachable(&error))
    }

    async fn call<T: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
    ) -> Result<Bytes, ControlError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| unreachable(&error))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "edge")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreachable(&error))?;
        let answer = tokio::time::timeout(PATIENCE, self.exchange(request));
        let (status, answer) = answer.await.map_err(|_| unreachable(&"no answer within 5 s"))??;
        if status.is_success() { Ok(answer) } else { Err(refused(status, &answer)) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ControlError> {
        let path = self.place.socket(&self.name).map_err(|error| unreachable(&error))?;
        let stream = UnixStream::connect(&path).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        let driver = tokio::spawn(connection);
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX);
            let body = body.collect().await.map_err(|error| unreachable(&error))?;
            Ok((status, body.to_bytes()))
        };
        let result = exchange.await;
        driver.abort();
        result
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> ControlError {
    ControlError::Unreachable(error.to_string())
}

fn refused(status: StatusCode, answer: &[u8]) -> ControlError {
    match serde_json::from_slice(answer) {
        Ok(Refused::Stale { applied }) => ControlError::Stale { applied },
        Ok(Refused::Problem { problem }) => ControlError::Refused(Box::new(problem)),
        Err(_) => ControlError::Unreachable(format!("status {status}")),
    }
}
