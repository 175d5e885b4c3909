//! From a definition to what one environment should run. Pure: the same inputs give the same [`EnvironmentSpec`].

use std::collections::BTreeMap;

use super::text::{Host, ServiceImage};
use super::{Environment, ProjectDefinition, ScalarText, Service};
use crate::name::{EnvironmentName, ProjectName, SecretName, ServiceName, VariableName};
use crate::workload::{
    EnvironmentSpec, Limits, Mount, Probe, ReleaseCommand, RouteSpec, ServiceSpec, Template, Value,
    VolumeSpec,
};
use crate::{ConfigurationVersion, ImageReference, Problem, ReleaseNumber, SecretVersion};

/// What a definition is combined with.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// Which of its environments.
    pub environment: &'a EnvironmentName,
    /// The release's number.
    pub release: ReleaseNumber,
    /// The release's images, by the service that built them.
    pub images: &'a BTreeMap<ServiceName, ImageReference>,
    /// The environment's configuration version.
    pub configuration: ConfigurationVersion,
    /// The variables of that version. They win over those of the file.
    pub variables: &'a BTreeMap<VariableName, String>,
    /// The current versions of the environment's secrets. They win over variables.
    pub secrets: &'a BTreeMap<SecretName, SecretVersion>,
    /// The domain below which hosts are made for environments without one.
    pub domain: &'a str,
}

/// What the environment should run. Fails when an image is missing or no valid host can be made.
pub fn compose(definition: &ProjectDefinition, with: &Ingredients<'_>) -> Result<EnvironmentSpec, Problem> {
    let environment = definition.environments.get(with.environment).cloned().unwrap_or_default();
    let mut spec = EnvironmentSpec {
        release: Some(with.release),
        configuration: with.configuration,
        ..EnvironmentSpec::default()
    };
    for (name, service) in &definition.services {
        let template = template(definition, name, service, &environment, with)?;
        spec.services.insert(
            name.clone(),
            ServiceSpec {
                replicas: service.replicas.min.get(),
                strategy: service.strategy.clone(),
                template,
            },
        );
        for (volume, mount) in &service.volumes {
            let size_bytes = mount.size.map_or(0, super::ByteAmount::bytes);
            spec.volumes.insert(volume.clone(), VolumeSpec { access: mount.access, size_bytes });
        }
    }
    spec.release_command = definition.release.as_ref().map(|release| ReleaseCommand {
        service: release.service.clone(),
        command: release.run.arguments().to_vec(),
        time_limit: release.timeout.duration(),
    });
    if let Some(service) = definition.exposed_service() {
        let host = host(&environment, with)?.to_string();
        let limits = definition.services.get(service).map(|service| service.limits).unwrap_or_default();
        spec.routes.push(RouteSpec { host, path: "/".into(), service: service.clone(), limits });
    }
    Ok(spec)
}

fn template(
    definition: &ProjectDefinition,
    name: &ServiceName,
    service: &Service,
    environment: &Environment,
    with: &Ingredients<'_>,
) -> Result<Template, Problem> {
    let mount = |(volume, mount): (&crate::VolumeName, &super::Volume)| Mount {
        volume: volume.clone(),
        path: mount.path.to_string(),
    };
    Ok(Template {
        image: image(definition, name, service, with)?,
        command: service.run.as_ref().map(|run| run.arguments().to_vec()),
        variables: variables(name, service, environment, with),
        port: service.port.map(super::Port::get),
        probe: service.port.map(|_| match &service.health {
            Some(path) => Probe::Http { path: path.to_string() },
            None => Probe::Tcp,
        }),
        limits: Limits {
            cpu_millis: service.cpu.map_or(0, super::CpuAmount::millis),
            memory_bytes: service.memory.bytes(),
        },
        mounts: service.volumes.iter().map(mount).collect(),
        ready_within: service.start.duration(),
        stop_within: service.stop.duration(),
    })
}

fn image(
    definition: &ProjectDefinition,
    name: &ServiceName,
    service: &Service,
    with: &Ingredients<'_>,
) -> Result<ImageReference, Problem> {
    if let Some(ServiceImage::External(image)) = &service.image {
        return Ok(image.clone());
    }
    let found = definition.image_source(name).and_then(|source| with.images.get(source));
    found.cloned().ok_or_else(|| {
        Problem::new(
            "definition.image-missing",
            format!("release {} of `{}` has no image for service `{name}`", with.release, with.project),
        )
        .state("nothing was changed; what serves keeps serving")
        .hint("push a commit, so that a new run builds it")
    })
}

/// Naru's own < `PORT` < the file's service < the file's environment < configuration < secrets.
fn variables(
    name: &ServiceName,
    service: &Service,
    environment: &Environment,
    with: &Ingredients<'_>,
) -> BTreeMap<VariableName, Value> {
    let own = |variable: &str, value: &str| {
        (variable.parse::<VariableName>().expect("a valid name"), Value::Plain(value.to_owned()))
    };
    let mut variables = BTreeMap::from([
        own("NARU_PROJECT", with.project.as_str()),
        own("NARU_ENVIRONMENT", with.environment.as_str()),
        own("NARU_SERVICE", name.as_str()),
    ]);
    variables.extend(service.port.map(|port| own("PORT", &port.to_string())));
    for file in [&service.env, &environment.env] {
        variables
            .extend(file.iter().map(|(name, ScalarText(value))| (name.clone(), Value::Plain(value.clone()))));
    }
    variables.extend(with.variables.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone()))));
    variables.extend(with.secrets.iter().map(|(name, version)| {
        let variable = name.as_str().parse().expect("secret names are variable names");
        (variable, Value::Secret(name.clone(), *version))
    }));
    variables
}

/// The environment's host: the file's, or one made from names.
fn host(environment: &Environment, with: &Ingredients<'_>) -> Result<Host, Problem> {
    if let Some(host) = &environment.host {
        return Ok(host.clone());
    }
    let made = match with.environment.as_str() {
        "production" => format!("{}.{}", with.project, with.domain),
        other => format!("{}-{other}.{}", with.project, with.domain),
    };
    made.parse().map_err(|()| {
        Problem::new("definition.host-invalid", format!("no host can be made for `{}`", with.environment))
            .cause(format!(
                "`{made}` is not a host name: each part may have at most 63 letters, digits and hyphens"
            ))
            .state("nothing was changed; what serves keeps serving")
            .hint(format!("set `environments.{}.host` in naru.yaml and push again", with.environment))
    })
}
