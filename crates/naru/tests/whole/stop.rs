//! How everything ends: Ctrl-C ends `naru serve` and nothing that serves; `naru stop` ends the rest and keeps the data.

use nix::sys::signal::Signal;

use super::instance::Instance;
use super::process::{said, until};
use super::project::{Project, version};

#[test]
fn ctrl_c_ends_serve_alone_and_stop_ends_everything_else() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.until_condition("live");

    // While serve runs, its folder is its own.
    let refused = instance.stop();
    assert!(!refused.status.success() && said(&refused).contains("serve.in-use"), "{}", said(&refused));

    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let ended = instance.signal(signal);
        assert!(ended.success(), "{signal}: {ended}");
        assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())), "after {signal}");
        let left = || instance.processes();
        let service = |(_, line): &(u32, String)| line.contains("system service");
        until(
            "podman's service ends with serve",
            || format!("{:?}", left()),
            || (!left().iter().any(service)).then_some(()),
        );
        instance.serve_again();
        shop.until_condition("live");
    }

    instance.signal(Signal::SIGINT);
    let begun = std::time::Instant::now();
    let stopped = instance.stop();
    assert!(stopped.status.success(), "{}", said(&stopped));
    println!("naru stop took {:?}", begun.elapsed());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let data = instance.data().to_string_lossy().into_owned();
    assert!(!mounts.contains(&data), "something is still mounted: {mounts}");
    until(
        "nothing runs any more",
        || format!("{:?}", instance.processes()),
        || instance.processes().is_empty().then_some(()),
    );
    assert_eq!(instance.podman(&["ps", "--all", "--quiet"]), "");
    assert!(shop.ask("/").is_err(), "the edge still listens");
    // A second time there is nothing to do.
    assert!(instance.stop().status.success());

    instance.serve_again();
    shop.until_serves("/variable/VERSION", "one");
}
