//! Samples: kept finely, then coarsely, then not at all; and what a clock that is set back does to them.

use std::sync::atomic::Ordering;

use naru_model::metric::{Resolution, Sample};
use naru_model::{EnvironmentKey, ReleaseNumber, RevisionNumber, Timestamp};
use naru_store::metric::SampleKey;

use crate::{Fixture, fixture, revision};

const FINE: Resolution = Resolution::QuarterMinute;
/// 2026-01-01T00:00:00Z, at which a block of every resolution begins.
const MIDNIGHT: i64 = 1_767_225_600;

fn web(environment: &EnvironmentKey) -> SampleKey {
    SampleKey { environment: environment.clone(), service: "web".parse().unwrap() }
}

fn sample(cpu_micros: u64) -> Sample {
    Sample { usage_ms: 15_000, traffic_ms: 15_000, replica_ms: 15_000, cpu_micros, ..Sample::default() }
}

impl Fixture {
    async fn add(&self, second: i64, cpu_micros: u64) {
        self.store.add_samples(second, &[(web(&self.key), sample(cpu_micros))]).await.unwrap();
    }

    /// When samples began since midnight, and what they hold.
    async fn kept(&self, resolution: Resolution) -> Vec<(i64, u64)> {
        let all = self.store.samples(&self.key, resolution, 0, i64::MAX / 2).await.unwrap();
        all.iter().map(|one| (one.at - MIDNIGHT, one.sample.cpu_micros)).collect()
    }

    fn set_clock(&self, second: i64) {
        self.clock.0.store(second * 1_000, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn samples_are_kept_by_step_and_a_step_that_gets_two_holds_both() {
    let f = fixture().await;
    for (second, cpu) in [(0, 1), (14, 2), (15, 4), (60, 8), (900, 16)] {
        f.add(MIDNIGHT + second, cpu).await;
    }
    assert_eq!(f.kept(FINE).await, [(0, 3), (15, 4), (60, 8), (900, 16)]);
    let part = f.store.samples(&f.key, FINE, MIDNIGHT + 15, MIDNIGHT + 900).await.unwrap();
    assert_eq!(part.iter().map(|one| one.at - MIDNIGHT).collect::<Vec<_>>(), [15, 60]);
    // An environment that is gone is left out, and hinders nobody.
    let gone = EnvironmentKey { project: "gone".parse().unwrap(), ..f.key.clone() };
    let both = [(web(&gone), sample(1)), (web(&f.key), sample(32))];
    f.store.add_samples(MIDNIGHT + 915, &both).await.unwrap();
    assert_eq!(f.kept(FINE).await.last(), Some(&(915, 32)));
    assert!(f.store.samples(&gone, FINE, 0, i64::MAX / 2).await.unwrap().is_empty());
}

#[tokio::test]
async fn sealing_writes_minutes_and_quarters_however_often() {
    let f = fixture().await;
    for (second, cpu) in [(0, 1), (15, 2), (60, 4), (885, 8), (900, 16)] {
        f.add(MIDNIGHT + second, cpu).await;
    }
    for _ in 0..2 {
        f.store.seal_samples(0, MIDNIGHT + 900).await.unwrap();
    }
    assert_eq!(f.kept(Resolution::Minute).await, [(0, 3), (60, 4), (840, 8)]);
    assert_eq!(f.kept(Resolution::QuarterHour).await, [(0, 15)]);
    f.store.seal_samples(MIDNIGHT + 900, MIDNIGHT + 901).await.unwrap();
    assert_eq!(f.kept(Resolution::QuarterHour).await, [(0, 15), (900, 16)]);
    assert_eq!(f.kept(FINE).await.len(), 5, "fine samples stay as long as they are kept");
}

#[tokio::test]
async fn what_is_too_old_goes_and_so_does_what_goes_with_its_project() {
    let f = fixture().await;
    f.add(MIDNIGHT, 1).await;
    f.store.seal_samples(0, MIDNIGHT + 1).await.unwrap();
    let hour = 3_600;
    for (passed, fine, minutes, quarters) in
        [(2 * hour, 1, 1, 1), (3 * hour, 0, 1, 1), (50 * hour, 0, 0, 1), (24 * 32 * hour, 0, 0, 0)]
    {
        f.set_clock(MIDNIGHT + passed);
        f.store.drop_old_samples().await.unwrap();
        let left = [
            f.kept(FINE).await.len(),
            f.kept(Resolution::Minute).await.len(),
            f.kept(Resolution::QuarterHour).await.len(),
        ];
        assert_eq!(left, [fine, minutes, quarters], "after {passed} s");
    }
    f.add(MIDNIGHT + 24 * 32 * hour, 1).await;
    f.store.forget_project(&f.key.project).await.unwrap();
    f.store.create_project(&f.key.project, &"main".parse().unwrap()).await.unwrap();
    f.store.ensure_environment(&f.key, None).await.unwrap();
    assert!(f.kept(FINE).await.is_empty());
}

#[tokio::test]
async fn a_clock_that_was_set_back_leaves_nothing_in_the_future() {
    let f = fixture().await;
    for second in [0, 15, 30, 45, 7_200] {
        f.add(MIDNIGHT + second, 1).await;
    }
    f.set_clock(MIDNIGHT + 20);
    f.add(MIDNIGHT + 20, 2).await;
    f.store.drop_old_samples().await.unwrap();
    assert_eq!(f.kept(FINE).await, [(0, 1), (15, 3)]);
}

#[tokio::test]
async fn switches_are_told_with_their_release_in_the_order_of_time() {
    let f = fixture().await;
    f.store.cache_revisions(&f.key, &[revision(1), revision(2)]).await.unwrap();
    for number in [1, 2] {
        f.set_clock(MIDNIGHT + i64::from(number) * 100);
        f.store.aim(&f.key, RevisionNumber(number), &[], false).await.unwrap();
        let generation = f.store.environment(&f.key).await.unwrap().unwrap().generation;
        f.store.mark_switched(&f.key, generation, RevisionNumber(number)).await.unwrap();
    }
    let since = |second| Timestamp::from_second(MIDNIGHT + second).unwrap();
    let all = f.store.switches(&f.key, since(0)).await.unwrap();
    let told: Vec<_> = all.iter().map(|one| (one.revision.0, one.release, one.at)).collect();
    assert_eq!(told, [(1, Some(ReleaseNumber(1)), since(100)), (2, Some(ReleaseNumber(2)), since(200))]);
    assert_eq!(f.store.switches(&f.key, since(101)).await.unwrap().len(), 1);
}
