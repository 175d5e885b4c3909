//! A rollback puts what it moves away from into quarantine: no loop brings it back, the next push gets past it.

use serde_json::json;

use super::instance::Instance;
use super::load::Load;
use super::process::until;
use super::project::{Project, version};

#[test]
fn a_rollback_lasts_until_something_newer_is_pushed() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.deliver(&version("two"));
    shop.until_serves("/variable/VERSION", "two");
    let load = Load::on(&instance, &shop, "/healthz");

    let back = shop.carried_out(&shop.post("environments/production/rollback", &json!({}))["id"]);
    assert_eq!(back["rollout"], "live", "{back:#}");
    shop.until_serves("/variable/VERSION", "one");
    let bad = shop.list("environments/production/revisions").unwrap();
    let bad = bad.iter().find(|revision| revision["number"] == 2).unwrap();
    assert!(bad["quarantine"].is_string(), "{bad:#}");

    // Every loop looks at everything after a start.
    instance.kill();
    instance.serve_again();
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], back["number"], "{environment:#}");
    // What is recorded next is carried out after everything that was to be done before it.
    let intent = shop.put("environments/production/configuration", &json!({ "set": { "A": "1" } }));
    let revision = shop.carried_out(&intent["intent"]);
    assert_eq!(revision["release"], 1, "a new setting goes with the good release: {revision:#}");
    shop.until_serves("/variable/VERSION", "one");

    // A person can bring it back, and a newer push gets through.
    let deploy = shop.post("environments/production/deploy", &json!({ "release": 2 }));
    assert_eq!(shop.carried_out(&deploy["id"])["rollout"], "live");
    shop.until_serves("/variable/VERSION", "two");
    shop.deliver(&version("three"));
    shop.until_serves("/variable/VERSION", "three");
    load.end_unharmed();
}

#[test]
fn a_host_that_another_project_has_is_refused_by_name() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let rival = Project::create(&instance, "rival");
    let with_host = |host: &str, version: &str| {
        format!(
            "service: {{ build: {{}}, port: 8080, health: /healthz, run: /guest serve, env: {{ VERSION: {version} }} }}\n\
             environments: {{ production: {{ branch: main, host: {host} }} }}\n"
        )
    };
    shop.deliver(&with_host("shop.localhost", "ours"));
    let load = Load::on(&instance, &shop, "/variable/VERSION");
    rival.push(&with_host("shop.localhost", "theirs"));
    let problem = until(
        "the rival is told",
        || format!("{:#}", rival.crossing()),
        || Some(rival.crossing()["problem"].clone()).filter(serde_json::Value::is_object),
    );
    let told = problem.to_string();
    assert!(told.contains("shop.localhost"), "{problem:#}");
    assert!(told.replace("shop.localhost", "").contains("shop"), "it is not said whose it is: {problem:#}");
    rival.deliver(&with_host("rival.localhost", "theirs"));
    rival.until_serves("/variable/VERSION", "theirs");
    assert!(load.end_unharmed().iter().all(|answer| answer == "ours"));
}
