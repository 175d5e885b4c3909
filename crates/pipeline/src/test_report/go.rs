//! `go test`: it sums up nothing, but names each test; without `-v` only those that failed. A subtest counts as a test
//! beside the one that it is part of.

use super::words::{Counts, Said};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    let (end, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
    // `TestCart/empty (0.00s)`
    let (name, _) = rest.strip_suffix("s)")?.rsplit_once(" (")?;
    match end {
        "PASS" => Some(Said::Counts(Counts { passed: 1, ..Counts::default() })),
        "SKIP" => Some(Said::Counts(Counts { skipped: 1, ..Counts::default() })),
        "FAIL" => Some(Said::OneFailed(name)),
        _ => None,
    }
}
