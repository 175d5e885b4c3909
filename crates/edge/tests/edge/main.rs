//! The edge as its clients, its replicas and `serve` see it: real sockets on loopback, real replicas.

mod control;
mod failures;
mod framing;
mod harness;
mod process;
mod routing;
mod streaming;
