//! Reading how many tests passed from the closing lines of test runners.

use std::ops::Add;

/// Tests that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

/// What a line says; nothing for every line but a runner's summary. Understands nextest, cargo's own
/// harness, node's, and the simulation, whose seeds are one test together.
pub(super) fn read(line: &str) -> Count {
    // nextest shows what a failed test printed, indented: the same failure is not counted again.
    if line.starts_with(' ') && line.trim_start().starts_with("test result: ") {
        return Count::default();
    }
    let line = line.trim();
    if let Some((_, failed)) = line.strip_suffix(" failed").and_then(|sum| sum.split_once(" seeds held, ")) {
        let failed = u64::from(failed != "0");
        return Count { passed: 1 - failed, failed };
    }
    if let Some(sum) = line.strip_prefix("ℹ ") {
        return of_node(sum);
    }
    let summary =
        (line.starts_with("Summary [") && line.contains(" run: ")) || line.starts_with("test result: ");
    if !summary {
        return Count::default();
    }
    let mut count = Count::default();
    let words: Vec<&str> =
        line.split([' ', ';', ',', '(', ')', ':']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<u64>() else { continue };
        match pair[1] {
            "passed" => count.passed += number,
            "failed" | "timed" | "exec" => count.failed += number,
            _ => {}
        }
    }
    count
}

/// One sum of node's closing lines; what it left out or broke off has not passed.
fn of_node(sum: &str) -> Count {
    let Some((word, number)) = sum.split_once(' ') else { return Count::default() };
    let Ok(number) = number.parse() else { return Count::default() };
    match word {
        "pass" => Count { passed: number, failed: 0 },
        "fail" | "cancelled" | "skipped" => Count { passed: 0, failed: number },
        _ => Count::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runner_is_understood() {
        let cases = [
            ("     Summary [   0.512s] 12 tests run: 12 passed, 0 skipped", 12, 0),
            (
                "Summary [ 3s] 20/30 tests run: 17 passed (2 slow, 1 flaky), 2 failed, 1 timed out, 4 skipped",
                17,
                3,
            ),
            ("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out", 5, 0),
            ("test result: FAILED. 5 passed; 2 failed; 0 ignored", 5, 2),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored", 0, 0),
            ("1998 seeds held, 2 failed", 0, 1),
            ("2000 seeds held, 0 failed", 1, 0),
            ("ℹ tests 14", 0, 0),
            ("ℹ pass 12", 12, 0),
            ("ℹ fail 2", 0, 2),
            ("ℹ skipped 1", 0, 1),
            ("ℹ duration_ms 8123.5", 0, 0),
            ("the summary: 7 passed", 0, 0),
            ("PASS [   0.010s] naru-model name::tests::a", 0, 0),
        ];
        for (line, passed, failed) in cases {
            assert_eq!(read(line), Count { passed, failed }, "{line}");
        }
    }
}
