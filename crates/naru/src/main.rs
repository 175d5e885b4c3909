//! The one binary: `naru serve` and what belongs to running it, and the commands that talk to a running one.

mod abort;
mod data;
mod doctor;
mod hook;
mod key;
mod log;
mod serve;
mod stop;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, FromArgMatches, Subcommand};

/// What this machine itself runs, beside the commands of `naru-cli`.
#[derive(Subcommand)]
enum Local {
    /// Runs Naru on this machine: API, git, registry, pipeline and delivery.
    Serve(Box<serve::Arguments>),
    /// Looks at what Naru needs on this machine, and says how to mend what is missing.
    Doctor(doctor::Arguments),
    /// Stops everything that Naru runs on this machine: services, edge, engine. Data stays.
    Stop(stop::Arguments),
    /// The keys that seal secrets.
    #[command(subcommand)]
    Key(key::Command),
    /// Leads requests to services. Started by `naru serve`.
    #[command(hide = true)]
    Edge(EdgeArguments),
    /// Carries out one build. Started by the engine.
    #[command(hide = true)]
    Supervise {
        /// The engine's words.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Checks a push. Started by git.
    #[command(hide = true)]
    Hook(hook::Arguments),
}

#[derive(Args)]
struct EdgeArguments {
    /// The edge's folder.
    #[arg(long)]
    data: PathBuf,
    /// Takes the place of the running edge.
    #[arg(long)]
    take_over: bool,
    /// How many of the passed sockets, the last ones, speak TLS.
    #[arg(long, default_value_t = 0)]
    tls_sockets: usize,
}

fn main() -> ExitCode {
    let command = Local::augment_subcommands(naru_cli::command());
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match Local::from_arg_matches(&matches) {
        Ok(local) => run(local),
        Err(_) => naru_cli::run(&matches),
    }
}

fn run(local: Local) -> ExitCode {
    let done = match local {
        Local::Serve(arguments) => serve::run(&arguments),
        Local::Doctor(arguments) => return doctor::run(&arguments),
        Local::Stop(arguments) => stop::run(&arguments),
        Local::Key(command) => key::run(&command),
        Local::Edge(arguments) => {
            log::to_file(arguments.data.join("edge").join("edge.log"));
            let mut edge = naru_edge::process::EdgeArguments::new(arguments.data);
            edge.take_over = arguments.take_over;
            edge.tls_sockets = arguments.tls_sockets;
            naru_edge::process::main(&edge, Arc::new(system::SystemClock))
        }
        Local::Supervise { arguments } => return naru_engine::docker::supervise::main(&arguments),
        Local::Hook(arguments) => return hook::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
