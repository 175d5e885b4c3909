//! Crates that may be in no `Cargo.lock` at all, not even for another platform or an unused feature: cargo-deny sees only
//! what is compiled.

use std::path::Path;

use anyhow::Result;

use super::Violation;

/// Crates that may not appear, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-sys", "ring is the only TLS provider; two of them panic at the first connection"),
    ("aws-lc-rs", "ring is the only TLS provider; two of them panic at the first connection"),
    ("openssl-sys", "rustls is the only TLS implementation"),
    ("native-tls", "rustls is the only TLS implementation"),
];

/// Checks the lock files of the workspace and of every application.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = check_lock(root, "Cargo.lock")?;
    for app in applications(root) {
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

fn check_lock(root: &Path, file: &str) -> Result<Vec<Violation>> {
    let text = std::fs::read_to_string(root.join(file))?;
    let found = |name: &str| text.lines().any(|line| line == format!("name = \"{name}\""));
    Ok(BANNED
        .iter()
        .filter(|(name, _)| found(name))
        .map(|(name, why)| Violation::new(file, format!("{name} is banned: {why}")))
        .collect())
}
