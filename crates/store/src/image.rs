//! The registry's rows: blobs, the repositories that link them, manifests and tags. Bytes of blobs are files and none
//! of this module's business; what may go is asked of `image_keep`.

use std::collections::BTreeMap;

use naru_model::{Digest, ProjectName, RepositoryName, TagName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::{Change, Result, Store, Topic, from_json, parse, to_json, to_millis};

/// A repository of images: `<project>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// Whose it is.
    pub project: ProjectName,
    /// Which of the project's.
    pub name: RepositoryName,
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestName {
    /// By a tag, which may move.
    Tag(TagName),
    /// By content.
    Digest(Digest),
}

/// A manifest to be stored.
#[derive(Debug, Clone)]
pub struct NewManifest<'a> {
    /// The digest of its content.
    pub digest: &'a Digest,
    /// Its media type.
    pub media_type: &'a str,
    /// Exactly as it was pushed.
    pub content: &'a [u8],
    /// Blobs that must be in the repository, with the size it states for each.
    pub blobs: &'a BTreeMap<Digest, u64>,
    /// Manifests that must be in the repository.
    pub manifests: &'a [Digest],
    /// The manifest it refers to; it need not exist.
    pub subject: Option<&'a Digest>,
    /// What kind of artifact it is.
    pub artifact_type: Option<&'a str>,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// What became of a manifest that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is stored and its tags point at it.
    Stored,
    /// These are not in the repository; nothing was stored.
    Missing(Vec<Digest>),
    /// The manifest states another size for this blob; nothing was stored.
    WrongSize(Digest),
}

/// A stored manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of its content.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Exactly as it was pushed.
    pub content: Vec<u8>,
}

/// A manifest that refers to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The digest of its content.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What became of a blob that was to leave its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinked {
    /// It left.
    Done,
    /// It was not there.
    Missing,
    /// A manifest of the repository is made of it.
    Needed,
}

pub(crate) fn size_of(row: &SqliteRow, column: &str) -> Result<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

fn images_changed(project: &ProjectName) -> Change {
    Change { topic: Topic::Images, project: Some(project.clone()) }
}

impl Store {
    /// Makes a blob whose bytes are in place visible in a repository.
    pub async fn link_blob(&self, repository: &Repository, digest: &Digest, size: u64) -> Result<()> {
        let mut write = self.write("image.link-blob").await?;
        let now = to_millis(self.now());
        sqlx::query(
            "INSERT INTO image_blob (digest, size, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (digest) DO UPDATE SET size = excluded.size",
        )
        .bind(digest.as_str())
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(now)
        .execute(write.connection())
        .await?;
        link(write.connection(), repository, digest, now).await?;
        write.commit().await
    }

    /// Makes a blob of one repository visible in another. `false` when the source does not have it.
    pub async fn mount_blob(&self, from: &Repository, to: &Repository, digest: &Digest) -> Result<bool> {
        let mut write = self.write("image.mount-blob").await?;
        let now = to_millis(self.now());
        if blob_size(write.connection(), from, digest).await?.is_none() {
            return Ok(false);
        }
        link(write.connection(), to, digest, now).await?;
        write.commit().await?;
        Ok(true)
    }

