//! The release command runs once per revision, before any traffic, and a failure of it keeps the old revision.

use super::instance::Instance;
use super::load::Load;
use super::project::Project;

/// A service whose release command leaves a mark on a shared volume, or fails.
fn with_release(version: &str, release: &str) -> String {
    format!(
        "services:
  web:
    build: {{}}
    port: 8080
    health: /healthz
    run: /guest serve
    env: {{ VERSION: {version} }}
    volumes: {{ marks: {{ path: /marks, access: shared }} }}
release: {{ service: web, run: {release}, timeout: 20s }}
"
    )
}

#[test]
fn the_release_command_runs_once_and_gates_the_switch() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let mark = "/guest append /marks/releases";
    shop.deliver(&with_release("one", mark));
    shop.until_condition("live");
    assert_eq!(shop.ask("/file/marks/releases"), Ok((200, "x".to_owned())));

    let load = Load::on(&instance, &shop, "/variable/VERSION");
    let failed = shop.deliver_in_vain(&with_release("two", "/guest fail 100 'column price is missing'"));
    assert_eq!(failed["problem"]["code"], "delivery.release-command", "{failed:#}");
    assert!(failed["problem"]["cause"].to_string().contains("column price is missing"), "{failed:#}");
    assert!(load.end_unharmed().iter().all(|answer| answer == "one"));

    shop.deliver(&with_release("three", mark));
    shop.until_condition("live");
    shop.until_serves("/variable/VERSION", "three");
    assert_eq!(
        shop.ask("/file/marks/releases"),
        Ok((200, "xx".to_owned())),
        "once per revision that asks for it"
    );
    instance.kill();
    instance.serve_again();
    shop.until_condition("live");
    assert_eq!(shop.ask("/file/marks/releases"), Ok((200, "xx".to_owned())), "not again after a restart");
}
