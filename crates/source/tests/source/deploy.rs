//! Deploy repositories: renders, people's commits, rollback, history rebuilt, and what happens when somebody works
//! around Naru.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use naru_model::definition::Strategy;
use naru_model::effect::Unobserved;
use naru_model::manifest::{self, Files};
use naru_model::workload::{EnvironmentSpec, Limits, ServiceSpec, Template, Value};
use naru_model::{
    Clock, CommitId, ConfigurationVersion, Digest, EnvironmentKey, EnvironmentName, ImageReference,
    ReleaseNumber, RevisionNumber, Timestamp,
};
use naru_source::deploy::{Committed, DeployError, DeployRepository, Message, Observed};
use naru_source::git::ReferenceUpdate;
use tempfile::TempDir;

use crate::support::work_git;

/// A clock that moves by a second with every look.
pub(crate) struct Ticking(AtomicI64);

impl Default for Ticking {
    fn default() -> Self {
        Self(AtomicI64::new(1_795_000_000))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

pub(crate) async fn repository() -> (TempDir, DeployRepository) {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(Ticking::default());
    let project = "shop".parse().unwrap();
    let instance = "0123456789ab".parse().unwrap();
    let repository = DeployRepository::new(data.path(), &project, &instance, clock, Arc::new(Unobserved));
    repository.create().await.unwrap();
    (data, repository)
}

pub(crate) fn production() -> EnvironmentName {
    "production".parse().unwrap()
}

pub(crate) fn spec(release: u32, level: &str) -> EnvironmentSpec {
    let template = Template {
        image: ImageReference {
            name: "127.0.0.1:7070/shop/web".to_owned(),
            digest: Digest::of(release.to_string().as_bytes()),
        },
        command: None,
        variables: BTreeMap::from([("LOG_LEVEL".parse().unwrap(), Value::Plain(level.to_owned()))]),
        port: Some(8080),
        probe: None,
        limits: Limits::default(),
        mounts: Vec::new(),
        ready_within: Duration::from_mins(1),
        stop_within: Duration::from_secs(10),
    };
    EnvironmentSpec {
        release: Some(ReleaseNumber(release)),
        configuration: ConfigurationVersion(release),
        services: BTreeMap::from([(
            "web".parse().unwrap(),
            ServiceSpec { replicas: 2, strategy: Strategy::default(), template },
        )]),
        ..EnvironmentSpec::default()
    }
}

pub(crate) fn render(spec: &EnvironmentSpec) -> Files {
    manifest::render(&EnvironmentKey { project: "shop".parse().unwrap(), environment: production() }, spec)
}

fn message(release: u32) -> Message {
    Message {
        subject: format!("Render release {release} for production"),
        author: None,
        release: Some(ReleaseNumber(release)),
        configuration: ConfigurationVersion(release),
        recreate: false,
        intent: None,
    }
}

pub(crate) async fn deploy(repository: &DeployRepository, release: u32) -> Committed {
    let head = repository.head().await.unwrap();
    let files = render(&spec(release, "info"));
    repository.commit_render(&production(), &files, &message(release), head.as_ref()).await.unwrap()
}

/// A person's clone of the repository.
pub(crate) async fn clone(data: &TempDir, repository: &DeployRepository) -> TempDir {
    let clone = tempfile::tempdir_in(data.path()).unwrap();
    let from = repository.git().folder().to_str().unwrap().to_owned();
    work_git(clone.path(), &["clone", "--quiet", &from, "."]).await.unwrap();
    clone
}

pub(crate) fn edit(clone: &Path, file: &str, from: &str, to: &str) {
    let path = clone.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

pub(crate) async fn commit_and_push(clone: &Path, text: &str) -> Result<String, String> {
    work_git(clone, &["add", "--all"]).await.unwrap();
    work_git(clone, &["commit", "--quiet", "--message", text]).await.unwrap();
    work_git(clone, &["push", "--quiet", "origin", "HEAD:main"]).await
}

async fn replicas(repository: &DeployRepository, commit: &CommitId) -> u32 {
    let spec = repository.read_spec(commit, &production()).await.unwrap().unwrap();
    spec.services[&"web".parse().unwrap()].replicas
}

#[tokio::test]
async fn a_render_becomes_a_commit_and_reads_back() {
    let (_data, repository) = repository().await;
    assert_eq!(repository.head().await.unwrap(), None);
    assert_eq!(repository.observe(&production()).await.unwrap(), Observed::Never);
    let made = deploy(&repository, 1).await;
    assert!(made.changed);
    assert_eq!(repository.head().await.unwrap(), Some(made.head.clone()));
    assert_eq!(repository.read_spec(&made.head, &production()).await.unwrap(), Some(spec(1, "info")));
    let other = "staging".parse().unwrap();
    assert_eq!(repository.read_environment(&made.head, &other).await.unwrap(), None);
    let again = deploy(&repository, 1).await;
    assert_eq!(
        again,
        Committed { head: made.head.clone(), changed: false },
        "the same render is no new revision"
    );
    repository.git().fsck().await.unwrap();
    let text = repository.git().read(&["log", "-1", "--format=%an <%ae>%n%B", "main"]).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with(
            "Naru <naru@0123456789ab>\nRender release 1 for production\n\nNaru-Environment: production\n"
        ),
        "{text}"
    );
    for line in ["Naru-Release: 1\n", "Naru-Configuration: 1\n", "Naru-Revision: 1\n", "Naru-Render: "] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn a_persons_commit_is_a_revision_and_survives_the_next_render() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    edit(clone.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 3");
    commit_and_push(clone.path(), "Three replicas for the weekend").await.unwrap();
    let made = deploy(&repository, 2).await;
    assert_eq!(replicas(&repository, &made.head).await, 3);
    let history = repository.history(&production()).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|r| {
            (
                r.number.0,
                r.release.map(|n| n.0),
                r.configuration.0,
                r.by_naru,
                r.author.as_str(),
                r.message.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, Some(1), 1, true, "Naru", "Render release 1 for production"),
            (2, Some(1), 1, false, "Person", "Three replicas for the weekend"),
            (3, Some(2), 2, true, "Naru", "Render release 2 for production"),
        ]
    );
    let changes = repository.diff(&production(), &history[0].commit, &history[1].commit).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].path.as_str(), changes[0].from.as_deref(), changes[0].to.as_deref()),
        ("spec.replicas", Some("2"), Some("3"))
    );
}

