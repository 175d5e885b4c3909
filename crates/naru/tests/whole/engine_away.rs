//! A drill: the engine's service dies and its socket is gone for a minute, while 500 requests a second go on. What serves
//! goes on, Naru says what is missing, and what was asked for meanwhile happens when the engine is there again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::crowd::Crowd;
use super::instance::Instance;
use super::process::{PATIENCE, until, until_within};
use super::project::{Project, version};

/// Something stands where the service wants its socket.
struct Blocked {
    socket: PathBuf,
}

impl Blocked {
    /// Ends the service, which cannot listen again until this is dropped.
    fn service_of(instance: &Instance) -> Self {
        let (process, line) = service(instance).expect("podman's service runs");
        let socket = PathBuf::from(line.split("unix://").nth(1).expect("it says where it listens").trim());
        fs::remove_file(&socket).unwrap();
        fs::create_dir(&socket).unwrap();
        fs::write(socket.join("in the way"), "").unwrap();
        kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
        Self { socket }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.socket);
    }
}

fn service(instance: &Instance) -> Option<(u32, String)> {
    instance.processes().into_iter().find(|(_, line)| line.contains(" system service "))
}

/// What `naru doctor` would say of the engine.
fn engine_check(instance: &Instance) -> serde_json::Value {
    let doctor = instance.api().get("doctor");
    let checks = doctor["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == "running engine").expect("the engine is checked").clone()
}

/// How long the engine is away.
const AWAY: Duration = Duration::from_mins(1);

#[test]
fn a_minute_without_the_engine_costs_no_request_and_what_is_asked_meanwhile_happens_after_it() {
    let instance = Instance::start();
    let (shop, forum) = (Project::create(&instance, "shop"), Project::create(&instance, "forum"));
    for release in ["one", "two"] {
        shop.deliver(&version(release));
    }
    shop.until_condition("live");
    let crowd = Crowd::at(&instance, &shop);

    let blocked = Blocked::service_of(&instance);
    let gone = Instant::now();
    until(
        "the engine is missed",
        || engine_check(&instance).to_string(),
        || (engine_check(&instance)["state"] == "failed").then_some(()),
    );
    assert!(!instance.api().is_ready(), "without an engine nothing can be delivered");
    let deploy = shop.post("environments/production/deploy", &json!({ "release": 1 }))["id"].clone();
    let commit = forum.push(&version("one"));
    until("the push has a run", String::new, || forum.run_of(&commit).map(drop));
    shop.until_condition("retrying");
    let tries = tries(&instance);
    while gone.elapsed() < AWAY {
        shop.waits_for_the_engine();
        let run = forum.run_of(&commit).expect("it has one");
        assert!(
            matches!(run["state"].as_str(), Some("waiting" | "moving")),
            "it must wait, not fail: {run:#}"
        );
        assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "two".to_owned())));
        std::thread::sleep(Duration::from_secs(2));
    }

    // Two environments, each at most four times a minute once that was in vain for a while.
    let more = self::tries(&instance) - tries;
    assert!(more < 100, "it was tried {more} times in a minute");

    drop(blocked);
    until_within(PATIENCE, "podman's service is back", || instance.log(), || service(&instance).map(drop));
    assert_eq!(shop.carried_out(&deploy)["rollout"], "live");
    shop.until_serves("/variable/VERSION", "one");
    assert_eq!(forum.rolled_out(&commit)["rollout"], "live");
    shop.deliver(&version("three"));
    shop.until_serves("/variable/VERSION", "three");
    assert_eq!(engine_check(&instance)["state"], "good");
    assert!(instance.api().is_ready());
    let seen = crowd.end();
    assert!(seen.requests > 500 * AWAY.as_secs(), "the visitors came too slowly: {}", seen.requests);
    assert_eq!(seen.failed, 0, "of {}: {:?}", seen.requests, seen.failures);
}

/// How often a pass over an environment has written something new.
fn tries(instance: &Instance) -> usize {
    let log = instance.log();
    log.lines().filter(|line| line.contains(r#""store.environment.status" moment=After"#)).count()
}

impl Project<'_> {
    /// The run of a commit, if there is one.
    fn run_of(&self, commit: &str) -> Option<serde_json::Value> {
        self.list("runs")?.into_iter().find(|run| run["commit"] == commit)
    }

    /// The environment says that it tries again, and that the engine is why.
    fn waits_for_the_engine(&self) {
        let environment = self.environment();
        assert_eq!(environment["condition"], "retrying", "{environment:#}");
        let detail = environment["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("container engine"), "it must say why: {environment:#}");
    }
}
