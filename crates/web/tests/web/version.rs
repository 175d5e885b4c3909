//! Versions of configuration and secrets, what environments have from their project, and exports.

use axum::http::StatusCode;
use naru_model::authorise::Permission;
use serde_json::{Value, json};

use crate::page::{Browser, has, leads};
use crate::world::{World, is};

const PROJECT: &str = "/api/v1/projects/shop";
const PRODUCTION: &str = "/api/v1/projects/shop/environments/production";
const PAGE: &str = "/projects/shop/environments/production";

async fn shop() -> (World, String) {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    for name in ["production", "staging"] {
        let made = world.call(&token, "PUT", &format!("{PROJECT}/environments/{name}"), json!({})).await;
        assert!(made.status < 300, "{}", made.text);
    }
    (world, token)
}

async fn put(world: &World, token: &str, path: &str, body: Value) -> Value {
    let answer = world.call(token, "PUT", path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn variables(world: &World, token: &str, environment: &str) -> (Value, Value) {
    let path = format!("{PROJECT}/environments/{environment}/configuration");
    let found = world.get(token, &path).await.json();
    (found["variables"].clone(), found["inherited"].clone())
}

#[tokio::test]
async fn versions_are_listed_compared_and_restored() {
    let (world, token) = shop().await;
    let path = format!("{PRODUCTION}/configuration");
    put(&world, &token, &path, json!({ "set": { "A": "1", "B": "2" } })).await;
    put(&world, &token, &path, json!({ "set": { "B": "3", "C": "4" }, "unset": ["A"] })).await;
    let list = world.get(&token, &format!("{path}/versions?limit=1")).await.json();
    assert_eq!((&list["items"][0]["version"], &list["items"][0]["by"]), (&json!(2), &json!("minji")));
    assert_eq!(list["next"], "2");
    let older = world.get(&token, &format!("{path}/versions?after=2")).await.json();
    assert_eq!((&older["items"][0]["version"], &older["next"]), (&json!(1), &Value::Null));

    let difference = world.get(&token, &format!("{path}/difference?from=1")).await.json();
    assert_eq!((&difference["added"], &difference["removed"]), (&json!({ "C": "4" }), &json!({ "A": "1" })));
    assert_eq!(difference["changed"], json!({ "B": { "from": "2", "to": "3" } }));
    let back = world.get(&token, &format!("{path}/difference?from=2&to=1")).await.json();
    assert_eq!(back["added"], json!({ "A": "1" }));
    let unknown = world.get(&token, &format!("{path}/difference?from=9")).await;
    is(&unknown, StatusCode::NOT_FOUND, "api.missing");

    let restore = async |version: u32| {
        world.call(&token, "POST", &format!("{path}/restore"), json!({ "version": version })).await
    };
    let restored = restore(1).await.json();
    assert_eq!((&restored["version"], restored["intent"].is_i64()), (&json!(3), true));
    assert_eq!(variables(&world, &token, "production").await.0, json!({ "A": "1", "B": "2" }));
    assert_eq!(restore(3).await.json()["intent"], Value::Null, "the same again changes nothing");
    is(&restore(9).await, StatusCode::NOT_FOUND, "api.missing");
    let file = world.get(&token, &format!("{path}/export")).await;
    assert_eq!(
        (file.text.as_str(), file.headers["content-type"].to_str().unwrap()),
        ("A=1\nB=2\n", "text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn what_a_project_sets_counts_where_an_environment_sets_nothing() {
    let (world, token) = shop().await;
    let (shared, own) = (format!("{PROJECT}/configuration"), format!("{PRODUCTION}/configuration"));
    put(&world, &token, &own, json!({ "set": { "LEVEL": "warn" } })).await;
    put(&world, &token, &shared, json!({ "set": { "LEVEL": "info", "ZONE": "Asia/Seoul" } })).await;
    let both = (json!({ "LEVEL": "warn", "ZONE": "Asia/Seoul" }), json!(["ZONE"]));
    assert_eq!(variables(&world, &token, "production").await, both);
    let inherited = (json!({ "LEVEL": "info", "ZONE": "Asia/Seoul" }), json!(["LEVEL", "ZONE"]));
    assert_eq!(variables(&world, &token, "staging").await, inherited);
    let made = world.call(&token, "PUT", &format!("{PROJECT}/environments/later"), json!({})).await;
    assert!(made.status < 300, "{}", made.text);
    assert_eq!(variables(&world, &token, "later").await, inherited, "also in one that comes later");

    put(&world, &token, &own, json!({ "unset": ["LEVEL"] })).await;
    assert_eq!(variables(&world, &token, "production").await, inherited);
    let nothing = put(&world, &token, &own, json!({ "unset": ["ZONE"] })).await;
    assert_eq!(nothing["intent"], Value::Null, "what comes from the project is unset there");
    put(&world, &token, &shared, json!({ "unset": ["LEVEL"] })).await;
    assert_eq!(
        variables(&world, &token, "staging").await,
        (json!({ "ZONE": "Asia/Seoul" }), json!(["ZONE"]))
    );
    let key = naru_model::EnvironmentKey {
        project: "shop".parse().unwrap(),
        environment: "staging".parse().unwrap(),
    };
    assert!(world.store.newest_intent(&key).await.unwrap().is_some(), "each environment is rendered");
}

#[tokio::test]
async fn restoring_keeps_what_comes_from_the_project() {
    let (world, token) = shop().await;
    let (shared, own) = (format!("{PROJECT}/configuration"), format!("{PRODUCTION}/configuration"));
    put(&world, &token, &shared, json!({ "set": { "ZONE": "UTC" } })).await;
    put(&world, &token, &own, json!({ "set": { "A": "1" } })).await;
    put(&world, &token, &own, json!({ "set": { "A": "2" } })).await;
    put(&world, &token, &shared, json!({ "set": { "ZONE": "Asia/Seoul" } })).await;
    world.call(&token, "POST", &format!("{own}/restore"), json!({ "version": 2 })).await;
    let expected = (json!({ "A": "1", "ZONE": "Asia/Seoul" }), json!(["ZONE"]));
    assert_eq!(variables(&world, &token, "production").await, expected);
}

async fn export(world: &World, token: &str, environment: &str) -> Value {
    let path = format!("{PROJECT}/environments/{environment}/secret-export");
    let answer = world.call(token, "POST", &path, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["values"].clone()
}

#[tokio::test]
async fn secrets_of_a_project_reach_its_environments_and_their_own_come_first() {
    let (world, token) = shop().await;
    let shared = |name: &str| format!("{PROJECT}/shared-secrets/{name}");
    put(&world, &token, &format!("{PRODUCTION}/secrets/KEY"), json!({ "value": "own" })).await;
    put(&world, &token, &shared("KEY"), json!({ "value": "of all" })).await;
    put(&world, &token, &shared("MAIL"), json!({ "value": "smtp" })).await;
    assert_eq!(export(&world, &token, "production").await, json!({ "KEY": "own", "MAIL": "smtp" }));
    assert_eq!(export(&world, &token, "staging").await, json!({ "KEY": "of all", "MAIL": "smtp" }));
    let list = world.get(&token, &format!("{PRODUCTION}/secrets")).await.json();
    assert_eq!(
        (&list["items"][0]["inherited"], &list["items"][1]["inherited"]),
        (&json!(false), &json!(true))
    );

    put(&world, &token, &shared("MAIL"), json!({ "value": "smtp 2" })).await;
    assert_eq!(export(&world, &token, "production").await["MAIL"], "smtp 2");
    let refused = world.call(&token, "DELETE", &format!("{PRODUCTION}/secrets/MAIL"), Value::Null).await;
    is(&refused, StatusCode::CONFLICT, "api.stale");
    assert_eq!(
        world.call(&token, "DELETE", &format!("{PRODUCTION}/secrets/KEY"), Value::Null).await.status,
        200
    );
    assert_eq!(export(&world, &token, "production").await["KEY"], "of all", "the project's counts again");
    world.call(&token, "PUT", &format!("{PROJECT}/environments/later"), json!({})).await;
    assert_eq!(export(&world, &token, "later").await, json!({ "KEY": "of all", "MAIL": "smtp 2" }));
    let gone = world.call(&token, "DELETE", &format!("{}?revoke=true", shared("MAIL")), Value::Null).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(export(&world, &token, "staging").await, json!({ "KEY": "of all" }));
}

#[tokio::test]
async fn which_secrets_there_were_is_listed_compared_and_restored_but_for_revoked_ones() {
    let (world, token) = shop().await;
    let secret = |name: &str| format!("{PRODUCTION}/secrets/{name}");
    for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
        put(&world, &token, &secret(name), json!({ "value": value })).await;
    }
    world.call(&token, "DELETE", &secret("B"), Value::Null).await;
    let list = world.get(&token, &format!("{PRODUCTION}/secret-versions")).await;
    let versions: Vec<_> =
        list.json()["items"].as_array().unwrap().iter().map(|it| it["version"].clone()).collect();
    assert_eq!(versions, [4, 3, 2, 1]);
    let difference =
        world.get(&token, &format!("{PRODUCTION}/secret-versions/difference?from=2")).await.json();
    assert_eq!(difference["changed"], json!(["A"]));
    assert_eq!((&difference["removed"], &difference["added"]), (&json!(["B"]), &json!([])));
    let restore = async |version: u32| {
        let path = format!("{PRODUCTION}/secret-versions/restore");
        world.call(&token, "POST", &path, json!({ "version": version })).await
    };
    let restored = restore(2).await.json();
    assert_eq!((&restored["version"], &restored["revoked"]), (&json!(5), &json!([])));
    assert_eq!(export(&world, &token, "production").await, json!({ "A": "1", "B": "2" }));

    world.call(&token, "DELETE", &format!("{}?revoke=true", secret("A")), Value::Null).await;
    put(&world, &token, &secret("A"), json!({ "value": "4" })).await;
    assert_eq!(restore(2).await.json()["revoked"], json!(["A"]));
    assert_eq!(export(&world, &token, "production").await, json!({ "A": "4", "B": "2" }));
    is(&restore(99).await, StatusCode::NOT_FOUND, "api.missing");
}

#[tokio::test]
async fn an_export_of_secrets_takes_the_right_to_read_them_and_is_written_down() {
    let (world, token) = shop().await;
    put(&world, &token, &format!("{PRODUCTION}/secrets/KEY"), json!({ "value": "open sesame" })).await;
    let path = format!("{PRODUCTION}/secret-export");
    let cut_down = world.scoped(&"shop".parse().unwrap(), &[Permission::Read, Permission::Configure]).await;
    is(&world.call(&cut_down, "POST", &path, json!({})).await, StatusCode::FORBIDDEN, "api.forbidden");
    export(&world, &token, "production").await;
    let audit = world.get(&token, "/api/v1/audit?action=secret.export").await;
    let line = &audit.json()["items"][0];
    assert_eq!((&line["result"], &line["detail"]), (&json!("done"), &json!("KEY")));
    assert!(!audit.text.contains("sesame"));
}

#[tokio::test]
async fn changing_every_environment_takes_the_right_in_each() {
    let (world, token) = shop().await;
    let wish = json!({ "label": "ci", "project": "shop", "environment": "staging", "permissions": ["read", "configure"] });
    let made = world.call(&token, "POST", "/api/v1/tokens", wish).await.json();
    let cut_down = made["token"].as_str().unwrap();
    let change = json!({ "set": { "A": "1" } });
    let refused = world.call(cut_down, "PUT", &format!("{PROJECT}/configuration"), change).await;
    is(&refused, StatusCode::FORBIDDEN, "api.forbidden");
    let value = json!({ "value": "x" });
    let refused = world.call(cut_down, "PUT", &format!("{PROJECT}/shared-secrets/KEY"), value).await;
    is(&refused, StatusCode::FORBIDDEN, "api.forbidden");
}

#[tokio::test]
async fn pages_show_versions_the_way_back_and_where_a_value_comes_from() {
    let (world, token) = shop().await;
    let browser = Browser::minji(&world).await;
    let shared = "/projects/shop/configuration";
    assert_eq!(leads(&browser.post(shared, "name=ZONE&value=UTC").await), shared);
    assert_eq!(
        leads(&browser.post(&format!("{shared}/secrets"), "name=MAIL&value=open+sesame").await),
        shared
    );
    let page = browser.get(shared).await;
    has(&page, &["For all environments", "ZONE", "UTC", "MAIL"]);
    assert!(!page.text.contains("sesame"));
    has(
        &browser.post(shared, "name=1+bad&value=kept").await,
        &["value=\"1 bad\"", ">kept<", "role=\"alert\""],
    );
    let configuration = browser.get(&format!("{PAGE}/configuration")).await;
    has(&configuration, &["from the project", "/configuration/versions"]);

    browser.post(&format!("{PAGE}/configuration"), "name=A&value=%3Cb%3E").await;
    browser.post(&format!("{PAGE}/configuration"), "name=A&value=2").await;
    let versions = browser.get(&format!("{PAGE}/configuration/versions?from=2&secrets=0")).await;
    has(&versions, &["What changed since version 2", "-A=&#60;b&#62;", "+A=2", "+MAIL", "current"]);
    let restore = format!("{PAGE}/configuration/restore");
    assert_eq!(leads(&browser.post(&restore, "version=2").await), format!("{PAGE}/configuration/versions"));
    assert_eq!(variables(&world, &token, "production").await.0["A"], "<b>");
    let file = browser.post(&format!("{PAGE}/secrets/export"), "").await;
    assert_eq!((file.status, file.text.as_str()), (200, "MAIL='open sesame'\n"));
    assert_eq!(browser.get(&format!("{PAGE}/configuration/versions?from=99")).await.status, 404);
    assert_eq!(leads(&browser.post(&format!("{shared}/unset"), "name=ZONE").await), shared);
    assert_eq!(leads(&browser.post(&format!("{shared}/secrets/unset"), "name=MAIL").await), shared);
    has(&browser.get(shared).await, &["No variable is set for all", "No secret is set for all"]);
}
