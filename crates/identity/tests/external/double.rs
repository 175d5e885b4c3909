//! Doubles of login providers on a free port of the loopback: one that speaks OpenID Connect and signs ES256, and one
//! shaped like GitHub. Both check what a provider checks, and can be told to answer wrongly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) const CLIENT: &str = "naru";
pub(crate) const SECRET: &str = "river-crossing-at-dawn";

/// Somebody at the provider.
#[derive(Debug, Clone, Default)]
pub(crate) struct Somebody {
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

pub(crate) fn somebody(subject: &str, name: &str, groups: &[&str]) -> Somebody {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Somebody { subject: subject.to_owned(), name: name.to_owned(), groups }
}

/// How an ID token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// With the key that is published.
    Rightly,
    /// With another key under the same name.
    ByAStranger,
    /// With the client's secret, which the client itself could have done.
    WithTheSecret,
    /// Not at all.
    Not,
}

/// What is wrong with an answer.
type Twist<T> = Box<dyn Fn(&mut T) + Send>;

/// A code that somebody was given.
#[derive(Clone)]
struct Given {
    who: Somebody,
    redirect: String,
    challenge: String,
    nonce: String,
}

pub(crate) struct Double {
    pub(crate) address: String,
    state: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

struct Inner {
    address: String,
    keys: Mutex<Keys>,
    codes: Mutex<BTreeMap<String, Given>>,
    tokens: Mutex<BTreeMap<String, Somebody>>,
    signed: Mutex<Signed>,
    claims: Mutex<Option<Twist<Value>>>,
    metadata: Mutex<Option<Twist<Value>>>,
    userinfo: Mutex<Option<Twist<Value>>>,
    /// Groups are told at the userinfo address only.
    shy: Mutex<bool>,
}

struct Keys {
    id: u32,
    own: EcdsaKeyPair,
    strangers: EcdsaKeyPair,
}

fn key_pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
}

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Inner {
            address: address.clone(),
            keys: Mutex::new(Keys { id: 1, own: key_pair(), strangers: key_pair() }),
            codes: Mutex::default(),
            tokens: Mutex::default(),
            signed: Mutex::new(Signed::Rightly),
            claims: Mutex::default(),
            metadata: Mutex::default(),
            userinfo: Mutex::default(),
            shy: Mutex::new(false),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .route("/huge", get(|| async { vec![b'x'; 3 << 20] }))
            .route("/elsewhere", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/keys")]) }))
            .route("/login/oauth/access_token", post(github_token))
            .route("/api/v3", get(|| async { Json(json!({})) }))
            .route("/api/v3/user", get(github_user))
            .route("/api/v3/user/orgs", get(github_organisations))
            .route("/api/v3/user/teams", get(github_teams))
            .with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state, server }
    }

    /// What a browser does at the provider: somebody logs in, and is sent back with the returned code and state.
    pub(crate) fn visit(&self, url: &str, who: Somebody) -> (String, String) {
        assert!(url.starts_with(&self.address), "{url}");
        let asked = parameters(url);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = format!("code-{}", asked["state"]);
        let given = Given {
            who,
            redirect: asked["redirect_uri"].clone(),
            challenge: asked["code_challenge"].clone(),
            nonce: asked.get("nonce").cloned().unwrap_or_default(),
        };
        self.state.codes.lock().unwrap().insert(code.clone(), given);
        (code, asked["state"].clone())
    }

    pub(crate) fn sign(&self, signed: Signed) {
        *self.state.signed.lock().unwrap() = signed;
    }

    pub(crate) fn twist_claims(&self, twist: impl Fn(&mut Value) + Send + 'static) {
        *self.state.claims.lock().unwrap() = Some(Box::new(twist));
    }

    pub(crate) fn twist_metadata(&self, twist: impl Fn(&mut Value) + Send + 'static) {
        *self.state.metadata.lock().unwrap() = Some(Box::new(twist));
    }

    pub(crate) fn twist_userinfo(&self, twist: impl Fn(&mut Value) + Send + 'static) {
        *self.state.userinfo.lock().unwrap() = Some(Box::new(twist));
    }

    pub(crate) fn tell_groups_only_when_asked(&self) {
        *self.state.shy.lock().unwrap() = true;
    }

    pub(crate) fn change_keys(&self) {
        let mut keys = self.state.keys.lock().unwrap();
        *keys = Keys { id: keys.id + 1, own: key_pair(), strangers: key_pair() };
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The parameters of an address.
pub(crate) fn parameters(url: &str) -> BTreeMap<String, String> {
    let url = openidconnect::url::Url::parse(url).unwrap();
    url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

fn twisted(twist: &Mutex<Option<Twist<Value>>>, mut value: Value) -> Value {
    if let Some(twist) = twist.lock().unwrap().as_ref() {
        twist(&mut value);
    }
    value
}

async fn metadata(State(inner): State<Arc<Inner>>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", inner.address);
    let document = json!({
        "issuer": inner.address,
        "authorization_endpoint": at("auth"),
        "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"),
        "jwks_uri": at("keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
    });
    Json(twisted(&inner.metadata, document))
}

async fn keys(State(inner): State<Arc<Inner>>) -> Json<Value> {
    let keys = inner.keys.lock().unwrap();
    let (x, y) = keys.own.public_key().as_ref()[1..].split_at(32);
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
        "kid": format!("key-{}", keys.id), "x": encode(x), "y": encode(y),
    });
    Json(json!({ "keys": [key] }))
}

