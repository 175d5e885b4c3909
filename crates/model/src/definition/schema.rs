//! The JSON Schema of `naru.yaml`, made from its types. `docs/reference/naru.schema.json` is this text.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;

use super::{Environment, Release, Service, Step};

/// Keys and types of the file's root. Names are checked when the file is read.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields, title = "naru.yaml")]
#[expect(dead_code, reason = "only its schema is used")]
struct Root {
    /// Steps by name: commands in containers that must succeed before anything is released.
    #[serde(default)]
    pipeline: BTreeMap<String, Step>,
    /// Short for one entry in `services`, called `web`.
    #[serde(default)]
    service: Option<Service>,
    /// Services by name.
    #[serde(default)]
    services: BTreeMap<String, Service>,
    /// Runs once per revision, on the new image, before any traffic.
    #[serde(default)]
    release: Option<Release>,
    /// Environments by name. Without any there is `production`, which follows the default branch.
    #[serde(default)]
    environments: BTreeMap<String, Environment>,
}

/// The schema as a JSON document, indented, with a final newline.
pub fn schema() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Root>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::decode::ROOT_KEYS;

    #[test]
    fn the_root_has_the_keys_that_are_decoded() {
        let schema: serde_json::Value = serde_json::from_str(&super::schema()).unwrap();
        let keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = ROOT_KEYS.to_vec();
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
    }

    /// `NARU_UPDATE=1 cargo test -p naru-model` writes the file again.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch for developers")]
    fn the_published_schema_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/naru.schema.json");
        if std::env::var_os("NARU_UPDATE").is_some() {
            std::fs::write(file, super::schema()).unwrap();
        }
        let published = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            published == super::schema(),
            "docs/reference/naru.schema.json is not current; run with NARU_UPDATE=1"
        );
    }
}
