//! Starting other programs with a clean environment and a time limit, and waiting for what must come.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must come, on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A program with arguments to come. It inherits nothing but where programs are.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home).current_dir(home).stdin(Stdio::null());
    command
}

/// Runs to the end, however that is. A program that takes more than two minutes is killed and fails the test.
pub(crate) fn output(command: &mut Command) -> Output {
    let name = format!("{command:?}");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE * 2) else {
        let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
        panic!("{name} did not end");
    };
    output.unwrap()
}

/// Runs to the end, which must be a success, and returns what it printed.
pub(crate) fn text(command: &mut Command) -> String {
    let done = output(command);
    assert!(done.status.success(), "{command:?}: {}", said(&done));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Both outputs of a program, for people.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asks every 50 ms until there is an answer. `describe` says what was seen instead, if none comes.
pub(crate) fn until<T>(what: &str, describe: impl Fn() -> String, mut ask: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, describe, &mut ask)
}

/// The same with a limit of one's own: for promises about time, and for what takes longer than [`PATIENCE`].
pub(crate) fn until_within<T>(
    limit: Duration,
    what: &str,
    describe: impl Fn() -> String,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}; seen: {}", describe());
        std::thread::sleep(Duration::from_millis(50));
    }
}
