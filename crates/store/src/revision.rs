//! Revisions, rollouts and quarantine. Revision rows can be deleted and are rebuilt from the deploy repository; rollouts
//! and quarantine cannot: they are what happened and what a person said.

use naru_model::rollout::{Decision, Progress};
use naru_model::{
    CommitId, ConfigurationVersion, EnvironmentKey, Generation, Problem, ReleaseNumber, RevisionNumber,
    Timestamp,
};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::environment::{OVERTAKEN, environments_changed, signed};
use crate::{Result, Store, StoreError, from_json, from_millis, parse, to_json, to_millis};

/// One revision: exactly one commit of the deploy repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Counts from 1 within the environment.
    pub number: RevisionNumber,
    /// The commit.
    pub commit: CommitId,
    /// The release it was rendered from; a person's commit has that of the revision before it.
    pub release: Option<ReleaseNumber>,
    /// The configuration version it carries.
    pub configuration: ConfigurationVersion,
    /// Who committed it.
    pub author: String,
    /// The first line of the commit's message.
    pub message: String,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// What became of moving to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// Which revision.
    pub revision: RevisionNumber,
    /// When it began.
    pub started_at: Timestamp,
    /// Whether the release command is done.
    pub released: bool,
    /// When it got all the traffic.
    pub switched_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// How far it is between ready replicas and all the requests.
    pub progress: Progress,
    /// What a person said about it.
    pub decision: Option<Decision>,
    /// The revision that had the traffic before.
    pub replaced: Option<RevisionNumber>,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Under way.
    Moving,
    /// It got all the traffic.
    Live,
    /// It was given up.
    Failed,
    /// A newer one took its place before it ended.
    Overtaken,
}

impl Outcome {
    /// Its stored name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::Overtaken => "overtaken",
        }
    }
}

/// A revision known to be bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// Which revision.
    pub revision: RevisionNumber,
    /// Its release, when that is known to be bad, too: no good revision is made from it.
    pub release: Option<ReleaseNumber>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

pub(crate) fn read_revision(row: &SqliteRow) -> Result<Revision> {
    Ok(Revision {
        number: RevisionNumber(row.try_get("number")?),
        commit: parse("commit id", row.try_get("commit_id")?)?,
        release: row.try_get::<Option<u32>, _>("release")?.map(ReleaseNumber),
        configuration: ConfigurationVersion(row.try_get("configuration")?),
        author: row.try_get("author")?,
        message: row.try_get("message")?,
        created_at: from_millis(row.try_get("created_at")?),
    })
}

pub(crate) fn read_rollout(row: &SqliteRow) -> Result<Rollout> {
    let outcome: &str = row.try_get("outcome")?;
    let problem: Option<String> = row.try_get("problem")?;
    Ok(Rollout {
        revision: RevisionNumber(row.try_get("revision")?),
        started_at: from_millis(row.try_get("started_at")?),
        released: row.try_get::<i64, _>("released")? != 0,
        switched_at: row.try_get::<Option<i64>, _>("switched_at")?.map(from_millis),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(from_millis),
        outcome: match outcome {
            "moving" => Outcome::Moving,
            "live" => Outcome::Live,
            "failed" => Outcome::Failed,
            "overtaken" => Outcome::Overtaken,
            other => return Err(StoreError::Damaged { what: "rollout outcome", why: other.to_owned() }),
        },
        problem: problem.map(|text| from_json("problem", &text)).transpose()?,
        progress: row
            .try_get::<Option<String>, _>("progress")?
            .map(|text| from_json("progress", &text))
            .transpose()?
            .unwrap_or_default(),
        decision: row
            .try_get::<Option<String>, _>("decision")?
            .map(|text| from_json("decision", &text))
            .transpose()?,
        replaced: row.try_get::<Option<u32>, _>("replaced")?.map(RevisionNumber),
    })
}

