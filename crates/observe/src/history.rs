//! What is shown of an environment's past: kept samples put together in as many steps as a picture has room for.

use std::collections::BTreeMap;

use naru_model::api::{EnvironmentMetrics, MetricRange, MetricSeries, RevisionAnswers, TrafficSwitch};
use naru_model::metric::{Answers, Resolution, Sample, quantile_ms, regroup};
use naru_model::{EnvironmentKey, RevisionNumber, ServiceName, Timestamp};
use naru_store::metric::{StoredSample, Switch};
use naru_store::{Store, StoreError};

/// From when to when, in seconds since 1970; whole steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    until: i64,
    step: i64,
}

impl Span {
    /// Up to the step in which the newest sample may be.
    fn of(range: MetricRange, now: i64) -> Self {
        let step = range.step_seconds();
        let newest = Resolution::QuarterMinute.step_of(now) - 1;
        let until = newest - newest.rem_euclid(step) + step;
        Self { from: until - range.seconds(), until, step }
    }
}

/// What an environment used and answered, of one of its services or of all together.
pub async fn history(
    store: &Store,
    key: &EnvironmentKey,
    range: MetricRange,
    service: Option<&ServiceName>,
) -> Result<EnvironmentMetrics, StoreError> {
    let now = store.now().as_second();
    let span = Span::of(range, now);
    let resolution = range.resolution();
    let mut samples = Samples::default();
    samples.keep(store.samples(key, resolution, span.from, span.until).await?);
    if resolution != Resolution::QuarterMinute {
        // What was not sealed yet: this block, and the one before for a moment.
        let fine = Resolution::QuarterMinute;
        let from = fine.block_of(now) - fine.block_seconds();
        let recent = store.samples(key, fine, from, span.until).await?;
        samples.complete(recent, resolution.step_seconds());
    }
    let switches = store.switches(key, instant(span.from)).await?;
    Ok(tell(samples, span, range, service, switches))
}

/// Samples by service and time.
#[derive(Default)]
struct Samples(BTreeMap<ServiceName, BTreeMap<i64, Sample>>);

impl Samples {
    fn keep(&mut self, stored: Vec<StoredSample>) {
        for StoredSample { service, at, sample } in stored {
            self.0.entry(service).or_default().insert(at, sample);
        }
    }

    /// Adds finer samples where there is none yet.
    fn complete(&mut self, finer: Vec<StoredSample>, step_seconds: i64) {
        let mut fine = Self::default();
        fine.keep(finer);
        for (service, samples) in fine.0 {
            let kept = self.0.entry(service).or_default();
            for (at, sample) in regroup(samples, step_seconds) {
                kept.entry(at).or_insert(sample);
            }
        }
    }

    /// All services together, or one.
    fn together(self, service: Option<&ServiceName>) -> BTreeMap<i64, Sample> {
        let mut sum = BTreeMap::<i64, Sample>::new();
        let wanted = self.0.into_iter().filter(|(name, _)| service.is_none_or(|service| service == name));
        for (at, sample) in wanted.flat_map(|(_, samples)| samples) {
            sum.entry(at).or_default().add_beside(&sample);
        }
        sum
    }
}

fn tell(
    samples: Samples,
    span: Span,
    range: MetricRange,
    service: Option<&ServiceName>,
    switches: Vec<Switch>,
) -> EnvironmentMetrics {
    let services = samples.0.keys().cloned().collect();
    let steps = regroup(samples.together(service), span.step);
    EnvironmentMetrics {
        range,
        from: instant(span.from),
        until: instant(span.until),
        step_seconds: span.step,
        service: service.cloned(),
        services,
        series: series(&steps, span),
        revisions: revisions(&steps),
        switches: switches.into_iter().map(switch).collect(),
    }
}

fn switch(Switch { revision, release, at }: Switch) -> TrafficSwitch {
    TrafficSwitch { at, revision, release }
}

fn series(steps: &BTreeMap<i64, Sample>, span: Span) -> MetricSeries {
    let mut series = MetricSeries::default();
    let count = usize::try_from((span.until - span.from) / span.step).unwrap_or_default();
    for at in (span.from..span.until).step_by(usize::try_from(span.step).unwrap_or(1)).take(count) {
        let step = steps.get(&at);
        let of = |value: fn(&Sample) -> Option<f64>| step.and_then(value);
        let latency = step.map(|step| step.all_answers().latency).unwrap_or_default();
        series.replicas.push(of(Sample::replicas).map(|value| rounded(value, 2)));
        series.cpu_cores.push(of(Sample::cpu_cores).map(|value| rounded(value, 4)));
        series.memory_bytes.push(of(Sample::memory_bytes).map(whole));
        series.received_bytes_per_second.push(of(Sample::received_bytes_per_second).map(whole));
        series.sent_bytes_per_second.push(of(Sample::sent_bytes_per_second).map(whole));
        series.requests_per_second.push(of(Sample::requests_per_second).map(|value| rounded(value, 3)));
        series.errors_per_second.push(of(Sample::errors_per_second).map(|value| rounded(value, 3)));
        let quantile = |share| quantile_ms(&latency, share).map(|value| rounded(value, 1));
        series.latency_p50_ms.push(quantile(0.5));
        series.latency_p95_ms.push(quantile(0.95));
        series.latency_p99_ms.push(quantile(0.99));
    }
    series
}

/// The edge's own answers come last.
fn revisions(steps: &BTreeMap<i64, Sample>) -> Vec<RevisionAnswers> {
    let mut sums = BTreeMap::<u32, Answers>::new();
    for (revision, answers) in steps.values().flat_map(|step| &step.answers) {
        *sums.entry(*revision).or_default() += answers;
    }
    let told = |(revision, sum): (u32, Answers)| RevisionAnswers {
        revision: (revision > 0).then_some(RevisionNumber(revision)),
        requests: sum.requests,
        errors: sum.errors,
        latency_p50_ms: quantile_ms(&sum.latency, 0.5).map(|value| rounded(value, 1)),
        latency_p95_ms: quantile_ms(&sum.latency, 0.95).map(|value| rounded(value, 1)),
        latency_p99_ms: quantile_ms(&sum.latency, 0.99).map(|value| rounded(value, 1)),
    };
    sums.into_iter().rev().map(told).collect()
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an average of what is never below 0"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_the_newest_sample_and_not_before() {
        // 10:00:07 and 10:00:15: the sample of 10:00:00 is there from 10:00:15 on.
        let ten = 1_800_000_000 - 1_800_000_000 % 86_400 + 36_000;
        for (now, until) in [(ten + 7, ten), (ten + 15, ten + 15)] {
            assert_eq!(Span::of(MetricRange::Hour, now), Span { from: until - 3_600, until, step: 15 });
        }
        for (now, until) in [(ten + 7, ten), (ten + 15, ten + 60), (ten + 60, ten + 60)] {
            assert_eq!(Span::of(MetricRange::SixHours, now).until, until);
        }
        for range in MetricRange::ALL {
            let span = Span::of(range, ten + 5_000);
            assert_eq!((span.from % span.step, (span.until - span.from) / span.step <= 360), (0, true));
            assert!(span.until - span.from <= range.resolution().kept_seconds());
        }
    }
}
