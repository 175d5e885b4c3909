//! What a node of the step graph asks the engine for. Pure.

use std::collections::BTreeMap;

use naru_image::plan::{BuildFrom, BuildOf, plan_build};
use naru_model::definition::{Build, CpuAmount, NodeName, ProjectDefinition, RelativePath, ScalarText, Step};
use naru_model::job::{JobKey, JobScope, JobSpec, JobWork, Workspace};
use naru_model::workload::{Limits, Value};
use naru_model::{Problem, SecretName, SecretVersion, ServiceName, VariableName};
use naru_store::run::Run;

use crate::Settings;

/// The job's name: the same after every restart, so that it is adopted.
pub(crate) fn key(run: &Run, node: &NodeName, attempt: u32) -> JobKey {
    let scope = JobScope::Run(run.project.clone(), run.number);
    JobKey { scope, name: node.job_name().to_string(), attempt }
}

/// The job. Refused when it needs a secret that is not set, or asks for what cannot be built.
pub(crate) fn spec(
    run: &Run,
    definition: &ProjectDefinition,
    node: &NodeName,
    secrets: &BTreeMap<SecretName, SecretVersion>,
    settings: &Settings,
) -> Result<JobSpec, Problem> {
    let gone = || Problem::new("pipeline.step-unknown", format!("the definition has no `{node}`"));
    match node {
        NodeName::Step(name) => {
            step(run, name.as_str(), definition.pipeline.get(name).ok_or_else(gone)?, secrets, settings)
        }
        NodeName::Build(name) => {
            let build =
                definition.services.get(name).and_then(|service| service.build.as_ref()).ok_or_else(gone)?;
            self::build(run, name, build, settings)
        }
    }
}

fn step(
    run: &Run,
    name: &str,
    step: &Step,
    secrets: &BTreeMap<SecretName, SecretVersion>,
    settings: &Settings,
) -> Result<JobSpec, Problem> {
    let own = [
        ("CI", "true".to_owned()),
        ("NARU_PROJECT", run.project.to_string()),
        ("NARU_RUN", run.number.to_string()),
        ("NARU_COMMIT", run.commit.to_string()),
        ("NARU_BRANCH", run.branch.to_string()),
    ];
    let variable = |name: &str| name.parse::<VariableName>().expect("a valid name");
    let mut variables: BTreeMap<VariableName, Value> = step
        .env
        .iter()
        .map(|(name, ScalarText(value))| (name.clone(), Value::Plain(value.clone())))
        .collect();
    variables.extend(own.map(|(name, value)| (variable(name), Value::Plain(value))));
    for secret in &step.secrets {
        let version = secrets.get(secret).ok_or_else(|| {
            Problem::new(
                "pipeline.secret-missing",
                format!("step `{name}` needs the secret `{secret}`, which is not set"),
            )
            .state("no release was made; what serves keeps serving")
            .hint("set it for the pipeline, then run the commit again:")
            .command(format!("naru secret set {secret} --project {} --pipeline", run.project))
        })?;
        variables.insert(variable(secret.as_str()), Value::Secret(secret.clone(), *version));
    }
    Ok(JobSpec {
        work: JobWork::Command {
            image: step.image.to_string(),
            command: step.run.arguments(),
            workspace: Some(Workspace { project: run.project.clone(), commit: run.commit.clone() }),
            caches: step.cache.iter().map(|(cache, path)| (path.to_string(), cache.to_string())).collect(),
            beside: step.beside.iter().map(|(name, image)| (name.to_string(), image.to_string())).collect(),
            environment: None,
        },
        variables,
        limits: Limits {
            cpu_millis: step.cpu.map_or(0, CpuAmount::millis),
            memory_bytes: step.memory.bytes(),
        },
        time_limit: step.timeout.duration(),
        log_limit_bytes: settings.log_limit_bytes,
    })
}

fn build(run: &Run, service: &ServiceName, build: &Build, settings: &Settings) -> Result<JobSpec, Problem> {
    let of = BuildOf {
        project: &run.project,
        run: run.number,
        service,
        commit: &run.commit,
        registry_host: &settings.registry_host,
    };
    let from = match &build.static_files {
        Some(folder) => BuildFrom::StaticFiles { folder: folder.as_str() },
        None => BuildFrom::Dockerfile {
            context: build.context_folder(),
            dockerfile: build.dockerfile.as_ref().map(RelativePath::as_str),
        },
    };
    let arguments =
        build.args.iter().map(|(name, ScalarText(value))| (name.to_string(), value.clone())).collect();
    Ok(JobSpec {
        work: plan_build(of, from, &arguments)?,
        variables: BTreeMap::new(),
        limits: Limits {
            cpu_millis: build.cpu.map_or(0, CpuAmount::millis),
            memory_bytes: build.memory.bytes(),
        },
        time_limit: build.timeout.duration(),
        log_limit_bytes: settings.log_limit_bytes,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn static_sites_listen_where_their_definition_says() {
        assert_eq!(naru_image::plan::STATIC_PORT, naru_model::definition::Port::STATIC.get());
    }
}
