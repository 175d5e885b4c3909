//! The edge's side of the control socket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use naru_model::route::{InFlight, TrafficSeen};
use naru_model::{Clock, EnvironmentKey, EnvironmentName, Problem, ProjectName, Timestamp};
use tokio::net::UnixListener;
use tokio::sync::{Mutex, mpsc};

use super::place::{CONTROL, Place, SOCKETS};
use super::{About, Client, Drain, Publish, Refused, TlsSeen, handover, kept};
use crate::process::sockets::{Sockets, addresses};
use crate::server::{Edge, Metrics, PublishError};
use crate::{TlsTable, TlsTableError};

/// Bytes of a published table.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What the control socket asks of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Give up sockets and names; end when drained.
    Retire(Duration),
    /// End when drained.
    Shutdown(Duration),
}

/// The edge as the control socket sees it.
pub(crate) struct Desk {
    edge: Arc<Edge>,
    place: Place,
    sockets: Sockets,
    started_at: Timestamp,
    started: Instant,
    orders: mpsc::Sender<Order>,
    /// One publish at a time, its file included; so that the file never lags behind a later table.
    publishing: Mutex<()>,
    persisted: AtomicBool,
    tls_persisted: AtomicBool,
    /// Another process is the edge now; this one speaks for itself only.
    retired: AtomicBool,
}

impl Desk {
    pub(crate) fn new(
        edge: Arc<Edge>,
        place: Place,
        sockets: Sockets,
        clock: &dyn Clock,
        orders: mpsc::Sender<Order>,
    ) -> Arc<Self> {
        Arc::new(Self {
            edge,
            place,
            sockets,
            started_at: clock.now(),
            started: Instant::now(),
            orders,
            publishing: Mutex::new(()),
            persisted: AtomicBool::new(true),
            tls_persisted: AtomicBool::new(true),
            retired: AtomicBool::new(false),
        })
    }

    /// Puts the kept tables in force.
    pub(crate) async fn restore(&self) {
        for (environment, error) in self.edge.restore(kept::read(&self.place)).await {
            tracing::error!(%environment, %error, "a kept table cannot be used");
        }
        if let Err(error) = self.edge.secure(kept::read_tls(&self.place)) {
            tracing::error!(%error, "the kept certificates cannot be used");
        }
    }

    /// Serves both sockets until the returned listeners are dropped with the runtime.
    pub(crate) fn serve(self: &Arc<Self>) -> io::Result<()> {
        let control = self.place.bind(CONTROL)?;
        let sockets = self.place.bind(SOCKETS)?;
        let router = router(Arc::clone(self));
        tokio::spawn(async move {
            // Accepting never ends by itself.
            let _ = axum::serve(control, router).await;
        });
        tokio::spawn(Arc::clone(self).hand_out(sockets));
        Ok(())
    }