#[tokio::test]
async fn a_field_that_both_changed_blocks_and_changes_nothing() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    edit(clone.path(), "production/deployment-web.yaml", "value: info", "value: debug");
    commit_and_push(clone.path(), "Debug").await.unwrap();
    let head = repository.head().await.unwrap();
    let theirs = render(&spec(2, "warn"));
    let error =
        repository.commit_render(&production(), &theirs, &message(2), head.as_ref()).await.unwrap_err();
    let problems = error.into_problems();
    assert_eq!(problems[0].code, "manifest.conflict");
    assert!(problems[0].summary.contains("env[LOG_LEVEL].value"), "{}", problems[0].summary);
    assert_eq!(repository.head().await.unwrap(), head);
}

#[tokio::test]
async fn a_stale_caller_is_told_so_and_loses_nothing() {
    let (data, repository) = repository().await;
    let seen = deploy(&repository, 1).await.head;
    let clone = clone(&data, &repository).await;
    edit(clone.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 4");
    commit_and_push(clone.path(), "Four").await.unwrap();
    let theirs = render(&spec(2, "info"));
    let error = repository.commit_render(&production(), &theirs, &message(2), Some(&seen)).await.unwrap_err();
    assert!(matches!(error, DeployError::Stale { .. }) && error.is_transient(), "{error:?}");
    let made = deploy(&repository, 2).await;
    assert_eq!(replicas(&repository, &made.head).await, 4);
}

#[tokio::test]
async fn of_two_renders_at_once_one_is_stale() {
    let (_data, repository) = repository().await;
    let seen = deploy(&repository, 1).await.head;
    let (two, three) = (render(&spec(2, "info")), render(&spec(3, "info")));
    let (environment, second, third) = (production(), message(2), message(3));
    let (one, other) = tokio::join!(
        repository.commit_render(&environment, &two, &second, Some(&seen)),
        repository.commit_render(&environment, &three, &third, Some(&seen)),
    );
    let stale = |result: &Result<Committed, DeployError>| matches!(result, Err(DeployError::Stale { .. }));
    assert!(one.is_ok() != other.is_ok() && (stale(&one) || stale(&other)), "{one:?} {other:?}");
    assert_eq!(repository.history(&production()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn rolling_back_brings_back_the_edits_of_that_time_and_their_base() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    edit(clone.path(), "production/deployment-web.yaml", "replicas: 2", "replicas: 3");
    commit_and_push(clone.path(), "Three").await.unwrap();
    let wanted = repository.head().await.unwrap().unwrap();
    let bad = deploy(&repository, 2).await.head;
    let back = Message {
        subject: "Roll back production to revision 2".to_owned(),
        author: Some("admin".to_owned()),
        ..message(1)
    };
    let made = repository.rollback_to(&production(), &wanted, &back, Some(&bad)).await.unwrap();
    assert!(made.changed);
    assert_eq!(
        repository.read_environment(&made.head, &production()).await.unwrap(),
        repository.read_environment(&wanted, &production()).await.unwrap()
    );
    let history = repository.history(&production()).await.unwrap();
    assert_eq!(history.len(), 4);
    assert_eq!((history[3].release, history[3].author.as_str()), (Some(ReleaseNumber(1)), "admin"));
    // With the base of that time, the next render still knows that three was a person's choice, not Naru's.
    let made = deploy(&repository, 3).await;
    assert_eq!(replicas(&repository, &made.head).await, 3);
    repository.git().fsck().await.unwrap();
}

#[tokio::test]
async fn history_is_told_by_commits_alone() {
    let (data, repository) = repository().await;
    for release in 1..=4 {
        deploy(&repository, release).await;
    }
    let before = repository.history(&production()).await.unwrap();
    // A mirror has the branch and none of Naru's references.
    let mirror = clone(&data, &repository).await;
    let folder = repository.git().folder().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(repository.history(&production()).await, Err(DeployError::Missing { .. })));
    repository.create().await.unwrap();
    work_git(mirror.path(), &["push", "--quiet", "origin", "HEAD:main"]).await.unwrap();
    assert_eq!(repository.history(&production()).await.unwrap(), before);
    assert_eq!(before[3].number, RevisionNumber(4));
    let made = deploy(&repository, 5).await;
    assert!(made.changed, "rendering goes on");
}

#[tokio::test]
async fn a_removed_folder_is_told_from_one_that_cannot_be_read() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    std::fs::write(clone.path().join("production/deployment-web.yaml"), "kind: [").unwrap();
    commit_and_push(clone.path(), "Break it").await.unwrap();
    let head = repository.head().await.unwrap().unwrap();
    assert!(matches!(repository.observe(&production()).await.unwrap(), Observed::Present(_)));
    let problems = repository.read_spec(&head, &production()).await.unwrap_err().into_problems();
    assert_eq!(problems[0].code, "manifest.refused");
    let error = repository
        .commit_render(&production(), &render(&spec(2, "info")), &message(2), Some(&head))
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::Conflict(_)), "{error:?}");

    std::fs::remove_dir_all(clone.path().join("production")).unwrap();
    std::fs::write(clone.path().join("README.md"), "empty").unwrap();
    commit_and_push(clone.path(), "Stop production").await.unwrap();
    let Observed::Removed(last) = repository.observe(&production()).await.unwrap() else {
        panic!("it is removed")
    };
    assert_eq!((last.number, last.message.as_str()), (RevisionNumber(3), "Stop production"));
    let head = repository.head().await.unwrap();
    let files = render(&spec(2, "info"));
    let error =
        repository.commit_render(&production(), &files, &message(2), head.as_ref()).await.unwrap_err();
    assert!(matches!(error, DeployError::Removed { .. }), "{error:?}");
    let again = Message { recreate: true, ..message(2) };
    let made = repository.commit_render(&production(), &files, &again, head.as_ref()).await.unwrap();
    assert_eq!(repository.read_spec(&made.head, &production()).await.unwrap(), Some(spec(2, "info")));
    assert!(
        repository.git().cat_file(&made.head, "README.md", 100).await.unwrap().is_some(),
        "other files stay"
    );
}

