//! Projects, and what people say about them.

use naru_model::about::Contact;
use naru_model::{BranchName, OrganisationName, ProjectName, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, from_json, from_millis, parse, to_json, to_millis};

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
    /// What people say about it.
    pub about: About,
}

/// What people say about a project.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct About {
    /// What it is for, in one line; may be empty.
    pub summary: String,
    /// More about it; may be empty.
    pub description: String,
    /// The login of who answers for it; they may be gone.
    pub owner: Option<String>,
    /// Whom to ask.
    pub contacts: Vec<Contact>,
}

fn read(row: &SqliteRow) -> Result<Project> {
    Ok(Project {
        name: parse("project name", row.try_get("name")?)?,
        organisation: parse("organisation name", row.try_get("organisation")?)?,
        default_branch: parse("branch name", row.try_get("default_branch")?)?,
        created_at: from_millis(row.try_get("created_at")?),
        deleting: row.try_get::<i64, _>("deleting")? != 0,
        about: About {
            summary: row.try_get("summary")?,
            description: row.try_get("description")?,
            owner: row.try_get("owner")?,
            contacts: from_json("contacts", row.try_get("contacts")?)?,
        },
    })
}

impl Store {
    /// Creates a project in the organisation `main` that nobody answers for.
    pub async fn create_project(&self, name: &ProjectName, default_branch: &BranchName) -> Result<Project> {
        self.create_project_in(&OrganisationName::main(), name, default_branch, None).await
    }

    /// Creates a project in an organisation.
    pub async fn create_project_in(
        &self,
        organisation: &OrganisationName,
        name: &ProjectName,
        default_branch: &BranchName,
        owner: Option<&str>,
    ) -> Result<Project> {
        let mut write = self.write("project.create").await?;
        let now = self.now();
        if !write.has_organisation(organisation).await? {
            return Err(StoreError::Missing(format!("organisation {organisation}")));
        }
        sqlx::query(
            "INSERT INTO project (name, default_branch, created_at, organisation, owner) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(name.as_str())
        .bind(default_branch.as_str())
        .bind(to_millis(now))
        .bind(organisation.as_str())
        .bind(owner)
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
            about: About { owner: owner.map(str::to_owned), ..About::default() },
        })
    }

    /// Changes what is said about a project. Missing when a new owner is no member of its organisation; one that is owner
    /// already may have left it.
    pub async fn describe_project(&self, name: &ProjectName, about: &About) -> Result<()> {
        let mut write = self.write("project.describe").await?;
        let before: Option<Option<String>> = sqlx::query_scalar("SELECT owner FROM project WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(write.connection())
            .await?;
        let Some(before) = before else { return Err(StoreError::Missing(format!("project {name}"))) };
        if let Some(owner) = about.owner.as_ref().filter(|_| about.owner != before) {
            write.check_member(name, owner).await?;
        }
        sqlx::query(
            "UPDATE project SET summary = $2, description = $3, owner = $4, contacts = $5 WHERE name = $1",
        )
        .bind(name.as_str())
        .bind(&about.summary)
        .bind(&about.description)
        .bind(&about.owner)
        .bind(to_json(&about.contacts))
        .execute(write.connection())
        .await?;
        write.ring(Change { topic: Topic::Projects, project: Some(name.clone()) });
        write.commit().await
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

    /// A page of the projects that an account has a role in, by name; only its favourites when they are asked for.
    pub async fn projects_page_of(
        &self,
        account: &str,
        favourites: bool,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Project>> {
        let rows = sqlx::query(
            "SELECT project.* FROM project
             JOIN membership ON membership.organisation = project.organisation AND membership.account = $1
             LEFT JOIN project_role ON project_role.project = project.name AND project_role.account = $1
             WHERE project.name > $2 AND coalesce(project_role.role, membership.role) <> 'none'
               AND ($4 = 0 OR EXISTS (SELECT 1 FROM favourite
                                      WHERE favourite.account = $1 AND favourite.project = project.name))
             ORDER BY project.name LIMIT $3",
        )
        .bind(account)
        .bind(after)
        .bind(limit)
        .bind(i64::from(favourites))
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
