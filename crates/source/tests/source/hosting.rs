//! Hosted git: a real git client, a real server on loopback, real git processes that are really killed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use naru_model::authorise::{Authorise, Credentials, Decision, Denied, Permission, Principal, Resource};
use naru_model::effect::Unobserved;
use naru_model::{Clock, ProjectName, Timestamp};
use naru_source::git::ReferenceUpdate;
use naru_source::{Hosting, HostingSettings, SourceRepositories};
use naru_store::trigger::TriggerState::{Accepted, Rejected};
use naru_store::trigger::{NewTrigger, Trigger, TriggerKind, TriggerState};
use naru_store::{Store, Topic};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::commit;

/// A pack without objects, for references to commits that are there already.
const EMPTY_PACK: &[u8] =
    b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// `owner` may do everything in `shop`, `reader` may read it; nobody may see another project.
struct Doorkeeper;

impl Authorise for Doorkeeper {
    fn authorise<'a>(
        &'a self,
        credentials: &'a Credentials,
        permission: Permission,
        resource: &'a Resource,
    ) -> Decision<'a> {
        let login = match credentials {
            Credentials::Token(token) if token == "owner" || token == "reader" => token.clone(),
            _ => return Box::pin(std::future::ready(Err(Denied::Unauthenticated))),
        };
        let is_shop = match resource {
            Resource::Project(name) => name.as_str() == "shop",
            Resource::Environment(key) => key.project.as_str() == "shop",
            Resource::Instance | Resource::Organisation(_) => false,
        };
        let may = is_shop && (login == "owner" || permission == Permission::Read);
        let decision =
            if may { Ok(Principal { login, credential_id: "1".into() }) } else { Err(Denied::Forbidden) };
        Box::pin(std::future::ready(decision))
    }
}

struct Host {
    folder: TempDir,
    store: Store,
    repositories: SourceRepositories,
    hosting: Arc<Hosting>,
    address: SocketAddr,
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

async fn open_store(folder: &Path) -> Store {
    Store::open(&folder.join("naru.db"), Arc::new(Wall), Arc::new(Unobserved)).await.unwrap()
}

async fn host(settings: HostingSettings) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path()).await;
    store.create_project(&shop(), &"main".parse().unwrap()).await.unwrap();
    store.create_project(&"other".parse().unwrap(), &"main".parse().unwrap()).await.unwrap();
    serve(folder, store, settings).await
}

async fn serve(folder: TempDir, store: Store, settings: HostingSettings) -> Host {
    let repositories = SourceRepositories::new(folder.path().join("git"), Arc::new(Unobserved));
    let hosting =
        Hosting::open(store.clone(), repositories.clone(), Arc::new(Doorkeeper), settings).await.unwrap();
    hosting.recover().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = hosting.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Host { folder, store, repositories, hosting, address }
}

impl Host {
    fn url(&self, token: &str, repository: &str) -> String {
        format!("http://x:{token}@{}/git/{repository}", self.address)
    }

    /// A work tree of a person, with one commit on `main`.
    async fn work_tree(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        person(&folder, &["init", "--quiet", "--initial-branch=main"]).await.unwrap();
        person(&folder, &["remote", "add", "origin", &self.url("owner", "shop.git")]).await.unwrap();
        person(&folder, &["remote", "add", "deploy", &self.url("owner", "shop.deploy.git")]).await.unwrap();
        write_commit(&folder, "hello.txt", b"hello\n").await;
        folder
    }

    /// The ledger, newest first, as (reference, state, detail).
    async fn ledger(&self) -> Vec<(String, TriggerState, String)> {
        let rows = self.store.triggers(&shop(), None, 500).await.unwrap();
        rows.into_iter().map(|row: Trigger| (row.reference, row.state, row.detail)).collect()
    }

    async fn only_row(&self) -> (TriggerState, String) {
        let ledger = self.ledger().await;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        let (_, state, detail) = ledger.into_iter().next().unwrap();
        (state, detail)
    }

