//! Masking secrets in log lines. The lines of one source are read as one text without line breaks, so a secret that
//! is split over lines is found; no line is ever held back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use secrecy::{ExposeSecret as _, SecretString};

use crate::pattern::{SHORTEST, forms};

/// What stands in a log where a secret was.
pub const MASK: &str = "***";

/// Knows the secrets of one job or environment. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    search: Option<Arc<Search>>,
    ignored: usize,
}

struct Search {
    automaton: NFA,
    start: StateID,
    /// Automaton states at which a line must not end openly → how many bytes of a secret's beginning were just read.
    begun: HashMap<StateID, usize>,
}

impl Redactor {
    /// Masks these values. Values shorter than four characters are ignored: see [`Redactor::ignored`].
    pub fn new<'a>(values: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut patterns = std::collections::BTreeSet::new();
        let mut ignored = 0;
        for value in values {
            let forms = forms(value.expose_secret());
            ignored += usize::from(forms.is_empty());
            patterns.extend(forms);
        }
        if patterns.is_empty() {
            return Self { search: None, ignored };
        }
        Self { search: Some(Arc::new(Search::new(&patterns))), ignored }
    }

    /// How many values are too short to be masked.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// Whether this value is long enough to be masked: four characters, line breaks not counted.
    pub fn can_mask(value: &SecretString) -> bool {
        !forms(value.expose_secret()).is_empty()
    }

    /// Begins a text: one for each source whose lines follow each other.
    pub fn lines(&self) -> LineRedactor {
        LineRedactor { state: self.search.as_ref().map(|search| search.start), search: self.search.clone() }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("ignored", &self.ignored).finish_non_exhaustive()
    }
}

/// Masks the lines of one source, in order.
#[derive(Clone)]
pub struct LineRedactor {
    search: Option<Arc<Search>>,
    state: Option<StateID>,
}

impl LineRedactor {
    /// The line with every secret masked, also where one began on an earlier line. Where a line ends within a secret,
    /// the part read so far is masked when it is four characters or half of it; a part shorter than that stays.
    pub fn mask<'a>(&mut self, line: &'a str) -> Cow<'a, str> {
        match (&self.search, &mut self.state) {
            (Some(search), Some(state)) => {
                let (next, ranges) = search.scan(*state, line);
                *state = next;
                replace(line, &ranges)
            }
            _ => Cow::Borrowed(line),
        }
    }
}

impl Search {
    fn new(patterns: &std::collections::BTreeSet<String>) -> Self {
        let automaton = NFA::new(patterns).expect("secrets are far below the automaton's limit of 2 GiB");
        let start = automaton.start_state(Anchored::No).expect("unanchored search is always possible");
        let mut begun = HashMap::new();
        for pattern in patterns {
            let mut state = start;
            for (index, byte) in pattern.bytes().enumerate() {
                state = automaton.next_state(Anchored::No, state, byte);
                let length = index + 1;
                if length >= SHORTEST || length * 2 >= pattern.len() {
                    begun.insert(state, length);
                }
            }
        }
        Self { automaton, start, begun }
    }

    /// Reads on from `state`; returns the state after the line and what of the line to mask, in order of ends.
    fn scan(&self, mut state: StateID, line: &str) -> (StateID, Vec<Range<usize>>) {
        let mut ranges = Vec::new();
        let text = line.trim_end_matches(['\r', '\n']);
        for (index, byte) in text.bytes().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_match(state) {
                let end = index + 1;
                ranges.push(end.saturating_sub(self.longest_match(state))..end);
            }
        }
        if let Some(length) = self.begun.get(&state)
            && !text.is_empty()
        {
            ranges.push(text.len().saturating_sub(*length)..text.len());
        }
        (state, ranges)
    }

    fn longest_match(&self, state: StateID) -> usize {
        let matches = 0..self.automaton.match_len(state);
        let lengths =
            matches.map(|index| self.automaton.pattern_len(self.automaton.match_pattern(state, index)));
        lengths.max().unwrap_or(0)
    }
}

