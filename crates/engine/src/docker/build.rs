//! Jobs that build an image: the context, the orders for the supervising process, and what came of them.
//!
//! Builds go through `podman build` or `docker build`: the API's own build call differs from version to version. The
//! image has Docker's format, because the OCI format has no place for `SHELL` and `HEALTHCHECK`: a Dockerfile with
//! `SHELL` would build something else than it says. Every registry takes both formats.

#![expect(clippy::disallowed_methods, reason = "the adapter that starts podman, docker and the supervisor")]

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use naru_model::job::{
    Dockerfile, ExitReason, JobExit, JobKey, JobSeen, JobSpec, JobState, JobWork, Workspace,
};
use naru_model::{Digest, Problem, Timestamp};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::host::{BUNDLE_VARIABLES, Surroundings};
use super::image::{RegistryAccess, repository_at};
use super::job::{Jobs, job};
use super::lines::FileReader;
use super::logs::{Sender, Tail, send};
use super::recipe::{DIGEST, DIGESTS, IMAGE, Parts, Recipe};
use super::service::PodmanEnvironment;
use super::supervise::{ORDERS, OUTPUT, Orders, PROGRESS, Progress};
use super::{archive, host, names, stages, tree};
use crate::{LogPosition, StepError};

/// Which job a folder belongs to.
const KEY: &str = "key.json";
/// Is there when the image has its local name.
const NAMED: &str = "named";
const GLANCE: Duration = Duration::from_millis(25);
/// How long looking after the storage may take.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);
/// How long a supervisor may take to say that it is there.
const FIRST_SIGN: Duration = Duration::from_secs(30);

/// The largest Dockerfile that is read.
const DOCKERFILE_LIMIT_BYTES: u64 = 1 << 20;

/// What builds are done with.
pub(crate) struct Tools {
    /// Podman's or Docker's command, and its variables.
    pub(crate) environment: PodmanEnvironment,
    /// Whether it is our own Podman with its own storage.
    pub(crate) is_ours: bool,
    /// Whether it is Podman at all.
    pub(crate) podman: bool,
    pub(crate) registry: Option<RegistryAccess>,
    pub(crate) supervisor: Vec<OsString>,
}

