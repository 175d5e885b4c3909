//! Reading the pods of a Deployment and of the release command: one container, its variables, port, probe, limits and
//! mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assemble::{annotations, name};
use super::document::{Container, DeploymentSpec, Env, Object, PodSpec, ReadinessProbe, ReleaseJobSpec};
use super::refuse::Refusals;
use super::render::{
    LABEL_ENVIRONMENT, LABEL_MANAGED_BY, LABEL_NAME, LABEL_PROJECT, OF_SERVICE, READY_WITHIN, STRATEGY,
    release_container,
};
use super::{limit, value};
use crate::definition::Strategy;
use crate::name::{ServiceName, VariableName, VolumeName};
use crate::workload::{EnvironmentSpec, Limits, Mount, Probe, ReleaseCommand, ServiceSpec, Template, Value};

const DEFAULT_READY_WITHIN: Duration = Duration::from_mins(1);
/// Kubernetes' own default.
const DEFAULT_STOP_WITHIN: Duration = Duration::from_secs(30);

/// Reads the parts of one document.
pub(super) struct Reader<'a, 'b> {
    pub(super) refusals: &'a mut Refusals,
    pub(super) file: &'a str,
    pub(super) maps: &'a BTreeMap<&'b str, &'b BTreeMap<String, String>>,
}

impl Reader<'_, '_> {
    fn refuse(&mut self, path: &str, why: impl Into<String>) {
        self.refusals.add(self.file, path, why);
    }

