//! A browser without a script: it logs in, asks for pages, sends forms.

use axum::body::Body;
use axum::http::Request;
use http::request::Builder;
use naru_identity::Origin;
use naru_model::OrganisationName;
use naru_model::authorise::Principal;
use naru_model::role::Role;
use secrecy::ExposeSecret as _;

use crate::world::{Answer, HOST, World};

/// A person with a browser.
pub(crate) struct Browser<'a> {
    pub(crate) world: &'a World,
    /// What the browser sends of itself.
    pub(crate) cookie: String,
    pub(crate) language: &'static str,
}

impl<'a> Browser<'a> {
    /// Nobody.
    pub(crate) fn nobody(world: &'a World) -> Self {
        Self { world, cookie: String::new(), language: "en" }
    }

    /// The administrator of [`World::with_administrator`], logged in.
    pub(crate) async fn minji(world: &'a World) -> Self {
        Self::of(world, "minji").await
    }

    /// Somebody in a role of the organisation `main`, logged in.
    pub(crate) async fn member(world: &'a World, login: &str, role: Role) -> Self {
        world.store.create_account(login, "").await.unwrap();
        world.store.join(&OrganisationName::main(), login, role).await.unwrap();
        Self::of(world, login).await
    }

    /// Somebody whose account is there, logged in.
    pub(crate) async fn of(world: &'a World, login: &str) -> Self {
        let principal = Principal { login: login.to_owned(), credential_id: "password".to_owned() };
        let session = world.identity.start_session(&principal, &Origin::default()).await.unwrap();
        let cookie = format!("naru_session={}", session.plain.expose_secret());
        Self { cookie, ..Self::nobody(world) }
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", HOST)
            .header("accept-language", self.language);
        if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.world.read(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, fields: &str) -> Answer {
        let request = self
            .request("POST", path)
            .header("origin", format!("http://{HOST}"))
            .header("content-type", "application/x-www-form-urlencoded");
        self.world.read(request.body(Body::from(fields.to_owned())).unwrap()).await
    }
}

/// Where an answer leads.
pub(crate) fn leads(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

/// The page has these texts.
pub(crate) fn has(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(answer.text.contains(text), "{text} is missing in {}", answer.text);
    }
}

/// A path with its parameters filled in.
pub(crate) fn filled(path: &str) -> String {
    path.replace("{project}", "shop")
        .replace("{environment}", "production")
        .replace("{run}", "1")
        .replace("{release}", "1")
        .replace("{revision}", "1")
        .replace("{step}", "test")
        .replace("{trigger}", "x")
        .replace("{name}", "x")
        .replace("{id}", "x")
        .replace("{provider}", "keycloak")
        .replace("{organisation}", "main")
        .replace("{service}", "web")
}
