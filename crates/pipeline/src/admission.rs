//! Whether there is room for one more job: services go first.

use std::path::PathBuf;

/// Less free memory than this, and no job starts.
const LEAST_MEMORY_BYTES: u64 = 384 << 20;
/// Less free disk than this, and no job starts.
const LEAST_DISK_BYTES: u64 = 1 << 30;

/// What is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Memory that can be had without swapping.
    pub memory_bytes: u64,
    /// Disk where images and workspaces are kept.
    pub disk_bytes: u64,
}

impl Room {
    /// Why no job may start now, in words for people; `None` when one may.
    pub fn refusal(self) -> Option<String> {
        let short = |what: &str, free: u64, least: u64| {
            format!("{} MiB of {what} are free, a step starts from {} MiB", free >> 20, least >> 20)
        };
        if self.disk_bytes < LEAST_DISK_BYTES {
            Some(short("disk", self.disk_bytes, LEAST_DISK_BYTES))
        } else if self.memory_bytes < LEAST_MEMORY_BYTES {
            Some(short("memory", self.memory_bytes, LEAST_MEMORY_BYTES))
        } else {
            None
        }
    }
}

/// Says what is free. What cannot be found out counts as plenty: it must not stop everything.
pub trait Admission: Send + Sync + 'static {
    /// What is free now.
    fn room(&self) -> Room;
}

/// Reads this machine's memory and the disk of a folder.
#[derive(Debug, Clone)]
pub struct OfMachine {
    /// Where the engine keeps its storage.
    pub folder: PathBuf,
}

impl Admission for OfMachine {
    fn room(&self) -> Room {
        let disk = nix::sys::statvfs::statvfs(&self.folder).ok();
        Room {
            memory_bytes: std::fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| available(&text))
                .unwrap_or(u64::MAX),
            disk_bytes: disk
                .map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size())),
        }
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes: see proc(5).
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_machine_says_what_is_short() {
        let plenty = Room { memory_bytes: 8 << 30, disk_bytes: 80 << 30 };
        assert_eq!(plenty.refusal(), None);
        let no_memory = Room { memory_bytes: 100 << 20, ..plenty };
        assert_eq!(no_memory.refusal().unwrap(), "100 MiB of memory are free, a step starts from 384 MiB");
        let no_disk = Room { disk_bytes: 10 << 20, ..plenty };
        assert_eq!(no_disk.refusal().unwrap(), "10 MiB of disk are free, a step starts from 1024 MiB");
    }

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(available("MemTotal:  8000 kB\nMemAvailable:    4096 kB\n"), Some(4 << 20));
        assert_eq!(available("nothing"), None);
        let here = OfMachine { folder: "/".into() }.room();
        assert!(here.memory_bytes > 0 && here.memory_bytes < u64::MAX);
        assert!(here.disk_bytes < u64::MAX);
    }
}
