//! RSpec.

use super::words::{Counts, Said, counted};

pub(super) fn read(line: &str) -> Option<Said<'_>> {
    if let Some(place) = line.strip_prefix("rspec ./") {
        // `rspec ./spec/cart_spec.rb:12 # Cart adds up`
        return Some(Said::Failed(place.split_once(" # ").map_or(place, |(_, name)| name)));
    }
    let mut parts = line.split(", ").map(counted);
    let (examples, word) = parts.next()??;
    if !matches!(word, "example" | "examples") {
        return None;
    }
    let (mut failed, mut skipped) = (0, 0);
    for part in parts {
        match part? {
            (count, "failure" | "failures") => failed += count,
            (count, "pending") => skipped += count,
            // `1 error occurred outside of examples`
            (_, word) if word.starts_with("error") => {}
            _ => return None,
        }
    }
    let passed = examples.saturating_sub(failed + skipped);
    Some(Said::Counts(Counts { passed, failed, skipped }))
}
