//! What `naru doctor` says about the engine and about what this machine offers it; each finding with how to mend it.
//! Looks only.

use std::path::Path;

use naru_model::api::{Check, CheckState};

use super::api::Info;
use super::client::Client;
use super::host::Surroundings;
use super::{DockerEngine, missing};
use crate::StepError;

/// Below this, builds and pulls are likely to fail.
const LITTLE_DISK_BYTES: u64 = 5 << 30;
/// Below this, nothing works for long.
const NO_DISK_BYTES: u64 = 1 << 30;

/// Looks at the engine and its surroundings.
pub async fn examine(engine: &DockerEngine) -> Vec<Check> {
    let mut checks = vec![reachable(engine).await];
    if let Ok(info) = details(&engine.client).await {
        checks.push(control_groups(&info, engine.version.is_podman()));
        checks.push(storage_driver(&info));
    }
    checks.extend(surroundings(&engine.config.folder, &engine.config.surroundings));
    checks
}

/// Looks at the surroundings alone, for when no engine could be reached.
pub fn examine_without_engine(error: &StepError, folder: &Path, here: &Surroundings) -> Vec<Check> {
    let mut checks = vec![unreachable(error)];
    checks.extend(surroundings(folder, here));
    checks
}

/// Looks at what any engine needs of this machine.
pub fn surroundings(folder: &Path, here: &Surroundings) -> [Check; 3] {
    [disk(folder), certificates(here), proxies(here)]
}

fn check(name: &str, state: CheckState, detail: impl Into<String>, hint: Option<&str>) -> Check {
    Check { name: name.to_owned(), state, detail: detail.into(), hint: hint.map(str::to_owned) }
}

async fn details(client: &Client) -> Result<Info, StepError> {
    client.get("/info").await?.success("asking for details")?.json("details")
}

async fn reachable(engine: &DockerEngine) -> Check {
    let socket = engine.client.socket().display();
    match engine.client.get("/_ping").await.and_then(|answer| answer.success("asking for a sign of life")) {
        Ok(_) => {
            check("engine", CheckState::Good, format!("{} at {socket}", engine.version.describe()), None)
        }
        Err(error) => unreachable(&error),
    }
}

fn unreachable(error: &StepError) -> Check {
    let hint = match error {
        StepError::Blocked(problem) => problem.hint.join("\n").replace("$ ", ""),
        StepError::Transient(_) => "start the engine; a Podman of Naru's own comes back by itself".to_owned(),
    };
    let detail = match error {
        StepError::Blocked(problem) => super::job::in_one_sentence(problem),
        StepError::Transient(why) => why.clone(),
    };
    check("engine", CheckState::Failed, detail, Some(&hint))
}

fn control_groups(info: &Info, podman: bool) -> Check {
    let version = info.cgroup_version.as_deref().unwrap_or("?");
    let driver = info.cgroup_driver.as_deref().unwrap_or("?");
    let missing = missing(info, podman);
    let seen = format!("control groups v{version}, driver {driver}");
    if missing.is_empty() {
        return check("limits", CheckState::Good, format!("{seen}: all limits are enforced"), None);
    }
    let hint =
        "run the engine as root on control groups v2, or accept that the limits named here are not kept";
    check("limits", CheckState::Attention, format!("{seen}: {}", missing.join("; ")), Some(hint))
}

fn storage_driver(info: &Info) -> Check {
    let driver = info.driver.as_deref().unwrap_or("?");
    let at = info.docker_root_dir.as_deref().unwrap_or("?");
    let seen = format!("{driver} at {at}");
    if driver == "vfs" {
        let hint = "use a file system that overlay works on (ext4, xfs): vfs copies every layer and is ten times slower";
        return check("storage", CheckState::Attention, seen, Some(hint));
    }
    check("storage", CheckState::Good, seen, None)
}

fn disk(folder: &Path) -> Check {
    // The folder may not exist yet; its disk does.
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let Ok(about) = nix::sys::statvfs::statvfs(existing) else {
        return check("disk", CheckState::Failed, format!("{} cannot be read", existing.display()), None);
    };
    let free = about.blocks_available() * about.fragment_size();
    let seen = format!("{:.1} GiB free at {}", mebibytes(free) / 1024.0, existing.display());
    let hint =
        Some("free some space: builds do not start without; old images go with the next retention pass");
    if free < NO_DISK_BYTES {
        return check("disk", CheckState::Failed, seen, hint);
    }
    if free < LITTLE_DISK_BYTES {
        return check("disk", CheckState::Attention, seen, hint);
    }
    check("disk", CheckState::Good, seen, None)
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 20).unwrap_or(u32::MAX))
}

fn certificates(here: &Surroundings) -> Check {
    match &here.certificates {
        Some(path) => {
            let seen = format!("{} is given to steps and builds", path.display());
            check("certificates", CheckState::Good, seen, None)
        }
        None => check(
            "certificates",
            CheckState::Attention,
            "no bundle of certificate authorities was found",
            Some("apt-get install -y ca-certificates, or name a bundle in SSL_CERT_FILE"),
        ),
    }
}

fn proxies(here: &Surroundings) -> Check {
    if here.proxies.is_empty() {
        return check("proxy", CheckState::Good, "none is set", None);
    }
    let shown: Vec<String> =
        here.proxies.iter().map(|(name, value)| format!("{name}={}", without_password(value))).collect();
    check("proxy", CheckState::Good, format!("{} given to steps and builds", shown.join(" ")), None)
}

/// A proxy's URL may hold a password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://•••@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let set = vec![("https_proxy".to_owned(), "http://me:pa@ss@proxy:3128".to_owned())];
        let here = Surroundings { certificates: None, proxies: set };
        let shown = proxies(&here).detail;
        assert!(
            shown.contains("http://•••@proxy:3128") && !shown.contains("pa@ss") && !shown.contains("me:")
        );
    }

    #[test]
    fn an_engine_that_is_missing_says_how_to_mend_it() {
        let problem =
            naru_model::Problem::new("engine.missing", "no engine").hint("install it:").command("apt-get x");
        let checks =
            examine_without_engine(&problem.into(), Path::new("/nonexistent/x"), &Surroundings::default());
        assert_eq!(checks[0].state, CheckState::Failed);
        assert_eq!(checks[0].hint.as_deref(), Some("install it:\napt-get x"));
        assert_eq!(checks.len(), 4);
    }

    #[test]
    fn ignored_limits_are_called_so() {
        let info = Info { memory_limit: false, cpu_cfs_quota: true, pids_limit: true, ..Info::default() };
        let seen = control_groups(&info, true);
        assert_eq!(seen.state, CheckState::Attention);
        assert!(seen.detail.contains("memory limits are ignored"));
    }
}
