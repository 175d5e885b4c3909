//! What a step of a canary has shown: the new revision against the old, by what the edge counted of both in the same
//! time.

use std::fmt::Write as _;

use crate::definition::Analysis;
use crate::definition::strategy::Hundredths;
use crate::id::RevisionNumber;
use crate::name::ServiceName;
use crate::route::{LatencyBucket, RevisionFigures};

/// A single failed request proves nothing, whatever the limit is.
const ERRORS: u64 = 2;
/// A difference in latency below this is noise of the measurement.
const LATENCY_NOISE_US: u64 = 10_000;

/// What can be said of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What must hold holds.
    Good,
    /// It does not, and why.
    Bad(Vec<String>),
    /// Too few requests have been answered.
    TooFew(String),
}

/// What the edge counted of one revision within a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Window {
    revision: RevisionNumber,
    requests: u64,
    errors: u64,
    latency: Vec<LatencyBucket>,
}

impl Window {
    /// What was counted since `before`.
    pub(super) fn between(
        service: &ServiceName,
        revision: RevisionNumber,
        before: &[RevisionFigures],
        now: &[RevisionFigures],
    ) -> Self {
        let of = |figures: &[RevisionFigures]| {
            figures.iter().find(|one| one.service == *service && one.revision == revision).cloned()
        };
        let Some(now) = of(now) else { return Self { revision, ..Self::default() } };
        let Some(before) = of(before) else {
            return Self { revision, requests: now.requests, errors: now.errors, latency: now.latency };
        };
        let earlier = |bucket: &LatencyBucket| {
            let same = before.latency.iter().find(|earlier| earlier.below_ms == bucket.below_ms);
            same.map_or(0, |earlier| earlier.requests)
        };
        let since = |bucket: &LatencyBucket| LatencyBucket {
            requests: bucket.requests.saturating_sub(earlier(bucket)),
            ..*bucket
        };
        Self {
            revision,
            requests: now.requests.saturating_sub(before.requests),
            errors: now.errors.saturating_sub(before.errors),
            latency: now.latency.iter().map(since).collect(),
        }
    }

    /// The time in microseconds that 95 of 100 requests did not exceed, taken to be spread evenly within a bucket.
    fn p95_us(&self) -> Option<u64> {
        let all: u64 = self.latency.iter().map(|bucket| bucket.requests).sum();
        let mut rank = (all * 95).div_ceil(100);
        let mut low = 0;
        for bucket in &self.latency {
            let high = bucket.below_ms.map_or(low * 2, |ms| ms * 1_000);
            if bucket.requests > 0 && rank <= bucket.requests {
                return Some(low + high.saturating_sub(low) * rank / bucket.requests);
            }
            rank -= bucket.requests;
            low = high;
        }
        None
    }

    fn failed(&self) -> String {
        format!("{} of {} requests to revision {} failed", self.errors, self.requests, self.revision)
    }
}

/// Judges a step. Errors speak at once, also before there are enough requests, when even without another one the limit
/// would be passed; latency speaks when the step is `over`.
pub(super) fn judge(analysis: &Analysis, new: &Window, old: &Window, over: bool) -> Verdict {
    let enough = u64::from(analysis.requests);
    let mut bad = Vec::new();
    if let Some(limit) = analysis.errors
        && new.errors >= ERRORS
        && exceeds(limit, new.errors, new.requests.max(enough), old)
    {
        let mut why = new.failed();
        let _ =
            write!(why, "; {} in the same time; expected errors < {} more", old.failed(), Hundredths(limit));
        bad.push(why);
    }
    let sampled = new.requests >= enough && old.requests >= enough;
    if let (Some(limit), true) = (analysis.latency, sampled && over)
        && let (Some(new_us), Some(old_us)) = (new.p95_us(), old.p95_us())
        && new_us.saturating_sub(old_us) >= LATENCY_NOISE_US
        && new_us * 100 >= old_us * u64::from(limit)
    {
        bad.push(format!(
            "95 of 100 requests to revision {} took up to {} ms, to revision {} up to {} ms in the same time; expected latency < {limit}%",
            new.revision, new_us / 1_000, old.revision, old_us / 1_000,
        ));
    }
    if !bad.is_empty() {
        return Verdict::Bad(bad);
    }
    // One failed request among few is neither: with more of them it will be.
    let unclear = analysis.errors.is_some_and(|limit| exceeds(limit, new.errors, new.requests, old));
    if sampled && !unclear {
        return Verdict::Good;
    }
    Verdict::TooFew(format!(
        "revision {} has answered {} requests in this step, revision {} {}; {enough} of each are needed",
        new.revision, new.requests, old.revision, old.requests
    ))
}

