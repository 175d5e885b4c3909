//! The main road: a push becomes a serving page, and Naru can be killed and started again beside it.

use super::instance::Instance;
use super::project::{Project, version};

#[test]
fn a_push_becomes_a_serving_page_that_outlives_naru() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    let revision = shop.deliver(&version("one"));
    assert_eq!(revision["number"], 1);
    shop.until_serves("/variable/VERSION", "one");
    let environment = shop.until_condition("live");
    assert_eq!(environment["serving"], 1, "{environment:#}");

    instance.kill();
    assert_eq!(shop.ask("/variable/VERSION"), Ok((200, "one".to_owned())), "nothing leads to Naru any more");
    instance.serve_again();
    assert_eq!(shop.until_condition("live")["serving"], 1);

    shop.deliver(&version("two"));
    shop.until_serves("/variable/VERSION", "two");
}
