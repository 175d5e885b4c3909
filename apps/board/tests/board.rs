//! The board as browsers use it: requests in, pages out, with cookies carried along. No network and no sleeping.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{Request, StatusCode};
use board::settings::Settings;
use board::{Board, router};
use http_body_util::BodyExt;
use tower::ServiceExt;

const PASSWORD: &str = "a ferry at dawn";

/// A running board with a data folder of its own.
struct Site {
    router: Router,
    _data: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { port: 0, data: data.path().to_owned(), key: None };
        Self { router: router(Arc::new(Board::open(&settings).unwrap())), _data: data }
    }

    fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), cookies: BTreeMap::new(), extra: Vec::new() }
    }
}

/// A browser without scripts: it keeps cookies and finds the hidden field of forms.
#[derive(Clone)]
struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
    extra: Vec<(&'static str, &'static str)>,
}

struct Page {
    status: StatusCode,
    location: String,
    text: String,
    set: Vec<String>,
}

impl Browser {
    async fn send(&mut self, request: axum::http::request::Builder, body: String) -> Page {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header(COOKIE, cookies.join("; "));
        for (name, value) in &self.extra {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let set: Vec<String> = response
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        for cookie in &set {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let status = response.status();
        let location = response.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Page { status, location: location.unwrap_or_default(), text, set }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), String::new()).await
    }

    /// Sends a form with the hidden field that the board gave this browser.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let home = self.get("/").await.text;
        let hidden =
            home.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let mut all = vec![("form", hidden.as_str())];
        all.extend(fields);
        self.post_raw(path, &all).await
    }

    async fn post_raw(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = body.collect::<Vec<_>>().join("&");
        self.send(Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded"), body).await
    }

    async fn sign_up(&mut self, login: &str, nickname: &str) {
        let fields = [("login", login), ("nickname", nickname), ("password", PASSWORD)];
        let page = self.post("/signup", &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    }

    async fn publish(&mut self, title: &str, body: &str) -> String {
        let page = self.post("/posts", &[("title", title), ("body", body)]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        page.location
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |sum, byte| sum + &format!("%{byte:02X}"))
}

#[tokio::test]
async fn a_person_signs_up_writes_edits_and_deletes() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "나루지기").await;
    let address = kim.publish("First crossing", "Hello\n<script>alert(1)</script>").await;
    let page = kim.get(&address).await;
    assert!(page.text.contains("나루지기") && page.text.contains("First crossing"));
    assert!(!page.text.contains("<script>"), "markup in posts is text");
    let page = kim.post(&address, &[("title", "Second crossing"), ("body", "Changed")]).await;
    assert_eq!((page.status, page.location.as_str()), (StatusCode::SEE_OTHER, address.as_str()));
    assert!(kim.get("/").await.text.contains("Second crossing"));
    assert_eq!(kim.post(&format!("{address}/delete"), &[]).await.location, "/");
    assert_eq!(kim.get(&address).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_the_author_changes_a_post() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    let address = kim.publish("Mine", "Text").await;
    let mut lee = site.browser();
    lee.sign_up("lee", "Lee").await;
    let theirs = [("title", "Yours"), ("body", "Text")];
    for mut other in [lee, site.browser()] {
        assert_eq!(other.get(&format!("{address}/edit")).await.status, StatusCode::FORBIDDEN);
        assert_eq!(other.post(&address, &theirs).await.status, StatusCode::FORBIDDEN);
        assert_eq!(other.post(&format!("{address}/delete"), &[]).await.status, StatusCode::FORBIDDEN);
        assert!(!other.get(&address).await.text.contains("/edit"));
    }
    assert!(site.browser().get(&address).await.text.contains("Mine"));
    assert_eq!(site.browser().post("/posts", &theirs).await.location, "/login");
}

#[tokio::test]
async fn logging_out_ends_the_session_also_for_copied_cookies() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    let mut copy = kim.clone();
    assert_eq!(copy.get("/posts/new").await.status, StatusCode::OK);
    let page = kim.post("/logout", &[]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert!(!kim.cookies.contains_key("board_access") && !kim.cookies.contains_key("board_refresh"));
    assert_eq!(copy.get("/posts/new").await.location, "/login");
    copy.cookies.remove("board_access");
    assert_eq!(copy.get("/posts/new").await.location, "/login");
}

#[tokio::test]
async fn the_refresh_token_makes_a_new_access_token_and_is_replaced() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    let first = kim.cookies["board_refresh"].clone();
    kim.cookies.remove("board_access");
    let page = kim.get("/posts/new").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(kim.cookies.contains_key("board_access"));
    assert_ne!(kim.cookies["board_refresh"], first);
    // A second tab that loads at the same moment still comes with the first token.
    let mut tab = site.browser();
    tab.cookies.insert("board_refresh".to_owned(), first);
    assert_eq!(tab.get("/posts/new").await.status, StatusCode::OK);
    for cookie in page.set {
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    }
}

