//! Running git: an argument vector, a clean environment, bounded time and output, and nothing left behind when the
//! caller goes away.

#![expect(clippy::disallowed_methods, reason = "the one place that starts git")]

use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use naru_model::effect::observed;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::{Git, GitError, Result};

const TIME_LIMIT: Duration = Duration::from_mins(1);
const OUTPUT_LIMIT_BYTES: u64 = 64 << 20;
/// How much of standard error is kept: its end, where git says what went wrong.
const SAID_LIMIT_BYTES: usize = 8 << 10;
/// The longest line in a conversation.
const LINE_LIMIT_BYTES: u64 = 64 << 10;
/// How long a process that stopped answering may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment variables that a caller may hand to git, beyond the fixed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `GIT_INDEX_FILE`
    IndexFile,
    /// `GIT_QUARANTINE_PATH`
    QuarantinePath,
    /// `GIT_OBJECT_DIRECTORY`
    ObjectDirectory,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`
    AlternateObjectDirectories,
    /// `GIT_AUTHOR_NAME`
    AuthorName,
    /// `GIT_AUTHOR_EMAIL`
    AuthorEmail,
    /// `GIT_AUTHOR_DATE`
    AuthorDate,
    /// `GIT_COMMITTER_NAME`
    CommitterName,
    /// `GIT_COMMITTER_EMAIL`
    CommitterEmail,
    /// `GIT_COMMITTER_DATE`
    CommitterDate,
    /// `GIT_PROTOCOL`
    Protocol,
}

impl Variable {
    fn name(self) -> &'static str {
        match self {
            Self::IndexFile => "GIT_INDEX_FILE",
            Self::QuarantinePath => "GIT_QUARANTINE_PATH",
            Self::ObjectDirectory => "GIT_OBJECT_DIRECTORY",
            Self::AlternateObjectDirectories => "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            Self::AuthorName => "GIT_AUTHOR_NAME",
            Self::AuthorEmail => "GIT_AUTHOR_EMAIL",
            Self::AuthorDate => "GIT_AUTHOR_DATE",
            Self::CommitterName => "GIT_COMMITTER_NAME",
            Self::CommitterEmail => "GIT_COMMITTER_EMAIL",
            Self::CommitterDate => "GIT_COMMITTER_DATE",
            Self::Protocol => "GIT_PROTOCOL",
        }
    }
}

/// A call of git that has not been made yet.
pub struct Call<'a> {
    git: &'a Git,
    arguments: Vec<OsString>,
    variables: Vec<(Variable, OsString)>,
    stdin: Bytes,
    output_limit_bytes: u64,
    time_limit: Duration,
    in_background: bool,
}

/// What a call of git left, whatever its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Everything it printed to standard output.
    pub stdout: Vec<u8>,
    /// The end of what it printed to standard error, one line feed between lines.
    pub said: String,
}

impl<'a> Call<'a> {
    pub(super) fn new<I, A>(git: &'a Git, arguments: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        Self {
            git,
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            variables: Vec::new(),
            stdin: Bytes::new(),
            output_limit_bytes: OUTPUT_LIMIT_BYTES,
            time_limit: TIME_LIMIT,
            in_background: false,
        }
    }

    /// Adds an environment variable.
    pub fn variable(mut self, variable: Variable, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((variable, value.as_ref().to_owned()));
        self
    }

    /// Gives it something to read.
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How much it may print; 64 MiB unless said otherwise.
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit_bytes = bytes;
        self
    }

    /// How long it may take; a minute unless said otherwise.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Leaves the processors to others.
    pub fn in_background(mut self) -> Self {
        self.in_background = true;
        self
    }

    /// Runs a command that changes nothing; an exit code other than 0 is an error.
    pub async fn read(self) -> Result<Vec<u8>> {
        let command = self.command_name();
        self.output().await?.success(&command)
    }

    /// Runs a command that changes the repository; an exit code other than 0 is an error. `name` is stable and
    /// dotted, such as `git.deploy.commit`.
    pub async fn effect(self, name: &str) -> Result<Vec<u8>> {
        let effects = self.git.effects.clone();
        observed(&effects, name, self.read()).await
    }

    /// Runs a command that changes nothing, for callers to whom the exit code means something.
    pub async fn output(self) -> Result<Output> {
        let command = self.command_name();
        let seconds = self.time_limit.as_secs();
        match tokio::time::timeout(self.time_limit, self.converse()).await {
            Ok(output) => output,
            Err(_) => Err(GitError::TimedOut { command, seconds }),
        }
    }

    fn command_name(&self) -> String {
        self.arguments.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default()
    }

    async fn converse(self) -> Result<Output> {
        let limit = self.output_limit_bytes;
        let command = self.command_name();
        let mut running = self.git.spawn(&self.arguments, &self.variables)?;
        if self.in_background {
            running.step_back();
        }
        let (mut stdin, stdout, stderr) = running.take_pipes();
        let feed = async {
            // Git may answer without reading everything; that shows in its exit code, not here.
            let _ = stdin.write_all(&self.stdin).await;
            drop(stdin);
        };
        let (stdout, said, ()) = tokio::join!(read_bounded(stdout, limit), read_tail(stderr), feed);
        let stdout = stdout?
            .ok_or(GitError::TooLarge { what: format!("the answer of git {command}"), limit_bytes: limit })?;
        let status = running.wait().await?;
        Ok(Output { code: status.code(), stdout, said })
    }
}

impl Output {
    /// Standard output, or the error that another exit code than 0 stands for.
    pub fn success(self, command: &str) -> Result<Vec<u8>> {
        if self.code == Some(0) {
            return Ok(self.stdout);
        }
        Err(GitError::Failed { command: command.to_owned(), code: self.code, said: self.said })
    }
}

/// A git process under way. Dropping it kills the process and everything it started.
pub(crate) struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Both ends of the conversation, once.
    pub(crate) fn take_pipes(&mut self) -> (ChildStdin, ChildStdout, ChildStderr) {
        let pipes = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("the pipes are asked for at the start and taken once")
        };
        (stdin, stdout, stderr)
    }

    /// Runs with the lowest priority from now on, and what it starts, too.
    fn step_back(&self) {
        let process = self.group.and_then(|group| rustix::process::Pid::from_raw(group.as_raw()));
        if let Err(error) = rustix::process::setpriority_process(process, LOWEST) {
            tracing::debug!(%error, "git keeps its priority");
        }
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = killpg(group, Signal::SIGKILL); // gone already is fine
        }
    }
}

/// A git process that is asked one thing after the other. Dropping it kills the process.
pub(crate) struct Conversation {
    command: &'static str,
    running: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    said: JoinHandle<String>,
}

impl Conversation {
    /// Says something and waits for nothing.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        match tokio::time::timeout(TIME_LIMIT, self.stdin.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.broken().await),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The next line that it prints, without its end.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stdout).take(LINE_LIMIT_BYTES);
        match tokio::time::timeout(TIME_LIMIT, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(_)) if line.pop_if(|byte| *byte == b'\n').is_some() => {
                Ok(String::from_utf8_lossy(&line).into_owned())
            }
            Ok(_) => Err(self.broken().await),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The next so many bytes that it prints.
    pub(crate) async fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        match tokio::time::timeout(TIME_LIMIT, self.stdout.read_exact(&mut bytes)).await {
            Ok(Ok(_)) => Ok(bytes),
            Ok(Err(_)) => Err(self.broken().await),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Says nothing more and waits until it has ended well.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.stdin);
        let status = tokio::time::timeout(TIME_LIMIT, self.running.wait()).await.map_err(|_| {
            GitError::TimedOut { command: self.command.to_owned(), seconds: TIME_LIMIT.as_secs() }
        })??;
        if status.success() {
            return Ok(());
        }
        let said = self.said.await.unwrap_or_default();
        Err(GitError::Failed { command: self.command.to_owned(), code: status.code(), said })
    }

    /// Why it stopped answering.
    async fn broken(&mut self) -> GitError {
        let ended = tokio::time::timeout(LAST_WORDS, self.running.wait()).await;
        let code = ended.ok().and_then(Result::ok).and_then(|status| status.code());
        let said = tokio::time::timeout(LAST_WORDS, &mut self.said).await;
        let said = said.ok().and_then(std::result::Result::ok).unwrap_or_default();
        GitError::Failed { command: self.command.to_owned(), code, said }
    }

    fn timed_out(&self) -> GitError {
        GitError::TimedOut { command: self.command.to_owned(), seconds: TIME_LIMIT.as_secs() }
    }
}

impl Git {
    /// Starts a process that is asked one thing after the other.
    pub(crate) fn converse(&self, command: &'static str, arguments: &[&str]) -> Result<Conversation> {
        let arguments: Vec<OsString> =
            std::iter::once(command).chain(arguments.iter().copied()).map(OsString::from).collect();
        let mut running = self.spawn(&arguments, &[])?;
        let (stdin, stdout, stderr) = running.take_pipes();
        let said = tokio::spawn(read_tail(stderr));
        let stdout = BufReader::with_capacity(64 << 10, stdout);
        Ok(Conversation { command, running, stdin, stdout, said })
    }

    /// Starts git with three pipes, in a process group of its own.
    pub(crate) fn spawn(
        &self,
        arguments: &[OsString],
        variables: &[(Variable, OsString)],
    ) -> Result<Running> {
        let mut command = Command::new("git");
        command
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(self.variables.iter().chain(variables).map(|(variable, value)| (variable.name(), value)))
            .arg("--git-dir=.")
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(GitError::NotStarted)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Running { child, group })
    }
}

/// The lowest priority there is, as nice(1) counts.
const LOWEST: i32 = 19;

/// The whole environment of git. No configuration but the repository's own, no questions, no other repositories.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("PATH", PATH),
    ("HOME", "/nonexistent"),
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("LC_ALL", "C.UTF-8"),
    ("LANGUAGE", "C"),
    ("TZ", "UTC"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// Settings for every call. `safe.directory` may be `*`: the folder is always our own choice, never a caller's.
const SETTINGS: [&str; 6] = [
    "safe.directory=*",
    "protocol.allow=never",
    "core.hooksPath=hooks",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Reads everything, or nothing when it is more than `limit`.
async fn read_bounded(pipe: impl AsyncRead + Unpin, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    pipe.take(limit.saturating_add(1)).read_to_end(&mut bytes).await?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Reads to the end and keeps the last part, as text.
pub(crate) async fn read_tail(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = vec![0; SAID_LIMIT_BYTES];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let surplus = kept.len().saturating_sub(SAID_LIMIT_BYTES);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
