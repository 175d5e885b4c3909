//! Build plans: what `naru.yaml` says about an image, turned into the work of one job.
//!
//! Pure: it reads no repository and starts nothing. Whether a folder has a Dockerfile is found out by the caller;
//! `naru_pipeline` runs the plan as a job.

mod static_site;

use std::collections::BTreeMap;

use naru_model::job::{Dockerfile, JobWork, Workspace};
use naru_model::{CommitId, Problem, ProjectName, RunNumber, ServiceName};

pub use static_site::{STATIC_BASE_IMAGE, STATIC_PORT, static_dockerfile};

/// Paths in a repository longer than this are refused, in bytes.
const PATH_LIMIT: usize = 512;

/// Build arguments more than this are refused.
const ARGUMENT_LIMIT: usize = 100;

/// A build argument's value longer than this is refused, in bytes: it travels in an argument vector.
const ARGUMENT_VALUE_LIMIT: usize = 32 * 1024;

/// Which image is built, and for what.
#[derive(Debug, Clone, Copy)]
pub struct BuildOf<'a> {
    /// The project whose files are built.
    pub project: &'a ProjectName,
    /// The run that builds.
    pub run: RunNumber,
    /// The service the image is for; it names the repository in the registry.
    pub service: &'a ServiceName,
    /// The commit whose files are the context.
    pub commit: &'a CommitId,
    /// Host and port of the control plane, such as `127.0.0.1:7070`: registry and source repositories are there.
    pub registry_host: &'a str,
}

/// What the image is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildFrom<'a> {
    /// A Dockerfile of the repository.
    Dockerfile {
        /// The context folder, relative to the repository's root; `.` or empty for the root itself.
        context: &'a str,
        /// The Dockerfile, relative to the repository's root; `None` for `Dockerfile` in the context folder.
        dockerfile: Option<&'a str>,
    },
    /// A folder of files that are served as they are.
    StaticFiles {
        /// The folder, relative to the repository's root; `.` or empty for the root itself.
        folder: &'a str,
    },
}

/// Plans the build of one image. Refuses paths that leave the repository (`image.bad-path`) and arguments that cannot
/// be passed on (`image.bad-argument`).
pub fn plan_build(
    of: BuildOf<'_>,
    from: BuildFrom<'_>,
    arguments: &BTreeMap<String, String>,
) -> Result<JobWork, Problem> {
    let (context, dockerfile) = match from {
        BuildFrom::Dockerfile { context, dockerfile } => {
            let context = repository_path("context", context)?;
            let dockerfile = match dockerfile {
                Some(path) => repository_path("dockerfile", path)?,
                None if context == "." => "Dockerfile".to_owned(),
                None => format!("{context}/Dockerfile"),
            };
            (context, Dockerfile::Path(dockerfile))
        }
        BuildFrom::StaticFiles { folder } => {
            (repository_path("context", folder)?, Dockerfile::Generated(static_dockerfile()))
        }
    };
    check_arguments(arguments)?;
    Ok(JobWork::Build {
        workspace: Workspace { project: of.project.clone(), commit: of.commit.clone() },
        context,
        dockerfile,
        arguments: arguments.clone(),
        labels: labels(of),
        push_to: format!("{}/{}/{}:run-{}", of.registry_host, of.project, of.service, of.run),
    })
}

/// Labels by which an image tells where it came from: the OCI image specification's annotation keys, and our own.
fn labels(of: BuildOf<'_>) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("org.opencontainers.image.revision".to_owned(), of.commit.to_string()),
        (
            "org.opencontainers.image.source".to_owned(),
            format!("http://{}/git/{}.git", of.registry_host, of.project),
        ),
        ("dev.naru.project".to_owned(), of.project.to_string()),
        ("dev.naru.run".to_owned(), of.run.to_string()),
    ])
}

/// A path in a repository in its plain form: `a/b`, or `.` for the root. Leading `./` and a trailing slash are
/// forgiven; anything that could leave the repository or be taken for an option is not.
fn repository_path(key: &'static str, path: &str) -> Result<String, Problem> {
    let refuse = |why: &str| {
        let shown: String = path.chars().take(80).collect();
        Err(Problem::new("image.bad-path", format!("the {key} {shown:?} cannot be built from"))
            .cause(why)
            .hint(format!("write {key} as a path in the repository, such as services/web")))
    };
    if path.len() > PATH_LIMIT {
        return refuse("it is longer than 512 bytes");
    }
    let plain = path.strip_prefix("./").unwrap_or(path);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    if plain.is_empty() && !path.starts_with('/') || plain == "." {
        return Ok(".".to_owned());
    }
    if plain.starts_with('/') || path.starts_with('/') {
        return refuse("it is absolute");
    }
    if plain.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("it contains control characters or backslashes");
    }
    for part in plain.split('/') {
        match part {
            "" | "." => return refuse("it has empty parts"),
            ".." => return refuse("it leaves the repository"),
            part if part.eq_ignore_ascii_case(".git") => return refuse("it points into git's own folder"),
            part if part.starts_with('-') => return refuse("a part of it starts with a hyphen"),
            _ => {}
        }
    }
    Ok(plain.to_owned())
}

