//! From a tree of values to the types of `naru.yaml`, with key path and line in every error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::amount::ScalarText;
use super::document::{Key, Node, Value};
use super::fault::Fault;
use super::{Environment, ProjectDefinition, Release, Service, Step};
use crate::name::ServiceName;

/// The name that the one entry of `service:` gets.
pub(super) const ONLY_SERVICE: &str = "web";

/// The keys of the file's root.
pub(super) const ROOT_KEYS: [&str; 5] = ["pipeline", "service", "services", "release", "environments"];

/// Decodes a whole file. Each entry of a section is decoded on its own, so that several mistakes are found at once.
pub(super) fn decode(root: &Node) -> Result<ProjectDefinition, Vec<Fault>> {
    let Some(entries) = root.entries() else {
        let expected =
            format!("the file holds {}, expected a mapping with {}", name_of(root), ROOT_KEYS.join(", "));
        return Err(vec![Fault::new(expected).at_line(root.line)]);
    };
    let mut definition = ProjectDefinition::default();
    let mut faults = Vec::new();
    for (key, node) in entries {
        match key.text.as_str() {
            "pipeline" => definition.pipeline = section::<_, Step>(key, node, &mut faults),
            "services" => definition.services.append(&mut section::<_, Service>(key, node, &mut faults)),
            "service" => match Service::deserialize(Decoder(node)) {
                Ok(service) => {
                    let name: ServiceName = ONLY_SERVICE.parse().expect("a valid name");
                    definition.services.insert(name, service);
                }
                Err(fault) => faults.push(fault.below("service", key.line)),
            },
            "release" => match Option::<Release>::deserialize(Decoder(node)) {
                Ok(release) => definition.release = release,
                Err(fault) => faults.push(fault.below("release", key.line)),
            },
            "environments" => definition.environments = section::<_, Environment>(key, node, &mut faults),
            unknown => {
                let message = format!(
                    "unknown key, expected one of {}",
                    ROOT_KEYS.map(|key| format!("`{key}`")).join(", ")
                );
                faults.push(Fault::new(message).below(unknown, key.line));
            }
        }
    }
    let has = |name: &str| entries.iter().find(|(key, _)| key.text == name);
    if let (Some((key, _)), Some(_)) = (has("service"), has("services")) {
        faults.push(
            Fault::new("given together with `services`, expected one of the two").below("service", key.line),
        );
    }
    if faults.is_empty() { Ok(definition) } else { Err(faults) }
}

/// Decodes the entries of a mapping one by one.
fn section<K, V>(key: &Key, node: &Node, faults: &mut Vec<Fault>) -> BTreeMap<K, V>
where
    K: DeserializeOwned + Ord,
    V: DeserializeOwned,
{
    let mut decoded = BTreeMap::new();
    let Some(entries) = node.entries() else {
        let message = format!("found {}, expected a mapping of names", name_of(node));
        faults.push(Fault::new(message).below(&key.text, node.line));
        return decoded;
    };
    for (name, value) in entries {
        let parsed = K::deserialize(StrDeserializer::<Fault>::new(&name.text));
        match (parsed, V::deserialize(Decoder(value))) {
            (Ok(parsed), Ok(value)) => {
                decoded.insert(parsed, value);
            }
            (parsed, value) => {
                for fault in [parsed.err(), value.err()].into_iter().flatten() {
                    faults.push(fault.below(&name.text, name.line).below(&key.text, key.line));
                }
            }
        }
    }
    decoded
}

fn name_of(node: &Node) -> &'static str {
    match node.value {
        Value::Nothing => "nothing",
        Value::Truth(..) => "a truth value",
        Value::Whole(..) | Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

/// Hands a node to serde.
struct Decoder<'a>(&'a Node);

