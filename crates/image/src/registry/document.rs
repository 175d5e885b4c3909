//! Manifests as documents: which kinds are taken, and what each is made of. Pure.
//!
//! The four kinds are the image manifest and the index of the OCI image specification 1.1, and their older equivalents
//! in Docker's image manifest version 2, schema 2. Fields that are not needed here are not looked at; the document is
//! stored as it came.

use std::collections::BTreeMap;

use naru_model::Digest;
use serde::Deserialize;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers that clients fetch from elsewhere and never push.
const FOREIGN: [&str; 4] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// What a manifest says that the registry has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) blobs: BTreeMap<Digest, u64>,
    pub(crate) manifests: Vec<Digest>,
    pub(crate) subject: Option<Digest>,
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Reads a manifest. The error is a sentence for the person who pushed.
pub(crate) fn read(content_type: Option<&str>, content: &[u8]) -> Result<Document, String> {
    let raw: Raw =
        serde_json::from_slice(content).map_err(|error| format!("it is not a manifest: {error}"))?;
    if raw.schema_version != 2 {
        return Err(format!("schema version {} is not supported; version 2 is", raw.schema_version));
    }
    let declared = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
    let media_type = match (declared.filter(|text| !text.is_empty()), raw.media_type.as_deref()) {
        (Some(declared), Some(inside)) if declared != inside => {
            return Err(format!("its mediaType {inside:?} is not the Content-Type {declared:?}"));
        }
        (Some(media_type), _) | (None, Some(media_type)) => media_type.to_owned(),
        (None, None) => return Err("neither Content-Type nor mediaType says what it is".to_owned()),
    };
    let mut document = Document {
        media_type,
        blobs: BTreeMap::new(),
        manifests: Vec::new(),
        subject: raw.subject.as_ref().map(digest_of).transpose()?,
        artifact_type: raw.artifact_type.filter(|text| !text.is_empty()),
        annotations: raw.annotations.unwrap_or_default(),
    };
    match document.media_type.as_str() {
        OCI_MANIFEST | DOCKER_MANIFEST => {
            if raw.manifests.is_some() {
                return Err("an image manifest does not list manifests".to_owned());
            }
            let config = raw.config.ok_or("it has no config")?;
            let layers = raw.layers.ok_or("it has no layers")?;
            if document.artifact_type.is_none() && document.media_type == OCI_MANIFEST {
                document.artifact_type = Some(config.media_type.clone());
            }
            for part in std::iter::once(&config).chain(&layers) {
                if FOREIGN.contains(&part.media_type.as_str()) {
                    continue;
                }
                let digest = digest_of(part)?;
                if document.blobs.insert(digest, part.size).is_some_and(|size| size != part.size) {
                    return Err(format!("it states two sizes for {}", part.digest));
                }
            }
        }
        OCI_INDEX | DOCKER_LIST => {
            if raw.config.is_some() || raw.layers.is_some() {
                return Err("an index has no config and no layers".to_owned());
            }
            for part in &raw.manifests.ok_or("it lists no manifests")? {
                document.manifests.push(digest_of(part)?);
            }
        }
        other => return Err(format!("the media type {other:?} is not supported")),
    }
    Ok(document)
}

fn digest_of(descriptor: &Descriptor) -> Result<Digest, String> {
    descriptor.digest.parse().map_err(|error| format!("a descriptor is wrong: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": Digest::of(content).as_str(), "size": content.len() })
    }

    fn image() -> serde_json::Value {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
            "layers": [
                descriptor("application/vnd.oci.image.layer.v1.tar+gzip", b"layer"),
                descriptor(FOREIGN[0], b"elsewhere"),
            ],
        })
    }

    #[test]
    fn an_image_is_made_of_config_and_layers() {
        let read = read(Some(OCI_MANIFEST), image().to_string().as_bytes()).unwrap();
        assert_eq!(read.blobs, BTreeMap::from([(Digest::of(b"{}"), 2), (Digest::of(b"layer"), 5)]));
        assert_eq!(read.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
    }

    #[test]
    fn parameters_of_the_content_type_are_ignored() {
        let with_parameters = format!("{OCI_MANIFEST}; charset=utf-8");
        assert_eq!(
            read(Some(&with_parameters), image().to_string().as_bytes()).unwrap().media_type,
            OCI_MANIFEST
        );
        assert!(read(None, image().to_string().as_bytes()).is_ok());
    }

    #[test]
    fn what_is_not_a_manifest_is_refused() {
        let refused = |change: &dyn Fn(&mut serde_json::Value), content_type: &str| {
            let mut document = image();
            change(&mut document);
            read(Some(content_type), document.to_string().as_bytes()).unwrap_err()
        };
        let other = "application/vnd.oci.artifact.manifest.v1+json";
        assert!(refused(&|d| d["mediaType"] = json!(other), other).contains("not supported"));
        assert!(refused(&|_| (), DOCKER_MANIFEST).contains("is not the Content-Type"));
        assert!(refused(&|d| d["schemaVersion"] = json!(1), OCI_MANIFEST).contains("schema version 1"));
        assert!(refused(&|d| d["config"] = json!(null), OCI_MANIFEST).contains("no config"));
        assert!(refused(&|d| d["layers"] = json!(null), OCI_MANIFEST).contains("no layers"));
        assert!(refused(&|d| d["manifests"] = json!([]), OCI_MANIFEST).contains("does not list"));
        assert!(
            refused(&|d| d["layers"][0]["digest"] = json!("md5:00"), OCI_MANIFEST).contains("descriptor")
        );
        assert!(refused(&|d| d["layers"][0]["size"] = json!(-1), OCI_MANIFEST).contains("not a manifest"));
        assert!(read(Some(OCI_MANIFEST), b"[]").is_err());
        assert!(read(None, b"{\"schemaVersion\":2}").is_err());
        let nested = "[".repeat(100_000);
        assert!(read(Some(OCI_MANIFEST), nested.as_bytes()).is_err());
    }
}