    /// A request by hand: status line and headers, then body. The answer is not chunk-decoded.
    async fn raw(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: naru\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.lines().filter(|line| !line.starts_with("date")).collect::<Vec<_>>().join("\n");
        (head, body.to_owned())
    }

    /// A push of one reference to a commit that is there already, by hand.
    async fn raw_push(&self, reference: &str, commit: &str) -> String {
        let line = format!("{} {commit} {reference}\0 report-status side-band-64k", "0".repeat(40));
        let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
        body.extend_from_slice(EMPTY_PACK);
        let headers =
            "Authorization: Bearer owner\r\nContent-Type: application/x-git-receive-pack-request\r\n";
        self.raw("POST", "/git/shop.git/git-receive-pack", headers, &body).await.1
    }
}

async fn write_commit(folder: &Path, file: &str, content: &[u8]) -> String {
    std::fs::write(folder.join(file), content).unwrap();
    person(folder, &["add", "--", file]).await.unwrap();
    person(folder, &["commit", "--quiet", "-m", &format!("Change {file}")]).await.unwrap();
    person(folder, &["rev-parse", "HEAD"]).await.unwrap().trim().to_owned()
}

/// Git as a person runs it; the error is what it said.
async fn person(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::new("git")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .args(["-c", "user.name=Mina", "-c", "user.email=mina@example.com", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(said) }
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn people_push_clone_and_fetch() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    assert_eq!(host.ledger().await, [("refs/heads/main".into(), Accepted, String::new())]);
    let pending = host.store.pending_triggers().await.unwrap();
    assert_eq!((pending[0].by.as_str(), pending[0].kind), ("owner", TriggerKind::Push));

    for version in ["0", "1", "2"] {
        let version_setting = format!("protocol.version={version}");
        let name = format!("theirs-{version}");
        let url = host.url("reader", "shop.git");
        person(host.folder.path(), &["-c", &version_setting, "clone", "--quiet", &url, &name]).await.unwrap();
        assert!(host.folder.path().join(&name).join("hello.txt").exists());
    }
    let second = write_commit(&mine, "more.txt", b"more\n").await;
    person(&mine, &["tag", "v1"]).await.unwrap();
    person(&mine, &["push", "--quiet", "--atomic", "origin", "main", "v1"]).await.unwrap();
    let theirs = host.folder.path().join("theirs-2");
    person(&theirs, &["pull", "--quiet"]).await.unwrap();
    assert_eq!(person(&theirs, &["rev-parse", "HEAD"]).await.unwrap().trim(), second);
    let states: BTreeMap<_, _> =
        host.ledger().await.into_iter().map(|(name, state, _)| (name, state)).collect();
    assert_eq!(states["refs/tags/v1"], TriggerState::Ignored);

    let url = host.url("owner", "shop.git");
    person(host.folder.path(), &["clone", "--quiet", "--depth=1", &url, "shallow"]).await.unwrap();
    let shallow = host.folder.path().join("shallow");
    assert_eq!(person(&shallow, &["rev-list", "--count", "HEAD"]).await.unwrap().trim(), "1");
    write_commit(&shallow, "shallow.txt", b"from a shallow clone\n").await;
    person(&shallow, &["push", "--quiet", "origin", "main"]).await.unwrap();
    person(&shallow, &["fetch", "--quiet", "--unshallow"]).await.unwrap();
    assert_eq!(person(&shallow, &["rev-list", "--count", "HEAD"]).await.unwrap().trim(), "3");

    person(&mine, &["push", "--quiet", "origin", "HEAD~1:refs/heads/side"]).await.unwrap();
    person(&mine, &["push", "--quiet", "origin", ":side"]).await.unwrap();
    assert_eq!(host.ledger().await[0].1, TriggerState::Ignored);
    host.repositories.source(&shop()).fsck().await.unwrap();
}

#[tokio::test]
async fn the_door_says_the_same_about_what_is_missing_and_what_is_not_yours() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    for token in ["wrong", ""] {
        let refused = person(&mine, &["ls-remote", &host.url(token, "shop.git")]).await.unwrap_err();
        assert!(refused.contains("Authentication failed") || refused.contains("could not read"), "{refused}");
    }
    let ask = async |repository: &str, headers: &str| {
        let path = format!("/git/{repository}/info/refs?service=git-upload-pack");
        host.raw("GET", &path, headers, b"").await
    };
    let owner = "Authorization: Bearer owner\r\n";
    assert_eq!(ask("other.git", owner).await, ask("missing.git", owner).await);
    assert_eq!(ask("other.git", "").await, ask("missing.git", "").await);
    let (head, body) = ask("shop.git", "").await;
    assert!(
        head.starts_with("HTTP/1.1 401") && head.contains("www-authenticate: Basic realm=\"Naru\""),
        "{head}"
    );
    assert!(body.contains("code: source.log-in"));
    for bad in ["shop", "..git", "%2e%2e%2fshop.git", "a;b.git"] {
        assert!(ask(bad, owner).await.0.starts_with("HTTP/1.1 404"), "{bad}");
    }

    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    let refused = person(&mine, &["push", &host.url("reader", "shop.git"), "main:other"]).await.unwrap_err();
    assert!(refused.contains("may read the repository but not push"), "{refused}");
    assert_eq!(host.ledger().await.len(), 1);
    let plain = host.raw("GET", "/git/shop.git/info/refs", owner, b"").await;
    assert!(plain.0.starts_with("HTTP/1.1 400"), "{}", plain.0);
    let path = "/git/shop.git/git-upload-pack";
    let typed = host.raw("POST", path, &format!("{owner}Content-Type: text/plain\r\n"), b"0000").await;
    assert!(typed.0.starts_with("HTTP/1.1 415"), "{}", typed.0);
}