/// Replaces ranges, which may overlap and are in order of their ends. Their borders are those of UTF-8 texts within a
/// UTF-8 text, so they lie between characters.
fn replace<'a>(line: &'a str, ranges: &[Range<usize>]) -> Cow<'a, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(line);
    }
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let mut range = range.clone();
        while let Some(last) = merged.pop_if(|last| last.end >= range.start) {
            range.start = range.start.min(last.start);
        }
        merged.push(range);
    }
    let mut masked = String::with_capacity(line.len());
    let mut from = 0;
    for range in merged {
        masked.push_str(&line[from..range.start]);
        masked.push_str(MASK);
        from = range.end;
    }
    masked.push_str(&line[from..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn redactor(values: &[&str]) -> Redactor {
        let values: Vec<_> = values.iter().map(|value| SecretString::from(*value)).collect();
        Redactor::new(&values)
    }

    fn masked(values: &[&str], text: &str) -> String {
        let mut lines = redactor(values).lines();
        text.split('\n').map(|line| lines.mask(line).into_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn plain_and_encoded_forms_are_masked() {
        let secret = "s3cr3t/+&wörd";
        assert_eq!(masked(&[secret], &format!("login {secret} ok")), "login *** ok");
        assert_eq!(masked(&[secret], &STANDARD.encode(secret)), MASK);
        assert_eq!(masked(&[secret], &format!("{}\n", URL_SAFE_NO_PAD.encode(secret))), "***\n");
        assert_eq!(masked(&[secret], "q=s3cr3t%2F%2B%26w%C3%B6rd&x=1"), "q=***&x=1");
        let basic = masked(&[secret], &STANDARD.encode(format!("user:{secret}")));
        assert!(basic.starts_with("dXNlcj") && basic.contains(MASK) && basic.len() < 14, "{basic}");
    }

    #[test]
    fn a_secret_split_over_lines_is_masked_on_each() {
        let key = "-----BEGIN KEY-----\nabcdefghijkl\nmnop\n-----END KEY-----\n";
        assert_eq!(masked(&[key], &format!("before\n{key}after")), "before\n***\n***\n***\n***\nafter");
        assert_eq!(masked(&[key], &key.replace('\n', "\r\n")).matches(MASK).count(), 4);
        assert_eq!(masked(&["hunter2-hunter3"], "x hunter\n2-hunter3 y"), "x ***\n*** y");
        let wrapped = STANDARD.encode(key.repeat(3));
        let (first, second) = wrapped.split_at(76);
        assert_eq!(masked(&[&key.repeat(3)], &format!("{first}\n{second}")), "***\n***");
        assert_eq!(
            masked(&[key], &format!("{{\"key\":{}}}", serde_json::to_string(key).unwrap())),
            "{\"key\":\"***\"}"
        );
    }

    #[test]
    fn short_values_are_ignored_and_counted() {
        let redactor = redactor(&["abc", "", "long enough"]);
        assert_eq!(redactor.ignored(), 2);
        assert_eq!(redactor.lines().mask("abc long enough"), "abc ***");
        assert!(!Redactor::can_mask(&SecretString::from("abc")));
        assert_eq!(Redactor::default().lines().mask("abc"), "abc");
    }

    #[test]
    fn overlapping_and_repeated_secrets_become_one_mask() {
        assert_eq!(masked(&["abcdef", "defghi"], "x abcdefghi y"), "x *** y");
        assert_eq!(masked(&["aaaa"], "aaaaaaa!"), "***!");
    }

    fn no_breaks(text: &str) -> String {
        text.replace(['\n', '\r'], "")
    }

    proptest! {
        /// However a secret is encoded and wherever line breaks fall, the output never contains it.
        #[test]
        fn the_output_never_contains_a_secret(
            secret in "[a-zA-Z0-9 /+:=\\n\"한é-]{4,60}",
            other in "[a-z]{4,8}",
            (before, after) in ("[a-zA-Z0-9/+한 ]{0,20}", "[a-zA-Z0-9/+한 ]{0,20}"),
            breaks in prop::collection::vec(0_usize..200, 0..5),
            form in 0..5,
        ) {
            prop_assume!(no_breaks(&secret).chars().count() >= 4);
            let shown = match form {
                0 => secret.clone(),
                1 => STANDARD.encode(&secret),
                2 => URL_SAFE_NO_PAD.encode(&secret),
                3 => STANDARD.encode(format!("{before}{secret}{after}")),
                _ => format!("{secret}{other}{secret}"),
            };
            let mut text: Vec<char> = format!("{before}{shown}{after}").chars().collect();
            for position in breaks {
                text.insert(position.min(text.len()), '\n');
            }
            let output = no_breaks(&masked(&[&secret, &other], &text.into_iter().collect::<String>()));
            for form in forms(&secret) {
                prop_assert!(!output.contains(&form), "{form:?} is in {output:?}");
            }
        }

        /// Text without secrets is not touched.
        #[test]
        fn innocent_text_stays(text in "[a-m \\n]{0,200}") {
            prop_assert_eq!(masked(&["NOPQRSTU-1"], &text), text);
        }
    }
}
