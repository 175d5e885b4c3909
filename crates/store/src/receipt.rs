//! What was seen at each turn of a rollout, until it has ended and a signed receipt says so.

use naru_model::receipt::Envelope;
use naru_model::rollout::Phase;
use naru_model::{EnvironmentKey, RevisionNumber, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::environment::environments_changed;
use crate::{Result, Store, from_json, from_millis, parse, to_json, to_millis};

/// How long an ended rollout may wait for its old replicas to be gone before it gets its receipt anyway.
const LONGEST_END_MILLIS: i64 = 10 * 60 * 1000;

/// What was seen at one turn of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The phase that began; `None` when nothing was left to do.
    pub phase: Option<Phase>,
    /// Whether the new revision had traffic already.
    pub has_traffic: bool,
    /// When.
    pub at: Timestamp,
    /// How it stood, in one sentence.
    pub observed: String,
    /// What had the traffic when the rollout began.
    pub previous: Option<RevisionNumber>,
    /// Since when the edge counts.
    pub counting_since: Option<Timestamp>,
    /// What it has counted, per revision.
    pub counted: Vec<Counted>,
    /// Requests under way at replicas that have no route any more.
    pub leaving: u64,
}

/// What one revision was given, since the edge began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Which revision.
    pub revision: RevisionNumber,
    /// Requests that came to an end.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
}

/// A signed receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// When it was signed.
    pub at: Timestamp,
    /// The signed document.
    pub envelope: Envelope,
}

impl Store {
    /// The last moment of a rollout that has no receipt yet.
    pub async fn last_moment(
        &self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
    ) -> Result<Option<Moment>> {
        Ok(self.moments(key, revision).await?.pop())
    }

    /// The moments of a rollout that has no receipt yet, in order.
    pub async fn moments(&self, key: &EnvironmentKey, revision: RevisionNumber) -> Result<Vec<Moment>> {
        let rows = sqlx::query(
            "SELECT moment FROM rollout_moment WHERE project = $1 AND environment = $2 AND revision = $3
             ORDER BY number",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| from_json("moment", row.try_get("moment")?)).collect()
    }

    /// Notes a moment, unless the last one is of the same phase and the same in who has traffic.
    pub async fn note_moment(
        &self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
        moment: &Moment,
    ) -> Result<()> {
        let mut write = self.write("rollout.moment").await?;
        let last = sqlx::query(
            "SELECT number, moment FROM rollout_moment
             WHERE project = $1 AND environment = $2 AND revision = $3 ORDER BY number DESC LIMIT 1",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .fetch_optional(write.connection())
        .await?;
        let mut number = 1;
        if let Some(row) = last {
            let last: Moment = from_json("moment", row.try_get("moment")?)?;
            if (last.phase, last.has_traffic) == (moment.phase, moment.has_traffic) {
                return Ok(());
            }
            number = row.try_get::<u32, _>("number")? + 1;
        }
        sqlx::query(
            "INSERT INTO rollout_moment (project, environment, revision, number, is_end, moment)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .bind(number)
        .bind(u32::from(moment.phase.is_none()))
        .bind(to_json(moment))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// Rollouts that have ended and have no receipt that says so.
    pub async fn rollouts_without_receipt(&self) -> Result<Vec<(EnvironmentKey, RevisionNumber)>> {
        let rows = sqlx::query(
            "SELECT DISTINCT rollout.project, rollout.environment, rollout.revision
             FROM rollout_moment JOIN rollout
               ON rollout.project = rollout_moment.project AND rollout.environment = rollout_moment.environment
              AND rollout.revision = rollout_moment.revision
             WHERE rollout.outcome <> 'moving'
               AND (rollout.outcome <> 'live' OR rollout.finished_at < $1
                    OR EXISTS (SELECT 1 FROM rollout_moment AS ended
                               WHERE ended.project = rollout.project AND ended.environment = rollout.environment
                                 AND ended.revision = rollout.revision AND ended.is_end = 1))
             LIMIT 1000",
        )
        .bind(to_millis(self.now()) - LONGEST_END_MILLIS)
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let key = EnvironmentKey {
                    project: parse("project name", row.try_get("project")?)?,
                    environment: parse("environment name", row.try_get("environment")?)?,
                };
                Ok((key, RevisionNumber(row.try_get("revision")?)))
            })
            .collect()
    }

    /// Keeps a receipt in place of the moments that it tells of. The first one for an outcome stays.
    pub async fn issue_receipt(
        &self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
        outcome: crate::revision::Outcome,
        envelope: &Envelope,
    ) -> Result<()> {
        let mut write = self.write("receipt.issue").await?;
        let now = to_millis(self.now());
        sqlx::query(
            "INSERT INTO receipt (project, environment, revision, outcome, issued_at, envelope)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .bind(outcome.as_str())
        .bind(now)
        .bind(to_json(envelope))
        .execute(write.connection())
        .await?;
        sqlx::query("DELETE FROM rollout_moment WHERE project = $1 AND environment = $2 AND revision = $3")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(revision.0)
            .execute(write.connection())
            .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// The receipts of a revision's rollout, newest first.
    pub async fn receipts(&self, key: &EnvironmentKey, revision: RevisionNumber) -> Result<Vec<Issued>> {
        let rows = sqlx::query(
            "SELECT issued_at, envelope FROM receipt
             WHERE project = $1 AND environment = $2 AND revision = $3 ORDER BY issued_at DESC",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(revision.0)
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Issued {
                    at: from_millis(row.try_get("issued_at")?),
                    envelope: from_json("receipt", row.try_get("envelope")?)?,
                })
            })
            .collect()
    }
}
