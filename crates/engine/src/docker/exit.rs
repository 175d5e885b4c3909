//! Why a container ended. Says no more than is known: an exit code of 137 is a signal, and a full memory only when the
//! engine or the kernel says so.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use naru_model::job::ExitReason;

use super::api::State;
use super::container::why_not_started;

/// Why the container `id` ended. `memory_bytes` is its memory limit, 0 for none.
pub(crate) async fn reason(id: &str, state: &State, memory_bytes: u64) -> ExitReason {
    // Docker keeps why a container could not be started.
    let error = state.error.as_deref().filter(|error| !error.is_empty() && state.started_at.is_none());
    if let Some(error) = error {
        return ExitReason::NotStarted { why: why_not_started(error) };
    }
    if memory_bytes > 0 && (state.oom_killed || (state.exit_code == 137 && kernel_killed(id).await)) {
        return ExitReason::OutOfMemory { limit_bytes: memory_bytes };
    }
    by_code(state.exit_code)
}

/// The convention of container runtimes: 128 and the number of the signal.
fn by_code(code: i64) -> ExitReason {
    match i32::try_from(code).unwrap_or(-1) {
        code @ 129..=159 => ExitReason::Signalled { signal: code - 128 },
        code => ExitReason::Exited { code },
    }
}

/// Whether the kernel's log says that this container's memory limit was hit. Podman on the first version of control
/// groups does not notice it, and the group itself is gone once its container has ended.
async fn kernel_killed(id: &str) -> bool {
    let id = id.to_owned();
    tokio::task::spawn_blocking(move || kernel_log_names(&id)).await.unwrap_or(false)
}

fn kernel_log_names(id: &str) -> bool {
    let log = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open("/dev/kmsg");
    let Ok(mut log) = log else { return false };
    let mut record = vec![0; 8192];
    // One record a read; bounded, because the log may be written to as fast as it is read.
    for _ in 0..200_000 {
        match log.read(&mut record) {
            Ok(length) if names_container(&record[..length], id) => return true,
            Ok(0) => return false,
            Ok(_) => {}
            // The record was overwritten before it was read; the next one follows.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPIPE as i32) => {}
            Err(_) => return false,
        }
    }
    false
}

/// `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/…<id>…,task_memcg=…`
fn names_container(record: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(record);
    let Some(rest) = text.split_once("oom-kill:constraint=CONSTRAINT_MEMCG") else { return false };
    let Some((_, group)) = rest.1.split_once("oom_memcg=") else { return false };
    !id.is_empty() && group.split(',').next().is_some_and(|group| group.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_above_128_are_signals() {
        assert_eq!(by_code(0), ExitReason::Exited { code: 0 });
        assert_eq!(by_code(3), ExitReason::Exited { code: 3 });
        assert_eq!(by_code(137), ExitReason::Signalled { signal: 9 });
        assert_eq!(by_code(255), ExitReason::Exited { code: 255 });
    }

    #[test]
    fn only_the_containers_own_limit_counts() {
        let record = |group: &str| {
            format!(
                "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={group},task_memcg=/x/libpod-abc"
            )
        };
        assert!(names_container(record("/libpod_parent/libpod-abc").as_bytes(), "abc"));
        assert!(!names_container(record("/").as_bytes(), "abc"));
        assert!(!names_container(
            b"6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/libpod-abc",
            "abc"
        ));
    }

    #[tokio::test]
    async fn what_never_started_did_not_exit() {
        let error = Some("runc create failed: exec: \"/x\": no such file or directory: unknown".to_owned());
        let state = State { exit_code: 127, error, ..State::default() };
        let why = "exec: \"/x\": no such file or directory".to_owned();
        assert_eq!(reason("x", &state, 0).await, ExitReason::NotStarted { why });
    }

    #[tokio::test]
    async fn a_kill_without_evidence_is_only_a_signal() {
        let state = State { exit_code: 137, ..State::default() };
        assert_eq!(
            reason("0123456789abcdef-not-a-container", &state, 1 << 20).await,
            ExitReason::Signalled { signal: 9 }
        );
    }
}
