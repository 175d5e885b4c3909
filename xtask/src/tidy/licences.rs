//! Licences, origins and bans of everything we compile. `deny.toml` says the same to cargo-deny, which also knows
//! security advisories; this check needs no network and no tool.

use std::path::Path;

use anyhow::Result;

use super::Violation;
use super::metadata::{self, Workspace};

/// Licences that this project accepts, as SPDX identifiers.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The only origin of other people's code.
const ORIGIN: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that may not appear in any Cargo.lock, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-sys", "ring is the only TLS provider; two of them panic at the first connection"),
    ("aws-lc-rs", "ring is the only TLS provider; two of them panic at the first connection"),
    ("openssl-sys", "rustls is the only TLS implementation"),
    ("native-tls", "rustls is the only TLS implementation"),
];

/// Checks the workspace and every application with a lock file of its own.
pub(super) fn check(root: &Path, workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut violations = check_packages(workspace);
    violations.extend(check_lock(root, "Cargo.lock")?);
    for app in applications(root) {
        violations.extend(check_packages(&metadata::load(&root.join(&app))?));
        violations.extend(check_lock(root, &format!("{app}/Cargo.lock"))?);
    }
    Ok(violations)
}

/// Folders under `apps/` that are Cargo workspaces of their own.
pub(crate) fn applications(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root.join("apps"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| format!("apps/{}", entry.file_name().to_string_lossy()))
        .collect();
    found.sort();
    found
}

fn check_packages(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in workspace.packages.iter().filter(|package| !package.ours()) {
        let place = format!("{} {}", package.name, package.version);
        if package.source.as_deref() != Some(ORIGIN) {
            violations.push(Violation::new(&place, "does not come from crates.io"));
        }
        match &package.license {
            Some(licence) if accepted(licence) => {}
            Some(licence) => {
                violations.push(Violation::new(&place, format!("licence not accepted: {licence}")));
            }
            None => violations.push(Violation::new(&place, "declares no licence")),
        }
    }
    violations
}

fn check_lock(root: &Path, file: &str) -> Result<Vec<Violation>> {
    let text = std::fs::read_to_string(root.join(file))?;
    let found = |name: &str| text.lines().any(|line| line == format!("name = \"{name}\""));
    Ok(BANNED
        .iter()
        .filter(|(name, _)| found(name))
        .map(|(name, why)| Violation::new(file, format!("{name} is banned: {why}")))
        .collect())
}

/// Whether an SPDX expression leaves us a choice of accepted licences only.
fn accepted(expression: &str) -> bool {
    let expression = expression.trim();
    let old_style = expression.replace('/', " OR ");
    any_of(&split_outside(&old_style, " OR "), |choice| {
        split_outside(choice, " AND ").iter().all(|part| {
            let part = part.trim();
            match part.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
                Some(inner) => accepted(inner),
                None => ACCEPTED.contains(&part),
            }
        })
    })
}

fn any_of(choices: &[String], accept: impl Fn(&str) -> bool) -> bool {
    choices.iter().any(|choice| accept(choice))
}

/// Splits at a word that stands outside parentheses.
fn split_outside(text: &str, word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if depth == 0 && rest.starts_with(word) {
            parts.push(String::new());
            rest = &rest[word.len()..];
            continue;
        }
        match next {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_choices() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(accepted(good), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(GPL-2.0 OR AGPL-3.0) AND MIT", ""] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
