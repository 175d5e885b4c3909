//! Retention and garbage collection of the registry: carries out what `retention` plans, then removes blobs that
//! nothing needs any more.
//!
//! Only what this registry stored is touched: rows of its store, and files in its folder that are named like its own.
//! The order is the safe one: manifests, then links of blobs, then rows of blobs, then files. Stopped anywhere, the next
//! pass goes on. A blob cannot lose its file while it is being pushed (`Registry::gate`), nor between a client's
//! question and its manifest (`recent`, and the grace period).

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use naru_model::{ProjectName, Timestamp};
use naru_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::registry::{Registry, blocking};
use crate::retention::plan_retention;

/// Blobs that are looked at in one go.
const BATCH: u32 = 1000;

/// Files that are removed while pushes wait.
const FILES: u32 = 64;

/// How often, and how much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Of each image repository, this many of the newest images that runs pushed are kept, needed or not.
    pub keep_last: usize,
    /// The time between two passes.
    pub every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { keep_last: 10, every: Duration::from_mins(10) }
    }
}

/// What a pass removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Manifests.
    pub images: u64,
    /// Files of blobs.
    pub blobs: u64,
    /// Uploads that were never finished.
    pub uploads: u64,
}

/// Why a pass ended early. What it removed before stays removed; the next pass goes on.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk refused.
    #[error("the blob folder cannot be used: {0}")]
    Folder(#[from] io::Error),
}

/// Collects until cancelled. A pass that fails is logged and tried again at the next turn.
pub async fn run_forever(registry: Arc<Registry>, policy: Policy, cancel: CancellationToken) {
    while cancel.run_until_cancelled(tokio::time::sleep(policy.every)).await.is_some() {
        match collect(&registry, policy.keep_last).await {
            Ok(Collected { images: 0, blobs: 0, uploads: 0 }) => {}
            Ok(Collected { images, blobs, uploads }) => {
                tracing::info!(images, blobs, uploads, "images that nothing needs were removed");
            }
            Err(error) => tracing::error!(%error, "images that nothing needs could not be removed"),
        }
    }
}

/// One pass.
pub async fn collect(registry: &Arc<Registry>, keep_last: usize) -> Result<Collected, CollectError> {
    let before = registry.store.now() - registry.limits.grace;
    let mut collected = Collected {
        uploads: registry.expire_uploads(SystemTime::from(before)).await?,
        ..Collected::default()
    };
    if !registry.recent.is_complete() {
        return Ok(collected); // clients may rely on answers that are not remembered
    }
    for project in registry.store.projects().await? {
        collected.images += drop_images(registry, &project.name, keep_last, before).await?;
    }
    unlink_loose_blobs(registry, before).await?;
    collected.blobs += remove_unlinked_blobs(registry).await?;
    collected.blobs += remove_stray_files(registry, before).await?;
    Ok(collected)
}

async fn drop_images(
    registry: &Registry,
    project: &ProjectName,
    keep_last: usize,
    before: Timestamp,
) -> Result<u64, CollectError> {
    // First the images, then what is needed: an image that becomes needed meanwhile was pushed within the grace period
    // or is kept by what needed it before.
    let images = registry.store.images(project).await?;
    let needed = match registry.needed.needed(project).await {
        Ok(needed) => needed,
        Err(error) => {
            tracing::warn!(%project, %error, "no image was removed: it could not be found out which are needed");
            return Ok(0);
        }
    };
    let planned = plan_retention(&images, &needed, keep_last, before);
    let drop: Vec<_> = planned
        .into_iter()
        .map(|(name, digest)| (naru_store::image::Repository { project: project.clone(), name }, digest))
        .filter(|(repository, digest)| !registry.recent.contains(repository, digest))
        .collect();
    if drop.is_empty() {
        return Ok(0);
    }
    Ok(registry.store.drop_images(&drop, before).await?)
}

async fn unlink_loose_blobs(registry: &Registry, before: Timestamp) -> Result<(), CollectError> {
    loop {
        let mut loose = registry.store.loose_blobs(before, BATCH).await?;
        let found = loose.len();
        loose.retain(|blob| !registry.recent.contains(&blob.repository, &blob.digest));
        if loose.is_empty() {
            return Ok(());
        }
        registry.store.unlink_loose_blobs(&loose, before).await?;
        if found < BATCH as usize {
            return Ok(());
        }
    }
}

async fn remove_unlinked_blobs(registry: &Registry) -> Result<u64, CollectError> {
    let mut removed = 0;
    loop {
        let gate = registry.gate.write().await;
        let digests = registry.store.forget_unlinked_blobs(FILES).await?;
        if digests.is_empty() {
            return Ok(removed);
        }
        removed += digests.len() as u64;
        let folder = registry.folder.clone();
        blocking(move || digests.iter().try_for_each(|digest| folder.remove_blob(digest))).await?;
        drop(gate); // pushes take their turn
    }
}

/// Removes files of blobs that no row speaks of: a crash came between the two.
async fn remove_stray_files(registry: &Registry, before: Timestamp) -> Result<u64, CollectError> {
    let (folder, before) = (registry.folder.clone(), SystemTime::from(before));
    let mut removed = 0;
    for (digest, _) in blocking(move || folder.blobs()).await?.into_iter().filter(|(_, at)| *at < before) {
        if registry.store.knows_blob(&digest).await? {
            continue;
        }
        let gate = registry.gate.write().await;
        if !registry.store.knows_blob(&digest).await? {
            let folder = registry.folder.clone();
            blocking(move || folder.remove_blob(&digest)).await?;
            removed += 1;
        }
        drop(gate);
    }
    Ok(removed)
}
