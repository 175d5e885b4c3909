//! Making hosted repositories fit to serve: the hook scripts, and what killed git processes left behind.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Processes of an earlier life see the end of their input and stop by themselves; this is how long they may take.
const GRACE: Duration = Duration::from_secs(5);
const FOLDERS: [&str; 2] = ["source", "deploy"];

/// Writes the hook folders, one per kind of repository, and returns the folder they are in. A source repository has no
/// hook; a deploy repository has at most `pre-receive`.
pub(crate) async fn install_hooks(root: &Path, deploy: &[OsString]) -> std::io::Result<PathBuf> {
    let hooks = root.join("hooks");
    for kind in FOLDERS {
        tokio::fs::create_dir_all(hooks.join(kind)).await?;
    }
    let hooks = tokio::fs::canonicalize(hooks).await?;
    let script = hooks.join("deploy").join("pre-receive");
    if deploy.is_empty() {
        return match tokio::fs::remove_file(&script).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(hooks),
        };
    }
    let content = hook_script(deploy);
    if tokio::fs::read(&script).await.is_ok_and(|present| present == content) {
        return Ok(hooks);
    }
    let next = hooks.join("pre-receive.next");
    tokio::fs::write(&next, content).await?;
    tokio::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).await?;
    tokio::fs::rename(&next, &script).await?;
    Ok(hooks)
}

/// A shell script that becomes the command, argument by argument.
fn hook_script(command: &[OsString]) -> Vec<u8> {
    let mut script = b"#!/bin/sh\nexec".to_vec();
    for argument in command {
        script.extend_from_slice(b" '");
        for byte in argument.as_bytes() {
            match byte {
                b'\'' => script.extend_from_slice(b"'\\''"),
                byte => script.push(*byte),
            }
        }
        script.push(b'\'');
    }
    script.push(b'\n');
    script
}

/// Ends git processes that still work below `root`, then removes their locks and half-received objects.
pub(crate) async fn sweep(root: &Path) -> std::io::Result<()> {
    let root = match tokio::fs::canonicalize(root).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        root => root?,
    };
    end_processes(&root).await;
    let swept =
        tokio::task::spawn_blocking(move || FOLDERS.iter().try_for_each(|kind| sweep_kind(&root.join(kind))));
    swept.await.map_err(std::io::Error::other)?
}

async fn end_processes(root: &Path) {
    let deadline = tokio::time::Instant::now() + GRACE;
    loop {
        let left = processes_within(root);
        if left.is_empty() {
            return;
        }
        if tokio::time::Instant::now() >= deadline {
            for process in left {
                let _ = kill(process, Signal::SIGKILL); // gone already is fine
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if tokio::time::Instant::now() >= deadline + GRACE {
            tracing::warn!(root = %root.display(), "git processes of an earlier life do not end");
            return;
        }
    }
}

/// Git processes whose working folder is a repository below `root`: they are ours, from before a crash.
fn processes_within(root: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ours = |process: &Path| {
        let runs_git = std::fs::read(process.join("comm")).is_ok_and(|name| name.starts_with(b"git"));
        let folder = std::fs::read_link(process.join("cwd"));
        runs_git && folder.is_ok_and(|folder| FOLDERS.iter().any(|kind| folder.starts_with(root.join(kind))))
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            ours(&entry.path()).then(|| Pid::from_raw(id))
        })
        .collect()
}

fn sweep_kind(folder: &Path) -> std::io::Result<()> {
    for repository in entries(folder)? {
        if repository.extension().is_some_and(|extension| extension == "deleted") {
            std::fs::remove_dir_all(&repository)?;
            continue;
        }
        for half_received in entries(&repository.join("objects"))? {
            let name = half_received.file_name().unwrap_or_default().as_bytes();
            if name.starts_with(b"tmp_objdir-") || name.starts_with(b"incoming-") {
                std::fs::remove_dir_all(&half_received)?;
            }
        }
        for file in entries(&repository)? {
            remove_lock(&file)?;
        }
        remove_locks(&repository.join("refs"))?;
    }
    Ok(())
}

fn remove_locks(folder: &Path) -> std::io::Result<()> {
    for entry in entries(folder)? {
        if entry.is_dir() {
            remove_locks(&entry)?;
        } else {
            remove_lock(&entry)?;
        }
    }
    Ok(())
}

fn remove_lock(file: &Path) -> std::io::Result<()> {
    if file.extension().is_some_and(|extension| extension == "lock") && file.is_file() {
        std::fs::remove_file(file)?;
    }
    Ok(())
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "runs the script that git would run")]
    fn a_hook_script_passes_hostile_arguments_on_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("hook");
        let arguments =
            ["/usr/bin/printf", "%s|", "a b", "it's", "$(id)", "`id`", "x\ny"].map(OsString::from);
        std::fs::write(&script, hook_script(&arguments)).unwrap();
        let output = std::process::Command::new("/bin/sh").arg(&script).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "a b|it's|$(id)|`id`|x\ny|");
    }
}
