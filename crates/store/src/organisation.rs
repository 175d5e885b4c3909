//! Organisations, who belongs to them, and roles for single projects and environments. What a role may do is
//! `naru_model::role`'s.

use naru_model::role::{LocalRole, Role};
use naru_model::{EnvironmentKey, EnvironmentName, OrganisationName, ProjectName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, Write, from_millis, parse, to_millis};

/// One organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its name.
    pub name: OrganisationName,
    /// What people call it; may be empty.
    pub display_name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Somebody who belongs to an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub organisation: OrganisationName,
    /// Who.
    pub login: String,
    /// What people call them; may be empty.
    pub display_name: String,
    /// In which role.
    pub role: Role,
    /// Since when.
    pub added_at: Timestamp,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// Whether they belong to it by a group at a login provider alone.
    pub by_group: bool,
}

/// What somebody is in the organisation of a project, and there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The role in the organisation.
    pub organisation: Role,
    /// The role in the project, if it has one of its own.
    pub project: Option<LocalRole>,
    /// The role in the environment, if it has one of its own.
    pub environment: Option<LocalRole>,
    /// Whether the environment is protected.
    pub protected: bool,
}

/// A role of one account for a project, or for one environment of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Whose.
    pub login: String,
    /// In this environment; in the whole project without it.
    pub environment: Option<EnvironmentName>,
    /// Which.
    pub role: LocalRole,
}

fn read(row: &SqliteRow) -> Result<Organisation> {
    Ok(Organisation {
        name: parse("organisation name", row.try_get("name")?)?,
        display_name: row.try_get("display_name")?,
        created_at: from_millis(row.try_get("created_at")?),
    })
}

fn read_member(row: &SqliteRow) -> Result<Member> {
    Ok(Member {
        organisation: parse("organisation name", row.try_get("organisation")?)?,
        login: row.try_get("account")?,
        display_name: row.try_get("display_name")?,
        role: parse("role", row.try_get("role")?)?,
        added_at: from_millis(row.try_get("added_at")?),
        disabled: row.try_get::<Option<i64>, _>("disabled_at")?.is_some(),
        by_group: row.try_get::<i64, _>("by_group")? != 0,
    })
}

fn local_role(row: &SqliteRow, column: &str) -> Result<Option<LocalRole>> {
    row.try_get::<Option<&str>, _>(column)?.map(|text| parse("role", text)).transpose()
}

const CHANGED: Change = Change { topic: Topic::Identity, project: None };

/// Why the last owner stays.
pub const LAST_OWNER: &str = "an organisation keeps an owner who can log in";

impl Store {
    /// Makes an organisation with its first owner.
    pub async fn create_organisation(
        &self,
        name: &OrganisationName,
        display_name: &str,
        owner: &str,
    ) -> Result<Organisation> {
        let mut write = self.write("organisation.create").await?;
        let now = self.now();
        sqlx::query("INSERT INTO organisation (name, display_name, created_at) VALUES ($1, $2, $3)")
            .bind(name.as_str())
            .bind(display_name)
            .bind(to_millis(now))
            .execute(write.connection())
            .await
            .map_err(|error| match StoreError::from(error) {
                StoreError::Exists(_) => StoreError::Exists(format!("organisation {name}")),
                other => other,
            })?;
        write.add_member(name, owner, Role::Owner, now).await?;
        write.ring(CHANGED);
        write.commit().await?;
        let created_at = from_millis(to_millis(now));
        Ok(Organisation { name: name.clone(), display_name: display_name.to_owned(), created_at })
    }

