//! The real process is ended at a named effect of a delivery, as by a power cut, and started again on its data. Every
//! time the push ends live, once, and nobody who asks meanwhile is refused.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use super::instance::{EFFECT, Instance};
use super::load::Load;
use super::process::{PATIENCE, until, until_within};
use super::project::{Project, version};

/// A version with a step before its build. The step's image is on the machine already.
fn tested(number: usize) -> String {
    format!(
        "pipeline: {{ test: {{ image: \"{STEP_IMAGE}\", run: [/guest, print, \"{LINES}\"] }} }}\n{}",
        version(&number.to_string())
    )
}

const STEP_IMAGE: &str = "docker.io/library/guest:1";
/// What the step prints.
const LINES: usize = 20;

/// An effect and how to stop there.
#[derive(Debug)]
struct Point {
    name: String,
    moment: &'static str,
}

impl Point {
    fn option(&self) -> String {
        format!("{}:{}:1", self.name, self.moment)
    }
}

/// The effects that one push has, from a start of `naru serve` on: read from its log, not written down here.
fn effects(log: &str) -> Vec<String> {
    let mut names = BTreeMap::new();
    let told = log.lines().filter(|line| line.contains(EFFECT) && line.contains("Before"));
    for (place, line) in told.enumerate() {
        let name = line.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        names.entry(name.expect("an effect has a name").to_owned()).or_insert(place);
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|(_, place)| *place);
    names.into_iter().map(|(name, _)| name).collect()
}

/// The parts of the road that must be among the effects; what else there is comes from the log.
const ROAD: [&str; 12] = [
    "store.trigger.receive",
    "git.receive-pack",
    "store.trigger.settle",
    "store.run.begin",
    "engine.ensure-job",
    "store.image.put-manifest",
    "store.run.release",
    "git.deploy.commit",
    "engine.start",
    "traffic.publish",
    "store.rollout.switched",
    "engine.stop",
];

struct Drill<'a> {
    instance: &'a Instance,
    shop: Project<'a>,
    pushed: usize,
}

impl Drill<'_> {
    /// A push without a crash.
    fn deliver(&mut self) {
        let commit = self.next_commit();
        self.shop.source.push();
        self.finish(&commit, "without a crash");
    }

    /// Commits the next version.
    fn next_commit(&mut self) -> String {
        self.pushed += 1;
        self.shop.source.write("naru.yaml", &tested(self.pushed));
        self.shop.source.commit("Another version")
    }

    fn restart(&self, arguments: &[&str]) {
        self.instance.kill();
        self.instance.serve(arguments);
    }

    /// Waits until the newest version serves, and nothing else of the project runs.
    fn finish(&self, commit: &str, what: &str) {
        let revision = self.shop.rolled_out(commit);
        assert_eq!(revision["rollout"], "live", "{what}: {revision:#}");
        self.shop.until_serves("/variable/VERSION", &self.pushed.to_string());
        let only = format!(".shop.production.web.{}-0-", revision["number"]);
        let left = || format!("{what}: {:?}", self.left());
        until_within(PATIENCE, "only the new replica is left", left, || {
            matches!(&self.left()[..], [replica] if replica.contains(&only)).then_some(())
        });
    }

    /// Every container there is, ended ones and those of jobs included.
    fn left(&self) -> Vec<String> {
        let names = self.instance.podman(&["ps", "--all", "--format", "{{.Names}}"]);
        names.lines().map(str::to_owned).collect()
    }

    /// The commit has one run, which one trigger led to, and its step was done once.
    fn once(&self, commit: &str, what: &str) {
        let of_commit = |row: &Value| row["commit"] == commit;
        let runs: Vec<Value> = self.shop.list("runs").unwrap().into_iter().filter(of_commit).collect();
        assert_eq!(runs.len(), 1, "{what}: {runs:#?}");
        let triggers: Vec<Value> =
            self.shop.list("triggers").unwrap().into_iter().filter(of_commit).collect();
        let led = triggers.iter().filter(|trigger| trigger["state"] == "run").count();
        let broke_off = triggers.iter().filter(|trigger| trigger["state"] == "rejected").count();
        assert_eq!((led, led + broke_off), (1, triggers.len()), "{what}: {triggers:#?}");
        let number = &runs[0]["number"];
        // A repeated step would have printed twice, and its log would say where the repetition begins.
        let log = self.shop.list(&format!("runs/{number}/steps/test/logs")).unwrap();
        let lines: Vec<_> = log.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
        let printed: Vec<_> = (0..LINES).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, printed, "{what}");
    }

    fn crash_at(&mut self, point: &Point) {
        let what = format!("{point:?}");
        self.restart(&["--abort-at", &point.option()]);
        // Some effects come already at the start.
        until("naru is ready or has ended", String::new, || {
            (self.instance.api().is_ready() || self.instance.has_ended()).then_some(())
        });
        let visitors = Load::on(self.instance, &self.shop, "/variable/VERSION");
        let commit = self.next_commit();
        let _ = self.shop.source.try_push(&[]);
        let status = self.instance.wait_for_end();
        assert_eq!(status.signal(), Some(6), "{what}: naru ended with {status}");
        self.instance.serve_again();
        self.shop.source.push();
        self.finish(&commit, &what);
        self.once(&commit, &what);
        let versions = visitors.end_unharmed();
        let (before, after) = ((self.pushed - 1).to_string(), self.pushed.to_string());
        assert!(versions.iter().all(|seen| *seen == before || *seen == after), "{what}: {versions:?}");
    }
}

/// Crashes at every second effect of one push, from `first` on: before one, after the next.
fn crash_at_every_second_effect(first: usize) {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let folder = shop.source.folder.to_string_lossy().into_owned();
    instance.podman(&["build", "--quiet", "--tag", STEP_IMAGE, &folder]);
    let mut drill = Drill { instance: &instance, shop, pushed: 0 };
    drill.deliver();
    drill.restart(&[]);
    instance.wait_until_ready();
    let begun = instance.log().len();
    drill.deliver();
    let names = effects(&instance.log()[begun..]);
    for part in ROAD {
        assert!(names.iter().any(|name| name == part), "{part} is not among {names:?}");
    }
    for (place, name) in names.into_iter().skip(first).step_by(2).enumerate() {
        let point = Point { name, moment: if place % 2 == 0 { "before" } else { "after" } };
        drill.crash_at(&point);
        println!("survived: {point:?}");
    }
}

/// Two instances side by side; one after the other the crashes would take minutes.
#[test]
fn a_power_cut_at_any_named_effect_loses_nothing_1() {
    crash_at_every_second_effect(0);
}

#[test]
fn a_power_cut_at_any_named_effect_loses_nothing_2() {
    crash_at_every_second_effect(1);
}
