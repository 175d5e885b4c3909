//! Favourites: the projects that an account keeps at hand. That it may still read them is asked for elsewhere.

use std::collections::BTreeSet;

use naru_model::ProjectName;

use crate::{Result, Store, parse, to_millis};

impl Store {
    /// Keeps a project among the favourites of an account, or no longer. Repeating it is harmless.
    pub async fn set_favourite(&self, account: &str, project: &ProjectName, favourite: bool) -> Result<()> {
        let mut write = self.write("favourite.set").await?;
        if favourite {
            sqlx::query(
                "INSERT INTO favourite (account, project, added_at) SELECT $1, name, $3 FROM project WHERE name = $2
                 ON CONFLICT DO NOTHING",
            )
            .bind(account)
            .bind(project.as_str())
            .bind(to_millis(self.now()))
            .execute(write.connection())
            .await?
        } else {
            sqlx::query("DELETE FROM favourite WHERE account = $1 AND project = $2")
                .bind(account)
                .bind(project.as_str())
                .execute(write.connection())
                .await?
        };
        write.commit().await
    }

    /// Whether a project is among the favourites of an account.
    pub async fn is_favourite(&self, account: &str, project: &ProjectName) -> Result<bool> {
        let found: i64 =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM favourite WHERE account = $1 AND project = $2)")
                .bind(account)
                .bind(project.as_str())
                .fetch_one(self.reader())
                .await?;
        Ok(found != 0)
    }

    /// All favourites of an account, also of projects that it may not read any more.
    pub async fn favourites_of(&self, account: &str) -> Result<BTreeSet<ProjectName>> {
        let names: Vec<String> = sqlx::query_scalar("SELECT project FROM favourite WHERE account = $1")
            .bind(account)
            .fetch_all(self.reader())
            .await?;
        names.iter().map(|name| parse("project name", name)).collect()
    }
}
