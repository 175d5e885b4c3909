//! Refusals: how they are worded, and the fields that are refused with a reason because they would let a service
//! out of its place. Everything else outside the subset is refused by the document types.

use serde_json::Value;

use crate::problem::Problem;

/// Collects what is wrong with one environment's files.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    problems: Vec<Problem>,
}

/// More would not help a person.
const MAX_PROBLEMS: usize = 50;

impl Refusals {
    /// Adds one. `path` is the field within the file, empty for the file itself.
    pub(super) fn add(&mut self, file: &str, path: &str, why: impl Into<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let summary = if path.is_empty() || path == "." {
            format!("`{}` cannot be honoured", shown(file))
        } else {
            format!("`{}` of `{}` cannot be honoured", shown(path), shown(file))
        };
        self.problems.push(
            Problem::new("manifest.refused", summary).cause(why).state("nothing that runs was changed").hint(
                "change the file, then commit and push again; docs/reference/manifests.md lists every field",
            ),
        );
    }

    /// Keeps a value, or adds why there is none.
    pub(super) fn check<T>(&mut self, file: &str, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.add(file, path, why)).ok()
    }

    /// Whether nothing was refused.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems, in the order of the files.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// A name or path from a file, safe to print.
fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Fields that would let a service out of its place, wherever they stand.
const FORBIDDEN: &[(&str, &str)] = &[
    ("privileged", "a privileged container owns the machine"),
    ("allowPrivilegeEscalation", "privileges are not given to services"),
    ("hostPath", "host paths belong to the machine; use a volume"),
    ("hostNetwork", "host namespaces belong to the machine"),
    ("hostPID", "host namespaces belong to the machine"),
    ("hostIPC", "host namespaces belong to the machine"),
    ("hostUsers", "host namespaces belong to the machine"),
    ("hostPort", "ports of the machine belong to the edge; use an HTTPRoute"),
    ("nodePort", "ports of the machine belong to the edge; use an HTTPRoute"),
    ("hostAliases", "names are resolved by the environment's network"),
    ("hostname", "replicas are named by the engine"),
    ("capabilities", "capabilities are not added"),
    ("procMount", "the view of /proc is not opened"),
    ("serviceAccountName", "services have no account at the engine"),
    ("namespace", "an environment reaches no other namespace; its place is its folder"),
];

/// Adds every forbidden field of a document by its path. Returns whether there was one.
pub(super) fn forbid(refusals: &mut Refusals, file: &str, document: &Value) -> bool {
    let mut found = Vec::new();
    walk(document, "", &mut found);
    for (path, why) in &found {
        refusals.add(file, path, *why);
    }
    !found.is_empty()
}

fn walk(node: &Value, path: &str, found: &mut Vec<(String, &'static str)>) {
    match node {
        // What people call their variables and labels is data, not a field.
        Value::Object(fields) => {
            for (key, value) in fields {
                let here = join(path, key);
                let is_data =
                    ["data", "labels", "annotations", "matchLabels", "selector"].contains(&key.as_str());
                match FORBIDDEN.iter().find(|(name, _)| name == key) {
                    Some((_, why)) => found.push((here, why)),
                    None if is_data => {}
                    None => walk(value, &here, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The path of a field within a document.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
