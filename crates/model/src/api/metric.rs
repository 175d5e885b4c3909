//! What an environment used and answered over time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ReleaseNumber, RevisionNumber};
use crate::metric::Resolution;
use crate::name::ServiceName;
use crate::time::Timestamp;

/// How far back figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub enum MetricRange {
    /// An hour, in steps of 15 s.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// Six hours, in steps of a minute.
    #[serde(rename = "6h")]
    SixHours,
    /// A day, in steps of 5 minutes.
    #[serde(rename = "24h")]
    Day,
    /// A week, in steps of half an hour.
    #[serde(rename = "7d")]
    Week,
    /// Thirty days, in steps of two hours.
    #[serde(rename = "30d")]
    Month,
}

impl MetricRange {
    /// All, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::SixHours, Self::Day, Self::Week, Self::Month];

    /// How far back.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::SixHours => 6 * 3_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    /// The time that one value stands for.
    pub const fn step_seconds(self) -> i64 {
        match self {
            Self::Hour => 15,
            Self::SixHours => 60,
            Self::Day => 300,
            Self::Week => 1_800,
            Self::Month => 7_200,
        }
    }

    /// The samples that the values are made of.
    pub const fn resolution(self) -> Resolution {
        match self {
            Self::Hour => Resolution::QuarterMinute,
            Self::SixHours | Self::Day => Resolution::Minute,
            Self::Week | Self::Month => Resolution::QuarterHour,
        }
    }

    /// As it is written, such as `6h`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }
}

impl fmt::Display for MetricRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an environment used and answered. Each series has one value per step, from `from` on; `null` is a gap: nobody
/// looked, or nothing ran. Values are averages over their step; the last step may not be over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvironmentMetrics {
    /// How far back.
    pub range: MetricRange,
    /// When the first step begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When the last step ends.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// The time that one value stands for.
    pub step_seconds: i64,
    /// The service that was asked for; without one the figures are of all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub service: Option<ServiceName>,
    /// The services that there are figures of.
    #[schema(value_type = Vec<String>)]
    pub services: Vec<ServiceName>,
    /// The figures over time.
    pub series: MetricSeries,
    /// What came of requests in the whole time, by the revision that answered, newest first.
    pub revisions: Vec<RevisionAnswers>,
    /// When revisions got all the traffic, oldest first.
    pub switches: Vec<TrafficSwitch>,
}

/// One value per step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricSeries {
    /// Running replicas.
    pub replicas: Vec<Option<f64>>,
    /// Cores in use by all replicas together.
    pub cpu_cores: Vec<Option<f64>>,
    /// Memory of all replicas together.
    pub memory_bytes: Vec<Option<u64>>,
    /// What came to replicas over their networks.
    pub received_bytes_per_second: Vec<Option<u64>>,
    /// What replicas sent.
    pub sent_bytes_per_second: Vec<Option<u64>>,
    /// Requests that came to an end at the edge.
    pub requests_per_second: Vec<Option<f64>>,
    /// Those of them that failed: answered with 500 or above, or broken off.
    pub errors_per_second: Vec<Option<f64>>,
    /// Half of the requests took at most so long; `null` also where there was no request.
    pub latency_p50_ms: Vec<Option<f64>>,
    /// 95 of 100 took at most so long.
    pub latency_p95_ms: Vec<Option<f64>>,
    /// 99 of 100 took at most so long.
    pub latency_p99_ms: Vec<Option<f64>>,
}

/// What came of requests to one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RevisionAnswers {
    /// Which revision; none for answers of the edge itself, where no replica could or should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionNumber>,
    /// Requests that came to an end.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Half of the requests took at most so long.
    pub latency_p50_ms: Option<f64>,
    /// 95 of 100 took at most so long.
    pub latency_p95_ms: Option<f64>,
    /// 99 of 100 took at most so long.
    pub latency_p99_ms: Option<f64>,
}

/// A revision got all the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrafficSwitch {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Which revision.
    pub revision: RevisionNumber,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
}
