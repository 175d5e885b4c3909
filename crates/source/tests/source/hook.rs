//! The receive hook, asked by real git about real pushes. A small shell script hands the question to the test, which
//! answers with [`hook::check`] while git holds the push in quarantine.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use naru_source::deploy::hook::{self, AllowedEnvironments};
use naru_source::deploy::{DeployRepository, Observed};
use tempfile::TempDir;

use crate::deploy::{clone, commit_and_push, deploy, edit, production, repository};
use crate::support::work_git;

/// Asks through two pipes: the push and its environment go out, the verdict comes back.
const SHIM: &str = "#!/bin/sh
{ env | grep ^GIT_; echo; cat; } > naru-question
read -r verdict < naru-answer
cat naru-said >&2
exit \"$verdict\"
";

struct Guarded {
    data: TempDir,
    repository: DeployRepository,
    clone: TempDir,
    allowed: AllowedEnvironments,
}

/// A repository with one deploy, guarded by the hook, and a person's clone of it.
async fn guarded(allowed: AllowedEnvironments) -> Guarded {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    let hooks = repository.git().folder().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    std::fs::write(hooks.join("pre-receive"), SHIM).unwrap();
    std::fs::set_permissions(hooks.join("pre-receive"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for pipe in ["naru-question", "naru-answer"] {
        nix::unistd::mkfifo(&repository.git().folder().join(pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    Guarded { data, repository, clone, allowed }
}

/// A push and its answer, bounded: when git does not ask, nobody answers.
async fn answered<T>(push: impl Future<Output = T>, answer: impl Future<Output = ()>) -> T {
    let both = async { tokio::join!(push, answer).0 };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("git asks the hook")
}

impl Guarded {
    fn path(&self) -> &Path {
        self.clone.path()
    }

    /// Answers one push.
    async fn answer(&self) {
        let folder = self.repository.git().folder();
        let asked = tokio::fs::read_to_string(folder.join("naru-question")).await.unwrap();
        let (variables, lines) = asked.split_once("\n\n").unwrap();
        let variables = variables.lines().filter_map(|line| line.split_once('='));
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let git = hook::within_quarantine(self.repository.git().clone(), variables);
        let verdict = hook::check(&git, &"shop".parse().unwrap(), lines, &self.allowed).await;
        let said = verdict.as_ref().err().map(|problems| hook::message(problems)).unwrap_or_default();
        tokio::fs::write(folder.join("naru-said"), said).await.unwrap();
        let code = if verdict.is_ok() { "0\n" } else { "1\n" };
        tokio::fs::write(folder.join("naru-answer"), code).await.unwrap();
    }

    /// Pushes and answers; the error is what the person sees.
    async fn push(&self, arguments: &[&str]) -> Result<String, String> {
        answered(work_git(self.path(), arguments), self.answer()).await
    }

    async fn commit_and_push(&self, text: &str) -> Result<String, String> {
        answered(commit_and_push(self.path(), text), self.answer()).await
    }

    /// Pushes something that must be refused and returns what the person sees; nothing may have changed.
    async fn refused(&self, text: &str) -> String {
        let head = self.repository.head().await.unwrap();
        let said = self.commit_and_push(text).await.expect_err("it must be refused");
        assert_eq!(self.repository.head().await.unwrap(), head);
        work_git(self.path(), &["reset", "--quiet", "--hard", "origin/main"]).await.unwrap();
        work_git(self.path(), &["clean", "-qfd"]).await.unwrap();
        said
    }
}

#[tokio::test]
async fn an_edit_by_hand_is_accepted() {
    let guarded = guarded(AllowedEnvironments::Only(BTreeSet::from([production()]))).await;
    edit(guarded.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 3");
    std::fs::write(guarded.path().join("README.md"), "notes").unwrap();
    guarded.commit_and_push("Three").await.unwrap();
    let Observed::Present(newest) = guarded.repository.observe(&production()).await.unwrap() else {
        panic!()
    };
    assert_eq!((newest.number.0, newest.message.as_str()), (2, "Three"));
    std::fs::remove_dir_all(guarded.path().join("production")).unwrap();
    guarded.commit_and_push("Stop it").await.unwrap();
    assert!(matches!(guarded.repository.observe(&production()).await.unwrap(), Observed::Removed(_)));
}

#[tokio::test]
async fn manifests_that_are_not_honoured_come_back_with_five_fields() {
    let guarded = guarded(AllowedEnvironments::All).await;
    let file = "production/deployment-web.yaml";
    edit(guarded.path(), file, "      containers:", "      hostNetwork: true\n      containers:");
    let said = guarded.refused("Out").await;
    let remote: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("remote: ")).map(str::trim_end).collect();
    let text = remote.join("\n");
    for part in [
        "error: `spec.template.spec.hostNetwork` of `deployment-web.yaml` cannot be honoured",
        "  cause: host namespaces belong to the machine",
        "  state: nothing that runs was changed",
        "hint: ",
        "code: manifest.refused",
    ] {
        assert!(text.contains(part), "{part:?} in\n{said}");
    }
    for (from, to, expected) in [
        (
            "        imagePullPolicy",
            "        securityContext: {privileged: true}\n        imagePullPolicy",
            "privileged",
        ),
        ("kind: Deployment", "kind: DaemonSet", "DaemonSet"),
        ("  replicas: 2", "  replicas: 2\n  unheard: of", "spec.unheard"),
        ("metadata:", "metadata:\n  namespace: other", "metadata.namespace"),
        ("kind: Deployment", "kind: [", "deployment-web.yaml"),
    ] {
        edit(guarded.path(), file, from, to);
        let said = guarded.refused("Out").await;
        assert!(said.contains(expected) && said.contains("code: manifest.refused"), "{said}");
    }
}

#[tokio::test]
async fn links_and_names_that_git_could_take_for_its_own_are_refused() {
    let guarded = guarded(AllowedEnvironments::All).await;
    let link = guarded.path().join("production/link.yaml");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    assert!(guarded.refused("Link").await.contains("it is a symbolic link"));
    std::os::unix::fs::symlink("production", guarded.path().join("staging")).unwrap();
    assert!(guarded.refused("Link").await.contains("`staging` is a symbolic link, not a folder"));
    std::fs::write(guarded.path().join("production/.gitattributes"), "* text").unwrap();
    assert!(guarded.refused("Attributes").await.contains("names like .git are not accepted"));
    std::fs::write(guarded.path().join(".gitmodules"), "").unwrap();
    assert!(
        guarded
            .refused("Modules")
            .await
            .contains("beside notes (.md), the root holds one folder per environment")
    );
    std::fs::write(guarded.path().join("production/large.md"), "x".repeat(2 << 20)).unwrap();
    assert!(guarded.refused("Large").await.contains("at most 1048576 are read"));
    let head = work_git(guarded.path(), &["rev-parse", "HEAD"]).await.unwrap();
    let submodule = format!("160000,{},production/sub", head.trim());
    work_git(guarded.path(), &["update-index", "--add", "--cacheinfo", &submodule]).await.unwrap();
    work_git(guarded.path(), &["commit", "--quiet", "--message", "Submodule"]).await.unwrap();
    let said = guarded.push(&["push", "--quiet", "origin", "HEAD:main"]).await.unwrap_err();
    assert!(said.contains("it is a submodule"), "{said}");
}

#[tokio::test]
async fn only_main_goes_only_forward() {
    let guarded = guarded(AllowedEnvironments::All).await;
    edit(guarded.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 3");
    work_git(guarded.path(), &["commit", "--quiet", "--all", "--message", "Three"]).await.unwrap();
    let said = guarded.push(&["push", "origin", "HEAD:refs/heads/other"]).await.unwrap_err();
    assert!(said.contains("code: deploy.refused-branch"), "{said}");
    let said = guarded.push(&["push", "origin", "HEAD:refs/tags/v1"]).await.unwrap_err();
    assert!(said.contains("code: deploy.refused-branch"), "{said}");
    // Naru commits meanwhile; a merge would push Naru's commit off the first-parent line.
    deploy(&guarded.repository, 2).await;
    work_git(guarded.path(), &["pull", "--quiet", "--no-rebase", "--no-edit"]).await.unwrap();
    let said = guarded.push(&["push", "origin", "HEAD:main"]).await.unwrap_err();
    assert!(said.contains("code: deploy.not-forward") && said.contains("git pull --rebase"), "{said}");
    work_git(guarded.path(), &["reset", "--quiet", "--hard", "HEAD^"]).await.unwrap();
    work_git(guarded.path(), &["pull", "--quiet", "--rebase"]).await.unwrap();
    guarded.push(&["push", "origin", "HEAD:main"]).await.unwrap();
    assert_eq!(guarded.repository.history(&production()).await.unwrap().len(), 3);
    guarded.repository.git().fsck().await.unwrap();
    assert!(guarded.data.path().exists());
}

#[tokio::test]
async fn force_and_deletion_are_refused_by_the_hook_too() {
    let guarded = guarded(AllowedEnvironments::All).await;
    deploy(&guarded.repository, 2).await;
    let (old, new) = {
        let history = guarded.repository.history(&production()).await.unwrap();
        (history[0].commit.clone(), history[1].commit.clone())
    };
    let ask = async |line: String| {
        let project = "shop".parse().unwrap();
        hook::check(guarded.repository.git(), &project, &line, &guarded.allowed).await.unwrap_err().remove(0)
    };
    assert_eq!(ask(format!("{new} {old} refs/heads/main")).await.code, "deploy.not-forward");
    let gone = "0".repeat(40);
    assert_eq!(ask(format!("{new} {gone} refs/heads/main")).await.code, "deploy.refused-deletion");
    assert_eq!(ask(format!("{gone} {new} refs/naru/main")).await.code, "deploy.refused-branch");
    assert_eq!(ask("nonsense".to_owned()).await.code, "deploy.refused-push");
    assert_eq!(ask(format!("{new} {} refs/heads/main", "1".repeat(40))).await.code, "deploy.refused-push");
    let said = guarded.push(&["push", "origin", ":main"]).await.unwrap_err();
    assert!(said.contains("code: deploy.refused-deletion"), "{said}");
}

#[tokio::test]
async fn rights_go_by_folder_and_narus_trailers_are_narus() {
    let staging = "staging".parse().unwrap();
    let guarded = guarded(AllowedEnvironments::Only(BTreeSet::from([staging]))).await;
    edit(guarded.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 3");
    let said = guarded.refused("Three").await;
    assert!(
        said.contains("you may not change `production`") && said.contains("code: deploy.not-allowed"),
        "{said}"
    );
    std::fs::remove_dir_all(guarded.path().join("production")).unwrap();
    std::fs::write(guarded.path().join("README.md"), "x").unwrap();
    assert!(guarded.refused("Away").await.contains("you may not change `production`"));
    std::fs::write(guarded.path().join("README.md"), "x").unwrap();
    let said = guarded.refused("Notes\n\nNaru-Environment: production\nNaru-Release: 9").await;
    assert!(said.contains("code: deploy.refused-trailer"), "{said}");
    // A copied folder still says whose it is.
    let from = guarded.path().join("production");
    std::fs::create_dir(guarded.path().join("staging")).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), guarded.path().join("staging").join(file.file_name())).unwrap();
    }
    let said = guarded.refused("Copy").await;
    assert!(said.contains("it says \"production\", not `staging`"), "{said}");
}