    async fn hand_out(self: Arc<Self>, listener: UnixListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let desk = Arc::clone(&self);
            let given = tokio::task::spawn_blocking(move || {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                handover::give(&stream, &desk.sockets)
            });
            if let Ok(Err(error)) = given.await {
                tracing::warn!(%error, "the listening sockets could not be handed out");
            }
        }
    }

    async fn publish(&self, publish: Publish) -> Result<(), PublishError> {
        let _turn = self.publishing.lock().await;
        self.edge.publish(&publish.table, publish.generation).await?;
        let tables = self.edge.applied().await;
        let place = self.place.clone();
        let written = tokio::task::spawn_blocking(move || kept::write(&place, tables)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        // Requests already go where they should: a full disk must not undo that.
        self.persisted.store(written.is_ok(), Ordering::Relaxed);
        if let Err(error) = written {
            tracing::error!(%error, "the tables could not be kept; a restarted edge would use earlier ones");
        }
        Ok(())
    }

    async fn secure(&self, table: TlsTable) -> Result<(), TlsTableError> {
        let _turn = self.publishing.lock().await;
        let unchanged = self.edge.tls_table() == table;
        if unchanged && self.tls_persisted.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.edge.secure(table.clone())?;
        let place = self.place.clone();
        let written = tokio::task::spawn_blocking(move || kept::write_tls(&place, table)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.tls_persisted.store(written.is_ok(), Ordering::Relaxed);
        if let Err(error) = written {
            tracing::error!(%error, "certificates could not be kept; a restarted edge would use earlier ones");
        }
        Ok(())
    }

    /// What is under way, at retired processes too.
    async fn status(&self, environment: &EnvironmentKey) -> TrafficSeen {
        let mut seen = self.edge.status(environment).await;
        if self.retired.load(Ordering::SeqCst) {
            return seen;
        }
        for name in self.place.retired() {
            let client = Client::at(self.place.clone(), name.clone());
            match client.status(environment).await {
                Ok(retired) => add(&mut seen.in_flight, retired.in_flight),
                Err(_) => {
                    let _ = std::fs::remove_file(self.place.path(&name));
                }
            }
        }
        seen
    }
}

fn add(sums: &mut Vec<InFlight>, more: Vec<InFlight>) {
    for one in more {
        match sums.iter_mut().find(|sum| sum.replica == one.replica) {
            Some(sum) => sum.requests += one.requests,
            None => sums.push(one),
        }
    }
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/about", get(about))
        .route("/v1/tables", put(publish).get(tables))
        .route("/v1/tls", put(secure).get(tls))
        .route("/v1/status/{project}/{environment}", get(status))
        .route("/v1/metrics", get(metrics))
        .route("/v1/retire", post(retire))
        .route("/v1/shutdown", post(shutdown))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(desk)
}

async fn about(State(desk): State<Arc<Desk>>) -> Json<About> {
    Json(About {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: desk.started_at,
        uptime_ms: u64::try_from(desk.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        listens: addresses(&desk.sockets.plain),
        listens_tls: addresses(&desk.sockets.tls),
        persisted: desk.persisted.load(Ordering::Relaxed) && desk.tls_persisted.load(Ordering::Relaxed),
    })
}

async fn publish(State(desk): State<Arc<Desk>>, Json(given): Json<Publish>) -> Response {
    match desk.publish(given).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(PublishError::Stale { applied, .. }) => {
            (StatusCode::CONFLICT, Json(Refused::Stale { applied })).into_response()
        }
        Err(error @ PublishError::Table(_)) => {
            let problem = Problem::new("edge.table-refused", "the edge does not take this route table")
                .cause(error.to_string())
                .state("the routes in force are unchanged");
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused::Problem { problem })).into_response()
        }
    }
}

async fn tables(State(desk): State<Arc<Desk>>) -> Response {
    let tables = desk.edge.applied().await;
    let generations: Vec<_> = tables
        .into_iter()
        .filter(|applied| !applied.table.routes.is_empty())
        .map(|applied| (applied.table.environment, applied.generation))
        .collect();
    Json(generations).into_response()
}

async fn secure(State(desk): State<Arc<Desk>>, Json(table): Json<TlsTable>) -> Response {
    match desk.secure(table).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let problem = Problem::new("edge.tls-refused", "the edge does not take these certificates")
                .cause(error.to_string())
                .state("the certificates in force are unchanged");
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused::Problem { problem })).into_response()
        }
    }
}

async fn tls(State(desk): State<Arc<Desk>>) -> Json<TlsSeen> {
    Json(TlsSeen { port: desk.edge.tls_table().port, hosts: desk.edge.tls_hosts() })
}

async fn status(
    State(desk): State<Arc<Desk>>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
) -> Json<TrafficSeen> {
    Json(desk.status(&EnvironmentKey { project, environment }).await)
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Json<Metrics> {
    Json(desk.edge.metrics().await)
}

async fn retire(State(desk): State<Arc<Desk>>, Json(drain): Json<Drain>) -> StatusCode {
    desk.retired.store(true, Ordering::SeqCst);
    desk.edge.stop_accepting();
    let name = Place::retired_name(std::process::id());
    if let Err(error) = std::fs::rename(desk.place.path(CONTROL), desk.place.path(&name)) {
        tracing::warn!(%error, "the control socket could not be given up");
    }
    order(&desk, Order::Retire(drain.patience())).await
}

async fn shutdown(State(desk): State<Arc<Desk>>, Json(drain): Json<Drain>) -> StatusCode {
    desk.edge.stop_accepting();
    order(&desk, Order::Shutdown(drain.patience())).await
}

async fn order(desk: &Desk, order: Order) -> StatusCode {
    match desk.orders.send(order).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::GONE,
    }
}
