//! Intents: what a person or a release asked for, until it is a commit in the deploy repository.

use naru_model::job::SecretScope;
use naru_model::{
    BranchName, CommitId, EnvironmentKey, EnvironmentName, Problem, ProjectName, ReleaseNumber,
    RevisionNumber, SecretName, SecretVersion, Timestamp,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{
    Change, Result, Store, StoreError, Topic, Write, from_json, from_millis, parse, to_json, to_millis,
};

/// Who asks when nobody does: deliveries that follow a branch. No account can have this name.
pub const FOLLOWING: &str = "naru";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum IntentKind {
    /// Deliver a release. A person's deploy lifts the release's quarantine.
    Deploy {
        /// Which release.
        release: ReleaseNumber,
    },
    /// Return to a revision, with its configuration and secrets; the newest revision goes into quarantine, and its
    /// release unless good revisions are made from it.
    Rollback {
        /// Which revision.
        revision: RevisionNumber,
    },
    /// Render the current release again, with the current configuration and secrets.
    Render,
}

/// An intent and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Intent {
    /// Orders intents.
    pub id: i64,
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    #[serde(flatten)]
    pub kind: IntentKind,
    /// Who asked; [`FOLLOWING`] for deliveries that follow a branch.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// What became of it.
    pub state: IntentState,
    /// The commit it became; none when nothing had to change.
    pub commit: Option<CommitId>,
    /// Why it failed.
    pub problem: Option<Problem>,
}

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentState {
    /// Waiting for the render loop.
    Pending,
    /// In the deploy repository.
    Done,
    /// Refused; nothing changed.
    Failed,
}

pub(crate) fn read(row: &SqliteRow) -> Result<Intent> {
    let state: &str = row.try_get("state")?;
    let commit: Option<String> = row.try_get("commit_id")?;
    let problem: Option<String> = row.try_get("problem")?;
    Ok(Intent {
        id: row.try_get("id")?,
        environment: parse("environment name", row.try_get("environment")?)?,
        kind: from_json("intent", row.try_get("kind")?)?,
        by: row.try_get("by")?,
        created_at: from_millis(row.try_get("created_at")?),
        state: match state {
            "pending" => IntentState::Pending,
            "done" => IntentState::Done,
            "failed" => IntentState::Failed,
            other => return Err(StoreError::Damaged { what: "intent state", why: other.to_owned() }),
        },
        commit: commit.map(|commit| parse("commit id", &commit)).transpose()?,
        problem: problem.map(|problem| from_json("problem", &problem)).transpose()?,
    })
}

/// What follows a rollback besides the commit: the next render starts from the old configuration and secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The configuration version that the next render uses.
    pub configuration: naru_model::ConfigurationVersion,
    /// The secret versions that the next render uses.
    pub secrets: Vec<(SecretName, SecretVersion)>,
    /// The revision that was left, which goes into quarantine, and its release.
    pub left: Option<(RevisionNumber, Option<ReleaseNumber>)>,
}

impl Store {
    /// Records what a person asked for and wakes the render loop. Returns its id.
    pub async fn intend(&self, key: &EnvironmentKey, kind: &IntentKind, by: &str) -> Result<i64> {
        let mut write = self.write("intent.add").await?;
        if let IntentKind::Deploy { release } = kind {
            write.lift(key, *release).await?;
        }
        let id = write.intend(key, kind, by, self.now()).await?;
        write.commit().await?;
        Ok(id)
    }

    /// Delivers a new release to the environments that follow its branch, once: creates those that are new, records the
    /// intents unless an environment is protected, and remembers that the release was considered. All of them or none:
    /// one that is not there yet cannot say that it has not considered it.
    pub async fn follow_release(
        &self,
        environments: &[EnvironmentKey],
        branch: &BranchName,
        release: ReleaseNumber,
    ) -> Result<()> {
        let mut write = self.write("intent.follow").await?;
        for key in environments {
            write.ensure_environment(key, Some(branch), self.now()).await?;
            let done = sqlx::query(
                "UPDATE environment SET considered_release = $3
                 WHERE project = $1 AND name = $2 AND considered_release < $3",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(release.0)
            .execute(write.connection())
            .await?;
            // Where not everybody may deploy, a push is no way around it: the release waits for somebody who may.
            if done.rows_affected() > 0 && !write.is_protected(key).await? {
                write.intend(key, &IntentKind::Deploy { release }, FOLLOWING, self.now()).await?;
            }
        }
        write.commit().await
    }

    /// The newest release of each project and branch, where no environment that follows the branch has considered it yet.
    pub async fn releases_to_follow(&self) -> Result<Vec<(ProjectName, ReleaseNumber)>> {
        let rows = sqlx::query(
            "SELECT project, MAX(number) AS number FROM release
             WHERE NOT EXISTS (SELECT 1 FROM environment
                               WHERE environment.project = release.project AND environment.branch = release.branch
                                 AND environment.considered_release >= release.number)
             GROUP BY project, branch",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok((parse("project name", row.try_get("project")?)?, ReleaseNumber(row.try_get("number")?)))
            })
            .collect()
    }

