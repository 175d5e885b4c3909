//! The commands that talk to a running Naru over its HTTP API: what they are called, what they print, how they end.
//!
//! Nothing is decided here that the server does not decide again. Commands that run Naru itself (`serve`, `edge`) belong
//! to the binary, which adds them to [`command`].

mod arguments;
mod client;
mod commands;
mod config;
mod exit;
mod follow;
mod outside;
mod picture;
mod place;
mod reference;
mod screen;
mod text;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use arguments::Cli;
pub use outside::Outside;
pub use reference::reference;

/// All commands, for the binary to add its own.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Carries out one command on the real terminal, file system and network.
pub fn run(matches: &ArgMatches) -> ExitCode {
    // Fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the command could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run_with(matches, Outside::real()));
    ExitCode::from(code)
}

/// Carries out one command in the given surroundings. Returns the exit code; see `docs/reference/cli.md`.
pub async fn run_with(matches: &ArgMatches, outside: Outside) -> u8 {
    let cli = match Cli::from_arg_matches(matches) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return exit::USAGE;
        }
    };
    commands::carry_out(cli, outside).await
}
