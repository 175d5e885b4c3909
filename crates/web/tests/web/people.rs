//! People: organisations, invitations, roles, accounts and sessions, as the API tells them.

use axum::body::Body;
use axum::http::StatusCode;
use naru_identity::Origin;
use naru_model::authorise::Principal;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::world::{Answer, World, is, request};

const MEMBERS: &str = "/api/v1/organisations/main/members";
const PASSWORD: &str = "a ferry in the morning";

/// Invites, accepts, and returns the token of the new account.
async fn join(world: &World, owner: &str, login: &str, role: &str) -> String {
    let made =
        world.call(owner, "POST", "/api/v1/organisations/main/invitations", json!({ "role": role })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let with = json!({ "invitation": made.json()["token"], "login": login, "password": PASSWORD });
    let accepted = world.call("", "POST", "/api/v1/invitations/accept", with).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    accepted.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_invitation_works_once_and_gives_its_role() {
    let (world, owner) = World::with_administrator().await;
    world.project("shop").await;
    let wish = json!({ "role": "developer", "address": "yuna@example.com" });
    let made = world.call(&owner, "POST", "/api/v1/organisations/main/invitations", wish).await.json();
    let token = &made["token"];
    assert_eq!(made["link"], format!("http://127.0.0.1:7070/join?token={}", token.as_str().unwrap()));
    let seen = world.call("", "POST", "/api/v1/invitations/look", json!({ "invitation": token })).await;
    assert_eq!((&seen.json()["role"], seen.text.contains("example.com")), (&json!("developer"), false));

    let answer = json!({ "invitation": token, "login": "yuna", "password": PASSWORD });
    let first = world.call("", "POST", "/api/v1/invitations/accept", answer.clone()).await;
    let yuna = first.json()["token"].as_str().unwrap().to_owned();
    is(
        &world.call("", "POST", "/api/v1/invitations/accept", answer).await,
        StatusCode::FORBIDDEN,
        "identity.invitation",
    );
    let who = world.get(&yuna, "/api/v1/whoami").await.json();
    assert_eq!(
        who["organisations"][0],
        json!({ "organisation": "main", "display_name": "", "role": "developer" })
    );
    assert_eq!(who["administrator"], json!(false));
    assert_eq!(world.get(&yuna, "/api/v1/projects/shop").await.status, 200);
    let forbidden = world.call(&yuna, "DELETE", "/api/v1/projects/shop?confirm=shop", Value::Null).await;
    is(&forbidden, StatusCode::FORBIDDEN, "api.forbidden");
    assert!(forbidden.text.contains("`delete`"), "{}", forbidden.text);
    let list = world.get(&owner, "/api/v1/organisations/main/invitations").await.json();
    assert_eq!(list["items"][0]["used_by"], "yuna");
    is(&world.get(&yuna, "/api/v1/accounts").await, StatusCode::FORBIDDEN, "api.forbidden");
}

#[tokio::test]
async fn members_change_roles_and_leave_but_not_the_last_owner() {
    let (world, owner) = World::with_administrator().await;
    let yuna = join(&world, &owner, "yuna", "viewer").await;
    let list = world.get(&yuna, MEMBERS).await.json();
    assert_eq!((&list["items"][1]["login"], &list["items"][1]["role"]), (&json!("yuna"), &json!("viewer")));
    let set = async |token: &str, login: &str, role: &str| {
        world.call(token, "PUT", &format!("{MEMBERS}/{login}"), json!({ "role": role })).await
    };
    is(&set(&yuna, "yuna", "owner").await, StatusCode::FORBIDDEN, "api.forbidden");
    is(&set(&owner, "minji", "viewer").await, StatusCode::CONFLICT, "identity.last-owner");
    assert_eq!(set(&owner, "yuna", "maintainer").await.status, 204);
    assert_eq!(world.call(&yuna, "POST", "/api/v1/projects", json!({ "name": "mine" })).await.status, 201);
    is(&set(&owner, "nobody", "viewer").await, StatusCode::NOT_FOUND, "api.missing");
    assert_eq!(world.call(&yuna, "POST", "/api/v1/organisations/main/leave", json!({})).await.status, 204);
    is(&world.get(&yuna, MEMBERS).await, StatusCode::NOT_FOUND, "api.missing");
    is(&world.get(&yuna, "/api/v1/projects/mine").await, StatusCode::NOT_FOUND, "api.missing");
}

#[tokio::test]
async fn a_protected_environment_is_for_maintainers_and_roles_replace_each_other() {
    let (world, owner) = World::with_administrator().await;
    world.project("shop").await;
    let yuna = join(&world, &owner, "yuna", "developer").await;
    let production = "/api/v1/projects/shop/environments/production";
    world.call(&owner, "PUT", production, json!({})).await;
    let maintain = async |token: &str| {
        world.call(token, "PUT", &format!("{production}/maintenance"), json!({})).await.status
    };
    assert_eq!(maintain(&yuna).await, 200);
    let protection = format!("{production}/protection");
    let protect = json!({ "protected": true });
    is(&world.call(&yuna, "PUT", &protection, protect.clone()).await, StatusCode::FORBIDDEN, "api.forbidden");
    assert_eq!(world.call(&owner, "PUT", &protection, protect).await.status, 200);
    assert_eq!(world.get(&yuna, production).await.json()["protected"], json!(true));
    assert_eq!((maintain(&yuna).await, maintain(&owner).await), (403, 200));

    let role = format!("{production}/roles/yuna");
    let set = async |role: &str, wanted: &str| {
        world.call(&owner, "PUT", role, json!({ "role": wanted })).await.status
    };
    assert_eq!(set(&role, "maintainer").await, 204);
    assert_eq!(maintain(&yuna).await, 200);
    assert_eq!(set("/api/v1/projects/shop/roles/yuna", "none").await, 204);
    assert_eq!(maintain(&yuna).await, 404, "a project that was taken away takes its environments along");
    let listed = world.get(&owner, "/api/v1/projects/shop/roles").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(set("/api/v1/projects/shop/roles/stranger", "owner").await, 404);
}

#[tokio::test]
async fn a_token_for_one_environment_deploys_there_only() {
    let (world, owner) = World::with_administrator().await;
    world.project("shop").await;
    for name in ["production", "staging"] {
        let path = format!("/api/v1/projects/shop/environments/{name}");
        world.call(&owner, "PUT", &path, json!({})).await;
    }
    let wish = json!({ "label": "ci", "project": "shop", "environment": "staging", "permissions": ["read", "deploy"] });
    let token = world.call(&owner, "POST", "/api/v1/tokens", wish).await.json();
    let token = token["token"].as_str().unwrap();
    let maintain = async |name: &str| {
        let path = format!("/api/v1/projects/shop/environments/{name}/maintenance");
        world.call(token, "PUT", &path, json!({})).await.status
    };
    assert_eq!((maintain("staging").await, maintain("production").await), (200, 404));
    assert_eq!(world.get(token, "/api/v1/projects/shop").await.status, 200);
    assert_eq!(world.call(token, "POST", "/api/v1/tokens", json!({ "label": "x" })).await.status, 403);
    let lost = json!({ "label": "ci", "environment": "staging" });
    is(
        &world.call(&owner, "POST", "/api/v1/tokens", lost).await,
        StatusCode::BAD_REQUEST,
        "identity.token-scope",
    );
}

#[tokio::test]
async fn a_disabled_account_is_nobody_until_it_is_let_in_again() {
    let (world, owner) = World::with_administrator().await;
    let yuna = join(&world, &owner, "yuna", "developer").await;
    let change = async |login: &str, change: Value| {
        world.call(&owner, "PUT", &format!("/api/v1/accounts/{login}"), change).await
    };
    is(
        &change("minji", json!({ "disabled": true })).await,
        StatusCode::CONFLICT,
        "identity.last-administrator",
    );
    assert_eq!(change("yuna", json!({ "disabled": true })).await.status, 200);
    is(&world.get(&yuna, "/api/v1/whoami").await, StatusCode::UNAUTHORIZED, "api.unauthenticated");
    let login = json!({ "login": "yuna", "password": PASSWORD });
    let refused = world.call("", "POST", "/api/v1/login", login).await;
    is(&refused, StatusCode::UNAUTHORIZED, "identity.wrong-password");
    let nobody = world.call("", "POST", "/api/v1/login", json!({ "login": "none", "password": "x" })).await;
    assert_eq!(refused.text, nobody.text, "what exists is not told");
    assert_eq!(change("yuna", json!({ "disabled": false })).await.status, 200);
    assert_eq!(world.get(&yuna, "/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn passwords_are_changed_and_set_anew_with_a_link() {
    let (world, owner) = World::with_administrator().await;
    let yuna = join(&world, &owner, "yuna", "developer").await;
    let change = async |current: &str, new: &str| {
        let wish = json!({ "current": current, "new": new });
        world.call(&yuna, "PUT", "/api/v1/account/password", wish).await
    };
    is(&change("wrong", "a new password").await, StatusCode::BAD_REQUEST, "identity.wrong-password");
    assert_eq!(change(PASSWORD, "a new password").await.status, 204);
    let log_in = async |password: &str| {
        world.call("", "POST", "/api/v1/login", json!({ "login": "yuna", "password": password })).await.status
    };
    assert_eq!((log_in(PASSWORD).await, log_in("a new password").await), (401, 201));

    let link = format!("{MEMBERS}/yuna/password-link");
    let first = world.call(&owner, "POST", &link, json!({})).await.json();
    let second = world.call(&owner, "POST", &link, json!({})).await.json();
    let reset = async |link: &Value| {
        let with = json!({ "link": link, "password": "the newest password" });
        world.call("", "POST", "/api/v1/password-reset", with).await
    };
    is(&reset(&first["token"]).await, StatusCode::FORBIDDEN, "identity.password-link");
    assert_eq!(reset(&second["token"]).await.status, 204);
    is(&reset(&second["token"]).await, StatusCode::FORBIDDEN, "identity.password-link");
    assert_eq!(log_in("the newest password").await, 201);

    // The password of somebody who can do more than the owner's organisation allows is not the owner's to set.
    let theirs = json!({ "name": "theirs", "owner": "yuna" });
    assert_eq!(world.call(&owner, "POST", "/api/v1/organisations", theirs).await.status, 201);
    is(
        &world.call(&owner, "POST", &link, json!({})).await,
        StatusCode::FORBIDDEN,
        "identity.not-yours-alone",
    );
    let by_office = world.call(&owner, "POST", "/api/v1/accounts/yuna/password-link", json!({})).await;
    assert_eq!(by_office.status, 201);
}

async fn session(world: &World) -> String {
    let minji = Principal { login: "minji".to_owned(), credential_id: "password".to_owned() };
    let origin = Origin { address: Some("192.0.2.7".parse().unwrap()), user_agent: "A browser".to_owned() };
    world.identity.start_session(&minji, &origin).await.unwrap().plain.expose_secret().to_owned()
}

async fn with_session(world: &World, session: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = request(None, method, path).header("cookie", format!("naru_session={session}"));
    world.read(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let (world, token) = World::with_administrator().await;
    let (one, other) = (session(&world).await, session(&world).await);
    let list = with_session(&world, &one, "GET", "/api/v1/sessions", json!({})).await.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let current = items.iter().find(|item| item["current"] == json!(true)).unwrap();
    assert!(one.contains(current["id"].as_str().unwrap()));
    assert_eq!((&current["user_agent"], &current["address"]), (&json!("A browser"), &json!("192.0.2.7")));
    let id = other.split('_').nth(1).unwrap();
    let ended = world.call(&token, "DELETE", &format!("/api/v1/sessions/{id}"), Value::Null).await;
    assert_eq!(ended.status, 204);
    assert_eq!(with_session(&world, &other, "GET", "/api/v1/whoami", json!({})).await.status, 401);
    assert_eq!(with_session(&world, &one, "GET", "/api/v1/whoami", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_gives_rights_asks_a_browser_for_the_password_again() {
    let (world, _) = World::with_administrator().await;
    let session = session(&world).await;
    let make =
        async || with_session(&world, &session, "POST", "/api/v1/tokens", json!({ "label": "x" })).await;
    assert_eq!(make().await.status, 201, "the password was given just now");
    world.pass(std::time::Duration::from_mins(11));
    is(&make().await, StatusCode::FORBIDDEN, "identity.confirm");
    let confirm = async |password: &str| {
        let body = json!({ "password": password });
        with_session(&world, &session, "POST", "/api/v1/account/confirm", body).await.status
    };
    assert_eq!(confirm("wrong").await, 400);
    is(&make().await, StatusCode::FORBIDDEN, "identity.confirm");
    assert_eq!(confirm("river crossing at dawn").await, 204);
    assert_eq!(make().await.status, 201);
}

#[tokio::test]
async fn the_audit_log_is_filtered_exported_and_shows_everybody_their_own() {
    let (world, owner) = World::with_administrator().await;
    let yuna = join(&world, &owner, "yuna", "developer").await;
    world.call(&owner, "POST", "/api/v1/projects", json!({ "name": "shop" })).await;
    world.call(&owner, "POST", "/api/v1/projects", json!({ "name": "shop" })).await;
    world.call(&yuna, "PUT", "/api/v1/account", json!({ "display_name": "=Yuna", "language": "ko" })).await;
    let count = async |token: &str, query: &str| {
        let lines = world.get(token, &format!("/api/v1/audit?{query}")).await.json();
        lines["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&owner, "action=project").await, 2);
    assert_eq!(count(&owner, "action=project&result=failed").await, 1);
    assert_eq!(count(&owner, "action=proj").await, 0, "an action is not cut in the middle");
    assert_eq!(count(&owner, "login=yuna&action=member.join").await, 1);
    assert_eq!(count(&owner, "since=2030-01-01T00:00:00Z").await, 0);
    assert_eq!(count(&yuna, "login=minji").await, 0, "what others did is their owners' to read");
    assert_eq!(count(&yuna, "").await, 2);
    is(&world.get(&owner, "/api/v1/audit?since=yesterday").await, StatusCode::BAD_REQUEST, "api.bad-request");
    let rows = world.get(&owner, "/api/v1/audit/export").await;
    assert_eq!(rows.headers["content-type"], "application/x-ndjson");
    let all: Vec<Value> = rows.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), count(&owner, "limit=200").await);
    let table = world.get(&owner, "/api/v1/audit/export?format=csv&login=yuna").await;
    assert!(table.text.starts_with("id,at,login,"), "{}", table.text);
    assert_eq!(table.text.lines().count(), 3, "{}", table.text);
}
