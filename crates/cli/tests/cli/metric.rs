//! `naru metrics`, and the search of `naru logs`.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::World;

const METRICS: &str = "GET /api/v1/projects/shop/environments/production/metrics";

fn hour(values: impl Fn(usize) -> Option<f64>) -> Vec<Option<f64>> {
    (0..240).map(values).collect()
}

fn metrics() -> Value {
    let nothing = hour(|_| None);
    let bytes: Vec<Option<u64>> = vec![Some(128 << 20); 240];
    json!({
        "range": "1h", "from": "2026-11-21T09:34:00Z", "until": "2026-11-21T10:34:00Z", "step_seconds": 15,
        "services": ["web"],
        "series": {
            "replicas": hour(|_| Some(2.0)),
            "cpu_cores": hour(|step| (!(60..=90).contains(&step)).then_some(f64::from(u32::try_from(step).unwrap()) / 512.0)),
            "memory_bytes": bytes,
            "received_bytes_per_second": vec![Some(0); 240],
            "sent_bytes_per_second": vec![Some(1_536); 240],
            "requests_per_second": hour(|step| Some(if step == 100 { 12.5 } else { 1.0 })),
            "errors_per_second": hour(|_| Some(0.0)),
            "latency_p50_ms": hour(|_| Some(2.5)),
            "latency_p95_ms": hour(|_| Some(48.0)),
            "latency_p99_ms": nothing,
        },
        "revisions": [
            { "revision": 12, "requests": 4_000, "errors": 3, "latency_p50_ms": 2.5, "latency_p95_ms": 48.0,
              "latency_p99_ms": 250.0 },
            { "requests": 7, "errors": 7, "latency_p50_ms": null, "latency_p95_ms": null, "latency_p99_ms": null },
        ],
        "switches": [{ "at": "2026-11-21T10:04:05Z", "revision": 12, "release": 41 }],
    })
}

#[tokio::test]
async fn figures_are_drawn_as_bars_with_gaps() {
    let world = World::new().await.on(&format!("{METRICS}?range=1h"), 200, &metrics());
    assert_snapshot!(world.run("metrics").await);
    let ended = world.run("metrics --json").await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), metrics());
}

#[tokio::test]
async fn a_range_and_a_service_are_asked_for_and_nothing_teaches() {
    let mut empty = metrics();
    for series in empty["series"].as_object_mut().unwrap().values_mut() {
        *series = json!(vec![Value::Null; 240]);
    }
    empty["revisions"] = json!([]);
    empty["switches"] = json!([]);
    empty["range"] = json!("7d");
    let world = World::new().await.on(&format!("{METRICS}?range=7d&service=web"), 200, &empty);
    assert_snapshot!(world.run("metrics web --range 7d").await, @"
    exit: 0
    --- out
    --- err
    nothing ran in the last 7d; deliver something: naru deploy -p shop -e production
    ");
    assert_eq!(world.run("metrics --range 1y").await.code, 2);
}

#[tokio::test]
async fn logs_are_searched_to_the_end_page_by_page() {
    let line = |text: &str| json!({ "at": "2026-11-21T10:00:00Z", "position": "web=9", "source": "web-1-0", "text": text });
    let logs = "GET /api/v1/projects/shop/environments/production/logs?search=a%26b";
    let world = World::new()
        .await
        .on(&format!("{logs}&after="), 200, &json!({ "items": [line("1 a&b")], "next": "web=4" }))
        .on(&format!("{logs}&after=web%3D4"), 200, &json!({ "items": [], "next": "web=8" }))
        .on(&format!("{logs}&after=web%3D8"), 200, &json!({ "items": [line("2 a&b")] }));
    assert_snapshot!(world.run("logs --grep a&b").await, @"
    exit: 0
    --- out
    web-1-0 | 1 a&b
    web-1-0 | 2 a&b
    --- err
    ");
}
