//! What types cannot say: names that must exist, combinations that cannot work, cycles. Also what a later version
//! executes and this one refuses by name.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::{Count, Port, ScalarText};
use super::fault::Fault;
use super::service::{Build, Service};
use super::text::{AbsolutePath, NodeName, ServiceImage};
use super::{Environment, ProjectDefinition, Step};
use crate::name::{ServiceName, VariableName, VolumeName};
use crate::workload::VolumeAccess;

/// How much one file may describe.
const MAX_ENTRIES: usize = 50;
/// How many variables one mapping may have.
const MAX_VARIABLES: usize = 500;
/// How long one variable's value may be.
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// Collects mistakes by key path; lines are added by who has the file.
struct Report<'a> {
    definition: &'a ProjectDefinition,
    /// The keys that lead to a service: `services.<name>`, or `service`.
    alone: bool,
    faults: Vec<Fault>,
}

/// Everything that is wrong. `alone` says that the only service was written as `service:`.
pub(super) fn check(definition: &ProjectDefinition, alone: bool) -> Vec<Fault> {
    let mut report = Report { definition, alone, faults: Vec::new() };
    report.sizes();
    for (name, step) in &definition.pipeline {
        report.step(name.as_str(), step);
    }
    for (name, service) in &definition.services {
        report.service(name, service);
    }
    report.volumes();
    report.cycles();
    report.release();
    report.environments();
    report.faults
}

/// What the file asks for and this version does not do yet.
pub(super) fn later(definition: &ProjectDefinition, alone: bool) -> Vec<Fault> {
    let mut report = Report { definition, alone, faults: Vec::new() };
    for (name, service) in &definition.services {
        let path = report.service_path(name);
        let with = |key: &str| [path.clone(), vec![key.to_owned()]].concat();
        if service.schedule.is_some() {
            report.add(with("schedule"), "scheduled services do not run yet");
        }
        if service.replicas.min < service.replicas.max || service.replicas.cpu.is_some() {
            report.add(with("replicas"), "replicas do not follow load yet, expected a number");
        }
    }
    for (name, environment) in &definition.environments {
        if environment.pull_requests {
            let path = ["environments", name.as_str(), "pull-requests"].map(str::to_owned).to_vec();
            report.add(path, "environments for pull requests are not there yet");
        }
    }
    report.faults
}

