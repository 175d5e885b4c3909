//! Strategies, while visitors keep asking.

use serde_json::{Value, json};

use super::api;
use super::instance::Instance;
use super::load::Load;
use super::process::{self, PATIENCE, said, until_within};
use super::project::Project;

/// A service with a strategy, that answers `/answer` with this status and version.
fn answering(version: &str, status: u16, strategy: &str) -> String {
    format!(
        "service:
  build: {{}}
  port: 8080
  health: /healthz
  run: /guest serve
  env: {{ VERSION: {version}, ANSWER: {status} }}
  strategy: {strategy}
"
    )
}

const MANUAL: &str = "{ blue-green: { keep: 10m, promote: manual } }";
const CANARY: &str =
    "{ canary: { steps: [20%, 50%], pause: 2s, analysis: errors < 5% and requests >= 20, sticky: cookie } }";

/// The rollout of production, once it says this.
fn until_told(instance: &Instance, shop: &Project<'_>, words: &str) -> Value {
    let path = format!("projects/{}/environments/production/rollout", shop.name);
    let describe = || format!("{:#}", shop.crossing());
    until_within(PATIENCE * 2, &format!("the rollout says {words:?}"), describe, || {
        let rollout = instance.api().try_get(&path).ok()?;
        rollout["detail"].as_str()?.contains(words).then_some(rollout)
    })
}

#[test]
fn a_preview_waits_for_a_person_and_the_way_back_needs_no_start() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&answering("blue", 200, MANUAL));
    let load = Load::on(&instance, &shop, "/answer");

    shop.push(&answering("green", 200, MANUAL));
    let rollout = until_told(&instance, &shop, "waits for promotion");
    assert_eq!(rollout["stage"], "preview");
    assert_eq!(
        rollout["detail"],
        "revision 2 is ready and waits for promotion; it answers at next--shop.localhost"
    );
    let preview = || api::through_edge(instance.edge(), "next--shop.localhost", "/answer");
    let describe = || format!("{:?}", preview());
    until_within(PATIENCE, "the preview answers", describe, || {
        (preview() == Ok((200, "green".to_owned()))).then_some(())
    });
    assert_eq!(shop.ask("/answer"), Ok((200, "blue".to_owned())), "visitors see nothing of it");
    let shown = said(&process::output(instance.command().args(["rollout", "show", "--project", "shop"])));
    assert!(shown.contains("waits for promotion"), "{shown}");

    let promoted =
        said(&process::output(instance.command().args(["rollout", "promote", "--project", "shop"])));
    assert!(promoted.contains("promoted by minji"), "{promoted}");
    shop.until_serves("/answer", "green");
    shop.until_condition("live");
    let before = instance.containers("dev.naru.service=web");
    assert_eq!(before.len(), 2, "the old revision is kept warm");
    let describe = || format!("{:?}", preview());
    until_within(PATIENCE, "the preview is over", describe, || {
        matches!(preview(), Ok((404, _))).then_some(())
    });

    let intent = shop.post("environments/production/rollback", &json!({}));
    let back = shop.carried_out(&intent["id"]);
    assert_eq!(back["rollout"], "live", "{back:#}");
    shop.until_serves("/answer", "blue");
    let answers = load.end_unharmed();
    assert!(answers.iter().any(|answer| answer == "green"));
    shop.until_condition("live");
    let after = instance.containers("dev.naru.service=web");
    assert!(after.len() == 1 && before.contains(&after[0]), "nothing was started: {before:?}, {after:?}");
}

#[test]
fn a_canary_that_fails_its_visitors_is_left_and_a_good_one_goes_all_the_way() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&answering("good", 200, CANARY));

    let load = Load::on(&instance, &shop, "/answer");
    let failed = shop.deliver_in_vain(&answering("bad", 500, CANARY));
    let problem = &failed["problem"];
    assert_eq!(problem["code"], "delivery.analysis", "{failed:#}");
    let cause = problem["cause"][0].as_str().unwrap();
    assert!(cause.contains("requests to revision 2 failed"), "{cause}");
    assert!(problem["state"].as_str().unwrap().contains("revision 1"), "{failed:#}");
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], 1, "{environment:#}");
    shop.until_serves("/answer", "good");
    let seen = load.end();
    assert!(seen.failures.iter().all(|failure| failure.contains("500")), "{:?}", seen.failures);
    let (failures, answers) = (seen.failures.len(), seen.answers.len());
    println!("{failures} of {} requests met the bad revision", failures + answers);
    assert!((2..=answers / 4).contains(&failures), "{failures} failed, {answers} did not");

    let load = Load::on(&instance, &shop, "/answer");
    shop.push(&answering("better", 200, CANARY));
    let rollout = until_told(&instance, &shop, "% of requests go to revision 3");
    assert_eq!(rollout["stage"], "step", "{rollout:#}");
    shop.until_serves("/answer", "better");
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], 3, "{environment:#}");
    let answers = load.end_unharmed();
    assert!(answers.iter().any(|answer| answer == "good") && answers.iter().any(|answer| answer == "better"));
}
