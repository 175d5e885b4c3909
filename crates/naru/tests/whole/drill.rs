//! Drills: parts of Naru are killed, restarted and replaced while 500 requests a second go on, and none may fail.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::crowd::Crowd;
use super::instance::Instance;
use super::process::{PATIENCE, until, until_within};
use super::project::{Project, version};

/// The effects of a rollout, in order: `naru serve` is killed before each. `crash` has the other side, too.
const ROLLOUT: [&str; 7] = [
    "git.deploy.commit",
    "store.environment.aim",
    "engine.start",
    "traffic.publish",
    "store.rollout.switched",
    "engine.stop",
    "engine.remove",
];

/// The edge's process.
pub(crate) fn edge(instance: &Instance) -> Option<Pid> {
    let found = instance.processes().into_iter().find(|(_, line)| line.contains(" edge "));
    found.map(|(id, _)| Pid::from_raw(i32::try_from(id).unwrap()))
}

#[test]
fn serve_killed_at_each_phase_of_a_rollout_costs_no_request() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("0"));
    let crowd = Crowd::at(&instance, &shop);
    for (number, name) in (1..).zip(ROLLOUT) {
        instance.kill();
        instance.serve(&["--abort-at", &format!("{name}:before:1")]);
        until("naru is ready or has ended", String::new, || {
            (instance.api().is_ready() || instance.has_ended()).then_some(())
        });
        shop.source.write("naru.yaml", &version(&number.to_string()));
        shop.source.commit("Another version");
        let _ = shop.source.try_push(&[]);
        let status = instance.wait_for_end();
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{name}: {status}");
        instance.serve_again();
        // A push that was broken off is a person's to repeat.
        let _ = shop.source.try_push(&[]);
        shop.until_serves("/variable/VERSION", &number.to_string());
        shop.until_condition("live");
    }
    crowd.end_unharmed();
}

#[test]
fn the_edge_killed_under_load_serves_again_within_a_second() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let crowd = Crowd::at(&instance, &shop);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let before = edge(&instance).expect("the edge runs");
        kill(before, Signal::SIGKILL).unwrap();
        let killed = Instant::now();
        // A new connection queues until the next edge accepts it.
        assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())));
        waits.push(killed.elapsed());
        until("another edge runs", String::new, || edge(&instance).filter(|edge| *edge != before));
        std::thread::sleep(Duration::from_secs(1));
    }
    // The machine may be busy with something else once, not each time.
    assert!(waits.iter().min() < Some(&Duration::from_secs(1)), "it took {waits:?}");
    // What had been accepted may break; nobody may find the door shut.
    let seen = crowd.end();
    assert_eq!(seen.failed_to_connect(), 0, "{:?}", seen.failures);
    assert!(
        seen.failed < seen.requests / 2,
        "{} of {} failed: {:?}",
        seen.failed,
        seen.requests,
        seen.failures
    );
}

#[test]
fn an_edge_that_hangs_when_serve_starts_is_replaced() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let hung = edge(&instance).expect("the edge runs");
    instance.signal(Signal::SIGTERM);
    kill(hung, Signal::SIGSTOP).unwrap();
    instance.serve_again();
    shop.until_serves("/variable/VERSION", "one");
    let next = edge(&instance).expect("an edge runs");
    assert_ne!(next, hung, "the one that hung is gone");
    shop.deliver(&version("two"));
    shop.until_serves("/variable/VERSION", "two");
}

#[test]
fn restarts_and_an_upgrade_of_serve_and_edge_cost_no_request() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let crowd = Crowd::at(&instance, &shop);
    let first = edge(&instance).expect("the edge runs");
    instance.signal(Signal::SIGTERM);
    instance.serve_again();
    assert_eq!(edge(&instance), Some(first), "the edge goes on over a restart");

    // Naru is replaced on disk, as an upgrade does it; the next serve brings its own edge.
    let program = instance.beside("naru-next");
    fs::copy(super::instance::NARU, &program).unwrap();
    instance.signal(Signal::SIGTERM);
    instance.serve_with(&program, &[]);
    instance.wait_until_ready();
    let upgraded = || edge(&instance).filter(|edge| *edge != first);
    until("the next edge serves", String::new, upgraded);
    shop.deliver(&version("two"));
    crowd.end_unharmed();
}

#[test]
fn a_revision_that_crashes_five_seconds_after_the_switch_gives_the_traffic_back() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let brief = version("two").replace("/guest serve", "/guest serve-briefly 8000");
    shop.push(&brief);
    shop.until_serves("/variable/VERSION", "two");
    let switched = Instant::now();
    until_within(
        PATIENCE,
        "the revision before serves again",
        || format!("{:#}", shop.crossing()),
        || matches!(shop.ask("/variable/VERSION"), Ok((200, version)) if version == "one").then_some(()),
    );
    let took = switched.elapsed();
    assert!(took < Duration::from_secs(40), "8 s of life, and it took {took:?}");
    shop.until_condition("live");
    let revisions = shop.list("environments/production/revisions").unwrap();
    let bad = revisions.iter().find(|revision| revision["number"] == 2).unwrap();
    assert_eq!(bad["rollout"], "failed", "{bad:#}");
    assert!(bad["quarantine"].is_string(), "{bad:#}");
}

#[test]
fn two_hundred_pushes_in_ten_seconds_are_all_received_and_the_last_one_is_live() {
    const PUSHES: usize = 200;
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("start"));
    let began = Instant::now();
    let mut commits = Vec::new();
    for number in 1..=PUSHES {
        let due = Duration::from_millis(10_000 / PUSHES as u64 * number as u64);
        commits.push(shop.push(&version(&number.to_string())));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    shop.until_serves("/variable/VERSION", &PUSHES.to_string());
    let triggers = shop.list("triggers").unwrap();
    let received = commits.iter().filter(|commit| triggers.iter().any(|row| row["commit"] == ***commit));
    assert_eq!(received.count(), PUSHES.min(triggers.len()), "every push has its row");
    let newest = &triggers[0];
    assert_eq!(newest["commit"], *commits.last().unwrap(), "{newest:#}");
}
