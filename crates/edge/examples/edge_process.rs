//! `naru edge` in its smallest form: what the integration test starts as a process of its own.
#![expect(clippy::disallowed_methods, reason = "a program of its own for the tests")]

use std::path::PathBuf;
use std::sync::Arc;

use naru_edge::process::{EdgeArguments, main as edge_main};
use naru_model::{Clock, Timestamp};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut edge = EdgeArguments::new(PathBuf::new());
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--data") => edge.data = arguments.next().expect("--data has a value").into(),
            Some("--tls-sockets") => {
                let count = arguments.next().expect("--tls-sockets has a value");
                edge.tls_sockets = count.to_str().and_then(|count| count.parse().ok()).expect("a number");
            }
            Some("--take-over") => edge.take_over = true,
            _ => panic!("unknown argument {}", argument.display()),
        }
    }
    if let Err(problem) = edge_main(&edge, Arc::new(SystemClock)) {
        eprintln!("{problem}");
        std::process::exit(1);
    }
}
