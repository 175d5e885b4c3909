//! Files → documents of known shape. Everything outside the subset is refused here, with file and field; what the
//! documents mean together is settled in `assemble`.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{
    ClaimSpec, ConfigMap, DeploymentSpec, HttpRouteSpec, Kustomization, Labels, Metadata, Object,
    ReleaseJobSpec, ServiceObjectSpec,
};
use super::refuse::{Refusals, forbid};
use super::render::{LABEL_ENVIRONMENT, LABEL_MANAGED_BY, LABEL_NAME, LABEL_PROJECT};
use super::{Files, KUSTOMIZATION, assemble, is_note, limit, text, value};
use crate::id::EnvironmentKey;
use crate::problem::Problem;
use crate::workload::EnvironmentSpec;

/// Reads what an environment's folder asks for. On refusal every problem found is listed, and nothing is returned.
pub fn parse(files: &Files) -> Result<EnvironmentSpec, Vec<Problem>> {
    read(None, files)
}

/// Like [`parse`], and refuses manifests that are labelled as another environment's, such as a copied folder.
pub fn parse_of(environment: &EnvironmentKey, files: &Files) -> Result<EnvironmentSpec, Vec<Problem>> {
    read(Some(environment), files)
}

fn read(environment: Option<&EnvironmentKey>, files: &Files) -> Result<EnvironmentSpec, Vec<Problem>> {
    let mut refusals = Refusals::default();
    measure(&mut refusals, files);
    let mut documents = Documents::default();
    if refusals.is_empty() {
        for file in listed(&mut refusals, files) {
            read_file(&mut refusals, &mut documents, file, &files[file]);
        }
        documents.check_owners(&mut refusals, environment);
    }
    // Documents that were refused would only cause refusals of what refers to them.
    if !refusals.is_empty() {
        return Err(refusals.into_problems());
    }
    let spec = assemble::assemble(&mut refusals, &documents);
    if refusals.is_empty() { Ok(spec) } else { Err(refusals.into_problems()) }
}

/// A document and the file it is from.
#[derive(Debug)]
pub(super) struct From<T> {
    pub(super) file: String,
    pub(super) object: T,
}

/// All documents of a folder by kind, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) config_maps: Vec<From<ConfigMap>>,
    pub(super) claims: Vec<From<Object<ClaimSpec>>>,
    pub(super) deployments: Vec<From<Object<DeploymentSpec>>>,
    pub(super) services: Vec<From<Object<ServiceObjectSpec>>>,
    pub(super) routes: Vec<From<Object<HttpRouteSpec>>>,
    pub(super) jobs: Vec<From<Object<ReleaseJobSpec>>>,
    seen: BTreeSet<(String, String)>,
    owners: Vec<(String, String, String)>,
}

fn measure(refusals: &mut Refusals, files: &Files) {
    if files.len() > limit::FILES {
        refusals.add(
            "the folder",
            "",
            format!("it has {} files; at most {} are read", files.len(), limit::FILES),
        );
    }
    if files.values().map(String::len).sum::<usize>() > limit::FOLDER_BYTES {
        refusals.add("the folder", "", format!("it has more than {} bytes", limit::FOLDER_BYTES));
    }
    for (name, content) in files {
        if content.len() > limit::FILE_BYTES {
            let why = format!("it has {} bytes; at most {} are read", content.len(), limit::FILE_BYTES);
            refusals.add(name, "", why);
        }
    }
}

/// The files that `kustomization.yaml` lists. Manifests that it does not list are refused: they would silently not
/// apply.
fn listed<'a>(refusals: &mut Refusals, files: &'a Files) -> Vec<&'a str> {
    let Some(content) = files.get(KUSTOMIZATION) else {
        refusals.add(KUSTOMIZATION, "", "the folder has no such file; it lists the others under `resources`");
        return Vec::new();
    };
    let resources = read_kustomization(refusals, content).unwrap_or_default();
    let mut known = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let at = format!("resources[{index}]");
        match files.get_key_value(resource) {
            _ if !is_plain_file(resource) => {
                let why = format!("{} is not the name of a file in this folder", value::shorten(resource));
                refusals.add(KUSTOMIZATION, &at, why);
            }
            None => {
                refusals.add(KUSTOMIZATION, &at, format!("there is no file {}", value::shorten(resource)));
            }
            Some((name, _)) if known.contains(&name.as_str()) => {
                refusals.add(KUSTOMIZATION, &at, format!("`{name}` is listed twice"));
            }
            Some((name, _)) => known.push(name.as_str()),
        }
    }
    for name in files.keys().filter(|name| *name != KUSTOMIZATION && !is_note(name)) {
        if !known.contains(&name.as_str()) {
            refusals.add(name, "", "it is not listed under `resources` in kustomization.yaml");
        }
    }
    known.sort_unstable();
    known
}

/// A manifest's name: no folder, no way out, a YAML ending.
fn is_plain_file(name: &str) -> bool {
    let is_yaml =
        std::path::Path::new(name).extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    is_yaml
        && name != KUSTOMIZATION
        && !name.starts_with(['.', '-'])
        && !name.contains(['/', '\\', ':', '\0'])
}

fn read_kustomization(refusals: &mut Refusals, content: &str) -> Option<Vec<String>> {
    let documents = refusals.check(KUSTOMIZATION, "", text::read(content))?;
    let [document] = documents.as_slice() else {
        refusals.add(KUSTOMIZATION, "", "it holds exactly one document");
        return None;
    };
    let kustomization: Kustomization = decode(refusals, KUSTOMIZATION, document)?;
    if kustomization.kind != "Kustomization"
        || !kustomization.api_version.starts_with("kustomize.config.k8s.io/")
    {
        refusals.add(KUSTOMIZATION, "kind", "it is not a Kustomization of kustomize.config.k8s.io");
    }
    Some(kustomization.resources)
}

