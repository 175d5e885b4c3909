//! The list of pages that the browser goes through (`tests/browser/pages.json`), against the table of routes: a page that
//! is only in the table would be looked at by nobody, one that is only in the list could not be opened.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Violation;

const TABLE: &str = "crates/web/src/pages.rs";
const LIST: &str = "tests/browser/pages.json";

/// The list: pages, and what is served beside them and is none.
#[derive(Deserialize)]
struct List {
    pages: Vec<Row>,
    others: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    path: String,
}

/// Compares the two.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let table = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("{TABLE} is missing"))?;
    let list = std::fs::read_to_string(root.join(LIST)).with_context(|| format!("{LIST} is missing"))?;
    let list: List = serde_json::from_str(&list).with_context(|| format!("{LIST} cannot be read"))?;
    Ok(compare(&table, &list))
}

fn compare(table: &str, list: &List) -> Vec<Violation> {
    let served = served(table);
    // The same page with another query is another side of it.
    let plain = |row: &Row| row.path.split('?').next().unwrap_or_default().to_owned();
    let listed: BTreeSet<String> = list.pages.iter().chain(&list.others).map(plain).collect();
    let forgotten = served.difference(&listed).map(|path| {
        Violation::new(
            TABLE,
            format!("{path} is not in {LIST}: among `pages`, or with a reason among `others`"),
        )
    });
    let gone = listed.difference(&served).map(|path| Violation::new(LIST, format!("{path} is not served")));
    forgotten.chain(gone).collect()
}

/// The paths of the table's rows `get(<access>, "<path>", <handler>)`, one a line.
fn served(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter_map(|line| line.trim_start().strip_prefix("get("));
    rows.filter_map(|row| row.split('"').nth(1))
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_forgotten_or_gone_is_named() {
        let table = "        get(Open, \"/login\", login::form),\n        post(Open, \"/login\", login::log_in),\n\
                     get(Project(Read), \"/projects/{project}\", project::show),\n";
        let row = |path: &str| Row { path: path.to_owned() };
        let whole = List { pages: vec![row("/login"), row("/projects/{project}?tab=x")], others: vec![] };
        assert_eq!(compare(table, &whole), []);
        let other = List { pages: vec![row("/login")], others: vec![row("/gone")] };
        let found: Vec<String> = compare(table, &other).iter().map(ToString::to_string).collect();
        assert!(found[0].contains("/projects/{project} is not in tests/browser/pages.json"), "{found:?}");
        assert_eq!(found[1], "tests/browser/pages.json: /gone is not served");
    }
}