    fn check<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        self.refusals.check(self.file, path, result)
    }

    pub(super) fn service(
        &mut self,
        object: &Object<DeploymentSpec>,
        spec: &EnvironmentSpec,
    ) -> Option<(ServiceName, ServiceSpec)> {
        annotations(self.refusals, self.file, &object.metadata.annotations, &[READY_WITHIN, STRATEGY]);
        let name: ServiceName = self.check("metadata.name", name(&object.metadata.name))?;
        let replicas = object.spec.replicas.unwrap_or(1);
        if replicas > limit::REPLICAS {
            self.refuse("spec.replicas", format!("at most {} replicas are honoured", limit::REPLICAS));
        }
        self.selector(&name, object);
        let ready_within = match object.metadata.annotations.get(READY_WITHIN) {
            Some(text) => {
                self.check(&format!("metadata.annotations[{READY_WITHIN}]"), value::seconds(text))?
            }
            None => DEFAULT_READY_WITHIN,
        };
        let pod = &object.spec.template.spec;
        if pod.restart_policy.as_ref().is_some_and(|policy| policy != "Always") {
            self.refuse("spec.template.spec.restartPolicy", "services are always restarted");
        }
        let mut template = self.template(name.as_str(), pod, spec)?;
        template.ready_within = ready_within;
        let strategy = self.strategy(object)?;
        Some((name, ServiceSpec { replicas, strategy, template }))
    }

    fn strategy(&mut self, object: &Object<DeploymentSpec>) -> Option<Strategy> {
        let Some(text) = object.metadata.annotations.get(STRATEGY) else { return Some(Strategy::default()) };
        let read = serde_json::from_str(text).map_err(|error| super::text::one_line(&error.to_string()));
        self.check(&format!("metadata.annotations[{STRATEGY}]"), read)
    }

    /// The selector finds the pods of this Deployment and no others.
    fn selector(&mut self, name: &ServiceName, object: &Object<DeploymentSpec>) {
        let labels = &object.spec.template.metadata.labels;
        let selector = &object.spec.selector.match_labels;
        if selector.get(LABEL_NAME).map(String::as_str) != Some(name.as_str())
            || selector.iter().any(|(label, value)| labels.get(label) != Some(value))
        {
            let why =
                format!("it does not match the template's labels, with `{LABEL_NAME}: {name}` among them");
            self.refuse("spec.selector.matchLabels", why);
        }
        let known = [LABEL_NAME, LABEL_MANAGED_BY, LABEL_PROJECT, LABEL_ENVIRONMENT];
        for label in labels.keys().filter(|label| !known.contains(&label.as_str())) {
            let at = format!("spec.template.metadata.labels[{label}]");
            self.refuse(&at, "labels are set by Naru; others are not honoured");
        }
    }

    fn template(&mut self, name: &str, pod: &PodSpec, spec: &EnvironmentSpec) -> Option<Template> {
        let at = "spec.template.spec";
        if pod.enable_service_links == Some(true) {
            self.refuse(&format!("{at}.enableServiceLinks"), "variables for other services are not made");
        }
        if pod.automount_service_account_token == Some(true) {
            self.refuse(
                &format!("{at}.automountServiceAccountToken"),
                "services have no account at the engine",
            );
        }
        let [container] = pod.containers.as_slice() else {
            self.refuse(&format!("{at}.containers"), "a replica has exactly one container");
            return None;
        };
        let at = format!("{at}.containers[0]");
        if container.name != name {
            self.refuse(&format!("{at}.name"), format!("the container is named as its service, `{name}`"));
        }
        if container.image_pull_policy.as_ref().is_some_and(|policy| policy != "IfNotPresent") {
            self.refuse(
                &format!("{at}.imagePullPolicy"),
                "images go by digest; only IfNotPresent makes sense",
            );
        }
        let image = container.image.parse().map_err(|error: crate::id::IdError| error.to_string());
        let image = self.check(&format!("{at}.image"), image)?;
        let stop_within =
            pod.termination_grace_period_seconds.map_or(DEFAULT_STOP_WITHIN, Duration::from_secs);
        if stop_within.as_secs() > limit::SECONDS {
            let why = format!("at most {} seconds are honoured", limit::SECONDS);
            self.refuse("spec.template.spec.terminationGracePeriodSeconds", why);
        }
        let port = self.port(&at, container);
        Some(Template {
            image,
            command: self.command(&at, container),
            variables: self.variables(&at, container),
            port,
            probe: container.readiness_probe.as_ref().and_then(|probe| self.probe(&at, probe, port)),
            limits: self.limits(&at, container),
            mounts: self.mounts(&at, pod, container, spec),
            ready_within: DEFAULT_READY_WITHIN,
            stop_within,
        })
    }

    fn command(&mut self, at: &str, container: &Container) -> Option<Vec<String>> {
        let words = container.command.as_ref()?;
        if words.is_empty() {
            self.refuse(&format!("{at}.command"), "an empty command runs nothing; leave the field out");
        }
        let mut plain = Vec::new();
        for (index, word) in words.iter().enumerate() {
            plain.extend(self.check(&format!("{at}.command[{index}]"), value::unescape_dollar(word)));
        }
        Some(plain)
    }

    fn variables(&mut self, at: &str, container: &Container) -> BTreeMap<VariableName, Value> {
        let mut variables = BTreeMap::new();
        for (index, source) in container.env_from.iter().enumerate() {
            let at = format!("{at}.envFrom[{index}].configMapRef.name");
            let Some(data) = self.maps.get(source.config_map_ref.name.as_str()).copied() else {
                self.refuse(&at, "no ConfigMap of this folder has this name");
                continue;
            };
            for (key, text) in data {
                if text.contains('\0') {
                    self.refuse(&at, "no process can be given a NUL character");
                }
                if let Some(name) = self.check(&at, name(key)) {
                    variables.insert(name, Value::Plain(text.clone()));
                }
            }
        }
        let mut own = BTreeSet::new();
        for (index, env) in container.env.iter().enumerate() {
            let at = format!("{at}.env[{index}]");
            let Some(name) = self.check::<VariableName>(&format!("{at}.name"), name(&env.name)) else {
                continue;
            };
            if !own.insert(name.clone()) {
                self.refuse(&format!("{at}.name"), format!("`{name}` is set twice"));
            }
            if let Some(value) = self.variable(&at, env) {
                variables.insert(name, value);
            }
        }
        variables
    }

    fn variable(&mut self, at: &str, env: &Env) -> Option<Value> {
        match (&env.value, &env.value_from) {
            (Some(_), Some(_)) => {
                self.refuse(at, "it has both `value` and `valueFrom`");
                None
            }
            (None, None) => Some(Value::Plain(String::new())),
            (Some(text), None) => {
                self.check(&format!("{at}.value"), value::unescape_dollar(text)).map(Value::Plain)
            }
            (None, Some(from)) => {
                let key = &from.secret_key_ref;
                let at = format!("{at}.valueFrom.secretKeyRef");
                let secret = self.check(&format!("{at}.key"), name(&key.key))?;
                let Some(version) = value::secret_version(&key.name, &secret) else {
                    let example = value::secret_object(&secret, crate::SecretVersion(1));
                    let given = value::shorten(&key.name);
                    self.refuse(
                        &format!("{at}.name"),
                        format!("{given} is not a version of `{secret}`, such as {example}"),
                    );
                    return None;
                };
                Some(Value::Secret(secret, version))
            }
        }
    }

    fn port(&mut self, at: &str, container: &Container) -> Option<u16> {
        match container.ports.as_slice() {
            [] => None,
            [port] if port.container_port > 0 => Some(port.container_port),
            _ => {
                self.refuse(&format!("{at}.ports"), "a service listens on one port above 0");
                None
            }
        }
    }

    fn probe(&mut self, at: &str, probe: &ReadinessProbe, port: Option<u16>) -> Option<Probe> {
        let at = format!("{at}.readinessProbe");
        let (found, asked) = match (&probe.http_get, &probe.tcp_socket) {
            (Some(get), None) => (Probe::Http { path: get.path.clone() }, get.port),
            (None, Some(socket)) => (Probe::Tcp, socket.port),
            _ => {
                self.refuse(&at, "it has either `httpGet` or `tcpSocket`");
                return None;
            }
        };
        if port != Some(asked) {
            self.refuse(&at, format!("it asks port {asked}, which the container does not list"));
        }
        if matches!(&found, Probe::Http { path } if !value::is_request_path(path)) {
            self.refuse(&format!("{at}.httpGet.path"), "a path starts with a slash and has no spaces");
        }
        Some(found)
    }

    fn limits(&mut self, at: &str, container: &Container) -> Limits {
        let mut limits = Limits::default();
        let found = container.resources.iter().flat_map(|resources| &resources.limits);
        for (name, quantity) in found {
            let at = format!("{at}.resources.limits.{name}");
            match name.as_str() {
                "cpu" => limits.cpu_millis = self.check(&at, value::cpu_millis(quantity)).unwrap_or_default(),
                "memory" => limits.memory_bytes = self.check(&at, value::bytes(quantity)).unwrap_or_default(),
                _ => self.refuse(&at, "only `cpu` and `memory` are limited"),
            }
        }
        limits
    }

    fn mounts(
        &mut self,
        at: &str,
        pod: &PodSpec,
        container: &Container,
        spec: &EnvironmentSpec,
    ) -> Vec<Mount> {
        for (index, volume) in pod.volumes.iter().enumerate() {
            let at = format!("spec.template.spec.volumes[{index}]");
            if volume.name != volume.persistent_volume_claim.claim_name {
                self.refuse(&format!("{at}.name"), "a volume is named as its claim");
            }
            if pod.volumes[..index].iter().any(|other| other.name == volume.name) {
                self.refuse(&format!("{at}.name"), "there is a second volume of this name");
            }
            if !container.volume_mounts.iter().any(|mount| mount.name == volume.name) {
                self.refuse(&at, "the volume is not mounted");
            }
        }
        let mut mounts: Vec<Mount> = Vec::new();
        for (index, mount) in container.volume_mounts.iter().enumerate() {
            let at = format!("{at}.volumeMounts[{index}]");
            let Some(volume) = self.check(&format!("{at}.name"), name::<VolumeName>(&mount.name)) else {
                continue;
            };
            if !pod.volumes.iter().any(|declared| declared.name == mount.name)
                || !spec.volumes.contains_key(&volume)
            {
                self.refuse(
                    &format!("{at}.name"),
                    format!("no claim of this folder is mounted as `{volume}`"),
                );
            }
            if !value::is_mount_path(&mount.mount_path) {
                let why = format!("{} is not an absolute path below /", value::shorten(&mount.mount_path));
                self.refuse(&format!("{at}.mountPath"), why);
            }
            if mounts.iter().any(|other| other.path == mount.mount_path) {
                self.refuse(&format!("{at}.mountPath"), "something else is mounted there");
            }
            mounts.push(Mount { volume, path: mount.mount_path.clone() });
        }
        mounts
    }

    pub(super) fn release_command(
        &mut self,
        object: &Object<ReleaseJobSpec>,
        spec: &EnvironmentSpec,
    ) -> Option<ReleaseCommand> {
        annotations(self.refusals, self.file, &object.metadata.annotations, &[OF_SERVICE]);
        let of_service = format!("metadata.annotations[{OF_SERVICE}]");
        let service = object.metadata.annotations.get(OF_SERVICE).map_or("", String::as_str);
        let service: ServiceName = self.check(&of_service, name(service))?;
        if !spec.services.contains_key(&service) {
            self.refuse(&of_service, format!("no Deployment is named `{service}`"));
            return None;
        }
        if object.spec.backoff_limit != 0 {
            self.refuse("spec.backoffLimit", "a release command runs once; only 0 is honoured");
        }
        let seconds = object.spec.active_deadline_seconds;
        if !(1..=limit::SECONDS).contains(&seconds) {
            self.refuse(
                "spec.activeDeadlineSeconds",
                format!("from 1 to {} seconds are honoured", limit::SECONDS),
            );
        }
        let pod = &object.spec.template.spec;
        if pod.restart_policy.as_deref() != Some("Never") {
            self.refuse(
                "spec.template.spec.restartPolicy",
                "a release command runs once; only Never is honoured",
            );
        }
        let template = self.template("release", pod, spec)?;
        let Some(words) = template.command.clone() else {
            self.refuse("spec.template.spec.containers[0].command", "a release command needs a command");
            return None;
        };
        let command = ReleaseCommand { service, command: words, time_limit: Duration::from_secs(seconds) };
        self.same_as_service(&template, &command, spec);
        Some(command)
    }

    /// The release command runs as its service runs; a difference would be ignored, so it is refused.
    fn same_as_service(&mut self, template: &Template, command: &ReleaseCommand, spec: &EnvironmentSpec) {
        let Some((_, mounts)) = release_container(spec, command) else { return };
        let service = &command.service;
        let of_service = &spec.services[service].template;
        for (field, same) in [
            ("image", template.image == of_service.image),
            ("env", template.variables == of_service.variables),
            ("resources", template.limits == of_service.limits),
            ("volumeMounts", template.mounts == mounts),
            ("ports", template.port.is_none() && template.probe.is_none()),
        ] {
            if !same {
                let at = format!("spec.template.spec.containers[0].{field}");
                self.refuse(&at, format!("it differs from service `{service}`, as which the command runs (shared volumes only, no port); write it in both"));
            }
        }
    }
}
