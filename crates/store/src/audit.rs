//! The audit log: who did what, on what, from where, and how it ended. Rows are written once; the schema refuses changes.

use naru_model::{OrganisationName, ProjectName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Result, Store, from_millis, parse, to_millis};

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; rises with time.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub login: String,
    /// With which token or session.
    pub credential: String,
    /// What, dotted, such as `project.create`.
    pub action: String,
    /// In which organisation; none for what belongs to the instance.
    pub organisation: Option<OrganisationName>,
    /// In which project.
    pub project: Option<ProjectName>,
    /// On what.
    pub target: String,
    /// `done`, or the code of the problem.
    pub result: String,
    /// Where the request came from; empty for what Naru did by itself.
    pub address: String,
    /// What else is worth knowing, in one line.
    pub detail: String,
}

/// An audit line that is about to be written.
#[derive(Debug, Clone, Default)]
pub struct AuditEntry<'a> {
    /// Who.
    pub login: &'a str,
    /// With which token or session.
    pub credential: &'a str,
    /// What.
    pub action: &'a str,
    /// In which organisation; the project's when it is not named.
    pub organisation: Option<&'a OrganisationName>,
    /// In which project.
    pub project: Option<&'a ProjectName>,
    /// On what.
    pub target: &'a str,
    /// `done`, or the code of the problem.
    pub result: &'a str,
    /// Where the request came from.
    pub address: &'a str,
    /// What else is worth knowing, in one line.
    pub detail: &'a str,
}

fn read(row: &SqliteRow) -> Result<AuditRow> {
    let project: Option<&str> = row.try_get("project")?;
    let organisation: Option<&str> = row.try_get("organisation")?;
    Ok(AuditRow {
        id: row.try_get("id")?,
        at: from_millis(row.try_get("at")?),
        login: row.try_get("login")?,
        credential: row.try_get("credential")?,
        action: row.try_get("action")?,
        organisation: organisation.map(|name| parse("organisation name", name)).transpose()?,
        project: project.map(|name| parse("project name", name)).transpose()?,
        target: row.try_get("target")?,
        result: row.try_get("result")?,
        address: row.try_get("address")?,
        detail: row.try_get("detail")?,
    })
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Before the line with this number.
    pub before: Option<i64>,
    /// Of this login.
    pub login: Option<String>,
    /// With this action, or those below it: `project` finds `project.create`.
    pub action: Option<String>,
    /// In this project.
    pub project: Option<ProjectName>,
    /// That ended so: `done`, a problem's code, or `failed` for every problem.
    pub result: Option<String>,
    /// Not earlier.
    pub since: Option<Timestamp>,
    /// Earlier.
    pub until: Option<Timestamp>,
}

/// Whose lines may be seen.
#[derive(Debug, Clone, Default)]
pub struct AuditView {
    /// Lines of these organisations.
    pub organisations: Vec<OrganisationName>,
    /// Lines that belong to no organisation.
    pub instance: bool,
    /// Lines of this login, wherever they belong.
    pub own: Option<String>,
}

impl Store {
    /// Writes a line into the audit log.
    pub async fn record_audit(&self, entry: AuditEntry<'_>) -> Result<()> {
        let mut write = self.write("identity.audit").await?;
        sqlx::query(
            "INSERT INTO audit (at, login, credential, action, organisation, project, target, result, address, detail)
             VALUES ($1, $2, $3, $4, coalesce($5, (SELECT organisation FROM project WHERE name = $6)), $6, $7, $8, $9, $10)",
        )
        .bind(to_millis(self.now()))
        .bind(entry.login)
        .bind(entry.credential)
        .bind(entry.action)
        .bind(entry.organisation.map(OrganisationName::as_str))
        .bind(entry.project.map(ProjectName::as_str))
        .bind(entry.target)
        .bind(entry.result)
        .bind(entry.address)
        .bind(entry.detail)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The audit log, newest first, as far as it may be seen.
    pub async fn audit(&self, view: &AuditView, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>> {
        let organisations: Vec<&str> = view.organisations.iter().map(OrganisationName::as_str).collect();
        let rows = sqlx::query(
            "SELECT * FROM audit
             WHERE id < $1
               AND (organisation IN (SELECT value FROM json_each($2)) OR ($3 = 1 AND organisation IS NULL) OR login = $4)
               AND ($5 IS NULL OR login = $5)
               AND ($6 IS NULL OR action = $6 OR substr(action, 1, length($6) + 1) = $6 || '.')
               AND ($7 IS NULL OR project = $7)
               AND ($8 IS NULL OR result = $8 OR ($8 = 'failed' AND result <> 'done'))
               AND ($9 IS NULL OR at >= $9)
               AND ($10 IS NULL OR at < $10)
             ORDER BY id DESC LIMIT $11",
        )
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(crate::to_json(&organisations))
        .bind(i64::from(view.instance))
        .bind(&view.own)
        .bind(&filter.login)
        .bind(&filter.action)
        .bind(filter.project.as_ref().map(ProjectName::as_str))
        .bind(&filter.result)
        .bind(filter.since.map(to_millis))
        .bind(filter.until.map(to_millis))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }
}
