//! `naru doctor`: looks at what Naru needs on this machine and says how to mend what is missing. Needs no running Naru;
//! a running one shows the same through its API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use naru_engine::docker::Surroundings;
use naru_engine::docker::doctor::surroundings;
use naru_model::Clock;
use naru_model::api::{Check, CheckState};

use crate::system::SystemClock;

/// With less memory than this, builds have to wait.
const ROOM_FOR_A_BUILD_MIB: u64 = 512;

/// Options of `naru doctor`.
#[derive(Args)]
#[command(after_help = "Exit code: 0 when everything needed is there, 1 when something is missing.")]
pub(crate) struct Arguments {
    /// The data folder that is or will be used.
    #[arg(long, env = "NARU_DATA", default_value = "naru-data")]
    data: PathBuf,
    /// Where API, git and registry listen.
    #[arg(long, env = "NARU_LISTEN", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Where services are reached.
    #[arg(long, env = "NARU_EDGE_LISTEN", default_value = "127.0.0.1:8080")]
    edge_listen: Vec<SocketAddr>,
    /// The file that says where people may log in besides with a password.
    #[arg(long, env = "NARU_LOGIN_PROVIDERS", value_name = "FILE")]
    login_providers: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Looks, prints, and says by its exit code whether something is missing.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut checks = of_machine(&arguments.data);
    let is_served = arguments.data.join("lock").exists() && is_locked(&arguments.data);
    if !is_served {
        checks.push(port(arguments.listen));
        checks.extend(arguments.edge_listen.iter().map(|address| port(*address)));
    }
    checks.extend(arguments.login_providers.as_deref().map(login_providers).unwrap_or_default());
    if arguments.json {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let found = naru_model::api::Doctor { version, checks: checks.clone() };
        println!("{}", serde_json::to_string_pretty(&found).expect("plain data"));
    } else {
        for check in &checks {
            let mark = match check.state {
                CheckState::Good => '●',
                CheckState::Attention => '▲',
                CheckState::Failed => '■',
            };
            println!("{mark} {:<14} {}", check.name, check.detail);
            if let Some(hint) = &check.hint {
                println!("  {:<14} → {hint}", "");
            }
        }
    }
    let missing = checks.iter().any(|check| check.state == CheckState::Failed);
    if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What can be seen without a running engine.
pub(crate) fn of_machine(data: &Path) -> Vec<Check> {
    let mut checks = vec![program("git", &["--version"], "apt-get install -y git"), engine()];
    checks.extend(surroundings(data, &Surroundings::of_this_machine()));
    checks.extend(memory());
    checks.push(clock());
    checks
}

/// Memory that a build or another replica could have; nothing where the system does not say.
fn memory() -> Option<Check> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let (all, free) = (kib("MemTotal:")? >> 10, kib("MemAvailable:")? >> 10);
    let detail = format!("{free} of {all} MiB are available");
    if free >= ROOM_FOR_A_BUILD_MIB {
        return Some(good("memory", detail));
    }
    let hint = "builds wait until there is room: stop something, or add memory".to_owned();
    Some(Check { name: "memory".to_owned(), state: CheckState::Attention, detail, hint: Some(hint) })
}

fn good(name: &str, detail: String) -> Check {
    Check { name: name.to_owned(), state: CheckState::Good, detail, hint: None }
}

fn failed(name: &str, detail: String, hint: &str) -> Check {
    Check { name: name.to_owned(), state: CheckState::Failed, detail, hint: Some(hint.to_owned()) }
}

/// The first line a program prints about itself.
#[expect(clippy::disallowed_methods, reason = "asks fixed programs for their version, on the machine itself")]
fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn program(name: &str, arguments: &[&str], hint: &str) -> Check {
    match says(name, arguments) {
        Some(version) => good(name, version),
        None => failed(name, format!("{name} is not there"), hint),
    }
}

fn engine() -> Check {
    for socket in ["/var/run/docker.sock", "/run/podman/podman.sock"] {
        if std::os::unix::net::UnixStream::connect(socket).is_ok() {
            return good("engine", format!("{socket} answers"));
        }
    }
    match says("podman", &["--version"]) {
        Some(version) => good("engine", format!("{version}; Naru starts its service")),
        None => failed(
            "engine",
            "neither Docker nor Podman is there".to_owned(),
            "apt-get install -y --no-install-recommends podman runc netavark aardvark-dns iptables",
        ),
    }
}

/// Whether the providers of a file answer.
fn login_providers(file: &Path) -> Vec<Check> {
    crate::serve::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let looked = match runtime {
        Ok(runtime) => runtime.block_on(naru_identity::external::doctor(file)),
        Err(error) => {
            return vec![failed("login", format!("threads cannot be started: {error}"), "try again")];
        }
    };
    looked.unwrap_or_else(|problem| {
        let why = format!("{}: {}", problem.summary, problem.cause.join("; "));
        vec![failed("login", why, "mend the file as docs/reference/login.md describes it")]
    })
}

/// A clock that is far off makes tokens and certificates invalid.
fn clock() -> Check {
    let now = SystemClock.now();
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    if year < 2026 {
        return failed(
            "clock",
            format!("it says the year {year}"),
            "set the clock, and keep it set with NTP",
        );
    }
    good("clock", now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn port(address: SocketAddr) -> Check {
    match std::net::TcpListener::bind(address) {
        Ok(_) => good("port", format!("{address} is free")),
        Err(error) => {
            failed("port", format!("{address}: {error}"), "end what uses it, or choose another port")
        }
    }
}

fn is_locked(data: &Path) -> bool {
    let Ok(file) = std::fs::File::open(data.join("lock")) else { return false };
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockSharedNonblock).is_err()
}
