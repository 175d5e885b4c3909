//! Maintenance under visitors: they get the page and nothing worse, while a delivery, a restart and a dead edge go by.

use nix::sys::signal::{Signal, kill};

use super::drill::edge;
use super::instance::Instance;
use super::load::Load;
use super::process::{self, said, until};
use super::project::{Project, version};

const CONTAINERS: &str = "dev.naru.service=web";

fn naru(instance: &Instance, words: &[&str]) -> String {
    process::text(instance.command().args(words).args(["--project", "shop"]))
}

fn is_closed(shop: &Project<'_>) -> bool {
    matches!(shop.ask("/variable/VERSION"), Ok((503, page)) if page.contains("edge.maintenance"))
}

fn until_closed(shop: &Project<'_>) {
    until(
        "visitors get the page",
        || format!("{:?}", shop.ask("/variable/VERSION")),
        || is_closed(shop).then_some(()),
    );
}

#[test]
fn visitors_get_the_page_until_it_is_over_and_replicas_never_notice() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let before = instance.containers(CONTAINERS);
    let load = Load::on(&instance, &shop, "/variable/VERSION");
    shop.until_serves("/variable/VERSION", "one");

    let words = ["maintenance", "on", "--until", "2h", "--message", "We are <moving> the database."];
    let told = naru(&instance, &words);
    assert!(told.contains("▲ on") && told.contains("by minji"), "{told}");
    until_closed(&shop);
    let (_, page) = shop.ask("/").unwrap();
    assert!(
        page.contains("We are <moving> the database."),
        "plain text to who asks for nothing else: {page}"
    );
    let status = naru(&instance, &["status"]);
    assert!(status.contains("visitors get a page instead of the service"), "{status}");
    assert_eq!(shop.environment()["maintenance"]["on"], true);
    assert_eq!(instance.containers(CONTAINERS), before, "replicas keep running");

    // A restart, an edge that dies, and a delivery underneath.
    instance.kill();
    assert!(is_closed(&shop));
    instance.serve_again();
    let first = edge(&instance).expect("the edge runs");
    kill(first, Signal::SIGKILL).unwrap();
    until("another edge runs", String::new, || edge(&instance).filter(|edge| *edge != first));
    assert!(is_closed(&shop));
    shop.deliver(&version("two"));
    shop.until_condition("live");
    assert!(is_closed(&shop));

    let ended = said(&process::output(instance.command().args(["maintenance", "off", "--project", "shop"])));
    assert!(ended.contains("get the service again"), "{ended}");
    shop.until_serves("/variable/VERSION", "two");
    assert!(naru(&instance, &["maintenance", "status"]).contains("off"));
    assert!(!naru(&instance, &["status"]).contains("maintenance"));
    let seen = load.end();
    assert!(seen.answers.iter().any(|answer| answer == "two"));
    // The page, or a connection that died with the edge.
    let worse = seen.failures.iter().find(|failure| {
        failure.starts_with("Ok") && !(failure.starts_with("Ok((503") && failure.contains("edge.maintenance"))
    });
    assert_eq!(worse, None);
}
