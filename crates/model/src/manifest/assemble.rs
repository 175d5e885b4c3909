//! Documents of known shape → what the environment should run. References between documents are resolved, values are
//! checked, and combinations that nobody could honour are refused.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::document::{ClaimSpec, ConfigMap, Labels, Object};
use super::parse::{Documents, From};
use super::reader::Reader;
use super::refuse::Refusals;
use super::render::{ACCESS, LIMITS, SIZE, STATEMENT, STRATEGY, access};
use super::{routes, value};
use crate::name::{ServiceName, VolumeName};
use crate::workload::{EnvironmentSpec, Mount, VolumeAccess, VolumeSpec};

/// What the documents ask for together. The result is of use only when nothing was refused.
pub(super) fn assemble(refusals: &mut Refusals, documents: &Documents) -> EnvironmentSpec {
    let mut spec = EnvironmentSpec::default();
    let mut maps = BTreeMap::new();
    for map in &documents.config_maps {
        if map.object.metadata.name == STATEMENT {
            statement(refusals, map, &mut spec);
        } else {
            annotations(refusals, &map.file, &map.object.metadata.annotations, &[]);
            maps.insert(map.object.metadata.name.as_str(), &map.object.data);
        }
    }
    for claim in &documents.claims {
        if let Some((name, volume)) = volume(refusals, claim) {
            spec.volumes.insert(name, volume);
        }
    }
    for deployment in &documents.deployments {
        if let Some((name, service)) =
            (Reader { refusals, file: &deployment.file, maps: &maps }).service(&deployment.object, &spec)
        {
            spec.services.insert(name, service);
        }
    }
    service_objects(refusals, documents, &spec);
    let mut found = Vec::new();
    for route in &documents.routes {
        annotations(refusals, &route.file, &route.object.metadata.annotations, &[LIMITS]);
        found.extend(routes::read(refusals, &route.file, &route.object, &spec.services));
    }
    spec.routes = routes::settle(refusals, found);
    for (index, job) in documents.jobs.iter().enumerate() {
        if index > 0 {
            refusals.add(&job.file, "kind", "an environment has one Job: its release command");
        } else {
            let mut reader = Reader { refusals, file: &job.file, maps: &maps };
            spec.release_command = reader.release_command(&job.object, &spec);
        }
    }
    exclusive_volumes(refusals, documents, &spec);
    spec
}

fn statement(refusals: &mut Refusals, map: &From<ConfigMap>, spec: &mut EnvironmentSpec) {
    annotations(refusals, &map.file, &map.object.metadata.annotations, &[]);
    for (key, text) in &map.object.data {
        let at = format!("data.{key}");
        let number = || text.parse().map_err(|_| format!("{} is not a number", value::shorten(text)));
        match key.as_str() {
            "release" => spec.release = refusals.check(&map.file, &at, number()).map(crate::ReleaseNumber),
            "configuration" => {
                let version = refusals.check(&map.file, &at, number()).unwrap_or_default();
                spec.configuration = crate::ConfigurationVersion(version);
            }
            _ => refusals.add(&map.file, &at, "only `release` and `configuration` stand here"),
        }
    }
}

fn volume(refusals: &mut Refusals, claim: &From<Object<ClaimSpec>>) -> Option<(VolumeName, VolumeSpec)> {
    let (file, object) = (claim.file.as_str(), &claim.object);
    annotations(refusals, file, &object.metadata.annotations, &[ACCESS, SIZE]);
    let name = refusals.check(file, "metadata.name", name(&object.metadata.name))?;
    let stated = object.metadata.annotations.get(ACCESS).map_or("exclusive", String::as_str);
    let found =
        [VolumeAccess::Exclusive, VolumeAccess::Shared].into_iter().find(|kind| access(*kind).0 == stated);
    let Some(kind) = found else {
        let why = format!("{} is neither `exclusive` nor `shared`", value::shorten(stated));
        refusals.add(file, &format!("metadata.annotations[{ACCESS}]"), why);
        return None;
    };
    if object.spec.access_modes != [access(kind).1] {
        let why = format!("a volume with `{ACCESS}: {stated}` has the one access mode {}", access(kind).1);
        refusals.add(file, "spec.accessModes", why);
    }
    let size_bytes = match object.metadata.annotations.get(SIZE).map(String::as_str) {
        Some("any") => 0,
        Some(_) => {
            refusals.add(file, &format!("metadata.annotations[{SIZE}]"), "only `any` is understood");
            return None;
        }
        None => {
            let storage = value::bytes(&object.spec.resources.requests.storage);
            refusals.check(file, "spec.resources.requests.storage", storage)?
        }
    };
    Some((name, VolumeSpec { access: kind, size_bytes }))
}

