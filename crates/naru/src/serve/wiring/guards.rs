//! Small answers that one crate needs from another: the engine's registry login, the images that are still needed, the
//! room for one more job.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use naru_engine::StepError;
use naru_engine::docker::RegistryLogin;
use naru_identity::Identity;
use naru_image::{NeedUnknown, NeededImages, NeededNow};
use naru_model::authorise::Permission;
use naru_model::{Clock, Digest, EnvironmentKey, ProjectName, RevisionNumber, Timestamp};
use naru_pipeline::{Admission, Room};
use naru_secret::SecretString;
use tokio::sync::Mutex;

/// How long one of the engine's tokens lives.
const TOKEN_LASTS: Duration = Duration::from_hours(24);
/// A new one is made when the old one has less left than this: longer than the longest build.
const TOKEN_RENEWED_BEFORE: Duration = Duration::from_hours(12);
/// How many of an environment's revisions, and of a project's releases, keep their images.
const KEPT: u32 = 20;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Gives the engine a token for our own registry, one for a day.
pub(super) struct EngineLogin {
    pub(super) identity: Identity,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) current: Mutex<Option<(SecretString, Timestamp)>>,
}

#[async_trait]
impl RegistryLogin for EngineLogin {
    async fn login(&self, _repository: &str) -> Result<(String, SecretString), StepError> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        if let Some((token, expires)) = &*current
            && *expires > now + TOKEN_RENEWED_BEFORE
        {
            return Ok(("naru".into(), token.clone()));
        }
        let permissions = [Permission::Read, Permission::PushImage];
        let issued = self
            .identity
            .engine_token(None, &permissions, TOKEN_LASTS)
            .await
            .map_err(|error| StepError::Transient(format!("the registry's token: {error}")))?;
        *current = Some((issued.plain.clone(), now + TOKEN_LASTS));
        Ok(("naru".into(), issued.plain))
    }
}

/// Images of kept releases and revisions.
pub(super) struct Needed(pub(super) naru_delivery::Context);

impl NeededImages for Needed {
    fn needed<'a>(&'a self, project: &'a ProjectName) -> NeededNow<'a> {
        Box::pin(async move { self.of(project).await.map_err(|error| NeedUnknown(error.to_string())) })
    }
}

impl Needed {
    async fn of(&self, project: &ProjectName) -> Result<BTreeSet<Digest>, AnyError> {
        let store = &self.0.store;
        let mut digests = BTreeSet::new();
        for release in store.releases(project, None, KEPT).await? {
            digests.extend(release.images.into_values().map(|image| image.digest));
        }
        for environment in store.environments_of(project).await? {
            let used = [environment.serving, environment.target];
            digests.extend(self.of_environment(&environment.key, used).await?);
        }
        Ok(digests)
    }

    async fn of_environment(
        &self,
        key: &EnvironmentKey,
        used: [Option<RevisionNumber>; 2],
    ) -> Result<BTreeSet<Digest>, AnyError> {
        let store = &self.0.store;
        let mut revisions = store.revisions(key, KEPT).await?;
        for number in used.into_iter().flatten() {
            if revisions.iter().all(|revision| revision.number != number) {
                revisions.extend(store.revision(key, number).await?);
            }
        }
        let mut digests = BTreeSet::new();
        for revision in revisions {
            let spec = self.0.repositories.spec(key, &revision.commit).await?;
            digests.extend(spec.services.into_values().map(|service| service.template.image.digest));
        }
        Ok(digests)
    }
}

/// What this machine has free.
pub(super) struct Machine {
    /// Where images and workspaces are kept.
    pub(super) folder: PathBuf,
}

impl Admission for Machine {
    fn room(&self) -> Room {
        Room {
            memory_bytes: free_memory().unwrap_or(u64::MAX),
            disk_bytes: free_disk(&self.folder).unwrap_or(u64::MAX),
        }
    }
}

fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn free_disk(folder: &std::path::Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    found.blocks_available().checked_mul(found.fragment_size())
}
