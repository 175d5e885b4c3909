//! Jobs that run a command in a container: workspace, caches, companions, and the watch over their limits.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use naru_model::job::{ExitReason, JobKey, JobSpec, JobWork, Workspace};
use naru_model::{EnvironmentKey, Problem, Timestamp};
use tokio_util::io::SyncIoBridge;

use super::client::Payload;
use super::container::{self, Started, Wanted, is_new};
use super::host::BUNDLE_IN_CONTAINER;
use super::job::{Bounds, Jobs, check_label};
use super::replica::{check_mount_path, hostname, reveal};
use super::{archive, logs, names};
use crate::{LogPosition, StepError};

/// Where the commit's files are.
const WORKSPACE: &str = "/workspace";
/// How long images may take to be pulled before the attempt counts as failed.
const PULL_PATIENCE: Duration = Duration::from_mins(30);
const UPLOAD_LIMIT: Duration = Duration::from_mins(10);
const GLANCE: Duration = Duration::from_millis(50);
const VERDICT: &str = "verdict.json";

/// The parts of [`JobWork::Command`].
struct Parts<'a> {
    image: &'a str,
    command: &'a [String],
    workspace: Option<&'a Workspace>,
    caches: &'a std::collections::BTreeMap<String, String>,
    beside: &'a std::collections::BTreeMap<String, String>,
    environment: Option<&'a (EnvironmentKey, Vec<naru_model::workload::Mount>)>,
}

impl Jobs {
    /// Makes and starts the job's container, unless it was started before.
    pub(crate) async fn prepare_command(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        let JobWork::Command { image, command, workspace, caches, beside, environment } = &job.work else {
            return Ok(());
        };
        let parts = Parts {
            image,
            command,
            workspace: workspace.as_ref(),
            caches,
            beside,
            environment: environment.as_ref(),
        };
        let name = names::job(&self.containers.instance, key);
        match self.containers.inspect(&name).await? {
            Some(seen) if is_new(&seen.state.status) => self.containers.remove(&seen.id).await?,
            Some(_) => return Ok(()),
            None => {}
        }
        let network = self.network(key, &parts).await?;
        self.start_beside(key, job, &parts, &network).await?;
        let id = self.create(key, job, &parts, name, network).await?;
        self.upload(&id, key, &parts).await?;
        match self.containers.start(&id).await? {
            Started::Yes => {
                // Seen by the next look at the latest; watched at once so that no limit is missed in between.
                self.watch(key, &id, bounds(job), self.clock.now());
                Ok(())
            }
            Started::Never(message) => {
                self.remove_containers(key, None).await?;
                Err(Problem::new("engine.refused", container::why_not_started(&message)).into())
            }
        }
    }

    /// The environment's network for release commands, one of its own for any other job.
    async fn network(&self, key: &JobKey, parts: &Parts<'_>) -> Result<String, StepError> {
        let instance = &self.containers.instance;
        let (name, labels) = match parts.environment {
            Some((environment, _)) => (
                names::network(instance, environment),
                names::of_environment(instance, "network", environment),
            ),
            None => (names::job(instance, key), names::of_job(instance, "job-network", key)),
        };
        self.networks.ensure(&name, &labels).await?;
        Ok(name)
    }

    async fn start_beside(
        &self,
        key: &JobKey,
        job: &JobSpec,
        parts: &Parts<'_>,
        network: &str,
    ) -> Result<(), StepError> {
        let instance = &self.containers.instance;
        if parts.environment.is_some() && !parts.beside.is_empty() {
            return Err(Problem::new("engine.beside", "nothing can run beside a release command")
                .cause("it shares the network of its environment, where names are those of services")
                .into());
        }
        for (name, image) in parts.beside {
            check_label("name of a container beside a step", name)?;
            let wanted = Wanted {
                name: names::beside(instance, key, name),
                image: self.image(key, image).await?,
                labels: names::of_job(instance, "beside", key),
                hostname: hostname(name),
                network: network.to_owned(),
                aliases: vec![name.clone()],
                limits: job.limits,
                cpu_shares: container::JOB_CPU_SHARES,
                process_limit: container::PROCESS_LIMIT,
                ..Wanted::default()
            };
            let id = self.containers.create(&wanted).await?;
            if let Started::Never(message) = self.containers.start(&id).await? {
                let why = container::why_not_started(&message);
                return Err(Problem::new("engine.refused", format!("{name} beside the step: {why}")).into());
            }
        }
        Ok(())
    }

