//! Where a command acts: which server, which project, which environment.

use naru_model::{EnvironmentName, Problem, ProjectName};

use crate::client::{Client, not_logged_in};
use crate::config;
use crate::exit::{CliError, Result, USAGE};
use crate::outside::Outside;

/// The environment that is meant when none is named.
const USUAL: &str = "production";

/// The server that was logged in to last; `NARU_URL` and `NARU_TOKEN` come first.
pub(crate) fn client(outside: &Outside) -> Result<Client> {
    let remembered = config::read(outside)?;
    let url = outside.variable("NARU_URL").map(str::to_owned);
    // A remembered token belongs to the remembered server and to no other.
    let same =
        url.is_none() || url.as_deref().map(|url| url.trim_end_matches('/')) == remembered.url.as_deref();
    let token = outside.variable("NARU_TOKEN").map(str::to_owned);
    let token = token.or_else(|| remembered.token.filter(|_| same));
    let url = url.or(remembered.url).ok_or_else(not_logged_in)?;
    Client::new(outside, &url, token)
}

/// `--project`, else `NARU_PROJECT`, else what the remotes of the git repository here say.
pub(crate) fn project(outside: &Outside, given: Option<&ProjectName>) -> Result<ProjectName> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    if let Some(name) = outside.variable("NARU_PROJECT") {
        return name.parse().map_err(|error| usage("NARU_PROJECT names no project", &error));
    }
    let mut found: Vec<ProjectName> = outside.remotes().iter().filter_map(|url| project_of(url)).collect();
    found.sort();
    found.dedup();
    if let [only] = found.as_slice() {
        return Ok(only.clone());
    }
    let cause = match found.len() {
        0 => "no remote of a git repository here leads to one".to_owned(),
        count => format!("the remotes of the git repository here lead to {count} projects"),
    };
    let problem = Problem::new("cli.no-project", "which project is not known")
        .cause(cause)
        .hint("name it with --project <name>, or set NARU_PROJECT");
    Err(CliError::new(USAGE, problem))
}

/// `--environment`, else `NARU_ENVIRONMENT`, else `production`.
pub(crate) fn environment(outside: &Outside, given: Option<&EnvironmentName>) -> Result<EnvironmentName> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let name = outside.variable("NARU_ENVIRONMENT").unwrap_or(USUAL);
    name.parse().map_err(|error| usage("NARU_ENVIRONMENT names no environment", &error))
}

fn usage(summary: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(USAGE, Problem::new("cli.usage", summary).cause(error.to_string()))
}

/// The project that a git URL leads to: `…/git/<project>.git`.
fn project_of(url: &str) -> Option<ProjectName> {
    let (_, name) = url.rsplit_once("/git/")?;
    let name = name.trim_end_matches('/').strip_suffix(".git").unwrap_or(name);
    name.strip_suffix(".deploy").unwrap_or(name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_name_their_project() {
        for (url, expected) in [
            ("http://127.0.0.1:7070/git/shop.git", Some("shop")),
            ("http://minji@127.0.0.1:7070/git/shop.git/", Some("shop")),
            ("https://naru.example.com/git/shop.deploy.git", Some("shop")),
            ("https://github.com/someone/shop.git", None),
            ("http://127.0.0.1:7070/git/../etc.git", None),
            ("http://127.0.0.1:7070/git/$(id).git", None),
            ("", None),
        ] {
            assert_eq!(project_of(url).as_ref().map(ProjectName::as_str), expected, "{url}");
        }
    }
}
