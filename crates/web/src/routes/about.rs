//! What is said about a project: changed here, shown with the project itself.

use axum::extract::State;
use axum::{Extension, Json};
use naru_model::about::{AboutError, check_contacts, check_description, check_summary};
use naru_model::api::{Project, ProjectChange};
use naru_model::{Problem, ProjectName};
use naru_store::StoreError;
use naru_store::project::About;

use crate::Cx;
use crate::access::{AuditDetail, Caller, Chosen};
use crate::border::Body;
use crate::failure::{Failure, Result};
use crate::routes::project::seen;

/// The code of what cannot be said.
pub(crate) const BAD_ABOUT: &str = "api.bad-about";

/// Why something was not written down.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It cannot be said about a project.
    Unsayable(AboutError),
    /// Nobody of this login belongs to the project's organisation.
    NoMember(String),
    /// Nothing that saying it differently would mend.
    Failed(Failure),
}

impl From<AboutError> for Refused {
    fn from(error: AboutError) -> Self {
        Self::Unsayable(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let cause = match refused {
            Refused::Unsayable(error) => error.to_string(),
            Refused::NoMember(login) => {
                format!("nobody with the login {login:?} belongs to its organisation")
            }
            Refused::Failed(failure) => return failure,
        };
        let problem = Problem::new(BAD_ABOUT, "this cannot be said about a project").cause(cause);
        Self::refused(problem.state("nothing was changed"))
    }
}

/// Changes what is said about a project: what it is for, who answers for it, whom to ask.
#[utoipa::path(put, path = "/api/v1/projects/{project}", operation_id = "changeProject", tag = "project",
    request_body = ProjectChange, params(("project" = ProjectName, Path)),
    responses((status = 200, body = Project), (status = "default", body = Problem)))]
pub(crate) async fn change(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    Chosen(mut row): Chosen,
    Body(change): Body<ProjectChange>,
) -> Result<(Extension<AuditDetail>, Json<Project>)> {
    let (about, detail) = changed(&cx, &row, change).await?;
    row.about = about;
    Ok((Extension(detail), Json(seen(&cx, row, &caller.login).await?)))
}

/// Checks and keeps what shall be said, and says what is new about it.
pub(crate) async fn changed(
    cx: &Cx,
    row: &naru_store::project::Project,
    change: ProjectChange,
) -> Result<(About, AuditDetail), Refused> {
    let about = merged(row.about.clone(), change)?;
    match cx.store.describe_project(&row.name, &about).await {
        Ok(()) => {}
        Err(StoreError::Missing(what)) if what.starts_with("member ") => {
            return Err(Refused::NoMember(about.owner.unwrap_or_default().chars().take(40).collect()));
        }
        Err(error) => return Err(Refused::Failed(error.into())),
    }
    let detail = AuditDetail(differences(&row.about, &about).join(", "));
    Ok((about, detail))
}

/// What is said from now on. What was left out stays.
fn merged(mut about: About, change: ProjectChange) -> Result<About, AboutError> {
    if let Some(summary) = change.summary {
        summary.trim().clone_into(&mut about.summary);
        check_summary(&about.summary)?;
    }
    if let Some(description) = change.description {
        description.replace("\r\n", "\n").trim().clone_into(&mut about.description);
        check_description(&about.description)?;
    }
    if let Some(contacts) = change.contacts {
        check_contacts(&contacts)?;
        about.contacts = contacts;
    }
    if let Some(owner) = change.owner {
        about.owner = Some(owner.trim().to_owned()).filter(|owner| !owner.is_empty());
    }
    Ok(about)
}

/// What differs, by name; the owner's as it is now, since it says who answers.
fn differences(before: &About, now: &About) -> Vec<String> {
    let mut names = Vec::new();
    for (name, differs) in [
        ("summary", before.summary != now.summary),
        ("description", before.description != now.description),
        ("contacts", before.contacts != now.contacts),
    ] {
        names.extend(differs.then(|| name.to_owned()));
    }
    if before.owner != now.owner {
        names.push(format!("owner {}", now.owner.as_deref().unwrap_or("nobody")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays_and_what_is_empty_goes() {
        let before =
            About { summary: "Sells things".to_owned(), owner: Some("minji".to_owned()), ..About::default() };
        let change = ProjectChange {
            summary: Some("  Sells more ".to_owned()),
            description: Some("one\r\n\r\ntwo\r\n".to_owned()),
            owner: Some(String::new()),
            contacts: None,
        };
        let now = merged(before.clone(), change).unwrap();
        assert_eq!((now.summary.as_str(), now.description.as_str()), ("Sells more", "one\n\ntwo"));
        assert_eq!(differences(&before, &now), ["summary", "description", "owner nobody"]);
        assert_eq!(merged(before.clone(), ProjectChange::default()).unwrap(), before);
    }
}
