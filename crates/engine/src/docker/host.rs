//! What this machine is like: limits of processes, control groups, certificate authorities, proxies. Reads, never
//! changes.

#![expect(clippy::disallowed_methods, reason = "the adapter that looks at this machine")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

/// Where distributions keep the bundle of certificate authorities.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where the bundle is in every step and build container.
pub(crate) const BUNDLE_IN_CONTAINER: &str = "/run/naru/ca-certificates.crt";

/// Variables by which common tools find the bundle.
pub(crate) const BUNDLE_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
];

/// Variables by which common tools find a proxy; both spellings are in use.
pub(crate) const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// How this machine reaches the world, so that steps and builds reach it too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The bundle of certificate authorities, if the machine has one.
    pub certificates: Option<PathBuf>,
    /// Proxy variables, by name.
    pub proxies: Vec<(String, String)>,
}

impl Surroundings {
    /// Looks at this machine and at this process's variables.
    pub fn of_this_machine() -> Self {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let candidates = named.into_iter().chain(BUNDLES.iter().map(PathBuf::from));
        let certificates = candidates.filter_map(|path| path.canonicalize().ok()).find(|path| path.is_file());
        let proxies = PROXY_VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self { certificates, proxies }
    }

    /// Variables for a step or build container: where the bundle is, and the proxies.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let bundle = self.certificates.iter().flat_map(|_| BUNDLE_VARIABLES);
        let mut all: Vec<_> = bundle.map(|name| (name.to_owned(), BUNDLE_IN_CONTAINER.to_owned())).collect();
        all.extend(self.proxies.iter().cloned());
        all
    }
}

/// At most this many open files and processes for a container, and never more than our own hard limits: an engine
/// that asks for more is refused by the kernel.
pub(crate) fn ulimits() -> [(&'static str, u64); 2] {
    let hard = |resource, most: u64| getrlimit(resource).map_or(1024, |(_, hard)| hard.min(most));
    [("nofile", hard(Resource::RLIMIT_NOFILE, 65_536)), ("nproc", hard(Resource::RLIMIT_NPROC, 32_768))]
}

/// Whether the machine has the second version of control groups alone.
pub(crate) fn has_pure_cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Whether systemd is the machine's first process.
pub(crate) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Where a program is, along `PATH` and the usual folders.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let listed = std::env::var_os("PATH").unwrap_or_default();
    let usual = OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    std::env::split_paths(&listed)
        .chain(std::env::split_paths(usual))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// A process, named so that a later process with the same number is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ProcessMark {
    /// The process id.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) started: u64,
}

impl ProcessMark {
    /// Marks a running process.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::with_parent(pid).map(|(_, mark)| mark)
    }

    /// Marks a running process, and says whose child it is.
    pub(crate) fn with_parent(pid: i32) -> Option<(i32, Self)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let parent = fields.next()?.parse().ok()?;
        Some((parent, Self { pid, started: fields.nth(17)?.parse().ok()? }))
    }

    /// Whether it still runs. A process that has ended and waits to be reaped does not.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The counts of the network devices that it sees.
    pub(crate) fn network(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/net/dev", self.pid))
    }

    /// Sends a signal to it, if it still runs.
    pub(crate) fn signal(self, signal: nix::sys::signal::Signal) {
        if self.is_alive() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mark = ProcessMark::of(pid).unwrap();
        assert!(mark.is_alive());
        assert!(!ProcessMark { started: mark.started + 1, ..mark }.is_alive());
    }

    #[test]
    fn limits_stay_below_our_own() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(ulimits()[0].1 <= hard);
    }

    #[test]
    fn steps_are_told_of_the_bundle_only_when_there_is_one() {
        let with = Surroundings {
            certificates: Some("/x".into()),
            proxies: vec![("http_proxy".into(), "p".into())],
        };
        assert_eq!(with.variables().len(), 7);
        assert!(Surroundings::default().variables().is_empty());
    }
}