    /// One organisation.
    pub async fn organisation(&self, name: &OrganisationName) -> Result<Option<Organisation>> {
        let row = sqlx::query("SELECT * FROM organisation WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// All organisations after `after`, by name.
    pub async fn organisations_page(&self, after: &str, limit: u32) -> Result<Vec<Organisation>> {
        let rows = sqlx::query("SELECT * FROM organisation WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// The organisations that an account belongs to, and as what, by name.
    pub async fn organisations_of(&self, login: &str) -> Result<Vec<(Organisation, Role)>> {
        let rows = sqlx::query(
            "SELECT organisation.*, membership.role FROM organisation
             JOIN membership ON membership.organisation = organisation.name
             WHERE membership.account = $1 ORDER BY organisation.name",
        )
        .bind(login)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| Ok((read(row)?, parse("role", row.try_get("role")?)?))).collect()
    }

    /// Changes what people call an organisation.
    pub async fn rename_organisation(&self, name: &OrganisationName, display_name: &str) -> Result<()> {
        let mut write = self.write("organisation.rename").await?;
        let done = sqlx::query("UPDATE organisation SET display_name = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(display_name)
            .execute(write.connection())
            .await?;
        found(done.rows_affected(), || format!("organisation {name}"))?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Removes an organisation that has no projects.
    pub async fn delete_organisation(&self, name: &OrganisationName) -> Result<()> {
        let mut write = self.write("organisation.delete").await?;
        let done = sqlx::query(
            "DELETE FROM organisation
             WHERE name = $1 AND NOT EXISTS (SELECT 1 FROM project WHERE organisation = $1)",
        )
        .bind(name.as_str())
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale("the organisation has projects, or is gone already"));
        }
        write.ring(CHANGED);
        write.commit().await
    }

    /// What an account is in an organisation.
    pub async fn role_in(&self, login: &str, organisation: &OrganisationName) -> Result<Option<Role>> {
        let role: Option<String> =
            sqlx::query_scalar("SELECT role FROM membership WHERE account = $1 AND organisation = $2")
                .bind(login)
                .bind(organisation.as_str())
                .fetch_optional(self.reader())
                .await?;
        role.map(|text| parse("role", &text)).transpose()
    }

    /// What an account is in a project, and in one environment of it. `None` for who does not belong to the project's
    /// organisation, and for a project that does not exist.
    pub async fn standing(
        &self,
        login: &str,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
    ) -> Result<Option<Standing>> {
        let row = sqlx::query(
            "SELECT membership.role AS organisation_role, project_role.role AS project_role,
                    environment_role.role AS environment_role, environment.protected AS protected
             FROM project
             JOIN membership ON membership.organisation = project.organisation AND membership.account = $1
             LEFT JOIN project_role ON project_role.project = project.name AND project_role.account = $1
             LEFT JOIN environment ON environment.project = project.name AND environment.name = $3
             LEFT JOIN environment_role ON environment_role.project = project.name
                 AND environment_role.environment = $3 AND environment_role.account = $1
             WHERE project.name = $2",
        )
        .bind(login)
        .bind(project.as_str())
        .bind(environment.map(EnvironmentName::as_str))
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(Standing {
                organisation: parse("role", row.try_get("organisation_role")?)?,
                project: local_role(&row, "project_role")?,
                environment: local_role(&row, "environment_role")?,
                protected: row.try_get::<Option<i64>, _>("protected")?.unwrap_or_default() != 0,
            })
        })
        .transpose()
    }

    /// The members of an organisation after `after`, by login.
    pub async fn members(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let rows = sqlx::query(
            "SELECT membership.*, account.display_name, account.disabled_at
             FROM membership JOIN account ON account.login = membership.account
             WHERE membership.organisation = $1 AND membership.account > $2
             ORDER BY membership.account LIMIT $3",
        )
        .bind(organisation.as_str())
        .bind(after)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_member).collect()
    }

