//! One project: a working copy with its own history, pushed with ordinary git, and what the API says became of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::api;
use super::guest;
use super::instance::Instance;
use super::process::{self, PATIENCE, until_within};

/// A service with the guest program that says which version it is at `/variable/VERSION`.
pub(crate) fn version(version: &str) -> String {
    format!(
        "service: {{ build: {{}}, port: 8080, health: /healthz, run: /guest serve, env: {{ VERSION: {version} }} }}\n"
    )
}

/// A project of an instance.
pub(crate) struct Project<'a> {
    instance: &'a Instance,
    pub(crate) name: &'static str,
    pub(crate) source: WorkingCopy,
}

impl<'a> Project<'a> {
    /// Makes the project, and a working copy with the guest program and its Dockerfile.
    pub(crate) fn create(instance: &'a Instance, name: &'static str) -> Self {
        instance.api().post("projects", &json!({ "name": name }));
        let source = WorkingCopy::init(instance.beside(name), &remote(instance, name));
        fs::copy(guest::program(), source.folder.join("guest")).unwrap();
        source.write("Dockerfile", guest::DOCKERFILE);
        Self { instance, name, source }
    }

    /// Commits `naru.yaml` with this text and whatever else changed, and pushes. Returns the commit. Does not wait.
    pub(crate) fn push(&self, definition: &str) -> String {
        self.source.write("naru.yaml", definition);
        let commit = self.source.commit("Another version");
        self.source.push();
        commit
    }

    /// Pushes, and waits until the new revision has all the traffic. Returns the revision as the API shows it.
    pub(crate) fn deliver(&self, definition: &str) -> Value {
        let revision = self.rolled_out(&self.push(definition));
        assert_eq!(revision["rollout"], "live", "{revision:#}");
        revision
    }

    /// Pushes what must not get the traffic. Returns the revision, with its problem.
    pub(crate) fn deliver_in_vain(&self, definition: &str) -> Value {
        let revision = self.rolled_out(&self.push(definition));
        assert_eq!(revision["rollout"], "failed", "{revision:#}");
        revision
    }

    /// Waits until the rollout of a commit has ended, either way.
    pub(crate) fn rolled_out(&self, commit: &str) -> Value {
        let describe = || format!("{:#}", self.crossing());
        // A build and a rollout.
        until_within(PATIENCE * 2, "the commit's rollout ends", describe, || {
            let releases = self.list("releases")?;
            let release = releases.iter().find(|release| release["commit"] == commit)?["number"].clone();
            self.ended(|revision| revision["release"] == release)
        })
    }

    /// Waits until an intent has become a revision and its rollout has ended, either way.
    pub(crate) fn carried_out(&self, intent: &Value) -> Value {
        let id = intent.as_i64().expect("an intent");
        let describe = || format!("{:#}", self.crossing());
        until_within(PATIENCE * 2, "the intent is carried out", describe, || {
            let intent = self.try_get(&format!("intents/{id}"))?;
            assert_ne!(intent["state"], "failed", "{intent:#}");
            let number = intent["revision"].as_u64()?;
            self.ended(|revision| revision["number"] == number)
        })
    }

    /// The newest revision of production that is wanted, if its rollout has ended.
    fn ended(&self, is_wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let revisions = self.list("environments/production/revisions")?;
        let revision = revisions.into_iter().find(is_wanted)?;
        matches!(revision["rollout"].as_str()?, "live" | "failed" | "overtaken").then_some(revision)
    }

    /// Waits until an environment's condition is this word.
    pub(crate) fn until_condition(&self, word: &str) -> Value {
        let describe = || format!("{:#}", self.environment());
        until_within(PATIENCE, &format!("production is {word}"), describe, || {
            let environment = self.try_get("environments/production")?;
            (environment["condition"] == word).then_some(environment)
        })
    }

