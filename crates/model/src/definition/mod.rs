//! `naru.yaml`: its types, and the way from text to a definition that has been checked.
//!
//! Reading: [`read`] (files of a commit → [`ProjectDefinition`], or one [`Problem`](crate::Problem) that lists what is
//! wrong with key path and line). Using: [`compose`] (definition + release + configuration → what an environment should run). Not here: where the text comes from, and what becomes of the result.
//!
//! A [`ProjectDefinition`] written as JSON and read again is the same; releases keep it in that form.

mod amount;
mod check;
mod compose;
mod decode;
mod document;
mod fault;
mod limits;
mod read;
mod schema;
mod service;
pub(crate) mod strategy;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use amount::{ByteAmount, Count, CpuAmount, Percent, Port, ScalarText, TimeSpan};
pub use compose::{Ingredients, compose};
pub use limits::{RequestCount, RequestLimits, RequestRate};
pub use read::{RepositoryFiles, parse, read};
pub use schema::schema;
pub use service::{Build, Replicas, Service, Volume};
pub use strategy::{Analysis, BlueGreen, Canary, Portion, Promotion, Rolling, Stickiness, Strategy};
pub use text::{
    AbsolutePath, CommandLine, ContainerImage, Host, NodeName, RelativePath, Schedule, Script, ServiceImage,
    UrlPath, Zone,
};

use crate::name::{BranchName, EnvironmentName, SecretName, ServiceName, StepName, VariableName};

/// The file's name in the repository's root.
pub const FILE_NAME: &str = "naru.yaml";

/// A project as its `naru.yaml` describes it, checked: every name that is referred to exists.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectDefinition {
    /// Steps by name.
    #[serde(default)]
    pub pipeline: BTreeMap<StepName, Step>,
    /// Services by name; at least one.
    pub services: BTreeMap<ServiceName, Service>,
    /// Runs once per revision, on the new image, before any traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Environments as written; see [`ProjectDefinition::environments`] for the default.
    #[serde(default)]
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// A step of the pipeline: a command in a container, with the commit's files in `/workspace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with the settings of a step")]
pub struct Step {
    /// The image it runs in.
    pub image: ContainerImage,
    /// What it runs: lines for `/bin/sh -e`, or an argument vector.
    pub run: Script,
    /// What must succeed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<NodeName>,
    /// Secrets of the pipeline that it gets as environment variables. They are masked in its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// Folders that are kept between runs of the project: cache name → path in the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cache: BTreeMap<StepName, AbsolutePath>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<VariableName, ScalarText>,
    /// The most CPU it may use. Without it there is no bound, but services go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuAmount>,
    /// The most memory it may use.
    #[serde(default = "Step::default_memory")]
    pub memory: ByteAmount,
    /// How long it may take.
    #[serde(default = "Step::default_timeout")]
    pub timeout: TimeSpan,
    /// Containers beside it, reachable under these names: name → image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<ServiceName, ContainerImage>,
}

impl Step {
    fn default_memory() -> ByteAmount {
        ByteAmount::new(2 << 30)
    }
    fn default_timeout() -> TimeSpan {
        TimeSpan::seconds(30 * 60)
    }
}

/// The command that gates the switch to a new revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ service, run, timeout }")]
pub struct Release {
    /// It runs with this service's image, variables and limits.
    pub service: ServiceName,
    /// What it runs. A line is split into words without a shell.
    pub run: CommandLine,
    /// How long it may take.
    #[serde(default = "Release::default_timeout")]
    pub timeout: TimeSpan,
}

impl Release {
    fn default_timeout() -> TimeSpan {
        TimeSpan::seconds(10 * 60)
    }
}

/// A place where the project runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with the settings of an environment")]
pub struct Environment {
    /// The branch it follows. `production` follows the project's default branch when none is given; another
    /// environment without one is only reached by promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
    /// Where it is served. `<project>.<domain>` for production and `<project>-<environment>.<domain>` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Environment variables, over those of the services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<VariableName, ScalarText>,
    /// Makes one environment per pull request. Later.
    #[serde(default, rename = "pull-requests", skip_serializing_if = "std::ops::Not::not")]
    pub pull_requests: bool,
    /// When such an environment is taken down. Later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<TimeSpan>,
}

impl ProjectDefinition {
    /// Every environment with the branch it follows. Without any in the file there is `production`.
    pub fn environments(&self, default_branch: &BranchName) -> BTreeMap<EnvironmentName, Environment> {
        let production: EnvironmentName = "production".parse().expect("a valid name");
        let mut environments = self.environments.clone();
        if environments.is_empty() {
            environments.insert(production.clone(), Environment::default());
        }
        if let Some(environment) = environments.get_mut(&production) {
            environment.branch.get_or_insert_with(|| default_branch.clone());
        }
        environments
    }

    /// The environments that follow a branch.
    pub fn environments_of_branch(
        &self,
        branch: &BranchName,
        default_branch: &BranchName,
    ) -> Vec<EnvironmentName> {
        let follows = |(name, environment): (EnvironmentName, Environment)| {
            (environment.branch.as_ref() == Some(branch)).then_some(name)
        };
        self.environments(default_branch).into_iter().filter_map(follows).collect()
    }

    /// The service that the edge leads to: the one called `web`, or the only one with a port.
    pub fn exposed_service(&self) -> Option<&ServiceName> {
        let mut with_port =
            self.services.iter().filter(|(_, service)| service.port.is_some()).map(|(name, _)| name);
        let web =
            self.services.iter().find(|(name, service)| name.as_str() == "web" && service.port.is_some());
        match web {
            Some((name, _)) => Some(name),
            None => with_port.next().filter(|_| with_port.next().is_none()),
        }
    }

    /// The service whose build makes this service's image; `None` when the image comes from elsewhere.
    pub fn image_source<'a>(&'a self, service: &'a ServiceName) -> Option<&'a ServiceName> {
        let source = match self.services.get(service)?.image.as_ref() {
            None => service,
            Some(ServiceImage::Of(other)) => other,
            Some(ServiceImage::External(_)) => return None,
        };
        self.services.get(source).filter(|source| source.build.is_some()).map(|_| source)
    }

    /// The services that are built, with how.
    pub fn builds(&self) -> impl Iterator<Item = (&ServiceName, &Build)> {
        self.services.iter().filter_map(|(name, service)| service.build.as_ref().map(|build| (name, build)))
    }
}
