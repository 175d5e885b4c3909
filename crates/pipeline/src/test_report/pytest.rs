//! pytest.

use super::words::{Kind, Said, sum};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    for word in ["FAILED ", "ERROR "] {
        if let Some(rest) = line.strip_prefix(word) {
            return failed(rest).map(Said::Failed);
        }
    }
    let (counts, took) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if is_span(took) { sum(counts.split(", "), kind) } else { None }
}

/// `0.12s`, or `75.20s (0:01:15)`.
fn is_span(text: &str) -> bool {
    let seconds = text.split(" (").next().and_then(|first| first.strip_suffix('s')).unwrap_or_default();
    seconds.starts_with(|c: char| c.is_ascii_digit())
        && seconds.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "passed" | "xpassed" => Some(Kind::Passed),
        "failed" | "error" | "errors" => Some(Kind::Failed),
        "skipped" | "xfailed" => Some(Kind::Skipped),
        "deselected" | "warning" | "warnings" | "rerun" | "subtests passed" | "subtests failed"
        | "subtests skipped" => Some(Kind::Beside),
        _ => None,
    }
}

/// The test of `tests/test_cart.py::test_total[a b] - assert 1 == 2`. Log lines of the level ERROR look alike, but are indented.
fn failed(rest: &str) -> Option<&str> {
    let name = rest.split(" - ").next()?;
    (name.contains(".py") && !name.starts_with(' ')).then_some(name)
}
