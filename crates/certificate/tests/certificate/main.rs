//! Certificates from each of their sources, shown by a real edge to real clients; ACME against Debian's `pebble`.

#![allow(clippy::disallowed_methods, reason = "tests start the authority, and run in real time")]

mod acme;
mod here;
mod pebble;
mod world;