/// Whether `errors` of `requests` are a share that exceeds the old one's by `limit` hundredths of a percent or more.
fn exceeds(limit: u32, errors: u64, requests: u64, old: &Window) -> bool {
    let [errors, requests, limit] = [errors, requests, u64::from(limit)].map(u128::from);
    let [old_errors, old_requests] = [old.errors, old.requests.max(1)].map(u128::from);
    errors > 0 && errors * 10_000 * old_requests >= (limit * old_requests + old_errors * 10_000) * requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(revision: u32, requests: u64, errors: u64, latency: &[(u64, u64)]) -> Window {
        let bucket = |(below_ms, requests): &(u64, u64)| LatencyBucket {
            below_ms: Some(*below_ms).filter(|ms| *ms > 0),
            requests: *requests,
        };
        let latency = latency.iter().map(bucket).collect();
        Window { revision: RevisionNumber(revision), requests, errors, latency }
    }

    fn verdict(analysis: &str, new: (u64, u64), old: (u64, u64)) -> Verdict {
        let analysis = analysis.parse().unwrap();
        judge(&analysis, &window(7, new.0, new.1, &[]), &window(6, old.0, old.1, &[]), true)
    }

    #[test]
    fn errors_are_measured_against_the_old_revision() {
        let limit = "errors < 1% and requests >= 50";
        assert_eq!(verdict(limit, (50, 0), (1_000, 0)), Verdict::Good);
        assert_eq!(verdict(limit, (1_000, 9), (1_000, 0)), Verdict::Good);
        assert!(matches!(verdict(limit, (1_000, 10), (1_000, 0)), Verdict::Bad(_)));
        assert_eq!(
            verdict(limit, (1_000, 59), (1_000, 50)),
            Verdict::Good,
            "both fail: it is not the new one's doing"
        );
        assert!(matches!(verdict(limit, (1_000, 60), (1_000, 50)), Verdict::Bad(_)));
    }

    #[test]
    fn without_enough_requests_nothing_is_concluded_but_certain_failure() {
        let limit = "errors < 1% and requests >= 50";
        assert!(matches!(verdict(limit, (0, 0), (1_000, 0)), Verdict::TooFew(_)));
        assert!(matches!(verdict(limit, (1_000, 0), (49, 0)), Verdict::TooFew(_)));
        assert!(
            matches!(verdict(limit, (3, 2), (10, 0)), Verdict::Bad(_)),
            "2 of at least 50 are too many already"
        );
        assert!(matches!(verdict(limit, (60, 1), (1_000, 0)), Verdict::TooFew(_)), "1 of 60 proves nothing");
        assert_eq!(verdict(limit, (101, 1), (1_000, 0)), Verdict::Good);
    }

    #[test]
    fn latency_is_the_95th_of_100_and_counts_when_the_step_is_over() {
        let analysis: Analysis = "latency < 150% and requests >= 50".parse().unwrap();
        let old = window(6, 100, 0, &[(10, 94), (25, 6)]);
        let slow = window(7, 100, 0, &[(10, 90), (100, 0), (250, 10)]);
        assert!(matches!(judge(&analysis, &slow, &old, true), Verdict::Bad(_)));
        assert_eq!(judge(&analysis, &slow, &old, false), Verdict::Good);
        let alike = window(7, 100, 0, &[(10, 93), (25, 7)]);
        assert_eq!(judge(&analysis, &alike, &old, true), Verdict::Good);
        let endless = window(7, 100, 0, &[(10, 0), (0, 100)]);
        assert_eq!(endless.p95_us(), Some(19_500));
    }

    #[test]
    fn only_what_came_since_counts() {
        let figures = |requests: u64, slow: u64| RevisionFigures {
            service: "web".parse().unwrap(),
            revision: RevisionNumber(7),
            requests,
            errors: requests / 10,
            latency: vec![
                LatencyBucket { below_ms: Some(1), requests: requests - slow },
                LatencyBucket { below_ms: None, requests: slow },
            ],
        };
        let service: ServiceName = "web".parse().unwrap();
        let between = Window::between(&service, RevisionNumber(7), &[figures(100, 5)], &[figures(150, 6)]);
        assert_eq!(between, Window { latency: between.latency.clone(), ..window(7, 50, 5, &[]) });
        assert_eq!(between.latency.iter().map(|bucket| bucket.requests).collect::<Vec<_>>(), [49, 1]);
        let nothing = Window::between(&service, RevisionNumber(8), &[], &[figures(150, 6)]);
        assert_eq!(nothing, window(8, 0, 0, &[]));
    }
}