    /// The size of a blob, if the repository has it.
    pub async fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        let mut connection = self.reader().acquire().await?;
        blob_size(&mut connection, repository, digest).await
    }

    /// Takes a blob out of a repository, unless a manifest there is made of it.
    pub async fn unlink_blob(&self, repository: &Repository, digest: &Digest) -> Result<Unlinked> {
        let mut write = self.write("image.unlink-blob").await?;
        if blob_size(write.connection(), repository, digest).await?.is_none() {
            return Ok(Unlinked::Missing);
        }
        let needed = sqlx::query(
            "SELECT 1 FROM image_reference WHERE project = $1 AND repository = $2 AND digest = $3 LIMIT 1",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .bind(digest.as_str())
        .fetch_optional(write.connection())
        .await?;
        if needed.is_some() {
            return Ok(Unlinked::Needed);
        }
        sqlx::query(
            "DELETE FROM image_repository_blob WHERE project = $1 AND repository = $2 AND digest = $3",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .bind(digest.as_str())
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(Unlinked::Done)
    }

    /// Stores a manifest and points tags at it, if everything it is made of is in the repository.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        manifest: &NewManifest<'_>,
        tags: &[TagName],
    ) -> Result<Pushed> {
        let mut write = self.write("image.put-manifest").await?;
        let mut missing = Vec::new();
        for (digest, stated) in manifest.blobs {
            match blob_size(write.connection(), repository, digest).await? {
                None => missing.push(digest.clone()),
                Some(size) if size != *stated => return Ok(Pushed::WrongSize(digest.clone())),
                Some(_) => {}
            }
        }
        for digest in manifest.manifests {
            if !has_manifest(write.connection(), repository, digest).await? {
                missing.push(digest.clone());
            }
        }
        if !missing.is_empty() {
            return Ok(Pushed::Missing(missing));
        }
        let now = to_millis(self.now());
        insert_manifest(write.connection(), repository, manifest, now).await?;
        for tag in tags {
            sqlx::query(
                "INSERT INTO image_tag (project, repository, name, digest, moved_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (project, repository, name)
                 DO UPDATE SET digest = excluded.digest, moved_at = excluded.moved_at",
            )
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(tag.as_str())
            .bind(manifest.digest.as_str())
            .bind(now)
            .execute(write.connection())
            .await?;
        }
        write.ring(images_changed(&repository.project));
        write.commit().await?;
        Ok(Pushed::Stored)
    }

    /// A manifest, if the repository has it.
    pub async fn manifest(&self, repository: &Repository, name: &ManifestName) -> Result<Option<Manifest>> {
        let query = match name {
            ManifestName::Digest(digest) => sqlx::query(
                "SELECT digest, media_type, content FROM image_manifest
                 WHERE project = $1 AND repository = $2 AND digest = $3",
            )
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(digest.as_str()),
            ManifestName::Tag(tag) => sqlx::query(
                "SELECT m.digest, m.media_type, m.content FROM image_tag t JOIN image_manifest m
                     ON m.project = t.project AND m.repository = t.repository AND m.digest = t.digest
                 WHERE t.project = $1 AND t.repository = $2 AND t.name = $3",
            )
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(tag.as_str()),
        };
        let Some(row) = query.fetch_optional(self.reader()).await? else { return Ok(None) };
        Ok(Some(Manifest {
            digest: parse("digest", row.try_get("digest")?)?,
            media_type: row.try_get("media_type")?,
            content: row.try_get("content")?,
        }))
    }

    /// Removes a manifest with the tags that point at it, or one tag. `false` when it was not there.
    pub async fn delete_manifest(&self, repository: &Repository, name: &ManifestName) -> Result<bool> {
        let mut write = self.write("image.delete-manifest").await?;
        let (query, value) = match name {
            ManifestName::Digest(digest) => (
                sqlx::query(
                    "DELETE FROM image_manifest WHERE project = $1 AND repository = $2 AND digest = $3",
                ),
                digest.as_str(),
            ),
            ManifestName::Tag(tag) => (
                sqlx::query("DELETE FROM image_tag WHERE project = $1 AND repository = $2 AND name = $3"),
                tag.as_str(),
            ),
        };
        let done = query
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(value)
            .execute(write.connection())
            .await?;
        write.ring(images_changed(&repository.project));
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Tags after `last` in byte order, at most `limit`. `None` when nothing was ever pushed to the repository.
    pub async fn tags(
        &self,
        repository: &Repository,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Option<Vec<TagName>>> {
        let known = sqlx::query(
            "SELECT 1 FROM image_repository_blob WHERE project = $1 AND repository = $2
             UNION ALL SELECT 1 FROM image_manifest WHERE project = $1 AND repository = $2 LIMIT 1",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .fetch_optional(self.reader())
        .await?;
        if known.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query(
            "SELECT name FROM image_tag WHERE project = $1 AND repository = $2 AND name > $3
             ORDER BY name LIMIT $4",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| parse("tag", row.try_get("name")?)).collect::<Result<_>>().map(Some)
    }

    /// Manifests that refer to `subject`, after `last` in digest order, at most `limit`.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Referrer>> {
        let rows = sqlx::query(
            "SELECT digest, media_type, LENGTH(content) AS size, artifact_type, annotations FROM image_manifest
             WHERE project = $1 AND repository = $2 AND subject = $3 AND digest > $4
               AND ($5 IS NULL OR artifact_type = $5)
             ORDER BY digest LIMIT $6",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .bind(subject.as_str())
        .bind(last.unwrap_or_default())
        .bind(artifact_type)
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_referrer).collect()
    }
}

fn read_referrer(row: &SqliteRow) -> Result<Referrer> {
    Ok(Referrer {
        digest: parse("digest", row.try_get("digest")?)?,
        media_type: row.try_get("media_type")?,
        size: size_of(row, "size")?,
        artifact_type: row.try_get("artifact_type")?,
        annotations: from_json("annotations", row.try_get("annotations")?)?,
    })
}

async fn link(
    connection: &mut SqliteConnection,
    repository: &Repository,
    digest: &Digest,
    now: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO image_repository_blob (project, repository, digest, linked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project, repository, digest) DO UPDATE SET linked_at = excluded.linked_at",
    )
    .bind(repository.project.as_str())
    .bind(repository.name.as_str())
    .bind(digest.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

async fn blob_size(
    connection: &mut SqliteConnection,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<u64>> {
    let row = sqlx::query(
        "SELECT b.size FROM image_repository_blob l JOIN image_blob b ON b.digest = l.digest
         WHERE l.project = $1 AND l.repository = $2 AND l.digest = $3",
    )
    .bind(repository.project.as_str())
    .bind(repository.name.as_str())
    .bind(digest.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(|row| size_of(row, "size")).transpose()
}

async fn has_manifest(
    connection: &mut SqliteConnection,
    repository: &Repository,
    digest: &Digest,
) -> Result<bool> {
    let row =
        sqlx::query("SELECT 1 FROM image_manifest WHERE project = $1 AND repository = $2 AND digest = $3")
            .bind(repository.project.as_str())
            .bind(repository.name.as_str())
            .bind(digest.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(row.is_some())
}

async fn insert_manifest(
    connection: &mut SqliteConnection,
    repository: &Repository,
    manifest: &NewManifest<'_>,
    now: i64,
) -> Result<()> {
    // Pushed again it is young again: the grace period of retention starts anew.
    sqlx::query(
        "INSERT INTO image_manifest
             (project, repository, digest, media_type, subject, artifact_type, annotations, pushed_at, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (project, repository, digest) DO UPDATE SET pushed_at = excluded.pushed_at",
    )
    .bind(repository.project.as_str())
    .bind(repository.name.as_str())
    .bind(manifest.digest.as_str())
    .bind(manifest.media_type)
    .bind(manifest.subject.map(Digest::as_str))
    .bind(manifest.artifact_type)
    .bind(to_json(manifest.annotations))
    .bind(now)
    .bind(manifest.content)
    .execute(&mut *connection)
    .await?;
    let blobs = manifest.blobs.keys().map(|digest| (digest, "blob"));
    let manifests = manifest.manifests.iter().map(|digest| (digest, "manifest"));
    for (digest, kind) in blobs.chain(manifests) {
        sqlx::query(
            "INSERT INTO image_reference (project, repository, manifest, digest, kind) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (project, repository, manifest, digest) DO NOTHING",
        )
        .bind(repository.project.as_str())
        .bind(repository.name.as_str())
        .bind(manifest.digest.as_str())
        .bind(digest.as_str())
        .bind(kind)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
