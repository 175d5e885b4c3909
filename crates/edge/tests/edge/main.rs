//! The edge as its clients, its replicas and `serve` see it: real sockets on loopback, real replicas.

mod balance;
mod bounds;
mod control;
mod crowd;
mod failures;
mod frames;
mod framing;
mod harness;
mod http2;
mod leaving;
mod maintenance;
mod process;
mod routing;
mod smuggling;
mod streaming;
mod tls;
mod tls_harness;
