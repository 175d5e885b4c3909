//! Numbers, digests and keys that Naru itself gives out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{EnvironmentName, ProjectName};

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
            schemars::JsonSchema, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The number after this one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number_type!(
    /// Counts the runs of a project, from 1.
    RunNumber
);
number_type!(
    /// Counts the releases of a project, from 1.
    ReleaseNumber
);
number_type!(
    /// Counts the revisions of an environment, from 1.
    RevisionNumber
);
number_type!(
    /// Counts the configuration versions of an environment, from 1; 0 is the empty configuration.
    ConfigurationVersion
);
number_type!(
    /// Counts the versions of one secret, from 1.
    SecretVersion
);

/// A counter per environment, raised whenever something else is wanted. Names of what is created contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One Naru with its data folder: twelve lower-case hexadecimal characters. Labels everything it creates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// An id that is not of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {expected}")]
pub struct IdError {
    given: String,
    expected: &'static str,
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

macro_rules! text_id {
    ($name:ident, $expected:literal, $check:expr) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { given: text.chars().take(80).collect(), expected: $expected })
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
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

text_id!(InstanceId, "an instance id (12 lower-case hexadecimal characters)", |text| is_lower_hex(text, 12));

/// A full git commit id: 40 lower-case hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

text_id!(CommitId, "a commit id (40 lower-case hexadecimal characters)", |text| is_lower_hex(text, 40));

impl CommitId {
    /// The first ten characters, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

/// The content address of a blob or manifest: `sha256:` and 64 lower-case hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

text_id!(Digest, "a digest (sha256: and 64 lower-case hexadecimal characters)", |text| {
    text.strip_prefix("sha256:").is_some_and(|hex| is_lower_hex(hex, 64))
});

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first twelve hexadecimal characters, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

/// An image by content: `registry/repository@sha256:…`. A tag alone can change and is never deployed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    /// Registry host and repository, such as `127.0.0.1:7070/shop/web`.
    pub name: String,
    /// The manifest's digest.
    pub digest: Digest,
}

impl FromStr for ImageReference {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError {
            given: text.chars().take(200).collect(),
            expected: "an image by digest (name@sha256:…)",
        };
        let (name, digest) = text.split_once('@').ok_or_else(refuse)?;
        let clean = !name.is_empty()
            && name.len() <= 255
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
            && name.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-', ':']));
        if !clean {
            return Err(refuse());
        }
        Ok(Self { name: name.to_owned(), digest: digest.parse().map_err(|_| refuse())? })
    }
}

impl TryFrom<String> for ImageReference {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(image: ImageReference) -> String {
        image.to_string()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

/// Which environment of which project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvironmentKey {
    /// The project.
    pub project: ProjectName,
    /// The environment within it.
    pub environment: EnvironmentName,
}

impl fmt::Display for EnvironmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_only_accepted_by_digest() {
        let digest = Digest::of(b"");
        assert!(format!("127.0.0.1:7070/shop/web@{digest}").parse::<ImageReference>().is_ok());
        for bad in [
            "shop/web:latest",
            "shop/web",
            "-v@x",
            &format!("--privileged@{digest}"),
            &format!("a b@{digest}"),
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
    }
}
