//! What a service used and answered over time: samples, how they add up, and what is read off them.
//!
//! Everything in a sample is a sum over the time that it covers, also what goes up and down: memory is kept as bytes
//! times seconds. So samples add up, over time and over services, and nothing else has to be known of how they were
//! taken.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Upper bounds of the latency buckets in milliseconds; one more bucket has none.
pub const LATENCY_BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// Requests per bucket of [`LATENCY_BOUNDS_MS`]; not cumulative.
pub type Latency = [u64; LATENCY_BOUNDS_MS.len() + 1];

/// How finely samples are kept. The coarser, the longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// As they are taken, for two hours.
    QuarterMinute,
    /// For two days.
    Minute,
    /// For thirty days.
    QuarterHour,
}

impl Resolution {
    /// All, finest first.
    pub const ALL: [Self; 3] = [Self::QuarterMinute, Self::Minute, Self::QuarterHour];

    /// The time that a sample stands for. Samples begin at multiples of it.
    pub const fn step_seconds(self) -> i64 {
        match self {
            Self::QuarterMinute => 15,
            Self::Minute => 60,
            Self::QuarterHour => 900,
        }
    }

    /// The time that is kept together. Blocks begin at multiples of it; it is a multiple of every finer step.
    pub const fn block_seconds(self) -> i64 {
        match self {
            Self::QuarterMinute => 900,
            Self::Minute => 3_600,
            Self::QuarterHour => 86_400,
        }
    }

    /// How long samples are kept.
    pub const fn kept_seconds(self) -> i64 {
        match self {
            Self::QuarterMinute => 2 * 3_600,
            Self::Minute => 2 * 86_400,
            Self::QuarterHour => 30 * 86_400,
        }
    }

    /// When the sample began that `second` belongs to.
    pub const fn step_of(self, second: i64) -> i64 {
        second - second.rem_euclid(self.step_seconds())
    }

    /// When the block began that `second` belongs to.
    pub const fn block_of(self, second: i64) -> i64 {
        second - second.rem_euclid(self.block_seconds())
    }
}

/// What a service used and answered in some time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// How long its replicas were watched. None of it: nothing is known of what they used.
    pub usage_ms: u64,
    /// How long the edge's figures were watched.
    pub traffic_ms: u64,
    /// Replicas, times milliseconds.
    pub replica_ms: u64,
    /// CPU time in microseconds.
    pub cpu_micros: u64,
    /// Memory in bytes, times seconds.
    pub memory_byte_seconds: u64,
    /// Bytes that came to replicas.
    pub received_bytes: u64,
    /// Bytes that replicas sent.
    pub sent_bytes: u64,
    /// What came of requests, by the revision that answered; 0 is the edge itself, where no replica could.
    pub answers: BTreeMap<u32, Answers>,
}

/// What came of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answers {
    /// Requests that came to an end.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long they took.
    pub latency: Latency,
}

impl AddAssign<&Answers> for Answers {
    fn add_assign(&mut self, more: &Answers) {
        self.requests += more.requests;
        self.errors += more.errors;
        for (sum, more) in self.latency.iter_mut().zip(more.latency) {
            *sum += more;
        }
    }
}

/// One after the other in time.
impl AddAssign<&Sample> for Sample {
    fn add_assign(&mut self, more: &Sample) {
        self.usage_ms += more.usage_ms;
        self.traffic_ms += more.traffic_ms;
        self.add_amounts(more);
    }
}

impl Sample {
    /// Adds what another service did in the same time.
    pub fn add_beside(&mut self, other: &Sample) {
        self.usage_ms = self.usage_ms.max(other.usage_ms);
        self.traffic_ms = self.traffic_ms.max(other.traffic_ms);
        self.add_amounts(other);
    }

    fn add_amounts(&mut self, more: &Sample) {
        self.replica_ms += more.replica_ms;
        self.cpu_micros += more.cpu_micros;
        self.memory_byte_seconds += more.memory_byte_seconds;
        self.received_bytes += more.received_bytes;
        self.sent_bytes += more.sent_bytes;
        for (revision, answers) in &more.answers {
            *self.answers.entry(*revision).or_default() += answers;
        }
    }

    /// What came of all requests, whoever answered.
    pub fn all_answers(&self) -> Answers {
        let mut sum = Answers::default();
        for answers in self.answers.values() {
            sum += answers;
        }
        sum
    }

    /// Whether there is nothing in it that is worth a row.
    pub fn is_empty(&self) -> bool {
        self.replica_ms == 0 && self.answers.is_empty()
    }

    /// An amount per second of the time that was watched; none when that was none.
    fn per_second(amount: u64, watched_ms: u64) -> Option<f64> {
        (watched_ms > 0).then(|| float(amount) * 1_000.0 / float(watched_ms))
    }

    /// Replicas, on average.
    pub fn replicas(&self) -> Option<f64> {
        Self::per_second(self.replica_ms, self.usage_ms).map(|per_second| per_second / 1_000.0)
    }

    /// Cores in use, on average.
    pub fn cpu_cores(&self) -> Option<f64> {
        Self::per_second(self.cpu_micros, self.usage_ms).map(|micros| micros / 1e6)
    }

    /// Memory, on average.
    pub fn memory_bytes(&self) -> Option<f64> {
        Self::per_second(self.memory_byte_seconds, self.usage_ms)
    }

    /// What came to replicas.
    pub fn received_bytes_per_second(&self) -> Option<f64> {
        Self::per_second(self.received_bytes, self.usage_ms)
    }

    /// What replicas sent.
    pub fn sent_bytes_per_second(&self) -> Option<f64> {
        Self::per_second(self.sent_bytes, self.usage_ms)
    }