#[tokio::test]
async fn notes_with_difficult_names_and_other_folders_survive_a_render() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    let note = "on \"call\" \\ 나루.md";
    std::fs::write(clone.path().join("production").join(note), "ask Mina\n").unwrap();
    std::fs::write(clone.path().join(note), "a note\n").unwrap();
    commit_and_push(clone.path(), "Take notes").await.unwrap();
    let made = deploy(&repository, 2).await;
    let files = repository.read_environment(&made.head, &production()).await.unwrap().unwrap();
    assert_eq!(files.get(note).map(String::as_str), Some("ask Mina\n"));
    let kept = repository.git().cat_file(&made.head, note, 100).await.unwrap();
    assert_eq!(kept.as_deref(), Some(b"a note\n".as_slice()));
    repository.git().fsck().await.unwrap();
    let references = repository.git().references("refs/").await.unwrap();
    let names: Vec<&str> = references.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(names, ["refs/heads/main", "refs/naru/main", "refs/naru/render/production"]);
}

#[tokio::test]
async fn a_branch_rewritten_emptied_or_deleted_behind_narus_back_is_never_an_empty_one() {
    let (_data, repository) = repository().await;
    let first = deploy(&repository, 1).await.head;
    let second = deploy(&repository, 2).await.head;
    let set = async |old: &CommitId, new: Option<&CommitId>| {
        let update =
            ReferenceUpdate { name: "refs/heads/main".to_owned(), old: Some(old.clone()), new: new.cloned() };
        repository.git().update_ref("test", update).await.unwrap();
    };
    let rewritten = async || {
        let observed = repository.observe(&production()).await;
        assert!(matches!(observed, Err(DeployError::Rewritten { .. })), "{observed:?}");
        assert!(matches!(repository.history(&production()).await, Err(DeployError::Rewritten { .. })));
        let head = repository.head().await.unwrap();
        let files = render(&spec(3, "info"));
        let error =
            repository.commit_render(&production(), &files, &message(3), head.as_ref()).await.unwrap_err();
        let problem = error.into_problems().remove(0);
        assert_eq!(problem.code, "deploy.rewritten");
        assert!(problem.hint.join(" ").contains(second.as_str()), "it says how to set the branch back");
    };
    set(&second, Some(&first)).await;
    rewritten().await;
    let empty = repository.git().call(["mktree"]).read().await.unwrap();
    let empty = String::from_utf8(empty).unwrap();
    let made = crate::support::commit(repository.git(), &[]).await;
    assert!(!empty.is_empty());
    set(&first, Some(&made)).await;
    rewritten().await;
    set(&made, None).await;
    rewritten().await;
}

