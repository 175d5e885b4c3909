//! Reads in a step's output what its test runners say about their tests: the sums that they print at their end, and the
//! names of tests that failed. Nothing has to be set up; output of other programs, however hostile, is at worst no report.
//!
//! One line at a time and in bounded memory, so that a log of any length can be read as it comes. How each runner words
//! its lines is a file of its own.

mod cargo;
mod go;
mod jest;
mod maven;
mod nextest;
mod node;
mod pytest;
mod rspec;
#[cfg(test)]
mod tests;
mod vitest;
mod words;

use naru_model::pipeline::TestSummary;

use crate::plain::plain;
use nextest::Nextest;
use node::Node;
use words::{Counts, Said};

/// How many names of failed tests are kept.
const NAMES: usize = 20;
/// The most of one name, in characters.
const NAME_CHARS: usize = 200;
/// No runner's line is longer, in bytes.
const LINE_BYTES: usize = 4096;

/// The runners of which each line says all by itself.
const READERS: [fn(&str) -> Option<Said<'_>>; 7] =
    [cargo::read, pytest::read, jest::read, vitest::read, go::read, maven::read, rspec::read];

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    counts: Counts,
    failed: Vec<String>,
    /// Whether the last name that was said is the last one that is kept.
    has_kept_last: bool,
    nextest: Nextest,
    node: Node,
}

impl TestReport {
    /// Takes the next line.
    pub(crate) fn read(&mut self, line: &str) {
        if line.len() > LINE_BYTES {
            return;
        }
        let line = plain(line);
        match self.said(line.trim_end()) {
            None => {}
            Some(Said::Counts(counts)) => self.counts.add(counts),
            Some(Said::Failed(name)) => self.name(name),
            Some(Said::OneFailed(name)) => {
                self.counts.add(Counts { failed: 1, ..Counts::default() });
                self.name(name);
            }
            Some(Said::NoTest) => self.unname(),
        }
    }

    /// What the runners said. `None` when none of them ran a test.
    pub(crate) fn summary(self) -> Option<TestSummary> {
        let Counts { passed, failed, skipped } = self.counts;
        let mut failed_names = self.failed;
        // What looks like a name is none where nothing failed.
        failed_names.truncate(usize::try_from(failed).unwrap_or(NAMES));
        (self.counts != Counts::default()).then_some(TestSummary { passed, failed, skipped, failed_names })
    }

    fn said<'a>(&mut self, line: &'a str) -> Option<Said<'a>> {
        let said = self.nextest.read(line);
        if said.is_some() || self.nextest.is_under_way() {
            return said; // what its tests print are results of single tests, which it sums up itself
        }
        let said = self.node.read(line);
        said.or_else(|| READERS.iter().find_map(|read| read(line)))
    }

    fn name(&mut self, name: &str) {
        let shown = name.trim().chars().filter(|c| !means_more_than_itself(*c)).take(NAME_CHARS);
        let shown: String = shown.collect();
        self.has_kept_last = self.failed.len() < NAMES && !shown.is_empty() && !self.failed.contains(&shown);
        if self.has_kept_last {
            self.failed.push(shown);
        }
    }

    /// Takes back the name that was said last.
    fn unname(&mut self) {
        if std::mem::take(&mut self.has_kept_last) {
            self.failed.pop();
        }
    }
}

/// Control characters, and marks that turn the direction of writing around (Unicode UAX #9).
fn means_more_than_itself(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}
