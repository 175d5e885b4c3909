//! What the measurements were made on, in a few lines for `docs/benchmarks.md`.

use std::fs;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;

use crate::command;

/// The hour on this machine, which Naru's rows go by too.
#[expect(clippy::disallowed_methods, reason = "the one clock of the measurements")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Date, processor, memory, kernel and versions.
pub(super) fn describe() -> Result<String> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kilobytes: u64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = field_with("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_default();
    let version = |program: &str| {
        let text = command::output(command::program(program, Path::new("/")).arg("--version"));
        text.map(|text| text.lines().next().unwrap_or_default().to_owned())
    };
    Ok(format!(
        "date: {}\nmachine: {cores} cores of {processor}, {} GiB of memory\nsystem: {}, Linux {}\nprograms: {}, {}, {}",
        now().strftime("%Y-%m-%d %H:%M UTC"),
        kilobytes.div_ceil(1 << 20),
        system.trim_matches('"'),
        kernel.trim(),
        version("podman")?,
        version("git")?,
        version("rustc")?,
    ))
}

fn field(file: &str, name: &str) -> Option<String> {
    field_with(file, name, ':')
}

fn field_with(file: &str, name: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(separator)?.1.trim().to_owned())
}
