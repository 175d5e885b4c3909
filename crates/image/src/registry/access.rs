//! Who may come in: every route passes here first.

use axum::http::HeaderMap;
use base64::Engine as _;
use http::header;
use naru_model::authorise::{Credentials, Denied, Permission, Resource};
use naru_model::{Digest, ProjectName, RepositoryName};
use naru_store::image::{ManifestName, Repository};

use super::Registry;
use super::refusal::{Code, Refusal};

fn credentials(headers: &HeaderMap) -> Credentials {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    Credentials::from_header(header, |text| base64::engine::general_purpose::STANDARD.decode(text).ok())
}

fn log_in_first() -> Refusal {
    Refusal::new(Code::Unauthorized, "log in first: any user name, with a token of yours as the password")
}

impl Registry {
    /// Lets in everybody who is known: the answer to a client that asks whether this is a registry.
    pub(super) async fn enter(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let credentials = credentials(headers);
        match self.authorise.authorise(&credentials, Permission::UseInstance, &Resource::Instance).await {
            Ok(_) | Err(Denied::Forbidden) => Ok(()),
            Err(denied) => Err(turned_away(denied, None)),
        }
    }

    /// Lets a caller into a repository. A project that may not be read answers like one that does not exist.
    pub(super) async fn enter_repository(
        &self,
        headers: &HeaderMap,
        (project, name): (&str, &str),
        permission: Permission,
    ) -> Result<Repository, Refusal> {
        let credentials = credentials(headers);
        if matches!(credentials, Credentials::None) {
            return Err(log_in_first());
        }
        let repository = parse_repository(project, name)?;
        let resource = Resource::Project(repository.project.clone());
        if let Err(denied) = self.authorise.authorise(&credentials, permission, &resource).await {
            if denied == Denied::Forbidden {
                tracing::warn!(%permission, project = %repository.project, "a registry request was refused");
            }
            let may_read = denied == Denied::Forbidden
                && permission != Permission::Read
                && self.authorise.authorise(&credentials, Permission::Read, &resource).await.is_ok();
            if may_read {
                return Err(Refusal::new(
                    Code::Denied,
                    "your token may pull from this project, not push to it",
                ));
            }
            return Err(turned_away(denied, Some(&repository)));
        }
        match self.store.project(&repository.project).await? {
            Some(project) if permission == Permission::Read || !project.deleting => Ok(repository),
            _ => Err(unknown(&repository)),
        }
    }

    /// Whether the caller of this request may also read another repository.
    pub(super) async fn may_read(&self, headers: &HeaderMap, repository: &Repository) -> bool {
        let resource = Resource::Project(repository.project.clone());
        self.authorise.authorise(&credentials(headers), Permission::Read, &resource).await.is_ok()
    }
}

fn turned_away(denied: Denied, repository: Option<&Repository>) -> Refusal {
    match (denied, repository) {
        (Denied::Unauthenticated, _) => log_in_first(),
        (Denied::Forbidden, Some(repository)) => unknown(repository),
        (Denied::Forbidden, None) => Refusal::new(Code::Denied, "not allowed"),
        (Denied::Unavailable(why), _) => {
            tracing::error!(why, "a registry request could not be authorised");
            Refusal::new(Code::Unavailable, "it could not be found out who you are; try again in a moment")
        }
    }
}

fn unknown(repository: &Repository) -> Refusal {
    Refusal::new(Code::NameUnknown, format!("there is no project {}", repository.project))
}

/// Reads `<project>/<name>`.
fn parse_repository(project: &str, name: &str) -> Result<Repository, Refusal> {
    let project: ProjectName = project.parse().map_err(|error| invalid_name(&error))?;
    let name: RepositoryName = name.parse().map_err(|error| invalid_name(&error))?;
    Ok(Repository { project, name })
}

fn invalid_name(error: &naru_model::NameError) -> Refusal {
    Refusal::new(Code::NameInvalid, format!("{error}; image repositories are called <project>/<name>"))
}

/// Reads a repository's name as it stands in `from=`.
pub(super) fn repository_in_query(text: &str) -> Option<Repository> {
    let (project, name) = text.split_once('/')?;
    parse_repository(project, name).ok()
}

/// Reads a digest.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error| Refusal::new(Code::DigestInvalid, format!("{error}")))
}

/// Reads a tag or a digest: what contains a colon is meant as a digest.
pub(super) fn parse_manifest_name(text: &str) -> Result<ManifestName, Refusal> {
    if text.contains(':') {
        return parse_digest(text).map(ManifestName::Digest);
    }
    match text.parse() {
        Ok(tag) => Ok(ManifestName::Tag(tag)),
        Err(error) => Err(Refusal::new(Code::ManifestInvalid, format!("{error}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn repository_names_are_safe_in_paths(text in "\\PC{0,60}") {
            if let Some(repository) = repository_in_query(&text) {
                prop_assert_eq!(repository.to_string(), text.clone());
                prop_assert!(!text.contains(".."));
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b)));
                prop_assert_eq!(text.matches('/').count(), 1);
            }
        }

        #[test]
        fn repository_names_of_services_are_taken(project in "[a-z][a-z0-9]{0,39}", service in "[a-z](-?[a-z0-9]){0,14}") {
            let service: naru_model::ServiceName = service.parse().unwrap();
            let name = format!("{project}/{service}");
            prop_assert!(repository_in_query(&name).is_some());
        }
    }
}
