//! The nouns of Naru and the rules between them.
//!
//! This crate does no IO, starts no task and reads no clock: everything here is plain data in, plain data
//! out. Engines, stores and pages speak in these types; none of those is known here.

pub mod about;
pub mod api;
pub mod authorise;
pub mod certificate;
pub mod definition;
pub mod effect;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod job;
pub mod maintenance;
pub mod manifest;
pub mod metric;
pub mod name;
pub mod pipeline;
pub mod problem;
pub mod receipt;
pub mod role;
pub mod rollout;
pub mod route;
pub mod time;
pub mod workload;

pub use id::{
    CommitId, ConfigurationVersion, Digest, EnvironmentKey, Generation, ImageReference, InstanceId,
    ReleaseNumber, RevisionNumber, RunNumber, SecretVersion,
};
pub use name::{
    BranchName, EnvironmentName, NameError, OrganisationName, ProjectName, RepositoryName, SecretName,
    ServiceName, StepName, TagName, VariableName, VolumeName,
};
pub use problem::Problem;
pub use time::{Clock, Timestamp};
