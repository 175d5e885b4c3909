//! The registry over real HTTP: raw requests for what the specification says and what must be refused, `podman` and
//! `skopeo` for what people use.

#![allow(clippy::disallowed_methods, reason = "tests start the programs that they compare with")]

#[path = "registry/chunks.rs"]
mod chunks;
#[path = "registry/clients.rs"]
mod clients;
#[path = "registry/host.rs"]
mod host;
#[path = "registry/keeping.rs"]
mod keeping;
#[path = "registry/manifests.rs"]
mod manifests;
#[path = "registry/rights.rs"]
mod rights;
