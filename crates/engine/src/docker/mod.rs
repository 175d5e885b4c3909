//! The Docker Engine API, Docker's or Podman's.