fn check_arguments(arguments: &BTreeMap<String, String>) -> Result<(), Problem> {
    let refuse = |summary: String| {
        Err(Problem::new("image.bad-argument", summary)
            .hint("build arguments are letters, digits and underscores, not starting with a digit"))
    };
    if arguments.len() > ARGUMENT_LIMIT {
        return refuse(format!(
            "{} build arguments are more than the limit of {ARGUMENT_LIMIT}",
            arguments.len()
        ));
    }
    for (name, value) in arguments {
        if name.parse::<naru_model::VariableName>().is_err() {
            let shown: String = name.chars().take(60).collect();
            return refuse(format!("the build argument {shown:?} is not usable"));
        }
        if value.len() > ARGUMENT_VALUE_LIMIT || value.contains('\0') {
            return refuse(format!(
                "the value of the build argument {name} is too long or contains a zero byte"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(from: BuildFrom<'_>, arguments: &BTreeMap<String, String>) -> Result<JobWork, Problem> {
        let (project, service) = ("shop".parse().unwrap(), "web".parse().unwrap());
        let commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let of = BuildOf {
            project: &project,
            run: RunNumber(12),
            service: &service,
            commit: &commit,
            registry_host: "127.0.0.1:7070",
        };
        plan_build(of, from, arguments)
    }

    #[test]
    fn a_build_says_where_it_came_from_and_where_it_goes() {
        let from = BuildFrom::Dockerfile { context: "./services/web/", dockerfile: None };
        let work = plan(from, &BTreeMap::from([("FLAVOUR".into(), "small".into())])).unwrap();
        insta::assert_json_snapshot!(work, @r#"
        {
          "build": {
            "workspace": {
              "project": "shop",
              "commit": "0123456789abcdef0123456789abcdef01234567"
            },
            "context": "services/web",
            "dockerfile": {
              "path": "services/web/Dockerfile"
            },
            "arguments": {
              "FLAVOUR": "small"
            },
            "labels": {
              "dev.naru.project": "shop",
              "dev.naru.run": "12",
              "org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567",
              "org.opencontainers.image.source": "http://127.0.0.1:7070/git/shop.git"
            },
            "push_to": "127.0.0.1:7070/shop/web:run-12"
          }
        }
        "#);
    }

    #[test]
    fn static_files_get_a_dockerfile() {
        let work = plan(BuildFrom::StaticFiles { folder: "." }, &BTreeMap::new()).unwrap();
        let JobWork::Build { context, dockerfile: Dockerfile::Generated(text), .. } = work else {
            panic!("not generated")
        };
        assert_eq!(context, ".");
        assert!(text.starts_with("FROM docker.io/library/nginx:stable\n"), "{text}");
    }

    #[test]
    fn paths_that_leave_the_repository_are_refused() {
        let long = "a/".repeat(300);
        for bad in [
            "..",
            "../x",
            "a/../b",
            "/",
            "/etc",
            "./..",
            "a//b",
            "a/./b",
            "-f",
            "a/-f",
            ".git",
            "a/.GIT/hooks",
            "a\nb",
            "a\\b",
            "a\0b",
            ".//etc",
            long.as_str(),
        ] {
            let context = plan(BuildFrom::Dockerfile { context: bad, dockerfile: None }, &BTreeMap::new());
            assert_eq!(context.unwrap_err().code, "image.bad-path", "context {bad:?}");
            let dockerfile =
                plan(BuildFrom::Dockerfile { context: ".", dockerfile: Some(bad) }, &BTreeMap::new());
            assert_eq!(dockerfile.unwrap_err().code, "image.bad-path", "dockerfile {bad:?}");
        }
    }

    #[test]
    fn arguments_that_cannot_be_passed_on_are_refused() {
        let from = BuildFrom::Dockerfile { context: ".", dockerfile: None };
        for (name, value) in [("A=B", ""), ("--x", ""), ("", ""), ("1A", ""), ("A", "a\0b")] {
            let arguments = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(plan(from, &arguments).unwrap_err().code, "image.bad-argument", "{name:?}");
        }
    }
}
