//! Maven's Surefire and Failsafe: a sum for each class, which says how long it took, and one for each module, which counts.

use super::words::{Counts, Said, number};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    let levels = ["[INFO] ", "[WARNING] ", "[ERROR] "];
    let line = levels.iter().find_map(|level| line.strip_prefix(level)).unwrap_or(line);
    if let Some(sums) = line.strip_prefix("Tests run: ") {
        return counts(sums).map(Said::Counts);
    }
    let failed = line.strip_suffix("<<< FAILURE!").or_else(|| line.strip_suffix("<<< ERROR!"))?;
    let (name, _) = failed.split_once(" Time elapsed: ")?;
    Some(Said::Failed(name.trim_end().trim_end_matches(" --")))
}

/// `5, Failures: 1, Errors: 0, Skipped: 1`.
fn counts(sums: &str) -> Option<Counts> {
    let mut parts = sums.split(", ");
    let run = number(parts.next()?)?;
    let mut after = |word: &str| number(parts.next()?.strip_prefix(word)?);
    let failed = after("Failures: ")? + after("Errors: ")?;
    let skipped = after("Skipped: ")?;
    let is_of_class = parts.any(|part| part.starts_with("Time elapsed: "));
    let passed = run.saturating_sub(failed + skipped);
    (!is_of_class).then_some(Counts { passed, failed, skipped })
}