impl<'a> Decoder<'a> {
    fn unexpected(&self) -> Unexpected<'a> {
        match &self.0.value {
            Value::Nothing => Unexpected::Unit,
            Value::Truth(truth, _) => Unexpected::Bool(*truth),
            Value::Whole(number, _) => Unexpected::Unsigned(*number),
            Value::Number(text) | Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    /// The letters of a scalar.
    fn scalar(&self) -> Option<&'a str> {
        match &self.0.value {
            Value::Truth(_, text) | Value::Whole(_, text) | Value::Number(text) | Value::Text(text) => {
                Some(text)
            }
            Value::Nothing | Value::List(_) | Value::Map(_) => None,
        }
    }
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let line = self.0.line;
        let result = match &self.0.value {
            Value::Nothing => visitor.visit_unit(),
            Value::Truth(truth, _) => visitor.visit_bool(*truth),
            Value::Whole(number, _) => visitor.visit_u64(*number),
            Value::Number(text) => Err(Fault::invalid_type(Unexpected::Other(text), &visitor)),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(list) => visitor.visit_seq(Elements { list, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
        };
        result.map_err(|fault| fault.at_line(line))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.value {
            Value::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let line = self.0.line;
        if name != ScalarText::NAME {
            return visitor.visit_newtype_struct(self);
        }
        let result = match self.scalar() {
            Some(text) => visitor.visit_str(text),
            None => Err(Fault::invalid_type(self.unexpected(), &visitor)),
        };
        result.map_err(|fault| fault.at_line(line))
    }

    /// Nothing counts as a mapping without entries: `production:` alone is an environment.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let line = self.0.line;
        match self.0.entries() {
            Some(entries) => {
                visitor.visit_map(Entries { entries, value: None }).map_err(|fault| fault.at_line(line))
            }
            None => Err(Fault::invalid_type(self.unexpected(), &visitor).at_line(line)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    /// `name`, or a mapping of one name to its settings.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let line = self.0.line;
        let result = match &self.0.value {
            Value::Text(text) => visitor.visit_enum(Variant { name: text, line, settings: None }),
            Value::Map(entries) if entries.len() == 1 => {
                let (key, settings) = &entries[0];
                visitor.visit_enum(Variant { name: &key.text, line: key.line, settings: Some(settings) })
            }
            _ => Err(Fault::new(format!("expected one of {}", variants.join(", ")))),
        };
        result.map_err(|fault| fault.at_line(line))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct identifier ignored_any
    }
}

struct Elements<'a> {
    list: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.list.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Decoder(node))
            .map(Some)
            .map_err(|fault| fault.below(&format!("[{index}]"), node.line))
    }
}

struct Entries<'a> {
    entries: &'a [(Key, Node)],
    value: Option<(&'a Key, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(((key, node), rest)) = self.entries.split_first() else { return Ok(None) };
        self.entries = rest;
        self.value = Some((key, node));
        let decoded = seed.deserialize(StrDeserializer::<Fault>::new(&key.text));
        decoded.map(Some).map_err(|fault| fault.below(&key.text, key.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) = self.value.take().ok_or_else(|| Fault::new("a value was read before its key"))?;
        seed.deserialize(Decoder(node)).map_err(|fault| fault.below(&key.text, key.line))
    }
}

#[derive(Clone, Copy)]
struct Variant<'a> {
    name: &'a str,
    line: u64,
    settings: Option<&'a Node>,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name = seed.deserialize(StrDeserializer::<Fault>::new(self.name));
        name.map(|name| (name, self)).map_err(|fault| fault.at_line(self.line))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.settings {
            None => Ok(()),
            Some(_) => Err(Fault::new(format!("`{}` has no settings", self.name)).at_line(self.line)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let settings = self.settings.ok_or_else(|| {
            Fault::new(format!("expected settings, such as {{ {}: {{ … }} }}", self.name)).at_line(self.line)
        })?;
        seed.deserialize(Decoder(settings)).map_err(|fault| fault.below(self.name, self.line))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::TupleVariant, &visitor).at_line(self.line))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let settings = self.settings.ok_or_else(|| Fault::invalid_type(Unexpected::UnitVariant, &visitor))?;
        Decoder(settings).deserialize_map(visitor).map_err(|fault| fault.below(self.name, self.line))
    }
}
