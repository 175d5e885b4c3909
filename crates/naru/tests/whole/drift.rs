//! What was changed by hand on the server is set right.

use std::time::{Duration, Instant};

use super::instance::Instance;
use super::load::Load;
use super::process::until_within;
use super::project::Project;

/// Naru's promise.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_replica_removed_by_hand_is_back_within_ten_seconds() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver("service: { build: {}, port: 8080, health: /healthz, run: /guest serve, replicas: 2 }\n");
    shop.until_condition("live");
    let before = instance.containers("dev.naru.service=web");
    assert_eq!(before.len(), 2, "{before:?}");

    let load = Load::on(&instance, &shop, "/healthz");
    instance.podman(&["rm", "--force", "--time", "0", &before[0]]);
    let began = Instant::now();
    until_within(
        HEALED_WITHIN,
        "two replicas run",
        || format!("{:?}", instance.containers("dev.naru.service=web")),
        || (instance.containers("dev.naru.service=web").len() == 2).then_some(()),
    );
    println!("healed after {:.1} s", began.elapsed().as_secs_f64());
    shop.until_condition("live");
    // The other replica answers for the lost one, whose last requests may have been cut off in the middle.
    let seen = load.end();
    assert!(seen.failures.len() <= 3, "{:?}", seen.failures);

    // All of them at once. Nobody else may answer in their place: with its last container the network is gone, and its
    // addresses would lead to strangers.
    instance.podman(&["rm", "--all", "--force", "--time", "0"]);
    let began = Instant::now();
    until_within(
        HEALED_WITHIN,
        "the service answers again",
        || format!("{:?}", shop.ask("/healthz")),
        || match shop.ask("/healthz").expect("the edge answers") {
            (200, body) => {
                assert_eq!(body, "well");
                Some(())
            }
            (status, body) => {
                assert!(status >= 500, "somebody else answered with {status}: {body}");
                None
            }
        },
    );
    println!("all healed after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(shop.until_condition("live")["serving"], 1);
}
