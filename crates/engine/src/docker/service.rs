//! Our own `podman system service`: its configuration, its process, and its coming back when it dies. Containers
//! outlive it; nothing here knows what runs.

#![expect(clippy::disallowed_methods, reason = "the adapter that starts podman")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use naru_model::{InstanceId, Problem};
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::host::{self, ProcessMark, Surroundings};
use crate::StepError;

/// How long the service may take to answer first: it may have to clean up after a reboot.
const FIRST_ANSWER: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LOG_LIMIT_BYTES: u64 = 1 << 20;

/// What a podman process needs to see our storage and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodmanEnvironment {
    /// The podman program.
    pub program: PathBuf,
    /// All its environment variables: nothing else is inherited.
    pub variables: Vec<(String, String)>,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
    run: PathBuf,
    /// Where addresses of networks are taken from first.
    addresses: String,
}

impl Layout {
    /// `folder` is `<data>/engine`.
    pub(crate) fn new(folder: &Path, instance: &InstanceId) -> Self {
        Self {
            folder: folder.to_owned(),
            run: run_folder(folder, instance),
            addresses: own_addresses(instance),
        }
    }

    /// Where the service listens: on the temporary file system because a socket's path is short.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("podman.sock")
    }

    fn mark(&self) -> PathBuf {
        self.folder.join("service.json")
    }
}

/// A block of 64 networks that is likely to be nobody else's. Podman avoids the networks that it knows and the bridges
/// that are up, so two instances that make a network at the same moment would otherwise choose the same addresses, and
/// reach each other's containers.
fn own_addresses(instance: &InstanceId) -> String {
    let id = u64::from_str_radix(instance.as_str(), 16).expect("an instance id is hexadecimal");
    let block = id % (160 * 4);
    format!("10.{}.{}.0/18", 96 + block / 4, block % 4 * 64)
}

/// State of running containers must not outlive a reboot, so it is kept in memory where that is possible.
fn run_folder(folder: &Path, instance: &InstanceId) -> PathBuf {
    let own =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|_| !nix::unistd::geteuid().is_root());
    own.into_iter()
        .chain(["/run".into(), "/dev/shm".into()])
        .find(|path| is_writable_tmpfs(path))
        .map_or_else(|| folder.join("run"), |path| path.join(format!("naru-{instance}")))
}