type Sent = BTreeMap<String, String>;

/// The code's owner, if the client proves to be who began. A code is used once.
fn redeem(inner: &Inner, sent: &Sent) -> Option<Given> {
    let given = inner.codes.lock().unwrap().remove(sent.get("code")?)?;
    let verifier = sent.get("code_verifier")?;
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    let fits = BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref()) == given.challenge;
    (fits && sent.get("redirect_uri") == Some(&given.redirect)).then_some(given)
}

/// An access token for somebody.
fn access(inner: &Inner, who: &Somebody) -> String {
    let mut tokens = inner.tokens.lock().unwrap();
    let token = format!("access-{}", tokens.len());
    tokens.insert(token.clone(), who.clone());
    token
}

fn bearer(inner: &Inner, headers: &HeaderMap) -> Result<Somebody, StatusCode> {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let tokens = inner.tokens.lock().unwrap();
    token.and_then(|token| tokens.get(token)).cloned().ok_or(StatusCode::UNAUTHORIZED)
}

async fn token(State(inner): State<Arc<Inner>>, headers: HeaderMap, Form(sent): Form<Sent>) -> Response {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value.as_bytes() != expected.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_client" }))).into_response();
    }
    let Some(given) = redeem(&inner, &sent) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let mut claims = json!({
        "iss": inner.address,
        "aud": CLIENT,
        "sub": given.who.subject,
        "nonce": given.nonce,
        "iat": NOW, "auth_time": NOW, "exp": NOW + 300,
        "preferred_username": given.who.name,
        "name": "Somebody Else",
    });
    if !*inner.shy.lock().unwrap() {
        claims["groups"] = json!(given.who.groups);
    }
    let id_token = sign(&inner, &twisted(&inner.claims, claims));
    let access = access(&inner, &given.who);
    Json(json!({ "access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": id_token }))
        .into_response()
}

/// The hour that every test begins at: 2026-11-21T10:00:00Z.
pub(crate) const NOW: i64 = 1_795_255_200;

fn sign(inner: &Inner, claims: &Value) -> String {
    let keys = inner.keys.lock().unwrap();
    let signed = *inner.signed.lock().unwrap();
    let algorithm = match signed {
        Signed::Rightly | Signed::ByAStranger => "ES256",
        Signed::WithTheSecret => "HS256",
        Signed::Not => "none",
    };
    let head = json!({ "alg": algorithm, "typ": "JWT", "kid": format!("key-{}", keys.id) });
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&head), encode(claims));
    let with =
        |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec();
    let signature = match signed {
        Signed::Rightly => with(&keys.own),
        Signed::ByAStranger => with(&keys.strangers),
        Signed::WithTheSecret => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
            ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
        }
        Signed::Not => Vec::new(),
    };
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

async fn userinfo(State(inner): State<Arc<Inner>>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let who = bearer(&inner, &headers)?;
    let info = json!({ "sub": who.subject, "preferred_username": who.name, "groups": who.groups });
    Ok(Json(twisted(&inner.userinfo, info)))
}

/// GitHub takes the secret from the body, and refuses with status 200.
async fn github_token(State(inner): State<Arc<Inner>>, Form(sent): Form<Sent>) -> Json<Value> {
    let is = |key: &str, value: &str| sent.get(key).is_some_and(|sent| sent == value);
    if !is("client_id", CLIENT) || !is("client_secret", SECRET) {
        return Json(json!({ "error": "incorrect_client_credentials" }));
    }
    match redeem(&inner, &sent) {
        Some(given) => {
            let access = access(&inner, &given.who);
            Json(json!({ "access_token": access, "scope": "read:org", "token_type": "bearer" }))
        }
        None => Json(json!({ "error": "bad_verification_code", "error_description": "It is incorrect." })),
    }
}

async fn github_user(State(inner): State<Arc<Inner>>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let who = bearer(&inner, &headers)?;
    if !headers.contains_key(header::USER_AGENT) {
        return Err(StatusCode::FORBIDDEN);
    }
    let id: u64 = who.subject.parse().unwrap();
    Ok(Json(json!({ "id": id, "login": who.name, "name": null, "email": "minji@example.com" })))
}

type Paged = Query<BTreeMap<String, usize>>;

fn page(all: Vec<Value>, Query(paged): &Paged) -> Json<Value> {
    let (size, number) = (paged["per_page"], paged["page"]);
    Json(all.into_iter().skip(size * (number - 1)).take(size).collect())
}

async fn github_organisations(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    paged: Paged,
) -> Result<Json<Value>, StatusCode> {
    let groups = bearer(&inner, &headers)?.groups;
    let organisations = groups.iter().filter(|group| !group.contains('/'));
    Ok(page(organisations.map(|login| json!({ "login": login, "id": 1 })).collect(), &paged))
}

async fn github_teams(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    paged: Paged,
) -> Result<Json<Value>, StatusCode> {
    let groups = bearer(&inner, &headers)?.groups;
    let teams = groups.iter().filter_map(|group| group.split_once('/'));
    let team = |(organisation, slug)| json!({ "slug": slug, "organization": { "login": organisation } });
    Ok(page(teams.map(team).collect(), &paged))
}