fn read_file(refusals: &mut Refusals, documents: &mut Documents, file: &str, content: &str) {
    let Some(trees) = refusals.check(file, "", text::read(content)) else { return };
    if trees.is_empty() {
        refusals.add(file, "", "it holds no document");
    }
    for tree in &trees {
        if !forbid(refusals, file, tree) {
            documents.read(refusals, file, tree);
        }
    }
}

impl Documents {
    fn read(&mut self, refusals: &mut Refusals, file: &str, tree: &Value) {
        let part = |key: &str| tree.get(key).and_then(Value::as_str).unwrap_or_default();
        match (part("apiVersion"), part("kind")) {
            ("v1", "ConfigMap") => {
                if let Some(object) = decode::<ConfigMap>(refusals, file, tree)
                    && self.note(refusals, file, &object.kind, &object.metadata, None)
                {
                    self.config_maps.push(From { file: file.to_owned(), object });
                }
            }
            ("v1", "PersistentVolumeClaim") => {
                self.keep(refusals, file, tree, None, |documents| &mut documents.claims);
            }
            ("apps/v1", "Deployment") => {
                self.keep(refusals, file, tree, None, |documents| &mut documents.deployments);
            }
            ("v1", "Service") => self.keep(refusals, file, tree, None, |documents| &mut documents.services),
            ("gateway.networking.k8s.io/v1", "HTTPRoute") => {
                self.keep(refusals, file, tree, Some("route"), |documents| &mut documents.routes);
            }
            ("batch/v1", "Job") => {
                self.keep(refusals, file, tree, Some("release"), |documents| &mut documents.jobs);
            }
            (version, kind) => {
                let why = format!(
                    "{} of {} is not in the subset: Deployment (apps/v1), Service, ConfigMap, PersistentVolumeClaim \
                     (v1), Job (batch/v1), HTTPRoute (gateway.networking.k8s.io/v1)",
                    value::shorten(kind),
                    value::shorten(version)
                );
                refusals.add(file, "kind", why);
            }
        }
    }

    fn keep<Spec: DeserializeOwned>(
        &mut self,
        refusals: &mut Refusals,
        file: &str,
        tree: &Value,
        label: Option<&str>,
        list: fn(&mut Self) -> &mut Vec<From<Object<Spec>>>,
    ) {
        let Some(object) = decode::<Object<Spec>>(refusals, file, tree) else { return };
        if self.note(refusals, file, &object.kind, &object.metadata, label) {
            list(self).push(From { file: file.to_owned(), object });
        }
    }

    /// Remembers name and owner; refuses a second object of the same kind and name, and foreign labels.
    fn note(
        &mut self,
        refusals: &mut Refusals,
        file: &str,
        kind: &str,
        of: &Metadata,
        label: Option<&str>,
    ) -> bool {
        if !self.seen.insert((kind.to_owned(), of.name.clone())) {
            refusals.add(file, "metadata.name", format!("there is a second {kind} of this name"));
            return false;
        }
        self.note_labels(refusals, file, "metadata.labels", &of.labels, label.unwrap_or(&of.name));
        true
    }

    /// Checks labels against the ones that are rendered. Missing ones are fine: Naru needs none of them.
    fn note_labels(&mut self, refusals: &mut Refusals, file: &str, at: &str, labels: &Labels, name: &str) {
        for (label, value) in labels {
            let field = format!("{at}[{label}]");
            match label.as_str() {
                LABEL_NAME if value == name => {}
                LABEL_NAME => {
                    refusals.add(file, &field, format!("it says {}, not `{name}`", value::shorten(value)));
                }
                LABEL_MANAGED_BY if value == "naru" => {}
                LABEL_PROJECT | LABEL_ENVIRONMENT => {
                    self.owners.push((file.to_owned(), label.clone(), value.clone()));
                }
                _ => refusals.add(file, &field, "labels are set by Naru; others are not honoured"),
            }
        }
    }

    /// Every document belongs to one environment, and to the expected one.
    fn check_owners(&mut self, refusals: &mut Refusals, environment: Option<&EnvironmentKey>) {
        for deployment in &self.deployments {
            let file = &deployment.file;
            for (label, value) in &deployment.object.spec.template.metadata.labels {
                if label == LABEL_PROJECT || label == LABEL_ENVIRONMENT {
                    self.owners.push((file.clone(), label.clone(), value.clone()));
                }
            }
        }
        for (label, expected) in [
            (LABEL_PROJECT, environment.map(|key| key.project.to_string())),
            (LABEL_ENVIRONMENT, environment.map(|key| key.environment.to_string())),
        ] {
            let mut expected = expected;
            for (file, _, value) in self.owners.iter().filter(|(_, of, _)| of == label) {
                let owner = expected.get_or_insert_with(|| value.clone());
                if owner != value {
                    let why = format!("it says {}, not `{owner}`", value::shorten(value));
                    refusals.add(file, &format!("metadata.labels[{label}]"), why);
                }
            }
        }
    }
}

/// A document of a known shape, or its first field that is not.
fn decode<T: DeserializeOwned>(refusals: &mut Refusals, file: &str, tree: &Value) -> Option<T> {
    match serde_path_to_error::deserialize(tree) {
        Ok(document) => Some(document),
        Err(error) => {
            let path = error.path().to_string();
            refusals.add(file, &path, text::one_line(&error.inner().to_string()));
            None
        }
    }
}
