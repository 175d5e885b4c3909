//! Texts of `naru.yaml` that must have a shape: paths, hosts, image references, commands.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::amount::{ScalarText, scalar};
use crate::id::ImageReference;
use crate::name::{ServiceName, StepName};

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $examples:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "ScalarText", into = "String")]
        pub struct $name(String);

        scalar!($name, $expected, $examples);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                let check: fn(&str) -> Option<String> = $check;
                check(text).map(Self).ok_or(())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// A file or folder of the repository, relative to its root; `.` is the root itself. Never leaves it.
    RelativePath,
    "a path inside the repository, relative to its root, such as deploy/Dockerfile",
    ["Dockerfile", "."],
    |text| {
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let clean = text == "." || text.split('/').all(|part| is_path_part(part) && part != ".git");
        (clean && text.len() <= 400).then(|| text.to_owned())
    }
);
checked_text!(
    /// A path in a container, below its root.
    AbsolutePath,
    "an absolute path in the container, such as /data",
    ["/data"],
    |text| {
        let clean = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_path_part));
        (clean && text.len() <= 400).then(|| text.to_owned())
    }
);
checked_text!(
    /// The path of a URL, without query.
    UrlPath,
    "a URL path starting with a slash, such as /healthz",
    ["/healthz"],
    |text| {
        let clean = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"\\".contains(&b));
        (clean && text.len() <= 400).then(|| text.to_owned())
    }
);
checked_text!(
    /// A host name in lower case, without port or wildcard.
    Host,
    "a host name in lower case without port, such as shop.example.com",
    ["shop.example.com"],
    |text| {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        (text.len() <= 253 && text.split('.').all(label) && !numeric).then(|| text.to_owned())
    }
);
checked_text!(
    /// The image of a step: registry, repository, and tag or digest. Short names are completed as Docker Hub's.
    ContainerImage,
    "a container image, such as docker.io/library/rust:1.95",
    ["docker.io/library/rust:1.95"],
    complete_image
);
checked_text!(
    /// A schedule in the five fields of cron: minute, hour, day of month, month, day of week.
    Schedule,
    "a schedule of five fields (minute, hour, day, month, weekday), such as \"0 3 * * *\"",
    ["0 3 * * *"],
    |text| {
        let field = |field: &str| {
            !field.is_empty()
                && field.len() <= 100
                && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"*,-/".contains(&b))
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        (fields.len() == 5 && fields.iter().all(|f| field(f))).then(|| fields.join(" "))
    }
);
checked_text!(
    /// A time zone of the IANA database.
    Zone,
    "a time zone, such as Asia/Seoul or UTC",
    ["Asia/Seoul"],
    |text| {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b))
        };
        (text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('/').all(part))
            .then(|| text.to_owned())
    }
);

fn is_path_part(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && !part.starts_with('-')
        && !part.chars().any(|c| c.is_control() || c == '\\')
}

/// `rust:1.95` → `docker.io/library/rust:1.95`; the default tag is `latest`, as everywhere.
fn complete_image(text: &str) -> Option<String> {
    let (name, suffix) = match text.split_once('@') {
        Some((name, digest)) => (name, format!("@{}", digest.parse::<crate::Digest>().ok()?)),
        None => match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => {
                let clean = (1..=128).contains(&tag.len())
                    && !tag.starts_with(['.', '-'])
                    && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
                (name, clean.then(|| format!(":{tag}"))?)
            }
            _ => (text, ":latest".to_owned()),
        },
    };
    let mut parts = name.split('/').collect::<Vec<_>>();
    let has_host = parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0] == "localhost");
    let host = if has_host { parts.remove(0) } else { "docker.io" };
    if !has_host && parts.len() == 1 {
        parts.insert(0, "library");
    }
    let host_clean = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b))
        && !host.starts_with(['-', '.', ':']);
    let part_clean = |part: &&str| {
        !part.is_empty()
            && !part.starts_with(['-', '.', '_'])
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    (name.len() <= 255 && host_clean && parts.iter().all(part_clean))
        .then(|| format!("{host}/{}{suffix}", parts.join("/")))
}

/// What a service runs that builds nothing itself: another service's image, or one from elsewhere by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub enum ServiceImage {
    /// The image of another service of this file.
    Of(ServiceName),
    /// An image from a registry.
    External(ImageReference),
}

scalar!(ServiceImage, "the name of another service, or an image by digest (registry/name@sha256:…)", ["web"]);

impl FromStr for ServiceImage {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.contains('@') {
            let completed = complete_image(text).ok_or(())?;
            completed.parse().map(Self::External).map_err(|_| ())
        } else {
            text.parse().map(Self::Of).map_err(|_| ())
        }
    }
}

impl fmt::Display for ServiceImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(service) => service.fmt(f),
            Self::External(image) => image.fmt(f),
        }
    }
}

/// A node of the step graph: a step, or the build of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub enum NodeName {
    /// A step of `pipeline`.
    Step(StepName),
    /// The build of a service, written `build:<service>`.
    Build(ServiceName),
}

scalar!(NodeName, "the name of a step, or build:<service>", ["test", "build:web"]);

impl NodeName {
    /// The name of the node's job and log.
    pub fn job_name(&self) -> StepName {
        match self {
            Self::Step(step) => step.clone(),
            Self::Build(service) => {
                format!("build-{service}").parse().expect("a step's name has room for it")
            }
        }
    }
}