    /// Intents that wait for the render loop, oldest first.
    pub async fn pending_intents(&self, project: &ProjectName) -> Result<Vec<Intent>> {
        let rows = sqlx::query("SELECT * FROM intent WHERE project = $1 AND state = 'pending' ORDER BY id")
            .bind(project.as_str())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Projects that have intents waiting.
    pub async fn projects_with_intents(&self) -> Result<Vec<ProjectName>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT project FROM intent WHERE state = 'pending' ORDER BY project",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|name| parse("project name", name)).collect()
    }

    /// One intent.
    pub async fn intent(&self, project: &ProjectName, id: i64) -> Result<Option<Intent>> {
        let row = sqlx::query("SELECT * FROM intent WHERE project = $1 AND id = $2")
            .bind(project.as_str())
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The intent that became this commit.
    pub async fn intent_of_commit(&self, key: &EnvironmentKey, commit: &CommitId) -> Result<Option<Intent>> {
        let row = sqlx::query(
            "SELECT * FROM intent WHERE project = $1 AND environment = $2 AND commit_id = $3 ORDER BY id LIMIT 1",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(commit.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// The newest intent of an environment.
    pub async fn newest_intent(&self, key: &EnvironmentKey) -> Result<Option<Intent>> {
        let row = sqlx::query(
            "SELECT * FROM intent WHERE project = $1 AND environment = $2 ORDER BY id DESC LIMIT 1",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// The intent is in the deploy repository; `commit` is none when nothing had to change.
    pub async fn fulfil_intent(
        &self,
        key: &EnvironmentKey,
        id: i64,
        commit: Option<&CommitId>,
        restored: Option<&Restored>,
        by: &str,
    ) -> Result<()> {
        let mut write = self.write("intent.fulfil").await?;
        if let Some(restored) = restored {
            write.restore(key, restored, by, self.now()).await?;
        }
        sqlx::query("UPDATE intent SET state = 'done', commit_id = $2 WHERE id = $1 AND state = 'pending'")
            .bind(id)
            .bind(commit.map(CommitId::as_str))
            .execute(write.connection())
            .await?;
        write.ring(Change { topic: Topic::Environments, project: Some(key.project.clone()) });
        write.commit().await
    }

    /// The intent was refused; nothing changed.
    pub async fn refuse_intent(&self, key: &EnvironmentKey, id: i64, problem: &Problem) -> Result<()> {
        let mut write = self.write("intent.refuse").await?;
        sqlx::query("UPDATE intent SET state = 'failed', problem = $2 WHERE id = $1 AND state = 'pending'")
            .bind(id)
            .bind(to_json(problem))
            .execute(write.connection())
            .await?;
        write.ring(Change { topic: Topic::Environments, project: Some(key.project.clone()) });
        write.commit().await
    }
}

impl Write<'_> {
    /// Lifts a release's quarantine, and that of the newest revision when it is made from it: a deploy that changes
    /// nothing makes no new one.
    async fn lift(&mut self, key: &EnvironmentKey, release: ReleaseNumber) -> Result<()> {
        sqlx::query(
            "DELETE FROM quarantine WHERE project = $1 AND environment = $2
               AND (release = $3 OR revision = (
                   SELECT number FROM revision
                   WHERE project = $1 AND environment = $2 AND release = $3 AND number = (
                       SELECT MAX(number) FROM revision WHERE project = $1 AND environment = $2)))",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(release.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub(crate) async fn intend(
        &mut self,
        key: &EnvironmentKey,
        kind: &IntentKind,
        by: &str,
        now: Timestamp,
    ) -> Result<i64> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO intent (project, environment, kind, by, created_at)
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(to_json(kind))
        .bind(by)
        .bind(to_millis(now))
        .fetch_one(self.connection())
        .await?;
        self.ring(Change { topic: Topic::Releases, project: Some(key.project.clone()) });
        Ok(id)
    }

    async fn restore(
        &mut self,
        key: &EnvironmentKey,
        restored: &Restored,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("UPDATE environment SET configuration = $3 WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(restored.configuration.0)
            .execute(self.connection())
            .await?;
        sqlx::query("DELETE FROM secret_current WHERE project = $1 AND environment = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .execute(self.connection())
            .await?;
        for (name, version) in &restored.secrets {
            sqlx::query(
                "INSERT INTO secret_current (project, environment, name, version) VALUES ($1, $2, $3, $4)",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(name.as_str())
            .bind(version.0)
            .execute(self.connection())
            .await?;
        }
        self.note_secrets(&SecretScope::Environment(key.clone()), by, now).await?;
        if let Some((revision, release)) = restored.left {
            self.quarantine(key, revision, release, "a rollback left it", by, now).await?;
        }
        Ok(())
    }
}