#[tokio::test]
async fn refused_names_get_a_clear_message_and_a_row() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    let long = "x".repeat(300);
    for bad in ["a;b", "$(id)", "a`b`", &long] {
        let target = format!("main:refs/heads/{bad}");
        let refused = person(&mine, &["push", "origin", &target]).await.unwrap_err();
        assert!(refused.contains("remote: error: the branch name"), "{refused}");
        assert!(refused.contains("remote: code: source.refused-reference"), "{refused}");
        assert!(refused.contains("[remote rejected]"), "{refused}");
    }
    let head = person(&mine, &["rev-parse", "HEAD"]).await.unwrap().trim().to_owned();
    for bad in [
        "refs/heads/a..b",
        "refs/heads/a\nb",
        "refs/heads/-x",
        "refs/naru/x",
        "refs/heads/../../config",
        "HEAD",
    ] {
        let answer = host.raw_push(bad, &head).await;
        assert!(answer.contains("refused by Naru"), "{bad:?}: {answer}");
    }
    // One bad name refuses the whole push.
    person(&mine, &["push", "origin", "main", "main:refs/heads/a;b"]).await.unwrap_err();
    let ledger = host.ledger().await;
    assert_eq!(ledger.len(), 12);
    assert!(ledger.iter().all(|(_, state, detail)| *state == Rejected && !detail.is_empty()));
    assert!(host.repositories.source(&shop()).references("refs/").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_push_over_the_limit_is_refused_and_leaves_nothing() {
    let settings = HostingSettings { push_limit_bytes: 100 << 10, ..HostingSettings::default() };
    let host = host(settings).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    write_commit(&mine, "noise", &noise(3 << 20)).await;
    let refused = person(&mine, &["push", "origin", "main"]).await.unwrap_err();
    assert!(refused.contains("maximum allowed size"), "{refused}");
    assert_eq!(host.ledger().await[0].1, Rejected);
    let git = host.repositories.source(&shop());
    git.fsck().await.unwrap();
    let size = git.read(&["count-objects", "-v"]).await.unwrap();
    assert!(String::from_utf8_lossy(&size).contains("count: 3"), "{}", String::from_utf8_lossy(&size));
}

/// A small disk that goes away with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let option = format!("size={size}");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "tmpfs"])
            .arg(&folder)
            .status()
            .unwrap();
        assert!(mount.success(), "this test needs root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut source, &mut noise).unwrap();
    noise
}

#[tokio::test]
async fn a_full_disk_refuses_a_push_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path().join("git"), "1m");
    let store = open_store(folder.path()).await;
    store.create_project(&shop(), &"main".parse().unwrap()).await.unwrap();
    let host = serve(folder, store, HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    write_commit(&mine, "noise", &noise(3 << 20)).await;
    let refused = person(&mine, &["push", "origin", "main"]).await.unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    assert_eq!(host.ledger().await[0].1, Rejected);
    let git = host.repositories.source(&shop());
    git.fsck().await.unwrap();
    // There is room again for what fits.
    person(&mine, &["rm", "--quiet", "noise"]).await.unwrap();
    person(&mine, &["commit", "--quiet", "--amend", "--allow-empty", "-m", "Smaller"]).await.unwrap();
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    assert_eq!(host.ledger().await[0].1, Accepted);
}

