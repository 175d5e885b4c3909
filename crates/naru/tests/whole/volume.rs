//! A volume that only one replica may have goes from one revision to the next while people keep asking.

use super::instance::Instance;
use super::load::Load;
use super::project::Project;

/// A service with a file on its volume.
fn on_a_volume(version: &str, run: &str) -> String {
    format!(
        "service:
  build: {{}}
  port: 8080
  health: /healthz
  run: {run}
  env: {{ VERSION: {version} }}
  volumes: {{ data: {{ path: /data, size: 1Gi }} }}
  start: 20s
  stop: 2s
"
    )
}

#[test]
fn an_exclusive_volume_is_handed_over_without_a_failed_request() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&on_a_volume("one", "/guest serve"));
    shop.until_condition("live");

    let load = Load::on(&instance, &shop, "/append/data/visits");
    shop.deliver(&on_a_volume("two", "/guest serve"));
    shop.until_serves("/variable/VERSION", "two");
    shop.until_condition("live");
    let answers = load.end_unharmed();

    // Every answered visit is on the volume exactly once: nothing was lost, and no two replicas wrote at a time.
    let mut lengths: Vec<usize> = answers.iter().map(|answer| answer.parse().expect("a length")).collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths.len(), answers.len(), "a visit was overwritten");
    let visits = lengths.len();
    assert_eq!(lengths.last(), Some(&visits));

    // A revision that cannot start gives the volume back, and the requests meanwhile are held, too.
    let load = Load::on(&instance, &shop, "/append/data/visits");
    let failed =
        shop.deliver_in_vain(&on_a_volume("three", "/guest fail 300 'the file is of a newer version'"));
    let problem = failed["problem"].to_string();
    assert!(problem.contains("the file is of a newer version"), "{failed:#}");
    shop.until_condition("live");
    shop.until_serves("/variable/VERSION", "two");
    let more = load.end_unharmed();
    let (_, kept) = shop.ask("/append/data/visits").unwrap();
    assert_eq!(kept.parse::<usize>().unwrap(), visits + more.len() + 1);
}
