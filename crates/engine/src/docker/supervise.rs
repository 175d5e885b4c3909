//! A process of its own for a build: runs commands one after the other, keeps their output with times in a bounded
//! file, ends them at their limits, and writes down how it ended. It outlives the `naru serve` that started it; the
//! next one finds it by its state file. Knows nothing of containers or engines.

#![expect(
    clippy::disallowed_methods,
    reason = "a process of its own: it has no other clock, waits in threads and starts the commands"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use naru_model::Timestamp;
use naru_model::job::{ExitReason, JobExit};
use serde::{Deserialize, Serialize};

use super::host::ProcessMark;
use super::lines::LINE_LIMIT_BYTES;
use super::tree;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Run in order, until one fails.
    pub(crate) commands: Vec<Ordered>,
    /// All their environment variables.
    pub(crate) variables: Vec<(String, String)>,
    /// For all of them together.
    pub(crate) time_limit: Duration,
    /// For all of them together.
    pub(crate) log_limit_bytes: u64,
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ordered {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<Argument>,
    /// Standard output goes to this file, not to the log.
    pub(crate) output_to: Option<PathBuf>,
}

/// One argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Argument {
    /// This text.
    Text(String),
    /// What an earlier command wrote to this file.
    Written(PathBuf),
}

/// How far it is; the file is replaced as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The supervising process.
    pub(crate) process: ProcessMark,
    /// Since when.
    pub(crate) started: Timestamp,
    /// How it ended.
    pub(crate) exit: Option<JobExit>,
}

/// The files of a supervised job, all in its folder.
pub(crate) const ORDERS: &str = "orders.json";
pub(crate) const PROGRESS: &str = "progress.json";
pub(crate) const OUTPUT: &str = "output.log";
const CLAIM: &str = "claim";

/// `naru supervise <orders file>`. Returns when the work has ended; the exit code says only whether it could be done
/// at all, the rest is in the progress file.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [orders] = arguments else {
        eprintln!("error: expected one argument, the orders file");
        return ExitCode::from(2);
    };
    match supervise(Path::new(orders)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", Path::new(orders).display());
            ExitCode::FAILURE
        }
    }
}

fn supervise(orders: &Path) -> std::io::Result<()> {
    let folder = orders.parent().unwrap_or(Path::new("."));
    let orders: Orders = serde_json::from_slice(&std::fs::read(orders)?)?;
    // Whoever makes the file does the work: a second supervisor of the same job ends here.
    if File::create_new(folder.join(CLAIM)).is_err() {
        return Ok(());
    }
    // Fails only for who leads a group already, and then the session is not the terminal's either.
    let _ = nix::unistd::setsid();
    // What loses its parent becomes ours, so it can be found and ended.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let own_pid = nix::unistd::getpid().as_raw();
    let process = ProcessMark::of(own_pid).ok_or_else(|| std::io::Error::other("/proc is not mounted"))?;
    let mut progress = Progress { process, started: Timestamp::now(), exit: None };
    write_progress(folder, &progress)?;
    let reason = run_all(&orders, folder);
    tree::kill_children(own_pid);
    progress.exit = Some(JobExit { reason, started: Some(progress.started), finished: Timestamp::now() });
    // A full disk may be cleared by what just ended.
    for _ in 0..30 {
        if write_progress(folder, &progress).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    write_progress(folder, &progress)
}

fn write_progress(folder: &Path, progress: &Progress) -> std::io::Result<()> {
    let new = folder.join("progress.new");
    std::fs::write(&new, serde_json::to_vec(progress)?)?;
    std::fs::rename(new, folder.join(PROGRESS))
}

fn run_all(orders: &Orders, folder: &Path) -> ExitReason {
    let deadline = Instant::now() + orders.time_limit;
    let mut room = orders.log_limit_bytes;
    for ordered in &orders.commands {
        match run(ordered, orders, folder, deadline, &mut room) {
            Ok(ExitReason::Exited { code: 0 }) => {}
            Ok(reason) => return reason,
            Err(error) => {
                return ExitReason::NotStarted { why: format!("{}: {error}", ordered.program.display()) };
            }
        }
    }
    ExitReason::Exited { code: 0 }
}

/// What happens while a command runs.
enum Event {
    /// All output is read; this much room is left in the log.
    Read(u64),
    /// There was more output than there was room.
    Full,
    /// The command ended.
    Ended(std::io::Result<ExitStatus>),
}

fn run(
    ordered: &Ordered,
    orders: &Orders,
    folder: &Path,
    deadline: Instant,
    room: &mut u64,
) -> std::io::Result<ExitReason> {
    let (child, output) = start(ordered, orders)?;
    let log = File::options().create(true).append(true).open(folder.join(OUTPUT))?;
    let (events, happened) = mpsc::channel();
    let (reader_events, available) = (events.clone(), *room);
    std::thread::spawn(move || read(output, log, available, &reader_events));
    std::thread::spawn(move || wait(child, &events));
    let mut status = None;
    let reason = loop {
        match happened.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // Descendants may hold the output open when the command itself has ended.
            Ok(Event::Ended(ended)) => {
                status = Some(ended?);
                tree::kill_children(nix::unistd::getpid().as_raw());
            }
            Ok(Event::Read(left)) => *room = left,
            Ok(Event::Full) => break ExitReason::LogLimit { bytes: orders.log_limit_bytes },
            // Both threads are done.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break status.map_or(ExitReason::Cancelled, reason_of);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                break ExitReason::TimedOut { seconds: orders.time_limit.as_secs() };
            }
        }
    };
    tree::kill_children(nix::unistd::getpid().as_raw());
    Ok(reason)
}

fn start(ordered: &Ordered, orders: &Orders) -> std::io::Result<(Child, PipeReader)> {
    let (output, input) = std::io::pipe()?;
    let mut command = Command::new(&ordered.program);
    for argument in &ordered.arguments {
        command.arg(argument.value()?);
    }
    command.env_clear().envs(orders.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    match &ordered.output_to {
        Some(path) => command.stdout(File::create(path)?),
        None => command.stdout(input.try_clone()?),
    };
    // The command holds the writing end until it is dropped here.
    let child = command.stderr(input).spawn()?;
    Ok((child, output))
}

impl Argument {
    fn value(&self) -> std::io::Result<String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Written(file) => Ok(std::fs::read_to_string(file)?.trim().to_owned()),
        }
    }
}

fn wait(mut child: Child, events: &mpsc::Sender<Event>) {
    let _ = events.send(Event::Ended(child.wait()));
}

fn reason_of(status: ExitStatus) -> ExitReason {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitReason::Exited { code },
        (None, signal) => ExitReason::Signalled { signal: signal.unwrap_or(9) },
    }
}

/// Copies output to the log, line by line with times, in the form that `lines::FileReader` reads.
fn read(output: PipeReader, mut log: File, mut room: u64, events: &mpsc::Sender<Event>) {
    let mut output = BufReader::with_capacity(64 << 10, output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_LIMIT_BYTES as u64;
        match (&mut output).take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if line.len() as u64 > room {
            let _ = events.send(Event::Full);
            return;
        }
        room -= line.len() as u64;
        let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
        let mut text =
            format!("{} stdout {} ", Timestamp::now(), if is_whole { 'F' } else { 'P' }).into_bytes();
        // Progress bars overwrite their line; only the last state is of interest.
        let from = line.trim_ascii_end().iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
        text.extend_from_slice(&line[from..]);
        text.push(b'\n');
        // A full disk costs output, not the build.
        let _ = log.write_all(&text);
    }
    let _ = events.send(Event::Read(room));
}
