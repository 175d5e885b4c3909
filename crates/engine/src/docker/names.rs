//! How the engine's objects are named and labelled. Names are for people and for doing things once; everything that
//! is read back is read from labels, so [`crate::Engine::observe`] needs no memory.
//!
//! Parts of a name are joined by `.`, which no part can contain: `shop` + `web-1` and `shop-web` + `1` stay apart.

use std::collections::BTreeMap;

use naru_model::job::{JobKey, JobScope};
use naru_model::rollout::ReplicaKey;
use naru_model::workload::{Limits, Probe, Template};
use naru_model::{EnvironmentKey, Generation, InstanceId, ProjectName, VolumeName};

/// Whose it is. Nothing without our value here is ever touched.
pub(crate) const INSTANCE: &str = "dev.naru.instance";
/// What it is: `replica`, `job`, `beside`, `network`, `volume`, `cache`, `image`.
pub(crate) const KIND: &str = "dev.naru.kind";
/// The project.
pub(crate) const PROJECT: &str = "dev.naru.project";
/// The environment.
pub(crate) const ENVIRONMENT: &str = "dev.naru.environment";
/// The service.
pub(crate) const SERVICE: &str = "dev.naru.service";
const REVISION: &str = "dev.naru.revision";
const INDEX: &str = "dev.naru.index";
const ATTEMPT: &str = "dev.naru.attempt";
const TEMPLATE: &str = "dev.naru.template";
const GENERATION: &str = "dev.naru.generation";
const PORT: &str = "dev.naru.port";
const PROBE: &str = "dev.naru.probe";
const LIMITS: &str = "dev.naru.limits";
/// Names of the variables that hold secrets, separated by commas: their values are masked in what is shown.
pub(crate) const SECRETS: &str = "dev.naru.secrets";
/// A job's key, as JSON.
pub(crate) const JOB: &str = "dev.naru.job";
/// The tail of a job's names, for finding what belongs to it.
pub(crate) const JOB_NAME: &str = "dev.naru.job-name";
/// What a job belongs to.
pub(crate) const SCOPE: &str = "dev.naru.job-scope";
/// A job's bounds, as JSON.
pub(crate) const JOB_BOUNDS: &str = "dev.naru.job-bounds";

/// Labels of one object.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a replica's labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaLabels {
    pub(crate) key: ReplicaKey,
    pub(crate) template: String,
    pub(crate) port: Option<u16>,
    pub(crate) probe: Option<Probe>,
    pub(crate) limits: Limits,
}

/// Labels that everything of ours carries.
pub(crate) fn owned(instance: &InstanceId, kind: &str) -> Labels {
    Labels::from([(INSTANCE.to_owned(), instance.to_string()), (KIND.to_owned(), kind.to_owned())])
}

/// Labels of what belongs to an environment.
pub(crate) fn of_environment(instance: &InstanceId, kind: &str, environment: &EnvironmentKey) -> Labels {
    let mut labels = owned(instance, kind);
    labels.insert(PROJECT.to_owned(), environment.project.to_string());
    labels.insert(ENVIRONMENT.to_owned(), environment.environment.to_string());
    labels
}

/// Labels of a replica. No value of a variable is among them.
pub(crate) fn of_replica(
    instance: &InstanceId,
    environment: &EnvironmentKey,
    generation: Generation,
    key: &ReplicaKey,
    template: &Template,
) -> Labels {
    let mut labels = of_environment(instance, "replica", environment);
    let mut set = |name: &str, value: String| labels.insert(name.to_owned(), value);
    set(SERVICE, key.service.to_string());
    set(REVISION, key.revision.to_string());
    set(INDEX, key.index.to_string());
    set(ATTEMPT, key.attempt.to_string());
    set(TEMPLATE, template.hash().0);
    set(GENERATION, generation.to_string());
    set(LIMITS, json(&template.limits));
    if let Some(port) = template.port {
        set(PORT, port.to_string());
    }
    if let Some(probe) = &template.probe {
        set(PROBE, json(probe));
    }
    labels
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("labels are plain data")
}

