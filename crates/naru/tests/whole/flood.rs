//! Programs that print without end. A step or a build is ended at its limit; a service goes on, and only its newest
//! lines are kept. The disk stays bounded all the while.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::instance::Instance;
use super::process::until;
use super::project::{Project, version};

const STEP_IMAGE: &str = "docker.io/library/guest:1";
/// How much of a step's output is kept, in bytes.
const KEPT: u64 = 64 << 20;
/// How much a flood may need at its worst: the engine's own copy, what is kept, and what one look of the watchers is
/// late, in bytes.
const WORST: u64 = 800 << 20;

/// Files below a folder, in bytes as they are on the disk. What vanishes meanwhile does not count.
fn used(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        // Mounted layers of containers are the same files again.
        Ok(about) if about.is_dir() && entry.file_name() != "merged" => used(&entry.path()),
        Ok(about) if about.is_file() => about.blocks() * 512,
        _ => 0,
    };
    entries.map(size).sum()
}

/// Watches how large a folder becomes.
struct Scales {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    before: u64,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scales {
    fn under(instance: &Instance) -> Self {
        let folder = instance.data();
        let before = used(&folder);
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(before)));
        let (ends, highest) = (stop.clone(), most.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                highest.fetch_max(used(&folder), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, most, before, thread: Some(thread) }
    }

    /// How much more it was than at the beginning, at its worst, in bytes.
    fn most(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.most.load(Ordering::SeqCst).saturating_sub(self.before)
    }
}

impl Drop for Scales {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Waits until the run of a commit has ended. Returns the run.
fn ended(shop: &Project<'_>, commit: &str) -> Value {
    until(
        "the run ends",
        || format!("{:#}", shop.crossing()),
        || {
            let runs = shop.list("runs")?;
            let run = runs.into_iter().find(|run| run["commit"] == commit)?;
            matches!(run["state"].as_str()?, "done" | "failed").then_some(run)
        },
    )
}

fn is_ended_at_its_limit(instance: &Instance, shop: &Project<'_>, definition: &str) {
    let scales = Scales::under(instance);
    let began = Instant::now();
    let commit = shop.push(definition);
    let run = ended(shop, &commit);
    let (took, most) = (began.elapsed(), scales.most());
    println!("ended after {took:?}; the data folder grew by {} MiB at most", most >> 20);
    assert_eq!(run["state"], "failed", "{run:#}");
    assert_eq!(run["problem"]["code"], "pipeline.step-failed", "{run:#}");
    let told = run["problem"].to_string();
    assert!(told.contains("printed more than its log limit of 64 MiB"), "{told}");
    assert!(most < WORST, "the disk was {} MiB fuller", most >> 20);
    until(
        "the engine's copy is gone",
        || format!("{} MiB", used(&instance.data().join("engine")) >> 20),
        || {
            let jobs = instance.podman(&["ps", "--all", "--quiet", "--filter", "label=dev.naru.job"]);
            jobs.is_empty().then_some(())
        },
    );
    let kept = used(&instance.data().join("logs"));
    assert!(kept < 2 * (KEPT + (8 << 20)), "{} MiB of logs are kept", kept >> 20);
    assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())));
}

#[test]
fn a_step_and_a_build_that_print_without_end_are_ended() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let folder = shop.source.folder.to_string_lossy().into_owned();
    instance.podman(&["build", "--quiet", "--tag", STEP_IMAGE, &folder]);
    shop.deliver(&version("one"));
    shop.until_serves("/variable/VERSION", "one");

    let step = format!("pipeline: {{ test: {{ image: \"{STEP_IMAGE}\", run: [/guest, flood] }} }}\n");
    is_ended_at_its_limit(&instance, &shop, &(step + &version("two")));
    shop.source.edit("Dockerfile", "ENTRYPOINT", "RUN [\"/guest\", \"flood\"]\nENTRYPOINT");
    is_ended_at_its_limit(&instance, &shop, &version("three"));

    shop.source.edit("Dockerfile", "RUN [\"/guest\", \"flood\"]\n", "");
    shop.deliver(&version("four"));
    shop.until_serves("/variable/VERSION", "four");
}

/// How many bytes a process has written since it began.
fn written(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn a_service_that_prints_without_end_leaves_the_disk_alone() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let noisy = version("one").replace("service:", "services:\n  web:")
        + "  noise: { image: web, run: /guest flood }\n";
    let scales = Scales::under(&instance);
    shop.deliver(&noisy);
    let names = instance.containers("dev.naru.service=noise");
    let process: u32 =
        instance.podman(&["inspect", "--format", "{{.State.Pid}}", &names[0]]).parse().unwrap();
    let began = Instant::now();
    until(
        "the service has printed a gigabyte",
        || format!("{} MiB", written(process) >> 20),
        || (written(process) > 1 << 30).then_some(()),
    );
    let rate = (written(process) >> 20) / began.elapsed().as_secs().max(1);
    let most = scales.most();
    println!("{rate} MiB/s; the data folder grew by {} MiB at most", most >> 20);
    assert!(most < 200 << 20, "the disk was {} MiB fuller", most >> 20);
    assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())));
}
