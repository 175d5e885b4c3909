//! Disks that are full: of the registry, of the logs, and of everything. What serves goes on, what fails says why, and
//! with room again the next push is delivered and nothing is damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_model::{Clock, Timestamp};
use serde_json::Value;

use super::guest;
use super::instance::Instance;
use super::load::Load;
use super::process::{self, PATIENCE, until, until_within};
use super::project::{Project, version};

const STEP_IMAGE: &str = "docker.io/library/guest:1";
/// Room for all that a test does, in bytes.
const PLENTY: u64 = 8 << 30;
/// Lines of a step whose log has no room.
const LINES: usize = 20_000;

/// A disk of its own in memory, whose size can be changed while it is used.
struct Disk {
    at: PathBuf,
}

impl Disk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={PLENTY},mode=700");
        let mut mount = process::program("mount", Path::new("/"));
        process::text(mount.args(["-t", "tmpfs", "-o", &options, "naru-test"]).arg(&at));
        Self { at }
    }

    /// Leaves this many bytes free. A disk cannot be made smaller than what is on it, so one that is written to between
    /// the look and the change is looked at again.
    fn fill(&self, leaving: u64) {
        until("the disk is full", String::new, || {
            let about = nix::sys::statvfs::statvfs(&self.at).unwrap();
            let used = (about.blocks() - about.blocks_free()) * about.fragment_size();
            self.resize(used + leaving).status.success().then_some(())
        });
    }

    fn clear(&self) {
        let resized = self.resize(PLENTY);
        assert!(resized.status.success(), "{}", process::said(&resized));
    }

    fn resize(&self, bytes: u64) -> Output {
        let option = format!("remount,size={bytes}");
        process::output(process::program("mount", Path::new("/")).args(["-o", &option]).arg(&self.at))
    }
}

struct Drill<'a> {
    instance: &'a Instance,
    shop: Project<'a>,
}