    /// Requests that came to an end.
    pub fn requests_per_second(&self) -> Option<f64> {
        Self::per_second(self.all_answers().requests, self.traffic_ms)
    }

    /// Requests that failed.
    pub fn errors_per_second(&self) -> Option<f64> {
        Self::per_second(self.all_answers().errors, self.traffic_ms)
    }
}

/// Samples in the order of time, put together in longer steps that begin at multiples of `step_seconds`.
pub fn regroup(samples: impl IntoIterator<Item = (i64, Sample)>, step_seconds: i64) -> BTreeMap<i64, Sample> {
    let mut longer = BTreeMap::<i64, Sample>::new();
    for (at, sample) in samples {
        *longer.entry(at - at.rem_euclid(step_seconds)).or_default() += &sample;
    }
    longer
}

/// The time in milliseconds that this share of the requests took at most, told between the bounds of its bucket by
/// proportion. None without requests; past the last bound it is that bound.
pub fn quantile_ms(latency: &Latency, share: f64) -> Option<f64> {
    let total: u64 = latency.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = share.clamp(0.0, 1.0) * float(total);
    let mut before = 0;
    for (index, &requests) in latency.iter().enumerate() {
        if requests > 0 && float(before + requests) >= rank {
            let lower = index.checked_sub(1).map_or(0, |below| LATENCY_BOUNDS_MS[below]);
            let upper = LATENCY_BOUNDS_MS.get(index).copied().unwrap_or(lower);
            let within = ((rank - float(before)) / float(requests)).clamp(0.0, 1.0);
            return Some(float(lower) + float(upper - lower) * within);
        }
        before += requests;
    }
    LATENCY_BOUNDS_MS.last().map(|&bound| float(bound))
}

/// The bucket of a duration bound, in whichever buckets it was counted.
pub fn bucket_of(below_ms: Option<u64>) -> usize {
    let bound = |below| LATENCY_BOUNDS_MS.iter().position(|&bound| below <= bound);
    below_ms.and_then(bound).unwrap_or(LATENCY_BOUNDS_MS.len())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: past 2^53 a unit does not matter")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(cpu_micros: u64) -> Sample {
        Sample {
            usage_ms: 15_000,
            traffic_ms: 15_000,
            replica_ms: 30_000,
            cpu_micros,
            memory_byte_seconds: 15_000,
            ..Sample::default()
        }
    }

    fn latency(counts: &[(usize, u64)]) -> Latency {
        let mut latency = Latency::default();
        for (bucket, requests) in counts {
            latency[*bucket] += requests;
        }
        latency
    }

    #[test]
    fn rates_are_of_the_time_that_was_watched() {
        let mut sample = watched(7_500_000);
        assert_eq!((sample.cpu_cores(), sample.replicas()), (Some(0.5), Some(2.0)));
        assert_eq!(sample.memory_bytes(), Some(1_000.0));
        assert_eq!(sample.requests_per_second(), Some(0.0));
        sample += &watched(0);
        assert_eq!((sample.cpu_cores(), sample.replicas()), (Some(0.25), Some(2.0)));
        sample.add_beside(&watched(7_500_000));
        assert_eq!((sample.cpu_cores(), sample.replicas()), (Some(0.5), Some(3.0)));
        assert_eq!((Sample::default().cpu_cores(), Sample::default().errors_per_second()), (None, None));
    }

    #[test]
    fn longer_steps_hold_what_was_in_them_and_leave_gaps() {
        let answers = |requests| BTreeMap::from([(41, Answers { requests, ..Answers::default() })]);
        let at = |second, requests| (second, Sample { answers: answers(requests), ..watched(10) });
        let longer = regroup([at(60, 1), at(75, 2), at(105, 4), at(180, 8)], 60);
        let told: Vec<_> = longer
            .iter()
            .map(|(at, one)| (*at, one.usage_ms, one.cpu_micros, one.all_answers().requests))
            .collect();
        assert_eq!(told, [(60, 45_000, 30, 7), (180, 15_000, 10, 8)]);
        assert_eq!(longer[&60].answers, answers(7));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        assert_eq!(quantile_ms(&Latency::default(), 0.5), None);
        // 100 requests between 10 and 25 ms.
        let even = latency(&[(4, 100)]);
        assert_eq!(quantile_ms(&even, 0.5), Some(17.5));
        assert_eq!(quantile_ms(&even, 1.0), Some(25.0));
        let two = latency(&[(0, 90), (9, 10)]);
        assert_eq!(quantile_ms(&two, 0.5).map(|ms| ms < 1.0), Some(true));
        assert_eq!(quantile_ms(&two, 0.95), Some(750.0));
        assert_eq!(quantile_ms(&latency(&[(13, 1)]), 0.99), Some(10_000.0), "it has no upper bound");
    }

    #[test]
    fn other_bounds_are_counted_where_they_fit() {
        assert_eq!((bucket_of(Some(1)), bucket_of(Some(10_000)), bucket_of(None)), (0, 12, 13));
        assert_eq!((bucket_of(Some(3)), bucket_of(Some(60_000))), (2, 13));
    }

    #[test]
    fn every_block_is_whole_steps_of_every_finer_resolution() {
        for (index, coarse) in Resolution::ALL.into_iter().enumerate() {
            for fine in &Resolution::ALL[..=index] {
                assert_eq!(coarse.block_seconds() % fine.step_seconds(), 0);
            }
        }
        assert_eq!(Resolution::Minute.step_of(119), 60);
        assert_eq!(Resolution::QuarterMinute.block_of(-1), -900);
    }
}
