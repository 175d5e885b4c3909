//! New revisions that do not work, each in its own way: what served keeps serving, and the reason is told.

use serde_json::Value;

use super::instance::Instance;
use super::load::Load;
use super::process::{self, said};
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
fn a_revision_that_never_answers_leaves_the_old_one_serving_and_says_why() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("good"));
    let load = Load::on(&instance, &shop, "/variable/VERSION");

    // Its port never opens.
    let text = evidence(&shop.deliver_in_vain(&running("/guest deaf")));
    assert!(text.contains("0 of 1 new replicas became ready within 4 s"), "{text}");
    assert!(text.contains("does not answer its probe on port 8080"), "{text}");
    // A person sees it without looking for it.
    let crossing = shop.crossing();
    assert_eq!(crossing["problem"]["code"], "delivery.unhealthy", "{crossing:#}");
    assert_eq!(crossing["landings"][4]["state"], "failed", "{crossing:#}");
    let status = said(&process::output(instance.command().args(["status", "--project", "shop"])));
    assert!(status.contains("does not answer its probe on port 8080"), "{status}");
    assert!(status.contains("release 1 (revision 1) still serves all traffic"), "{status}");

    // It exits at once, and after a moment.
    for (run, why) in [
        ("/guest fail 0 'DATABASE_URL is not set'", "DATABASE_URL is not set"),
        ("/guest fail 400 'lost the database'", "lost the database"),
    ] {
        let text = evidence(&shop.deliver_in_vain(&running(run)));
        assert!(text.contains("one exited 3 times"), "{text}");
        assert!(text.contains("exited with code 1"), "{text}");
        assert!(text.contains(why), "{text}");
    }
    assert!(load.end_unharmed().iter().all(|answer| answer == "good"));
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], 1, "{environment:#}");
    assert_eq!(instance.containers("dev.naru.service=web").len(), 1, "something of the bad ones is left");
}

#[test]
fn a_revision_that_dies_or_flaps_under_traffic_does_not_take_the_service_with_it() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("good"));

    // It answers its probe and dies of the first requests. Those are lost; all after them are answered as before.
    let load = Load::on(&instance, &shop, "/variable/VERSION");
    let text = evidence(&shop.deliver_in_vain(&running("/guest serve-briefly 300")));
    assert!(text.contains("the queue is gone"), "{text}");
    shop.until_serves("/variable/VERSION", "good");
    let seen = load.end();
    let (lost, answered) = (seen.failures.len(), seen.answers.len());
    println!("{lost} requests were lost, {answered} answered");
    assert!(lost * 4 < answered, "{lost} of {answered}: {:?}", &seen.failures[..lost.min(3)]);
    let load = Load::on(&instance, &shop, "/variable/VERSION");
    shop.until_condition("live");

    // Its probe fails every other moment, while its requests are answered: whichever revision has them, none fails.
    let flapping = running("/guest serve").replace("health: /healthz", "health: /flap");
    let revision = shop.rolled_out(&shop.push(&flapping));
    let outcome = revision["rollout"].as_str().unwrap();
    assert!(outcome == "live" || evidence(&revision).contains("became ready"), "{revision:#}");
    load.end_unharmed();
}

#[test]
fn a_replica_that_eats_its_memory_or_ignores_sigterm_does_no_harm() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("good"));
    let load = Load::on(&instance, &shop, "/healthz");
    let text = evidence(&shop.deliver_in_vain(&running("/guest eat")));
    assert!(text.contains("memory limit of 48 MiB reached"), "{text}");

    shop.deliver(&running("/guest serve-stubborn"));
    shop.until_condition("live");
    // It is killed after its time, and its successor does not wait for it.
    shop.deliver(&version("better"));
    shop.until_serves("/variable/VERSION", "better");
    shop.until_condition("live");
    load.end_unharmed();
    assert_eq!(instance.containers("dev.naru.service=web").len(), 1);
}