impl Drill<'_> {
    /// A file of this many bytes that no compression makes smaller.
    fn add_ballast(&self, bytes: usize) {
        let mut state = bytes as u64 | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let content: Vec<u8> = std::iter::repeat_with(&mut next).take(bytes / 8).flatten().collect();
        fs::write(self.shop.source.folder.join("ballast"), content).unwrap();
    }

    fn dockerfile(&self, more: &str) {
        let text = guest::DOCKERFILE.replace("ENTRYPOINT", &format!("{more}\nENTRYPOINT"));
        self.shop.source.write("Dockerfile", &text);
    }

    fn run(&self, commit: &str) -> Option<Value> {
        self.shop.list("runs")?.into_iter().find(|run| run["commit"] == commit)
    }

    /// The problem of a commit's run, which must fail.
    fn failure(&self, commit: &str) -> Value {
        let run = until_within(
            PATIENCE * 2,
            "the run ends",
            || format!("{:?}", self.run(commit)),
            || self.run(commit).filter(|run| run["state"] == "failed" || run["state"] == "done"),
        );
        assert_eq!(run["state"], "failed", "{run:#}");
        run["problem"].clone()
    }

    /// With room again, the next push is delivered.
    fn goes_on(&self, next: &str) {
        self.dockerfile("");
        self.shop.deliver(&version(next));
        self.shop.until_serves("/variable/VERSION", next);
    }

    fn registry_is_full(&self, blobs: &Disk) {
        blobs.fill(64 << 10);
        self.add_ballast(4 << 20);
        self.dockerfile("COPY ballast /ballast");
        let problem = self.failure(&self.shop.push(&version("unpushed")));
        assert_eq!(problem["code"], "pipeline.disk-full", "{problem:#}");
        assert!(problem.to_string().contains("507 Insufficient Storage"), "{problem:#}");
        blobs.clear();
        self.goes_on("two");
    }

    fn logs_are_full(&self, logs: &Disk) {
        logs.fill(64 << 10);
        let step = format!("[/guest, print, \"{LINES}\"]");
        let step = format!("pipeline: {{ test: {{ image: \"{STEP_IMAGE}\", run: {step} }} }}\n");
        let commit = self.shop.push(&(step + &version("three")));
        until("the log finds no room", String::new, || {
            self.instance.log().contains("no room on the disk for the log").then_some(())
        });
        logs.clear();
        assert_eq!(self.shop.rolled_out(&commit)["rollout"], "live");
        self.shop.until_serves("/variable/VERSION", "three");
        let number = self.run(&commit).unwrap()["number"].clone();
        let mut command = self.instance.command();
        command.args(["run", "logs", &number.to_string(), "--project", "shop", "--step", "test"]);
        let log = process::text(&mut command);
        let last = format!("line {}", LINES - 1);
        assert_eq!(log.matches("line ").count(), LINES);
        assert!(log.contains(&last), "the log ends before {last}");
    }

    fn build_finds_no_room(&self, data: &Disk) {
        self.add_ballast(48 << 20);
        self.dockerfile("RUN [\"/guest\", \"pause\", \"6000\"]\nCOPY ballast /ballast");
        let commit = self.shop.push(&version("unbuilt"));
        until("the build runs", || format!("{:?}", self.run(&commit)), || self.is_building().then_some(()));
        data.fill(8 << 20);
        let problem = self.failure(&commit);
        assert_eq!(problem["code"], "pipeline.disk-full", "{problem:#}");
        assert!(problem.to_string().contains("no space left on device"), "{problem:#}");
        data.clear();
        self.goes_on("four");
    }

    fn is_building(&self) -> bool {
        self.instance.processes().iter().any(|(_, line)| line.contains("podman") && line.contains(" build "))
    }

    fn nothing_can_be_stored(&self, data: &Disk) {
        self.shop.source.write("naru.yaml", &version("five"));
        self.shop.source.commit("Another version");
        data.fill(0);
        let refused = self.shop.source.try_push(&[]);
        assert!(!refused.status.success(), "a push that cannot be recorded must not be taken");
        let said = process::said(&refused);
        assert!(said.contains("source.unavailable") && said.contains("database or disk is full"), "{said}");
        assert_eq!(self.shop.ask("/variable/VERSION"), Ok((200, "four".to_owned())));
        data.clear();
        self.shop.source.push();
        self.shop.until_serves("/variable/VERSION", "five");
    }
}

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Database and repositories are whole.
fn nothing_is_damaged(data: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let file = data.join("naru.db");
        let store = naru_store::Store::open(&file, Arc::new(Wall), Arc::new(Unobserved)).await.unwrap();
        store.check().await.unwrap();
    });
    for repository in ["git/source/shop.git", "git/deploy/shop.git"] {
        let mut git = process::program("git", &data.join(repository));
        process::text(git.args(["--git-dir=.", "fsck", "--full", "--strict", "--no-dangling"]));
    }
}

#[test]
fn a_full_disk_stops_what_is_new_and_damages_nothing() {
    let mut disks = Vec::new();
    let instance = Instance::start_on(|data| {
        disks = ["", "blobs", "logs"].map(|folder| Disk::mount(data.join(folder))).into();
    });
    let shop = Project::create(&instance, "shop");
    let folder = shop.source.folder.to_string_lossy().into_owned();
    instance.podman(&["build", "--quiet", "--tag", STEP_IMAGE, &folder]);
    shop.deliver(&version("one"));
    shop.until_serves("/variable/VERSION", "one");
    let visitors = Load::on(&instance, &shop, "/variable/VERSION");
    let drill = Drill { instance: &instance, shop };
    let [data, blobs, logs] = &disks[..] else { unreachable!("three disks were mounted") };

    drill.registry_is_full(blobs);
    drill.logs_are_full(logs);
    drill.build_finds_no_room(data);
    drill.nothing_can_be_stored(data);
    visitors.end_unharmed();
    instance.kill();
    nothing_is_damaged(&instance.data());
    instance.serve_again();
    drill.goes_on("six");
}
