//! The sampler on the fake engine and an edge whose counters are set by hand: what is kept is what happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use naru_edge::control::ControlError;
use naru_edge::server::{Counts, LATENCY_BOUNDS_MS, Metrics, RouteCounts};
use naru_engine::Engine as _;
use naru_engine::fake::Fake;
use naru_model::api::{EnvironmentMetrics, MetricRange};
use naru_model::effect::Unobserved;
use naru_model::rollout::{Action, ReplicaKey};
use naru_model::workload::{Limits, ServiceSpec, Template};
use naru_model::{Clock, EnvironmentKey, Generation, RevisionNumber, Timestamp};
use naru_observe::{EdgeFigures, SampleError, Sampler, history};
use naru_store::Store;

/// 2026-11-21T10:00:00Z.
const TEN: i64 = 1_795_255_200;

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// An edge that has counted what a test says; away while there is nothing.
#[derive(Default)]
struct Counted(Mutex<Option<Metrics>>);

#[async_trait]
impl EdgeFigures for Counted {
    async fn figures(&self) -> Result<Metrics, ControlError> {
        let metrics = self.0.lock().unwrap().clone();
        metrics.ok_or_else(|| ControlError::Unreachable("it is away".to_owned()))
    }
}

impl Counted {
    /// Revision 1 of `web` has answered so many requests, so many of them with an error, since this edge began.
    fn says(&self, requests: u64, errors: u64, began: i64) {
        let mut latency_counts = vec![0; LATENCY_BOUNDS_MS.len() + 1];
        latency_counts[4] = requests;
        let counts =
            Counts { status_2xx: requests - errors, status_5xx: errors, latency_counts, ..Counts::default() };
        let route = RouteCounts {
            environment: key(),
            host: "shop.test".into(),
            path: "/".into(),
            service: "web".into(),
            revision: Some(RevisionNumber(1)),
            counts,
        };
        *self.0.lock().unwrap() = Some(Metrics {
            counting_since: Some(Timestamp::from_second(began).unwrap()),
            latency_bounds_ms: LATENCY_BOUNDS_MS.to_vec(),
            connections: 0,
            held: 0,
            unrouted: Counts::default(),
            routes: vec![route],
            access_lines_dropped: 0,
        });
    }
}

fn key() -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() }
}

fn replica(index: u32) -> ReplicaKey {
    ReplicaKey { service: "web".parse().unwrap(), revision: RevisionNumber(1), index, attempt: 0 }
}

struct World {
    clock: Arc<Hand>,
    store: Store,
    engine: Fake,
    edge: Arc<Counted>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(TEN * 1_000)));
        let file = folder.path().join("naru.db");
        let store = Store::open(&file, clock.clone(), Arc::new(Unobserved)).await.unwrap();
        store.create_project(&key().project, &"main".parse().unwrap()).await.unwrap();
        store.ensure_environment(&key(), None).await.unwrap();
        let engine = Fake::new(clock.clone());
        Self { clock, store, engine, edge: Arc::default(), _folder: folder }
    }

    /// One life of the process: it remembers nothing of the one before.
    fn life(&self) -> Sampler {
        Sampler::new(self.store.clone(), Arc::new(self.engine.clone()), self.edge.clone())
    }

    async fn start(&self, index: u32) {
        let service = ServiceSpec {
            replicas: 1,
            strategy: naru_model::definition::Strategy::default(),
            template: Template {
                image: format!("registry.test/shop/web@sha256:{:064}", 0).parse().unwrap(),
                command: None,
                variables: BTreeMap::new(),
                port: None,
                probe: None,
                limits: Limits::default(),
                mounts: Vec::new(),
                ready_within: Duration::from_secs(30),
                stop_within: Duration::from_secs(10),
            },
        };
        let action = Action::Start { replica: replica(index), service: Box::new(service) };
        self.engine.apply(&key(), Generation(1), &action).await.unwrap();
    }

    /// Time goes on, and then somebody looks. The hour and the time that is waited for go on together; while the store is at
    /// work, time is real.
    async fn look(&self, sampler: &Sampler, seconds: i64) -> Result<(), SampleError> {
        self.pass(seconds).await;
        sampler.look().await
    }

    async fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000, Ordering::Relaxed);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds.unsigned_abs())).await;
        tokio::time::resume();
    }

    async fn told(&self, range: MetricRange) -> EnvironmentMetrics {
        history(&self.store, &key(), range, None).await.unwrap()
    }

    /// The last values of the last hour.
    async fn last<T: Clone>(&self, count: usize, of: fn(&EnvironmentMetrics) -> &Vec<T>) -> Vec<T> {
        let told = self.told(MetricRange::Hour).await;
        let values = of(&told);
        values[values.len() - count..].to_vec()
    }
}

fn cpu(told: &EnvironmentMetrics) -> &Vec<Option<f64>> {
    &told.series.cpu_cores
}

fn requests(told: &EnvironmentMetrics) -> &Vec<Option<f64>> {
    &told.series.requests_per_second
}

/// To two digits: looks come a little later than they are due.
fn about(values: &[Option<f64>]) -> Vec<Option<f64>> {
    values.iter().map(|value| value.map(|value| (value * 100.0).round() / 100.0)).collect()
}

