//! Keeps our networks apart. Podman's `isolate` is not enough alone: netavark before 1.11 takes away the rule that all
//! isolated networks share as soon as any one of them loses its last container, so the end of every job would open
//! every environment to every other. This rule is ours and stays. It stands in a table that is asked before the one in
//! which netavark lets its networks through: there, whoever puts a rule on top later goes first.

#![expect(clippy::disallowed_methods, reason = "the adapter that runs iptables")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use naru_model::{Digest, InstanceId};
use tokio::process::Command;

use super::host;
use crate::StepError;

const CHAIN: &str = "NARU_ISOLATION";
/// Asked before `filter`, where netavark's rules are.
const TABLE: &str = "mangle";
/// All bridges of all instances, in the words of iptables.
const OURS: &str = "nr+";
const LIMIT: Duration = Duration::from_secs(20);

/// The bridge of a network, nobody else's. Podman's own choice (`podman1`, …) is the first that no bridge of the moment
/// has, so two instances that make a network at once would share a bridge, and their containers would see each other.
pub(crate) fn bridge(instance: &InstanceId, network: &str) -> String {
    let digest = Digest::of(format!("{instance} {network}").as_bytes());
    // The kernel's names of interfaces end after 15 characters.
    format!("nr{}", digest.short())
}

/// Makes sure that nothing passes from `bridge` to another bridge of ours, or back. Called whenever a container is about
/// to join, so a firewall that somebody flushed is mended.
pub(crate) async fn close(bridge: &str) -> Result<(), StepError> {
    let Some(tables) = Tables::find() else { return Ok(()) };
    // Frames within one bridge pass here too where bridges are filtered.
    let within = ["-i", bridge, "-o", bridge, "-j", "RETURN"];
    let between = ["-i", OURS, "-o", OURS, "-j", "DROP"];
    if !tables.has(CHAIN, &between).await? {
        // It exists, or the next line says why not.
        tables.run(&["-N", CHAIN]).await?;
        tables.must(&["-A", CHAIN], &between).await?;
    }
    if !tables.has(CHAIN, &within).await? {
        tables.must(&["-I", CHAIN, "1"], &within).await?;
    }
    if !tables.has("FORWARD", &["-j", CHAIN]).await? {
        tables.must(&["-I", "FORWARD", "1"], &["-j", CHAIN]).await?;
    }
    Ok(())
}

/// Forgets a bridge that is gone. What is left behind by a failure concerns a name that nobody else will have.
pub(crate) async fn forget(bridge: &str) -> Result<(), StepError> {
    let Some(tables) = Tables::find() else { return Ok(()) };
    tables.run(&["-D", CHAIN, "-i", bridge, "-o", bridge, "-j", "RETURN"]).await.map(drop)
}

/// iptables, where it governs our bridges: without root they live in a namespace that is not ours to change.
struct Tables(PathBuf);

impl Tables {
    fn find() -> Option<Self> {
        host::program("iptables").filter(|_| nix::unistd::geteuid().is_root()).map(Self)
    }

    async fn has(&self, chain: &str, rule: &[&str]) -> Result<bool, StepError> {
        let (found, _) = self.run(&[&["-C", chain], rule].concat()).await?;
        Ok(found)
    }

    async fn must(&self, place: &[&str], rule: &[&str]) -> Result<(), StepError> {
        match self.run(&[place, rule].concat()).await? {
            (true, _) => Ok(()),
            (false, said) => Err(StepError::Transient(format!("separating networks by iptables: {said}"))),
        }
    }

    /// Whether it succeeded, and what it said.
    async fn run(&self, arguments: &[&str]) -> Result<(bool, String), StepError> {
        let running = Command::new(&self.0)
            .args(["--wait", "10", "--table", TABLE])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let failed = |error: &dyn std::fmt::Display| StepError::Transient(format!("iptables: {error}"));
        let done = tokio::time::timeout(LIMIT, running).await.map_err(|late| failed(&late))?;
        let output = done.map_err(|error| failed(&error))?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_have_names_that_the_kernel_takes() {
        let [one, other] = ["0123456789ab", "0123456789ac"].map(|id| id.parse().unwrap());
        assert_ne!(bridge(&one, "web"), bridge(&other, "web"));
        assert_ne!(bridge(&one, "web"), bridge(&one, "api"));
        assert!(bridge(&one, "a-network-with-a-very-long-name").len() <= 15);
    }
}