#[tokio::test]
async fn cookies_insist_on_https_when_the_edge_says_https() {
    let site = Site::new();
    let mut browser = site.browser();
    assert!(!browser.get("/").await.set[0].contains("Secure"));
    let mut browser = site.browser();
    browser.extra.push(("x-forwarded-proto", "https"));
    assert!(browser.get("/").await.set[0].contains("; Secure"));
}

#[tokio::test]
async fn forms_of_other_sites_and_sessions_are_refused() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    let post = [("title", "x"), ("body", "x")];
    assert_eq!(kim.post_raw("/posts", &post).await.status, StatusCode::FORBIDDEN, "no hidden field");
    let mut other = site.browser();
    let home = other.get("/").await.text;
    let foreign = home.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let with_foreign = [("form", foreign), ("title", "x"), ("body", "x")];
    assert_eq!(
        kim.post_raw("/posts", &with_foreign).await.status,
        StatusCode::FORBIDDEN,
        "another browser's"
    );
    kim.extra.push(("sec-fetch-site", "cross-site"));
    assert_eq!(kim.post("/posts", &post).await.status, StatusCode::FORBIDDEN, "another site");
    assert!(site.browser().get("/").await.text.contains("Nobody has written"));
}

#[tokio::test]
async fn a_wrong_password_says_nothing_more_and_soon_means_waiting() {
    let site = Site::new();
    site.browser().sign_up("kim", "Kim").await;
    let mut thief = site.browser();
    let unknown = thief.post("/login", &[("login", "nobody"), ("password", "wrong wrong")]).await;
    let wrong = thief.post("/login", &[("login", "kim"), ("password", "wrong wrong")]).await;
    assert_eq!(
        (unknown.status, wrong.status),
        (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY)
    );
    assert_eq!(unknown.text.replace("nobody", "kim"), wrong.text);
    for _ in 0..9 {
        thief.post("/login", &[("login", "kim"), ("password", "wrong wrong")]).await;
    }
    let page = thief.post("/login", &[("login", "kim"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn logging_in_works_with_the_right_password() {
    let site = Site::new();
    site.browser().sign_up("kim", "Kim").await;
    let mut kim = site.browser();
    let page = kim.post("/login", &[("login", "KIM"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(kim.get("/posts/new").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_accepted_is_kept_and_explained() {
    let site = Site::new();
    let mut kim = site.browser();
    let page = kim.post("/signup", &[("login", "a b"), ("nickname", ""), ("password", "short")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("value=\"a b\"") && !page.text.contains("short"));
    assert_eq!(page.text.matches("aria-invalid").count(), 3);
    kim.sign_up("kim", "Kim").await;
    let again = [("login", "Kim"), ("nickname", "Other"), ("password", PASSWORD)];
    let page = site.browser().post("/signup", &again).await;
    assert!(page.text.contains("Somebody else has this login name."));
    let page = kim.post("/posts", &[("title", "  "), ("body", &"x".repeat(10_001))]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("1 to 120 characters") && page.text.contains("1 to 10,000 characters"));
}

#[tokio::test]
async fn a_nickname_can_be_changed_and_shows_on_old_posts() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    let address = kim.publish("Title", "Text").await;
    assert!(kim.post("/account", &[("nickname", "사공")]).await.text.contains("Saved."));
    assert!(site.browser().get(&address).await.text.contains("사공"));
}

#[tokio::test]
async fn posts_are_paged_and_searched() {
    let site = Site::new();
    let mut kim = site.browser();
    kim.sign_up("kim", "Kim").await;
    for number in 1..=21 {
        kim.publish(&format!("Post {number}"), if number == 5 { "나루터의 아침 100%" } else { "text" }).await;
    }
    let first = kim.get("/").await.text;
    assert!(first.contains("Post 21") && !first.contains(">Post 1<") && first.contains("Page 1 of 2"));
    let second = kim.get("/?page=2").await.text;
    assert!(second.contains(">Post 1<") && !second.contains(">Post 2<"));
    assert_eq!(kim.get("/?page=99").await.location, "/?page=2");
    let found = kim.get("/?q=%EC%95%84%EC%B9%A8%20100%25").await.text;
    assert!(found.contains("Post 5") && found.contains("1 post"));
    assert!(kim.get("/?q=%25").await.text.contains("1 post"), "wildcards are taken literally");
    assert!(kim.get("/?q=nothing").await.text.contains("No post contains"));
    assert_eq!(kim.get("/?page=%27%3B--").await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_speak_the_language_of_the_browser_or_the_chosen_one() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.extra.push(("accept-language", "ko-KR,ko;q=0.9"));
    let page = browser.get("/").await.text;
    assert!(page.contains("<html lang=\"ko\">") && page.contains("아직 아무도 글을 쓰지 않았어요."));
    let page = browser.post("/language/en", &[("here", "/?page=1")]).await;
    assert_eq!(page.location, "/?page=1");
    assert!(browser.get("/").await.text.contains("<html lang=\"en\">"));
    assert_eq!(browser.post("/language/ko", &[("here", "//elsewhere.example")]).await.location, "/");
}

#[tokio::test]
async fn machines_read_health_and_metrics() {
    let site = Site::new();
    let mut probe = site.browser();
    assert_eq!(probe.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(probe.get("/readyz").await.text, "ready\n");
    probe.get("/posts/12345").await;
    let text = probe.get("/metrics").await.text;
    assert!(
        text.contains("board_requests_total{route=\"/posts/{id}\",method=\"GET\",status=\"404\"} 1"),
        "{text}"
    );
    assert!(text.contains("board_posts 0") && text.ends_with("# EOF\n"));
    assert!(probe.get("/healthz").await.set.is_empty(), "machines get no cookies");
}

#[tokio::test]
async fn hostile_requests_are_answered() {
    let site = Site::new();
    let mut browser = site.browser();
    for path in ["/posts/0", "/posts/-1", "/posts/99999999999999999999", "/nothing", "/posts/1%27%20OR%201=1"]
    {
        let status = browser.get(path).await.status;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    let page = browser.post("/signup", &[("login", &"x".repeat(300_000))]).await;
    assert!(page.status.is_client_error());
    browser.cookies.insert("board_access".to_owned(), "1.1.9999999999.00".to_owned());
    browser.cookies.insert("board_refresh".to_owned(), "'; DROP TABLE account".to_owned());
    assert_eq!(browser.get("/posts/new").await.location, "/login");
}

#[tokio::test]
async fn data_outlives_the_process() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { port: 0, data: data.path().to_owned(), key: None };
    let open = || Browser {
        router: router(Arc::new(Board::open(&settings).unwrap())),
        cookies: BTreeMap::new(),
        extra: Vec::new(),
    };
    let mut kim = open();
    kim.sign_up("kim", "Kim").await;
    let address = kim.publish("Kept", "Text").await;
    let mut after = open();
    after.cookies = kim.cookies.clone();
    assert!(after.get(&address).await.text.contains("Kept"));
    assert_eq!(after.get("/posts/new").await.status, StatusCode::OK, "still signed in: the key was kept");
}
