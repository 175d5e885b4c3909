//! What the test runners in a step said about their tests. How their output is read is not known here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the tests of a step ended, as their runners summed it up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestSummary {
    /// Tests that passed. A runner that prints only failures, such as `go test` without `-v`, leaves 0.
    pub passed: u64,
    /// Tests that failed, could not be run, or took too long.
    pub failed: u64,
    /// Tests that were left out.
    pub skipped: u64,
    /// Names of failed tests, at most 20 of at most 200 characters, as the runner prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_names: Vec<String>,
}

impl TestSummary {
    /// How many failed tests are not named.
    pub fn unnamed(&self) -> u64 {
        self.failed.saturating_sub(self.failed_names.len() as u64)
    }
}

/// `128 passed, 1 failed, 3 skipped`, without what there is none of.
impl fmt::Display for TestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")];
        let some = counts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> = some.map(|(count, word)| format!("{count} {word}")).collect();
        f.write_str(&said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_none_of_is_not_said() {
        let all = TestSummary { passed: 128, failed: 1, skipped: 3, failed_names: Vec::new() };
        assert_eq!((all.to_string().as_str(), all.unnamed()), ("128 passed, 1 failed, 3 skipped", 1));
        assert_eq!(TestSummary { failed: 0, skipped: 0, ..all }.to_string(), "128 passed");
    }
}
