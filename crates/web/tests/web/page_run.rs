//! A run's page, its log in pieces, the list of runs and the ledger.

use crate::page::{Browser, has, leads};
use crate::seed::{Ending, log_of, printed, run};
use crate::world::World;

#[tokio::test]
async fn a_run_says_why_it_began_and_why_it_failed_in_text_that_stays_text() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    run(&world, &shop, "<b>minji</b>", Ending::Failure).await;
    let lines = ["\u{1b}[1;31merror\u{1b}[0m: <img src=x onerror=alert(1)>".to_owned(), "fine".to_owned()];
    printed(&world, &log_of(&shop, naru_model::RunNumber(1), "test"), lines).await;
    let browser = Browser::minji(&world).await;
    let page = browser.get("/projects/shop/runs/1").await;
    has(
        &page,
        &[
            "Run 1 failed",
            "push by &#60;b&#62;minji&#60;/b&#62;",
            "step `test` of run 1 failed",
            "pipeline.step-failed",
            "<span class=\"b a31\">error</span>: &lt;img src=x onerror=alert(1)&gt;",
            "id=\"test-L2\"",
            "action=\"/projects/shop/runs/1/again\"",
        ],
    );
    for hostile in ["<b>minji", "<img src=x", "<script>alert"] {
        assert!(!page.text.contains(hostile), "{hostile}");
    }
    has(&browser.get("/projects/shop/runs").await, &["/projects/shop/runs/1", "■", "failed"]);
    assert_eq!(browser.get("/projects/shop/runs/9").await.status, 404);
    assert_eq!(browser.get("/projects/shop/runs/1/steps/none/lines").await.status, 404);
}

#[tokio::test]
async fn a_long_log_is_had_in_pieces_searched_and_downloaded() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let number = run(&world, &shop, "minji", Ending::Success).await;
    let lines = (1..=5000).map(|line| match line {
        1200 => "0 errors so far".to_owned(),
        3210 => "Error: it is broken".to_owned(),
        _ => format!("line {line}"),
    });
    printed(&world, &log_of(&shop, number, "test"), lines).await;
    let browser = Browser::minji(&world).await;
    let base = "/projects/shop/runs/1/steps/test";
    let piece = browser.get(&format!("{base}/lines?from=2999&count=2")).await;
    assert_eq!(piece.headers["naru-total"], "5000");
    assert_eq!(piece.headers["naru-over"], "true");
    has(&piece, &["id=\"test-L3000\"", "line 3001"]);
    assert!(!piece.text.contains("line 3002") && !piece.text.contains("line 2999"));
    let found = browser.get(&format!("{base}/find?q=LINE+4999")).await.json();
    assert_eq!(found, serde_json::json!({ "lines": [4999], "more": false }));
    let first = browser.get(&format!("{base}/find?error=true")).await.json();
    assert_eq!(first["lines"], serde_json::json!([3210]));
    let text = browser.get(&format!("{base}/text")).await;
    assert_eq!(text.text.lines().count(), 5000);
    assert!(text.headers["content-disposition"].to_str().unwrap().contains("shop-run-1-test.log"));
    // Without the script: the part around a line, with ways to both sides.
    let around = browser.get("/projects/shop/runs/1?step=test&line=3210").await;
    has(&around, &["id=\"test-L3210\"", "Earlier lines", "Later lines", "data-line=\"3210\""]);
}

#[tokio::test]
async fn a_run_is_cancelled_while_it_is_under_way_and_repeated_when_it_is_over() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    run(&world, &shop, "minji", Ending::Open).await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/projects/shop/runs/1").await, &["is under way", "/projects/shop/runs/1/cancel"]);
    assert_eq!(leads(&browser.post("/projects/shop/runs/1/cancel", "").await), "/projects/shop/runs/1");
    assert!(world.store.run(&shop, naru_model::RunNumber(1)).await.unwrap().unwrap().cancel);

    let again = browser.post("/projects/shop/runs/1/again", "").await;
    assert_eq!(leads(&again), "/projects/shop/runs");
    let ledger = browser.get("/projects/shop/triggers").await;
    has(&ledger, &["led to a run", "Run again", "person", "again"]);
    let trigger = world.store.triggers(&shop, None, 1).await.unwrap()[0].id;
    let replayed = browser.post(&format!("/projects/shop/triggers/{trigger}/replay"), "").await;
    assert_eq!(leads(&replayed), "/projects/shop/triggers");
    assert_eq!(browser.post("/projects/shop/triggers/none/replay", "").await.status, 404);
    assert_eq!(world.store.triggers(&shop, None, 9).await.unwrap().len(), 3);
}
