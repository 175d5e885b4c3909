//! Where the kernel counts what a container uses: its control group (version 1 or 2) and its network namespace. Reads,
//! never changes.

use std::path::{Path, PathBuf};

use super::host::ProcessMark;

const GROUPS: &str = "/sys/fs/cgroup";

/// What a container used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub(crate) cpu_micros: u64,
    /// Without page cache that is not in use.
    pub(crate) memory_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// The files of one container.
#[derive(Debug)]
pub(crate) struct Gauge {
    process: ProcessMark,
    groups: Groups,
}

/// Where its control groups are.
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    One(PathBuf),
    PerController { cpu: PathBuf, memory: PathBuf },
}

impl Gauge {
    /// The files of the container with this first process. None when they are not those of this machine: the process is
    /// another one here, or its groups are out of reach.
    pub(crate) fn of(pid: i32, container: &str) -> Option<Self> {
        let process = ProcessMark::of(pid)?;
        let listed = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let gauge = Self { process, groups: groups(Path::new(GROUPS), &listed, container)? };
        gauge.read().is_some().then_some(gauge)
    }

    /// Whether the container still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// What it used so far; none when it has ended.
    pub(crate) fn read(&self) -> Option<Reading> {
        let (received_bytes, sent_bytes) = network(&text(&self.process.network())?)?;
        let (cpu_micros, memory_bytes) = match &self.groups {
            Groups::One(group) => {
                let cpu = field(&text(&group.join("cpu.stat"))?, "usage_usec")?;
                let cache = field(&text(&group.join("memory.stat"))?, "inactive_file").unwrap_or(0);
                (cpu, number(&group.join("memory.current"))?.saturating_sub(cache))
            }
            Groups::PerController { cpu, memory } => {
                let cache = field(&text(&memory.join("memory.stat"))?, "total_inactive_file").unwrap_or(0);
                let used = number(&memory.join("memory.usage_in_bytes"))?;
                (number(&cpu.join("cpuacct.usage"))? / 1000, used.saturating_sub(cache))
            }
        };
        // Its number may have been given to another process meanwhile.
        self.is_alive().then_some(Reading { cpu_micros, memory_bytes, received_bytes, sent_bytes })
    }
}

/// Reads `/proc/<pid>/cgroup`. The container's own group is the one named after it, whatever groups it made within.
fn groups(root: &Path, listed: &str, container: &str) -> Option<Groups> {
    let group = |wanted: &str| {
        let mut lines = listed.lines().map(|line| line.splitn(3, ':').skip(1));
        let path = lines.find_map(|mut line| {
            let controllers = line.next()?;
            controllers.split(',').any(|one| one == wanted).then(|| line.next()).flatten()
        })?;
        let end = path.find(container).map(|at| at + container.len())?;
        let end = path[end..].find('/').map_or(path.len(), |slash| end + slash);
        Some(path[..end].trim_start_matches('/').to_owned())
    };
    match (group("cpuacct"), group("memory")) {
        (Some(cpu), Some(memory)) => Some(Groups::PerController {
            cpu: root.join("cpuacct").join(cpu),
            memory: root.join("memory").join(memory),
        }),
        _ => group("").map(|path| Groups::One(root.join(path))),
    }
}

fn text(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.trim().parse().ok()
}

/// The value in a line `name value`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Bytes received and sent, of all devices in `/proc/<pid>/net/dev` but the loopback.
fn network(text: &str) -> Option<(u64, u64)> {
    let mut sums = (0, 0);
    for line in text.lines().filter(|line| line.contains(':')) {
        let (device, counts) = line.split_once(':')?;
        if device.trim() != "lo" {
            let mut counts = counts.split_whitespace();
            sums.0 += counts.next()?.parse::<u64>().ok()?;
            sums.1 += counts.nth(7)?.parse::<u64>().ok()?;
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123abcd";

    fn found(listed: &str) -> Option<Groups> {
        groups(Path::new("/g"), listed, ID)
    }

    #[test]
    fn the_group_is_the_one_named_after_the_container() {
        let one = |path: &str| Some(Groups::One(path.into()));
        assert_eq!(
            found("0::/machine.slice/libpod-0123abcd.scope/container\n"),
            one("/g/machine.slice/libpod-0123abcd.scope")
        );
        assert_eq!(found("0::/docker/0123abcd"), one("/g/docker/0123abcd"));
        let first = "3:cpu,cpuacct:/a/libpod-0123abcd\n2:memory:/b/libpod-0123abcd/x\n0::/\n";
        let apart = Groups::PerController {
            cpu: "/g/cpuacct/a/libpod-0123abcd".into(),
            memory: "/g/memory/b/libpod-0123abcd".into(),
        };
        assert_eq!(found(first), Some(apart));
        for foreign in ["", "0::/user.slice/session-1.scope", "0::/", "x", "2:memory:/0123abcd"] {
            assert_eq!(found(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn figures_are_found_among_others_and_nothing_is_made_up() {
        assert_eq!(field("usage_usec 12\nuser_usec 3\n", "usage_usec"), Some(12));
        assert_eq!(field("inactive_filex 1\ninactive_file 7\n", "inactive_file"), Some(7));
        assert_eq!(field("usage_usec x", "usage_usec"), None);
        let devices = "Inter-|   Receive                 |  Transmit\n face |bytes packets|bytes\n\
            lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n\
            eth1:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(network(devices), Some((15, 26)));
        assert_eq!(network("eth0: 1 2"), None);
    }
}
