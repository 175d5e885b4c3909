//! The supervisor as a program of its own, for the tests. In production it is `naru supervise`.

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    naru_engine::docker::supervise::main(&arguments)
}
