//! Running other programs: the one place where tasks start processes and wait for them.
//!
//! Programs of the developer's own machine run with its environment: cargo and git need it. What Naru itself starts
//! goes through its adapters, never through here.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that starts programs and reads the environment"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program to run in a folder.
pub(crate) fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder);
    command
}

/// Cargo, the very one that runs this task.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = program(&variable("CARGO").unwrap_or_else(|| "cargo".to_owned()), folder);
    // Set by `cargo run` for this process; they would confuse a cargo of another workspace.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    command
}

/// An environment variable of the developer's machine, if it is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs to the end with output shown; an exit code other than zero is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", name(command));
    }
    Ok(())
}

/// Runs to the end and returns standard output; on failure the error carries the end of standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("could not start {}", name(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", name(command), output.status, tail(&stderr, 20));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end, hands every line of both outputs to `line` and shows it as it comes. Returns whether it succeeded.
pub(crate) fn watch(command: &mut Command, mut line: impl FnMut(&str) + Send) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", name(command)))?;
    let (sender, receiver) = std::sync::mpsc::sync_channel::<String>(1024);
    let readers = [
        child.stdout.take().map(|pipe| forward(pipe, sender.clone())),
        child.stderr.take().map(|pipe| forward(pipe, sender)),
    ];
    for text in receiver {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        line(&text);
    }
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    Ok(child.wait()?.success())
}

fn forward(
    pipe: impl std::io::Read + Send + 'static,
    lines: std::sync::mpsc::SyncSender<String>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut buffer = Vec::new();
        while let Ok(read) = reader.read_until(b'\n', &mut buffer) {
            if read == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&buffer).trim_end().to_owned();
            buffer.clear();
            if lines.send(text).is_err() {
                break;
            }
        }
    })
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().take(3).map(|word| word.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}