#[tokio::test]
async fn trees_that_would_escape_are_refused() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    let inside = naru_source::git::Git::new(mine.join(".git"), Arc::new(Unobserved));
    for (mode, path, content) in [
        ("100644", ".git", "gitdir: /tmp"),
        ("100644", ".GIT", "gitdir: /tmp"),
        ("100644", "git~1", "gitdir: /tmp"),
        ("120000", ".gitmodules", "/etc/passwd"),
        ("100644", "..", "up"),
    ] {
        let id = commit(&inside, &[(mode, path, content)]).await;
        let target = format!("{id}:refs/heads/evil");
        let refused = person(&mine, &["push", "origin", &target]).await.unwrap_err();
        assert!(refused.contains("unpack") || refused.contains("remote: fatal"), "{path}: {refused}");
    }
    assert!(host.ledger().await.iter().all(|(_, state, _)| *state == Rejected));
    assert!(host.repositories.source(&shop()).references("refs/").await.unwrap().is_empty());
}

#[tokio::test]
async fn references_outside_branches_and_tags_are_hidden() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    let git = host.repositories.source(&shop());
    let head = git.rev_parse("refs/heads/main").await.unwrap();
    let hidden = ReferenceUpdate { name: "refs/naru/keep".into(), old: None, new: head };
    git.update_ref("git.test", hidden).await.unwrap();
    for version in ["protocol.version=0", "protocol.version=2"] {
        let listed = person(&mine, &["-c", version, "ls-remote", "origin"]).await.unwrap();
        let names: Vec<_> = listed.lines().filter_map(|line| line.split('\t').nth(1)).collect();
        assert_eq!(names, ["HEAD", "refs/heads/main"], "{version}");
    }
}

#[tokio::test]
async fn packed_requests_are_understood() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(b"0014command=ls-refs\n0000").unwrap();
    let headers = "Authorization: Bearer owner\r\nGit-Protocol: version=2\r\nContent-Encoding: gzip\r\n\
                   Content-Type: application/x-git-upload-pack-request\r\n";
    let (head, body) =
        host.raw("POST", "/git/shop.git/git-upload-pack", headers, &packer.finish().unwrap()).await;
    assert!(head.starts_with("HTTP/1.1 200") && body.contains("refs/heads/main"), "{head}\n{body}");
}

