//! Logging in by a real OpenID Connect provider, npm's `oidc-provider` in `tests/oidc`, as a browser does it: by
//! following addresses, filling in the provider's forms, and keeping cookies by the browsers' rules.

#![allow(clippy::disallowed_methods, reason = "starts node and npm, as a person would start a provider")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::json;

use crate::world::{HOST, World, is};

/// Steps of one way there and back; a browser gives up later.
const MOST_STEPS: usize = 20;

/// The provider's process; it ends with its standard input.
struct Provider {
    issuer: String,
    process: Child,
    _input: Option<ChildStdin>,
    /// Kept open: who writes to what nobody reads any more is ended.
    _output: BufReader<ChildStdout>,
}

/// The provider's program with its packages, downloaded once as the lock file names them.
fn program() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc");
    assert!(source.join("package-lock.json").is_file(), "the lock file is in the repository");
    let above = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(above).unwrap();
    // One test at a time: the others find what the first has made.
    let turn = fs::File::create(above.join("oidc.lock")).unwrap();
    turn.lock().unwrap();
    let kept = above.join("oidc");
    let same = |file: &str| fs::read(kept.join(file)).ok() == fs::read(source.join(file)).ok();
    if same("package-lock.json") && same("provider.js") {
        return kept.join("provider.js");
    }
    let scratch = tempfile::Builder::new().prefix("oidc-").tempdir_in(above).unwrap();
    for file in ["package.json", "package-lock.json", "provider.js"] {
        fs::copy(source.join(file), scratch.path().join(file)).unwrap();
    }
    let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    let npm = Command::new("npm").args(words).current_dir(scratch.path()).status();
    assert!(npm.expect("npm is installed: apt-get install -y nodejs npm").success(), "npm ci failed");
    let _ = fs::remove_dir_all(&kept);
    fs::rename(scratch.keep(), &kept).unwrap();
    kept.join("provider.js")
}

impl Provider {
    fn start() -> Self {
        let program = program();
        let mut node = Command::new("node");
        node.arg(&program).arg(format!("http://{HOST}/login/keycloak/callback"));
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = node.spawn().expect("node is installed: apt-get install -y nodejs");
        let mut issuer = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        let input = process.stdin.take();
        assert!(issuer.starts_with("http://127.0.0.1:"), "the provider did not start: {issuer}");
        Self { issuer: issuer.trim().to_owned(), process, _input: input, _output: output }
    }

    /// What stands in the file of providers.
    fn settings(&self, secret: &Path) -> String {
        format!(
            "[keycloak]\nkind = \"openid-connect\"\ntitle = \"Keycloak\"\nissuer = {:?}\nclient-id = \"naru\"\n\
             client-secret-file = \"{}\"\nscopes = [\"profile\", \"groups\"]\ngroups-claim = \"groups\"\n\
             new-accounts = \"mapped-groups\"\n\
             roles = [{{ group = \"/dev\", organisation = \"main\", role = \"developer\" }}]\n",
            self.issuer,
            secret.display()
        )
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One cookie.
struct Cookie {
    at: String,
    name: String,
    value: String,
    path: String,
    strict: bool,
}

struct Browser<'a> {
    world: &'a World,
    http: reqwest::Client,
    cookies: Vec<Cookie>,
}

/// What came back, and where it leads.
#[derive(Debug)]
struct Seen {
    url: String,
    status: u16,
    onward: Option<String>,
    text: String,
}

/// Where an address is, such as `http://127.0.0.1:7070`, and the rest of it.
fn split(url: &str) -> (&str, &str) {
    let end = url[8..].find('/').map_or(url.len(), |at| at + 8);
    url.split_at(end)
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        // Refused when another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { world, http: http.build().unwrap(), cookies: Vec::new() }
    }

    /// One request. A strict cookie stays away from a request that another site began.
    async fn ask(&mut self, url: &str, form: Option<&str>, from_elsewhere: bool) -> Seen {
        let (at, rest) = split(url);
        let path = rest.split('?').next().unwrap();
        let fits = |cookie: &&Cookie| {
            cookie.at == at && path.starts_with(&cookie.path) && !(cookie.strict && from_elsewhere)
        };
        let pairs =
            self.cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let (status, headers, text) = if at == format!("http://{HOST}") {
            self.ask_naru(rest, form, &cookies).await
        } else {
            self.ask_provider(url, form, &cookies).await
        };
        self.keep(at, &headers);
        let onward = headers.get("location").or_else(|| headers.get("refresh")).map(|value| {
            let text = value.to_str().unwrap();
            let target = text.strip_prefix("0; url=").unwrap_or(text);
            if target.starts_with('/') { format!("{at}{target}") } else { target.to_owned() }
        });
        Seen { url: url.to_owned(), status, onward, text }
    }