    /// Waits until the service answers a path with status 200 and this text.
    pub(crate) fn until_serves(&self, path: &str, text: &str) {
        let describe = || format!("{:?}\n{:#}", self.ask(path), self.crossing());
        until_within(PATIENCE * 2, &format!("{path} is answered with {text:?}"), describe, || {
            matches!(self.ask(path), Ok((200, body)) if body == text).then_some(())
        });
    }

    /// Asks the service through the edge: status and body.
    pub(crate) fn ask(&self, path: &str) -> Result<(u16, String), String> {
        api::through_edge(self.instance.edge(), &self.host(), path)
    }

    /// The name that production is served under.
    pub(crate) fn host(&self) -> String {
        format!("{}.localhost", self.name)
    }

    /// Production, as the API shows it.
    pub(crate) fn environment(&self) -> Value {
        self.instance.api().get(&self.path("environments/production"))
    }

    /// The newest change, as `naru status` shows it.
    pub(crate) fn crossing(&self) -> Value {
        self.instance.api().get(&self.path("environments/production/crossing"))
    }

    /// Asks for a change of the project. `path` is below the project's.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.instance.api().post(&self.path(path), body)
    }

    /// Changes something of the project. `path` is below the project's.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.instance.api().put(&self.path(path), body)
    }

    /// A list of the project, newest first; none while Naru is down.
    pub(crate) fn list(&self, path: &str) -> Option<Vec<Value>> {
        self.try_get(&format!("{path}?limit=200"))?["items"].as_array().cloned()
    }

    /// Something of the project that may not be there.
    pub(crate) fn try_get(&self, path: &str) -> Option<Value> {
        self.instance.api().try_get(&self.path(path)).ok()
    }

    fn path(&self, path: &str) -> String {
        format!("projects/{}/{path}", self.name)
    }

    /// A fresh clone of the deploy repository.
    pub(crate) fn deploy_repository(&self) -> WorkingCopy {
        let remote = remote(self.instance, &format!("{}.deploy", self.name));
        let parent = tempfile::Builder::new().prefix("deploy-").tempdir_in(self.instance.beside("")).unwrap();
        WorkingCopy::clone(parent.keep().join("clone"), &remote)
    }
}

/// The address of a repository, with the token as the password.
fn remote(instance: &Instance, name: &str) -> String {
    let host = instance.api().base().strip_prefix("http://").unwrap();
    format!("http://minji:{}@{host}/git/{name}.git", instance.api().token())
}

/// A git working copy that pushes `main` to its origin.
pub(crate) struct WorkingCopy {
    pub(crate) folder: PathBuf,
}

impl WorkingCopy {
    fn init(folder: PathBuf, remote: &str) -> Self {
        fs::create_dir(&folder).unwrap();
        let copy = Self { folder };
        copy.git(&["init", "--quiet", "--initial-branch=main"]);
        copy.git(&["remote", "add", "origin", remote]);
        copy.introduce()
    }

    fn clone(folder: PathBuf, remote: &str) -> Self {
        fs::create_dir(&folder).unwrap();
        let copy = Self { folder };
        copy.git(&["clone", "--quiet", remote, "."]);
        copy.introduce()
    }

    fn introduce(self) -> Self {
        self.git(&["config", "user.name", "Minji"]);
        self.git(&["config", "user.email", "minji@example.com"]);
        self
    }

    /// Replaces a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.join(path), text).unwrap();
    }

    /// Replaces a text in a file, where it must be.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.folder.join(path)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {path}:\n{text}");
        self.write(path, &text.replace(from, to));
    }

    /// Commits everything, also when nothing changed. Returns the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Pushes `main`, which must be accepted.
    pub(crate) fn push(&self) {
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    /// Pushes with these options, and returns how that went.
    pub(crate) fn try_push(&self, options: &[&str]) -> Output {
        let words = [&["push", "origin", "main"], options].concat();
        process::output(&mut self.command(&words))
    }

    /// Runs git in the working copy; it must succeed.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        process::text(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut git = process::program("git", Path::new(&self.folder));
        git.args(words).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
        git
    }
}
