//! The deploy repository and the people who change it: what they commit is honoured and kept, what must not run is
//! refused by name, and a repository that was damaged on the server changes nothing that runs.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::instance::Instance;
use super::load::Load;
use super::process::{self, said, until};
use super::project::{Project, WorkingCopy, version};

const DEPLOYMENT: &str = "production/deployment-web.yaml";

#[test]
fn what_a_person_commits_is_honoured_and_kept() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let load = Load::on(&instance, &shop, "/healthz");

    let repository = shop.deploy_repository();
    repository.edit(DEPLOYMENT, "replicas: 1", "replicas: 2");
    let commit = repository.commit("Two replicas for the weekend");
    repository.push();
    let revision = until(
        "the commit is live",
        || format!("{:#}", shop.environment()),
        || {
            let revisions = shop.list("environments/production/revisions")?;
            revisions
                .into_iter()
                .find(|revision| revision["commit"] == commit && revision["rollout"] == "live")
        },
    );
    assert_eq!(revision["author"], "Minji", "{revision:#}");
    assert_eq!(revision["release"], 1, "{revision:#}");
    shop.until_condition("live");
    assert_eq!(instance.containers("dev.naru.service=web").len(), 2);

    shop.deliver(&version("two"));
    shop.until_serves("/variable/VERSION", "two");
    shop.until_condition("live");
    assert_eq!(instance.containers("dev.naru.service=web").len(), 2, "the next push took the commit back");
    load.end_unharmed();
}

#[test]
fn what_must_not_run_is_refused_and_a_damaged_repository_changes_nothing() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.until_condition("live");
    let load = Load::on(&instance, &shop, "/variable/VERSION");

    let repository = shop.deploy_repository();
    let good = repository.git(&["rev-parse", "HEAD"]).trim().to_owned();
    refuses_what_would_escape(&repository, &good);
    shop.until_condition("live");

    damage(&instance, &shop, "deploy.rewritten", |bare| {
        repository.git(&["checkout", "--quiet", "--orphan", "other"]);
        repository.commit("Another history");
        on_server(bare, &["fetch", "--quiet", repository.folder.to_str().unwrap(), "+other:refs/heads/main"]);
    });
    let recovered = damage(&instance, &shop, "deploy.rewritten", |bare| {
        on_server(bare, &["update-ref", "-d", "refs/heads/main"]);
    });
    assert_eq!(recovered["serving"], 1, "{recovered:#}");

    // What gets past the hook is looked at again, and the push that mends it gets through.
    repository.git(&["checkout", "--quiet", "--force", "-B", "main", &good]);
    repository.edit(DEPLOYMENT, "kind: Deployment", "kind: [");
    repository.commit("Unreadable");
    let bare = bare(&instance, &shop);
    on_server(&bare, &["fetch", "--quiet", repository.folder.to_str().unwrap(), "+main:refs/heads/main"]);
    instance.kill();
    instance.serve_again();
    let failed = until(
        "the revision is refused",
        || format!("{:#}", shop.environment()),
        || {
            let revisions = shop.list("environments/production/revisions")?;
            revisions.into_iter().find(|revision| revision["number"] == 2 && revision["rollout"] == "failed")
        },
    );
    let problem = failed["problem"].to_string();
    assert!(problem.contains("deployment-web.yaml"), "{failed:#}");
    repository.git(&["revert", "--no-edit", "HEAD"]);
    repository.push();
    until(
        "the good state is back",
        || format!("{:#}", shop.environment()),
        || (shop.environment()["serving"] == 3).then_some(()),
    );
    assert!(load.end_unharmed().iter().all(|answer| answer == "one"));

    shop.deliver(&version("two"));
    shop.until_serves("/variable/VERSION", "two");
}

/// Every push that must not be taken, each from the good state.
fn refuses_what_would_escape(repository: &WorkingCopy, good: &str) {
    let back = || repository.git(&["reset", "--quiet", "--hard", good]);
    let cases = [
        ("        image:", "        securityContext: { privileged: true }\n        image:", "privileged"),
        ("      containers:", "      hostNetwork: true\n      containers:", "hostNetwork"),
        (
            "      containers:",
            "      volumes: [{ name: etc, hostPath: { path: /etc } }]\n      containers:",
            "hostPath",
        ),
        ("kind: Deployment", "kind: [", "deployment-web.yaml"),
    ];
    for (from, to, name) in cases {
        repository.edit(DEPLOYMENT, from, to);
        repository.commit("Not to be taken");
        refused(&repository.try_push(&[]), &["deployment-web.yaml", name, "manifest.refused"]);
        back();
    }
    repository.git(&["rm", "--quiet", "production/kustomization.yaml"]);
    repository.commit("Nothing is listed");
    refused(&repository.try_push(&[]), &["kustomization.yaml"]);
    back();
    repository.git(&["commit", "--quiet", "--amend", "--allow-empty", "--message", "Another past"]);
    refused(&repository.try_push(&["--force"]), &["deploy.not-forward"]);
    back();
}

/// Asserts that a push was refused with these words.
fn refused(push: &Output, words: &[&str]) {
    let told = said(push);
    assert!(!push.status.success(), "it was taken: {told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not told: {told}");
    }
}

/// Does something to the bare repository on the server while Naru is down, looks that it is told by this code and that
/// nothing else happens, undoes it, and returns the environment that came of that.
fn damage(instance: &Instance, shop: &Project<'_>, code: &str, harm: impl FnOnce(&Path)) -> Value {
    let bare = bare(instance, shop);
    let before = on_server(&bare, &["rev-parse", "refs/heads/main"]).trim().to_owned();
    instance.kill();
    harm(&bare);
    instance.serve_again();
    let told = shop.until_condition("blocked");
    assert_eq!(told["problem"]["code"], code, "{told:#}");
    assert_eq!(told["serving"], 1, "{told:#}");
    instance.kill();
    on_server(&bare, &["update-ref", "refs/heads/main", &before]);
    instance.serve_again();
    shop.until_condition("live")
}

fn bare(instance: &Instance, project: &Project<'_>) -> std::path::PathBuf {
    instance.data().join(format!("git/deploy/{}.git", project.name))
}

fn on_server(bare: &Path, words: &[&str]) -> String {
    process::text(process::program("git", bare).args(words))
}
