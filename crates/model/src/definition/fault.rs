//! What is wrong at one place of the file, and how many such places become one [`Problem`].

use std::fmt;

use serde::de::{Expected, Unexpected};

use crate::Problem;

/// One mistake: where, and what was expected instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Keys from the root; a place in a list is `[0]`.
    pub(super) path: Vec<String>,
    /// Counted from 1; 0 when the file as a whole is meant.
    pub(super) line: u64,
    /// What is wrong and what was expected.
    pub(super) message: String,
}

impl Fault {
    /// A mistake whose place is not known yet.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), line: 0, message: message.into() }
    }

    /// What the YAML library found.
    pub(super) fn from_yaml(error: &serde_saphyr::Error) -> Self {
        let line = error.location().map_or(0, |location| location.line());
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        // The library repeats the place, which we show in our own way.
        let text = text.split(" at line ").next().unwrap_or(text);
        let text = text.strip_prefix(&format!("line {line} ")).unwrap_or(text);
        let message = if text.starts_with("budget breached") || text.contains("alias replay") {
            "more values, nesting or aliases than such a file may have".to_owned()
        } else {
            format!("not readable as YAML: {text}")
        };
        Self { path: Vec::new(), line, message }
    }

    /// The same mistake one level further up.
    pub(super) fn below(mut self, key: &str, line: u64) -> Self {
        self.path.insert(0, key.to_owned());
        self.at_line(line)
    }

    /// Sets the line unless a deeper place has set it.
    pub(super) fn at_line(mut self, line: u64) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }

    /// `services.web.needs[0]`; hostile keys are shortened and escaped.
    fn place(&self) -> String {
        let mut place = String::new();
        for part in &self.path {
            if !place.is_empty() && !part.starts_with('[') {
                place.push('.');
            }
            place.extend(part.chars().take(60).flat_map(char::escape_debug));
        }
        place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.place())?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// All mistakes as one problem, in the order of the file.
pub(super) fn problem(code: &'static str, what: &str, mut faults: Vec<Fault>) -> Problem {
    const SHOWN: usize = 20;
    faults.sort_by_key(|fault| fault.line);
    let more = faults.len().saturating_sub(SHOWN);
    let mut problem = Problem::new(code, what);
    for fault in faults.iter().take(SHOWN) {
        problem = problem.cause(fault.to_string());
    }
    if more > 0 {
        problem = problem.cause(format!("and {more} more"));
    }
    problem.state("nothing was built or changed; what serves keeps serving")
}

/// A value as people would name it.
fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the text {:?}", text.chars().take(60).collect::<String>()),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

fn one_of(expected: &[&str]) -> String {
    match expected {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        many => {
            format!("one of {}", many.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("found {}, expected {expected}", found(&unexpected)))
    }
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("found {length} values, expected {expected}"))
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let shown: String = variant.chars().take(60).collect();
        Self::new(format!("{shown:?} is not known, expected {}", one_of(expected)))
    }
    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key, expected {}", one_of(expected)))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing"))
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given twice"))
    }
}
