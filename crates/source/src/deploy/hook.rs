//! The receive hook of deploy repositories: what people may push. It reads and decides; it changes nothing. Git keeps
//! the push in quarantine until this has agreed, so a refused push leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use naru_model::{CommitId, EnvironmentKey, EnvironmentName, Problem, ProjectName, manifest};

use super::objects::unexpected;
use super::read::{first_parents, is_git_like, read_folder, refusal};
use super::{DeployError, MAIN};
use crate::git::{Git, GitError, Variable};

/// The environments that whoever pushes may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedEnvironments {
    /// Every environment.
    All,
    /// These only.
    Only(BTreeSet<EnvironmentName>),
}

impl AllowedEnvironments {
    fn contains(&self, environment: &EnvironmentName) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(environment),
        }
    }
}

/// More commits in one push are most likely a mistake.
const COMMITS: usize = 500;

/// The repository as a hook of git sees it: with the objects of the push, which are in quarantine. `variables` is the
/// environment of the hook's process; all but git's quarantine is left out.
pub fn within_quarantine(git: Git, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Git {
    variables.into_iter().fold(git, |git, (name, value)| match name.to_str() {
        Some("GIT_QUARANTINE_PATH") => git.with(Variable::QuarantinePath, value),
        Some("GIT_OBJECT_DIRECTORY") => git.with(Variable::ObjectDirectory, value),
        Some("GIT_ALTERNATE_OBJECT_DIRECTORIES") => git.with(Variable::AlternateObjectDirectories, value),
        _ => git,
    })
}

/// What goes to the standard error of a hook; git shows it to the person line by line, after `remote:`.
pub fn message(problems: &[Problem]) -> String {
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("\n{}\n", shown.join("\n\n"))
}

/// Decides on a push. `lines` is the standard input of git's pre-receive hook: `<old> <new> <reference>` each.
pub async fn check(
    git: &Git,
    project: &ProjectName,
    lines: &str,
    allowed: &AllowedEnvironments,
) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for line in lines.lines().take(100) {
        let parts: Vec<&str> = line.split(' ').collect();
        match parts.as_slice() {
            [old, new, MAIN] => match check_main(git, project, old, new, allowed).await {
                Ok(()) => {}
                Err(DeployError::Refused(found)) => problems.extend(found),
                Err(other) => problems.extend(other.into_problems()),
            },
            [_, _, reference] => problems.push(
                Problem::new("deploy.refused-branch", format!("`{}` cannot be pushed", plain(reference)))
                    .cause("a deploy repository has the one branch `main` and no tags")
                    .state("nothing was changed")
                    .hint("push to `main`:")
                    .command("git push origin HEAD:main"),
            ),
            _ => problems.push(
                Problem::new("deploy.refused-push", "the push could not be read")
                    .state("nothing was changed"),
            ),
        }
    }
    problems.truncate(50);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

async fn check_main(
    git: &Git,
    project: &ProjectName,
    old: &str,
    new: &str,
    allowed: &AllowedEnvironments,
) -> Result<(), DeployError> {
    let is_absent = |id: &str| id.bytes().all(|byte| byte == b'0');
    if is_absent(new) {
        return refused(
            Problem::new("deploy.refused-deletion", "branch `main` cannot be deleted")
                .cause("it is the only statement of what should run")
                .state("nothing was changed")
                .hint("to stop an environment, remove its folder in a commit"),
        );
    }
    let new: CommitId = new.parse().map_err(|_| unexpected("receive-pack", new))?;
    if git.rev_parse(new.as_str()).await?.is_none() {
        return refused(
            Problem::new("deploy.refused-push", "what was pushed is no commit").state("nothing was changed"),
        );
    }
    let old: Option<CommitId> = if is_absent(old) { None } else { old.parse().ok() };
    if let Some(old) = &old {
        check_line(git, old, &new).await?;
    }
    check_trailers(git, old.as_ref(), &new).await?;
    check_folders(git, project, old.as_ref(), &new, allowed).await
}

fn refused(problem: Problem) -> Result<(), DeployError> {
    Err(DeployError::Refused(vec![problem]))
}

/// The commits that were there stay there, along first parents: revisions are counted along that line.
async fn check_line(git: &Git, old: &CommitId, new: &CommitId) -> Result<(), DeployError> {
    match first_parents(git, old, new).await? {
        Some(commits) if commits.len() <= COMMITS => Ok(()),
        Some(commits) => refused(
            Problem::new("deploy.refused-push", format!("the push has {} commits; at most {COMMITS} are taken", commits.len()))
                .state("nothing was changed")
                .hint("push them in several steps"),
        ),
        None => refused(
            Problem::new("deploy.not-forward", format!("`main` does not go forward from {}", old.short()))
                .cause("every commit is a revision that can be returned to; a forced push or a merge on top of your own commits would lose some")
                .state("nothing was changed")
                .hint("put your commits on top of what is there, then push again:")
                .command("git pull --rebase"),
        ),
    }
}

/// Naru's trailers tell what a commit was rendered from; only Naru writes them.
async fn check_trailers(git: &Git, old: Option<&CommitId>, new: &CommitId) -> Result<(), DeployError> {
    let mut arguments = vec![
        "log",
        "--max-count=1",
        "--format=%h",
        "--regexp-ignore-case",
        "--grep=^[[:space:]]*Naru-[A-Za-z]*:",
        new.as_str(),
    ];
    let without = old.map(|old| format!("^{old}"));
    arguments.extend(without.as_deref());
    arguments.push("--");
    let found = git.read(&arguments).await?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if found.is_empty() {
        return Ok(());
    }
    refused(
        Problem::new(
            "deploy.refused-trailer",
            format!("the message of commit {found} has a line that starts with `Naru-`"),
        )
        .cause("such lines tell what Naru rendered; only Naru writes them")
        .state("nothing was changed")
        .hint("reword the message, then push again:")
        .command("git commit --amend"),
    )
}

type Root = BTreeMap<Vec<u8>, Vec<u8>>;

/// The entries at the root of a commit: name → mode, type and object.
async fn root(git: &Git, commit: Option<&CommitId>) -> Result<Root, GitError> {
    let Some(commit) = commit else { return Ok(Root::new()) };
    let listing = git.read(&["ls-tree", "-z", "--full-tree", commit.as_str()]).await?;
    let split = |entry: &[u8]| {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        Some((entry[tab + 1..].to_vec(), entry[..tab].to_vec()))
    };
    Ok(listing.split(|byte| *byte == 0).filter_map(split).collect())
}

/// Every entry at the root that the push changes is a folder of an environment that the pusher may change, or a note.
async fn check_folders(
    git: &Git,
    project: &ProjectName,
    old: Option<&CommitId>,
    new: &CommitId,
    allowed: &AllowedEnvironments,
) -> Result<(), DeployError> {
    let (before, after) = (root(git, old).await?, root(git, Some(new)).await?);
    let names: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
    let mut problems = Vec::new();
    for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
        let shown = String::from_utf8_lossy(name);
        let entry = after.get(name);
        let is_file = entry.is_some_and(|entry| entry.starts_with(b"100"));
        if is_file && manifest::is_note(&shown) && !is_git_like(&shown) {
            continue;
        }
        let Ok(environment) = shown.parse::<EnvironmentName>() else {
            // Whatever it is, taking it away is fine.
            if entry.is_some() {
                problems.push(refusal(
                    &shown,
                    "beside notes (.md), the root holds one folder per environment, named as it",
                ));
            }
            continue;
        };
        if !allowed.contains(&environment) {
            problems.push(
                Problem::new("deploy.not-allowed", format!("you may not change `{environment}`"))
                    .state("nothing was changed")
                    .hint(format!("ask an owner of `{project}` for the right to deploy there")),
            );
        } else if entry.is_some() {
            problems.extend(check_environment(git, project, new, &environment).await?);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(DeployError::Refused(problems)) }
}

/// What is wrong with an environment's manifests, with the folder before the file's name.
async fn check_environment(
    git: &Git,
    project: &ProjectName,
    commit: &CommitId,
    environment: &EnvironmentName,
) -> Result<Vec<Problem>, DeployError> {
    let files = match read_folder(git, commit, environment).await {
        Ok(files) => files.unwrap_or_default(),
        Err(DeployError::Refused(problems)) => return Ok(problems),
        Err(error) => return Err(error),
    };
    let key = EnvironmentKey { project: project.clone(), environment: environment.clone() };
    let mut problems = manifest::parse_of(&key, &files).err().unwrap_or_default();
    for problem in &mut problems {
        problem.cause.push(format!("in folder `{environment}` at commit {}", commit.short()));
    }
    Ok(problems)
}

fn plain(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
