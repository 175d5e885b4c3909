//! Projects.

use naru_model::{BranchName, OrganisationName, ProjectName, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, from_millis, parse, to_millis};

/// One project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Whose it is.
    pub organisation: OrganisationName,
    /// The branch that `production` follows when `naru.yaml` names none.
    pub default_branch: BranchName,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it is being taken down.
    pub deleting: bool,
}

fn read(row: &SqliteRow) -> Result<Project> {
    Ok(Project {
        name: parse("project name", row.try_get("name")?)?,
        organisation: parse("organisation name", row.try_get("organisation")?)?,
        default_branch: parse("branch name", row.try_get("default_branch")?)?,
        created_at: from_millis(row.try_get("created_at")?),
        deleting: row.try_get::<i64, _>("deleting")? != 0,
    })
}

impl Store {
    /// Creates a project in the organisation `main`.
    pub async fn create_project(&self, name: &ProjectName, default_branch: &BranchName) -> Result<Project> {
        self.create_project_in(&OrganisationName::main(), name, default_branch).await
    }

    /// Creates a project in an organisation.
    pub async fn create_project_in(
        &self,
        organisation: &OrganisationName,
        name: &ProjectName,
        default_branch: &BranchName,
    ) -> Result<Project> {
        let mut write = self.write("project.create").await?;
        let now = self.now();
        if !write.has_organisation(organisation).await? {
            return Err(StoreError::Missing(format!("organisation {organisation}")));
        }
        sqlx::query(
            "INSERT INTO project (name, default_branch, created_at, organisation) VALUES ($1, $2, $3, $4)",
        )
        .bind(name.as_str())
        .bind(default_branch.as_str())
        .bind(to_millis(now))
        .bind(organisation.as_str())
        .execute(write.connection())
        .await
        .map_err(|error| match StoreError::from(error) {
            StoreError::Exists(_) => StoreError::Exists(format!("project {name}")),
            other => other,
        })?;
        write.ring(Change { topic: Topic::Projects, project: Some(name.clone()) });
        write.commit().await?;
        Ok(Project {
            name: name.clone(),
            organisation: organisation.clone(),
            default_branch: default_branch.clone(),
            created_at: from_millis(to_millis(now)),
            deleting: false,
        })
    }

    /// One project.
    pub async fn project(&self, name: &ProjectName) -> Result<Option<Project>> {
        let row = sqlx::query("SELECT * FROM project WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// All projects, by name.
    pub async fn projects(&self) -> Result<Vec<Project>> {
        let rows = sqlx::query("SELECT * FROM project ORDER BY name").fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// A page of the projects that an account has a role in, by name.
    pub async fn projects_page_of(&self, account: &str, after: &str, limit: u32) -> Result<Vec<Project>> {
        let rows = sqlx::query(
            "SELECT project.* FROM project
             JOIN membership ON membership.organisation = project.organisation AND membership.account = $1
             LEFT JOIN project_role ON project_role.project = project.name AND project_role.account = $1
             WHERE project.name > $2 AND coalesce(project_role.role, membership.role) <> 'none'
             ORDER BY project.name LIMIT $3",
        )
        .bind(account)
        .bind(after)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Marks a project as being taken down. Loops stop what runs; [`Store::forget_project`] ends it.
    pub async fn delete_project(&self, name: &ProjectName) -> Result<()> {
        let mut write = self.write("project.delete").await?;
        let done = sqlx::query("UPDATE project SET deleting = 1 WHERE name = $1")
            .bind(name.as_str())
            .execute(write.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("project {name}")));
        }
        write.ring(Change { topic: Topic::Projects, project: Some(name.clone()) });
        write.ring(Change { topic: Topic::Environments, project: Some(name.clone()) });
        write.commit().await
    }

    /// Removes a project's rows, and by cascade every row that belongs to it.
    pub async fn forget_project(&self, name: &ProjectName) -> Result<()> {
        let mut write = self.write("project.forget").await?;
        sqlx::query("DELETE FROM project WHERE name = $1")
            .bind(name.as_str())
            .execute(write.connection())
            .await?;
        write.ring(Change { topic: Topic::Projects, project: Some(name.clone()) });
        write.commit().await
    }
}
