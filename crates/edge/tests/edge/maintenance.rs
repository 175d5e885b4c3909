//! Maintenance: visitors get a page instead of the service, whose replicas keep running.

use http::Request;
use http_body_util::Full;
use naru_model::Generation;
use naru_model::maintenance::Maintenance;
use naru_model::route::{Route, RouteTable};

use crate::harness::{Fixture, Replica, environment, held, single};
use crate::tls_harness::Http2;

fn closed(name: &str, routes: Vec<Route>, message: &str) -> RouteTable {
    let until = Some("2999-01-01T10:30:00Z".parse().unwrap());
    let told = Maintenance { message: Some(message.to_owned()), until };
    RouteTable { environment: environment(name), routes, maintenance: Some(told) }
}

#[tokio::test]
async fn visitors_are_told_in_their_language_and_the_replica_hears_nothing() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("open").await;
    fixture.publish(1, single("shop.test", &replica)).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "open");
    let message = "<img src=x onerror=alert(1)> & 곧 돌아와요";
    let table = closed("production", single("shop.test", &replica), message);
    fixture.edge.client().publish(&table, Generation(1)).await.unwrap();
    let ask = async |language: &str, accept: &str| {
        let head = format!("Accept-Language: {language}\r\nAccept: {accept}\r\nConnection: close");
        fixture.send(&format!("GET /any HTTP/1.1\r\nHost: shop.test\r\n{head}\r\n\r\n")).await
    };
    for (language, title) in [("en", "Under maintenance"), ("ko-KR,ko;q=0.9", "점검 중")] {
        let page = ask(language, "text/html").await;
        assert_eq!((page.status, page.header("content-type")), (503, Some("text/html; charset=utf-8")));
        let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
        assert!(wait > 86_400, "{wait}");
        let text = page.text();
        assert!(text.contains(title) && text.contains("2999-01-01 10:30 UTC"), "{text}");
        assert!(text.contains("곧 돌아와요") && !text.contains("<img"), "{text}");
    }
    let answer = ask("en", "application/json").await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &json["code"], &json["message"]),
        (503, &"edge.maintenance".into(), &message.into())
    );
    let connection = Http2::plain(fixture.edge.address()).await;
    let request =
        Request::post("http://shop.test/").header("accept", "text/html").header("accept-language", "ko");
    let page = connection.ask(request.body(Full::from("a body")).unwrap()).await;
    assert_eq!(page.status(), 503);
    assert!(page.headers().contains_key("retry-after") && page.body().contains("점검 중"), "{}", page.body());
    assert_eq!(replica.count(), 1);
    fixture.publish(1, single("shop.test", &replica)).await;
    assert_eq!(fixture.get("shop.test", "/").await.text(), "open");
}

#[tokio::test]
async fn it_is_of_one_environment_and_comes_before_waiting() {
    let fixture = Fixture::start().await;
    let replica = Replica::named("open").await;
    let other = RouteTable {
        environment: environment("staging"),
        routes: single("staging.test", &replica),
        maintenance: None,
    };
    fixture.edge.client().publish(&other, Generation(1)).await.unwrap();
    // Nobody is let wait for a service that is closed on purpose.
    let table = closed("production", held("shop.test"), "later");
    fixture.edge.client().publish(&table, Generation(1)).await.unwrap();
    let page = fixture.get("shop.test", "/").await;
    assert!(page.status == 503 && page.text().contains("edge.maintenance"), "{}", page.text());
    assert_eq!(fixture.get("staging.test", "/").await.text(), "open");
    // A message that nobody could be shown is refused with its table, and the one in force stays.
    let hostile = closed("production", single("shop.test", &replica), "a\u{1b}[2Jb");
    assert!(fixture.edge.client().publish(&hostile, Generation(2)).await.is_err());
    assert_eq!(fixture.get("shop.test", "/").await.status, 503);
}
