//! Blobs: whole files by name, in a local folder. What a name means and when a blob may go is decided by their owners.

use std::ops::Range;
use std::path::Path as Folder;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::{Result, StoreError};

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Missing(format!("blob {path}")),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// All blobs of an instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
}

impl BlobStore {
    /// Blobs below `folder`, which is made when it is missing.
    pub async fn open(folder: &Folder) -> Result<Self> {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects) })
    }

    /// Stores a blob, whole or not at all. `name` is a relative path of plain components; others are refused.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<()> {
        self.objects.put(&path(name)?, PutPayload::from_bytes(content)).await?;
        Ok(())
    }

    /// The size of a blob in bytes; `None` when there is none.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.objects.head(&path(name)?).await {
            Ok(facts) => Ok(Some(facts.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A blob's content, in pieces.
    pub async fn get(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let found = self.objects.get(&path(name)?).await?;
        Ok(found.into_stream().map(|piece| piece.map_err(StoreError::from)).boxed())
    }

    /// Part of a blob's content.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        Ok(self.objects.get_range(&path(name)?, range).await?)
    }

    /// Removes a blob; one that is not there is fine.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match self.objects.delete(&path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Names and sizes of the blobs below a folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let folder = path(folder)?;
        let mut listing = self.objects.list(Some(&folder));
        let mut found = Vec::new();
        while let Some(entry) = listing.next().await {
            let entry = entry?;
            found.push((entry.location.to_string(), entry.size));
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn path(name: &str) -> Result<Path> {
    Path::parse(name)
        .map_err(|error| StoreError::Unavailable(format!("{name:?} is no name for a blob: {error}")))
}
