//! How the gate says what happened.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;

use super::count::Count;

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed(String),
    /// Not run, for a reason that is shown.
    LeftOut(String),
}

impl Outcome {
    pub(super) fn of(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(error) => {
                println!("{error:#}");
                Self::Failed(format!("{error:#}").lines().next().unwrap_or_default().to_owned())
            }
        }
    }
}

/// A stage that has run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
    pub(super) count: Count,
}

impl Stage {
    pub(super) fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    /// A failed stage without a failed test counts as one failure: a lint, a rule, a build.
    fn sum(&self) -> Count {
        let extra = u64::from(self.failed() && self.count.failed == 0);
        Count { passed: self.count.passed, failed: self.count.failed + extra }
    }
}

/// The table, a summary as nextest words it, and the plain line of sums.
pub(super) fn table(stages: &[Stage], took: Duration) -> String {
    let mut text = format!("{:<10} {:>8}  {:>7} {:>7}  result\n", "stage", "time", "passed", "failed");
    for stage in stages {
        let result = match &stage.outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(reason) => format!("FAILED: {reason}"),
            Outcome::LeftOut(reason) => format!("left out: {reason}"),
        };
        let Count { passed, failed } = stage.count;
        let time = duration(stage.took);
        let _ = writeln!(text, "{:<10} {time:>8}  {passed:>7} {failed:>7}  {result}", stage.name);
    }
    let sum = stages.iter().map(Stage::sum).fold(Count::default(), |a, b| a + b);
    let Count { passed, failed } = sum;
    let run = passed + failed;
    let and_failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let _ = writeln!(
        text,
        "\nSummary [{:>8.3}s] {run} tests run: {passed} passed{and_failed}, 0 skipped",
        took.as_secs_f64()
    );
    let _ = writeln!(text, "{passed} passed, {failed} failed");
    text
}

/// Minutes and seconds, tenths under a minute.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_count_a_failed_lint_as_one_failure() {
        let stage = |name: &str, outcome, passed, failed| Stage {
            name: name.to_owned(),
            took: Duration::from_millis(61_500),
            outcome,
            count: Count { passed, failed },
        };
        let stages = [
            stage("fmt", Outcome::Failed("cargo fmt".to_owned()), 0, 0),
            stage("test", Outcome::Passed, 12, 0),
            stage("apps", Outcome::Failed("1 failed".to_owned()), 3, 1),
        ];
        let text = table(&stages, Duration::from_secs(3));
        assert!(text.contains("fmt        1 min 01 s        0       0  FAILED: cargo fmt"), "{text}");
        assert!(
            text.ends_with("17 tests run: 15 passed, 2 failed, 0 skipped\n15 passed, 2 failed\n"),
            "{text}"
        );
    }
}
