//! `naru maintenance`.

use insta::assert_snapshot;
use serde_json::json;

use crate::world::World;

const PATH: &str = "/api/v1/projects/shop/environments/production/maintenance";

#[tokio::test]
async fn on_says_what_visitors_are_told() {
    let on = json!({ "on": true, "message": "Moving.", "until": "2026-11-21T12:34:05Z",
                     "since": "2026-11-21T10:34:05Z", "by": "minji" });
    let world = World::new().await.on(&format!("PUT {PATH}"), 200, &on).on(&format!("GET {PATH}"), 200, &on);
    assert_snapshot!(world.run("maintenance on --until 2h --message Moving.").await, @"
    exit: 0
    --- out
    maintenance  ▲ on
    since        just now (10:34:05Z) by minji
    until        in 2 h (2026-11-21 12:34Z)
    message      Moving.
    --- err
    replicas keep running; end it with `naru maintenance off`
    ");
    let asked = &world.asked()[0].line;
    assert_eq!(*asked, format!(r#"PUT {PATH} {{"message":"Moving.","until":"2026-11-21T12:34:05Z"}}"#));
    world.run("maintenance on --until 2026-11-22T09:00:00+09:00").await;
    assert_eq!(world.asked()[1].line, format!(r#"PUT {PATH} {{"until":"2026-11-22T00:00:00Z"}}"#));
    assert_snapshot!(world.run("maintenance status").await, @"
    exit: 0
    --- out
    maintenance  ▲ on
    since        just now (10:34:05Z) by minji
    until        in 2 h (2026-11-21 12:34Z)
    message      Moving.
    --- err
    ");
    assert_eq!(world.run("maintenance on --until soon").await.code, 2);
}

#[tokio::test]
async fn off_is_off() {
    let off = json!({ "on": false });
    let world = World::new().await.on(&format!("DELETE {PATH}"), 204, &json!(null)).on(
        &format!("GET {PATH}"),
        200,
        &off,
    );
    assert_snapshot!(world.run("maintenance off").await, @"
    exit: 0
    --- out
    --- err
    visitors of `production` get the service again
    ");
    assert_snapshot!(world.run("maintenance status").await, @"
    exit: 0
    --- out
    maintenance  off
    --- err
    ");
    assert_snapshot!(world.run("maintenance status --json").await, @r#"
    exit: 0
    --- out
    {
      "on": false
    }
    --- err
    "#);
}