impl Report<'_> {
    fn add(&mut self, path: Vec<String>, message: impl Into<String>) {
        self.faults.push(Fault { path, line: 0, message: message.into() });
    }

    fn at(&mut self, path: &[&str], message: impl Into<String>) {
        self.add(path.iter().map(|&part| part.to_owned()).collect(), message);
    }

    fn service_path(&self, name: &ServiceName) -> Vec<String> {
        if self.alone { vec!["service".into()] } else { vec!["services".into(), name.to_string()] }
    }

    fn in_service(&mut self, name: &ServiceName, keys: &[&str], message: impl Into<String>) {
        let mut path = self.service_path(name);
        path.extend(keys.iter().map(|&key| key.to_owned()));
        self.add(path, message);
    }

    fn sizes(&mut self) {
        let counts = [
            ("pipeline", self.definition.pipeline.len()),
            ("services", self.definition.services.len()),
            ("environments", self.definition.environments.len()),
        ];
        for (key, count) in counts {
            if count > MAX_ENTRIES {
                self.at(&[key], format!("{count} entries, expected at most {MAX_ENTRIES}"));
            }
        }
        if self.definition.services.is_empty() {
            self.at(&["services"], "no service, expected at least one with `build` or `image`");
        }
    }

    fn step(&mut self, name: &str, step: &Step) {
        let here = ["pipeline", name];
        let clash = name.strip_prefix("build-").and_then(|rest| rest.parse::<ServiceName>().ok());
        if clash.is_some_and(|service| self.definition.services.contains_key(&service)) {
            self.at(&here, "this name belongs to the build of a service, expected another one");
        }
        let me = name.parse().ok().map(NodeName::Step);
        self.needs(&["pipeline".into(), name.to_owned(), "needs".into()], me.as_ref(), &step.needs);
        self.variables(&["pipeline".into(), name.to_owned(), "env".into()], &step.env, true);
        for (index, secret) in step.secrets.iter().enumerate() {
            let place = format!("[{index}]");
            if step.env.keys().any(|variable| variable.as_str() == secret.as_str()) {
                self.at(
                    &["pipeline", name, "secrets", &place],
                    format!("`{secret}` is also in `env`, expected one of the two"),
                );
            } else if is_reserved(secret.as_str(), true) {
                self.at(
                    &["pipeline", name, "secrets", &place],
                    format!("`{secret}` is set by Naru, expected another name"),
                );
            } else if step.secrets[..index].contains(secret) {
                self.at(&["pipeline", name, "secrets", &place], format!("`{secret}` is given twice"));
            }
        }
        let mut paths = BTreeMap::new();
        for (cache, path) in &step.cache {
            if path.as_str() == "/workspace" {
                self.at(
                    &["pipeline", name, "cache", cache.as_str()],
                    "the workspace itself cannot be kept, expected a folder in it or elsewhere",
                );
            } else if let Some(other) = paths.insert(path, cache) {
                self.at(
                    &["pipeline", name, "cache", cache.as_str()],
                    format!("`{path}` is the path of `{other}` already"),
                );
            }
        }
    }

    fn needs(&mut self, path: &[String], me: Option<&NodeName>, needs: &[NodeName]) {
        for (index, need) in needs.iter().enumerate() {
            let place = [path, &[format!("[{index}]")]].concat();
            let known = match need {
                NodeName::Step(step) => self.definition.pipeline.contains_key(step),
                NodeName::Build(service) => {
                    self.definition.services.get(service).is_some_and(|s| s.build.is_some())
                }
            };
            if !known {
                let known = self.node_names();
                self.add(place, format!("`{need}` is not known, expected one of: {known}"));
            } else if me == Some(need) {
                self.add(place, format!("`{need}` needs itself"));
            } else if needs[..index].contains(need) {
                self.add(place, format!("`{need}` is given twice"));
            }
        }
    }

    fn node_names(&self) -> String {
        let steps = self.definition.pipeline.keys().map(ToString::to_string);
        let builds = self.definition.builds().map(|(service, _)| format!("build:{service}"));
        steps.chain(builds).collect::<Vec<_>>().join(", ")
    }

    fn variables(&mut self, path: &[String], variables: &BTreeMap<VariableName, ScalarText>, in_step: bool) {
        if variables.len() > MAX_VARIABLES {
            self.add(
                path.to_vec(),
                format!("{} variables, expected at most {MAX_VARIABLES}", variables.len()),
            );
        }
        for (name, ScalarText(value)) in variables {
            let place = [path, &[name.to_string()]].concat();
            if is_reserved(name.as_str(), in_step) {
                self.add(place, "this variable is set by Naru, expected another name");
            } else if value.len() > MAX_VALUE_BYTES {
                self.add(place, format!("{} bytes, expected at most {MAX_VALUE_BYTES}", value.len()));
            } else if value.contains('\0') {
                self.add(place, "a value cannot contain a zero byte");
            }
        }
    }

    fn service(&mut self, name: &ServiceName, service: &Service) {
        match (&service.build, &service.image) {
            (None, None) => {
                self.in_service(name, &[], "neither `build` nor `image`, expected one of the two");
            }
            (Some(_), Some(_)) => {
                self.in_service(name, &["image"], "given together with `build`, expected one of the two");
            }
            (Some(build), None) => self.build(name, build),
            (None, Some(ServiceImage::Of(other))) => self.image_of(name, other),
            (None, Some(ServiceImage::External(_))) => {}
        }
        let is_static = service.build.as_ref().is_some_and(|build| build.static_files.is_some());
        if is_static && service.port.is_some_and(|port| port != Port::STATIC) {
            self.in_service(name, &["port"], format!("static files are served on port {}", Port::STATIC));
        }
        if service.health.is_some() && service.port.is_none() {
            self.in_service(name, &["health"], "a health path needs a `port`");
        }
        if service.replicas.min > service.replicas.max {
            let message = format!(
                "min {} is more than max {}, expected min ≤ max",
                service.replicas.min, service.replicas.max
            );
            self.in_service(name, &["replicas"], message);
        }
        let exclusive = service.volumes.iter().find(|(_, volume)| volume.access == VolumeAccess::Exclusive);
        let exclusive = exclusive.map(|(volume, _)| volume.as_str());
        if let Some((key, message)) = service.strategy.fault(exclusive, service.port.is_some()) {
            let keys: Vec<&str> = ["strategy", service.strategy.name()].into_iter().chain(key).collect();
            self.in_service(name, if key.is_some() { &keys } else { &keys[..1] }, message);
        }
        self.limits(name, service);
        if service.schedule.is_some() && service.port.is_some() {
            self.in_service(name, &["schedule"], "a scheduled service cannot have a `port`");
        }
        if service.zone.is_some() && service.schedule.is_none() {
            self.in_service(name, &["zone"], "a time zone needs a `schedule`");
        }
        let path = [self.service_path(name), vec!["env".to_owned()]].concat();
        self.variables(&path, &service.env, false);
        self.mounts(name, service);
    }

    fn limits(&mut self, name: &ServiceName, service: &Service) {
        if service.limits.is_empty() {
            return;
        }
        for (keys, message) in service.limits.faults() {
            self.in_service(name, &[&["limits"], keys].concat(), message);
        }
        match self.definition.exposed_service() {
            Some(exposed) if exposed == name => {}
            _ if service.port.is_none() => {
                self.in_service(name, &["limits"], "bounds of requests need a `port`");
            }
            Some(exposed) => {
                let message = format!("no requests come here from the edge, which leads to `{exposed}`");
                self.in_service(name, &["limits"], message);
            }
            None => {
                let message = "no requests come here from the edge: it leads to a service called `web`, or to \
                               the only one with a `port`";
                self.in_service(name, &["limits"], message);
            }
        }
    }

    fn image_of(&mut self, name: &ServiceName, other: &ServiceName) {
        let built = self.definition.services.get(other).map(|service| service.build.is_some());
        match built {
            None => {
                let known =
                    self.definition.builds().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
                let message =
                    format!("`{other}` is not a service, expected one of: {known}; or an image by digest");
                self.in_service(name, &["image"], message);
            }
            Some(false) => {
                self.in_service(
                    name,
                    &["image"],
                    format!("`{other}` builds no image, expected a service with `build`"),
                );
            }
            Some(true) => {}
        }
    }

    fn build(&mut self, name: &ServiceName, build: &Build) {
        if build.static_files.is_some() {
            let with_dockerfile = [
                ("dockerfile", build.dockerfile.is_some()),
                ("context", build.context.is_some()),
                ("args", !build.args.is_empty()),
            ];
            for (key, given) in with_dockerfile {
                if given {
                    self.in_service(
                        name,
                        &["build", key],
                        "static files are served without a Dockerfile: this key has no use",
                    );
                }
            }
        }
        let path = [self.service_path(name), vec!["build".to_owned(), "needs".to_owned()]].concat();
        self.needs(&path, Some(&NodeName::Build(name.clone())), &build.needs);
        let path = [self.service_path(name), vec!["build".to_owned(), "args".to_owned()]].concat();
        self.variables(&path, &build.args, false);
    }

    fn mounts(&mut self, name: &ServiceName, service: &Service) {
        let mut paths: BTreeMap<&AbsolutePath, &VolumeName> = BTreeMap::new();
        for (volume, mount) in &service.volumes {
            if let Some(other) = paths.insert(&mount.path, volume) {
                let message = format!("`{}` is the path of `{other}` already", mount.path);
                self.in_service(name, &["volumes", volume.as_str(), "path"], message);
            }
            if mount.access == VolumeAccess::Exclusive && service.replicas.max > Count::ONE {
                let message = format!(
                    "an exclusive volume is for one replica, and there are up to {}: expected `access: shared` or `replicas: 1`",
                    service.replicas.max
                );
                self.in_service(name, &["volumes", volume.as_str()], message);
            }
        }
    }

    /// Volumes that several services mount.
    fn volumes(&mut self) {
        let mut first: BTreeMap<&VolumeName, (&ServiceName, &super::Volume)> = BTreeMap::new();
        let definition = self.definition;
        for (name, service) in &definition.services {
            for (volume, mount) in &service.volumes {
                let Some((owner, known)) = first.get(volume).copied() else {
                    first.insert(volume, (name, mount));
                    continue;
                };
                if mount.access == VolumeAccess::Exclusive || known.access == VolumeAccess::Exclusive {
                    let message = format!("`{owner}` mounts it too, expected `access: shared` in both");
                    self.in_service(name, &["volumes", volume.as_str()], message);
                } else if mount.size != known.size {
                    let message = format!("another size than in `{owner}`, expected the same");
                    self.in_service(name, &["volumes", volume.as_str(), "size"], message);
                }
            }
        }
    }

    /// Names one cycle of `needs`, if there is any.
    fn cycles(&mut self) {
        let graph = needs_of(self.definition);
        let mut done: BTreeSet<&NodeName> = BTreeSet::new();
        for start in graph.keys() {
            let mut trail: Vec<(&NodeName, usize)> = vec![(start, 0)];
            while let Some((node, next)) = trail.pop() {
                let need = graph.get(node).and_then(|needs| needs.get(next));
                let Some(need) = need else {
                    done.insert(node);
                    continue;
                };
                trail.push((node, next + 1));
                if let Some(from) =
                    trail.iter().position(|(on_trail, _)| *on_trail == need).filter(|_| need != node)
                {
                    let names: Vec<String> = trail[from..].iter().map(|(node, _)| node.to_string()).collect();
                    let path = self.needs_path(node);
                    self.add(path, format!("a cycle: {} → {need}", names.join(" → ")));
                    return;
                }
                if need != node && !done.contains(need) {
                    trail.push((need, 0));
                }
            }
        }
    }

    fn needs_path(&self, node: &NodeName) -> Vec<String> {
        match node {
            NodeName::Step(step) => vec!["pipeline".into(), step.to_string(), "needs".into()],
            NodeName::Build(service) => {
                [self.service_path(service), vec!["build".to_owned(), "needs".to_owned()]].concat()
            }
        }
    }

    fn release(&mut self) {
        let Some(release) = &self.definition.release else { return };
        if !self.definition.services.contains_key(&release.service) {
            let known =
                self.definition.services.keys().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
            self.at(
                &["release", "service"],
                format!("`{}` is not a service, expected one of: {known}", release.service),
            );
        }
    }

    fn environments(&mut self) {
        let mut hosts = BTreeMap::new();
        let exposed = self.definition.exposed_service().is_some();
        for (name, environment) in &self.definition.environments {
            self.environment(name.as_str(), environment, exposed);
            if let Some(host) = &environment.host
                && let Some(other) = hosts.insert(host, name)
            {
                self.at(
                    &["environments", name.as_str(), "host"],
                    format!("`{host}` is the host of `{other}` already"),
                );
            }
        }
    }

    fn environment(&mut self, name: &str, environment: &Environment, exposed: bool) {
        if environment.host.is_some() && !exposed {
            let message =
                "no service to lead to, expected one called `web` with a `port`, or only one with a `port`";
            self.at(&["environments", name, "host"], message);
        }
        if environment.host.as_ref().is_some_and(|host| crate::route::is_preview(&host.to_string())) {
            self.at(
                &["environments", name, "host"],
                format!("hosts that start with `{}` lead to previews", crate::route::PREVIEW),
            );
        }
        if environment.pull_requests && environment.branch.is_some() {
            self.at(
                &["environments", name, "branch"],
                "given together with `pull-requests`, expected one of the two",
            );
        }
        if environment.expires.is_some() && !environment.pull_requests {
            self.at(&["environments", name, "expires"], "only environments for pull requests expire");
        }
        self.variables(&["environments".into(), name.to_owned(), "env".into()], &environment.env, false);
    }
}

/// Whether Naru sets this variable itself.
fn is_reserved(name: &str, in_step: bool) -> bool {
    name.starts_with("NARU_") || (in_step && name == "CI")
}

/// Every node of the step graph with what it needs.
pub(super) fn needs_of(definition: &ProjectDefinition) -> BTreeMap<NodeName, Vec<NodeName>> {
    let steps =
        definition.pipeline.iter().map(|(name, step)| (NodeName::Step(name.clone()), step.needs.clone()));
    let builds =
        definition.builds().map(|(name, build)| (NodeName::Build(name.clone()), build.needs.clone()));
    steps.chain(builds).collect()
}
