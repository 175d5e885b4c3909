//! What a revision asks for → the files of its folder. Deterministic: equal specs give equal text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use sha2::Digest as _;

use super::document::{
    ClaimReference, ClaimResources, ClaimSpec, ConfigMap, Container, ContainerPort, DeploymentSpec, Env,
    HttpGet, Kustomization, Labels, Metadata, Object, PodMetadata, PodSpec, PodTemplate, PodVolume,
    ReadinessProbe, ReleaseJobSpec, Resources, SecretKey, Selector, ServiceObjectSpec, ServicePort,
    StorageRequest, Strategy, TcpSocket, ValueFrom, VolumeMount,
};
use super::{Files, KUSTOMIZATION, routes, text, value};
use crate::id::EnvironmentKey;
use crate::name::ServiceName;
use crate::workload::{
    EnvironmentSpec, Mount, Probe, ReleaseCommand, ServiceSpec, Template, Value, VolumeAccess, VolumeSpec,
};

/// The ConfigMap that says which release and configuration a folder was rendered from.
pub(super) const STATEMENT: &str = "naru";
pub(super) const READY_WITHIN: &str = "naru.dev/ready-within";
pub(super) const STRATEGY: &str = "naru.dev/strategy";
/// Of an HTTPRoute: the bounds of its routes, as JSON.
pub(super) const LIMITS: &str = "naru.dev/limits";
pub(super) const ACCESS: &str = "naru.dev/access";
pub(super) const SIZE: &str = "naru.dev/size";
pub(super) const OF_SERVICE: &str = "naru.dev/service";
pub(super) const LABEL_NAME: &str = "app.kubernetes.io/name";
pub(super) const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(super) const LABEL_PROJECT: &str = "naru.dev/project";
pub(super) const LABEL_ENVIRONMENT: &str = "naru.dev/environment";
/// The Gateway that routes attach to.
pub(super) const GATEWAY: &str = "naru";
/// What a claim asks for when its volume has no size: Kubernetes wants a number.
const CLAIM_WITHOUT_SIZE: &str = "1Gi";

/// Writes the files of an environment's folder.
pub fn render(environment: &EnvironmentKey, spec: &EnvironmentSpec) -> Files {
    let spec = canonical(spec);
    let mut files = Files::new();
    files.insert("configmap-naru.yaml".to_owned(), text::write(&statement(environment, &spec)));
    for (name, volume) in &spec.volumes {
        files.insert(format!("claim-{name}.yaml"), text::write(&claim(environment, name.as_str(), volume)));
    }
    for (name, service) in &spec.services {
        let strategy = spec.is_exclusive(name).then(|| Strategy { kind: "Recreate".to_owned() });
        let deployment = deployment(environment, name, service, strategy);
        files.insert(format!("deployment-{name}.yaml"), text::write(&deployment));
        if let Some(port) = service.template.port {
            files.insert(
                format!("service-{name}.yaml"),
                text::write(&service_object(environment, name, port)),
            );
        }
    }
    for route in routes::render(environment, &spec) {
        files.insert(format!("route-{}.yaml", route.metadata.name), text::write(&route));
    }
    if let Some(job) =
        spec.release_command.as_ref().and_then(|command| release_job(environment, &spec, command))
    {
        files.insert("job-release.yaml".to_owned(), text::write(&job));
    }
    let kustomization = Kustomization {
        api_version: "kustomize.config.k8s.io/v1beta1".to_owned(),
        kind: "Kustomization".to_owned(),
        resources: files.keys().cloned().collect(),
    };
    files.insert(KUSTOMIZATION.to_owned(), text::write(&kustomization));
    files
}

/// The one form that a spec has in manifests: routes in order and once each, durations in whole seconds, no probe
/// without a port, no empty command.
pub fn canonical(spec: &EnvironmentSpec) -> EnvironmentSpec {
    let mut spec = spec.clone();
    let whole = |duration: Duration| Duration::from_secs(value::whole_seconds(duration));
    for service in spec.services.values_mut() {
        let template = &mut service.template;
        template.ready_within = whole(template.ready_within);
        template.stop_within = whole(template.stop_within);
        template.probe = template.probe.take().filter(|_| template.port.is_some());
        template.command = template.command.take().filter(|command| !command.is_empty());
    }
    if let Some(command) = &mut spec.release_command {
        command.time_limit = whole(command.time_limit);
    }
    spec.routes.sort_by(|a, b| (&a.host, &a.path, &a.service).cmp(&(&b.host, &b.path, &b.service)));
    spec.routes.dedup();
    spec
}

