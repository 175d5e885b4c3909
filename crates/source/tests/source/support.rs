//! What the tests share: a repository in a temporary folder and commits made without a work tree.

use std::sync::Arc;

use naru_model::CommitId;
use naru_model::effect::Unobserved;
use naru_source::git::{Git, Variable};
use tempfile::TempDir;

/// A bare repository that goes away with the test.
pub(crate) async fn bare() -> (TempDir, Git) {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path().join("shop.git"), Arc::new(Unobserved));
    git.init_bare(&"main".parse().unwrap()).await.unwrap();
    (folder, git)
}

/// Stores a commit of `(mode, path without folders, content)` without moving any reference.
pub(crate) async fn commit(git: &Git, files: &[(&str, &str, &str)]) -> CommitId {
    let mut tree = Vec::new();
    for (mode, path, content) in files {
        let object = git
            .call(["hash-object", "-w", "--stdin"])
            .stdin(content.as_bytes().to_vec())
            .read()
            .await
            .unwrap();
        let object = String::from_utf8(object).unwrap();
        tree.extend_from_slice(format!("{mode} blob {}\t{path}\0", object.trim()).as_bytes());
    }
    let tree = String::from_utf8(git.call(["mktree", "-z"]).stdin(tree).read().await.unwrap()).unwrap();
    let made = git
        .call(["commit-tree", "-m", "A commit", tree.trim()])
        .variable(Variable::AuthorName, "Tester")
        .variable(Variable::AuthorEmail, "tester@example.com")
        .variable(Variable::CommitterName, "Tester")
        .variable(Variable::CommitterEmail, "tester@example.com")
        .read()
        .await
        .unwrap();
    String::from_utf8(made).unwrap().trim().parse().unwrap()
}

/// Runs git as a person does, in a work tree. Returns what it printed; the error is what it said.
#[expect(clippy::disallowed_methods, reason = "a person's git, with a work tree, is no adapter of ours")]
pub(crate) async fn work_git(folder: &std::path::Path, arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::new("git")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args([
            "-c",
            "user.name=Person",
            "-c",
            "user.email=person@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(said) }
}