    async fn ask_naru(&self, rest: &str, form: Option<&str>, cookies: &str) -> (u16, HeaderMap, String) {
        let method = if form.is_some() { "POST" } else { "GET" };
        let mut request =
            Request::builder().method(method).uri(rest).header("host", HOST).header("cookie", cookies);
        if form.is_some() {
            request = request.header("origin", format!("http://{HOST}"));
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let body = form.map_or_else(Body::empty, |form| Body::from(form.to_owned()));
        let answer = self.world.read(request.body(body).unwrap()).await;
        (answer.status, answer.headers, answer.text)
    }

    async fn ask_provider(&self, url: &str, form: Option<&str>, cookies: &str) -> (u16, HeaderMap, String) {
        let request = match form {
            Some(form) => self.http.post(url).body(form.to_owned()),
            None => self.http.get(url),
        };
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").header("cookie", cookies);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
    }

    fn keep(&mut self, at: &str, headers: &HeaderMap) {
        for set in headers.get_all("set-cookie") {
            let mut parts = set.to_str().unwrap().split(';').map(str::trim);
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let parts: Vec<&str> = parts.collect();
            let is_path = |part: &&&str| part.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("path="));
            let path = parts.iter().find(is_path).map_or("/", |part| &part[5..]).to_owned();
            self.cookies.retain(|cookie| !(cookie.at == at && cookie.name == name && cookie.path == path));
            if parts.iter().any(|part| part.eq_ignore_ascii_case("max-age=0")) || value.is_empty() {
                continue;
            }
            let strict = parts.iter().any(|part| part.eq_ignore_ascii_case("samesite=strict"));
            self.cookies.push(Cookie { at: at.into(), name: name.into(), value: value.into(), path, strict });
        }
    }

    /// Goes where it leads, until a page asks for something or is the end.
    async fn follow(&mut self, url: &str) -> Seen {
        let mut seen = self.ask(url, None, false).await;
        for _ in 0..MOST_STEPS {
            let Some(onward) = seen.onward.clone() else { return seen };
            let from_elsewhere = split(&onward).0 != split(&seen.url).0;
            seen = self.ask(&onward, None, from_elsewhere).await;
        }
        panic!("it never ends: {seen:?}");
    }

    /// Logs in here with the password.
    async fn log_in(&mut self, login: &str) {
        let form = format!("login={login}&password=river+crossing+at+dawn");
        assert_eq!(self.ask(&naru("/login"), Some(&form), false).await.status, 303);
    }

    /// Fills in a form of the provider's page.
    async fn submit(&mut self, seen: &Seen, form: &str) -> Seen {
        let action = seen.text.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let url =
            if action.starts_with('/') { format!("{}{action}", split(&seen.url).0) } else { action.into() };
        let sent = self.ask(&url, Some(form), false).await;
        let onward = sent.onward.clone().unwrap_or_else(|| panic!("{sent:?}"));
        self.follow(&onward).await
    }

    /// Logs in at the provider, which must have asked, and consents.
    async fn prove(&mut self, seen: Seen, who: &str) -> Seen {
        assert!(seen.text.contains("name=\"password\""), "{seen:?}");
        let mut seen = self.submit(&seen, &format!("prompt=login&login={who}&password=x")).await;
        if seen.text.contains("value=\"consent\"") {
            seen = self.submit(&seen, "prompt=consent").await;
        }
        seen
    }
}

fn naru(path: &str) -> String {
    format!("http://{HOST}{path}")
}

async fn world() -> (World, Provider) {
    let provider = Provider::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "river-crossing-at-dawn\n").unwrap();
    let world = World::with_providers(&provider.settings(&secret), folder).await;
    (world, provider)
}

async fn set_groups(provider: &Provider, who: &str, groups: &[&str]) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/people/{who}", provider.issuer);
    assert_eq!(http.put(url).body(json!(groups).to_string()).send().await.unwrap().status(), 204);
}

async fn role(world: &World, login: &str) -> Option<String> {
    let role = world.store.role_in(login, &"main".parse().unwrap()).await.unwrap();
    role.map(|role| role.to_string())
}