#[tokio::test]
async fn two_hundred_pushes_are_two_hundred_rows() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    let head = person(&mine, &["rev-parse", "HEAD"]).await.unwrap().trim().to_owned();
    let started = Instant::now();
    let pushes = (0..200).map(|number| {
        let (host, head) = (&host, &head);
        async move { host.raw_push(&format!("refs/heads/b{number}"), head).await }
    });
    let answers: Vec<_> = futures::stream::iter(pushes).buffer_unordered(20).collect().await;
    println!("200 pushes took {:?}", started.elapsed());
    assert!(answers.iter().all(|answer| answer.contains("ok refs/heads/b")));
    let ledger = host.ledger().await;
    assert_eq!(ledger.len(), 201);
    assert!(ledger.iter().all(|(_, state, _)| *state == Accepted));
    host.hosting.look().await.unwrap();
    assert_eq!(host.ledger().await.len(), 201, "a look finds nothing that a push recorded");
    assert_eq!(host.store.known_heads(&shop()).await.unwrap().len(), 201);
}

#[tokio::test]
async fn a_branch_that_moves_behind_our_back_becomes_a_trigger_once() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    let git = host.repositories.source(&shop());
    let old = git.rev_parse("refs/heads/main").await.unwrap();
    let new = commit(&git, &[("100644", "a", "moved")]).await;
    let update = ReferenceUpdate { name: "refs/heads/main".into(), old: old.clone(), new: Some(new.clone()) };
    git.update_ref("git.test", update).await.unwrap();
    host.hosting.look().await.unwrap();
    host.hosting.look().await.unwrap();
    let rows = host.store.triggers(&shop(), None, 10).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].kind, &rows[0].old, &rows[0].new), (TriggerKind::Found, &old, &Some(new)));
}

fn hook(script: &str) -> HostingSettings {
    let deploy_hook = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
    HostingSettings { deploy_hook, ..HostingSettings::default() }
}

#[tokio::test]
async fn a_deploy_repository_asks_its_hook_and_takes_fast_forwards_only() {
    let host =
        host(hook("if grep -q refs/heads/bad; then echo 'the manifest is privileged' >&2; exit 1; fi")).await;
    let mine = host.work_tree("mine").await;
    let mut changes = host.store.changes();
    person(&mine, &["push", "--quiet", "deploy", "main"]).await.unwrap();
    let mut rung = Vec::new();
    while !(rung.contains(&Topic::Releases) && rung.contains(&Topic::Environments)) {
        rung.push(tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap().unwrap().topic);
    }
    assert!(
        host.store.pending_triggers().await.unwrap().is_empty(),
        "a push to the deploy repository starts no run"
    );

    let refused = person(&mine, &["push", "deploy", "main:bad"]).await.unwrap_err();
    assert!(refused.contains("remote: the manifest is privileged"), "{refused}");
    assert_eq!(host.ledger().await[0].2, "pre-receive hook declined");
    person(&mine, &["commit", "--quiet", "--amend", "-m", "Rewritten"]).await.unwrap();
    person(&mine, &["push", "--force", "deploy", "main"]).await.unwrap_err();
    person(&mine, &["push", "deploy", ":main"]).await.unwrap_err();
    let states: Vec<_> = host.ledger().await.into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [Rejected, Rejected, Rejected, Accepted]);
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
}

/// Ids of the git processes that work in a repository.
fn processes_in(repository: &Path) -> Vec<i32> {
    let repository = repository.canonicalize().unwrap();
    let ids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_link(entry.path().join("cwd")).ok()? == repository).then_some(id)
    });
    ids.collect()
}

fn left_over(repository: &Path) -> usize {
    let objects = std::fs::read_dir(repository.join("objects")).unwrap();
    objects.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_objdir")).count()
}

