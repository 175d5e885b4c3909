//! Rules about documents: every error code is explained once, and links lead somewhere.

use std::path::Path;

use anyhow::Result;

use super::Violation;
use super::walk::{self, File};

const ERRORS: &str = "docs/reference/errors.md";

/// Checks the error table against the sources, and the links of every document.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    if let Ok(table) = std::fs::read_to_string(root.join(ERRORS)) {
        let used = used_codes(&walk::files(root, &["crates"], &[".rs"])?);
        violations.extend(error_codes(&table, &used));
    }
    for document in walk::files(root, &["."], &[".md"])? {
        violations.extend(links(root, &document));
        violations.extend(mentions(root, &document));
    }
    Ok(violations)
}

/// Codes given to `Problem::new("…"`, with the place of their first use.
fn used_codes(files: &[File]) -> Vec<(String, String)> {
    let mut codes: Vec<(String, String)> = Vec::new();
    for file in files.iter().filter(|file| file.path.contains("/src/")) {
        let code = file.text.split("mod tests {").next().unwrap_or_default();
        for part in code.split("Problem::new(").skip(1) {
            let Some(literal) = part.trim_start().strip_prefix('"') else { continue };
            let Some((code, _)) = literal.split_once('"') else { continue };
            if !codes.iter().any(|(known, _)| known == code) {
                codes.push((code.to_owned(), file.path.clone()));
            }
        }
    }
    codes
}

fn error_codes(table: &str, used: &[(String, String)]) -> Vec<Violation> {
    let rows: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once('`').map(|(code, _)| code))
        .collect();
    let mut violations: Vec<Violation> = rows
        .windows(2)
        .filter(|pair| pair[0] >= pair[1])
        .map(|pair| Violation::new(ERRORS, format!("`{}` must stand after `{}`, once", pair[0], pair[1])))
        .collect();
    for (code, place) in used {
        if !rows.contains(&code.as_str()) {
            violations.push(Violation::new(place, format!("`{code}` is not explained in {ERRORS}")));
        }
    }
    violations
}

/// Files of this repository that a document names between backticks and that are not there.
fn mentions(root: &Path, document: &File) -> Vec<Violation> {
    let ours = ["crates/", "apps/", "xtask/", "docs/"];
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    document
        .text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| ours.iter().any(|folder| text.starts_with(folder)) && plain(text))
        .filter(|text| !root.join(text).exists())
        .map(|text| Violation::new(&document.path, format!("names {text}, which does not exist")))
        .collect()
}

/// Relative links of a document that lead to no file.
fn links(root: &Path, document: &File) -> Vec<Violation> {
    let folder = root.join(&document.path).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut violations = Vec::new();
    for part in document.text.split("](").skip(1) {
        let Some((target, _)) = part.split_once(')') else { continue };
        let target = target.split('#').next().unwrap_or_default();
        let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        if !outside && !target.contains(char::is_whitespace) && !folder.join(target).exists() {
            violations
                .push(Violation::new(&document.path, format!("links to {target}, which does not exist")));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_explained_once_and_in_order() {
        let table = "| code | meaning |\n|---|---|\n| `b.two` | x |\n| `a.one` | y |\n";
        let used = vec![("a.one".to_owned(), "a.rs".to_owned()), ("c.new".to_owned(), "c.rs".to_owned())];
        let found: Vec<String> = error_codes(table, &used).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/reference/errors.md: `b.two` must stand after `a.one`, once",
                "c.rs: `c.new` is not explained in docs/reference/errors.md"
            ]
        );
    }

    #[test]
    fn codes_in_tests_need_no_row() {
        let text = "Problem::new(\n    \"a.b\", \"x\")\nmod tests {\nProblem::new(\"a.c\", \"x\")";
        let file = File { path: "crates/a/src/lib.rs".to_owned(), text: text.to_owned() };
        assert_eq!(used_codes(&[file]), [("a.b".to_owned(), "crates/a/src/lib.rs".to_owned())]);
    }
}
