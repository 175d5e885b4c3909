//! Names that people choose. Each type holds only values that are safe in a URL, a path, a DNS label, a
//! container name and an argument vector; parsing is the only way to make one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused. The message says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{noun} {given} is not usable: {expected}")]
pub struct NameError {
    /// The glossary's noun, such as "project name".
    pub noun: &'static str,
    /// What was given, quoted, escaped and shortened.
    pub given: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl NameError {
    pub(crate) fn new(noun: &'static str, given: &str, expected: &'static str) -> Self {
        let mut short: String = given.chars().take(60).collect();
        if short.len() < given.len() {
            short.push('…');
        }
        Self { noun, given: format!("{short:?}"), expected }
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(NameError::new($noun, text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $expected })
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($expected))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

/// A DNS label in lower case: what containers, hosts and folders can all carry.
fn is_label(text: &str, max: usize) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= max
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && !text.contains("--")
}

name_type!(
    /// A project's name, unique in its instance.
    ProjectName, "project name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 40 characters",
    |text| is_label(text, 40)
);
name_type!(
    /// An organisation's name, unique in its instance.
    OrganisationName, "organisation name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 40 characters",
    |text| is_label(text, 40)
);

impl OrganisationName {
    /// The organisation that every instance begins with.
    pub fn main() -> Self {
        Self("main".to_owned())
    }
}

name_type!(
    /// A login provider's name, unique in its instance; part of the address that the provider sends people back to.
    ProviderName, "provider name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 40 characters",
    |text| is_label(text, 40)
);
name_type!(
    /// A service's name, unique in its project.
    ServiceName, "service name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 30 characters",
    |text| is_label(text, 30)
);
name_type!(
    /// A pipeline step's name, unique in its project. Longer than a service's, because a build is called
    /// `build-<service>`.
    StepName, "step name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 40 characters",
    |text| is_label(text, 40)
);
name_type!(
    /// A volume's name, unique in its project.
    VolumeName, "volume name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 30 characters",
    |text| is_label(text, 30)
);
name_type!(
    /// An environment's name, unique in its project; also its folder in the deploy repository.
    EnvironmentName, "environment name",
    "lower-case letters, digits and single hyphens, starting with a letter, at most 30 characters",
    |text| is_label(text, 30)
);
name_type!(
    /// The part of an image repository's name after the project: `web` in `shop/web`. One path component as the OCI
    /// distribution specification defines it (section "Pulling manifests").
    RepositoryName, "image repository name",
    "lower-case letters and digits, separated by single . or _, by __ or by hyphens, at most 100 characters",
    is_repository
);
name_type!(
    /// An image's tag, as the OCI distribution specification defines it (section "Pulling manifests").
    TagName, "tag",
    "letters, digits and . _ -, not starting with . or -, at most 128 characters",
    is_tag
);
name_type!(
    /// The name of a configuration variable.
    VariableName, "variable name",
    "letters, digits and underscores, not starting with a digit, at most 128 characters",
    is_variable
);
name_type!(
    /// The name of a secret: it reaches the service as an environment variable of this name.
    SecretName, "secret name",
    "letters, digits and underscores, not starting with a digit, at most 128 characters",
    is_variable
);
name_type!(
    /// A branch, without `refs/heads/`. Follows git-check-ref-format(1), and is narrower.
    BranchName, "branch name",
    "letters, digits and . _ / + @ = -, no component starting with '.' or '-', no '..', no '@{', not ending in '/', '.' or '.lock', at most 200 characters",
    is_branch
);

fn is_repository(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separated = text
        .split(|c: char| c.is_ascii() && is_word(c as u8))
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'));
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 100
        && is_word(bytes[0])
        && is_word(bytes[bytes.len() - 1])
        && separated
}

fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 128
        && !matches!(bytes[0], b'.' | b'-')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

fn is_variable(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 128
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn is_branch(text: &str) -> bool {
    text.len() <= 200
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && part.strip_suffix(".lock").is_none()
                && part.chars().all(|c| c.is_alphanumeric() || "._+@=-".contains(c))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_names() {
        for good in ["a", "shop", "shop-2", "a1-b2"] {
            assert!(good.parse::<ProjectName>().is_ok(), "{good}");
        }
        let long = "a".repeat(300);
        for bad in [
            "",
            "..",
            "a/..",
            "a;b",
            "$(id)",
            "a\nb",
            "-a",
            "a-",
            "A",
            "1a",
            "a--b",
            "가게",
            "a b",
            "a.b",
            "a_b",
            long.as_str(),
        ] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn branch_names() {
        for good in ["main", "feature/x-1", "release-1.2", "한글/가지", "user@host", "dependabot/npm/a_b+c"]
        {
            assert!(good.parse::<BranchName>().is_ok(), "{good}");
        }
        let long = "a".repeat(300);
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "-a",
            "x/-a",
            "a..b",
            "a;b",
            "$(id)",
            "a\nb",
            "a b",
            "a.lock",
            "x/a.lock",
            ".git",
            "x/.git",
            "@",
            "a@{1}",
            "a.",
            "a~1",
            "a^",
            "a:b",
            "a\\b",
            "a*",
            "a?",
            "a[",
            long.as_str(),
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_says_what_would_be_accepted() {
        let error = "Shop; rm -rf /".parse::<ProjectName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "project name \"Shop; rm -rf /\" is not usable: lower-case letters, digits and single hyphens, \
             starting with a letter, at most 40 characters"
        );
    }

    #[test]
    fn repository_names() {
        for good in ["web", "a.b", "a_b", "a__b", "a---b", "0", "buildcache2"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "..",
            ".",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "A",
            "a/b",
            "a b",
            "a%2fb",
            "가",
            &"a".repeat(101),
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["latest", "run-12", "1.2.3", "_x", "V1"] {
            assert!(good.parse::<TagName>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a:b", "a\nb", "..", &"a".repeat(129)] {
            assert!(bad.parse::<TagName>().is_err(), "{bad}");
        }
    }
}
