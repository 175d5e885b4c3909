//! Which crate may import which: the table of the architecture document, as data.

use std::fmt::Write;

use super::Violation;
use super::metadata::{Package, Workspace};

/// Crate, and what it may import besides `naru-model`. `*` is everything. A change here needs a decision in
/// `docs/decisions/`.
const TABLE: &[(&str, &[&str])] = &[
    ("naru-model", &[]),
    ("naru-secret", &[]),
    ("naru-engine", &[]),
    ("naru-edge", &[]),
    ("naru-cli", &[]),
    ("naru-load", &[]),
    ("naru-store", &["naru-secret"]),
    ("naru-identity", &["naru-store", "naru-secret"]),
    ("naru-source", &["naru-store", "naru-secret"]),
    ("naru-image", &["naru-store", "naru-secret"]),
    ("naru-pipeline", &["naru-store", "naru-secret", "naru-source", "naru-image", "naru-engine"]),
    ("naru-delivery", &["naru-store", "naru-secret", "naru-source", "naru-engine", "naru-edge"]),
    ("naru-certificate", &["naru-store", "naru-secret", "naru-edge"]),
    ("naru-observe", &["naru-store", "naru-secret", "naru-engine", "naru-edge"]),
    (
        "naru-web",
        &[
            "naru-store",
            "naru-secret",
            "naru-identity",
            "naru-observe",
            "naru-source",
            "naru-pipeline",
            "naru-delivery",
        ],
    ),
    ("naru", &["*"]),
    ("naru-testkit", &["*"]),
    ("xtask", &[]),
];

/// Compares the table with what the packages declare.
pub(super) fn check(workspace: &Workspace) -> Vec<Violation> {
    let ours: Vec<&Package> = workspace.packages.iter().filter(|package| package.ours()).collect();
    let mut violations: Vec<Violation> = ours.iter().flat_map(|package| check_one(package)).collect();
    for (name, _) in TABLE {
        if !ours.iter().any(|package| package.name == *name) {
            violations
                .push(Violation::new(*name, "is in the import table of xtask, but not in the workspace"));
        }
    }
    if !violations.is_empty() {
        violations.push(Violation::new("import table", print()));
    }
    violations
}

fn check_one(package: &Package) -> Vec<Violation> {
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
        let what = "is not in the import table; add it there and say why in docs/decisions/";
        return vec![Violation::new(&package.name, what)];
    };
    let mut violations = Vec::new();
    for dependency in package.dependencies.iter().filter(|one| one.name.starts_with("naru")) {
        let for_tests = dependency.kind.as_deref() == Some("dev");
        let free = dependency.name == "naru-model"
            || dependency.name == package.name
            || allowed.contains(&"*")
            || allowed.contains(&dependency.name.as_str())
            || (for_tests && dependency.name == "naru-testkit");
        if !free {
            let what = format!("may not import {}", dependency.name);
            violations.push(Violation::new(&package.name, what));
        }
    }
    violations
}

fn print() -> String {
    let mut text = String::from("what may be imported besides naru-model");
    for (name, allowed) in TABLE {
        let list = if allowed.is_empty() { "nothing else of ours".to_owned() } else { allowed.join(", ") };
        let _ = write!(text, "\n    {name:<14} {list}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Dependency;
    use super::*;

    fn package(name: &str, imports: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: name.to_owned(),
            source: None,
            dependencies: imports
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
        }
    }

    #[test]
    fn an_edge_outside_the_table_is_refused() {
        let violations = check_one(&package("naru-edge", &[("naru-model", None), ("naru-store", None)]));
        assert_eq!(violations, [Violation::new("naru-edge", "may not import naru-store")]);
    }

    #[test]
    fn a_test_may_use_the_testkit_but_code_may_not() {
        assert!(check_one(&package("naru-store", &[("naru-testkit", Some("dev"))])).is_empty());
        assert_eq!(check_one(&package("naru-store", &[("naru-testkit", None)])).len(), 1);
    }

    #[test]
    fn a_crate_that_is_not_listed_is_refused() {
        assert_eq!(check_one(&package("naru-new", &[])).len(), 1);
    }
}
