//! Three-way merge of folders: what Naru rendered last, what people made of it, what Naru renders now. It works on
//! document trees, so that formatting never conflicts; a file that only one side changed keeps its text as it is.
//!
//! A field that one side changed takes that side's value. A field that both sides changed to different values is a
//! [`Conflict`]: nothing is guessed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::refuse::join;
use super::{Files, text};
use crate::problem::Problem;

/// A field that people and Naru both changed, to different values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The file.
    pub file: String,
    /// The field within it; empty for the whole file.
    pub path: String,
    /// What Naru rendered last; `None` when the field was not there.
    pub base: Option<String>,
    /// What people made of it.
    pub ours: Option<String>,
    /// What Naru renders now.
    pub theirs: Option<String>,
}

impl Conflict {
    /// The conflict as people see it.
    pub fn to_problem(&self) -> Problem {
        let place = if self.path.is_empty() {
            format!("`{}`", self.file)
        } else {
            format!("`{}` of `{}`", self.path, self.file)
        };
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
        Problem::new("manifest.conflict", format!("{place} was changed by people and by Naru"))
            .cause(format!("in the deploy repository: {}", side(&self.ours)))
            .cause(format!("in the new render: {}", side(&self.theirs)))
            .cause(format!("in the last render: {}", side(&self.base)))
            .state("nothing that runs was changed")
            .hint("commit one of the two values to the deploy repository, then deploy again")
    }
}

/// Joins two changes of the same folder: `base` is Naru's last render, `ours` what people made of it (HEAD), `theirs`
/// the new render. Every conflict is listed; on conflict nothing is merged.
pub fn merge(base: &Files, ours: &Files, theirs: &Files) -> Result<Files, Vec<Conflict>> {
    let mut conflicts = Vec::new();
    let mut merged = Files::new();
    let names: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
    for name in names {
        let sides = Sides { base: base.get(name), ours: ours.get(name), theirs: theirs.get(name) };
        let kept = match sides.outcome() {
            Outcome::Settled(text) => text.cloned(),
            Outcome::BothChanged => merge_file(&mut conflicts, name, &sides),
        };
        if let Some(text) = kept {
            merged.insert(name.clone(), text);
        }
    }
    if conflicts.is_empty() { Ok(merged) } else { Err(conflicts) }
}

/// One thing as the three sides have it.
#[derive(Clone, Copy)]
struct Sides<'a, T: ?Sized> {
    base: Option<&'a T>,
    ours: Option<&'a T>,
    theirs: Option<&'a T>,
}

/// What becomes of one thing, before looking into it.
enum Outcome<'a, T: ?Sized> {
    Settled(Option<&'a T>),
    BothChanged,
}

impl<'a, T: PartialEq + ?Sized> Sides<'a, T> {
    /// The outcome when at most one side changed it, or both in the same way.
    fn outcome(&self) -> Outcome<'a, T> {
        if self.base == self.theirs || self.ours == self.theirs {
            Outcome::Settled(self.ours)
        } else if self.base == self.ours {
            Outcome::Settled(self.theirs)
        } else {
            Outcome::BothChanged
        }
    }
}

fn merge_file(conflicts: &mut Vec<Conflict>, file: &str, sides: &Sides<String>) -> Option<String> {
    let (Some(ours), Some(theirs)) = (sides.ours, sides.theirs) else {
        let whole = |text: Option<&String>| text.map(|_| "there, with changes".to_owned());
        conflicts.push(Conflict {
            file: file.to_owned(),
            path: String::new(),
            base: sides.base.map(|_| "there".to_owned()),
            ours: whole(sides.ours),
            theirs: whole(sides.theirs),
        });
        return None;
    };
    let mut read = |text: &str| match text::read(text) {
        Ok(documents) => Some(documents),
        Err(why) => {
            conflicts.push(Conflict {
                file: file.to_owned(),
                path: String::new(),
                base: None,
                ours: Some(format!("cannot be read: {why}")),
                theirs: None,
            });
            None
        }
    };
    let base = sides.base.map_or(Some(Vec::new()), |text| read(text));
    let (base, ours, theirs) = (base?, read(ours)?, read(theirs)?);
    let merged = merge_documents(&mut Merge { file, conflicts }, &base, &ours, &theirs);
    Some(text::write_all(&merged))
}

