//! Jest.

use super::words::{Kind, Said, sum};

/// What stands where the name of a test stands otherwise.
const NO_NAMES: [&str; 2] = ["Console", "Test suite failed to run"];

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    if let Some(counts) = line.strip_prefix("Tests:") {
        // Other runners begin a line so, too; only this one ends with the total.
        return if counts.ends_with(" total") { sum(counts.split(", "), kind) } else { None };
    }
    line.strip_prefix("  ● ").filter(|name| !NO_NAMES.contains(name)).map(Said::Failed)
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "passed" => Some(Kind::Passed),
        "failed" => Some(Kind::Failed),
        "skipped" | "pending" | "todo" => Some(Kind::Skipped),
        "total" => Some(Kind::Beside),
        _ => None,
    }
}
