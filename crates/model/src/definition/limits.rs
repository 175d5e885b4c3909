//! Bounds of the requests to a service, as people write them. The edge keeps them ([`RouteLimits`]); in a manifest the
//! same stands as JSON in one annotation of the HTTPRoute.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::amount::{ByteAmount, ScalarText, TimeSpan, digits, scalar};
use crate::route::{HEAD_BYTES_MAX, Rate, RouteLimits};

/// What one request, and one client, may ask of a service. What is not given is bounded by the edge alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ body, head, timeout, rate }")]
pub struct RequestLimits {
    /// The most a request's body may have; 413 past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<ByteAmount>,
    /// The most a request's header fields may have together, from 1Ki to 32Ki; 431 past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<ByteAmount>,
    /// How long the service may take from the end of a request to the head of its answer, up to 1h; 504 after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// How often one client may ask; 429 past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RequestRate>,
}

/// How often one client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ requests, per, burst }")]
pub struct RequestRate {
    /// So many requests.
    pub requests: RequestCount,
    /// In this time, up to 1d. They are spread evenly over it.
    pub per: TimeSpan,
    /// So many at once before that. As many as `requests` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<RequestCount>,
}

/// A number of requests from 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "u32")]
pub struct RequestCount(u32);

scalar!(RequestCount, "a number of requests from 1 to 1000000", [100]);

impl RequestCount {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<RequestCount> for u32 {
    fn from(count: RequestCount) -> u32 {
        count.0
    }
}

impl FromStr for RequestCount {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = digits(text)?;
        if (1..=1_000_000).contains(&number) { Ok(Self(number)) } else { Err(()) }
    }
}

impl fmt::Display for RequestCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A smaller head would keep browsers out.
const HEAD_BYTES_MIN: u64 = 1 << 10;
const TIMEOUT_MAX: TimeSpan = TimeSpan::seconds(3_600);
const PER_MAX: TimeSpan = TimeSpan::seconds(86_400);

impl RequestLimits {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be kept: the keys that lead there, and what was expected.
    pub(crate) fn faults(&self) -> Vec<(&'static [&'static str], String)> {
        let mut faults: Vec<(&'static [&'static str], String)> = Vec::new();
        let most = HEAD_BYTES_MAX as u64;
        if let Some(head) = self.head.filter(|head| !(HEAD_BYTES_MIN..=most).contains(&head.bytes())) {
            let (least, most) = (ByteAmount::new(HEAD_BYTES_MIN), ByteAmount::new(most));
            faults.push((&["head"], format!("{head} cannot be kept, expected {least} to {most}")));
        }
        if let Some(timeout) = self.timeout.filter(|timeout| *timeout > TIMEOUT_MAX) {
            faults.push((&["timeout"], format!("{timeout} is too long, expected at most {TIMEOUT_MAX}")));
        }
        if let Some(rate) = self.rate.filter(|rate| rate.per > PER_MAX) {
            faults.push((&["rate", "per"], format!("{} is too long, expected at most {PER_MAX}", rate.per)));
        }
        faults
    }
}

impl From<RequestLimits> for RouteLimits {
    fn from(limits: RequestLimits) -> Self {
        let millis = |span: TimeSpan| u64::try_from(span.duration().as_millis()).unwrap_or(u64::MAX);
        Self {
            body_bytes: limits.body.map(ByteAmount::bytes),
            header_bytes: limits.head.map(ByteAmount::bytes),
            answer_ms: limits.timeout.map(millis),
            rate: limits.rate.map(|rate| Rate {
                requests: rate.requests.get(),
                seconds: u32::try_from(rate.per.duration().as_secs()).unwrap_or(u32::MAX),
                burst: rate.burst.unwrap_or(rate.requests).get(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> RequestLimits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_edge_is_told_bytes_milliseconds_and_seconds() {
        let json =
            r#"{"body":"10Mi","head":"16Ki","timeout":"30s","rate":{"requests":100,"per":"1m","burst":20}}"#;
        let limits = read(json);
        assert_eq!(serde_json::to_string(&limits).unwrap(), json);
        let told = RouteLimits::from(limits);
        assert_eq!((told.body_bytes, told.header_bytes), (Some(10 << 20), Some(16 << 10)));
        assert_eq!(told.answer_ms, Some(30_000));
        assert_eq!(told.rate, Some(Rate { requests: 100, seconds: 60, burst: 20 }));
        let told = RouteLimits::from(read(r#"{"rate":{"requests":5,"per":"1s"}}"#));
        assert_eq!(told.rate, Some(Rate { requests: 5, seconds: 1, burst: 5 }));
        assert!(RouteLimits::from(RequestLimits::default()).is_empty());
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let faults = |json: &str| -> Vec<String> {
            read(json).faults().into_iter().map(|(keys, why)| format!("{}: {why}", keys.join("."))).collect()
        };
        assert_eq!(
            faults(r#"{"head":"33Ki","timeout":"2h","rate":{"requests":1,"per":"2d"}}"#),
            [
                "head: 33Ki cannot be kept, expected 1Ki to 32Ki",
                "timeout: 2h is too long, expected at most 1h",
                "rate.per: 2d is too long, expected at most 1d",
            ]
        );
        assert_eq!(faults(r#"{"head":"1023"}"#), ["head: 1023 cannot be kept, expected 1Ki to 32Ki"]);
        assert!(faults(r#"{"head":"1Ki","timeout":"1h","rate":{"requests":1,"per":"1d"}}"#).is_empty());
        for bad in [r#"{"rate":{"requests":0,"per":"1m"}}"#, r#"{"rate":{"requests":1}}"#, r#"{"size":1}"#] {
            assert!(serde_json::from_str::<RequestLimits>(bad).is_err(), "{bad}");
        }
    }
}