#[tokio::test]
async fn killed_git_processes_leave_a_whole_repository_and_a_settled_row() {
    let started = tempfile::NamedTempFile::new().unwrap();
    let script = format!("echo ready > '{}'; sleep 60", started.path().display());
    let host = host(hook(&script)).await;
    let mine = host.work_tree("mine").await;
    let pushing = tokio::spawn({
        let mine = mine.clone();
        async move { person(&mine, &["push", "deploy", "main"]).await }
    });
    let repository = host.repositories.deploy(&shop()).folder().to_owned();
    eventually("the hook", async || (started.path().metadata().unwrap().len() > 0).then_some(())).await;
    assert_eq!(left_over(&repository), 1, "the push is in quarantine");
    for id in processes_in(&repository) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
    }
    pushing.await.unwrap().unwrap_err();
    eventually("settling", async || (host.only_row().await.0 == Rejected).then_some(())).await;
    let git = host.repositories.deploy(&shop());
    assert_eq!(git.rev_parse("refs/heads/main").await.unwrap(), None);
    git.fsck().await.unwrap();
    std::fs::write(repository.join("refs/heads/main.lock"), "").unwrap();
    host.hosting.recover().await.unwrap();
    assert_eq!(left_over(&repository), 0);
    assert!(!repository.join("refs/heads/main.lock").exists());
}

#[test]
fn a_server_that_dies_in_mid_push_settles_it_when_it_is_back() {
    let started = tempfile::NamedTempFile::new().unwrap();
    let script = format!("echo ready > '{}'; sleep 60", started.path().display());
    let life = tokio::runtime::Runtime::new().unwrap();
    let (folder, pushing) = life.block_on(async {
        let host = host(hook(&script)).await;
        let mine = host.work_tree("mine").await;
        let mut pushing = std::process::Command::new("git");
        pushing
            .args(["push", "--quiet", "deploy", "main"])
            .current_dir(&mine)
            .env("GIT_TERMINAL_PROMPT", "0");
        let pushing = pushing.spawn().unwrap();
        eventually("the hook", async || (started.path().metadata().unwrap().len() > 0).then_some(())).await;
        assert_eq!(host.only_row().await.0, TriggerState::Received);
        (host.folder, pushing)
    });
    life.shutdown_background();
    assert!(!{ pushing }.wait().unwrap().success());

    let next_life = tokio::runtime::Runtime::new().unwrap();
    next_life.block_on(async {
        let store = open_store(folder.path()).await;
        // One more whose push was taken, but not settled before the end.
        let git = SourceRepositories::new(folder.path().join("git"), Arc::new(Unobserved))
            .create(&shop(), &"main".parse().unwrap())
            .await
            .unwrap();
        let taken = commit(&git, &[("100644", "a", "taken")]).await;
        let row = NewTrigger {
            project: shop(),
            kind: TriggerKind::Push,
            reference: "refs/heads/main".into(),
            old: None,
            new: Some(taken.clone()),
            by: "owner".into(),
        };
        store.receive_triggers(&[row]).await.unwrap();
        let update = ReferenceUpdate { name: "refs/heads/main".into(), old: None, new: Some(taken) };
        git.update_ref("git.test", update).await.unwrap();

        let host = serve(folder, store, HostingSettings::default()).await;
        let states: Vec<_> = host.ledger().await.into_iter().map(|(_, state, _)| state).collect();
        assert_eq!(states, [Accepted, Rejected]);
        host.repositories.deploy(&shop()).fsck().await.unwrap();
        assert_eq!(left_over(host.repositories.deploy(&shop()).folder()), 0);
        person(
            &host.folder.path().join("mine"),
            &["push", "--quiet", &host.url("owner", "shop.deploy.git"), "main"],
        )
        .await
        .unwrap();
        assert_eq!(host.ledger().await[0].1, Accepted);
    });
}

#[tokio::test]
async fn a_deleted_project_is_gone_and_cannot_be_pushed_to() {
    let host = host(HostingSettings::default()).await;
    let mine = host.work_tree("mine").await;
    person(&mine, &["push", "--quiet", "origin", "main"]).await.unwrap();
    host.store.delete_project(&shop()).await.unwrap();
    person(&mine, &["push", "origin", "main:again"]).await.unwrap_err();
    host.repositories.delete(&shop()).await.unwrap();
    host.repositories.delete(&shop()).await.unwrap();
    assert!(!host.repositories.source(&shop()).exists().await);
    assert_eq!(host.repositories.head(&shop(), &"main".parse().unwrap()).await.unwrap(), None);
}
