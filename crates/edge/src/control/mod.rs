//! How the edge is told tables and asked what it sees: HTTP with JSON over a Unix socket in the data folder.
//!
//! The socket's mode (0600, in a folder of mode 0700) is the only authorisation. A second socket beside it hands
//! out the listening sockets themselves.

mod client;
pub(crate) mod handover;
mod kept;
pub(crate) mod place;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use naru_model::route::AppliedTable;
use naru_model::{Generation, Problem, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::client::{Client, ControlError};
use crate::TlsTable;

/// Which process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its process id.
    pub pid: u32,
    /// The version of Naru it was built from.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// How long ago that was, in milliseconds.
    pub uptime_ms: u64,
    /// Where it listens.
    pub listens: Vec<SocketAddr>,
    /// Where it listens with TLS.
    #[serde(default)]
    pub listens_tls: Vec<SocketAddr>,
    /// Whether the last published tables are also in their files.
    pub persisted: bool,
}

/// A table to put in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Publish {
    generation: Generation,
    table: naru_model::route::RouteTable,
}

/// Why it was not put in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "refused")]
enum Refused {
    Stale { applied: Generation },
    Problem { problem: Problem },
}

/// How long what is under way may take.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Drain {
    drain_ms: u64,
}

impl Drain {
    fn new(patience: Duration) -> Self {
        Self { drain_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) }
    }
    fn patience(self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// What is in force for TLS, without its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSeen {
    /// The port that redirects name.
    pub port: u16,
    /// Hosts with a certificate, and whether their plain requests are sent on to TLS.
    pub hosts: BTreeMap<String, bool>,
}

/// The content of the file of TLS.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KeptTls {
    version: u32,
    table: TlsTable,
}

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    tables: Vec<AppliedTable>,
}
