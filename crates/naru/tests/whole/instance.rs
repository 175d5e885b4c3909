//! One running Naru with a data folder of its own: started, killed, started again, and cleared away with everything it
//! made on this machine, also when a test panics.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::api::Api;
use super::process::{self, until};

/// The binary that is tested.
pub(crate) const NARU: &str = env!("CARGO_BIN_EXE_naru");

/// Lines of the log that tell of effects.
pub(crate) const EFFECT: &str = "naru::effect";

/// A Naru with its data folder. All methods take `&self`, so that projects can borrow it while it is killed and started.
pub(crate) struct Instance {
    folder: tempfile::TempDir,
    listen: SocketAddr,
    edge: SocketAddr,
    api: Api,
    serve: Mutex<Option<Child>>,
}

impl Instance {
    /// Starts Naru on an empty folder, waits until it is ready, and makes the administrator.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same on a data folder that the test has prepared.
    pub(crate) fn start_on(prepare: impl FnOnce(&Path)) -> Self {
        Self::start_prepared(&[], prepare)
    }

    /// The same with more arguments of `naru serve`, for the first start only.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_prepared(arguments, |_| ())
    }

    fn start_prepared(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("naru-whole-").tempdir().unwrap();
        let [listen, edge] = free_addresses();
        let mut instance = Self { folder, listen, edge, api: Api::at(listen), serve: Mutex::new(None) };
        prepare(&instance.data());
        instance.serve(arguments);
        instance.wait_until_ready();
        let link = fs::read_to_string(instance.data().join("setup-link")).expect("there is a setup link");
        instance.api.set_up(link.trim().split_once("token=").expect("the link has a token").1);
        instance
    }

    /// Starts `naru serve` on the same folder and ports, and does not wait: with `--abort-at` it may never be ready.
    pub(crate) fn serve(&self, arguments: &[&str]) {
        self.serve_with(Path::new(NARU), arguments);
    }

    /// The same with another copy of the binary.
    pub(crate) fn serve_with(&self, binary: &Path, arguments: &[&str]) {
        let mut serve = self.serve.lock().unwrap();
        assert!(serve.is_none(), "the one before still runs");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = process::program(binary, self.folder.path());
        command.arg("serve").arg("--data").arg(self.data()).args(["--engine", "podman"]);
        command.args(["--listen", &self.listen.to_string(), "--edge-listen", &self.edge.to_string()]);
        command.env("NARU_LOG", format!("info,{EFFECT}=trace")).env("NO_COLOR", "1");
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log);
        *serve = Some(command.spawn().expect("naru can be started"));
    }

    /// Waits until store, git and engine answer. Fails at once when `naru serve` ends.
    pub(crate) fn wait_until_ready(&self) {
        until("naru is ready", String::new, || {
            if let Some(status) = self.ended() {
                panic!("naru serve ended with {status}");
            }
            self.api.is_ready().then_some(())
        });
    }

    /// How `naru serve` ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let mut serve = self.serve.lock().unwrap();
        let status = serve.as_mut().expect("it was started").try_wait().unwrap();
        if status.is_some() {
            *serve = None;
        }
        status
    }

    /// Whether `naru serve` has ended; how is for [`Instance::wait_for_end`] to tell.
    pub(crate) fn has_ended(&self) -> bool {
        self.serve.lock().unwrap().as_mut().is_none_or(|serve| serve.try_wait().unwrap().is_some())
    }

    /// Waits until `naru serve` ends by itself, as `--abort-at` makes it.
    pub(crate) fn wait_for_end(&self) -> ExitStatus {
        until("naru serve ends", String::new, || self.ended())
    }

    /// Ends `naru serve` as a power cut would. Edge, engine service and containers go on.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends `naru serve` a signal and waits until it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> ExitStatus {
        let process = self.serve.lock().unwrap().as_ref().expect("it runs").id();
        kill(Pid::from_raw(i32::try_from(process).unwrap()), signal).unwrap();
        self.wait_for_end()
    }

    /// Starts it again on the same data and waits until it is ready.
    pub(crate) fn serve_again(&self) {
        self.serve(&[]);
        self.wait_until_ready();
    }

    /// The control plane, as the administrator.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// Where services are reached.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.edge
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the test's own, beside the data.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the binary, logged in by its environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = process::program(NARU, self.folder.path());
        command.env("NARU_URL", self.api.base()).env("NARU_TOKEN", self.api.token());
        command
    }

    /// Runs `naru stop` on the folder. `naru serve` must have ended.
    pub(crate) fn stop(&self) -> Output {
        process::output(
            self.command().arg("stop").arg("--data").arg(self.data()).args(["--engine", "podman"]),
        )
    }

    /// Runs `naru key rotate` on the folder. `naru serve` must have ended.
    pub(crate) fn rotate_keys(&self, arguments: &[&str]) -> Output {
        process::output(self.command().args(["key", "rotate", "--data"]).arg(self.data()).args(arguments))
    }

    /// Runs podman on the instance's own storage, as a person on the server could.
    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        process::text(self.podman_command().args(arguments)).trim().to_owned()
    }

    /// Names of containers with a label, such as `dev.naru.service=web`; only running ones.
    pub(crate) fn containers(&self, label: &str) -> Vec<String> {
        let label = format!("label={label}");
        let names = self.podman(&["ps", "--filter", &label, "--format", "{{.Names}}"]);
        names.lines().map(str::to_owned).collect()
    }

    /// What `naru serve` has logged since the first start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ids of the processes whose command line names the data folder or the engine's run folder: serve, edge, podman's
    /// service and what watches containers.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let mut marks = vec![self.folder.path().to_string_lossy().into_owned()];
        marks.extend(self.run_folder().map(|folder| folder.to_string_lossy().into_owned()));
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let all = entries.filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            Some((id, String::from_utf8_lossy(&line).replace('\0', " ")))
        });
        all.filter(|(_, line)| marks.iter().any(|mark| line.contains(mark))).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.beside("serve.log")
    }

    fn podman_command(&self) -> Command {
        let engine = self.data().join("engine");
        let mut podman = process::program("podman", self.folder.path());
        for (name, file) in [
            ("CONTAINERS_CONF", "containers.conf"),
            ("CONTAINERS_STORAGE_CONF", "storage.conf"),
            ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
            ("TMPDIR", "tmp"),
        ] {
            podman.env(name, engine.join(file));
        }
        podman
    }

    /// Where the engine keeps what must not outlive a reboot; none before the first start.
    fn run_folder(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.data().join("engine/storage.conf")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("runroot = "))?;
        Path::new(line.trim_matches('"')).parent().map(Path::to_owned)
    }

    /// What a failed test has to say.
    fn explain(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(EFFECT)).collect();
        eprintln!("naru serve said last:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        let serve = self.serve.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(mut serve) = serve {
            let _ = serve.kill();
            let _ = serve.wait();
        }
        // Takes down containers, networks with their firewall rules, and the edge.
        let mut stop = self.command();
        let _ = stop.arg("stop").arg("--data").arg(self.data()).args(["--engine", "podman"]).output();
        let _ = self.podman_command().args(["rm", "--all", "--force", "--time", "0"]).output();
        let _ = self.podman_command().args(["volume", "rm", "--all", "--force"]).output();
        for (process, _) in self.processes() {
            let _ = kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL);
        }
        unmount_below(self.folder.path());
        if let Some(run) = self.run_folder() {
            unmount_below(&run);
            let _ = fs::remove_dir_all(run);
        }
    }
}

/// Two addresses that nobody uses. On a loopback address of this process's own, so that no connection of another test
/// takes the port while `naru serve` is down between two starts.
fn free_addresses() -> [SocketAddr; 2] {
    let [_, first, second, third] = std::process::id().to_be_bytes();
    let own = IpAddr::V4(Ipv4Addr::new(127, 64 | first, second, third));
    let listeners = [(); 2].map(|()| TcpListener::bind((own, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// Podman leaves a mount on its storage, and killed builds leave theirs.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = process::program("umount", Path::new("/")).arg(point).output();
    }
}
