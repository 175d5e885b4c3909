//! What a line of a test runner can say, and the form that most of them share: numbers with a word each.

/// More digits are no number of tests.
const DIGITS: usize = 9;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Counts {
    /// Adds what another runner said.
    pub(super) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// So many tests ended so.
    Counts(Counts),
    /// This test failed; a sum counts it.
    Failed(&'a str),
    /// This test failed, and no sum counts it.
    OneFailed(&'a str),
    /// What was named last is a group of tests.
    NoTest,
}

/// How a runner's word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Passed,
    Failed,
    Skipped,
    /// It is no end of a test, such as a sum of the others.
    Beside,
}

/// A number of tests.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_number = text.len() <= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// `12 passed` as the number and the word.
pub(super) fn counted(text: &str) -> Option<(u64, &str)> {
    let (count, word) = text.trim().split_once(' ')?;
    Some((number(count)?, word.trim_start()))
}

/// Adds up `1 failed`, `2 passed` and the like. A part that is no number with a word of the runner makes it no sum at all.
pub(super) fn sum<'a>(
    parts: impl Iterator<Item = &'a str>,
    kind: impl Fn(&str) -> Option<Kind>,
) -> Option<Said<'a>> {
    let mut counts = Counts::default();
    for part in parts {
        let (count, word) = counted(part)?;
        match kind(word)? {
            Kind::Passed => counts.passed += count,
            Kind::Failed => counts.failed += count,
            Kind::Skipped => counts.skipped += count,
            Kind::Beside => {}
        }
    }
    Some(Said::Counts(counts))
}
