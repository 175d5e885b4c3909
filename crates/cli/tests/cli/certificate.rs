//! `naru certificate` and `naru environment transport`.

use insta::assert_snapshot;
use serde_json::json;

use crate::world::World;

const TRANSPORT: &str = "/api/v1/projects/shop/environments/production/transport";

#[tokio::test]
async fn the_list_says_since_when_and_why_there_is_none() {
    let hosts = json!({ "items": [
        { "host": "shop.example.com", "routed": true, "source": "acme", "not_before": "2026-08-23T10:00:00Z",
          "not_after": "2026-11-25T10:00:00Z", "renews_at": "2026-10-25T10:00:00Z",
          "trouble": { "since": "2026-11-21T08:34:05Z", "attempts": 7, "reason": "connection refused",
                       "next_attempt": "2026-11-21T11:34:05Z" } },
        { "host": "old.example.com", "routed": false, "source": "own", "not_before": "2026-01-01T00:00:00Z",
          "not_after": "2027-01-01T00:00:00Z" },
        { "host": "new.example.com", "routed": true },
    ]});
    let world = World::new().await.on("GET /api/v1/certificates", 200, &hosts);
    assert_snapshot!(world.run("certificate list").await, @"
    exit: 0
    --- out
    HOST              FROM             ENDS                         RENEWAL                       TROUBLE SINCE
    shop.example.com  acme             in 3 d (2026-11-25 10:00Z)   27 d ago (2026-10-25 10:00Z)  2 h ago (08:34:05Z): connection refused; 7 attempts, again in 60 min (2026-11-21 11:34Z)
    old.example.com   given, no route  in 40 d (2027-01-01 00:00Z)
    new.example.com   ▲ none
    --- err
    ");
}

#[tokio::test]
async fn files_are_sent_and_never_named_on_the_wire() {
    let set = json!({ "host": "shop.example.com", "routed": true, "source": "own", "not_after": "2027-01-01T00:00:00Z" });
    let world = World::new().await.on("PUT /api/v1/certificates/shop.example.com", 200, &set);
    std::fs::write(world.folder.path().join("chain.pem"), "a chain").unwrap();
    std::fs::write(world.folder.path().join("key.pem"), "a key").unwrap();
    let ended = world.run("certificate set shop.example.com --cert chain.pem --key key.pem").await;
    assert_snapshot!(ended, @"
    exit: 0
    --- out
    --- err
    visitors of `shop.example.com` are shown this certificate until 2027-01-01T00:00:00Z
    ");
    let asked = &world.asked()[0].line;
    assert_eq!(asked, r#"PUT /api/v1/certificates/shop.example.com {"chain":"a chain","key":"a key"}"#);
    let missing = world.run("certificate set shop.example.com --cert nothing.pem --key key.pem").await;
    assert!(missing.code != 0 && missing.err.contains("cli.file"), "{missing}");
    let url = world.on("DELETE /api/v1/certificates/%2A.example.com", 204, &json!(null));
    assert_eq!(url.run("certificate unset *.example.com").await.code, 0);
}

#[tokio::test]
async fn only_the_named_part_of_transport_changes() {
    let (get, put) = (format!("GET {TRANSPORT}"), format!("PUT {TRANSPORT}"));
    let before = json!({ "redirect": false });
    let after = json!({ "redirect": false, "hsts_s": 15_552_000 });
    let world = World::new().await.on(&get, 200, &before).on(&put, 200, &after);
    let ended = world.run("environment transport --hsts 180d").await;
    assert_snapshot!(ended, @"
    exit: 0
    --- out
    redirect to TLS  off
    HSTS             15552000 s
    --- err
    ");
    assert_eq!(world.asked()[1].line, format!("{put} {after}"));
    assert_eq!(world.run("environment transport --hsts soon").await.code, 2);
}
