//! The engine's service dies and cannot come back for a while: what serves goes on, Naru says what is missing, and what
//! was pushed meanwhile is delivered when the engine is there again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::instance::Instance;
use super::load::Load;
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

#[test]
fn what_serves_goes_on_without_the_engine_and_a_push_waits_for_it() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.until_serves("/variable/VERSION", "one");
    let visitors = Load::on(&instance, &shop, "/variable/VERSION");

    let blocked = Blocked::service_of(&instance);
    until(
        "the engine is missed",
        || engine_check(&instance).to_string(),
        || (engine_check(&instance)["state"] == "failed").then_some(()),
    );
    assert!(!instance.api().is_ready(), "without an engine nothing can be delivered");
    let environment = shop.until_condition("retrying");
    assert!(environment["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{environment:#}");
    let commit = shop.push(&version("two"));
    until("the push has a run", String::new, || {
        shop.list("runs")?.iter().any(|run| run["commit"] == commit.as_str()).then_some(())
    });
    std::thread::sleep(Duration::from_secs(5)); // long enough for every loop to fail at it
    let runs = shop.list("runs").unwrap();
    let run = runs.iter().find(|run| run["commit"] == commit.as_str()).unwrap();
    assert!(matches!(run["state"].as_str(), Some("waiting" | "moving")), "it must wait, not fail: {run:#}");
    assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())));

    drop(blocked);
    until_within(PATIENCE, "podman's service is back", || instance.log(), || service(&instance).map(drop));
    assert_eq!(shop.rolled_out(&commit)["rollout"], "live");
    shop.until_serves("/variable/VERSION", "two");
    shop.deliver(&version("three"));
    shop.until_serves("/variable/VERSION", "three");
    assert_eq!(engine_check(&instance)["state"], "good");
    assert!(instance.api().is_ready());
    visitors.end_unharmed();
}
