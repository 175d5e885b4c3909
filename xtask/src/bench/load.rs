//! The load generator, in a process of its own: what it sends, and what came of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command;
use crate::demo::folders::Folders;

/// Where visitors go: plain HTTP, and TLS with the authority that signs its certificates.
pub(super) struct Target {
    pub(super) plain: SocketAddr,
    pub(super) tls: Option<(SocketAddr, String)>,
}

/// Visitors of one kind who ask for one thing.
pub(super) struct Stream<'a> {
    /// `keep-alive`, `fresh` or `http2`.
    pub(super) kind: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) rate: f64,
    pub(super) bytes: Option<usize>,
}

/// What one stream of visitors saw.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) failures: Vec<String>,
    /// Sorted.
    pub(super) latencies_us: Vec<u32>,
}

/// Visitors who are at it. Dropping ends them.
pub(super) struct Load {
    child: Child,
    report: PathBuf,
}

/// Where the generator is: built with optimisation now, or as the tests built it.
pub(super) fn build(root: &Path, optimised: bool) -> Result<PathBuf> {
    if optimised {
        command::run(command::cargo(root).args([
            "build",
            "--locked",
            "--release",
            "--package",
            "naru-load",
        ]))?;
    }
    Ok(super::target(root)?.join(if optimised { "release" } else { "debug" }).join("naru-load"))
}

impl Load {
    pub(super) fn start(
        folders: &Folders,
        program: &Path,
        target: &Target,
        streams: &[Stream<'_>],
    ) -> Result<Self> {
        let (plan, report) = (folders.file("load-plan.json"), folders.file("load-report.json"));
        let streams: Vec<Value> = streams
            .iter()
            .map(|stream| {
                json!({
                    "name": format!("{} {}{}", stream.kind, stream.host, stream.path),
                    "kind": stream.kind, "host": stream.host, "path": stream.path,
                    "rate": stream.rate, "bytes": stream.bytes,
                })
            })
            .collect();
        let target = json!({ "plain": target.plain, "tls": target.tls });
        fs::write(&plan, json!({ "target": target, "streams": streams }).to_string())?;
        let _ = fs::remove_file(&report);
        let child = command::program(&program.to_string_lossy(), &folders.file("."))
            .args([&plan, &report])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("the load generator could not be started")?;
        Ok(Self { child, report })
    }

    /// Lets what is under way end, and says what came of everything.
    pub(super) fn end(mut self) -> Result<Vec<Report>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the load generator ended with {status}");
        }
        Ok(serde_json::from_slice(&fs::read(&self.report)?)?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
