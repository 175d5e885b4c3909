//! What the edge is told: one table per environment, replaced as a whole.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, EnvironmentKey, Generation, RevisionNumber};
use crate::name::ServiceName;
use crate::rollout::ReplicaKey;
use crate::time::Timestamp;

/// All routes of one environment. Weights of a route's backends are relative to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Whose routes these are; publishing replaces exactly these.
    pub environment: EnvironmentKey,
    /// The routes; an empty list takes the environment off the edge.
    pub routes: Vec<Route>,
}

impl RouteTable {
    /// Identifies the table by content.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a table is plain data"))
    }
}

/// Host and path → replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host, lower case, without port.
    pub host: String,
    /// The path prefix, starting with a slash; the longest matching prefix wins.
    pub path: String,
    /// The service, for logs and metrics.
    pub service: ServiceName,
    /// What happens to a request.
    pub mode: RouteMode,
    /// Where requests go.
    pub backends: Vec<Backend>,
}

/// What happens to a request that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteMode {
    /// It goes to a backend.
    Serve,
    /// It waits, up to ten seconds, bounded in number and bytes, until the route serves again.
    Hold,
}

/// One replica behind a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Which replica.
    pub replica: ReplicaKey,
    /// Where it listens.
    pub address: SocketAddr,
    /// Which revision it belongs to, for logs and metrics.
    pub revision: RevisionNumber,
    /// Its share, relative to the other backends of the route.
    pub weight: u32,
}

/// What the edge says about one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrafficSeen {
    /// The table that is in force, by generation and content.
    pub applied: Option<AppliedTable>,
    /// Requests, upgraded connections included, that are under way per replica; replicas with none are absent.
    pub in_flight: Vec<InFlight>,
}

/// The table that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedTable {
    /// The generation it was published with.
    pub generation: Generation,
    /// Since when a table with this content is in force; publishing an equal one does not change it.
    pub since: Timestamp,
    /// What it says.
    pub table: RouteTable,
}

/// Requests under way at one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Which replica.
    pub replica: ReplicaKey,
    /// How many requests.
    pub requests: u32,
}
