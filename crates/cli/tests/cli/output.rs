//! What commands print and how they end.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::World;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn landing(
    name: &str,
    state: &str,
    at: Option<&str>,
    reference: Option<&str>,
    detail: Option<&str>,
) -> Value {
    json!({ "name": name, "state": state, "at": at, "reference": reference, "detail": detail })
}

fn stopped() -> Value {
    json!({
        "project": "shop", "environment": "production",
        "sentence": "production serves release 40 as revision 11",
        "landings": [
            landing("trigger", "done", Some("2026-11-21T10:31:00Z"), Some("push by minji"), None),
            landing("run", "done", Some("2026-11-21T10:32:00Z"), Some("run 12"), Some("succeeded")),
            landing("image", "done", Some("2026-11-21T10:32:00Z"), Some("1 of 1 built"), None),
            landing("release", "done", Some("2026-11-21T10:32:01Z"), Some("release 41"), None),
            landing("rollout", "failed", Some("2026-11-21T10:33:01Z"), Some("revision 12"), None),
            landing("live", "skipped", None, None, None),
        ],
        "problem": {
            "code": "delivery.unhealthy",
            "summary": "release 41 of `shop` did not reach `production`",
            "cause": ["0 of 3 new replicas became healthy within 60 s"],
            "state": "release 40 still serves all traffic",
            "hint": ["set the variable, then deploy again:", "$ naru env set DATABASE_URL=<value> --project shop"],
        },
        "urls": ["http://shop.localhost:8080"],
    })
}

fn moving() -> Value {
    let mut crossing = stopped();
    crossing["landings"][4]["state"] = json!("moving");
    crossing["landings"][4]["detail"] = json!("1 of 3 new replicas are ready");
    crossing["landings"][5]["state"] = json!("waiting");
    crossing.as_object_mut().unwrap().remove("problem");
    crossing
}

fn live() -> Value {
    let mut crossing = moving();
    for landing in crossing["landings"].as_array_mut().unwrap() {
        landing["state"] = json!("done");
    }
    crossing
}

const CROSSING: &str = "GET /api/v1/projects/shop/environments/production/crossing";

#[tokio::test]
async fn status_draws_the_crossing_and_says_why_it_stopped() {
    let world = World::new().await.on(CROSSING, 200, &stopped());
    assert_snapshot!(world.run("status").await);
}

#[tokio::test]
async fn status_watch_ends_with_the_crossing() {
    let world = World::new().await.on(CROSSING, 200, &moving()).on(CROSSING, 200, &live());
    let ended = world.run("status --watch").await;
    assert_eq!(ended.code, 0);
    assert_snapshot!(ended.out.lines().take(2).collect::<Vec<_>>().join("\n"), @r"
    ● trigger → ● run → ● image → ● release → ◐ rollout → ○ live
    ● trigger → ● run → ● image → ● release → ● rollout → ● live
    ");
    let world = World::new().await.on(CROSSING, 200, &stopped());
    assert_eq!(world.run("status --watch").await.code, 1);
}

#[tokio::test]
async fn status_as_json_is_the_servers_answer() {
    let world = World::new().await.on(CROSSING, 200, &stopped());
    let ended = world.run("status --json").await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), stopped());
}

#[tokio::test]
async fn lists_are_tables_and_empty_ones_teach() {
    let run = json!({
        "number": 12, "commit": COMMIT, "branch": "main", "state": "failed", "created_at": "2026-11-21T10:31:00Z",
        "problem": { "code": "pipeline.step-failed", "summary": "step test failed" },
    });
    let world = World::new()
        .await
        .on("GET /api/v1/projects/shop/runs?limit=20", 200, &json!({ "items": [run], "next": "12" }))
        .on("GET /api/v1/projects?limit=20", 200, &json!({ "items": [] }));
    assert_snapshot!(world.run("run list").await);
    assert_snapshot!(world.run("project list").await);
}

