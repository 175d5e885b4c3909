//! The five fields every error carries to a person: what failed, the evidence, what is still safe, what to do
//! next, and a stable code. CLI, API, pages and the ledger all show this one type.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An error as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable, dotted code such as `delivery.unhealthy`; documented in `docs/reference/errors.md`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What failed, in one sentence without a final full stop.
    pub summary: String,
    /// The evidence, one line each, most telling first.
    #[serde(default)]
    pub cause: Vec<String>,
    /// What is still safe: what keeps serving, what was not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What to do next, one line each; lines starting with `$ ` are commands.
    #[serde(default)]
    pub hint: Vec<String>,
}

impl Problem {
    /// A problem with a code and a summary; the other fields are added with the methods below.
    pub fn new(code: &'static str, summary: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            summary: summary.into(),
            cause: Vec::new(),
            state: None,
            hint: Vec::new(),
        }
    }

    /// Adds a line of evidence.
    pub fn cause(mut self, line: impl Into<String>) -> Self {
        self.cause.push(line.into());
        self
    }

    /// Says what is still safe.
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Adds a line about what to do next.
    pub fn hint(mut self, line: impl Into<String>) -> Self {
        self.hint.push(line.into());
        self
    }

    /// Adds a command to the hints.
    pub fn command(self, command: impl fmt::Display) -> Self {
        self.hint(format!("$ {command}"))
    }
}

impl fmt::Display for Problem {
    /// The terminal form: `error:`, `cause:`, `state:`, `hint:`, `code:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.summary)?;
        for (index, line) in self.cause.iter().enumerate() {
            write!(f, "\n  {} {line}", if index == 0 { "cause:" } else { "      " })?;
        }
        if let Some(state) = &self.state {
            write!(f, "\n  state: {state}")?;
        }
        if !self.hint.is_empty() {
            f.write_str("\n")?;
        }
        for (index, line) in self.hint.iter().enumerate() {
            let label = if index == 0 { "hint:" } else { "     " };
            match line.strip_prefix("$ ") {
                Some(command) => write!(f, "\n{label}   {command}")?,
                None => write!(f, "\n{label} {line}")?,
            }
        }
        write!(f, "\ncode: {}", self.code)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_form_carries_five_fields() {
        let problem = Problem::new("delivery.unhealthy", "release 41 of `shop` did not reach `production`")
            .cause("0 of 3 new replicas became healthy within 60 s")
            .cause("shop-41-0 exited with code 1 after 2 s: \"DATABASE_URL is not set\"")
            .state("release 40 still serves all traffic")
            .hint("set the variable, then deploy again:")
            .command("naru env set DATABASE_URL=<value> --project shop");
        assert_eq!(
            problem.to_string(),
            "error: release 41 of `shop` did not reach `production`
  cause: 0 of 3 new replicas became healthy within 60 s
         shop-41-0 exited with code 1 after 2 s: \"DATABASE_URL is not set\"
  state: release 40 still serves all traffic

hint: set the variable, then deploy again:
        naru env set DATABASE_URL=<value> --project shop
code: delivery.unhealthy"
        );
    }
}
