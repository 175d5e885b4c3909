//! A whole engine of one's own for one test: storage, instance id, an image with the guest program; all of it is gone
//! afterwards.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use naru_engine::docker::{
    DockerEngine, DockerEngineConfig, EngineChoice, PodmanEnvironment, RegistryAccess, Surroundings,
};
use naru_engine::{Engine as _, Inputs, LogPosition, LogSource, StepError};
use naru_model::job::{ExitReason, JobKey, JobScope, JobSeen, JobSpec, JobState, SecretScope, Workspace};
use naru_model::rollout::{Action, ReplicaKey, ReplicaSeen, ReplicaState};
use naru_model::workload::{Limits, Probe, ServiceSpec, Template};
use naru_model::{
    Clock, EnvironmentKey, Generation, ImageReference, InstanceId, RevisionNumber, SecretName, SecretVersion,
    Timestamp,
};
use secrecy::SecretString;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Answers what the engine asks for from what the test put in.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) secrets: Mutex<HashMap<String, String>>,
    pub(crate) archives: Mutex<HashMap<String, Vec<u8>>>,
}

#[async_trait]
impl Inputs for Shelf {
    async fn reveal(
        &self,
        _: &SecretScope,
        name: &SecretName,
        _: SecretVersion,
    ) -> Result<SecretString, StepError> {
        let secrets = self.secrets.lock().unwrap();
        let value =
            secrets.get(name.as_str()).ok_or_else(|| StepError::Transient("no such secret".into()))?;
        Ok(SecretString::from(value.clone()))
    }

