//! The engine on a real Podman, started for each test with its own storage and instance id. Without Podman these
//! tests fail; they do not skip.

#![allow(clippy::disallowed_methods, reason = "tests start the programs that they compare with")]

#[path = "docker/builds.rs"]
mod builds;
#[path = "docker/jobs.rs"]
mod jobs;
#[path = "docker/registry.rs"]
mod registry;
#[path = "docker/replicas.rs"]
mod replicas;
#[path = "docker/rig.rs"]
mod rig;
