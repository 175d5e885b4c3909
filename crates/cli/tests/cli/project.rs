//! What is said about projects, favourites, and what runs and is kept.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::World;

fn project() -> Value {
    json!({
        "name": "shop", "default_branch": "main", "created_at": "2026-11-21T10:34:00Z", "deleting": false,
        "summary": "Sells \u{1b}[2Jthings", "description": "More\n\nabout it\u{202e}", "owner": "minji",
        "contacts": [{ "label": "On call", "address": "oncall@example.com" }], "favourite": true,
        "source_url": "http://naru/git/shop.git", "deploy_url": "http://naru/git/shop.deploy.git",
    })
}

#[tokio::test]
async fn a_project_is_shown_with_what_is_said_about_it() {
    let world = World::new().await.on("GET /api/v1/projects/shop", 200, &project());
    let ended = world.run("project show").await;
    assert!(!ended.out.contains(['\u{1b}', '\u{202e}']), "{:?}", ended.out);
    assert_snapshot!(ended, @"
    exit: 0
    --- out
    name               shop
    summary            Sells �[2Jthings
    owner              minji
    contacts           On call: oncall@example.com
    favourite          ★
    branch             main
    created            5 s ago (10:34:00Z)
    source             http://naru/git/shop.git
    deploy repository  http://naru/git/shop.deploy.git

    More

    about it�
    --- err
    ");
}

#[tokio::test]
async fn what_is_named_is_said_and_what_is_not_stays() {
    let path = "PUT /api/v1/projects/shop";
    let world = World::new().await.on(path, 200, &project());
    let ended = world.run("project set --summary Sells --owner minji --contact oncall@example.com").await;
    assert_eq!(ended.code, 0, "{ended}");
    world.run_with_input("project set shop --description - --no-contacts", "More\n\nabout it\n").await;
    let asked: Vec<String> = world.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        asked,
        [
            format!(
                r#"{path} {{"summary":"Sells","owner":"minji","contacts":[{{"label":"","address":"oncall@example.com"}}]}}"#
            ),
            format!(r#"{path} {{"description":"More\n\nabout it\n","contacts":[]}}"#),
        ]
    );
    for wrong in
        ["project set", "project set --contact javascript:x", "project set --no-contacts --contact a@b.c"]
    {
        assert_eq!(world.run(wrong).await.code, 2, "{wrong}");
    }
    assert_eq!(world.run("project set --description none.txt").await.code, 1);
}

#[tokio::test]
async fn favourites_are_kept_listed_and_given_up() {
    let path = "/api/v1/projects/shop/favourite";
    let world = World::new()
        .await
        .on(&format!("PUT {path}"), 204, &Value::Null)
        .on(&format!("DELETE {path}"), 204, &Value::Null)
        .on("GET /api/v1/projects?limit=20&favourites=true", 200, &json!({ "items": [project()] }));
    assert_snapshot!(world.run("project star").await, @"
    exit: 0
    --- out
    --- err
    `shop` is among your favourites
    ");
    assert_snapshot!(world.run("project list --favourites").await, @"
    exit: 0
    --- out
    NAME    BRANCH  STATE    CREATED              SUMMARY
    shop ★  main    ● ready  5 s ago (10:34:00Z)  Sells �[2Jthings
    --- err
    ");
    assert_snapshot!(world.run("project unstar shop").await, @"
    exit: 0
    --- out
    --- err
    `shop` is not among your favourites
    ");
    let empty = json!({ "items": [] });
    let world = World::new().await.on("GET /api/v1/projects?limit=20&favourites=true", 200, &empty);
    assert_snapshot!(world.run("project list --favourites").await, @"
    exit: 0
    --- out
    --- err
    no favourites yet; keep one with: naru project star <name>
    ");
}

#[tokio::test]
async fn what_runs_and_what_is_kept_is_listed() {
    let base = "GET /api/v1/projects/shop/environments/production";
    let replicas = json!({ "items": [
        { "name": "web-3-0", "service": "web", "revision": 3, "restarts": 0, "condition": "ready",
          "since": "2026-11-21T10:31:00Z" },
        { "name": "web-3-1-2", "service": "web", "revision": 3, "restarts": 2, "condition": "exited",
          "since": "2026-11-21T10:34:00Z", "ended": "exited with code 1" },
    ] });
    let volumes = json!({ "items": [{ "name": "data", "service": "web", "path": "/data", "size": "1Gi", "access": "exclusive" }] });
    let storage = json!({ "parts": [{ "name": "blobs", "bytes": 1_610_612_736 }, { "name": "naru.db", "bytes": 300 }] });
    let world = World::new()
        .await
        .on(&format!("{base}/replicas"), 200, &replicas)
        .on(&format!("{base}/volumes"), 200, &volumes)
        .on("GET /api/v1/storage", 200, &storage);
    assert_snapshot!(world.run("replica list").await, @"
    exit: 0
    --- out
    REPLICA    STATE     REVISION  RESTARTS  SINCE                  ENDED
    web-3-0    ● ready   3         0         3 min ago (10:31:00Z)
    web-3-1-2  ■ exited  3         2         5 s ago (10:34:00Z)    exited with code 1
    --- err
    ");
    assert_snapshot!(world.run("volume list").await, @"
    exit: 0
    --- out
    VOLUME  SERVICE  PATH   SIZE  ACCESS
    data    web      /data  1Gi   one replica at a time
    --- err
    ");
    assert_snapshot!(world.run("storage").await, @"
    exit: 0
    --- out
    PART     SIZE
    blobs    1.5 GiB
    naru.db  0.2 KiB
    --- err
    ");
    for (line, expected) in
        [("replica list --json", replicas), ("volume list --json", volumes), ("storage --json", storage)]
    {
        assert_eq!(serde_json::from_str::<Value>(&world.run(line).await.out).unwrap(), expected);
    }
}