    async fn archive(
        &self,
        workspace: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError> {
        let archives = self.archives.lock().unwrap();
        let archive = archives.get(workspace.commit.as_str());
        let archive = archive.ok_or_else(|| StepError::Transient("no such commit".into()))?.clone();
        let chunks: Vec<_> = archive.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Ok(futures::stream::iter(chunks).boxed())
    }
}

pub(crate) struct Rig {
    engine: Option<DockerEngine>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) image: ImageReference,
    pub(crate) podman: PodmanEnvironment,
    config: DockerEngineConfig,
    folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with_registry(None).await
    }

    pub(crate) async fn with_registry(registry: Option<RegistryAccess>) -> Self {
        let folder = tempfile::Builder::new().prefix("naru-engine-").tempdir().unwrap();
        let mut config = config(&folder.path().join("engine"), random_instance());
        config.registry = registry;
        let shelf = Arc::new(Shelf::default());
        let engine =
            DockerEngine::connect(config.clone(), shelf.clone()).await.expect("Podman must be installed");
        let podman = engine.podman_environment().expect("it is our own Podman").clone();
        let image = build_image(&podman, folder.path());
        Self { engine: Some(engine), shelf, image, podman, config, folder }
    }

    pub(crate) fn engine(&self) -> &DockerEngine {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn instance(&self) -> &InstanceId {
        &self.config.instance
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As if the process had been killed and started again: nothing is remembered.
    pub(crate) async fn restart(&mut self) {
        drop(self.engine.take());
        self.engine = Some(DockerEngine::connect(self.config.clone(), self.shelf.clone()).await.unwrap());
    }

    /// Another instance on the same engine.
    pub(crate) async fn neighbour(&self) -> DockerEngine {
        let socket = self.engine().socket().to_owned();
        let mut config = config(&self.folder().join("neighbour"), random_instance());
        config.choice = EngineChoice::Socket(socket);
        DockerEngine::connect(config, self.shelf.clone()).await.unwrap()
    }

    /// Runs podman on the engine's storage.
    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        run_podman(&self.podman, arguments)
    }

    pub(crate) fn service(&self, manners: &[&str]) -> ServiceSpec {
        let command = std::iter::once("/guest").chain(manners.iter().copied()).map(str::to_owned);
        ServiceSpec {
            replicas: 1,
            strategy: naru_model::definition::Strategy::default(),
            template: Template {
                image: self.image.clone(),
                command: Some(command.collect()),
                variables: BTreeMap::new(),
                port: Some(8080),
                probe: Some(Probe::Http { path: "/healthz".into() }),
                limits: Limits { cpu_millis: 0, memory_bytes: 64 << 20 },
                mounts: Vec::new(),
                ready_within: Duration::from_secs(30),
                stop_within: Duration::from_secs(10),
            },
        }
    }

    pub(crate) async fn apply(&self, environment: &EnvironmentKey, action: &Action) {
        self.engine().apply(environment, Generation(1), action).await.unwrap();
    }

    pub(crate) async fn start_replica(
        &self,
        environment: &EnvironmentKey,
        key: &ReplicaKey,
        service: &ServiceSpec,
    ) {
        let action = Action::Start { replica: key.clone(), service: Box::new(service.clone()) };
        self.apply(environment, &action).await;
    }

    pub(crate) async fn replica(
        &self,
        environment: &EnvironmentKey,
        key: &ReplicaKey,
    ) -> Option<ReplicaSeen> {
        let seen = self.engine().observe(environment).await.unwrap();
        seen.replicas.into_iter().find(|replica| &replica.key == key)
    }

    /// Observes until the replica is as wanted.
    pub(crate) async fn until(
        &self,
        environment: &EnvironmentKey,
        key: &ReplicaKey,
        is_wanted: impl Fn(&ReplicaSeen) -> bool,
    ) -> ReplicaSeen {
        let began = Instant::now();
        loop {
            let seen = self.replica(environment, key).await;
            if let Some(replica) = seen.as_ref().filter(|replica| is_wanted(replica)) {
                return replica.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{key} is {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_ready(&self, environment: &EnvironmentKey, key: &ReplicaKey) -> ReplicaSeen {
        self.until(environment, key, |it| matches!(it.state, ReplicaState::Running { ready: true, .. })).await
    }

    pub(crate) async fn until_exited(&self, environment: &EnvironmentKey, key: &ReplicaKey) -> ReplicaSeen {
        self.until(environment, key, |it| matches!(it.state, ReplicaState::Exited { .. })).await
    }

    /// Observes until the job has ended, and says how.
    pub(crate) async fn until_finished(&self, key: &JobKey) -> JobSeen {
        let began = Instant::now();
        loop {
            let seen = self.job(key).await;
            if let Some(job) = seen.as_ref().filter(|job| matches!(job.state, JobState::Finished(_))) {
                return job.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{key} is {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_running(&self, key: &JobKey) {
        let began = Instant::now();
        while !matches!(self.job(key).await, Some(JobSeen { state: JobState::Running { .. }, .. })) {
            assert!(began.elapsed() < PATIENCE, "{key} does not run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn job(&self, key: &JobKey) -> Option<JobSeen> {
        let jobs = self.engine().observe_jobs(&key.scope).await.unwrap();
        jobs.into_iter().find(|job| &job.key == key)
    }

    /// Runs a job to its end.
    pub(crate) async fn run(&self, key: &JobKey, spec: &JobSpec) -> (ExitReason, Vec<String>) {
        self.engine().ensure_job(key, spec).await.unwrap();
        let seen = self.until_finished(key).await;
        (reason(&seen), self.log(&LogSource::Job(key.clone())).await)
    }

    /// Puts the files of a commit on the shelf.
    pub(crate) fn commit(&self, files: &[(&str, &[u8])]) -> Workspace {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(if *path == "guest" { 0o755 } else { 0o644 });
            builder.append_data(&mut header, path, *content).unwrap();
        }
        self.shelve(builder.into_inner().unwrap())
    }

    pub(crate) fn shelve(&self, archive: Vec<u8>) -> Workspace {
        let commit = naru_model::Digest::of(&archive).hex()[..40].to_owned();
        self.shelf.archives.lock().unwrap().insert(commit.clone(), archive);
        Workspace { project: "shop".parse().unwrap(), commit: commit.parse().unwrap() }
    }

    /// All lines of a source, to its end.
    pub(crate) async fn log(&self, source: &LogSource) -> Vec<String> {
        let lines = self.engine().logs(source, LogPosition::default());
        let all = tokio::time::timeout(PATIENCE, lines.map(|line| line.unwrap().text).collect::<Vec<_>>());
        all.await.expect("the log must end with its source")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.engine.take());
        let label = format!("label=dev.naru.instance={}", self.config.instance);
        run_quietly(&self.podman, &["rm", "--all", "--force", "--time", "0"]);
        let networks = run_podman(&self.podman, &["network", "ls", "--quiet", "--filter", &label]);
        for network in networks.lines().filter(|name| *name != "podman") {
            let bridge = run_podman(
                &self.podman,
                &["network", "inspect", "--format", "{{.NetworkInterface}}", network],
            );
            let rule = [
                "-t",
                "mangle",
                "-D",
                "NARU_ISOLATION",
                "-i",
                bridge.trim(),
                "-o",
                bridge.trim(),
                "-j",
                "RETURN",
            ];
            let _ = Command::new("iptables").arg("--wait").args(rule).stderr(Stdio::null()).status();
            run_quietly(&self.podman, &["network", "rm", "--force", network]);
        }
        run_quietly(&self.podman, &["volume", "rm", "--all", "--force"]);
        unmount_below(self.folder.path());
        if let Some(run) = run_folder(&self.podman) {
            let _ = std::fs::remove_dir_all(run);
        }
    }
}

fn config(folder: &Path, instance: InstanceId) -> DockerEngineConfig {
    DockerEngineConfig {
        instance,
        folder: folder.to_owned(),
        choice: EngineChoice::OwnPodman,
        registry: None,
        supervisor: vec![supervisor().into()],
        surroundings: Surroundings::of_this_machine(),
        clock: Arc::new(SystemClock),
    }
}

/// The example beside this test binary: `naru supervise` on its own.
fn supervisor() -> PathBuf {
    let path =
        std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples").join("supervise");
    assert!(path.exists(), "{} must be built (cargo build --examples)", path.display());
    path
}

fn random_instance() -> InstanceId {
    let name = tempfile::Builder::new().prefix("").rand_bytes(12).tempdir().unwrap();
    let text = format!("{}{:?}", name.path().display(), Instant::now());
    naru_model::Digest::of(text.as_bytes()).short().parse().unwrap()
}

/// Podman leaves a mount on its storage, and killed builds leave theirs.
fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = Command::new("umount").arg(point).output();
    }
}

fn run_folder(podman: &PodmanEnvironment) -> Option<PathBuf> {
    let file = podman.variables.iter().find(|(name, _)| name == "CONTAINERS_STORAGE_CONF")?;
    let text = std::fs::read_to_string(&file.1).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("runroot = "))?;
    Path::new(line.trim_matches('"')).parent().map(Path::to_owned)
}

fn podman_command(podman: &PodmanEnvironment, arguments: &[&str]) -> Command {
    let mut command = Command::new(&podman.program);
    command.env_clear().envs(podman.variables.clone()).args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn run_podman(podman: &PodmanEnvironment, arguments: &[&str]) -> String {
    let output = podman_command(podman, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

fn run_quietly(podman: &PodmanEnvironment, arguments: &[&str]) {
    let _ = podman_command(podman, arguments).output();
}

/// The guest program, compiled once.
pub(crate) fn guest() -> PathBuf {
    let source = include_str!("guest.rs");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("guest-{}", naru_model::Digest::of(source.as_bytes()).short()));
    if !program.exists() {
        let new = tempfile::Builder::new().prefix("guest-").tempdir_in(&folder).unwrap();
        std::fs::write(new.path().join("guest.rs"), source).unwrap();
        let output = Command::new("rustc")
            .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
            .args(["guest.rs", "-o", "guest"])
            .current_dir(new.path())
            .output()
            .expect("rustc must be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(new.path().join("guest"), &program).unwrap();
    }
    program
}

/// `localhost/guest` with the guest program and nothing else.
fn build_image(podman: &PodmanEnvironment, folder: &Path) -> ImageReference {
    let context = folder.join("guest-image");
    std::fs::create_dir(&context).unwrap();
    std::fs::copy(guest(), context.join("guest")).unwrap();
    std::fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY guest /guest\nENTRYPOINT [\"/guest\"]\nCMD [\"serve\"]\n",
    )
    .unwrap();
    run_podman(podman, &["build", "--quiet", "--tag", "localhost/guest:1", context.to_str().unwrap()]);
    let digest = run_podman(podman, &["image", "inspect", "--format", "{{.Digest}}", "localhost/guest:1"]);
    format!("localhost/guest@{digest}").parse().unwrap()
}

pub(crate) fn environment(project: &str, environment: &str) -> EnvironmentKey {
    EnvironmentKey { project: project.parse().unwrap(), environment: environment.parse().unwrap() }
}

pub(crate) fn key(service: &str, revision: u32, index: u32) -> ReplicaKey {
    ReplicaKey { service: service.parse().unwrap(), revision: RevisionNumber(revision), index, attempt: 0 }
}

/// GETs a path from a replica and returns the body.
pub(crate) async fn get(replica: &ReplicaSeen, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = replica.address.expect("it has a port");
    let exchange = async {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("the replica must answer")
}

/// A job of a run of `shop`.
pub(crate) fn job(name: &str) -> JobKey {
    JobKey {
        scope: JobScope::Run("shop".parse().unwrap(), naru_model::RunNumber(7)),
        name: name.to_owned(),
        attempt: 1,
    }
}

pub(crate) fn reason(seen: &JobSeen) -> ExitReason {
    match &seen.state {
        JobState::Finished(exit) => exit.reason.clone(),
        other => panic!("it has not ended: {other:?}"),
    }
}

/// Waits until no process of this machine has `mark` among its arguments.
pub(crate) async fn until_no_process_has(mark: &str) {
    let began = Instant::now();
    while processes_with(mark) > 0 {
        assert!(began.elapsed() < PATIENCE, "a process with {mark} is left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn processes_with(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    arguments.filter(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())).count()
}
