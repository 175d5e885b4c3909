//! The figures in the OpenMetrics 1.0 text format: rate, errors and duration per route and revision. Pure; where they
//! come from is `server::figures`, who may read them is for the API to say.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::server::{Counts, Metrics, RouteCounts};

/// What [`open_metrics`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Routes and revisions in one answer. Past it those of the oldest revisions are left out, and counted.
const SETS_MAX: usize = 1_000;

/// Name, help, unit and where the value is.
type Counter = (&'static str, &'static str, Option<Unit>, fn(&Counts) -> u64);

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Renders the figures.
pub fn open_metrics(metrics: Metrics) -> String {
    let mut registry = Registry::with_prefix("naru_edge");
    registry.register_collector(Box::new(Snapshot::new(metrics)));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

#[derive(Debug)]
struct Snapshot {
    metrics: Metrics,
    left_out: usize,
}

impl Snapshot {
    fn new(mut metrics: Metrics) -> Self {
        let left_out = metrics.routes.len().saturating_sub(SETS_MAX);
        if left_out > 0 {
            metrics.routes.sort_by_key(|route| std::cmp::Reverse(route.revision));
            metrics.routes.truncate(SETS_MAX);
        }
        Self { metrics, left_out }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        let counters: [Counter; 4] = [
            ("broken_answers", "Answers below 500 that a replica broke off", None, |counts| counts.broken),
            ("retries", "Requests that failed here and were sent to another replica", None, |counts| {
                counts.retried
            }),
            ("received", "Bytes of request bodies", Some(Unit::Bytes), |counts| counts.bytes_in),
            ("sent", "Bytes of the bodies of answers", Some(Unit::Bytes), |counts| counts.bytes_out),
        ];
        for (name, help, unit, value) in counters {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for route in &self.metrics.routes {
                counter(&mut family.encode_family(&labels(route))?, value(&route.counts))?;
            }
        }
        self.instants(&mut encoder)
    }
}

impl Snapshot {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Requests that came to an end, by the class of their status; `none` for clients that left before";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for route in &self.metrics.routes {
            for (status, value) in by_status(&route.counts) {
                let mut labels = labels(route);
                labels.push(("status", status.into()));
                counter(&mut family.encode_family(&labels)?, value)?;
            }
        }
        let help = "Requests that were refused before a route was known";
        let mut family = encoder.encode_descriptor("unrouted_requests", help, None, MetricType::Counter)?;
        for (status, value) in by_status(&self.metrics.unrouted) {
            counter(&mut family.encode_family(&[("status", status)])?, value)?;
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From the head of a request to the last byte of its answer, without upgraded connections";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("request_duration", help, unit, MetricType::Histogram)?;
        let bounds = self.metrics.latency_bounds_ms.iter().map(|&bound| seconds(bound * 1_000));
        let bounds: Vec<f64> = bounds.chain([f64::INFINITY]).collect();
        for route in &self.metrics.routes {
            let Counts { latency_counts, latency_sum_us, .. } = &route.counts;
            let buckets: Vec<(f64, u64)> =
                bounds.iter().copied().zip(latency_counts.iter().copied()).collect();
            let (sum, count) = (seconds(*latency_sum_us), latency_counts.iter().sum());
            let labels = labels(route);
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// What goes up and down, and what concerns no route.
    fn instants(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests under way, upgraded connections included";
        let mut family = encoder.encode_descriptor("requests_under_way", help, None, MetricType::Gauge)?;
        for route in &self.metrics.routes {
            family.encode_family(&labels(route))?.encode_gauge(&route.counts.in_flight)?;
        }
        for (name, help, value) in [
            ("connections", "Open connections of clients", self.metrics.connections),
            ("held_requests", "Requests that wait on held routes", self.metrics.held),
            ("series_left_out", "Routes and revisions that are not in this answer", self.left_out as u64),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let help = "Lines that the access log lost";
        let mut lost = encoder.encode_descriptor("access_lines_dropped", help, None, MetricType::Counter)?;
        counter(&mut lost, self.metrics.access_lines_dropped)
    }
}

fn counter(encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

fn by_status(counts: &Counts) -> [(&'static str, u64); 6] {
    [
        ("1xx", counts.status_1xx),
        ("2xx", counts.status_2xx),
        ("3xx", counts.status_3xx),
        ("4xx", counts.status_4xx),
        ("5xx", counts.status_5xx),
        ("none", counts.cancelled),
    ]
}

fn labels(route: &RouteCounts) -> Labels<'_> {
    let revision = route.revision.map_or(Cow::Borrowed("edge"), |revision| revision.to_string().into());
    vec![
        ("project", route.environment.project.as_str().into()),
        ("environment", route.environment.environment.as_str().into()),
        ("host", route.host.as_str().into()),
        ("path", route.path.as_str().into()),
        ("service", route.service.as_str().into()),
        ("revision", revision),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "past 285 years of requests a microsecond is lost")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use naru_model::{EnvironmentKey, RevisionNumber};

    use super::*;
    use crate::server::LATENCY_BOUNDS_MS;

    fn route(path: &str, revision: Option<u32>, requests: u64) -> RouteCounts {
        let mut latency_counts = vec![0; LATENCY_BOUNDS_MS.len() + 1];
        latency_counts[2] = requests;
        RouteCounts {
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
            },
            host: "shop.test".into(),
            path: path.into(),
            service: "web".into(),
            revision: revision.map(RevisionNumber),
            counts: Counts {
                status_2xx: requests,
                latency_counts,
                latency_sum_us: 4_000 * requests,
                ..Counts::default()
            },
        }
    }

    fn metrics(routes: Vec<RouteCounts>) -> Metrics {
        Metrics {
            counting_since: None,
            latency_bounds_ms: LATENCY_BOUNDS_MS.to_vec(),
            connections: 3,
            held: 0,
            unrouted: Counts { status_4xx: 2, ..Counts::default() },
            routes,
            access_lines_dropped: 0,
        }
    }

    type Read = BTreeMap<(String, BTreeMap<String, String>), String>;

    /// Reads the format as strictly as its specification is written, as far as these figures use it.
    fn read(text: &str) -> Read {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        let mut types = BTreeMap::new();
        let mut families = BTreeSet::new();
        let mut family = String::new();
        let mut samples = Read::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (what, rest) = rest.split_once(' ').unwrap();
                let (name, value) = rest.split_once(' ').unwrap();
                assert!(matches!(what, "HELP" | "TYPE" | "UNIT"), "{line}");
                if name != family {
                    assert!(families.insert(name.to_owned()), "{name} is not in one piece");
                    name.clone_into(&mut family);
                }
                if what == "TYPE" {
                    types.insert(name.to_owned(), value.to_owned());
                }
                continue;
            }
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            match (&*types[&family], suffix) {
                ("counter", "_total") | ("gauge", "") | ("histogram", "_bucket" | "_sum" | "_count") => {}
                other => panic!("{line}: {other:?}"),
            }
            assert!(samples.insert((name, labels), value).is_none(), "{line} is there twice");
        }
        samples
    }

    fn sample(line: &str) -> (String, BTreeMap<String, String>, String) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                let (value, after) = quoted(after);
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
                match after.split_at(1) {
                    (",", more) => rest = more,
                    ("}", more) => break rest = more,
                    _ => panic!("{line}"),
                }
            }
        }
        let value = rest.strip_prefix(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        (name.to_owned(), labels, value.to_owned())
    }

    /// Up to the closing quote, and what follows it.
    fn quoted(text: &str) -> (String, &str) {
        let mut value = String::new();
        let mut letters = text.char_indices();
        loop {
            match letters.next().expect("the value ends").1 {
                '"' => return (value, letters.as_str()),
                '\\' => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    kept @ ('"' | '\\') => kept,
                    other => panic!("\\{other}"),
                }),
                letter => value.push(letter),
            }
        }
    }

    fn of<'r>(samples: &'r Read, name: &str, label: (&str, &str)) -> Vec<&'r str> {
        let matches = |key: &&(String, BTreeMap<String, String>)| {
            key.0 == name && key.1.get(label.0).is_some_and(|value| value == label.1)
        };
        samples.iter().filter(|(key, _)| matches(key)).map(|(_, value)| &**value).collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let hostile = "/a\"},x=\"\n\\n# EOF\n";
        let text = open_metrics(metrics(vec![route("/", Some(7), 5), route(hostile, None, 1)]));
        let samples = read(&text);
        assert_eq!(of(&samples, "naru_edge_requests_total", ("path", hostile)).len(), 6);
        assert!(of(&samples, "naru_edge_requests_total", ("revision", "7")).contains(&"5"));
        assert_eq!(of(&samples, "naru_edge_unrouted_requests_total", ("status", "4xx")), ["2"]);
        assert_eq!(of(&samples, "naru_edge_request_duration_seconds_sum", ("revision", "7")), ["0.02"]);
        assert_eq!(of(&samples, "naru_edge_request_duration_seconds_count", ("revision", "7")), ["5"]);
        let buckets = |bound| of(&samples, "naru_edge_request_duration_seconds_bucket", ("le", bound));
        assert_eq!(buckets("0.002"), ["0", "0"]);
        assert_eq!(buckets("0.005"), ["5", "1"]);
        assert_eq!(buckets("+Inf"), ["5", "1"]);
        assert_eq!(samples[&("naru_edge_connections".to_owned(), BTreeMap::new())], "3");
    }

    #[test]
    fn the_number_of_series_is_bounded_and_the_newest_stay() {
        let routes = (1..=3_000).map(|revision| route("/", Some(revision), 1)).collect();
        let samples = read(&open_metrics(metrics(routes)));
        assert!(samples.len() < SETS_MAX * 40);
        assert_eq!(samples[&("naru_edge_series_left_out".to_owned(), BTreeMap::new())], "2000");
        assert!(!of(&samples, "naru_edge_requests_total", ("revision", "3000")).is_empty());
        assert!(of(&samples, "naru_edge_requests_total", ("revision", "2000")).is_empty());
    }
}
