//! Vitest.

use super::words::{Kind, Said, sum};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    let line = line.trim_start();
    if let Some(counts) = line.strip_prefix("Tests  ") {
        // `1 failed | 10 passed (11)`
        let (counts, _) = counts.strip_suffix(')')?.rsplit_once(" (")?;
        return sum(counts.split(" | "), kind);
    }
    // Files that failed as a whole have no ` > `.
    line.strip_prefix("FAIL  ").filter(|name| name.contains(" > ")).map(Said::Failed)
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "passed" => Some(Kind::Passed),
        "failed" => Some(Kind::Failed),
        "skipped" | "todo" | "expected fail" => Some(Kind::Skipped),
        _ => None,
    }
}