/// The labels of an object.
pub(super) fn labels(environment: &EnvironmentKey, name: &str) -> Labels {
    Labels::from([
        (LABEL_NAME.to_owned(), name.to_owned()),
        (LABEL_MANAGED_BY.to_owned(), "naru".to_owned()),
        (LABEL_PROJECT.to_owned(), environment.project.to_string()),
        (LABEL_ENVIRONMENT.to_owned(), environment.environment.to_string()),
    ])
}

/// The labels that tell a service's pods from all others.
pub(super) fn selector(environment: &EnvironmentKey, service: &str) -> Labels {
    let mut labels = labels(environment, service);
    labels.remove(LABEL_MANAGED_BY);
    labels
}

fn metadata(environment: &EnvironmentKey, name: &str) -> Metadata {
    Metadata { name: name.to_owned(), labels: labels(environment, name), annotations: BTreeMap::new() }
}

/// An object with Naru's labels.
pub(super) fn object<Spec>(api_version: &str, kind: &str, metadata: Metadata, spec: Spec) -> Object<Spec> {
    Object { api_version: api_version.to_owned(), kind: kind.to_owned(), metadata, spec }
}

fn statement(environment: &EnvironmentKey, spec: &EnvironmentSpec) -> ConfigMap {
    let mut data = BTreeMap::from([("configuration".to_owned(), spec.configuration.to_string())]);
    if let Some(release) = spec.release {
        data.insert("release".to_owned(), release.to_string());
    }
    ConfigMap {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        metadata: metadata(environment, STATEMENT),
        data,
    }
}

fn claim(environment: &EnvironmentKey, name: &str, volume: &VolumeSpec) -> Object<ClaimSpec> {
    let (access, mode) = access(volume.access);
    let mut metadata = metadata(environment, name);
    metadata.annotations.insert(ACCESS.to_owned(), access.to_owned());
    let storage = if volume.size_bytes == 0 {
        metadata.annotations.insert(SIZE.to_owned(), "any".to_owned());
        CLAIM_WITHOUT_SIZE.to_owned()
    } else {
        value::bytes_text(volume.size_bytes)
    };
    let spec = ClaimSpec {
        access_modes: vec![mode.to_owned()],
        resources: ClaimResources { requests: StorageRequest { storage: json!(storage) } },
    };
    object("v1", "PersistentVolumeClaim", metadata, spec)
}

/// How Naru and Kubernetes call it.
pub(super) fn access(access: VolumeAccess) -> (&'static str, &'static str) {
    match access {
        VolumeAccess::Exclusive => ("exclusive", "ReadWriteOnce"),
        VolumeAccess::Shared => ("shared", "ReadWriteMany"),
    }
}

fn deployment(
    environment: &EnvironmentKey,
    name: &ServiceName,
    service: &ServiceSpec,
    strategy: Option<Strategy>,
) -> Object<DeploymentSpec> {
    let template = &service.template;
    let mut metadata = metadata(environment, name.as_str());
    metadata.annotations.insert(READY_WITHIN.to_owned(), value::seconds_text(template.ready_within));
    if service.strategy != crate::definition::Strategy::default() {
        let text = serde_json::to_string(&service.strategy).expect("a strategy is plain data");
        metadata.annotations.insert(STRATEGY.to_owned(), text);
    }
    let mut pod = pod(container(name.as_str(), template), &template.mounts);
    pod.termination_grace_period_seconds = Some(value::whole_seconds(template.stop_within));
    let spec = DeploymentSpec {
        replicas: Some(service.replicas),
        strategy,
        selector: Selector { match_labels: selector(environment, name.as_str()) },
        template: PodTemplate {
            metadata: PodMetadata { labels: labels(environment, name.as_str()) },
            spec: pod,
        },
    };
    object("apps/v1", "Deployment", metadata, spec)
}

fn pod(container: Container, mounts: &[Mount]) -> PodSpec {
    let claims: BTreeSet<&str> = mounts.iter().map(|mount| mount.volume.as_str()).collect();
    PodSpec {
        // Both would give the process something that the docker engine does not: variables for every Service, and a
        // token of the cluster.
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        restart_policy: None,
        termination_grace_period_seconds: None,
        containers: vec![container],
        volumes: claims
            .into_iter()
            .map(|claim| PodVolume {
                name: claim.to_owned(),
                persistent_volume_claim: ClaimReference { claim_name: claim.to_owned() },
            })
            .collect(),
    }
}

