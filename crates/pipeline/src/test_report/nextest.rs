//! `cargo nextest`. It prints what its tests printed, which looks like many runs of one test each.

use super::words::{Kind, Said, counted, sum};

/// Where in its output it is.
#[derive(Debug, Default)]
pub(super) struct Nextest {
    is_under_way: bool,
    /// A sum was printed: what follows are the tests that failed for good.
    has_summed: bool,
}

impl Nextest {
    /// Whether it has begun and not summed up yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    pub(super) fn read<'a>(&mut self, line: &'a str) -> Option<Said<'a>> {
        let line = line.trim_start();
        if begins(line) {
            *self = Self { is_under_way: true, has_summed: false };
            return None;
        }
        if let Some((_, sums)) = line.strip_prefix("Summary [").and_then(|rest| rest.split_once("] ")) {
            let counts = counts(sums)?;
            *self = Self { is_under_way: false, has_summed: true };
            return Some(counts);
        }
        let is_known = self.is_under_way || self.has_summed;
        failed(line, self.has_summed).filter(|_| is_known).map(Said::Failed)
    }
}

fn begins(line: &str) -> bool {
    let tests = line.strip_prefix("Starting ").and_then(|rest| rest.split_once(" across "));
    tests.and_then(|(tests, _)| counted(tests)).is_some() || line.starts_with("Nextest run ID ")
}

/// `10 tests run: 9 passed (1 slow, 1 flaky), 1 failed, 2 skipped`.
fn counts(sums: &str) -> Option<Said<'_>> {
    let (head, counts) = sums.split_once(": ")?;
    if !head.ends_with(" run") {
        return None;
    }
    let parts = counts.split(", ").filter(|part| !is_remark(part));
    sum(parts.map(|part| part.split(" (").next().unwrap_or(part)), kind)
}

/// The later parts of `(1 slow, 1 flaky, 2 leaky)`.
fn is_remark(part: &str) -> bool {
    let word = part.trim_end_matches(')').split_once(' ').map_or("", |(_, word)| word);
    matches!(word, "slow" | "flaky" | "leaky")
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "passed" => Some(Kind::Passed),
        "failed" | "exec failed" | "timed out" => Some(Kind::Failed),
        "skipped" => Some(Kind::Skipped),
        _ => None,
    }
}

/// The test of `FAIL [   0.004s] (3/10) crate::binary test`. A try that failed counts only after the sum: until then another
/// may succeed.
fn failed(line: &str, for_good: bool) -> Option<&str> {
    let (status, rest) = line.split_once(" [")?;
    let status = match status.strip_prefix("TRY ") {
        Some(again) if for_good => again.split_once(' ')?.1,
        _ => status,
    };
    let is_bad = ["FAIL", "TIMEOUT", "ABORT", "SIG"].iter().any(|bad| status.starts_with(bad));
    let name = rest.split_once("] ").filter(|_| is_bad)?.1.trim_start();
    let counted = name.strip_prefix('(').and_then(|counter| counter.split_once(") "));
    Some(counted.map_or(name, |(_, name)| name))
}