    async fn image(&self, key: &JobKey, name: &str) -> Result<String, StepError> {
        let is_plain = !name.is_empty()
            && name.len() <= 512
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte))
            && name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !is_plain {
            return Err(Problem::new(
                "engine.image-missing",
                format!("{name:?} is not the name of an image"),
            )
            .into());
        }
        self.images.ensure_named(key.project(), name, PULL_PATIENCE).await
    }

    async fn create(
        &self,
        key: &JobKey,
        job: &JobSpec,
        parts: &Parts<'_>,
        name: String,
        network: String,
    ) -> Result<String, StepError> {
        let instance = &self.containers.instance;
        let (revealed, secrets) = reveal(&*self.inputs, &key.secret_scope(), &job.variables).await?;
        let mut binds = self.caches(key, parts).await?;
        let mut variables = Vec::new();
        if let Some((environment, mounts)) = parts.environment {
            binds.extend(self.replicas.volumes(environment, mounts).await?);
        } else {
            if let Some(bundle) = &self.surroundings.certificates {
                binds.push(format!("{}:{BUNDLE_IN_CONTAINER}:ro", bundle.display()));
            }
            let surroundings = self.surroundings.variables();
            variables.extend(surroundings.iter().map(|(name, value)| format!("{name}={value}")));
        }
        variables.extend(revealed);
        let mut labels = names::of_job(instance, "job", key);
        labels.insert(names::SECRETS.to_owned(), secrets.join(","));
        let bounds = serde_json::to_string(&bounds(job)).expect("bounds are plain data");
        labels.insert(names::JOB_BOUNDS.to_owned(), bounds);
        let wanted = Wanted {
            name,
            image: self.image(key, parts.image).await?,
            command: Some(parts.command.to_vec()),
            variables,
            labels,
            hostname: hostname(&key.name),
            network,
            aliases: Vec::new(),
            binds,
            working_folder: parts.environment.is_none().then(|| WORKSPACE.to_owned()),
            limits: job.limits,
            cpu_shares: container::JOB_CPU_SHARES,
            process_limit: container::PROCESS_LIMIT,
            // The engine begins a new file when one is full; the job is to be killed before that.
            log_bytes: stored_limit(job.log_limit_bytes).saturating_add(64 << 20),
            publish: None,
        };
        self.containers.create(&wanted).await
    }

    async fn caches(&self, key: &JobKey, parts: &Parts<'_>) -> Result<Vec<String>, StepError> {
        let instance = &self.containers.instance;
        let mut binds = Vec::new();
        for (path, cache) in parts.caches {
            check_mount_path(path)?;
            check_label("cache name", cache)?;
            let volume = names::cache(instance, key, cache);
            self.networks.ensure_volume(&volume, &names::owned(instance, "cache")).await?;
            binds.push(format!("{volume}:{path}"));
        }
        Ok(binds)
    }

    /// Unpacks the workspace; a job without one gets the empty folder.
    async fn upload(&self, id: &str, key: &JobKey, parts: &Parts<'_>) -> Result<(), StepError> {
        if parts.environment.is_some() {
            return Ok(());
        }
        let folder = self.folder_of(key);
        let stored = folder.join("archive.tar");
        let failed = |error: std::io::Error| StepError::Transient(format!("{}: {error}", folder.display()));
        tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
        match parts.workspace {
            Some(workspace) => archive::fetch(&*self.inputs, workspace, &stored).await?,
            None => tokio::fs::write(&stored, [0; 1024]).await.map_err(failed)?,
        }
        let (payload, rewriting) = rewritten(&stored, self.clock.now());
        let uploaded = self.containers.upload(id, payload, UPLOAD_LIMIT).await;
        // What is wrong with the archive says more than the transfer that broke off because of it.
        rewriting.await.map_err(|error| StepError::Transient(error.to_string()))??;
        uploaded?;
        tokio::fs::remove_file(&stored).await.map_err(failed)
    }

    /// Watches over a running job's limits, unless somebody does.
    pub(crate) fn watch(&self, key: &JobKey, id: &str, bounds: Bounds, since: Timestamp) {
        if !self.begin_watch(key) {
            return;
        }
        let (this, key, id) = (self.clone(), key.clone(), id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = this.watch_over(&key, &id, bounds, since).await {
                tracing::warn!(%error, job = %key, "a job could not be watched; the next look takes it up again");
            }
            this.end_watch(&key);
        });
    }

    async fn watch_over(
        &self,
        key: &JobKey,
        id: &str,
        bounds: Bounds,
        since: Timestamp,
    ) -> Result<(), StepError> {
        let past = Duration::try_from(self.clock.now().duration_since(since)).unwrap_or_default();
        let left = bounds.time_limit.saturating_sub(past);
        let verdict = tokio::select! {
            is_over = self.prints_too_much(id, bounds.log_limit_bytes) => {
                is_over?.then_some(ExitReason::LogLimit { bytes: bounds.log_limit_bytes })
            }
            () = self.stores_too_much(id, bounds.log_limit_bytes) => {
                Some(ExitReason::LogLimit { bytes: bounds.log_limit_bytes })
            }
            () = tokio::time::sleep(left) => Some(ExitReason::TimedOut { seconds: bounds.time_limit.as_secs() }),
        };
        if let Some(reason) = verdict {
            // Written first: after a restart between the two it is killed again, never reported as killed by nobody.
            self.write_verdict(key, &reason)?;
            self.containers.kill(id).await?;
        }
        self.remove_containers(key, Some("beside")).await
    }

    /// Reads along until the job ends (`false`) or has printed more than it may (`true`).
    async fn prints_too_much(&self, id: &str, limit: u64) -> Result<bool, StepError> {
        let (containers, id) = (self.containers.clone(), id.to_owned());
        let mut lines = logs::fed_by(|sender| async move {
            logs::follow(&containers, &id, LogPosition::default(), sender).await
        });
        let mut printed = 0;
        while let Some(line) = lines.next().await {
            printed += line?.text.len() as u64 + 1;
            if printed > limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until the job's log file is far too large: reading along is exact, but slower than a flood.
    async fn stores_too_much(&self, id: &str, limit: u64) {
        let seen = self.containers.inspect(id).await.ok().flatten();
        let Some(file) = seen.as_ref().and_then(logs::file_of) else { return std::future::pending().await };
        while tokio::fs::metadata(&file).await.is_ok_and(|about| about.len() <= stored_limit(limit)) {
            tokio::time::sleep(GLANCE).await;
        }
        if !file.exists() {
            std::future::pending::<()>().await;
        }
    }

    fn write_verdict(&self, key: &JobKey, reason: &ExitReason) -> Result<(), StepError> {
        let folder = self.folder_of(key);
        let text = serde_json::to_vec(reason).expect("a reason is plain data");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("verdict.new"), text))
            .and_then(|()| std::fs::rename(folder.join("verdict.new"), folder.join(VERDICT)))
            .map_err(|error| StepError::Transient(format!("{}: {error}", folder.display())))
    }

    /// Why we killed the job, if we did.
    pub(crate) fn read_verdict(&self, key: &JobKey) -> Option<ExitReason> {
        serde_json::from_slice(&std::fs::read(self.folder_of(key).join(VERDICT)).ok()?).ok()
    }
}

/// How large the log file may be: the engine writes some 45 bytes before each line.
fn stored_limit(limit: u64) -> u64 {
    limit.saturating_mul(4).saturating_add(1 << 20)
}

fn bounds(job: &JobSpec) -> Bounds {
    Bounds { limits: job.limits, time_limit: job.time_limit, log_limit_bytes: job.log_limit_bytes }
}

/// The archive as it is sent to the engine: checked, with the current time, below the workspace's folder.
fn rewritten(stored: &Path, now: Timestamp) -> (Payload, tokio::task::JoinHandle<Result<(), Problem>>) {
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    let stored = stored.to_owned();
    let now = u64::try_from(now.as_second()).unwrap_or(0);
    let writer = SyncIoBridge::new(ours);
    let rewriting = tokio::task::spawn_blocking(move || {
        let folder = WORKSPACE.trim_start_matches('/');
        archive::rewrite(&stored, folder, now, std::io::BufWriter::with_capacity(64 << 10, writer))
    });
    let chunks = tokio_util::io::ReaderStream::with_capacity(theirs, 64 << 10);
    (Payload::Archive(chunks.map(|chunk: Result<Bytes, _>| chunk).boxed()), rewriting)
}
