//! What the edge is told: one table per environment, replaced as a whole.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, EnvironmentKey, Generation, RevisionNumber};
use crate::maintenance::Maintenance;
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
    /// Visitors of all its routes get a page that says this, instead of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
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
    /// Where requests go. The backends of one revision stand together.
    pub backends: Vec<Backend>,
    /// How a visitor stays with a revision while several have the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Bounds of this route, besides those of the edge.
    #[serde(default, skip_serializing_if = "RouteLimits::is_empty")]
    pub limits: RouteLimits,
}

/// Bounds of one route. What is not given is bounded by the edge alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteLimits {
    /// Bytes of a request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// Bytes of a request's header fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_bytes: Option<u64>,
    /// From the end of a request to the head of its answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_ms: Option<u64>,
    /// Requests of one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl RouteLimits {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The most that the edge takes of any request's header fields, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 << 10;

/// How often one client may ask: evenly so many in a time, after so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Requests in `seconds`, at least 1.
    pub requests: u32,
    /// At least 1.
    pub seconds: u32,
    /// Requests at once, at least 1.
    pub burst: u32,
}

/// How a visitor stays with a revision: each has a place between 0 and 9,999, and the revisions divide the places
/// among them by weight, in the order of the backends. While the first revision's share grows, who came to it stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// The place is drawn and kept in the session cookie [`Sticky::COOKIE`].
    Cookie,
    /// The place follows from the value of this request header; a request without it gets any revision.
    Header(String),
}

impl Sticky {
    /// The cookie that keeps a visitor's place.
    pub const COOKIE: &str = "naru-place";
}

/// What the host of a preview starts with: the new revision answers there before it is promoted.
pub const PREVIEW: &str = "next--";

/// Whether a host is that of a preview; nothing else may be served there.
pub fn is_preview(host: &str) -> bool {
    host.starts_with(PREVIEW)
}

/// The host of the preview of `host`; none when it cannot have one, being too long or an address.
pub fn preview_of(host: &str) -> Option<String> {
    let first = host.split('.').next().unwrap_or(host);
    let fits = first.len() + PREVIEW.len() <= 63 && host.len() + PREVIEW.len() <= 253;
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    (fits && !is_address).then(|| format!("{PREVIEW}{host}"))
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
    /// Where it says whether it is well: a GET that is answered with 200 to 399. Without one, accepting a connection says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// What the edge says about one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrafficSeen {
    /// The table that is in force, by generation and content.
    pub applied: Option<AppliedTable>,
    /// Requests, upgraded connections included, that are under way per replica; replicas with none are absent.
    pub in_flight: Vec<InFlight>,
    /// Since when `figures` count; another instant means that they began anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting_since: Option<Timestamp>,
    /// What has come of requests since then, per service and revision; what never had a request is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<RevisionFigures>,
}

/// What came of requests to the replicas of one service at one revision. The numbers only grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionFigures {
    /// The service.
    pub service: ServiceName,
    /// The revision that the table named for the replica.
    pub revision: RevisionNumber,
    /// Requests that came to an end.
    pub requests: u64,
    /// Those of them that failed: answered with 500 or above, broken off by the replica, or never answered.
    pub errors: u64,
    /// How long they took, to the last byte of the answer; upgraded connections are left out. Shortest first.
    pub latency: Vec<LatencyBucket>,
}

/// How many requests took at most so long, and longer than the bucket before allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyBucket {
    /// The upper bound in milliseconds; `None` for the last, which has none.
    pub below_ms: Option<u64>,
    /// How many requests.
    pub requests: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let kept = r#"{"host":"a.test","path":"/","service":"web","mode":"serve","backends":[]}"#;
        let route: Route = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&route).unwrap(), kept, "its table keeps its digest");
        let seen: TrafficSeen = serde_json::from_str(r#"{"applied":null,"in_flight":[]}"#).unwrap();
        assert_eq!(seen, TrafficSeen::default());
    }
}
