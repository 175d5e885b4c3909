//! A run's page, its log in pieces, the list of runs and the ledger.

use naru_model::pipeline::TestSummary;

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

#[tokio::test]
async fn a_step_says_how_its_tests_ended_and_leads_to_where_the_log_names_the_failed_ones() {
    let (world, token) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let number = run(&world, &shop, "minji", Ending::Failure).await;
    let browser = Browser::minji(&world).await;
    let before = browser.get("/projects/shop/runs/1").await;
    has(&before, &["data-live=\"tests-test\""]);
    assert!(!before.text.contains("Failed tests"));

    let lines = (1..=1000).map(|line| match line {
        400 => "test cart::<img> & more ... FAILED".to_owned(),
        _ => format!("line {line}"),
    });
    printed(&world, &log_of(&shop, number, "test"), lines).await;
    let failed_names = vec!["cart::<img> & more".to_owned(), "cart::\"gone\"".to_owned()];
    let tests = TestSummary { passed: 128, failed: 5, skipped: 3, failed_names };
    let step = ("test".parse().unwrap(), 1);
    world.store.complete_step_log(&shop, number, (&step.0, step.1), Some(&tests)).await.unwrap();

    let page = browser.get("/projects/shop/runs/1").await;
    has(&page, &["128 passed · 5 failed · 3 skipped", "Failed tests", "and 3 more, in the log"]);
    has(&page, &["cart::&#60;img&#62; &#38; more"]);
    let address = "/projects/shop/runs/1?step=test&#38;find=cart%3A%3A%3Cimg%3E%20%26%20more#step-test";
    has(&page, &[address]);
    assert!(!page.text.contains("<img>"));
    let there = browser.get("/projects/shop/runs/1?step=test&find=cart%3A%3A%3Cimg%3E%20%26%20more").await;
    has(&there, &["data-line=\"400\"", "id=\"test-L400\""]);
    let nowhere = browser.get("/projects/shop/runs/1?step=test&find=cart%3A%3A%22gone%22").await;
    has(&nowhere, &["id=\"test-L1000\""]);
    let korean = Browser { language: "ko", ..Browser::minji(&world).await };
    let said = [
        "128개 통과 · 5개 실패 · 3개 건너뜀",
        "실패한 테스트",
        "그 밖에 3개는 로그에 있어요",
        "종료 코드 101",
    ];
    has(&korean.get("/projects/shop/runs/1").await, &said);

    let answer = world.get(&token, "/api/v1/projects/shop/runs/1").await.json();
    let steps = answer["steps"].as_array().unwrap();
    let told = |name: &str| &steps.iter().find(|step| step["name"] == name).unwrap()["tests"];
    assert_eq!(told("test")["passed"], 128);
    assert_eq!(told("test")["failed_names"][0], "cart::<img> & more");
    assert!(told("build:web").is_null());
}