/// Every service with a port has a Service object that leads to it, and no other exists.
fn service_objects(refusals: &mut Refusals, documents: &Documents, spec: &EnvironmentSpec) {
    for service in &documents.services {
        let (file, object) = (service.file.as_str(), &service.object);
        annotations(refusals, file, &object.metadata.annotations, &[]);
        let deployment =
            documents.deployments.iter().find(|d| d.object.metadata.name == object.metadata.name);
        let Some(deployment) = deployment else {
            refusals.add(file, "metadata.name", "no Deployment has this name");
            continue;
        };
        if object.spec.selector != deployment.object.spec.selector.match_labels {
            refusals.add(file, "spec.selector", "it is not the selector of the Deployment of this name");
        }
        let listens = deployment
            .object
            .spec
            .template
            .spec
            .containers
            .iter()
            .flat_map(|c| &c.ports)
            .map(|p| p.container_port);
        let offered = object.spec.ports.iter().map(|port| port.port);
        let same_target =
            |port: &super::document::ServicePort| port.target_port.is_none_or(|target| target == port.port);
        if !listens.eq(offered) || !object.spec.ports.iter().all(same_target) {
            refusals.add(file, "spec.ports", "port and target port are the container's port");
        }
    }
    for (name, service) in &spec.services {
        let exists = documents.services.iter().any(|object| object.object.metadata.name == name.as_str());
        if service.template.port.is_some() && !exists {
            let file = format!("deployment-{name}.yaml");
            refusals.add(&file, "", format!("a service with a port needs a Service object named `{name}`"));
        }
    }
}

/// A volume that only one replica may have is mounted by one service with one replica.
fn exclusive_volumes(refusals: &mut Refusals, documents: &Documents, spec: &EnvironmentSpec) {
    let mut holders: BTreeMap<&VolumeName, &ServiceName> = BTreeMap::new();
    for (name, service) in &spec.services {
        let deployment = documents.deployments.iter().find(|d| d.object.metadata.name == name.as_str());
        let Some(deployment) = deployment else { continue };
        let file = deployment.file.as_str();
        let exclusive = |mount: &&Mount| {
            spec.volumes.get(&mount.volume).is_some_and(|v| v.access == VolumeAccess::Exclusive)
        };
        for mount in service.template.mounts.iter().filter(exclusive) {
            if service.replicas > 1 {
                let why = format!("the volume `{}` is exclusive: one replica may have it", mount.volume);
                refusals.add(file, "spec.replicas", why);
            }
            match holders.insert(&mount.volume, name) {
                Some(other) if other != name => {
                    let why =
                        format!("the volume `{}` is exclusive and mounted by `{other}` too", mount.volume);
                    refusals.add(file, "spec.template.spec.containers[0].volumeMounts", why);
                }
                _ => {}
            }
        }
        let volume = spec.exclusive_volume(name).map(VolumeName::as_str);
        if let Some((_, why)) = service.strategy.fault(volume, service.template.port.is_some()) {
            refusals.add(file, &format!("metadata.annotations[{STRATEGY}]"), why);
        }
        let strategy = deployment.object.spec.strategy.as_ref().map(|strategy| strategy.kind.as_str());
        let honoured = if spec.is_exclusive(name) { "Recreate" } else { "RollingUpdate" };
        if strategy.is_some_and(|strategy| strategy != honoured) {
            let why = format!("its volumes ask for {honoured}; the field can also be left out");
            refusals.add(file, "spec.strategy.type", why);
        }
    }
}

pub(super) fn name<T: FromStr<Err = crate::name::NameError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: crate::name::NameError| error.to_string())
}

pub(super) fn annotations(refusals: &mut Refusals, file: &str, found: &Labels, known: &[&str]) {
    for key in found.keys().filter(|key| !known.contains(&key.as_str())) {
        refusals.add(file, &format!("metadata.annotations[{key}]"), "this annotation is not known here");
    }
}
