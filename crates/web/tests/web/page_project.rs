//! Home, the list of projects, a project and a new one.

use std::time::{Duration, Instant};

use naru_model::EnvironmentKey;
use naru_model::rollout::Status;

use crate::page::{Browser, has, leads};
use crate::seed::{Ending, environment, run};
use crate::world::World;

#[tokio::test]
async fn home_says_what_needs_somebody() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/").await, &["There is no project yet", "naru project create shop"]);
    let shop = world.project("shop").await;
    run(&world, &shop, "minji", Ending::Success).await;
    environment(&world, &shop, "production", 1, Status::Live).await;
    has(
        &browser.get("/").await,
        &["Nothing needs you", "production serves release 1 as revision 1, healthy"],
    );
    let blog = world.project("blog").await;
    run(&world, &blog, "minji", Ending::Failure).await;
    environment(&world, &blog, "staging", 1, Status::Degraded { detail: "1 of 2 replicas".into() }).await;
    let home = browser.get("/").await;
    has(&home, &["2 things need you", "run 1 of main failed", "staging · degraded"]);
    let korean = Browser { language: "ko", ..Browser::minji(&world).await };
    has(&korean.get("/").await, &["확인할 일이 2개 있어요", "main 브랜치의 런 1 실패"]);
}

#[tokio::test]
async fn a_project_shows_its_crossing_and_every_environment() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    let browser = Browser::minji(&world).await;
    let empty = browser.get("/projects/shop").await;
    has(
        &empty,
        &["Nothing serves in production yet", "git remote add naru http://127.0.0.1:7070/git/shop.git"],
    );
    run(&world, &shop, "minji", Ending::Success).await;
    environment(&world, &shop, "production", 1, Status::Live).await;
    environment(&world, &shop, "staging", 1, Status::Live).await;
    let page = browser.get("/projects/shop").await;
    has(
        &page,
        &[
            "production serves release 1 as revision 1, healthy",
            "push by minji",
            "/projects/shop/runs/1",
            "/projects/shop/environments/staging",
            "data-events=\"/api/v1/projects/shop/events\"",
        ],
    );
    let landings = page.text.matches("class=\"landing\"").count();
    assert_eq!(landings, 6);
}

#[tokio::test]
async fn the_list_is_searched_filtered_sorted_and_paged_on_the_server() {
    let (world, _) = World::with_administrator().await;
    for number in 0..60 {
        world.project(&format!("project-{number:02}")).await;
    }
    let bad = world.project("a100-percent").await;
    environment(&world, &bad, "production", 1, Status::Degraded { detail: "x".into() }).await;
    let browser = Browser::minji(&world).await;
    let first = browser.get("/projects").await;
    has(&first, &["50 of 61", "Next page", "/projects/a100-percent"]);
    has(&browser.get("/projects?page=2").await, &["project-59", "Previous page"]);
    has(&browser.get("/projects?q=PROJECT-5").await, &["project-51", "10 of 10"]);
    let trouble = browser.get("/projects?state=trouble").await;
    has(&trouble, &["a100-percent", "1 of 1", "degraded"]);
    assert!(!trouble.text.contains("project-01"));
    for hostile in ["%25", "_", "%27%20OR%201=1", "%22%3E%3Cscript%3E"] {
        let none = browser.get(&format!("/projects?q={hostile}")).await;
        has(&none, &["No project has this name and state"]);
        assert!(!none.text.contains("\"><script>"));
    }
    has(&browser.get("/projects?sort=state").await, &["aria-sort=\"descending\""]);
}

#[tokio::test]
async fn a_page_of_ten_thousand_projects_comes_within_a_tenth_of_a_second() {
    let (world, _) = World::with_administrator().await;
    for number in 0..10_000 {
        let project = world.project(&format!("p{number:05}")).await;
        let key = EnvironmentKey { project, environment: "production".parse().unwrap() };
        world.store.ensure_environment(&key, None).await.unwrap();
    }
    let browser = Browser::minji(&world).await;
    for query in ["", "?page=200", "?q=77", "?state=trouble", "?sort=state", "?sort=active&page=100"] {
        comes_within(&browser, &format!("/projects{query}"), Duration::from_millis(100)).await;
    }
}

/// The dev profile and a busy machine are given twice the time that is promised.
async fn comes_within(browser: &Browser<'_>, path: &str, promised: Duration) {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(browser.get(path).await.status, 200);
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < promised * 2, "{path}: {quickest:?}");
}

