//! Versions of configuration and secrets on the wire, and the `.env` file that both are exported as.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::name::{SecretName, VariableName};
use crate::time::Timestamp;

use serde::{Deserialize, Serialize};

/// A version of a configuration, or of which secrets there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettingVersion {
    /// Its number.
    pub version: u32,
    /// Who made it; `naru` for what a new environment got from its project.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// How many names it has.
    pub names: usize,
}

/// The same variable in two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValueChange {
    /// In the first.
    pub from: String,
    /// In the second.
    pub to: String,
}

/// What is different between two versions of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigurationDifference {
    /// The first version.
    pub from: u32,
    /// The second.
    pub to: u32,
    /// Only in the second.
    #[schema(value_type = BTreeMap<String, String>)]
    pub added: BTreeMap<VariableName, String>,
    /// Only in the first.
    #[schema(value_type = BTreeMap<String, String>)]
    pub removed: BTreeMap<VariableName, String>,
    /// In both, with other values.
    #[schema(value_type = BTreeMap<String, ValueChange>)]
    pub changed: BTreeMap<VariableName, ValueChange>,
}

impl ConfigurationDifference {
    /// Compares two versions.
    pub fn between(
        (from, before): (u32, &BTreeMap<VariableName, String>),
        (to, after): (u32, &BTreeMap<VariableName, String>),
    ) -> Self {
        let only = |here: &BTreeMap<VariableName, String>, there: &BTreeMap<VariableName, String>| {
            let only = here.iter().filter(|(name, _)| !there.contains_key(*name));
            only.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let changed = before.iter().filter_map(|(name, from)| {
            let to = after.get(name).filter(|to| *to != from)?;
            Some((name.clone(), ValueChange { from: from.clone(), to: to.clone() }))
        });
        Self {
            from,
            to,
            added: only(after, before),
            removed: only(before, after),
            changed: changed.collect(),
        }
    }
}

/// What is different between which secrets there were. Values are never told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretDifference {
    /// The first version.
    pub from: u32,
    /// The second.
    pub to: u32,
    /// Only in the second.
    pub added: Vec<SecretName>,
    /// Only in the first.
    pub removed: Vec<SecretName>,
    /// In both, with another version of the secret.
    pub changed: Vec<SecretName>,
}

impl SecretDifference {
    /// Compares which secrets there were, each in which version.
    pub fn between<V: PartialEq>(
        (from, before): (u32, &BTreeMap<SecretName, V>),
        (to, after): (u32, &BTreeMap<SecretName, V>),
    ) -> Self {
        let only = |here: &BTreeMap<SecretName, V>, there: &BTreeMap<SecretName, V>| {
            here.keys().filter(|name| !there.contains_key(*name)).cloned().collect()
        };
        let changed = before.iter().filter(|(name, from)| after.get(*name).is_some_and(|to| to != *from));
        let changed = changed.map(|(name, _)| name.clone()).collect();
        Self { from, to, added: only(after, before), removed: only(before, after), changed }
    }
}

/// Which version is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionChoice {
    /// Its number.
    pub version: u32,
}

/// What became of restoring which secrets there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretsRestored {
    /// The new version.
    pub version: u32,
    /// The intent that brings it to the environment.
    pub intent: i64,
    /// Names whose version was revoked: what is current under them stays.
    #[serde(default)]
    pub revoked: Vec<SecretName>,
}

/// The values of an environment's secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretValues {
    /// Name → value.
    #[schema(value_type = BTreeMap<String, String>)]
    pub values: BTreeMap<SecretName, String>,
}

/// Pairs as a `.env` file: one `NAME=value` a line, quoted where a shell or a reader of such files would take it for
/// something else.
pub fn env_file<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut file = String::new();
    for (name, value) in pairs {
        let _ = writeln!(file, "{}={}", name.as_ref(), quoted(value.as_ref())); // writing to a String does not fail
    }
    file
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    if !value.contains('\'') && !value.chars().any(char::is_control) {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for character in value.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '"' | '\\' | '$' | '`' => text.extend(['\\', character]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let pairs = [("A", "1"), ("B", "two words"), ("C", "it's $5\nand \"more\""), ("D", ""), ("E", "#x")];
        assert_eq!(env_file(pairs), "A=1\nB='two words'\nC=\"it's \\$5\\nand \\\"more\\\"\"\nD=\nE='#x'\n");
    }

    #[test]
    fn versions_are_compared_by_name() {
        let variables = |pairs: &[(&str, &str)]| -> BTreeMap<VariableName, String> {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect()
        };
        let (before, after) = (
            variables(&[("A", "1"), ("B", "2"), ("C", "3")]),
            variables(&[("B", "2"), ("C", "4"), ("D", "5")]),
        );
        let it = ConfigurationDifference::between((1, &before), (2, &after));
        assert_eq!((it.added, it.removed), (variables(&[("D", "5")]), variables(&[("A", "1")])));
        assert_eq!(it.changed.len(), 1);
        let secrets = |pairs: &[(&str, u32)]| -> BTreeMap<SecretName, u32> {
            pairs.iter().map(|(name, version)| (name.parse().unwrap(), *version)).collect()
        };
        let it = SecretDifference::between((1, &secrets(&[("A", 1), ("B", 1)])), (2, &secrets(&[("B", 2)])));
        let names =
            |names: &[SecretName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            (names(&it.added), names(&it.removed), names(&it.changed)),
            (String::new(), "A".into(), "B".into())
        );
    }
}