impl FromStr for NodeName {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("build:") {
            Some(service) => service.parse().map(Self::Build).map_err(|_| ()),
            None => text.parse().map(Self::Step).map_err(|_| ()),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => step.fmt(f),
            Self::Build(service) => write!(f, "build:{service}"),
        }
    }
}

/// What a step runs: a text for `/bin/sh -e`, or an argument vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Script {
    /// Lines for the image's shell; the first that fails ends the step.
    Shell(String),
    /// An argument vector, run as it is.
    Arguments(Vec<String>),
}

impl Script {
    /// The argument vector that the container is started with.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Shell(text) => vec!["/bin/sh".into(), "-ec".into(), text.clone()],
            Self::Arguments(arguments) => arguments.clone(),
        }
    }
}

/// What a service runs: an argument vector, or one line that is split into one. No shell takes part, because the
/// image may have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The argument vector.
    pub fn arguments(&self) -> &[String] {
        &self.0
    }
}

/// One text, or a list of texts.
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    const MAX_BYTES: usize = 64 * 1024;

    fn checked(self, expected: &str) -> Result<Self, String> {
        let (empty, bytes, nul) = match &self {
            Self::One(text) => (text.trim().is_empty(), text.len(), text.contains('\0')),
            Self::Many(list) => (
                list.first().is_none_or(String::is_empty),
                list.iter().map(String::len).sum(),
                list.iter().any(|text| text.contains('\0')),
            ),
        };
        if empty || nul || bytes > Self::MAX_BYTES { Err(format!("expected {expected}")) } else { Ok(self) }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command: one text, or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(ScalarText(text)) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany::Many(texts))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const EXPECTED_COMMAND: &str = "a command of at most 64 KiB: one text, or a list of texts";

impl<'de> Deserialize<'de> for Script {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = OneOrMany::deserialize(deserializer)?.checked(EXPECTED_COMMAND);
        match given.map_err(serde::de::Error::custom)? {
            OneOrMany::One(text) => Ok(Self::Shell(text)),
            OneOrMany::Many(list) => Ok(Self::Arguments(list)),
        }
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = OneOrMany::deserialize(deserializer)?.checked(EXPECTED_COMMAND);
        match given.map_err(serde::de::Error::custom)? {
            OneOrMany::One(text) => split_words(&text).map(Self).map_err(serde::de::Error::custom),
            OneOrMany::Many(list) => Ok(Self(list)),
        }
    }
}

macro_rules! command_schema {
    ($name:ident) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": "one text, or a list of texts (an argument vector)",
                    "anyOf": [
                        { "type": "string", "minLength": 1 },
                        { "type": "array", "items": { "type": ["string", "number", "boolean"] }, "minItems": 1 }
                    ]
                })
            }
        }
    };
}
command_schema!(Script);
command_schema!(CommandLine);

/// Splits a line into words as a shell would, without expanding anything. What only a shell can do is refused.
fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"') | None, '\\') => {
                let next = letters.next().ok_or("the command ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some('\''), _) => word.get_or_insert_default().push(letter),
            (_, '$' | '`') => return Err(needs_shell(letter)),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '\n')
                if letter != '\n' || !letters.as_str().trim().is_empty() =>
            {
                return Err(needs_shell(letter));
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

fn needs_shell(letter: char) -> String {
    format!(
        "{letter:?} needs a shell, and the image may have none; expected plain words, or a list such as [sh, -c, \"…\"]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_completed() {
        for (given, completed) in [
            ("rust", "docker.io/library/rust:latest"),
            ("rust:1.95", "docker.io/library/rust:1.95"),
            ("team/tool:2", "docker.io/team/tool:2"),
            ("ghcr.io/team/tool:2", "ghcr.io/team/tool:2"),
            ("localhost:5000/tool", "localhost:5000/tool:latest"),
        ] {
            assert_eq!(given.parse::<ContainerImage>().unwrap().as_str(), completed);
        }
        for bad in [
            "",
            "-v",
            "--privileged",
            "a b",
            "rust:",
            "rust:-x",
            "a//b",
            "x@sha256:12",
            "Rust",
            "a/../b",
            "$(id)",
        ] {
            assert!(bad.parse::<ContainerImage>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_never_leave_their_root() {
        for good in [".", "Dockerfile", "deploy/Dockerfile", "./web"] {
            assert!(good.parse::<RelativePath>().is_ok(), "{good}");
        }
        for bad in ["", "/etc", "..", "a/../b", "a//b", "-f", "a\nb", ".git", ".git/config", "a\\b"] {
            assert!(bad.parse::<RelativePath>().is_err(), "{bad}");
        }
        for bad in ["", "/", "data", "/data/..", "/a//b", "//"] {
            assert!(bad.parse::<AbsolutePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names() {
        for good in ["shop.localhost", "a", "shop-2.example.com"] {
            assert!(good.parse::<Host>().is_ok(), "{good}");
        }
        for bad in
            ["", "Shop.example.com", "a:80", "*.example.com", "127.0.0.1", "a..b", "-a.b", "a b", "http://a"]
        {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_split_without_a_shell() {
        assert_eq!(split_words("./migrate up").unwrap(), ["./migrate", "up"]);
        assert_eq!(split_words("a 'b c' \"d\\\"e\" f\\ g ''").unwrap(), ["a", "b c", "d\"e", "f g", ""]);
        for bad in ["a && b", "a | b", "a > b", "$HOME/x", "\"$HOME\"", "`id`", "'open", "a\\", "a\nb"] {
            assert!(split_words(bad).is_err(), "{bad}");
        }
    }
}
