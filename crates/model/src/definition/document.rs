//! YAML text as a tree of values that know their line. Bounded: size, depth, number of values, aliases.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, MergeKeyPolicy, Spanned};

use super::fault::Fault;

/// The largest file that is read.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The value.
    pub(super) value: Value,
    /// Counted from 1.
    pub(super) line: u64,
}

/// What a node holds. Scalars other than texts keep the letters they were written with.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing after the colon, `null` or `~`.
    Nothing,
    /// `true` or `false`.
    Truth(bool, String),
    /// A whole number that is not negative.
    Whole(u64, String),
    /// Any other number.
    Number(String),
    /// A text, with or without quotes.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The key.
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: u64,
}

impl Node {
    /// Reads a file.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            return Err(Fault::new(format!(
                "the file has {} KiB; expected at most {} KiB",
                text.len() >> 10,
                MAX_BYTES >> 10
            )));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: 60_000,
                max_nodes: 30_000,
                max_depth: 32,
                max_documents: 1,
                max_aliases: 200,
                max_anchors: 100,
                max_recorded_anchor_events: 10_000,
                max_recorded_anchor_bytes: MAX_BYTES,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: 10_000,
                max_replay_stack_depth: 8,
                max_alias_expansions_per_anchor: 200,
            },
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
            with_snippet: false,
        };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| Fault::from_yaml(&error))?;
        Ok(Self::from_raw(raw, text))
    }

    fn from_raw(raw: Spanned<Raw>, source: &str) -> Self {
        let line = raw.referenced.line();
        let written = |fallback: String| written(raw.defined, source).unwrap_or(fallback);
        let value = match raw.value {
            Raw::Nothing => Value::Nothing,
            Raw::Truth(truth) => Value::Truth(truth, written(truth.to_string())),
            Raw::Whole(number) => Value::Whole(number, written(number.to_string())),
            Raw::Number(number) => Value::Number(written(number)),
            Raw::Text(text) => Value::Text(text),
            Raw::List(list) => {
                Value::List(list.into_iter().map(|node| Self::from_raw(node, source)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| {
                        let key = Key { line: key.referenced.line(), text: key.value };
                        (key, Self::from_raw(node, source))
                    })
                    .collect(),
            ),
        };
        Self { value, line }
    }

    /// The entries of a mapping; nothing at all counts as an empty one.
    pub(super) fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Nothing => Some(&[]),
            _ => None,
        }
    }

    /// The line of the deepest key along `path` that the file has.
    pub(super) fn line_of(&self, path: &[String]) -> u64 {
        self.deepest_line(path).unwrap_or(self.line)
    }

    fn deepest_line(&self, path: &[String]) -> Option<u64> {
        let (first, rest) = path.split_first()?;
        match &self.value {
            Value::List(list) => {
                let index: usize = first.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
                let node = list.get(index)?;
                Some(node.deepest_line(rest).unwrap_or(node.line))
            }
            Value::Map(entries) => {
                let (key, node) = entries.iter().find(|(key, _)| key.text == *first)?;
                Some(node.deepest_line(rest).unwrap_or(key.line))
            }
            _ => None,
        }
    }
}

/// The letters of a scalar in the file. A number that is reached through an alias stands at its anchor.
fn written(location: Location, source: &str) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let text = source.get(start..end)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What the YAML library hands over.
enum Raw {
    Nothing,
    Truth(bool),
    Whole(u64),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Raw, D::Error> {
        Raw::deserialize(inner)
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
        Ok(Raw::Truth(truth))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Whole(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(u64::try_from(number).map_or_else(|_| Raw::Number(number.to_string()), Raw::Whole))
    }
    fn visit_u128<E>(self, number: u128) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }
    fn visit_i128<E>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
