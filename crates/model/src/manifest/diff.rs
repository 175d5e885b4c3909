//! What changed between two folders, field by field, for people.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::merge::identify;
use super::refuse::join;
use super::{Files, text};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// The file.
    pub file: String,
    /// The field within it, items of lists by name: `spec.template.spec.containers[web].image`. Empty when the file
    /// cannot be read as manifests.
    pub path: String,
    /// Its value before; `None` when it was not there.
    pub from: Option<String>,
    /// Its value after; `None` when it is gone.
    pub to: Option<String>,
}

/// The fields that differ, in the order of files and fields.
pub fn diff(from: &Files, to: &Files) -> Vec<FieldChange> {
    let (from, to) = (fields(from), fields(to));
    let mut changes = Vec::new();
    for ((file, path), value) in &from {
        let after = to.get(&(file.clone(), path.clone()));
        if after != Some(value) {
            changes.push(change(file, path, Some(value), after));
        }
    }
    for ((file, path), value) in &to {
        if !from.contains_key(&(file.clone(), path.clone())) {
            changes.push(change(file, path, None, Some(value)));
        }
    }
    changes.sort_by(|a, b| (&a.file, &a.path).cmp(&(&b.file, &b.path)));
    changes
}

fn change(file: &str, path: &str, from: Option<&String>, to: Option<&String>) -> FieldChange {
    FieldChange { file: file.to_owned(), path: path.to_owned(), from: from.cloned(), to: to.cloned() }
}

type Fields = BTreeMap<(String, String), String>;

fn fields(files: &Files) -> Fields {
    let mut fields = Fields::new();
    for (file, content) in files {
        match text::read(content) {
            Ok(documents) if !super::is_note(file) => {
                let alone = documents.len() == 1;
                for document in &documents {
                    let root = if alone { String::new() } else { name_of(document) };
                    flatten(&mut fields, file, &root, document);
                }
            }
            _ => {
                fields.insert((file.clone(), String::new()), content.clone());
            }
        }
    }
    fields
}

fn name_of(document: &Value) -> String {
    let part = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("?").to_owned();
    let name = document.get("metadata").and_then(|metadata| metadata.get("name"));
    format!("{} {}", part(document.get("kind")), part(name))
}

fn flatten(fields: &mut Fields, file: &str, path: &str, node: &Value) {
    match node {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(fields, file, &join(path, key), value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let field = path.rsplit('.').next().unwrap_or_default();
            for (index, item) in items.iter().enumerate() {
                let key = identify(field, item).unwrap_or_else(|| index.to_string());
                flatten(fields, file, &format!("{path}[{key}]"), item);
            }
        }
        Value::String(text) => {
            fields.insert((file.to_owned(), path.to_owned()), text.clone());
        }
        other => {
            fields.insert((file.to_owned(), path.to_owned()), other.to_string());
        }
    }
}
