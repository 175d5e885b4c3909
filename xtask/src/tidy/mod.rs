//! The rules that no compiler checks, each in a file of its own. A rule reads and reports; it never edits.

mod documents;
mod imports;
mod locks;
mod metadata;
mod pages;
mod sources;
mod walk;

pub(crate) use locks::applications;
use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// File and line, or the name of a crate.
    place: String,
    /// What is wrong and what to do instead.
    what: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks every rule and reports all violations, not only the first.
pub(crate) fn run(root: &Path) -> Result<()> {
    let workspace = metadata::load(root)?;
    let mut violations = imports::check(&workspace);
    violations.extend(locks::check(root)?);
    violations.extend(sources::check(root)?);
    violations.extend(documents::check(root)?);
    violations.extend(pages::check(root)?);
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: nothing to complain about");
            Ok(())
        }
        count => bail!("tidy: {count} violations"),
    }
}