pub(super) fn container(name: &str, template: &Template) -> Container {
    let mut limits = BTreeMap::new();
    if template.limits.cpu_millis > 0 {
        limits.insert("cpu".to_owned(), json!(value::cpu_text(template.limits.cpu_millis)));
    }
    if template.limits.memory_bytes > 0 {
        limits.insert("memory".to_owned(), json!(value::bytes_text(template.limits.memory_bytes)));
    }
    Container {
        name: name.to_owned(),
        image: template.image.to_string(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: template
            .command
            .as_ref()
            .map(|words| words.iter().map(|word| value::escape_dollar(word)).collect()),
        env_from: Vec::new(),
        env: template.variables.iter().map(|(name, value)| env(name.as_str(), value)).collect(),
        ports: template.port.iter().map(|port| ContainerPort { container_port: *port }).collect(),
        readiness_probe: template
            .probe
            .as_ref()
            .zip(template.port)
            .map(|(probe, port)| readiness(probe, port)),
        resources: (!limits.is_empty()).then_some(Resources { limits }),
        volume_mounts: template
            .mounts
            .iter()
            .map(|mount| VolumeMount { name: mount.volume.to_string(), mount_path: mount.path.clone() })
            .collect(),
    }
}

fn env(name: &str, value: &Value) -> Env {
    let (plain, from) = match value {
        Value::Plain(text) => (Some(value::escape_dollar(text)), None),
        Value::Secret(secret, version) => {
            let key = SecretKey { name: value::secret_object(secret, *version), key: secret.to_string() };
            (None, Some(ValueFrom { secret_key_ref: key }))
        }
    };
    Env { name: name.to_owned(), value: plain, value_from: from }
}

fn readiness(probe: &Probe, port: u16) -> ReadinessProbe {
    match probe {
        Probe::Http { path } => {
            ReadinessProbe { http_get: Some(HttpGet { path: path.clone(), port }), tcp_socket: None }
        }
        Probe::Tcp => ReadinessProbe { http_get: None, tcp_socket: Some(TcpSocket { port }) },
    }
}

fn service_object(environment: &EnvironmentKey, name: &ServiceName, port: u16) -> Object<ServiceObjectSpec> {
    let spec = ServiceObjectSpec {
        selector: selector(environment, name.as_str()),
        ports: vec![ServicePort { port, target_port: Some(port) }],
    };
    object("v1", "Service", metadata(environment, name.as_str()), spec)
}

/// What the release command's container looks like: its service's, with shared volumes only.
pub(super) fn release_container(
    spec: &EnvironmentSpec,
    command: &ReleaseCommand,
) -> Option<(Container, Vec<Mount>)> {
    let mut template = spec.services.get(&command.service)?.template.clone();
    let is_shared = |mount: &Mount| {
        spec.volumes.get(&mount.volume).is_some_and(|volume| volume.access == VolumeAccess::Shared)
    };
    template.mounts.retain(is_shared);
    template.command = Some(command.command.clone());
    template.port = None;
    template.probe = None;
    let mounts = template.mounts.clone();
    Some((container("release", &template), mounts))
}

fn release_job(
    environment: &EnvironmentKey,
    spec: &EnvironmentSpec,
    command: &ReleaseCommand,
) -> Option<Object<ReleaseJobSpec>> {
    let (container, mounts) = release_container(spec, command)?;
    let mut pod = pod(container, &mounts);
    pod.restart_policy = Some("Never".to_owned());
    let job = ReleaseJobSpec {
        active_deadline_seconds: value::whole_seconds(command.time_limit),
        backoff_limit: 0,
        template: PodTemplate { metadata: PodMetadata { labels: labels(environment, "release") }, spec: pod },
    };
    // A Job cannot be changed once it exists, so another template is another name.
    let content = sha2::Sha256::digest(text::write(&job));
    let mut metadata = metadata(environment, "release");
    metadata.name = format!("release-{}", hex::encode(&content[..6]));
    metadata.annotations.insert(OF_SERVICE.to_owned(), command.service.to_string());
    Some(object("batch/v1", "Job", metadata, job))
}
