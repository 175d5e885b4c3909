//! The commands, one file per noun. Each reads as the story of what it does.

mod account;
mod certificate;
mod delivery;
mod log;
pub(crate) mod maintenance;
mod metric;
mod people;
mod project;
mod receipt;
mod replica;
mod rollout;
mod run;
mod setting;
mod status;

use std::fmt::Write as _;

use clap::CommandFactory as _;
use naru_model::api::Page;

use crate::arguments::{Cli, Command, Completions, Paging};
use crate::exit::Result;
use crate::outside::Outside;
use crate::screen::Screen;

/// Carries out a command and says how it ended, as an exit code.
pub(crate) async fn carry_out(cli: Cli, mut outside: Outside) -> u8 {
    if cli.insecure_http {
        outside.variables.insert(crate::client::INSECURE.to_owned(), "1".to_owned());
    }
    let mut screen = Screen::new(outside, cli.json);
    match dispatch(cli.command, &mut screen).await {
        Ok(code) => code,
        Err(error) => {
            screen.error(&error);
            error.exit
        }
    }
}

async fn dispatch(command: Command, screen: &mut Screen) -> Result<u8> {
    match command {
        Command::Status(arguments) => return status::status(arguments, screen).await,
        Command::Login(arguments) => account::login(arguments, screen).await,
        Command::Logout => account::logout(screen).await,
        Command::Whoami => account::whoami(screen).await,
        Command::Token(command) => account::token(command, screen).await,
        Command::Audit(arguments) => account::audit(&arguments, screen).await,
        Command::Organisation(command) => people::organisation(command, screen).await,
        Command::Member(command) => people::member(command, screen).await,
        Command::Invitation(command) => people::invitation(command, screen).await,
        Command::Role(command) => people::role(command, screen).await,
        Command::Account(command) => people::account(command, screen).await,
        Command::Session(command) => people::session(command, screen).await,
        Command::Project(command) => project::project(command, screen).await,
        Command::Trigger(command) => run::trigger(command, screen).await,
        Command::Run(command) => run::run(command, screen).await,
        Command::Release(command) => delivery::release(command, screen).await,
        Command::Environment(command) => delivery::environment(command, screen).await,
        Command::Replica(command) => replica::replica(command, screen).await,
        Command::Volume(command) => replica::volume(command, screen).await,
        Command::Storage => replica::storage(screen).await,
        Command::Revision(command) => delivery::revision(command, screen).await,
        Command::Receipt(command) => receipt::receipt(command, screen).await,
        Command::Deploy(arguments) => delivery::deploy(arguments, screen).await,
        Command::Rollback(arguments) => delivery::rollback(arguments, screen).await,
        Command::Promote(arguments) => delivery::promote(arguments, screen).await,
        Command::Rollout(command) => rollout::rollout(command, screen).await,
        Command::Env(command) => setting::env(command, screen).await,
        Command::Secret(command) => setting::secret(command, screen).await,
        Command::Certificate(command) => certificate::certificate(command, screen).await,
        Command::Maintenance(command) => maintenance::maintenance(command, screen).await,
        Command::Logs(arguments) => log::services(arguments, screen).await,
        Command::Metrics(arguments) => metric::metrics(arguments, screen).await,
        Command::Open(arguments) => status::open(arguments, screen).await,
        Command::Completions(arguments) => {
            completions(&arguments, screen);
            Ok(())
        }
    }?;
    Ok(0)
}

fn completions(arguments: &Completions, screen: &mut Screen) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "naru", &mut script);
    screen.line(String::from_utf8_lossy(&script).trim_end());
}

/// `?limit=…&after=…`.
fn query(paging: &Paging) -> String {
    match &paging.after {
        Some(after) => format!("?limit={}&after={}", paging.limit, encoded(after)),
        None => format!("?limit={}", paging.limit),
    }
}

/// Text as a part of a path or query (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Says that a list goes on.
fn more<T>(screen: &mut Screen, page: &Page<T>) {
    if let Some(next) = &page.next {
        screen.note(format!("more with --after {next}"));
    }
}
