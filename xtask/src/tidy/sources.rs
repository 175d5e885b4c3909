//! Rules about Rust sources: how a file opens, how long a function is, words that mark unfinished work, and where
//! SQL may be written. The readings are line by line: they rely on rustfmt and err on the side of silence.

use std::path::Path;

use anyhow::Result;

use super::Violation;
use super::walk::{self, File};

/// Lines a function may have, its signature and closing brace included.
const LONGEST_FUNCTION: usize = 100;

/// Functions that may be longer, with the reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Marks of unfinished work; written in two halves, or this file would break its own rule.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];

/// Starts of SQL statements.
const SQL: &[&str] =
    &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ", "PRAGMA "];

/// Checks every Rust file of the repository.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in walk::files(root, &["crates", "xtask", "apps"], &[".rs"])? {
        violations.extend(opening(&file));
        violations.extend(unfinished(&file));
        if file.path.starts_with("crates/") {
            violations.extend(sql(&file));
            if file.path.contains("/src/") {
                violations.extend(long_functions(&file));
            }
        }
    }
    Ok(violations)
}

fn opening(file: &File) -> Option<Violation> {
    if file.text.starts_with("//! ") {
        return None;
    }
    let what = "must open with a `//!` comment that says what the file owns and what it leaves to others";
    Some(Violation::new(&file.path, what))
}

fn unfinished(file: &File) -> Vec<Violation> {
    let marked = |line: &&str| UNFINISHED.iter().any(|word| line.contains(word));
    numbered(file)
        .filter(|(_, line)| marked(line))
        .map(|(number, _)| {
            Violation::new(at(file, number), "marks unfinished work; finish it or write an issue")
        })
        .collect()
}

fn sql(file: &File) -> Vec<Violation> {
    if file.path.starts_with("crates/store/") {
        return Vec::new();
    }
    let statement = |line: &str| {
        !line.trim_start().starts_with("//")
            && SQL
                .iter()
                .any(|word| line.contains(&format!("\"{word}")) || line.trim_start().starts_with(word))
    };
    numbered(file)
        .filter(|(_, line)| statement(line))
        .map(|(number, _)| Violation::new(at(file, number), "SQL belongs to crates/store only"))
        .collect()
}

fn long_functions(file: &File) -> Vec<Violation> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut violations = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if line.trim_start() == "mod tests {" {
            break;
        }
        let Some(name) = function_name(line) else { continue };
        let close = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let Some(length) = lines[index..].iter().position(|one| *one == close) else { continue };
        let excused =
            LONG_FUNCTIONS.iter().any(|(path, function, _)| *path == file.path && *function == name);
        if length + 1 > LONGEST_FUNCTION && !excused {
            let what = format!("`{name}` has {} lines; {LONGEST_FUNCTION} is the most", length + 1);
            violations.push(Violation::new(at(file, index + 1), what));
        }
    }
    violations
}

/// The name, when a line starts a function.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let prefix = |word: &str| word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "in");
    let first = words.by_ref().find(|word| !prefix(word))?;
    if first != "fn" {
        return None;
    }
    words.next()?.split(['(', '<']).next()
}

fn numbered(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn at(file: &File, line: usize) -> String {
    format!("{}:{line}", file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_must_say_what_it_owns() {
        assert!(opening(&file("a.rs", "//! Owns nothing.\n")).is_none());
        assert!(opening(&file("a.rs", "use std::fmt;\n")).is_some());
    }

    #[test]
    fn sql_is_found_in_literals_but_not_in_words() {
        let text = "// SELECT one\nlet a = \"SELECT 1\";\nlet b = \"we SELECT nothing\";\n";
        let found = sql(&file("crates/web/src/a.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "crates/web/src/a.rs:2");
        assert!(sql(&file("crates/store/src/a.rs", text)).is_empty());
    }

    #[test]
    fn a_function_that_is_too_long_is_named() {
        let body = "    let _ = 1;\n".repeat(LONGEST_FUNCTION);
        let text = format!("pub async fn long(a: u8) {{\n{body}}}\n\nfn short() {{\n}}\n");
        let found = long_functions(&file("crates/web/src/a.rs", &text));
        assert_eq!(found.len(), 1);
        assert!(found[0].what.starts_with("`long` has 102 lines"));
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = format!("//! A.\n// {}: later\n", UNFINISHED[0]);
        assert_eq!(unfinished(&file("a.rs", &text)).len(), 1);
    }
}