fn merge_documents(merge: &mut Merge, base: &[Value], ours: &[Value], theirs: &[Value]) -> Vec<Value> {
    if let ([] | [_], [ours], [theirs]) = (base, ours, theirs) {
        let sides = Sides { base: base.first(), ours: Some(ours), theirs: Some(theirs) };
        return merge.node("", &sides).into_iter().collect();
    }
    let identify = |document: &Value| {
        let kind = document.get("kind").and_then(Value::as_str)?;
        let name = document.get("metadata")?.get("name")?.as_str()?;
        Some(format!("{kind} {name}"))
    };
    let merged = merge.keyed("", base, ours, theirs, &identify);
    if merged.is_none() {
        merge.conflict("", &Sides { base: None, ours: None, theirs: None });
    }
    merged.unwrap_or_default()
}

/// The merge of one file.
struct Merge<'a> {
    file: &'a str,
    conflicts: &'a mut Vec<Conflict>,
}

type Identify<'a> = &'a dyn Fn(&Value) -> Option<String>;

impl Merge<'_> {
    fn node(&mut self, path: &str, sides: &Sides<Value>) -> Option<Value> {
        if let Outcome::Settled(settled) = sides.outcome() {
            return settled.cloned();
        }
        match (sides.base, sides.ours, sides.theirs) {
            (None | Some(Value::Object(_)), Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
                let nothing = Map::new();
                let base = sides.base.and_then(Value::as_object).unwrap_or(&nothing);
                Some(Value::Object(self.map(path, base, ours, theirs)))
            }
            (None | Some(Value::Array(_)), Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
                let base = sides.base.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let field = path.rsplit('.').next().unwrap_or_default();
                let merged = self.keyed(path, base, ours, theirs, &|item| identify(field, item));
                if merged.is_none() {
                    self.conflict(path, sides);
                }
                merged.map(Value::Array)
            }
            _ => {
                self.conflict(path, sides);
                None
            }
        }
    }

    /// Keys stay in the order of the render; what people added follows.
    fn map(
        &mut self,
        path: &str,
        base: &Map<String, Value>,
        ours: &Map<String, Value>,
        theirs: &Map<String, Value>,
    ) -> Map<String, Value> {
        let added = ours.keys().filter(|key| !theirs.contains_key(*key));
        let mut merged = Map::new();
        for key in theirs.keys().chain(added) {
            let sides = Sides { base: base.get(key), ours: ours.get(key), theirs: theirs.get(key) };
            if let Some(value) = self.node(&join(path, key), &sides) {
                merged.insert(key.clone(), value);
            }
        }
        merged
    }

    /// Merges lists whose items are told apart by a key. `None` when some are not.
    fn keyed(
        &mut self,
        path: &str,
        base: &[Value],
        ours: &[Value],
        theirs: &[Value],
        identify: Identify,
    ) -> Option<Vec<Value>> {
        let index = |items: &[Value]| -> Option<Map<String, Value>> {
            let mut map = Map::new();
            for item in items {
                if map.insert(identify(item)?, item.clone()).is_some() {
                    return None;
                }
            }
            Some(map)
        };
        let (base, ours, theirs) = (index(base)?, index(ours)?, index(theirs)?);
        let added = ours.keys().filter(|key| !theirs.contains_key(*key));
        let mut merged = Vec::new();
        for key in theirs.keys().chain(added) {
            let sides = Sides { base: base.get(key), ours: ours.get(key), theirs: theirs.get(key) };
            merged.extend(self.node(&format!("{path}[{key}]"), &sides));
        }
        Some(merged)
    }

    fn conflict(&mut self, path: &str, sides: &Sides<Value>) {
        let shown = |value: Option<&Value>| value.map(|value| shorten(&value.to_string()));
        self.conflicts.push(Conflict {
            file: self.file.to_owned(),
            path: path.to_owned(),
            base: shown(sides.base),
            ours: shown(sides.ours),
            theirs: shown(sides.theirs),
        });
    }
}

fn shorten(json: &str) -> String {
    let short: String = json.chars().take(200).collect();
    if short.len() < json.len() { format!("{short}…") } else { short }
}

/// What tells the items of a list apart. Lists of words whose order matters, such as `command`, have no such key and
/// are merged as a whole.
pub(super) fn identify(field: &str, item: &Value) -> Option<String> {
    let field = field.split('[').next().unwrap_or_default();
    let text = |key: &str| item.get(key).and_then(scalar);
    match field {
        "resources" | "hostnames" => item.as_str().map(ToOwned::to_owned),
        "volumeMounts" => text("mountPath"),
        "ports" => text("containerPort").or_else(|| text("port")),
        "envFrom" => item.get("configMapRef")?.get("name").and_then(scalar),
        "rules" => {
            let matches = item.get("matches")?.as_array()?;
            let path = |one: &Value| one.get("path")?.get("value").and_then(scalar);
            matches.iter().map(path).collect::<Option<Vec<_>>>().map(|paths| paths.join(" "))
        }
        _ => text("name"),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
