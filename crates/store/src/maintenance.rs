//! Maintenance: environments whose visitors get a page instead of the service, until somebody says otherwise.

use naru_model::maintenance::Maintenance;
use naru_model::{EnvironmentKey, Timestamp};
use sqlx::Row as _;

use crate::environment::environments_changed;
use crate::{Result, Store, from_millis, to_millis};

/// Maintenance that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMaintenance {
    /// What visitors are told.
    pub told: Maintenance,
    /// Since when.
    pub since: Timestamp,
    /// Who said so last.
    pub by: String,
}

impl Store {
    /// The maintenance of an environment, while it is on.
    pub async fn maintenance(&self, key: &EnvironmentKey) -> Result<Option<StoredMaintenance>> {
        let row = sqlx::query(
            "SELECT since, by, message, until_at FROM maintenance WHERE project = $1 AND environment = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredMaintenance {
            told: Maintenance {
                message: row.try_get("message")?,
                until: row.try_get::<Option<i64>, _>("until_at")?.map(from_millis),
            },
            since: from_millis(row.try_get("since")?),
            by: row.try_get("by")?,
        }))
    }

    /// Switches maintenance on, or changes what visitors are told; since when stays as it was.
    pub async fn begin_maintenance(&self, key: &EnvironmentKey, told: &Maintenance, by: &str) -> Result<()> {
        let mut write = self.write("maintenance.begin").await?;
        sqlx::query(
            "INSERT INTO maintenance (project, environment, since, by, message, until_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (project, environment) DO UPDATE SET by = excluded.by, message = excluded.message,
               until_at = excluded.until_at",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(to_millis(self.now()))
        .bind(by)
        .bind(told.message.as_deref())
        .bind(told.until.map(to_millis))
        .execute(write.connection())
        .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// Switches maintenance off.
    pub async fn end_maintenance(&self, key: &EnvironmentKey) -> Result<()> {
        let mut write = self.write("maintenance.end").await?;
        sqlx::query("DELETE FROM maintenance WHERE project = $1 AND environment = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .execute(write.connection())
            .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }
}
