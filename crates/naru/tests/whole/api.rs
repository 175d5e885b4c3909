//! Naru's HTTP API, and services through the edge.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

/// More than the edge holds a request.
const LIMIT: Duration = Duration::from_secs(30);

/// The API of one instance.
pub(crate) struct Api {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// A client that opens a connection for every request, as new visitors do.
fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .timeout_global(Some(LIMIT));
    config.build().into()
}

impl Api {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { agent: agent(), base: format!("http://{address}"), token: None }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Whether store, git and engine answer.
    pub(crate) fn is_ready(&self) -> bool {
        let answer = self.agent.get(format!("{}/readyz", self.base)).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Makes the first administrator, and is them from now on.
    pub(crate) fn set_up(&mut self, setup_token: &str) {
        let body = json!({ "setup_token": setup_token, "login": "minji", "password": "a ferry at dawn" });
        let answer = self.post("setup", &body);
        self.token = Some(answer["token"].as_str().expect("setup makes a token").to_owned());
    }

    /// Reads what must be there. `path` is below `/api/v1/`.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Reads; while Naru is down there is no answer.
    pub(crate) fn try_get(&self, path: &str) -> Result<Value, String> {
        let request = self.agent.get(format!("{}/api/v1/{path}", self.base));
        accepted(request.header("Authorization", format!("Bearer {}", self.token())).call())
    }

    /// Asks for something that must be accepted.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token()));
        accepted(request.send_json(body)).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Changes something; that must be accepted.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.put(format!("{}/api/v1/{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token()));
        accepted(request.send_json(body)).unwrap_or_else(|error| panic!("PUT {path}: {error}"))
    }
}

fn accepted(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let text = answer.into_body().read_to_string().map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks a service through the edge on a connection of its own, and returns status and body.
pub(crate) fn through_edge(edge: SocketAddr, host: &str, path: &str) -> Result<(u16, String), String> {
    let answer = agent().get(format!("http://{edge}{path}")).header("Host", host).call();
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().map_err(|error| error.to_string())?;
    Ok((status, text))
}