#[tokio::test]
async fn somebody_comes_by_a_real_provider_with_the_role_of_the_group() {
    let (world, provider) = world().await;
    let list = world.get("", "/api/v1/login-providers").await.json();
    assert_eq!(list["items"], json!([{ "name": "keycloak", "title": "Keycloak", "kind": "openid-connect" }]));

    let mut stranger = Browser::new(&world);
    let asked = stranger.follow(&naru("/login/keycloak")).await;
    let refused = stranger.prove(asked, "sora").await;
    assert!(refused.status == 403 && refused.text.contains("login.no-account"), "{refused:?}");

    set_groups(&provider, "sora", &["/dev", "/other"]).await;
    let mut browser = Browser::new(&world);
    let asked = browser.follow(&naru("/login/keycloak?next=/api/v1/whoami")).await;
    let entered = browser.prove(asked, "sora").await;
    assert_eq!(entered.url, naru("/api/v1/whoami"));
    assert!(entered.status == 200 && entered.text.contains("\"sora\""), "{entered:?}");
    assert_eq!(role(&world, "sora").await.as_deref(), Some("developer"));

    // The provider still knows the browser, and does not ask again.
    set_groups(&provider, "sora", &["/other"]).await;
    let entered = browser.follow(&naru("/login/keycloak?next=/api/v1/external-logins")).await;
    // The ID token of this provider names nobody but the subject.
    assert!(entered.text.contains("\"name\":\"sora\""), "{entered:?}");
    assert_eq!(role(&world, "sora").await, None, "the role went with the group");

    // Unless it is told to.
    let asked = browser.follow(&naru("/login/keycloak?again=true&next=/api/v1/whoami")).await;
    let entered = browser.prove(asked, "sora").await;
    assert_eq!(entered.url, naru("/api/v1/whoami"));
}

#[tokio::test]
async fn a_way_back_is_gone_once_and_only_by_the_browser_that_went() {
    let (world, provider) = world().await;
    set_groups(&provider, "sora", &["/dev"]).await;
    let mut browser = Browser::new(&world);
    let mut seen = browser.follow(&naru("/login/keycloak")).await;
    seen = browser.submit_until_back(&seen, "sora").await;
    let back = seen.onward.clone().unwrap();
    assert!(back.starts_with(&naru("/login/keycloak/callback?code=")), "{back}");

    let mut thief = Browser::new(&world);
    let refused = thief.ask(&back, None, true).await;
    assert!(refused.status == 400 && refused.text.contains("login.no-attempt"), "{refused:?}");
    let entered = browser.ask(&back, None, true).await;
    assert_eq!(entered.status, 200, "{entered:?}");
    let again = browser.ask(&back, None, true).await;
    assert!(again.status == 400 && again.text.contains("login.no-attempt"), "{again:?}");
}

impl Browser<'_> {
    /// The same as [`Browser::prove`], without going back.
    async fn submit_until_back(&mut self, seen: &Seen, who: &str) -> Seen {
        let mut url = seen.url.clone();
        let mut form = Some(format!("prompt=login&login={who}&password=x"));
        for _ in 0..MOST_STEPS {
            let seen = self.ask(&url, form.take().as_deref(), false).await;
            match &seen.onward {
                Some(onward) if onward.starts_with(&naru("/")) => return seen,
                Some(onward) => url.clone_from(onward),
                None => form = Some("prompt=consent".to_owned()),
            }
        }
        panic!("it never leads back");
    }
}

#[tokio::test]
async fn who_declines_at_the_provider_does_not_come_in() {
    let (world, _provider) = world().await;
    let mut browser = Browser::new(&world);
    let asked = browser.follow(&naru("/login/keycloak")).await;
    let declined = browser.follow(&format!("{}/abort", asked.url)).await;
    assert!(declined.status == 403 && declined.text.contains("login.declined"), "{declined:?}");
}

#[tokio::test]
async fn a_login_is_tied_by_a_form_of_our_own_and_untied_again() {
    let (world, _provider) = world().await;
    let token = world.administrator_token().await;
    let mut browser = Browser::new(&world);
    let refused = browser.ask(&naru("/login/keycloak"), Some(""), false).await;
    assert_ne!(refused.status, 200, "nobody is logged in: {refused:?}");

    browser.log_in("minji").await;
    let sent = browser.ask(&naru("/login/keycloak"), Some("next=/api/v1/external-logins"), false).await;
    assert_eq!(sent.status, 200, "a form stays on its site: {sent:?}");
    let asked = browser.follow(&sent.onward.unwrap()).await;
    let tied = browser.prove(asked, "somebody").await;
    assert!(tied.text.contains("\"name\":\"somebody\""), "{tied:?}");

    let mut other = Browser::new(&world);
    let asked = other.follow(&naru("/login/keycloak?next=/api/v1/whoami")).await;
    let entered = other.prove(asked, "somebody").await;
    assert!(entered.text.contains("\"minji\""), "{entered:?}");

    let path = "/api/v1/external-logins/keycloak";
    assert_eq!(world.call(&token, "DELETE", path, serde_json::Value::Null).await.status, 204);
    let again = world.call(&token, "DELETE", path, serde_json::Value::Null).await;
    is(&again, StatusCode::NOT_FOUND, "identity.missing");
}

#[tokio::test]
async fn a_provider_that_nobody_set_up_is_missing() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let refused = browser.ask(&naru("/login/keycloak"), None, false).await;
    assert!(refused.status == 404 && refused.text.contains("login.no-provider"), "{refused:?}");
    assert_eq!(world.get("", "/api/v1/login-providers").await.json()["items"], json!([]));
}