/// Reads a replica's labels back; `None` when they are not what we wrote.
pub(crate) fn read_replica(labels: &Labels) -> Option<ReplicaLabels> {
    let get = |name: &str| labels.get(name).map(String::as_str);
    if get(KIND) != Some("replica") {
        return None;
    }
    let key = ReplicaKey {
        service: get(SERVICE)?.parse().ok()?,
        revision: get(REVISION)?.parse().ok()?,
        index: get(INDEX)?.parse().ok()?,
        attempt: get(ATTEMPT)?.parse().ok()?,
    };
    Some(ReplicaLabels {
        key,
        template: get(TEMPLATE)?.to_owned(),
        port: get(PORT).and_then(|text| text.parse().ok()),
        probe: get(PROBE).and_then(|text| serde_json::from_str(text).ok()),
        limits: get(LIMITS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
    })
}

/// Reads which environment an object belongs to.
pub(crate) fn read_environment(labels: &Labels) -> Option<EnvironmentKey> {
    Some(EnvironmentKey {
        project: labels.get(PROJECT)?.parse().ok()?,
        environment: labels.get(ENVIRONMENT)?.parse().ok()?,
    })
}

/// A replica's container.
pub(crate) fn replica(instance: &InstanceId, environment: &EnvironmentKey, key: &ReplicaKey) -> String {
    let EnvironmentKey { project, environment } = environment;
    let ReplicaKey { service, revision, index, attempt } = key;
    format!("naru-{instance}.{project}.{environment}.{service}.{revision}-{index}-{attempt}")
}

/// An environment's network.
pub(crate) fn network(instance: &InstanceId, environment: &EnvironmentKey) -> String {
    format!("naru-{instance}.{}.{}", environment.project, environment.environment)
}

/// A volume of an environment.
pub(crate) fn volume(instance: &InstanceId, environment: &EnvironmentKey, volume: &VolumeName) -> String {
    format!("naru-{instance}.{}.{}.{volume}", environment.project, environment.environment)
}

/// A job's scope as text.
pub(crate) fn scope(scope: &JobScope) -> String {
    match scope {
        JobScope::Run(project, run) => format!("{project}.run-{run}"),
        JobScope::Revision(environment, revision) => {
            format!("{}.{}.rev-{revision}", environment.project, environment.environment)
        }
    }
}

/// The tail of a job's names: container, network, folder.
pub(crate) fn job_tail(key: &JobKey) -> String {
    format!("{}.{}.{}", scope(&key.scope), key.name, key.attempt)
}

/// Labels of what belongs to a job.
pub(crate) fn of_job(instance: &InstanceId, kind: &str, key: &JobKey) -> Labels {
    let mut labels = owned(instance, kind);
    let mut set = |name: &str, value: String| labels.insert(name.to_owned(), value);
    set(PROJECT, job_project(key).to_string());
    set(JOB, json(key));
    set(JOB_NAME, job_tail(key));
    set(SCOPE, scope(&key.scope));
    labels
}

/// Reads which job an object belongs to.
pub(crate) fn read_job(labels: &Labels) -> Option<JobKey> {
    serde_json::from_str(labels.get(JOB)?).ok()
}

fn job_project(key: &JobKey) -> &ProjectName {
    match &key.scope {
        JobScope::Run(project, _) => project,
        JobScope::Revision(environment, _) => &environment.project,
    }
}

/// A container beside a job.
pub(crate) fn beside(instance: &InstanceId, key: &JobKey, name: &str) -> String {
    format!("naru-{instance}.beside.{}.{name}", job_tail(key))
}

/// A job's container; also its own network.
pub(crate) fn job(instance: &InstanceId, key: &JobKey) -> String {
    format!("naru-{instance}.job.{}", job_tail(key))
}

/// A project's cache volume.
pub(crate) fn cache(instance: &InstanceId, key: &JobKey, name: &str) -> String {
    let project = job_project(key);
    format!("naru-{instance}.cache.{project}.{name}")
}

/// The repository under which images are known locally by the digest that the registry knows them by: pushing
/// compresses layers, so the digest of what was built here differs from the digest of what was pushed.
pub(crate) fn local_repository(instance: &InstanceId) -> String {
    format!("localhost/naru-{instance}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(project: &str, environment: &str) -> EnvironmentKey {
        EnvironmentKey { project: project.parse().unwrap(), environment: environment.parse().unwrap() }
    }

    #[test]
    fn names_of_different_things_differ() {
        let instance: InstanceId = "0123456789ab".parse().unwrap();
        assert_ne!(
            network(&instance, &environment("a", "b-c")),
            network(&instance, &environment("a-b", "c"))
        );
        let key = |service: &str, revision: u32, index, attempt| ReplicaKey {
            service: service.parse().unwrap(),
            revision: naru_model::RevisionNumber(revision),
            index,
            attempt,
        };
        let of = |key| replica(&instance, &environment("shop", "production"), &key);
        assert_ne!(of(key("web", 1, 2, 3)), of(key("web-1", 2, 3, 0)));
        assert_eq!(of(key("web", 41, 0, 0)), "naru-0123456789ab.shop.production.web.41-0-0");
    }
}
