//! The edge as its clients, its replicas and `serve` see it: real sockets on loopback, real replicas.

mod control;
mod failures;
mod frames;
mod framing;
mod harness;
mod http2;
mod process;
mod routing;
mod streaming;
mod tls;
mod tls_harness;
