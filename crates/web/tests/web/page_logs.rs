//! What services print, on a page: live, filtered, through redeploys; and what runs at this moment.

use naru_model::role::{LocalRole, Role};
use naru_model::rollout::{ReplicaKey, ReplicaSeen, ReplicaState, Status};
use naru_model::workload::TemplateHash;
use naru_model::{EnvironmentKey, ProjectName, RevisionNumber};
use naru_store::log::{LogRecord, LogStream};

use crate::page::{Browser, has};
use crate::seed::{Ending, environment, run};
use crate::world::World;

const PAGE: &str = "/projects/shop/environments/production/logs";

async fn with_shop() -> (World, ProjectName) {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    for _ in 0..2 {
        run(&world, &shop, "minji", Ending::Success).await;
    }
    environment(&world, &shop, "production", 2, Status::Live).await;
    let key = EnvironmentKey { project: shop.clone(), environment: "production".parse().unwrap() };
    let stream = LogStream::Service { environment: key, service: "web".parse().unwrap() };
    let at = world.store.now();
    let line = |source: &str, text: &str| LogRecord { at, source: source.to_owned(), text: text.to_owned() };
    let before = (0..3).map(|number| line("web-1-0", &format!("old {number}")));
    let after = [line("web-2-0", "listening"), line("web-2-1", "\u{1b}[31mError\u{1b}[0m <script>")];
    world.logs.append(&stream, before.chain(after).collect()).await.unwrap();
    (world, shop)
}

#[tokio::test]
async fn a_log_goes_on_through_redeploys_and_rings_the_script() {
    let (world, _) = with_shop().await;
    let browser = Browser::minji(&world).await;
    let page = browser.get(PAGE).await;
    has(&page, &["old 0", "listening", "web-1-0", "web-2-1", "data-total=\"5\"", "&lt;script&gt;"]);
    has(&page, &["data-log=\"/projects/shop/environments/production/logs/web\""]);
    has(&page, &["data-follow=\"/api/v1/projects/shop/environments/production/logs?follow=true"]);
    let lines = browser.get(&format!("{PAGE}/web/lines?from=3&count=9")).await;
    assert_eq!(
        (lines.headers["naru-total"].to_str().unwrap(), lines.headers["naru-over"].to_str().unwrap()),
        ("5", "false")
    );
    has(&lines, &["?service=web&amp;line=4#web-L4", "<span class=\"source\">web-2-0</span>"]);
    assert_eq!(
        browser.get(&format!("{PAGE}/web/find?q=error")).await.json()["lines"],
        serde_json::json!([5])
    );
    let text = browser.get(&format!("{PAGE}/web/text")).await.text;
    assert!(text.contains("web-2-1 Error <script>") && text.lines().count() == 5, "{text}");
    has(&browser.get(&format!("{PAGE}?service=web&line=2")).await, &["data-line=\"2\""]);
}

#[tokio::test]
async fn lines_are_filtered_by_replica_revision_and_text() {
    let (world, _) = with_shop().await;
    let browser = Browser::minji(&world).await;
    let found = async |query: &str| browser.get(&format!("{PAGE}?service=web&{query}")).await;
    let revision = found("from=revision:1").await;
    has(&revision, &["3 newest lines", "old 0", "<option value=\"revision:1\" selected>revision 1"]);
    assert!(!revision.text.contains("listening"));
    let replica = found("from=replica:web-2-1&q=ERROR").await;
    has(&replica, &["1 newest lines", "id=\"web-L5\"", "value=\"ERROR\""]);
    has(&found("q=nothing+like+it").await, &["No line fits"]);
    has(&found("from=%3Cscript%3E").await, &["5 newest lines"]);
    has(&found("from=revision:%3Cscript%3E").await, &["No line fits"]);
}

#[tokio::test]
async fn output_is_for_who_may_read_the_environment() {
    let (world, shop) = with_shop().await;
    let browser = Browser::minji(&world).await;
    let missing = browser.get(&format!("{PAGE}/none/lines")).await;
    assert_eq!(missing.status, 404);
    has(&missing, &["service `none`"]);
    let yuna = Browser::member(&world, "yuna", Role::Developer).await;
    assert_eq!(yuna.get(PAGE).await.status, 200);
    let key = EnvironmentKey { project: shop, environment: "production".parse().unwrap() };
    world.store.set_environment_role(&key, "yuna", Some(LocalRole::None)).await.unwrap();
    for path in [
        PAGE.to_owned(),
        format!("{PAGE}/web/lines"),
        format!("{PAGE}/web/find?q=x"),
        format!("{PAGE}/web/text"),
    ] {
        let there = yuna.get(&path).await;
        let none = yuna.get(&path.replace("production", "nothere")).await;
        assert_eq!((there.status, there.text.replace("production", "nothere")), (404, none.text), "{path}");
    }
}

#[tokio::test]
async fn what_runs_is_listed_with_its_restarts_and_an_absent_engine_is_said() {
    let (world, _) = with_shop().await;
    let browser = Browser::minji(&world).await;
    let page = "/projects/shop/environments/production";
    has(&browser.get(page).await, &["The engine does not answer at the moment"]);
    let key = |revision, attempt| ReplicaKey {
        service: "web".parse().unwrap(),
        revision: RevisionNumber(revision),
        index: 0,
        attempt,
    };
    let seen = |key, state| ReplicaSeen { key, template: TemplateHash(String::new()), state, address: None };
    let since = world.store.now();
    *world.behind.replicas.lock().unwrap() = Some(vec![
        seen(key(2, 3), ReplicaState::Running { since, ready: true }),
        seen(key(1, 0), ReplicaState::Stopping),
    ]);
    has(&browser.get(page).await, &["web-2-0-3", "ready", "stopping", "/logs?from=replica:web-2-0-3"]);
    *world.behind.replicas.lock().unwrap() = Some(Vec::new());
    has(&browser.get(page).await, &["Nothing runs here"]);
}