impl Store {
    /// Makes the revision rows of an environment equal to its history. Rows that are there already stay.
    pub async fn cache_revisions(&self, key: &EnvironmentKey, history: &[Revision]) -> Result<()> {
        let mut write = self.write("revision.cache").await?;
        let newest = history.last().map_or(0, |revision| revision.number.0);
        sqlx::query("DELETE FROM revision WHERE project = $1 AND environment = $2 AND number > $3")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(newest)
            .execute(write.connection())
            .await?;
        for revision in history {
            sqlx::query(
                "INSERT INTO revision
                     (project, environment, number, commit_id, release, configuration, author, message, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (project, environment, number) DO UPDATE SET
                     commit_id = excluded.commit_id, release = excluded.release,
                     configuration = excluded.configuration, author = excluded.author,
                     message = excluded.message, created_at = excluded.created_at",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(revision.number.0)
            .bind(revision.commit.as_str())
            .bind(revision.release.map(|release| release.0))
            .bind(revision.configuration.0)
            .bind(&revision.author)
            .bind(&revision.message)
            .bind(to_millis(revision.created_at))
            .execute(write.connection())
            .await?;
        }
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// The revisions of an environment, newest first.
    pub async fn revisions(&self, key: &EnvironmentKey, limit: u32) -> Result<Vec<Revision>> {
        let rows = sqlx::query(
            "SELECT * FROM revision WHERE project = $1 AND environment = $2 ORDER BY number DESC LIMIT $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_revision).collect()
    }

    /// One revision.
    pub async fn revision(&self, key: &EnvironmentKey, number: RevisionNumber) -> Result<Option<Revision>> {
        let row =
            sqlx::query("SELECT * FROM revision WHERE project = $1 AND environment = $2 AND number = $3")
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .bind(number.0)
                .fetch_optional(self.reader())
                .await?;
        row.as_ref().map(read_revision).transpose()
    }

    /// What became of moving to a revision.
    pub async fn rollout(&self, key: &EnvironmentKey, revision: RevisionNumber) -> Result<Option<Rollout>> {
        let row =
            sqlx::query("SELECT * FROM rollout WHERE project = $1 AND environment = $2 AND revision = $3")
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .bind(revision.0)
                .fetch_optional(self.reader())
                .await?;
        row.as_ref().map(read_rollout).transpose()
    }

    /// The rollouts of an environment, newest revision first.
    pub async fn rollouts(&self, key: &EnvironmentKey, limit: u32) -> Result<Vec<Rollout>> {
        let rows = sqlx::query(
            "SELECT * FROM rollout WHERE project = $1 AND environment = $2 ORDER BY revision DESC LIMIT $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_rollout).collect()
    }

    /// The release command is done.
    pub async fn mark_released(&self, key: &EnvironmentKey, revision: RevisionNumber) -> Result<()> {
        let mut write = self.write("rollout.released").await?;
        sqlx::query(
            "UPDATE rollout SET released = 1 WHERE project = $1 AND environment = $2 AND revision = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// Records how far the move to the target is. Refused as stale when something else is wanted by now.
    pub async fn mark_progress(
        &self,
        key: &EnvironmentKey,
        generation: Generation,
        revision: RevisionNumber,
        progress: &Progress,
    ) -> Result<()> {
        let mut write = self.write("rollout.progress").await?;
        let done = sqlx::query(
            "UPDATE rollout SET progress = $5 WHERE project = $1 AND environment = $2 AND revision = $4
               AND EXISTS (SELECT 1 FROM environment WHERE project = $1 AND name = $2 AND generation = $3)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(signed(generation))
        .bind(revision.0)
        .bind(to_json(progress))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale(OVERTAKEN));
        }
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// Records what a person says about the move to `revision` and wakes the reconcile loop. Says whether the move is
    /// still under way: a move that has ended is left as it is.
    pub async fn decide(
        &self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
        decision: &Decision,
    ) -> Result<bool> {
        let mut write = self.write("rollout.decide").await?;
        let done = sqlx::query(
            "UPDATE rollout SET decision = $4
             WHERE project = $1 AND environment = $2 AND revision = $3
               AND EXISTS (SELECT 1 FROM environment
                           WHERE project = $1 AND name = $2 AND target = $3 AND serving IS NOT $3)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .bind(to_json(decision))
        .execute(write.connection())
        .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The target has all the traffic from now on. Refused as stale when something else is wanted by now, or a person
    /// has given the move up: who was told so is not overruled by a pass that had looked before.
    pub async fn mark_switched(
        &self,
        key: &EnvironmentKey,
        generation: Generation,
        revision: RevisionNumber,
    ) -> Result<()> {
        let mut write = self.write("rollout.switched").await?;
        let now = to_millis(self.now());
        sqlx::query(
            "UPDATE rollout SET replaced = (SELECT serving FROM environment WHERE project = $1 AND name = $2)
             WHERE project = $1 AND environment = $2 AND revision = $3
               AND (SELECT serving FROM environment WHERE project = $1 AND name = $2) IS NOT $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .execute(write.connection())
        .await?;
        let done = sqlx::query(
            "UPDATE environment SET serving = $4 WHERE project = $1 AND name = $2 AND generation = $3
               AND NOT EXISTS (SELECT 1 FROM rollout WHERE project = $1 AND environment = $2 AND revision = $4
                                 AND environment.serving IS NOT $4
                                 AND json_extract(decision, '$.abort') IS NOT NULL)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(signed(generation))
        .bind(revision.0)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale(OVERTAKEN));
        }
        sqlx::query(
            "UPDATE rollout SET switched_at = $4, finished_at = $4, outcome = 'live', released = 1
             WHERE project = $1 AND environment = $2 AND revision = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .bind(now)
        .execute(write.connection())
        .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// The move to a revision was given up, or its end was taken back: it goes into quarantine, and `back_to` is wanted
    /// again. Refused as stale when something else is wanted by now.
    pub async fn give_up(
        &self,
        key: &EnvironmentKey,
        generation: Generation,
        revision: &Revision,
        back_to: Option<RevisionNumber>,
        problem: &Problem,
    ) -> Result<()> {
        let mut write = self.write("rollout.give-up").await?;
        let now = to_millis(self.now());
        let done = sqlx::query(
            "UPDATE environment SET target = $5, target_since = $4, generation = generation + 1
             WHERE project = $1 AND name = $2 AND generation = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(signed(generation))
        .bind(now)
        .bind(back_to.map(|revision| revision.0))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale(OVERTAKEN));
        }
        sqlx::query(
            "INSERT INTO rollout (project, environment, revision, started_at, finished_at, outcome, problem)
             VALUES ($1, $2, $3, $4, $4, 'failed', $5)
             ON CONFLICT (project, environment, revision) DO UPDATE SET
                 finished_at = excluded.finished_at, outcome = 'failed', problem = excluded.problem",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.number.0)
        .bind(now)
        .bind(to_json(problem))
        .execute(write.connection())
        .await?;
        sqlx::query(
            "UPDATE rollout SET progress = NULL, decision = NULL
             WHERE project = $1 AND environment = $2 AND revision = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(back_to.map(|revision| revision.0))
        .execute(write.connection())
        .await?;
        write
            .quarantine(key, revision.number, revision.release, &problem.summary, "naru", self.now())
            .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// The environment's quarantined revisions, newest first.
    pub async fn quarantined(&self, key: &EnvironmentKey) -> Result<Vec<Quarantined>> {
        let rows = sqlx::query(
            "SELECT * FROM quarantine WHERE project = $1 AND environment = $2 ORDER BY revision DESC",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Quarantined {
                    revision: RevisionNumber(row.try_get("revision")?),
                    release: row.try_get::<Option<u32>, _>("release")?.map(ReleaseNumber),
                    reason: row.try_get("reason")?,
                    by: row.try_get("by")?,
                    at: from_millis(row.try_get("at")?),
                })
            })
            .collect()
    }
}

impl crate::Write<'_> {
    /// Puts a revision into quarantine, and its release unless another revision made from it has served and is not in
    /// quarantine: then what was bad are the settings.
    pub(crate) async fn quarantine(
        &mut self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
        release: Option<ReleaseNumber>,
        reason: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO quarantine (project, environment, revision, release, reason, by, at)
             VALUES ($1, $2, $3,
                     CASE WHEN EXISTS (
                         SELECT 1 FROM revision
                         JOIN rollout ON rollout.project = revision.project
                             AND rollout.environment = revision.environment AND rollout.revision = revision.number
                         WHERE revision.project = $1 AND revision.environment = $2
                           AND revision.release = $4 AND revision.number <> $3 AND rollout.switched_at IS NOT NULL
                           AND NOT EXISTS (SELECT 1 FROM quarantine AS bad
                                           WHERE bad.project = $1 AND bad.environment = $2
                                             AND bad.revision = revision.number)
                     ) THEN NULL ELSE $4 END,
                     $5, $6, $7)
             ON CONFLICT DO NOTHING",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .bind(release.map(|release| release.0))
        .bind(reason)
        .bind(by)
        .bind(to_millis(now))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
