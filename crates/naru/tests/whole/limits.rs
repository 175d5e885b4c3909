//! Bounds of requests: they come with a push, change with a push or by hand, and no container starts for them.

use super::instance::Instance;
use super::process::{PATIENCE, until_within};
use super::project::{Project, version};

const CONTAINERS: &str = "dev.naru.service=web";

/// The same service with other bounds.
fn bounded(service: &str, limits: &str) -> String {
    service.replace("port: 8080", &format!("port: 8080, limits: {limits}"))
}

/// The same service by the digest of its image: what is built names its commit, and is another image with each push.
fn of_image(shop: &Project<'_>) -> String {
    let releases = shop.list("releases").unwrap();
    let image = releases[0]["images"]["web"].as_str().unwrap();
    version("one").replace("build: {}", &format!("image: {image:?}"))
}

/// Waits until a visitor's request is answered like this.
fn until_answered(shop: &Project<'_>, status: u16, words: &str) {
    let describe = || format!("{:?}\n{:#}", shop.ask("/variable/VERSION"), shop.crossing());
    until_within(PATIENCE, &format!("a request is answered {status}"), describe, || {
        matches!(shop.ask("/variable/VERSION"), Ok((found, body)) if found == status && body.contains(words))
            .then_some(())
    });
}

#[test]
fn bounds_come_and_go_without_a_new_container() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&bounded(&version("one"), "{ rate: { requests: 3, per: 1d } }"));
    let before = instance.containers(CONTAINERS);
    assert_eq!(before.len(), 1);
    // Three requests a day, however many were needed to see the first.
    until_answered(&shop, 429, "edge.too-often");

    let service = of_image(&shop);
    let revision = shop.deliver(&bounded(&service, "{ body: 1Mi }"));
    until_answered(&shop, 200, "one");
    assert_eq!(instance.containers(CONTAINERS), before, "{revision:#}");

    // By hand: the manifest is honoured, and the next push keeps what it does not change itself.
    let repository = shop.deploy_repository();
    let file = "production/route-shop.localhost.yaml";
    repository.edit(file, r#"{\"body\":\"1Mi\"}"#, r#"{\"rate\":{\"requests\":1,\"per\":\"1d\"}}"#);
    repository.commit("One a day is enough");
    repository.push();
    until_answered(&shop, 429, "edge.too-often");
    shop.until_condition("live");
    shop.deliver(&bounded(&service, "{ body: 1Mi }"));
    until_answered(&shop, 429, "edge.too-often");
    assert_eq!(instance.containers(CONTAINERS), before);

    // What cannot be kept is refused by name, and nothing changes.
    repository.git(&["pull", "--quiet", "--rebase", "origin", "main"]);
    repository.edit(file, r#"\"per\":\"1d\""#, r#"\"per\":\"1 day\""#);
    repository.commit("A mistake");
    let refused = super::process::said(&repository.try_push(&[]));
    assert!(refused.contains("manifest.refused") && refused.contains("naru.dev/limits"), "{refused}");
    until_answered(&shop, 429, "edge.too-often");
}
