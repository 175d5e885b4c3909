//! The page of an environment's figures.

use crate::metric;
use crate::page::{Browser, has};

const METRICS: &str = "/projects/shop/environments/production/metrics";

#[tokio::test]
async fn charts_share_one_time_and_are_told_as_text_and_tables_too() {
    let (world, _) = metric::world().await;
    let minji = Browser::minji(&world).await;
    let page = minji.get(METRICS).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.text.matches("<svg viewBox=\"0 0 420 132\"").count(), 7);
    has(
        &page,
        &["60 requests came to an end, 3 of them failed (5.00 %).", "aria-label=\"Memory: 1 MiB at last"],
    );
    has(&page, &["data-steps=\"240\"", "data-charts tabindex=\"0\"", "data-live=\"metrics\"", "?range=24h"]);
    has(&page, &["<td>7</td><td class=\"number\">60</td><td class=\"number\">3 (5.00 %)</td>"]);
    has(&page, &["Highest values as a table", "Metrics · production"]);
    // A gap is a second path that begins anew.
    let cpu = page.text.split("aria-label=\"CPU cores").nth(1).unwrap();
    assert_eq!(cpu.split("d=\"").nth(1).unwrap().split('"').next().unwrap().matches('M').count(), 2);
    let korean = Browser { language: "ko", ..minji }.get(&format!("{METRICS}?range=7d&service=web")).await;
    has(&korean, &["지표 · production", "요청 60건 중 3건이 실패했어요", "service=web"]);
}

#[tokio::test]
async fn an_environment_without_figures_teaches_and_a_foreign_one_is_missing() {
    let (world, _) = metric::world().await;
    let minji = Browser::minji(&world).await;
    let none = minji.get(&format!("{METRICS}?service=worker")).await;
    has(&none, &["Nothing ran here in this time", "naru deploy -p shop -e production --wait"]);
    assert!(!none.text.contains("<svg viewBox=\"0 0 420"));
    assert_eq!(minji.get(&format!("{METRICS}?range=%3Cscript%3E")).await.status, 200);
    assert_eq!(minji.get(&METRICS.replace("production", "staging")).await.status, 404);
    assert_eq!(minji.get(&format!("{METRICS}?service=..")).await.status, 400);
    assert_eq!(Browser::nobody(&world).get(METRICS).await.status, 303);
}
