//! Services of an environment reach each other by name; those of other projects are out of reach, by name and by address.

use super::instance::Instance;
use super::project::Project;

const WEB_AND_WORKER: &str = "services:
  web: { build: {}, port: 8080, health: /healthz, run: /guest serve }
  worker: { image: web, port: 8080, health: /healthz, run: /guest serve, env: { WHO: the worker } }
";

#[test]
fn services_reach_their_own_project_by_name_and_no_other() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let blog = Project::create(&instance, "blog");
    shop.deliver(WEB_AND_WORKER);
    blog.deliver("service: { build: {}, port: 8080, health: /healthz, run: /guest serve }\n");

    let (status, answer) = shop.ask("/fetch/worker:8080").unwrap();
    assert_eq!(status, 200, "{answer}");
    assert!(answer.ends_with("says well"), "{answer}");
    let address = answer.split_once(' ').unwrap().0;

    let (status, answer) = blog.ask("/fetch/worker:8080").unwrap();
    assert_eq!(status, 502, "another project resolves the worker: {answer}");
    assert!(answer.contains("cannot resolve worker:8080"), "{answer}");
    let (status, answer) = blog.ask(&format!("/fetch/{address}")).unwrap();
    assert_eq!(status, 502, "another project reaches {address}: {answer}");
    // Not for want of a network: its own project is in reach.
    assert_eq!(blog.ask("/fetch/web:8080").unwrap().0, 200);
}
