//! Ending a process with everything that came from it, whatever sessions and groups its descendants made for
//! themselves.

#![expect(clippy::disallowed_methods, reason = "waits in a thread while processes end")]

use std::collections::HashMap;

use nix::sys::signal::Signal;

use super::host::ProcessMark;

/// Kills a process and all its descendants. Each is stopped before its children are looked up, so none can be born
/// unseen.
pub(crate) fn kill(root: ProcessMark) {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(process) = open.pop() {
        process.signal(Signal::SIGSTOP);
        open.extend(children(process.pid));
        found.push(process);
    }
    for process in found {
        process.signal(Signal::SIGKILL);
    }
}

/// Kills all descendants of a process that is left alone itself.
pub(crate) fn kill_children(parent: i32) {
    // A child that ended while its own children were looked up leaves them to the nearest reaper above, which is
    // `parent`: they are found in the next round.
    for _ in 0..100 {
        let found = children(parent);
        if found.is_empty() {
            return;
        }
        found.into_iter().for_each(kill);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The living children of a process.
fn children(parent: i32) -> Vec<ProcessMark> {
    all().remove(&parent).unwrap_or_default()
}

/// All processes, by parent.
fn all() -> HashMap<i32, Vec<ProcessMark>> {
    let mut found: HashMap<i32, Vec<ProcessMark>> = HashMap::new();
    let Ok(folder) = std::fs::read_dir("/proc") else { return found };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for (parent, process) in pids.filter_map(ProcessMark::with_parent) {
        found.entry(parent).or_default().push(process);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn grandchildren_in_sessions_of_their_own_end_too() {
        let script = "setsid sleep 1001 & setsid sleep 1001 & wait";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mark = ProcessMark::of(i32::try_from(child.id()).unwrap()).unwrap();
        let began = std::time::Instant::now();
        let tree = loop {
            let tree = children(mark.pid);
            if tree.len() >= 2 {
                break tree;
            }
            assert!(began.elapsed().as_secs() < 20);
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        kill(mark);
        child.wait().unwrap();
        while tree.iter().any(|process| process.is_alive()) {
            assert!(began.elapsed().as_secs() < 20, "{tree:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
