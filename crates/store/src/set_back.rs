//! Moments that lie in the future after the clock was set back.

use naru_model::rollout::Progress;
use naru_model::time::is_ahead;
use naru_model::{EnvironmentKey, RevisionNumber};

use crate::environment::{Environment, environments_changed};
use crate::revision::Rollout;
use crate::{Result, Store, to_json, to_millis};

impl Store {
    /// Writes what lies in the future as now: when the target was aimed at, when it was switched to, and since when its move
    /// stands where it stands. Says whether there was any.
    pub async fn mend_moments(&self, environment: &Environment, rollout: Option<&Rollout>) -> Result<bool> {
        let now = self.now();
        let switched_at = rollout.and_then(|rollout| rollout.switched_at);
        let progress = rollout.and_then(|rollout| rollout.progress.after_set_back(now));
        let ahead = [Some(environment.target_since), switched_at].into_iter().flatten();
        if progress.is_none() && !ahead.into_iter().any(|at| is_ahead(at, now)) {
            return Ok(false);
        }
        self.write_moments(&environment.key, rollout.map(|rollout| (rollout, progress))).await?;
        Ok(true)
    }

    async fn write_moments(
        &self,
        key: &EnvironmentKey,
        rollout: Option<(&Rollout, Option<Progress>)>,
    ) -> Result<()> {
        let mut write = self.write("environment.moments").await?;
        let now = to_millis(self.now());
        sqlx::query(
            "UPDATE environment SET target_since = $3 WHERE project = $1 AND name = $2 AND target_since > $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(now)
        .execute(write.connection())
        .await?;
        if let Some((rollout, progress)) = rollout {
            let RevisionNumber(revision) = rollout.revision;
            sqlx::query(
                "UPDATE rollout SET switched_at = $4
                 WHERE project = $1 AND environment = $2 AND revision = $3 AND switched_at > $4",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(revision)
            .bind(now)
            .execute(write.connection())
            .await?;
            sqlx::query(
                "UPDATE rollout SET progress = $4
                 WHERE project = $1 AND environment = $2 AND revision = $3 AND progress = $5",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(revision)
            .bind(to_json(progress.as_ref().unwrap_or(&rollout.progress)))
            .bind(to_json(&rollout.progress))
            .execute(write.connection())
            .await?;
        }
        write.ring(environments_changed(&key.project));
        write.commit().await
    }
}
