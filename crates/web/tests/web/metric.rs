//! Figures of an environment over the API: what is shown of what was kept, and what is refused.

use std::collections::BTreeMap;

use naru_model::EnvironmentKey;
use naru_model::metric::{Answers, Sample};
use naru_store::metric::SampleKey;
use serde_json::{Value, json};

use crate::world::{World, is};

const METRICS: &str = "/api/v1/projects/shop/environments/production/metrics";
/// The API's hour in these tests: 2026-11-21T10:00:00Z.
const NOW: i64 = 1_795_255_200;

fn sample(requests: u64, errors: u64) -> Sample {
    let mut latency = naru_model::metric::Latency::default();
    latency[4] = requests;
    Sample {
        usage_ms: 15_000,
        traffic_ms: 15_000,
        replica_ms: 30_000,
        cpu_micros: 3_000_000,
        memory_byte_seconds: 15 << 20,
        received_bytes: 1_500,
        sent_bytes: 3_000,
        answers: BTreeMap::from([(7, Answers { requests, errors, latency })]),
    }
}

/// Samples of `web` from a minute ago, with a gap of one step in the middle.
pub(crate) async fn world() -> (World, String) {
    let (world, token) = World::with_administrator().await;
    let environment =
        EnvironmentKey { project: world.project("shop").await, environment: "production".parse().unwrap() };
    world.store.ensure_environment(&environment, None).await.unwrap();
    let key = SampleKey { environment, service: "web".parse().unwrap() };
    for (before, requests, errors) in [(60, 30, 0), (45, 30, 3), (15, 0, 0)] {
        let look = [(key.clone(), sample(requests, errors))];
        world.store.add_samples(NOW - before, &look).await.unwrap();
    }
    (world, token)
}

fn end(metrics: &Value, series: &str) -> Vec<Value> {
    let values = metrics["series"][series].as_array().unwrap();
    values[values.len() - 4..].to_vec()
}

#[tokio::test]
async fn an_hour_is_told_step_by_step_with_gaps() {
    let (world, token) = world().await;
    let metrics = world.get(&token, METRICS).await.json();
    assert_eq!((&metrics["range"], &metrics["step_seconds"]), (&json!("1h"), &json!(15)));
    assert_eq!(
        (&metrics["from"], &metrics["until"]),
        (&json!("2026-11-21T09:00:00Z"), &json!("2026-11-21T10:00:00Z"))
    );
    for series in metrics["series"].as_object().unwrap().values() {
        assert_eq!(series.as_array().unwrap().len(), 240);
    }
    let null = Value::Null;
    assert_eq!(end(&metrics, "cpu_cores"), [json!(0.2), json!(0.2), null.clone(), json!(0.2)]);
    assert_eq!(end(&metrics, "replicas"), [json!(2.0), json!(2.0), null.clone(), json!(2.0)]);
    assert_eq!(end(&metrics, "memory_bytes")[0], json!(1 << 20));
    assert_eq!(end(&metrics, "sent_bytes_per_second")[0], json!(200));
    assert_eq!(end(&metrics, "requests_per_second"), [json!(2.0), json!(2.0), null.clone(), json!(0.0)]);
    assert_eq!(end(&metrics, "errors_per_second"), [json!(0.0), json!(0.2), null.clone(), json!(0.0)]);
    assert_eq!(end(&metrics, "latency_p50_ms"), [json!(17.5), json!(17.5), null.clone(), null]);
    assert_eq!(metrics["services"], json!(["web"]));
    let revision = &metrics["revisions"][0];
    assert_eq!(
        (&revision["revision"], &revision["requests"], &revision["errors"]),
        (&json!(7), &json!(60), &json!(3))
    );
}

#[tokio::test]
async fn longer_ranges_hold_what_was_not_sealed_yet() {
    let (world, token) = world().await;
    for range in ["6h", "24h", "7d", "30d"] {
        let metrics = world.get(&token, &format!("{METRICS}?range={range}")).await.json();
        let known =
            metrics["series"]["cpu_cores"].as_array().unwrap().iter().filter(|value| !value.is_null());
        assert!(known.count() > 0, "{range}");
        assert_eq!(metrics["revisions"][0]["requests"], 60, "{range}");
    }
    for sealed in 0..2 {
        let metrics = world.get(&token, &format!("{METRICS}?range=24h")).await.json();
        assert_eq!(metrics["revisions"][0]["requests"], 60, "sealed {sealed} times");
        world.store.seal_samples(0, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn one_service_can_be_asked_for_and_what_cannot_be_is_refused() {
    let (world, token) = world().await;
    let metrics = world.get(&token, &format!("{METRICS}?service=web")).await.json();
    assert_eq!((&metrics["service"], &metrics["revisions"][0]["requests"]), (&json!("web"), &json!(60)));
    let other = world.get(&token, &format!("{METRICS}?service=worker")).await.json();
    assert_eq!(other["revisions"], json!([]));
    let bad = world.get(&token, &format!("{METRICS}?range=1y")).await;
    is(&bad, http::StatusCode::BAD_REQUEST, "api.bad-request");
    let bad = world.get(&token, &format!("{METRICS}?service=..%2F")).await;
    is(&bad, http::StatusCode::BAD_REQUEST, "api.bad-name");
    assert_eq!(world.get(&token, &METRICS.replace("production", "staging")).await.status, 404);
    assert_eq!(world.get("naru_nobody", METRICS).await.status, 401);
}