fn is_writable_tmpfs(path: &Path) -> bool {
    let in_memory = nix::sys::statfs::statfs(path)
        .is_ok_and(|about| about.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    in_memory && nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Creates the folders and configuration files. Repeating it changes nothing.
pub(crate) fn prepare(
    layout: &Layout,
    surroundings: &Surroundings,
    registry: Option<&str>,
) -> Result<PodmanEnvironment, StepError> {
    let program = host::program("podman").ok_or_else(no_engine)?;
    let runtime = runtime().ok_or_else(no_engine)?;
    let write = || -> std::io::Result<()> {
        private_folder(&layout.folder)?;
        private_folder(&layout.run)?;
        private_folder(&layout.folder.join("tmp"))?;
        replace(&layout.folder.join("containers.conf"), &containers_conf(layout, runtime))?;
        replace(&layout.folder.join("storage.conf"), &storage_conf(layout))?;
        replace(&layout.folder.join("registries.conf"), &registries_conf(registry))?;
        replace(&layout.folder.join("policy.json"), "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n")
    };
    write().map_err(|error| {
        Problem::new("engine.data-folder", "the container engine's folder cannot be prepared")
            .cause(format!("{}: {error}", layout.folder.display()))
            .hint("check that the data folder is writable and its disk is not full")
    })?;
    Ok(PodmanEnvironment { program, variables: variables(layout, surroundings) })
}

fn no_engine() -> StepError {
    Problem::new("engine.missing", "no container engine was found")
        .cause("neither Docker's nor Podman's socket answers, and podman with runc or crun is not installed")
        .hint("install Podman:")
        .command("apt-get install -y --no-install-recommends podman runc netavark aardvark-dns iptables")
        .into()
}

/// crun of some distributions refuses machines that still have the first version of control groups.
fn runtime() -> Option<&'static str> {
    let order = if host::has_pure_cgroup_v2() { ["crun", "runc"] } else { ["runc", "crun"] };
    order.into_iter().find(|name| host::program(name).is_some())
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let about = std::fs::symlink_metadata(path)?;
    if !about.is_dir() || about.uid() != nix::unistd::geteuid().as_raw() {
        return Err(std::io::Error::other("it belongs to somebody else"));
    }
    Ok(())
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|current| current == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

/// TOML's basic strings escape as JSON's do, for what paths contain.
fn quoted(text: impl AsRef<Path>) -> String {
    serde_json::Value::String(text.as_ref().to_string_lossy().into_owned()).to_string()
}

fn containers_conf(layout: &Layout, runtime: &str) -> String {
    let [(_, files), (_, processes)] = host::ulimits();
    let manager = if host::has_systemd() && host::has_pure_cgroup_v2() { "systemd" } else { "cgroupfs" };
    let capabilities = super::container::CAPABILITIES.map(|name| format!("\"{name}\"")).join(", ");
    format!(
        "[containers]\n\
         default_capabilities = [{capabilities}]\n\
         default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         log_driver = \"k8s-file\"\n\
         log_size_max = {log}\n\
         [engine]\n\
         runtime = \"{runtime}\"\n\
         cgroup_manager = \"{manager}\"\n\
         events_logger = \"file\"\n\
         # The shared segment of locks would be shared with every other podman of this machine.\n\
         lock_type = \"file\"\n\
         tmp_dir = {tmp}\n\
         [network]\n\
         network_backend = \"netavark\"\n\
         # After our own block, those that Podman takes by default.\n\
         default_subnet_pools = [{{ base = \"{addresses}\", size = 24 }}, {{ base = \"10.89.0.0/16\", size = 24 }}, \
         {{ base = \"10.90.0.0/15\", size = 24 }}, {{ base = \"10.92.0.0/14\", size = 24 }}]\n",
        addresses = layout.addresses,
        log = super::container::LOG_LIMIT_BYTES,
        tmp = quoted(layout.run.join("libpod")),
    )
}

fn storage_conf(layout: &Layout) -> String {
    format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = {}\nrunroot = {}\n",
        quoted(layout.folder.join("storage")),
        quoted(layout.run.join("containers")),
    )
}

fn registries_conf(registry: Option<&str>) -> String {
    let ours = registry.map(|host| format!("[[registry]]\nlocation = {}\ninsecure = true\n", quoted(host)));
    format!("unqualified-search-registries = [\"docker.io\"]\n{}", ours.unwrap_or_default())
}

fn variables(layout: &Layout, surroundings: &Surroundings) -> Vec<(String, String)> {
    let file = |name: &str| layout.folder.join(name).to_string_lossy().into_owned();
    let mut all = vec![
        ("CONTAINERS_CONF".to_owned(), file("containers.conf")),
        ("CONTAINERS_STORAGE_CONF".to_owned(), file("storage.conf")),
        ("CONTAINERS_REGISTRIES_CONF".to_owned(), file("registries.conf")),
        ("TMPDIR".to_owned(), file("tmp")),
    ];
    for name in ["PATH", "HOME", "XDG_RUNTIME_DIR", "LANG"] {
        if let Ok(value) = std::env::var(name) {
            all.push((name.to_owned(), value));
        }
    }
    if let Some(bundle) = &surroundings.certificates {
        all.push(("SSL_CERT_FILE".to_owned(), bundle.to_string_lossy().into_owned()));
    }
    all.extend(surroundings.proxies.iter().cloned());
    all
}

/// The running service. Dropping it ends the process; containers go on.
#[derive(Debug)]
pub(crate) struct Service {
    layout: Layout,
    stop: CancellationToken,
    kept: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Service {
    /// Starts the service and keeps it running. One left by an earlier process of ours is replaced: it is nobody's
    /// child, and its configuration may be older than ours.
    pub(crate) async fn start(layout: Layout, environment: PodmanEnvironment) -> Result<Self, StepError> {
        if let Some(old) = left_behind(&layout) {
            replace_old(old).await;
        }
        let mut child = spawn(&layout, &environment)?;
        if let Err(error) = first_answer(&layout, &mut child).await {
            let _ = child.start_kill();
            return Err(error);
        }
        let stop = CancellationToken::new();
        let kept = tokio::spawn(keep(layout.clone(), environment, child, stop.clone()));
        Ok(Self { layout, stop, kept })
    }

    /// Ends the process and unmounts what it leaves mounted on its storage.
    pub(crate) async fn close(mut self) {
        self.stop.cancel();
        let _ = (&mut self.kept).await; // cancelled or not, it has ended
        for root in [self.layout.folder.join("storage"), self.layout.run.clone()] {
            unmount_below(&root);
        }
    }
}

fn left_behind(layout: &Layout) -> Option<ProcessMark> {
    let mark: ProcessMark = serde_json::from_slice(&std::fs::read(layout.mark()).ok()?).ok()?;
    mark.is_alive().then_some(mark)
}

async fn replace_old(old: ProcessMark) {
    old.signal(Signal::SIGTERM);
    for _ in 0..100 {
        if !old.is_alive() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    old.signal(Signal::SIGKILL);
}

fn spawn(layout: &Layout, environment: &PodmanEnvironment) -> Result<Child, StepError> {
    let failed = |error: std::io::Error| {
        StepError::Transient(format!("{} cannot be started: {error}", environment.program.display()))
    };
    let log_path = layout.folder.join("service.log");
    let large = std::fs::metadata(&log_path).is_ok_and(|about| about.len() > LOG_LIMIT_BYTES);
    let log =
        std::fs::OpenOptions::new().create(true).append(!large).write(true).truncate(large).open(&log_path);
    let _ = std::fs::remove_file(layout.socket());
    let child = Command::new(&environment.program)
        .args(["--log-level", "error", "system", "service", "--time", "0", "--"])
        .arg(format!("unix://{}", layout.socket().display()))
        .env_clear()
        .envs(environment.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.map_err(failed)?)
        // Ctrl-C at the terminal is ours to handle; the service is needed until we are done.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mark = child.id().and_then(|pid| ProcessMark::of(i32::try_from(pid).ok()?));
    let text = serde_json::to_string(&mark).expect("a mark is plain data");
    replace(&layout.mark(), &text).map_err(failed)?;
    Ok(child)
}

async fn first_answer(layout: &Layout, child: &mut Child) -> Result<(), StepError> {
    let client = Client::new(layout.socket());
    let answers = async {
        while client.get("/_ping").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        result = tokio::time::timeout(FIRST_ANSWER, answers) => result.map_err(|_| did_not_start(layout)),
        _ = child.wait() => Err(did_not_start(layout)),
    }
}

fn did_not_start(layout: &Layout) -> StepError {
    let log = layout.folder.join("service.log");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let mut problem = Problem::new("engine.service", "podman's service did not start");
    let from = text.lines().count().saturating_sub(5);
    for line in text.lines().skip(from) {
        problem = problem.cause(super::client::shorten(line, 300));
    }
    problem.hint(format!("its log is {}", log.display())).command("naru doctor").into()
}

/// Waits for the process and starts it again, with growing pauses while it keeps dying.
async fn keep(layout: Layout, environment: PodmanEnvironment, first: Child, stop: CancellationToken) {
    let mut child = Some(first);
    let mut pause = Duration::from_millis(50);
    loop {
        if let Some(mut running) = child.take() {
            let since = tokio::time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => {
                    let _ = running.kill().await;
                    return;
                }
                status = running.wait() => {
                    tracing::warn!(?status, "podman's service ended and is started again");
                }
            }
            if since.elapsed() > LONGEST_PAUSE {
                pause = Duration::from_millis(50);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        match spawn(&layout, &environment) {
            Ok(running) => child = Some(running),
            Err(error) => tracing::warn!(%error, "podman's service could not be started again"),
        }
    }
}

/// Unmounts what is mounted on a folder or below it, the last first. What is in use stays, and is told.
fn unmount_below(root: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for point in mount_points(&mounts).into_iter().rev().filter(|point| point.starts_with(root)) {
        if let Err(error) = nix::mount::umount(&point) {
            tracing::warn!(folder = %point.display(), %error, "what Podman left mounted could not be unmounted");
        }
    }
}

/// The second field of each line, as proc_mounts(5) says; blanks and the like are written as octal numbers there.
fn mount_points(mounts: &str) -> Vec<PathBuf> {
    let unescape = |point: &str| {
        [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
            .iter()
            .fold(point.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    };
    mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(|point| unescape(point).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_break_out_of_the_configuration() {
        let layout =
            Layout { folder: "/data/a\"b\nc".into(), run: "/run/x".into(), addresses: String::new() };
        assert!(storage_conf(&layout).contains(r#"graphroot = "/data/a\"b\nc/storage""#));
    }

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let mounts = "overlay /data/my\\040naru/storage/overlay overlay rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(mount_points(mounts), [Path::new("/data/my naru/storage/overlay"), Path::new("/proc")]);
    }

    #[test]
    fn addresses_follow_from_the_instance() {
        let of = |id: &str| own_addresses(&id.parse().unwrap());
        assert_eq!(of("000000000000"), "10.96.0.0/18");
        assert_eq!(of("000000000007"), "10.97.192.0/18");
        assert_eq!(of("00000000027f"), "10.255.192.0/18");
    }

    #[test]
    fn only_our_own_registry_is_plain() {
        assert!(!registries_conf(None).contains("insecure"));
        assert!(
            registries_conf(Some("127.0.0.1:7070"))
                .contains("location = \"127.0.0.1:7070\"\ninsecure = true")
        );
    }
}
