//! Releases: what successful runs made. A row never changes and goes only with its project.

use std::collections::BTreeMap;

use naru_model::definition::ProjectDefinition;
use naru_model::{
    BranchName, CommitId, ImageReference, ProjectName, ReleaseNumber, RunNumber, ServiceName, Timestamp,
};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Result, Store, Write, from_json, from_millis, parse, to_json};

/// The most rows of one page.
const PAGE_LIMIT: u32 = 500;

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its project.
    pub project: ProjectName,
    /// Its number within the project.
    pub number: ReleaseNumber,
    /// The run that made it.
    pub run: RunNumber,
    /// The branch whose commit it is.
    pub branch: BranchName,
    /// The commit.
    pub commit: CommitId,
    /// Its images, by the service that built them.
    pub images: BTreeMap<ServiceName, ImageReference>,
    /// What the commit says.
    pub definition: ProjectDefinition,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A release that a run is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// The branch whose commit it is.
    pub branch: BranchName,
    /// The commit.
    pub commit: CommitId,
    /// Its images, by the service that built them.
    pub images: BTreeMap<ServiceName, ImageReference>,
    /// What the commit says.
    pub definition: ProjectDefinition,
}

pub(crate) fn read(row: &SqliteRow) -> Result<Release> {
    Ok(Release {
        project: parse("project name", row.try_get("project")?)?,
        number: ReleaseNumber(row.try_get("number")?),
        run: RunNumber(row.try_get("run")?),
        branch: parse("branch name", row.try_get("branch")?)?,
        commit: parse("commit id", row.try_get("commit_id")?)?,
        images: from_json("images", row.try_get("images")?)?,
        definition: from_json("definition", row.try_get("definition")?)?,
        created_at: from_millis(row.try_get("created_at")?),
    })
}

/// Adds a release within the change that ends its run.
pub(crate) async fn insert(
    write: &mut Write<'_>,
    project: &ProjectName,
    run: RunNumber,
    new: &NewRelease,
    now_millis: i64,
) -> Result<ReleaseNumber> {
    let last: Option<u32> = sqlx::query_scalar("SELECT MAX(number) FROM release WHERE project = $1")
        .bind(project.as_str())
        .fetch_one(write.connection())
        .await?;
    let number = ReleaseNumber(last.unwrap_or(0)).next();
    sqlx::query(
        "INSERT INTO release (project, number, run, branch, commit_id, images, definition, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(project.as_str())
    .bind(number.0)
    .bind(run.0)
    .bind(new.branch.as_str())
    .bind(new.commit.as_str())
    .bind(to_json(&new.images))
    .bind(to_json(&new.definition))
    .bind(now_millis)
    .execute(write.connection())
    .await?;
    Ok(number)
}

impl Store {
    /// One release.
    pub async fn release(&self, project: &ProjectName, number: ReleaseNumber) -> Result<Option<Release>> {
        let row = sqlx::query("SELECT * FROM release WHERE project = $1 AND number = $2")
            .bind(project.as_str())
            .bind(number.0)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// A project's newest release, of one branch when it is given.
    pub async fn latest_release(
        &self,
        project: &ProjectName,
        branch: Option<&BranchName>,
    ) -> Result<Option<Release>> {
        let row = sqlx::query(
            "SELECT * FROM release WHERE project = $1 AND ($2 IS NULL OR branch = $2) ORDER BY number DESC LIMIT 1",
        )
        .bind(project.as_str())
        .bind(branch.map(BranchName::as_str))
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// A project's releases, newest first, at most `limit` (and at most 500), those before `before` when given.
    pub async fn releases(
        &self,
        project: &ProjectName,
        before: Option<ReleaseNumber>,
        limit: u32,
    ) -> Result<Vec<Release>> {
        let rows = sqlx::query(
            "SELECT * FROM release WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
        )
        .bind(project.as_str())
        .bind(before.map_or(u32::MAX, |number| number.0))
        .bind(limit.min(PAGE_LIMIT))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }
}