impl Tools {
    /// The tools for an engine that is not ours: its usual command, which finds it by itself or by its socket.
    pub(crate) fn for_socket(socket: &Path, podman: bool, surroundings: &Surroundings) -> PodmanEnvironment {
        let name = if podman { "podman" } else { "docker" };
        let mut variables: Vec<(String, String)> = ["PATH", "HOME", "XDG_RUNTIME_DIR"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        if !podman {
            variables.push(("DOCKER_HOST".to_owned(), format!("unix://{}", socket.display())));
        }
        variables.extend(surroundings.proxies.iter().cloned());
        PodmanEnvironment { program: host::program(name).unwrap_or_else(|| name.into()), variables }
    }
}

impl Jobs {
    /// Jobs that have a build's folder.
    pub(crate) fn builds(&self) -> Result<Vec<JobKey>, StepError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StepError::Transient(format!("{}: {error}", self.folder.display()))),
        };
        let keys = entries
            .flatten()
            .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path().join(KEY)).ok()?).ok());
        Ok(keys.collect())
    }

    /// Whether the job is a build.
    pub(crate) fn has_build(&self, key: &JobKey) -> bool {
        self.folder_of(key).join(KEY).exists()
    }

    fn progress(&self, key: &JobKey) -> Option<Progress> {
        serde_json::from_slice(&std::fs::read(self.folder_of(key).join(PROGRESS)).ok()?).ok()
    }

    /// Unpacks the context and starts the supervisor, unless it was started before.
    pub(crate) async fn prepare_build(&self, key: &JobKey, spec: &JobSpec) -> Result<(), StepError> {
        let JobWork::Build { workspace, context, dockerfile, arguments, labels, push_to } = &spec.work else {
            return Ok(());
        };
        if self.progress(key).is_some() {
            return Ok(());
        }
        let folder = self.folder_of(key);
        if !folder.join(ORDERS).exists() {
            let parts = Parts { context, dockerfile, arguments, labels, push_to };
            let _ = tokio::fs::remove_dir_all(&folder).await;
            std::fs::create_dir_all(folder.join("files")).map_err(|error| lost(&folder, &error))?;
            write_private(&folder.join(KEY), &json!(key).to_string())?;
            let network = names::job(&self.containers.instance, key);
            let labels = names::of_job(&self.containers.instance, "job-network", key);
            tokio::try_join!(self.unpack(workspace, &folder), self.networks.ensure(&network, &labels))?;
            let orders = self.orders(&folder, &parts, spec, &network).await?;
            let text = serde_json::to_string(&orders).expect("orders are plain data");
            write_private(&folder.join("orders.new"), &text)?;
            std::fs::rename(folder.join("orders.new"), folder.join(ORDERS))
                .map_err(|error| lost(&folder, &error))?;
        }
        self.start_supervisor(key, &folder).await
    }

    async fn unpack(&self, workspace: &Workspace, folder: &Path) -> Result<(), StepError> {
        let stored = folder.join("archive.tar");
        archive::fetch(&*self.inputs, workspace, &stored).await?;
        unpack(&stored, &folder.join("files")).await?;
        let _ = tokio::fs::remove_file(&stored).await;
        Ok(())
    }

    async fn start_supervisor(&self, key: &JobKey, folder: &Path) -> Result<(), StepError> {
        let no_supervisor =
            || Problem::new("engine.supervisor", "no command is configured that supervises builds");
        let [program, arguments @ ..] = self.tools.supervisor.as_slice() else {
            return Err(no_supervisor().into());
        };
        let log =
            std::fs::File::create(folder.join("supervisor.log")).map_err(|error| lost(folder, &error))?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .arg(folder.join(ORDERS))
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| StepError::Transient(format!("the supervisor cannot be started: {error}")))?;
        let end = tokio::time::Instant::now() + FIRST_SIGN;
        while self.progress(key).is_none() {
            let ended = child.try_wait().ok().flatten();
            if self.progress(key).is_none() && (ended.is_some() || tokio::time::Instant::now() > end) {
                let _ = child.start_kill();
                let said = std::fs::read_to_string(folder.join("supervisor.log")).unwrap_or_default();
                let said = super::client::shorten(said.trim(), 300);
                return Err(StepError::Transient(format!("the supervisor did not begin: {said}")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn orders(
        &self,
        folder: &Path,
        parts: &Parts<'_>,
        spec: &JobSpec,
        network: &str,
    ) -> Result<Orders, StepError> {
        let files = folder.join("files");
        let context = archive::within(&files, parts.context)?;
        for name in [".dockerignore", ".containerignore"] {
            let path = context.join(name);
            if path.symlink_metadata().is_ok()
                && !path.canonicalize().is_ok_and(|real| real.starts_with(&files))
            {
                return Err(Problem::new(
                    "engine.build-path",
                    format!("{name} leads outside the repository"),
                )
                .into());
            }
        }
        let dockerfile = match parts.dockerfile {
            Dockerfile::Path(path) => self.with_surroundings(folder, archive::within(&files, path)?)?,
            Dockerfile::Generated(text) => {
                write_private(&folder.join("Dockerfile"), text)?;
                folder.join("Dockerfile")
            }
        };
        self.write_login(folder, parts.push_to).await?;
        let recipe = Recipe {
            folder,
            context: &context,
            dockerfile: &dockerfile,
            parts,
            spec,
            network,
            instance: self.containers.instance.as_str(),
            surroundings: &self.surroundings,
            tools: &self.tools,
        };
        let commands = if self.tools.podman { recipe.podman() } else { recipe.docker() };
        let mut variables = self.tools.environment.variables.clone();
        if !self.tools.podman {
            variables.push(("DOCKER_CONFIG".to_owned(), folder.join("login").display().to_string()));
        }
        Ok(Orders { commands, variables, time_limit: spec.time_limit, log_limit_bytes: spec.log_limit_bytes })
    }

    /// The Dockerfile that is built: the repository's, or a copy whose stages know where the host's bundle is.
    fn with_surroundings(&self, folder: &Path, original: PathBuf) -> Result<PathBuf, StepError> {
        if !self.tools.podman || self.surroundings.certificates.is_none() {
            return Ok(original);
        }
        let about = std::fs::metadata(&original).map_err(|error| lost(&original, &error))?;
        if about.len() > DOCKERFILE_LIMIT_BYTES {
            let summary = format!("the Dockerfile has more than {} KiB", DOCKERFILE_LIMIT_BYTES >> 10);
            return Err(Problem::new("engine.build-path", summary).into());
        }
        let text = std::fs::read(&original).map_err(|error| lost(&original, &error))?;
        let changed = stages::with_arguments(&String::from_utf8_lossy(&text), &BUNDLE_VARIABLES);
        let copy = folder.join("Dockerfile");
        write_private(&copy, &changed)?;
        // An ignore file that belongs to the Dockerfile is looked for beside it.
        let own = |path: &Path| PathBuf::from(format!("{}.dockerignore", path.display()));
        if own(&original).symlink_metadata().is_ok_and(|about| about.is_file()) {
            std::fs::copy(own(&original), own(&copy)).map_err(|error| lost(&copy, &error))?;
        }
        Ok(copy)
    }

    /// Writes the login for pushing, in the form that Docker and Podman share.
    async fn write_login(&self, folder: &Path, push_to: &str) -> Result<(), StepError> {
        let mut logins = serde_json::Map::new();
        if let Some(access) = &self.tools.registry
            && let Some(repository) = repository_at(push_to, &access.host)
        {
            let (user, password) = access.login.login(repository).await?;
            let pair = format!("{user}:{}", password.expose_secret());
            let auth = base64::engine::general_purpose::STANDARD.encode(pair);
            logins.insert(access.host.clone(), json!({ "auth": auth }));
        }
        let login = folder.join("login");
        std::fs::create_dir_all(&login).map_err(|error| lost(folder, &error))?;
        write_private(&login.join("config.json"), &json!({ "auths": logins }).to_string())
    }

    /// How far a build is; `None` when its supervisor was never started.
    pub(crate) fn look_at_build(&self, key: &JobKey) -> Option<JobSeen> {
        let progress = self.progress(key)?;
        let state = match progress.exit {
            Some(exit) => JobState::Finished(exit),
            None if progress.process.is_alive() => JobState::Running { since: progress.started },
            None => JobState::Finished(self.ended_unseen(key, progress.started)),
        };
        let mut seen = job(key, state);
        if let JobState::Finished(exit) = &mut seen.state
            && exit.reason.is_success()
        {
            if let Some(digest) = read_digest(&self.folder_of(key)) {
                seen.outputs.insert(DIGEST.to_owned(), digest.to_string());
            } else {
                let why = "the image was pushed, but its digest is not known".to_owned();
                exit.reason = ExitReason::NotStarted { why };
            }
        }
        Some(seen)
    }

    /// Gives a built image its local name, once: replicas then find it without asking the registry.
    pub(crate) async fn name_build(&self, seen: &JobSeen) -> Result<(), StepError> {
        let folder = self.folder_of(&seen.key);
        let Some(digest) = seen.outputs.get(DIGEST).and_then(|digest| digest.parse().ok()) else {
            return Ok(());
        };
        if !self.tools.podman || folder.join(NAMED).exists() {
            return Ok(());
        }
        let image = std::fs::read_to_string(folder.join(IMAGE)).map_err(|error| lost(&folder, &error))?;
        self.images.name(image.trim(), &digest).await?;
        write_private(&folder.join(NAMED), "")
    }

    /// The supervisor is gone and left no word: it was killed, or the machine went down.
    fn ended_unseen(&self, key: &JobKey, started: Timestamp) -> JobExit {
        // It may have written its last word after it was read above.
        if let Some(exit) = self.progress(key).and_then(|progress| progress.exit) {
            return exit;
        }
        let at = std::fs::metadata(self.folder_of(key).join(OUTPUT)).and_then(|about| about.modified());
        let finished = at.ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or(started);
        JobExit { reason: ExitReason::Signalled { signal: 9 }, started: Some(started), finished }
    }

    /// Ends a build with all its processes.
    pub(crate) async fn end_build(&self, key: &JobKey) -> Result<(), StepError> {
        let Some(progress) = self.progress(key) else { return Ok(()) };
        if progress.exit.as_ref().is_some_and(|exit| matches!(exit.reason, ExitReason::Exited { .. })) {
            return Ok(());
        }
        let process = progress.process;
        tokio::task::spawn_blocking(move || tree::kill(process))
            .await
            .map_err(|error| StepError::Transient(error.to_string()))?;
        self.sweep_builds().await
    }

    /// Digests that builds have made and nobody has taken note of yet: their jobs are still there.
    pub(crate) fn fresh_digests(&self) -> Result<Vec<Digest>, StepError> {
        Ok(self.builds()?.iter().filter_map(|key| read_digest(&self.folder_of(key))).collect())
    }

    /// Whether a build of ours runs or is about to.
    pub(crate) fn is_building(&self) -> Result<bool, StepError> {
        let runs = |key: &JobKey| {
            self.progress(key).is_none_or(|progress| progress.exit.is_none() && progress.process.is_alive())
        };
        Ok(self.builds()?.iter().any(runs))
    }

    /// Removes the working containers that killed builds left in our own storage. They carry no label, so it is done
    /// only while no build runs; they belong to nobody else, because nobody else uses this storage.
    pub(crate) async fn sweep_builds(&self) -> Result<(), StepError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct External {
            id: String,
            state: Option<String>,
        }
        if !self.tools.is_ours || self.is_building()? {
            return Ok(());
        }
        let listed = self.podman(&["ps", "--all", "--external", "--format", "json"]).await?;
        let listed: Vec<External> = serde_json::from_slice(&listed).unwrap_or_default();
        let left = listed.iter().filter(|it| it.state.as_deref() == Some("storage")).map(|it| it.id.as_str());
        let left: Vec<&str> = left.collect();
        // What a build that began meanwhile has made is not in the list.
        if left.is_empty() || self.is_building()? {
            return Ok(());
        }
        self.podman(&[&["rm", "--force", "--"], left.as_slice()].concat()).await.map(drop)
    }

    async fn podman(&self, arguments: &[&str]) -> Result<Vec<u8>, StepError> {
        let environment = &self.tools.environment;
        let failed = |why: String| StepError::Transient(format!("podman {}: {why}", arguments[0]));
        let output = tokio::process::Command::new(&environment.program)
            .args(arguments)
            .env_clear()
            .envs(environment.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(COMMAND_LIMIT, output)
            .await
            .map_err(|_| failed("it took too long".into()))?;
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failed(super::client::shorten(&String::from_utf8_lossy(&output.stderr), 300)))
    }

    /// A build's output from a position on, until it has ended.
    pub(crate) async fn follow_build(
        &self,
        key: &JobKey,
        from: LogPosition,
        sender: Sender,
    ) -> Result<(), StepError> {
        let path = self.folder_of(key).join(OUTPUT);
        let mut tail = Tail::default();
        let mut reader = FileReader::default();
        loop {
            // Asked before reading: what is printed between the two is then still read.
            let goes_on = self.progress(key).is_some_and(|it| it.exit.is_none() && it.process.is_alive());
            loop {
                let bytes = tail.next(&path).await;
                if !send(&sender, reader.feed(&bytes), from).await {
                    return Ok(());
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if !goes_on {
                send(&sender, reader.finish(self.clock.now()), from).await;
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// The digest that the registry knows the image by.
fn read_digest(folder: &Path) -> Option<Digest> {
    if let Ok(text) = std::fs::read_to_string(folder.join(DIGEST)) {
        return text.trim().parse().ok();
    }
    let text = std::fs::read_to_string(folder.join(DIGESTS)).ok()?;
    text.lines().find_map(|line| line.trim().rsplit_once('@')?.1.parse().ok())
}

async fn unpack(stored: &Path, files: &Path) -> Result<(), StepError> {
    let (stored, files) = (stored.to_owned(), files.to_owned());
    let unpacking = tokio::task::spawn_blocking(move || archive::unpack(&stored, &files));
    unpacking.await.map_err(|error| StepError::Transient(error.to_string()))?.map_err(StepError::from)
}

fn lost(folder: &Path, error: &std::io::Error) -> StepError {
    StepError::Transient(format!("{}: {error}", folder.display()))
}

fn write_private(path: &PathBuf, text: &str) -> Result<(), StepError> {
    use std::io::Write as _;
    let file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| lost(path, &error))
}
