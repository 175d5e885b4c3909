//! The small image that is pushed: one static program, and a page that is another one with every push.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command;

const SOURCE: &str = include_str!("service/main.rs");
const DOCKERFILE: &str = include_str!("service/Dockerfile");
/// One service that may run beside its older self.
pub(super) const DEFINITION: &str = include_str!("service/naru.yaml");
/// The same with a volume that one replica has at a time.
pub(super) const WITH_VOLUME: &str = include_str!("service/volume.yaml");

/// A working copy.
pub(super) struct WorkingCopy {
    folder: PathBuf,
}

/// Compiles the program, once for all working copies.
pub(super) fn compile(folder: &Path) -> Result<PathBuf> {
    let (source, program) = (folder.join("service.rs"), folder.join("service"));
    fs::write(&source, SOURCE)?;
    let mut rustc = command::program("rustc", folder);
    rustc.args(["--edition", "2024", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"]);
    rustc.args(["-C", "target-feature=+crt-static", "-o"]).args([&program, &source]);
    command::output(&mut rustc)?;
    Ok(program)
}

impl WorkingCopy {
    /// Makes a working copy that pushes to `remote`; `credentials` is a file for git's credential store.
    pub(super) fn create(
        folder: PathBuf,
        program: &Path,
        definition: &str,
        remote: &str,
        credentials: Option<&Path>,
    ) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::copy(program, folder.join("service"))?;
        fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
        fs::write(folder.join("naru.yaml"), definition)?;
        let copy = Self { folder };
        copy.git(&["init", "--quiet", "--initial-branch=main"])?;
        copy.git(&["config", "user.name", "Naru bench"])?;
        copy.git(&["config", "user.email", "bench@localhost"])?;
        copy.git(&["remote", "add", "origin", remote])?;
        if let Some(credentials) = credentials {
            copy.git(&["config", "credential.helper", &format!("store --file={}", credentials.display())])?;
        }
        Ok(copy)
    }

    /// Commits another page.
    pub(super) fn commit(&self, page: &str) -> Result<()> {
        fs::write(self.folder.join("page"), page)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", page])
    }

    /// Pushes what was committed.
    pub(super) fn push(&self) -> Result<()> {
        self.git(&["push", "--quiet", "origin", "main"])
    }

    fn git(&self, words: &[&str]) -> Result<()> {
        let mut git = command::program("git", &self.folder);
        git.args(words).env("GIT_TERMINAL_PROMPT", "0").env("NO_PROXY", "127.0.0.1,localhost");
        command::output(&mut git).map(drop)
    }
}

/// Asks for the page on a connection of its own, as a new visitor would.
pub(super) fn page(address: SocketAddr, host: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("answered with {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
