//! Certificates by ACME: had, renewed while visitors come, and missed while the authority is away.

use std::time::Duration;

use naru_certificate::Settings;
use naru_model::api::CheckState;
use naru_model::certificate::CertificateSource;

use crate::pebble::Pebble;
use crate::world::{Visitors, World, days};

const HOST: &str = "shop.example.com";

fn by_acme(pebble: &Pebble) -> Settings {
    Settings { acme: Some(pebble.settings()), local: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_had_renewed_under_load_and_outlives_an_authority_that_is_away() {
    let world = World::new(&[HOST]).await;
    let mut pebble = Pebble::start(world.edge.address().port()).await;
    let certificates = world.certificates(by_acme(&pebble));
    assert!(world.plain(HOST, "/").await.starts_with("HTTP/1.1 200"), "plain while there is no certificate");

    certificates.ask().await.unwrap();
    let roots = pebble.roots().await;
    let first = world.visit(HOST, &roots).await.unwrap();
    assert!(first.answer.ends_with("served"), "{}", first.answer);
    let redirect = world.plain(HOST, "/a?b").await;
    assert!(redirect.starts_with("HTTP/1.1 308"), "{redirect}");
    assert_eq!(world.store.acme_challenges().await.unwrap().len(), 0, "the challenge is over");

    // Nothing is due, so nothing is asked.
    world.clock.by(days(59));
    certificates.ask().await.unwrap();
    assert_eq!(world.visit(HOST, &roots).await.unwrap().shown, first.shown);

    let visitors = Visitors::send(world.edge.tls_address(), HOST, &roots);
    visitors.some_more().await;
    world.clock.by(days(61));
    certificates.ask().await.unwrap();
    visitors.some_more().await;
    let second = world.visit(HOST, &roots).await.unwrap();
    assert_ne!(second.shown, first.shown, "it was renewed");

    // Pebble counts by the real hour: this one is new, and is two thirds old only later.
    pebble.stop();
    world.clock.by(days(61));
    certificates.ask().await.unwrap();
    let view = async || certificates.list().await.unwrap().remove(0);
    let trouble = view().await.trouble.expect("there is trouble");
    assert_eq!(trouble.attempts, 1);
    assert!(trouble.reason.contains("refused"), "{}", trouble.reason);
    certificates.ask().await.unwrap();
    assert_eq!(view().await.trouble.unwrap().attempts, 1, "not before its time");
    let mut pauses = Vec::new();
    for day in 62..72 {
        world.clock.by(days(day));
        certificates.ask().await.unwrap();
        let now = view().await.trouble.unwrap();
        assert_eq!(now.since, trouble.since);
        pauses.push(now.next_attempt.as_second() - world.store.now().as_second());
    }
    // The second may have passed between the attempt and the look.
    let grows = pauses.windows(2).all(|pair| pair[0] <= pair[1] + 2);
    assert!(grows && pauses[0] < 150 && pauses[9] > 21_000, "{pauses:?}");
    let check = certificates.look().await;
    assert_eq!(check.state, CheckState::Attention);
    assert!(check.detail.contains(HOST) && check.detail.contains("11 attempts"), "{}", check.detail);
    visitors.some_more().await;
    assert_eq!(world.visit(HOST, &roots).await.unwrap().shown, second.shown, "the old one is shown");
    assert_eq!(visitors.refused().await, Vec::<String>::new());
    world.clock.by(days(91));
    assert_eq!(certificates.look().await.state, CheckState::Failed, "it has ended");

    // It comes back without its memory: it knows neither account nor root any more.
    pebble.go_on().await;
    for hours in [1, 20] {
        world.clock.by(days(72) + Duration::from_hours(hours));
        certificates.ask().await.unwrap();
    }
    let third = world.visit(HOST, &pebble.roots().await).await.unwrap();
    assert_ne!(third.shown, second.shown);
    assert_eq!(view().await.trouble, None);
    world.clock.by(days(1));
    assert_eq!(certificates.look().await.state, CheckState::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_cannot_be_proved_gets_none_and_says_why() {
    let world = World::new(&["good.example.com", "bad.example.com"]).await;
    // The authority looks where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pebble = Pebble::start(free).await;
    let certificates = world.certificates(by_acme(&pebble));
    certificates.ask().await.unwrap();
    let list = certificates.list().await.unwrap();
    assert_eq!(list.len(), 2);
    for one in &list {
        assert_eq!(one.source, None);
        let trouble = one.trouble.as_ref().unwrap();
        assert!(trouble.reason.contains("/.well-known/acme-challenge/"), "{}", trouble.reason);
    }
    assert!(world.visit("good.example.com", &pebble.roots().await).await.is_err());
    assert!(world.plain("good.example.com", "/").await.starts_with("HTTP/1.1 200"), "plain still serves");
    assert_eq!(world.store.acme_challenges().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_gets_a_certificate_for_a_new_route_by_itself() {
    let world = World::new(&[]).await;
    let pebble = Pebble::start(world.edge.address().port()).await;
    let certificates = std::sync::Arc::new(world.certificates(by_acme(&pebble)));
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(naru_certificate::run_forever(certificates.clone(), stop.clone()));
    world.lead(2, &[HOST]).await;
    let roots = pebble.roots().await;
    let had = async {
        while world.visit(HOST, &roots).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::world::SOON, had).await.expect("it is had without being asked for");
    assert_eq!(certificates.list().await.unwrap()[0].source, Some(CertificateSource::Acme));
    stop.cancel();
    running.await.unwrap();
}
