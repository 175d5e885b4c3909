//! New revisions that do not work, each in its own way: what served keeps serving, and the reason is told.

use serde_json::Value;

use super::instance::Instance;
use super::load::Load;
use super::project::{Project, version};

/// A service that runs the guest like this.
fn running(run: &str) -> String {
    format!(
        "service:
  build: {{}}
  port: 8080
  health: /healthz
  run: {run}
  memory: 48Mi
  start: 4s
  stop: 1s
"
    )
}

/// All evidence of a failed revision as one text.
fn evidence(failed: &Value) -> String {
    let problem = &failed["problem"];
    assert_eq!(problem["code"], "delivery.unhealthy", "{failed:#}");
    assert!(problem["state"].as_str().unwrap().contains("still serves all traffic"), "{failed:#}");
    assert!(problem["hint"].as_array().is_some_and(|hints| !hints.is_empty()), "{failed:#}");
    let causes = problem["cause"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    causes.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_revision_that_does_not_work_leaves_the_old_one_serving_and_says_why() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("good"));
    shop.until_condition("live");
    let load = Load::on(&instance, &shop, "/variable/VERSION");

    // Its port never opens.
    let text = evidence(&shop.deliver_in_vain(&running("/guest deaf")));
    assert!(text.contains("0 of 1 new replicas became ready within 4 s"), "{text}");
    assert!(text.contains("does not answer its probe on port 8080"), "{text}");
    // A person sees it without looking for it.
    let crossing = shop.crossing();
    assert_eq!(crossing["problem"]["code"], "delivery.unhealthy", "{crossing:#}");
    assert_eq!(crossing["landings"][4]["state"], "failed", "{crossing:#}");

    // It exits at once, and later.
    for (run, why) in [
        ("/guest fail 0 'DATABASE_URL is not set'", "DATABASE_URL is not set"),
        ("/guest fail 400 'lost the database'", "lost the database"),
    ] {
        let text = evidence(&shop.deliver_in_vain(&running(run)));
        assert!(text.contains("one exited 3 times"), "{text}");
        assert!(text.contains("exited with code 1"), "{text}");
        assert!(text.contains(why), "{text}");
    }

    // It eats its memory.
    let text = evidence(&shop.deliver_in_vain(&running("/guest eat")));
    assert!(text.contains("memory limit of 48 MiB reached"), "{text}");

    // The last failure stays visible, nothing of the bad revisions is left, and a good one gets through.
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], 1, "{environment:#}");
    assert!(load.end_unharmed().iter().all(|answer| answer == "good"));
    let load = Load::on(&instance, &shop, "/healthz");
    shop.deliver(&running("/guest serve-stubborn"));
    shop.until_condition("live");

    // It ignores SIGTERM: it is killed after its time, and its successor does not wait for it.
    shop.deliver(&version("better"));
    shop.until_serves("/variable/VERSION", "better");
    shop.until_condition("live");
    load.end_unharmed();
    let left = instance.containers("dev.naru.service=web");
    assert_eq!(left.len(), 1, "{left:?}");
}
