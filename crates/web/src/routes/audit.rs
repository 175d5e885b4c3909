//! The audit log: filtered, paged, exported. Who may see which line is `naru-identity`'s.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use naru_model::api::{AuditLine, Page};
use naru_model::{Problem, ProjectName, Timestamp};
use naru_store::audit::{AuditFilter, AuditRow};
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;

/// Lines that are read at once for an export.
const EXPORTED_AT_ONCE: u32 = 500;
/// Lines of one export at most; the rest is had with `until`.
const EXPORTED_MOST: u32 = 100_000;

/// Which lines.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this login.
    pub(crate) login: Option<String>,
    /// With this action, or those below it: `project` finds `project.create`.
    pub(crate) action: Option<String>,
    /// In this project.
    #[param(value_type = Option<String>)]
    pub(crate) project: Option<ProjectName>,
    /// That ended so: `done`, a problem's code, or `failed` for every problem.
    pub(crate) result: Option<String>,
    /// Not earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// Earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

impl Which {
    fn before(&self, before: Option<i64>) -> AuditFilter {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        AuditFilter {
            before,
            login: given(&self.login),
            action: given(&self.action),
            project: self.project.clone(),
            result: given(&self.result),
            since: self.since,
            until: self.until,
        }
    }
}

/// Who did what, newest first: one's own lines, those of organisations whose audit log one may read, and the
/// instance's for its administrators.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "audit", tag = "account", params(Which, Paging),
    responses((status = 200, body = Page<AuditLine>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    asking: Asking,
    InQuery(which): InQuery<Which>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<AuditLine>>> {
    Ok(Json(lines(&cx, &asking, &which, &paging).await?))
}

/// A page of the lines that somebody may see.
pub(crate) async fn lines(
    cx: &Cx,
    asking: &Asking,
    which: &Which,
    paging: &Paging,
) -> Result<Page<AuditLine>> {
    let filter = which.before(paging.after_number());
    let rows = cx.identity.audit(&asking.known, &filter, paging.probe()).await?;
    let lines = rows.into_iter().map(line).collect();
    Ok(paging.page(lines, |line: &AuditLine| line.id.to_string()))
}

fn line(row: AuditRow) -> AuditLine {
    AuditLine {
        id: row.id,
        at: row.at,
        login: row.login,
        action: row.action,
        organisation: row.organisation,
        project: row.project,
        target: row.target,
        result: row.result,
        address: row.address,
        detail: row.detail,
    }
}

/// The form of an export.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// One JSON object per line.
    #[default]
    Ndjson,
    /// RFC 4180, with a head; texts that a spreadsheet would run begin with a quotation mark.
    Csv,
}

/// In which form.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct InForm {
    /// `ndjson`, or `csv`.
    #[serde(default)]
    #[param(inline)]
    format: Form,
}

/// The same lines as a file: 100,000 at most, newest first.
#[utoipa::path(get, path = "/api/v1/audit/export", operation_id = "exportAudit", tag = "account",
    params(Which, InForm),
    responses((status = 200, description = "The lines", body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem)))]
pub(crate) async fn export(
    State(cx): State<Cx>,
    asking: Asking,
    InQuery(which): InQuery<Which>,
    InQuery(InForm { format }): InQuery<InForm>,
) -> Result<Response> {
    let first = cx.identity.audit(&asking.known, &which.before(None), EXPORTED_AT_ONCE).await?;
    let (kind, name, head) = match format {
        Form::Ndjson => ("application/x-ndjson", "audit.ndjson", ""),
        Form::Csv => ("text/csv; charset=utf-8", "audit.csv", CSV_HEAD),
    };
    let state = (cx, asking, which, Some((first, 0)));
    let pieces = stream::unfold(state, move |(cx, asking, which, page)| async move {
        let (rows, written) = page?;
        let text: String = rows.iter().cloned().map(|row| written_as(format, line(row))).collect();
        let written = written + EXPORTED_AT_ONCE;
        let next = match rows.last().filter(|_| written < EXPORTED_MOST) {
            None => None,
            Some(last) => {
                match cx.identity.audit(&asking.known, &which.before(Some(last.id)), EXPORTED_AT_ONCE).await {
                    Ok(rows) if rows.is_empty() => None,
                    Ok(rows) => Some((rows, written)),
                    Err(error) => {
                        return Some((Err(std::io::Error::other(error)), (cx, asking, which, None)));
                    }
                }
            }
        };
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), (cx, asking, which, next)))
    });
    let head = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(head.as_bytes()))]);
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    let body = Body::from_stream(futures::StreamExt::chain(head, pieces));
    Ok((headers, body).into_response())
}

const CSV_HEAD: &str = "id,at,login,action,organisation,project,target,result,address,detail\r\n";

fn written_as(form: Form, line: AuditLine) -> String {
    match form {
        Form::Ndjson => {
            let mut text = serde_json::to_string(&line).expect("wire types are plain data");
            text.push('\n');
            text
        }
        Form::Csv => {
            let organisation = line.organisation.map(String::from).unwrap_or_default();
            let project = line.project.map(String::from).unwrap_or_default();
            let cells = [
                line.id.to_string(),
                line.at.to_string(),
                line.login,
                line.action,
                organisation,
                project,
                line.target,
                line.result,
                line.address,
                line.detail,
            ];
            format!("{}\r\n", cells.map(|cell| cell_of(&cell)).join(","))
        }
    }
}

/// A cell in quotation marks. Spreadsheets run what begins with these signs.
fn cell_of(text: &str) -> String {
    let runs = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if runs { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_nothing_of_it() {
        assert_eq!(cell_of("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(cell_of("say \"hi\", twice"), "\"say \"\"hi\"\", twice\"");
        assert_eq!(cell_of("/api/v1/projects"), "\"/api/v1/projects\"");
    }
}