    /// Makes an account a member.
    pub async fn join(&self, organisation: &OrganisationName, login: &str, role: Role) -> Result<()> {
        let mut write = self.write("organisation.join").await?;
        write.add_member(organisation, login, role, self.now()).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Gives a member another role. Refused as stale when nobody would be left to decide.
    pub async fn set_member_role(
        &self,
        organisation: &OrganisationName,
        login: &str,
        role: Role,
    ) -> Result<()> {
        let mut write = self.write("organisation.member").await?;
        let done = sqlx::query("UPDATE member SET role = $3 WHERE organisation = $1 AND account = $2")
            .bind(organisation.as_str())
            .bind(login)
            .bind(role.word())
            .execute(write.connection())
            .await?;
        write.check_changed(done.rows_affected(), organisation, login).await?;
        write.keep_an_owner(organisation).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Takes a member out of an organisation, with the roles in its projects. Refused as stale when nobody would be left
    /// to decide.
    pub async fn remove_member(&self, organisation: &OrganisationName, login: &str) -> Result<()> {
        let mut write = self.write("organisation.leave").await?;
        let done = sqlx::query("DELETE FROM member WHERE organisation = $1 AND account = $2")
            .bind(organisation.as_str())
            .bind(login)
            .execute(write.connection())
            .await?;
        write.check_changed(done.rows_affected(), organisation, login).await?;
        write.keep_an_owner(organisation).await?;
        for statement in [
            "DELETE FROM project_role
             WHERE account = $2 AND project IN (SELECT name FROM project WHERE organisation = $1)",
            "DELETE FROM environment_role
             WHERE account = $2 AND project IN (SELECT name FROM project WHERE organisation = $1)",
        ] {
            sqlx::query(statement)
                .bind(organisation.as_str())
                .bind(login)
                .execute(write.connection())
                .await?;
        }
        write.ring(CHANGED);
        write.commit().await
    }

    /// The roles that replace the organisation's in a project and its environments, by login.
    pub async fn project_roles(&self, project: &ProjectName) -> Result<Vec<RoleRow>> {
        let rows = sqlx::query(
            "SELECT account, '' AS environment, role FROM project_role WHERE project = $1
             UNION ALL
             SELECT account, environment, role FROM environment_role WHERE project = $1
             ORDER BY 1, 2",
        )
        .bind(project.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let environment: &str = row.try_get("environment")?;
                let environment = (!environment.is_empty()).then_some(environment);
                Ok(RoleRow {
                    login: row.try_get("account")?,
                    environment: environment.map(|name| parse("environment name", name)).transpose()?,
                    role: parse("role", row.try_get("role")?)?,
                })
            })
            .collect()
    }

    /// Gives a member a role for one project, or takes it back. Missing when the account is no member.
    pub async fn set_project_role(
        &self,
        project: &ProjectName,
        login: &str,
        role: Option<LocalRole>,
    ) -> Result<()> {
        let mut write = self.write("organisation.project-role").await?;
        write.check_member(project, login).await?;
        match role {
            Some(role) => {
                sqlx::query(
                    "INSERT INTO project_role (project, account, role) VALUES ($1, $2, $3)
                     ON CONFLICT (project, account) DO UPDATE SET role = excluded.role",
                )
                .bind(project.as_str())
                .bind(login)
                .bind(role.word())
                .execute(write.connection())
                .await?
            }
            None => {
                sqlx::query("DELETE FROM project_role WHERE project = $1 AND account = $2")
                    .bind(project.as_str())
                    .bind(login)
                    .execute(write.connection())
                    .await?
            }
        };
        write.ring(CHANGED);
        write.commit().await
    }

    /// Gives a member a role for one environment, or takes it back. Missing when the account is no member.
    pub async fn set_environment_role(
        &self,
        key: &EnvironmentKey,
        login: &str,
        role: Option<LocalRole>,
    ) -> Result<()> {
        let mut write = self.write("organisation.environment-role").await?;
        write.check_member(&key.project, login).await?;
        match role {
            Some(role) => sqlx::query(
                "INSERT INTO environment_role (project, environment, account, role) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (project, environment, account) DO UPDATE SET role = excluded.role",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(login)
            .bind(role.word())
            .execute(write.connection())
            .await?,
            None => {
                sqlx::query(
                    "DELETE FROM environment_role WHERE project = $1 AND environment = $2 AND account = $3",
                )
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .bind(login)
                .execute(write.connection())
                .await?
            }
        };
        write.ring(CHANGED);
        write.commit().await
    }
}

fn found(rows: u64, what: impl Fn() -> String) -> Result<()> {
    if rows == 0 { Err(StoreError::Missing(what())) } else { Ok(()) }
}

impl Write<'_> {
    pub(crate) async fn has_organisation(&mut self, name: &OrganisationName) -> Result<bool> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM organisation WHERE name = $1")
            .bind(name.as_str())
            .fetch_one(self.connection())
            .await?;
        Ok(count > 0)
    }

    pub(crate) async fn add_member(
        &mut self,
        organisation: &OrganisationName,
        login: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("INSERT INTO member (organisation, account, role, added_at) VALUES ($1, $2, $3, $4)")
            .bind(organisation.as_str())
            .bind(login)
            .bind(role.word())
            .bind(to_millis(now))
            .execute(self.connection())
            .await
            .map_err(|error| match StoreError::from(error) {
                StoreError::Exists(_) => StoreError::Exists(format!("member {login}")),
                other => other,
            })?;
        Ok(())
    }

    /// Who decides must be able to log in.
    pub(crate) async fn keep_an_owner(&mut self, organisation: &OrganisationName) -> Result<()> {
        let owners: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM member JOIN account ON account.login = member.account
             WHERE member.organisation = $1 AND member.role = 'owner' AND account.disabled_at IS NULL",
        )
        .bind(organisation.as_str())
        .fetch_one(self.connection())
        .await?;
        if owners == 0 { Err(StoreError::Stale(LAST_OWNER)) } else { Ok(()) }
    }

    pub(crate) async fn check_member(&mut self, project: &ProjectName, login: &str) -> Result<()> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM membership JOIN project ON project.organisation = membership.organisation
             WHERE project.name = $1 AND membership.account = $2",
        )
        .bind(project.as_str())
        .bind(login)
        .fetch_one(self.connection())
        .await?;
        if count == 0 { Err(StoreError::Missing(format!("member {login}"))) } else { Ok(()) }
    }
}
