//! Building `naru`, starting `naru serve`, and stopping everything that it started.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::api::Api;
use super::folders::Folders;
use super::interrupt;
use crate::command;

/// How long the first start may take: it makes a key, a database and an engine.
const START: Duration = Duration::from_mins(1);
/// How long requests under way may take when stopping.
const STOP: Duration = Duration::from_secs(25);

/// Its log, among the folder's files.
pub(crate) const LOG: &str = "naru.log";

/// A running `naru serve`. Dropping it stops it, its services, its edge and its engine.
pub(crate) struct Naru {
    child: Child,
    binary: PathBuf,
    data: PathBuf,
    listen: SocketAddr,
    edge: SocketAddr,
    edge_tls: Option<SocketAddr>,
}

/// Builds the binary with the profile that tests use too, and says where it is. After the tests it is there already:
/// `as_tests` asks for exactly what they built, instead of compiling everything again with other features.
pub(crate) fn build(root: &Path, as_tests: bool) -> Result<PathBuf> {
    println!("building naru");
    let mut cargo = command::cargo(root);
    if as_tests && root.join("crates/naru/tests").is_dir() {
        cargo.args(["test", "--workspace", "--all-features", "--locked", "--no-run", "--quiet"]);
    } else {
        cargo.args(["build", "--locked", "--package", "naru"]);
    }
    command::run(&mut cargo)?;
    let text =
        command::output(command::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let target = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    Ok(Path::new(target).join("debug/naru"))
}

/// The binary that was named, else one that is built now.
pub(crate) fn given_or_built(root: &Path, given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| build(root, false), |binary| Ok(std::path::absolute(binary)?))
}

impl Naru {
    /// Starts it and waits until it answers. `free_ports` keeps out of the way of a demo that stays up.
    pub(crate) fn start(folders: &Folders, binary: &Path, free_ports: bool) -> Result<Self> {
        Self::launch(folders, binary, free_ports, None)
    }

    /// The same on free ports, with TLS beside plain HTTP.
    pub(crate) fn start_with_tls(folders: &Folders, binary: &Path) -> Result<Self> {
        Self::launch(folders, binary, true, Some(free_port()?))
    }

    fn launch(
        folders: &Folders,
        binary: &Path,
        free_ports: bool,
        edge_tls: Option<SocketAddr>,
    ) -> Result<Self> {
        let (listen, edge) =
            if free_ports { (free_port()?, free_port()?) } else { (local(7070), local(8080)) };
        let log = folders.file(LOG);
        // It prints the setup link, so nobody else may read it.
        let output = File::options().create(true).write(true).truncate(true).mode(0o600).open(&log)?;
        let child = command::program(&binary.to_string_lossy(), &folders.file("."))
            .arg("serve")
            .arg("--data")
            .arg(folders.data())
            .args(["--listen", &listen.to_string(), "--edge-listen", &edge.to_string()])
            .args(["--domain", "localhost", "--engine", "podman"])
            .args(edge_tls.iter().flat_map(|tls| ["--edge-listen-tls".to_owned(), tls.to_string()]))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for the demo: it stops Naru itself, in order.
            .process_group(0)
            .spawn()
            .context("naru could not be started")?;
        let mut naru =
            Self { child, binary: binary.to_owned(), data: folders.data(), listen, edge, edge_tls };
        naru.wait_until_ready(&log)?;
        println!("naru listens on http://{listen}, services on http://{edge} (log: {})", log.display());
        Ok(naru)
    }

    /// The control plane's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Where services are reached.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.edge
    }

    /// Where services are reached with TLS, if at all.
    pub(crate) fn edge_tls(&self) -> Option<SocketAddr> {
        self.edge_tls
    }

    /// The process id of `naru serve`.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The binary that runs.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        let api = Api::new(self.url());
        loop {
            interrupt::check()?;
            if let Some(status) = self.child.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("naru serve ended with {status}:\n{}", command::tail(&said, 30));
            }
            if api.ready() {
                return Ok(());
            }
            if began.elapsed() > START {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("naru serve is not ready after {} s:\n{}", START.as_secs(), command::tail(&said, 30));
            }
            interrupt::pause(Duration::from_millis(100));
        }
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            let process = Pid::from_raw(i32::try_from(self.child.id())?);
            kill(process, Signal::SIGTERM)?;
            let began = Instant::now();
            while self.child.try_wait()?.is_none() {
                if began.elapsed() > STOP {
                    self.child.kill()?;
                    self.child.wait()?;
                }
                interrupt::pause(Duration::from_millis(50));
            }
        }
        // Services, edge and engine are made to outlive `serve`; this ends them as well.
        let mut stop = command::program(&self.binary.to_string_lossy(), Path::new("/"));
        command::run(stop.arg("stop").arg("--data").arg(&self.data))
    }
}

impl Drop for Naru {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("not everything could be stopped: {error:#}");
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(local(0))?.local_addr()?)
}
