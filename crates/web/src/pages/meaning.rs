//! What an error's code means, in Korean: the reference of the codes itself, looked up. Problems are worded in English where
//! they arise; a Korean page says what they mean and what helps, and keeps the original as the evidence that it is.

use super::language::Language;

const KOREAN: &str = include_str!("../../../../docs/reference/errors.ko.md");

/// A row of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What happened.
    pub(super) summary: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// What the code means to readers of another language than English; nothing when problems are worded in theirs.
pub(super) fn of(language: Language, code: &str) -> Option<Meaning> {
    match language {
        Language::English => None,
        Language::Korean => rows().find(|(known, _)| *known == code).map(|(_, meaning)| meaning),
    }
}

fn rows() -> impl Iterator<Item = (&'static str, Meaning)> {
    KOREAN.lines().filter_map(|line| {
        let (code, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (summary, remedy) = rest.strip_suffix(" |")?.split_once(" | ")?;
        Some((code, Meaning { summary, remedy }))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ENGLISH: &str = include_str!("../../../../docs/reference/errors.md");

    #[test]
    fn every_code_is_told_in_korean() {
        let codes = |text: &'static str| -> BTreeSet<&str> {
            text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect()
        };
        let korean: BTreeSet<&str> = rows().map(|(code, _)| code).collect();
        assert_eq!(korean, codes(ENGLISH));
        assert!(rows().all(|(_, said)| !said.summary.contains('|') && !said.remedy.contains('|')));
    }
}
