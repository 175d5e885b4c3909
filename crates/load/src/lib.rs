//! Visitors for measurements and drills: requests at fixed instants, whatever the answers do (open loop), so that a server
//! that stalls is measured as stalling. Every request is counted, and every answer is read to its end and checked.

mod connection;
mod report;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::Connections;
pub use report::Report;
use report::Tally;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests under way at once; more means that the server does not keep up at all.
const UNDER_WAY: usize = 20_000;

/// Where visitors go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// Plain HTTP.
    pub plain: SocketAddr,
    /// TLS, with the certificate authority that is trusted, as PEM.
    pub tls: Option<(SocketAddr, String)>,
}

/// How visitors connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// HTTP/1.1 over connections that stay open.
    KeepAlive,
    /// HTTP/1.1, each request on a connection of its own.
    Fresh,
    /// HTTP/2 over TLS, one connection.
    Http2,
}

/// Visitors of one kind who ask for one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stream {
    /// What it is called in the report.
    pub name: String,
    /// How they connect.
    pub kind: Kind,
    /// The host they ask for.
    pub host: String,
    /// The path they ask for.
    pub path: String,
    /// Requests per second.
    pub rate: f64,
    /// The answer's length in bytes, when it is known.
    pub bytes: Option<usize>,
}

/// Sends until `stop`, then waits for what is under way.
///
/// # Errors
/// When the certificate authority of the target cannot be read.
pub async fn run(
    target: &Target,
    streams: &[Stream],
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Report>> {
    let mut running = Vec::new();
    for stream in streams {
        let connections = Arc::new(Connections::new(target, stream)?);
        let (stream, stop) = (stream.clone(), stop.clone());
        running.push(tokio::spawn(async move { send(stream, connections, stop).await }));
    }
    let mut reports = Vec::new();
    for stream in running {
        reports.push(stream.await?);
    }
    Ok(reports)
}

async fn send(stream: Stream, connections: Arc<Connections>, stop: CancellationToken) -> Report {
    let tally = Arc::new(Tally::default());
    let under_way = TaskTracker::new();
    let began = Instant::now();
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / stream.rate);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        if under_way.len() >= UNDER_WAY {
            tally.failed(due, "20,000 requests are under way already".to_owned());
            continue;
        }
        let (connections, tally) = (connections.clone(), tally.clone());
        under_way.spawn(async move {
            match tokio::time::timeout(PATIENCE, connections.ask()).await {
                Ok(Ok(())) => tally.answered(due),
                Ok(Err(error)) => tally.failed(due, format!("{error:#}")),
                Err(_) => tally.failed(due, format!("no answer within {} s", PATIENCE.as_secs())),
            }
        });
    }
    under_way.close();
    under_way.wait().await;
    tally.report(&stream.name, began)
}
