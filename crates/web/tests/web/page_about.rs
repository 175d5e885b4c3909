//! What is said about a project and the star beside it, on the pages.

use naru_model::role::Role;
use naru_model::rollout::Status;

use crate::page::{Browser, has, leads};
use crate::seed::{Ending, environment, run};
use crate::world::World;

#[tokio::test]
async fn what_is_said_stands_beneath_the_status_and_teaches_while_there_is_nothing() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/projects/shop").await, &["Nobody has said yet", "/projects/shop/settings#about"]);
    let viewer = Browser::member(&world, "yuna", Role::Viewer).await;
    let shown = viewer.get("/projects/shop").await;
    has(&shown, &["Nobody has said yet"]);
    assert!(!shown.text.contains("settings#about"), "it is not theirs to say");
    assert_eq!(viewer.post("/projects/shop/settings/about", "summary=x").await.status, 403);

    let fields = "summary=Sells+%3Cb%3Ethings&description=First%0D%0A%0D%0Asee+https%3A%2F%2Fexample.com%2Fa.\
                  &owner=yuna&contacts=On+call%3A+oncall%40example.com%0D%0Ahttps%3A%2F%2Fchat.example.com";
    let kept = browser.post("/projects/shop/settings/about", fields).await;
    assert_eq!(leads(&kept), "/projects/shop");
    has(
        &browser.get("/projects/shop").await,
        &[
            "Sells &#60;b&#62;things",
            "<p dir=\"auto\">First</p>",
            "<a href=\"https://example.com/a\" rel=\"noreferrer nofollow\">https://example.com/a</a>.",
            "<dd>yuna</dd>",
            "<a href=\"mailto:oncall@example.com\" rel=\"noreferrer nofollow\" title=\"oncall@example.com\">On call</a>",
        ],
    );
    has(&browser.get("/projects?q=sells").await, &["/projects/shop", "1 of 1"]);
    has(
        &browser.get("/projects/shop/settings").await,
        &["On call: oncall@example.com\nhttps://chat.example.com"],
    );
    world.store.remove_member(&naru_model::OrganisationName::main(), "yuna").await.unwrap();
    has(&browser.get("/projects/shop").await, &["yuna <span class=\"quiet\">not a member any more"]);
}

#[tokio::test]
async fn what_cannot_be_said_is_kept_in_the_form_with_the_reason_beside_its_field() {
    let (world, token) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::minji(&world).await;
    for (fields, field, said) in [
        ("summary=%E2%80%AEevil", "summary", "no single line"),
        ("description=%1B", "description", "cannot be read"),
        ("owner=hana", "owner", "Nobody with this login"),
        ("contacts=a%40example.com%0D%0A%3Cscript%3E", "contacts", "Line 2 has no e-mail address"),
    ] {
        let refused = browser.post("/projects/shop/settings/about", &format!("{fields}&typed=1")).await;
        assert_eq!(refused.status, 400, "{fields}");
        has(&refused, &[said, "aria-invalid=\"true\"", &format!("role=\"alert\" id=\"{field}-rule\"")]);
        assert!(!refused.text.contains("<script>"), "{fields}");
    }
    has(&browser.post("/projects/shop/settings/about", "owner=hana&summary=kept").await, &["value=\"kept\""]);
    assert_eq!(
        leads(&browser.get("/projects/shop/settings/about").await),
        "/projects/shop/settings",
        "loaded again"
    );
    let korean = Browser { language: "ko", ..Browser::minji(&world).await };
    has(
        &korean.post("/projects/shop/settings/about", "owner=hana").await,
        &["이 로그인 이름의 조직 구성원이 없어요"],
    );
    let audit = world.get(&token, "/api/v1/audit?action=project.change").await.json();
    assert_eq!(audit["items"][0]["result"], "api.bad-about");
}

#[tokio::test]
async fn a_star_keeps_a_project_first_on_home() {
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    run(&world, &shop, "minji", Ending::Success).await;
    environment(&world, &shop, "production", 1, Status::Live).await;
    world.project("blog").await;
    let browser = Browser::minji(&world).await;
    has(&browser.get("/").await, &["<h2>Favourites</h2>", "The star beside a project"]);
    let page = browser.get("/projects/shop").await;
    has(
        &page,
        &[
            "aria-pressed=\"false\"",
            "aria-label=\"Favourite: shop\"",
            "name=\"back\" value=\"/projects/shop\"",
        ],
    );

    let star = "/projects/shop/favourite";
    let kept = browser.post(star, "favourite=true&back=/projects%3Fpage%3D1").await;
    assert_eq!(leads(&kept), "/projects?page=1");
    assert_eq!(leads(&browser.post(star, "favourite=true&back=//evil.example").await), "/");
    has(&browser.get("/projects/shop").await, &["aria-pressed=\"true\"", "★"]);
    let home = browser.get("/").await;
    has(&home, &["production serves release 1 as revision 1, healthy"]);
    let (favourites, recent) = home.text.split_once("data-live=\"projects\"").unwrap();
    assert!(favourites.contains("/projects/shop") && !recent.contains("/projects/shop"), "{}", home.text);
    assert!(recent.contains("/projects/blog"));
    let only = browser.get("/projects?favourites=true").await;
    has(&only, &["1 of 1", "/projects/shop", "name=\"favourites\" value=\"true\" checked"]);
    assert!(!only.text.contains("/projects/blog"));

    let other = Browser::member(&world, "yuna", Role::Viewer).await;
    has(&other.get("/projects?favourites=true").await, &["No favourite is found"]);
    browser.post(star, "favourite=false&back=/").await;
    has(&browser.get("/projects/shop").await, &["aria-pressed=\"false\"", "☆"]);
}
