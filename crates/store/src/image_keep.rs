//! What retention and garbage collection read and remove. Which images go is decided in `naru_image::retention`.

use std::collections::BTreeSet;

use naru_model::{Digest, ProjectName, TagName, Timestamp};
use sqlx::Row;

use crate::image::Repository;
use crate::{Change, Result, Store, Topic, from_millis, parse, to_millis};

/// A manifest with what retention has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImage {
    /// Where it is.
    pub repository: Repository,
    /// The digest of its content.
    pub digest: Digest,
    /// The tags that point at it.
    pub tags: BTreeSet<TagName>,
    /// The manifests it lists, when it is an index.
    pub lists: BTreeSet<Digest>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// When it was pushed last.
    pub pushed_at: Timestamp,
}

/// A blob that a repository has and no manifest there needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LooseBlob {
    /// Where it is.
    pub repository: Repository,
    /// Which blob.
    pub digest: Digest,
}

impl Store {
    /// All manifests of a project.
    pub async fn images(&self, project: &ProjectName) -> Result<Vec<KnownImage>> {
        let rows = sqlx::query(
            "SELECT repository, digest, subject, pushed_at FROM image_manifest WHERE project = $1
             ORDER BY repository, digest",
        )
        .bind(project.as_str())
        .fetch_all(self.reader())
        .await?;
        let mut images = Vec::with_capacity(rows.len());
        for row in &rows {
            let subject: Option<String> = row.try_get("subject")?;
            images.push(KnownImage {
                repository: Repository {
                    project: project.clone(),
                    name: parse("image repository name", row.try_get("repository")?)?,
                },
                digest: parse("digest", row.try_get("digest")?)?,
                tags: BTreeSet::new(),
                lists: BTreeSet::new(),
                subject: subject.map(|digest| parse("digest", &digest)).transpose()?,
                pushed_at: from_millis(row.try_get("pushed_at")?),
            });
        }
        self.add_tags(project, &mut images).await?;
        self.add_lists(project, &mut images).await?;
        Ok(images)
    }

    async fn add_tags(&self, project: &ProjectName, images: &mut [KnownImage]) -> Result<()> {
        let rows = sqlx::query("SELECT repository, name, digest FROM image_tag WHERE project = $1")
            .bind(project.as_str())
            .fetch_all(self.reader())
            .await?;
        for row in &rows {
            if let Some(image) = find(images, row.try_get("repository")?, row.try_get("digest")?) {
                image.tags.insert(parse("tag", row.try_get("name")?)?);
            }
        }
        Ok(())
    }

    async fn add_lists(&self, project: &ProjectName, images: &mut [KnownImage]) -> Result<()> {
        let rows = sqlx::query(
            "SELECT repository, manifest, digest FROM image_reference WHERE project = $1 AND kind = 'manifest'",
        )
        .bind(project.as_str())
        .fetch_all(self.reader())
        .await?;
        for row in &rows {
            if let Some(image) = find(images, row.try_get("repository")?, row.try_get("manifest")?) {
                image.lists.insert(parse("digest", row.try_get("digest")?)?);
            }
        }
        Ok(())
    }

    /// Removes manifests with their tags, except those that were pushed again at or after `before`. Returns how many
    /// went.
    pub async fn drop_images(&self, images: &[(Repository, Digest)], before: Timestamp) -> Result<u64> {
        let mut write = self.write("image.drop").await?;
        let mut dropped = 0;
        for (repository, digest) in images {
            let done = sqlx::query(
                "DELETE FROM image_manifest
                 WHERE project = $1 AND repository = $2 AND digest = $3 AND pushed_at < $4",
            )
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(digest.as_str())
            .bind(to_millis(before))
            .execute(write.connection())
            .await?;
            if done.rows_affected() > 0 {
                dropped += done.rows_affected();
                write.ring(Change { topic: Topic::Images, project: Some(repository.project.clone()) });
            }
        }
        write.commit().await?;
        Ok(dropped)
    }

    /// Blobs that were linked before `before` and that no manifest of their repository needs, at most `limit`.
    pub async fn loose_blobs(&self, before: Timestamp, limit: u32) -> Result<Vec<LooseBlob>> {
        let rows = sqlx::query(
            "SELECT project, repository, digest FROM image_repository_blob l
             WHERE linked_at < $1 AND NOT EXISTS (
                 SELECT 1 FROM image_reference r
                 WHERE r.project = l.project AND r.repository = l.repository AND r.digest = l.digest)
             ORDER BY project, repository, digest LIMIT $2",
        )
        .bind(to_millis(before))
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        let mut loose = Vec::with_capacity(rows.len());
        for row in &rows {
            loose.push(LooseBlob {
                repository: Repository {
                    project: parse("project name", row.try_get("project")?)?,
                    name: parse("image repository name", row.try_get("repository")?)?,
                },
                digest: parse("digest", row.try_get("digest")?)?,
            });
        }
        Ok(loose)
    }

    /// Takes loose blobs out of their repositories, except those that were linked again or that a manifest needs by
    /// now.
    pub async fn unlink_loose_blobs(&self, loose: &[LooseBlob], before: Timestamp) -> Result<()> {
        let mut write = self.write("image.unlink-loose-blobs").await?;
        for blob in loose {
            sqlx::query(
                "DELETE FROM image_repository_blob
                 WHERE project = $1 AND repository = $2 AND digest = $3 AND linked_at < $4 AND NOT EXISTS (
                     SELECT 1 FROM image_reference r
                     WHERE r.project = $1 AND r.repository = $2 AND r.digest = $3)",
            )
            .bind(blob.repository.project.as_str())
            .bind(blob.repository.name.as_str())
            .bind(blob.digest.as_str())
            .bind(to_millis(before))
            .execute(write.connection())
            .await?;
        }
        write.commit().await
    }

    /// Forgets blobs that no repository has, at most `limit`, and names them. Their files are the caller's to remove,
    /// before anybody can place them again.
    pub async fn forget_unlinked_blobs(&self, limit: u32) -> Result<Vec<Digest>> {
        let none: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM image_blob b
             WHERE NOT EXISTS (SELECT 1 FROM image_repository_blob l WHERE l.digest = b.digest) LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?;
        if none.is_none() {
            return Ok(Vec::new()); // the common case: no change, so no write
        }
        let mut write = self.write("image.forget-blobs").await?;
        let rows = sqlx::query(
            "DELETE FROM image_blob WHERE digest IN (
                 SELECT b.digest FROM image_blob b
                 WHERE NOT EXISTS (SELECT 1 FROM image_repository_blob l WHERE l.digest = b.digest) LIMIT $1)
             RETURNING digest",
        )
        .bind(i64::from(limit))
        .fetch_all(write.connection())
        .await?;
        let digests =
            rows.iter().map(|row| parse("digest", row.try_get("digest")?)).collect::<Result<_>>()?;
        write.commit().await?;
        Ok(digests)
    }

    /// Whether any repository has this blob.
    pub async fn knows_blob(&self, digest: &Digest) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM image_blob WHERE digest = $1")
            .bind(digest.as_str())
            .fetch_optional(self.reader())
            .await?;
        Ok(row.is_some())
    }
}

/// `images` is sorted by repository and digest.
fn find<'a>(images: &'a mut [KnownImage], repository: &str, digest: &str) -> Option<&'a mut KnownImage> {
    let at = images
        .binary_search_by(|image| {
            (image.repository.name.as_str(), image.digest.as_str()).cmp(&(repository, digest))
        })
        .ok()?;
    Some(&mut images[at])
}
