//! What a command stands in: variables, folders, the terminal, the clock, git. The real ones, or a test's.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use naru_model::{Clock, Problem, Timestamp};

/// The longest line that is read from standard input.
const LONGEST_INPUT: u64 = 256 << 10;

/// The surroundings of one command.
pub struct Outside {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Where the command was called.
    pub folder: PathBuf,
    /// Where results go.
    pub out: Box<dyn Write + Send>,
    /// Where errors, progress and questions go.
    pub err: Box<dyn Write + Send>,
    /// What is typed or piped in.
    pub input: Box<dyn io::Read + Send>,
    /// Whether a person sits at standard input and can be asked.
    pub asks: bool,
    /// Whether standard output is a terminal: colours, and redrawing.
    pub draws: bool,
    /// The hour.
    pub clock: Arc<dyn Clock>,
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are told to take")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl Outside {
    /// The real ones.
    pub fn real() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            folder: std::env::current_dir().unwrap_or_default(),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Box::new(io::stdin()),
            asks: io::stdin().is_terminal(),
            draws: io::stdout().is_terminal(),
            clock: Arc::new(SystemClock),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// One line of input; asked for when a person sits there.
    pub(crate) fn line(&mut self, question: &str) -> Result<String, Problem> {
        if self.asks {
            let _ = write!(self.err, "{question}: ");
            let _ = self.err.flush();
        }
        let mut line = Vec::new();
        // Byte by byte: whatever follows the line belongs to the next question.
        let mut byte = [0_u8];
        while line.len() < 4096 && self.input.read(&mut byte).map_err(unreadable)? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).map(|line| line.trim().to_owned()).map_err(|_| not_text())
    }

    /// A secret line: not echoed while a person types it.
    pub(crate) fn secret_line(&mut self, question: &str) -> Result<String, Problem> {
        if self.asks {
            return rpassword::prompt_password(format!("{question}: ")).map_err(unreadable);
        }
        self.line(question)
    }

    /// Everything that is piped in, without a final line break; a hidden line when a person sits there.
    pub(crate) fn secret_text(&mut self, question: &str) -> Result<String, Problem> {
        if self.asks {
            return self.secret_line(question);
        }
        let text = self.text()?;
        Ok(text
            .strip_suffix('\n')
            .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
            .to_owned())
    }

    /// Everything that is piped in.
    pub(crate) fn text(&mut self) -> Result<String, Problem> {
        let mut bytes = Vec::new();
        io::Read::take(&mut self.input, LONGEST_INPUT).read_to_end(&mut bytes).map_err(unreadable)?;
        String::from_utf8(bytes).map_err(|_| not_text())
    }

    /// Opens a browser. Without a desktop there is none, and the printed address must do.
    #[expect(clippy::disallowed_methods, reason = "the user's own browser, in the user's own surroundings")]
    pub(crate) fn browse(&self, url: &str) {
        let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| self.variable(name).is_some());
        let opener = match std::env::consts::OS {
            "macos" => "open",
            _ if has_desktop => "xdg-open",
            _ => return,
        };
        let mut command = Command::new(opener);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A browser that does not start is no failure of this command.
        let _ = command.spawn();
    }

    /// The URLs of the remotes of the git repository that the command was called in; none without one.
    #[expect(
        clippy::disallowed_methods,
        reason = "reads the user's own repository; `naru-source` serves the server's"
    )]
    pub(crate) fn remotes(&self) -> Vec<String> {
        let mut git = Command::new("git");
        git.args(["config", "--get-regexp", r"^remote\..*\.url$"])
            .current_dir(&self.folder)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        for name in ["PATH", "HOME"] {
            if let Some(value) = self.variable(name) {
                git.env(name, value);
            }
        }
        let Ok(output) = git.output() else { return Vec::new() };
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, url)| url.to_owned()).collect()
    }
}

fn unreadable(error: impl std::fmt::Display) -> Problem {
    Problem::new("cli.input", "the input could not be read").cause(error.to_string())
}

fn not_text() -> Problem {
    Problem::new("cli.input", "the input is not text").cause("it is not valid UTF-8")
}