#[tokio::test]
async fn what_replicas_use_is_kept_from_the_second_look_on() {
    let w = World::new().await;
    w.edge.says(0, 0, 1);
    w.start(0).await;
    let sampler = w.life();
    for _ in 0..3 {
        w.look(&sampler, 15).await.unwrap();
    }
    assert_eq!(about(&w.last(3, cpu).await), [None, Some(0.1), Some(0.1)]);
    // A second replica counts from its start, in the middle of a step.
    w.pass(5).await;
    w.start(1).await;
    w.look(&sampler, 10).await.unwrap();
    w.look(&sampler, 15).await.unwrap();
    assert_eq!(about(&w.last(2, cpu).await), [Some(0.17), Some(0.2)]);
    let told = w.told(MetricRange::Hour).await;
    assert_eq!(told.series.replicas.last(), Some(&Some(2.0)));
    assert_eq!(told.series.memory_bytes.last().copied().flatten().map(|bytes| bytes >> 20), Some(2));
    let network = (told.series.received_bytes_per_second.last(), told.series.sent_bytes_per_second.last());
    assert!(matches!(network, (Some(Some(3_900..=4_000)), Some(Some(1_950..=2_000)))), "{network:?}");
    // Nothing runs any more: a gap, not a zero.
    w.engine.remove_environment(&key(), false).await.unwrap();
    w.look(&sampler, 15).await.unwrap();
    assert_eq!(w.last(1, cpu).await, [None]);
}

#[tokio::test]
async fn a_process_that_was_away_leaves_a_gap_and_counts_on() {
    let w = World::new().await;
    w.edge.says(100, 0, 1);
    w.start(0).await;
    let first = w.life();
    w.look(&first, 15).await.unwrap();
    w.edge.says(130, 3, 1);
    w.look(&first, 15).await.unwrap();
    drop(first);
    w.pass(30).await;
    w.edge.says(1_000, 3, 1);
    let second = w.life();
    w.look(&second, 15).await.unwrap();
    w.edge.says(1_015, 3, 1);
    w.look(&second, 15).await.unwrap();
    assert_eq!(about(&w.last(6, requests).await), [None, Some(2.0), None, None, None, Some(1.0)]);
    let told = w.told(MetricRange::Hour).await;
    assert_eq!((told.revisions[0].requests, told.revisions[0].errors), (45, 3));
    assert_eq!(told.revisions[0].revision, Some(RevisionNumber(1)));
}

#[tokio::test]
async fn counters_of_an_edge_that_began_anew_count_from_zero() {
    let w = World::new().await;
    w.start(0).await;
    w.edge.says(100, 0, 1);
    let sampler = w.life();
    w.look(&sampler, 15).await.unwrap();
    // Another edge, which has already answered more than the one before.
    w.edge.says(150, 0, 2);
    w.look(&sampler, 15).await.unwrap();
    assert_eq!(about(&w.last(1, requests).await), [Some(10.0)]);
    // And one that forgot, and does not say so.
    w.edge.says(15, 0, 2);
    w.look(&sampler, 15).await.unwrap();
    assert_eq!(about(&w.last(1, requests).await), [Some(1.0)]);
}

#[tokio::test]
async fn without_an_edge_or_an_engine_the_other_half_is_kept() {
    let w = World::new().await;
    w.start(0).await;
    let sampler = w.life();
    assert!(matches!(w.look(&sampler, 15).await, Err(SampleError::Edge(_))));
    assert!(w.look(&sampler, 15).await.is_err());
    assert_eq!(about(&w.last(1, cpu).await), [Some(0.1)]);
    assert_eq!(w.last(1, requests).await, [None]);
    // The edge comes back: what it counted before the first look at it is nobody's.
    w.edge.says(1_000, 0, 1);
    w.look(&sampler, 15).await.unwrap();
    w.edge.says(1_030, 0, 1);
    w.look(&sampler, 15).await.unwrap();
    assert_eq!(about(&w.last(2, requests).await), [None, Some(2.0)]);
    // Errors without a replica left are kept, too.
    w.engine.remove_environment(&key(), false).await.unwrap();
    w.edge.says(1_045, 15, 1);
    w.look(&sampler, 15).await.unwrap();
    let told = w.told(MetricRange::Hour).await;
    assert_eq!(about(&told.series.errors_per_second).last(), Some(&Some(1.0)));
    assert_eq!(told.series.cpu_cores.last(), Some(&None));
}

#[tokio::test]
async fn an_hour_becomes_minutes_and_quarters_and_a_restart_seals_what_was_left() {
    let w = World::new().await;
    w.edge.says(0, 0, 1);
    w.start(0).await;
    let sampler = w.life();
    for look in 1..=70 {
        w.edge.says(look * 15, 0, 1);
        w.look(&sampler, 15).await.unwrap();
    }
    let whole = |told: &EnvironmentMetrics| told.revisions.iter().map(|one| one.requests).sum::<u64>();
    for range in MetricRange::ALL {
        assert_eq!(whole(&w.told(range).await), 69 * 15, "{range}");
    }
    drop(sampler);
    // Three hours later the fine samples are gone, and nothing is missing in the coarse ones.
    w.pass(3 * 3_600).await;
    w.look(&w.life(), 0).await.unwrap();
    assert_eq!(whole(&w.told(MetricRange::Hour).await), 0);
    assert_eq!(whole(&w.told(MetricRange::Day).await), 69 * 15);
}
