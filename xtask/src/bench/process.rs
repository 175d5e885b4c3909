//! Child processes of a measurement, and what `/proc` says of processes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::demo::interrupt;

/// A daemon that ends with the measurement.
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it with its output in a file.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
        child.map(Self).with_context(|| format!("{name} could not be started"))
    }
}

impl Daemon {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    /// Asks it to end, so that its own children end with it; kills it when it does not.
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        for _ in 0..100 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            interrupt::pause(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits a moment, unless somebody asked to stop.
pub(super) fn pause(time: Duration) -> Result<()> {
    interrupt::check()?;
    interrupt::pause(time);
    Ok(())
}

/// Waits until something is so; fails with `what` when it takes longer than `limit`.
pub(super) fn wait_until(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > limit {
            bail!("{what} took longer than {} s", limit.as_secs());
        }
        pause(Duration::from_millis(20))?;
    }
    Ok(())
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    pub(super) parent: u32,
    pub(super) words: Vec<String>,
}

/// All processes of this machine, as far as they can be read.
pub(super) fn all() -> Result<Vec<Process>> {
    let ids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter_map(read).collect())
}

fn read(id: u32) -> Option<Process> {
    let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let words =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let parent = fields(id)?.get(1)?.parse().ok()?;
    Some(Process { id, parent, words })
}

/// What stands in `/proc/<id>/stat` after the name in parentheses.
fn fields(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let after = text.rsplit_once(')')?.1;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

/// Proportional set size in bytes.
pub(super) fn memory(id: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// CPU time used since its start.
pub(super) fn cpu_time(id: u32) -> Result<Duration> {
    const TICKS_PER_SECOND: u64 = 100; // USER_HZ is 100 on every Linux that Debian builds
    let fields = fields(id).context("the process is gone")?;
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_measured() {
        let own = std::process::id();
        let found = all().unwrap().into_iter().find(|process| process.id == own).unwrap();
        assert_eq!(found.parent, std::os::unix::process::parent_id());
        assert!(memory(own).unwrap() > 100_000);
        assert!(cpu_time(own).unwrap() < Duration::from_hours(1));
    }
}