#[tokio::test]
async fn links_and_submodules_in_a_folder_are_refused_and_never_followed() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    let path = clone.path().join("production/service-web.yaml");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    commit_and_push(clone.path(), "Link").await.unwrap();
    let head = repository.head().await.unwrap().unwrap();
    let problems = repository.read_environment(&head, &production()).await.unwrap_err().into_problems();
    assert!(problems[0].to_string().contains("it is a symbolic link"), "{}", problems[0]);

    std::fs::remove_dir_all(clone.path().join("production")).unwrap();
    std::os::unix::fs::symlink("/etc", clone.path().join("production")).unwrap();
    commit_and_push(clone.path(), "Link the folder").await.unwrap();
    let head = repository.head().await.unwrap().unwrap();
    let problems = repository.read_environment(&head, &production()).await.unwrap_err().into_problems();
    assert!(problems[0].to_string().contains("a symbolic link, not a folder"), "{}", problems[0]);
}

#[tokio::test]
async fn contents_of_every_kind_are_stored_byte_for_byte() {
    let (data, repository) = repository().await;
    deploy(&repository, 1).await;
    let clone = clone(&data, &repository).await;
    let note = "data 5\nhello\nget-mark :1\nfrom main\n\u{0} 나루 \r\n";
    std::fs::write(clone.path().join("production/README.md"), note).unwrap();
    std::fs::write(clone.path().join("binary.md"), [0xff, 0xfe]).unwrap();
    commit_and_push(clone.path(), "Notes").await.unwrap();
    let made = deploy(&repository, 2).await;
    let files = repository.read_environment(&made.head, &production()).await.unwrap().unwrap();
    assert_eq!(files["README.md"], note);
    std::fs::write(clone.path().join("production/other.md"), [0xff, 0xfe]).unwrap();
    work_git(clone.path(), &["pull", "--quiet", "--rebase"]).await.unwrap();
    commit_and_push(clone.path(), "No text").await.unwrap();
    let head = repository.head().await.unwrap().unwrap();
    let problems = repository.read_environment(&head, &production()).await.unwrap_err().into_problems();
    assert!(problems[0].to_string().contains("not UTF-8"), "{}", problems[0]);
}