#[tokio::test]
async fn a_run_shows_what_its_tests_came_to() {
    let step = |name: &str, state: &str| json!({ "name": name, "needs": [], "state": state });
    let mut test = step("test", "failed");
    test["detail"] = json!("exited with code 101");
    test["tests"] = json!({
        "passed": 128, "failed": 3, "skipped": 0, "failed_names": ["cart::adds_up", "evil\u{1b}[2J\u{202e}"],
    });
    let run = json!({
        "number": 12, "commit": COMMIT, "branch": "main", "state": "failed", "created_at": "2026-11-21T10:31:00Z",
    });
    let answer = json!({ "run": run, "steps": [step("lint", "done"), test] });
    let world = World::new().await.on("GET /api/v1/projects/shop/runs/12", 200, &answer);
    assert_snapshot!(world.run("run show 12").await);
}

#[tokio::test]
async fn creating_a_project_shows_where_to_push() {
    let project = json!({
        "name": "shop", "default_branch": "main", "created_at": "2026-11-21T10:34:00Z", "deleting": false,
        "source_url": "http://naru/git/shop.git", "deploy_url": "http://naru/git/shop.deploy.git",
    });
    let world = World::new().await.on("POST /api/v1/projects", 201, &project);
    assert_snapshot!(world.run("project create shop").await);
    let asked = world.asked();
    assert_eq!(asked[0].line, r#"POST /api/v1/projects {"name":"shop","default_branch":"main"}"#);
    assert_eq!(asked[0].token.as_deref(), Some("Bearer naru_test"));
}

#[tokio::test]
async fn an_error_has_five_fields_and_its_exit_code() {
    let problem = |code: &str| json!({ "code": code, "summary": "it did not work", "cause": ["because"] });
    for (status, code) in [(400, 1), (401, 3), (403, 3), (404, 4), (409, 5), (500, 1), (503, 6)] {
        let world = World::new().await.on("GET /api/v1/projects/shop", status, &problem("x.y"));
        let ended = world.run("project show").await;
        assert_eq!(ended.code, code, "{status}");
        assert_eq!(ended.err, "error: it did not work\n  cause: because\ncode: x.y\n");
        let ended = world.run("project show --json").await;
        assert_eq!(serde_json::from_str::<Value>(&ended.err).unwrap()["code"], "x.y");
    }
    let world = World::new().await.text("GET /api/v1/projects/shop", 502, "<html>", "text/html");
    assert_snapshot!(world.run("project show").await);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_exit_code_6() {
    let mut world = World::new().await;
    world.variables.insert("NARU_URL".to_owned(), "http://127.0.0.1:1".to_owned());
    assert_snapshot!(world.run("whoami").await);
}

#[tokio::test]
async fn without_a_login_the_next_command_is_named() {
    let world = World::new().await.without("NARU_URL");
    assert_snapshot!(world.run("whoami").await);
}

#[tokio::test]
async fn hostile_names_and_messages_do_not_reach_the_terminal() {
    let trigger = json!({
        "id": "1", "kind": "push", "reference": "main\u{1b}[2J", "by": "\u{9b}31mmallory\u{202e}", "state": "rejected",
        "received_at": "2026-11-21T10:31:00Z", "detail": "\u{1b}]0;owned\u{7}",
    });
    let path = "GET /api/v1/projects/shop/triggers?limit=20";
    let world = World::new().await.on(path, 200, &json!({ "items": [trigger] }));
    for line in ["trigger list", "trigger list --json"] {
        let ended = world.run(line).await;
        let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert_eq!(ended.code, 0, "{ended}");
        assert!(!ended.out.contains(obeyed), "{:?}", ended.out);
    }
}

#[tokio::test]
async fn logs_follow_and_keep_colours_on_a_terminal_only() {
    let line = json!({
        "at": "2026-11-21T10:31:00.5Z", "position": "web=7", "source": "web-1-0",
        "text": "\u{1b}[31mred\u{1b}[0m \u{1b}[2Jgone",
    });
    let events = format!("event: line\nid: web=7\ndata: {line}\n\n: keep-alive\n\n");
    let path = "GET /api/v1/projects/shop/environments/production/logs?service=web&follow=true";
    let mut world = World::new().await.text(path, 200, &events, "text/event-stream");
    let ended = world.run("logs web -f --times").await;
    assert_eq!(ended.out, "2026-11-21T10:31:00.500Z web-1-0 | red gone\n");
    world.draws = true;
    let ended = world.run("logs web -f").await;
    assert!(ended.out.contains("\u{1b}[31mred\u{1b}[0m gone"), "{:?}", ended.out);
    assert!(!ended.out.contains("\u{1b}[2J"));
}

#[tokio::test]
async fn a_secret_is_read_from_standard_input_and_never_printed() {
    let path = "PUT /api/v1/projects/shop/environments/production/secrets/DATABASE_URL";
    let world = World::new().await.on(path, 200, &json!({ "version": 3, "intent": 5 }));
    let ended = world.run_with_input("secret set DATABASE_URL", "postgres://hunter2\n").await;
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(world.asked()[0].line, format!(r#"{path} {{"value":"postgres://hunter2"}}"#));
    assert!(!ended.to_string().contains("hunter2"));
    assert_eq!(world.run("secret set DATABASE_URL value").await.code, 2, "never from the command line");
}

fn intent(state: &str, revision: Option<u32>) -> Value {
    let commit = (state == "done").then_some(COMMIT);
    json!({
        "id": 5, "environment": "production", "what": "deploy release 41", "by": "minji", "state": state,
        "created_at": "2026-11-21T10:34:00Z", "commit": commit, "revision": revision,
    })
}

fn revision(rollout: &str) -> Value {
    json!({
        "number": 12, "commit": COMMIT, "release": 41, "configuration": 2, "author": "minji", "message": "Deploy",
        "created_at": "2026-11-21T10:34:00Z", "rollout": rollout,
        "problem": if rollout == "failed" { stopped()["problem"].clone() } else { Value::Null },
    })
}

async fn deploying(last: &str) -> World {
    let environment = json!({
        "name": "production", "condition": "moving", "detail": "1 of 3 new replicas are ready", "configuration": 2,
        "since": "2026-11-21T10:34:00Z", "urls": [],
    });
    let base = "/api/v1/projects/shop/environments/production";
    World::new()
        .await
        .on(&format!("POST {base}/deploy"), 202, &intent("pending", None))
        .on("GET /api/v1/projects/shop/intents/5", 200, &intent("pending", None))
        .on("GET /api/v1/projects/shop/intents/5", 200, &intent("done", Some(12)))
        .on(&format!("GET {base}/revisions/12"), 200, &revision("moving"))
        .on(&format!("GET {base}/revisions/12"), 200, &revision(last))
        .on(&format!("GET {base}"), 200, &environment)
}

#[tokio::test]
async fn deploy_wait_follows_the_rollout_to_its_end() {
    assert_snapshot!(deploying("live").await.run("deploy --wait").await);
    assert_snapshot!(deploying("failed").await.run("deploy 41 --wait").await);
    assert_eq!(deploying("moving").await.run("deploy --wait --timeout 1").await.code, 1);
}

#[tokio::test]
async fn login_remembers_the_token_where_only_its_owner_can_read_it() {
    let issued = json!({ "id": "ab", "token": "naru_fresh", "login": "minji" });
    let mut world =
        World::new().await.without("NARU_TOKEN").without("NARU_URL").on("POST /api/v1/login", 201, &issued);
    world.variables.insert("HOSTNAME".to_owned(), "laptop".to_owned());
    let line = format!("login {} --login minji", world.url);
    let ended = world.run_with_input(&line, "river crossing at dawn\n").await;
    assert_snapshot!(ended);
    let file = world.folder.path().join(".config/naru/config.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let world = world.on("GET /api/v1/whoami", 200, &json!({ "login": "minji" }));
    assert_eq!(world.run("whoami").await.out, "minji at http://naru\n");
    assert_eq!(world.asked().last().unwrap().token.as_deref(), Some("Bearer naru_fresh"));
}

#[tokio::test]
async fn a_remembered_token_is_not_sent_to_another_server() {
    let issued = json!({ "id": "ab", "token": "naru_fresh", "login": "minji" });
    let world = World::new().await.without("NARU_TOKEN").on("POST /api/v1/login", 201, &issued);
    world.run_with_input(&format!("login {} --login minji", world.url), "x\n").await;
    let other = World::new().await.on("GET /api/v1/whoami", 200, &json!({ "login": "?" }));
    let mut world = world;
    world.variables.insert("NARU_URL".to_owned(), other.url.clone());
    world.run("whoami").await;
    assert_eq!(other.asked()[0].token, None);
}

#[tokio::test]
async fn the_setup_link_makes_the_first_administrator() {
    let issued = json!({ "id": "ab", "token": "naru_first", "login": "minji" });
    let world = World::new().await.on("POST /api/v1/setup", 201, &issued);
    let line = format!("login --login minji --setup-link {}/setup?token=setup_ab_cd", world.url);
    let ended = world.run_with_input(&line, "river crossing at dawn\n").await;
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(
        world.asked()[0].line,
        r#"POST /api/v1/setup {"setup_token":"setup_ab_cd","login":"minji","password":"river crossing at dawn"}"#
    );
    assert!(!ended.to_string().contains("naru_first"));
}

#[tokio::test]
async fn the_project_comes_from_the_git_remote_of_the_folder() {
    let world = World::new().await.without("NARU_PROJECT").on(CROSSING, 200, &live());
    let refused = world.run("status").await;
    assert_snapshot!(refused);
    let git = |arguments: &[&str]| {
        #[expect(clippy::disallowed_methods, reason = "a repository for the test, with real git")]
        let mut git = std::process::Command::new("git");
        let done = git.args(arguments).current_dir(world.folder.path()).output().unwrap();
        assert!(done.status.success());
    };
    git(&["init", "--quiet"]);
    git(&["remote", "add", "naru", "http://127.0.0.1:7070/git/shop.git"]);
    assert_eq!(world.run("status").await.code, 0);
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_asked() {
    let world = World::new().await;
    for line in [
        "project create ../etc",
        "project create a;b",
        "status -p $(id)",
        "env set 1A=x",
        "run show x",
        "deploy -1",
    ] {
        let ended = world.run(line).await;
        assert_eq!(ended.code, 2, "{line}");
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_rollout_is_told_and_decided_on() {
    let rollout = json!({
        "environment": "production", "revision": 7, "release": 41, "serving": 6, "state": "moving", "stage": "step",
        "step": 2, "detail": "25 % of requests go to revision 7; next step in 40 s",
        "started_at": "2026-11-21T10:31:00Z", "stage_since": "2026-11-21T10:32:00Z",
    });
    let path = "/api/v1/projects/shop/environments/production/rollout";
    let world = World::new().await.on(&format!("GET {path}"), 200, &rollout);
    assert_snapshot!(world.run("rollout show").await);
    let mut promoted = rollout.clone();
    promoted["decision"] = json!("promoted by minji");
    let world = World::new().await.on(&format!("POST {path}/promote"), 202, &promoted);
    assert_snapshot!(world.run("rollout promote").await);
    let ended = World::new()
        .await
        .on(&format!("POST {path}/abort"), 202, &promoted)
        .run("rollout abort --json")
        .await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), promoted);
}

#[tokio::test]
async fn a_release_is_promoted_to_the_next_environment() {
    let intent = json!({
        "id": 9, "environment": "production", "what": "deploy release 41", "by": "minji",
        "created_at": "2026-11-21T10:34:00Z", "state": "pending",
    });
    let world =
        World::new().await.on("POST /api/v1/projects/shop/environments/production/promote", 202, &intent);
    assert_snapshot!(world.run("promote --from staging --to production").await);
    assert!(
        world.asked()[0].line.ends_with(r#"{"from":"staging","force":false}"#),
        "{}",
        world.asked()[0].line
    );
}