#[tokio::test]
async fn home_comes_within_a_twentieth_of_a_second_with_all_its_crossings() {
    let (world, _) = World::with_administrator().await;
    for number in 0..200 {
        let project = world.project(&format!("p{number:03}")).await;
        if number % 10 == 0 {
            run(&world, &project, "minji", Ending::Success).await;
            environment(&world, &project, "production", 1, Status::Live).await;
        }
        if number % 20 == 0 {
            world.store.set_favourite("minji", &project, true).await.unwrap();
        }
    }
    let browser = Browser::minji(&world).await;
    let home = browser.get("/").await;
    assert_eq!(home.text.matches("serves release 1 as revision 1, healthy").count(), 15);
    comes_within(&browser, "/", Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_new_project_is_checked_while_its_name_is_typed_and_begins_as_chosen() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/new").await, &["New project", "A static site", "data-check=\"/new/check\""]);
    has(&browser.get("/new/check?name=blog").await, &["right-now", "blog is free"]);
    has(&browser.get("/new/check?name=shop").await, &["wrong", "shop is taken"]);
    has(&browser.get("/new/check?name=%3Cb%3E").await, &["wrong", "lower-case letters"]);

    let refused = browser.post("/new", "name=shop&start=static").await;
    assert_eq!(refused.status, 409);
    has(&refused, &["shop is taken", "value=\"shop\"", "value=\"static\" checked"]);
    let bad = browser.post("/new", "name=%22%3E%3Cscript%3E").await;
    assert_eq!(bad.status, 400);
    assert!(!bad.text.contains("\"><script>"));

    assert_eq!(leads(&browser.post("/new", "name=empty&start=empty").await), "/projects/empty");
    assert!(world.behind.commits.lock().unwrap().is_empty());
    for (start, files) in [("static", "index.html style.css"), ("docker", "Dockerfile naru.yaml src/main.rs")]
    {
        assert_eq!(
            leads(&browser.post("/new", &format!("name=from-{start}&start={start}")).await),
            format!("/projects/from-{start}")
        );
        assert_eq!(world.behind.commits.lock().unwrap().pop().unwrap(), format!("minji main: {files}"));
        let project = format!("from-{start}").parse().unwrap();
        let triggers = world.store.triggers(&project, None, 9).await.unwrap();
        assert_eq!((triggers.len(), triggers[0].state.as_str()), (1, "accepted"));
    }
    let audit = world.get(&token, "/api/v1/audit").await.json();
    let lines = audit["items"].as_array().unwrap().iter().filter(|line| line["action"] == "project.create");
    let results: Vec<&str> = lines.map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "done", "done", "api.bad-name", "api.exists"]);
}

#[tokio::test]
async fn a_template_takes_its_settings_and_what_cannot_be_is_said_beside_its_field() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    let ours = "ours".parse().unwrap();
    world.store.create_organisation(&ours, "", "minji").await.unwrap();
    has(&browser.get("/new?organisation=ours").await, &["<option selected>ours</option>", "Host name"]);
    has(
        &browser.get("/new/check/host?host=shop.example.com").await,
        &["right-now", "shop.example.com is free"],
    );
    has(&browser.get("/new/check/host?host=127.0.0.1").await, &["wrong"]);
    has(&browser.get("/new/check/host?host=a%2Fb").await, &["wrong", "letters, digits and hyphens"]);
    has(
        &browser.post("/new/look", "name=api&start=docker&port=3000&variables=A%3D1").await,
        &["has a Dockerfile", "listens on 3000", "api is free"],
    );

    let refuse = async |fields: &str, said: &str| {
        let refused =
            browser.post("/new", &format!("name=api&start=docker&organisation=ours&{fields}")).await;
        assert_eq!(refused.status, 400, "{fields}");
        has(&refused, &[said, "aria-invalid=\"true\"", "value=\"api\""]);
    };
    refuse("port=99999", "1 to 65535").await;
    refuse("replicas=0", "at least 1").await;
    refuse("host=a+b", "letters, digits and hyphens").await;
    refuse("variables=no+pair", "Line 1").await;
    assert_eq!(browser.post("/new", "name=api&start=empty&port=80").await.status, 400);
    assert!(world.store.project(&"api".parse().unwrap()).await.unwrap().is_none(), "nothing was made");

    let good = "name=api&start=docker&organisation=ours&host=api.example.com&port=3000&replicas=2&variables=A%3D1%0D%0AB%3Dtwo";
    assert_eq!(leads(&browser.post("/new", good).await), "/projects/api");
    let project = world.store.project(&"api".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(project.organisation, ours);
    let key = EnvironmentKey { project: project.name, environment: "production".parse().unwrap() };
    let found = world.store.configuration(&key).await.unwrap();
    assert_eq!(found.variables.len(), 2);

    let viewer = Browser::member(&world, "yuna", naru_model::role::Role::Viewer).await;
    has(&viewer.get("/new").await, &["in no organisation"]);
    assert_eq!(viewer.post("/new", "name=mine&start=empty&organisation=main").await.status, 403);
    assert_eq!(viewer.post("/new", "name=mine&start=empty&organisation=ours").await.status, 404);
}
