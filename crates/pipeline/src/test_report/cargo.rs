//! The test harness of Rust, as `cargo test` runs it: one sum for each binary and for the documentation's examples.

use super::words::{Kind, Said, sum};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    if let Some(result) = line.strip_prefix("test result: ") {
        let (_, counts) = result.split_once(". ")?;
        return sum(counts.split(';').filter(|part| !part.trim().starts_with("finished in ")), kind);
    }
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(Said::Failed)
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "passed" => Some(Kind::Passed),
        "failed" => Some(Kind::Failed),
        "ignored" => Some(Kind::Skipped),
        "measured" | "filtered out" => Some(Kind::Beside),
        _ => None,
    }
}
