//! What all pages have in common: who may see them, what they forbid the browser, how they fail, which language they
//! speak.

use axum::http::Request;

use crate::page::{Browser, filled, has, leads};
use crate::world::World;

#[tokio::test]
async fn every_page_leads_nobody_to_the_login_and_back() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let browser = Browser::nobody(&world);
    let routes = naru_web::page_routes();
    assert!(routes.len() >= 10, "the walk would prove nothing: {routes:?}");
    for route in routes.into_iter().filter(|route| !route.open) {
        let path = filled(route.path);
        if route.method == "POST" {
            assert_eq!(leads(&browser.post(&path, "").await), "/login", "{path}");
            continue;
        }
        let next = if path == "/" { String::new() } else { format!("?next={}", path.replace('/', "%2F")) };
        assert_eq!(leads(&browser.get(&path).await), format!("/login{next}"), "{path}");
    }
}

#[tokio::test]
async fn another_sites_form_changes_nothing() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    let request = Request::builder()
        .method("POST")
        .uri("/logout")
        .header("host", crate::world::HOST)
        .header("origin", "http://evil.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", &browser.cookie);
    let answer = world.read(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(browser.get("/").await.status, 200, "still logged in");
}

#[tokio::test]
async fn a_person_logs_in_goes_where_they_were_headed_and_logs_out() {
    let (world, _) = World::with_administrator().await;
    let nobody = Browser::nobody(&world);
    has(&nobody.get("/login?next=/projects").await, &["value=\"/projects\"", "Log in"]);
    let wrong = nobody.post("/login", "login=minji&password=wrong&next=/projects").await;
    assert_eq!(wrong.status, 401);
    has(&wrong, &["The login, the password or the code is wrong", "value=\"minji\"", "value=\"/projects\""]);
    assert!(!wrong.text.contains("value=\"wrong\""), "a password is never sent back");
    let unknown = nobody.post("/login", "login=nobody&password=wrong").await;
    has(&unknown, &["The login, the password or the code is wrong"]);

    let right = "login=minji&password=river+crossing+at+dawn";
    for (next, expected) in
        [("/projects", "/projects"), ("//evil.example", "/"), ("https://evil.example", "/"), ("", "/")]
    {
        let answer = nobody.post("/login", &format!("{right}&next={next}")).await;
        assert_eq!(leads(&answer), expected, "{next}");
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    }
    let minji = Browser::minji(&world).await;
    has(&minji.get("/").await, &["minji", "Log out"]);
    assert_eq!(leads(&minji.post("/logout", "").await), "/login");
    assert_eq!(leads(&minji.get("/").await), "/login");
}

#[tokio::test]
async fn pages_run_nothing_but_the_one_script_and_are_framed_by_nobody() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    for path in ["/", "/login", "/projects", "/projects/none"] {
        let page = browser.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        has(&page, &["<!doctype html>"]);
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        for inline in ["<style", " style=", "onclick=", "<script>", "javascript:", "http://cdn", "https://"] {
            assert!(!page.text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn assets_are_kept_under_a_name_that_changes_with_their_content() {
    let world = World::new().await;
    let browser = Browser::nobody(&world);
    let page = browser.get("/login").await;
    let mut bytes = page.text.len();
    for (before, kind) in [("href=\"/assets/", "text/css"), ("src=\"/assets/", "text/javascript")] {
        let name = page.text.split(before).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let asset = browser.get(&format!("/assets/{name}")).await;
        assert!(asset.headers["content-type"].to_str().unwrap().starts_with(kind), "{name}");
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
        bytes += asset.text.len();
    }
    assert!(bytes < 150_000, "the first load has {bytes} bytes");
    for name in ["naru.css", "naru-0.css", "..%2f..%2fCargo.toml"] {
        assert_eq!(browser.get(&format!("/assets/{name}")).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn what_is_missing_and_what_cannot_be_is_a_page_with_the_five_fields() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    let missing = browser.get("/projects/none").await;
    assert_eq!(missing.status, 404);
    has(
        &missing,
        &["There is no such page", "project `none` does not exist", "api.missing", "naru project list"],
    );
    let hostile = browser.get("/projects/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(hostile.status, 400);
    assert!(!hostile.text.contains("<script>alert"), "{}", hostile.text);
    has(&hostile, &["&#60;script&#62;", "api.bad-name"]);
}

#[tokio::test]
async fn language_and_theme_are_a_persons_choice() {
    let (world, _) = World::with_administrator().await;
    let mut browser = Browser::minji(&world).await;
    browser.language = "ko-KR";
    has(&browser.get("/projects").await, &["lang=\"ko\"", "프로젝트"]);
    let chosen = browser.post("/preferences", "language=en&back=/projects").await;
    assert_eq!(leads(&chosen), "/projects");
    let cookie = chosen.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    browser.cookie = format!("{}; {cookie}; naru_theme=dark; naru_zone=Asia/Seoul", browser.cookie);
    has(&browser.get("/projects").await, &["lang=\"en\"", "data-theme=\"dark\""]);
    let hostile =
        browser.post("/preferences", "language=%0d%0aset-cookie:x&theme=%3Cb%3E&back=//evil.example").await;
    assert_eq!(leads(&hostile), "/");
    assert!(!hostile.headers.contains_key("set-cookie"));
}
