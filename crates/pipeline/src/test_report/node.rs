//! The test runner of Node.js, in both forms that it prints by itself: `spec`, and the Test Anything Protocol.

use super::words::{Counts, Said, number};

/// Where in its output it is.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Between `tests` and `duration_ms` each line is a sum.
    is_summing: bool,
    /// `spec` names the tests that failed after its sums; what fails before may be a group of tests.
    is_naming: bool,
    /// The Test Anything Protocol says below a name whether it is that of a group.
    has_named: bool,
}

impl Node {
    pub(super) fn read<'a>(&mut self, line: &'a str) -> Option<Said<'a>> {
        if let Some(sum) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            return self.sum(sum).map(Said::Counts);
        }
        if let Some(name) = line.strip_prefix("✖ ") {
            self.is_naming |= name == "failing tests:";
            let named = self.is_naming && name != "failing tests:";
            return named.then(|| Said::Failed(without_duration(name)));
        }
        let line = line.trim_start();
        if line == "type: 'suite'" && std::mem::take(&mut self.has_named) {
            return Some(Said::NoTest);
        }
        let result = line.strip_prefix("not ok ")?;
        let name = failed(result);
        self.has_named = name.is_some();
        name.map(Said::Failed)
    }

    fn sum(&mut self, line: &str) -> Option<Counts> {
        let (word, count) = line.split_once(' ')?;
        match word {
            "tests" => *self = Self { is_summing: true, ..Self::default() },
            "duration_ms" => self.is_summing = false,
            _ => {}
        }
        if !self.is_summing {
            return None;
        }
        let count = number(count.trim())?;
        match word {
            "pass" => Some(Counts { passed: count, ..Counts::default() }),
            "fail" | "cancelled" => Some(Counts { failed: count, ..Counts::default() }),
            "skipped" | "todo" => Some(Counts { skipped: count, ..Counts::default() }),
            _ => None,
        }
    }
}

/// The test of `2 - adds up`, unless it may fail.
fn failed(result: &str) -> Option<&str> {
    let (count, name) = result.split_once(" - ")?;
    number(count)?;
    let directive = name.rsplit_once(" # ").map(|(_, directive)| directive.to_ascii_lowercase());
    let may_fail = directive.is_some_and(|it| it.starts_with("todo") || it.starts_with("skip"));
    (!may_fail).then_some(name)
}

/// `adds up (1.234ms)` without how long it took.
fn without_duration(name: &str) -> &str {
    match name.rsplit_once(" (") {
        Some((name, took)) if took.ends_with("ms)") => name,
        _ => name,
    }
}
