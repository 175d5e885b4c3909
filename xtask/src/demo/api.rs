//! Talking to Naru's HTTP API, and to services through the edge.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

const TIMEOUT: Duration = Duration::from_secs(15);

/// The API of one instance, with a token once there is one.
pub(crate) struct Api {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// How far the newest change of a project is.
#[derive(Debug, Deserialize)]
pub(crate) struct Crossing {
    pub(crate) sentence: String,
    #[serde(default)]
    pub(crate) landings: Vec<Landing>,
    #[serde(default)]
    pub(crate) problem: Option<Problem>,
    #[serde(default)]
    pub(crate) urls: Vec<String>,
}

/// One of its six landings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Landing {
    pub(crate) name: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) reference: Option<String>,
    #[serde(default)]
    pub(crate) detail: Option<String>,
}

/// The five fields of an error.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) cause: Vec<String>,
    #[serde(default)]
    pub(crate) state: Option<String>,
    #[serde(default)]
    pub(crate) hint: Vec<String>,
}

impl Problem {
    /// All fields, one line each.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.summary.clone()];
        lines.extend(self.cause.iter().map(|line| format!("  cause: {line}")));
        lines.extend(self.state.iter().map(|line| format!("  state: {line}")));
        lines.extend(self.hint.iter().map(|line| format!("  hint: {line}")));
        lines.push(format!("  code: {}", self.code));
        lines.join("\n")
    }
}

impl Api {
    pub(crate) fn new(base: String) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build();
        Self { agent: config.into(), base, token: None }
    }

    pub(crate) fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The control plane's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether it can serve.
    pub(crate) fn ready(&self) -> bool {
        let answer = self.agent.get(format!("{}/readyz", self.base)).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Reads.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let mut request = self.agent.get(format!("{}/api/v1/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let (status, value) = read(request.call()).with_context(|| format!("GET {path}"))?;
        accepted("GET", path, status, value)
    }

    /// Asks for something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, value) = self.send("POST", path, body)?;
        accepted("POST", path, status, value)
    }

    /// Makes something that may be there from an earlier time.
    pub(crate) fn post_once(&self, path: &str, body: &Value) -> Result<()> {
        let (status, value) = self.send("POST", path, body)?;
        if status == 409 { Ok(()) } else { accepted("POST", path, status, value).map(drop) }
    }

    /// Changes something that is there.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, value) = self.send("PUT", path, body)?;
        accepted("PUT", path, status, value)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let address = format!("{}/api/v1/{path}", self.base);
        let mut request = if method == "PUT" { self.agent.put(address) } else { self.agent.post(address) };
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.send_json(body)).with_context(|| format!("{method} {path}"))
    }

    /// The crossing of a project's production environment.
    pub(crate) fn crossing(&self, project: &str) -> Result<Crossing> {
        let value = self.get(&format!("projects/{project}/environments/production/crossing"))?;
        serde_json::from_value(value).context("the status has an unexpected shape")
    }

    /// Makes the first administrator and returns a token.
    pub(crate) fn set_up(&self, link_token: &str, login: &str, password: &str) -> Result<String> {
        let body = json!({ "setup_token": link_token, "login": login, "password": password });
        let value = self.post("setup", &body)?;
        value["token"].as_str().map(str::to_owned).context("the setup returned no token")
    }

    /// Sends the form of a page of a service through the edge, with the page's hidden field and cookies, as a browser
    /// would. Returns the status.
    pub(super) fn send_form(
        &self,
        edge: SocketAddr,
        host: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<u16> {
        let address = format!("http://{edge}{path}");
        let page = self.agent.get(&address).header("Host", host).call()?;
        let cookies: Vec<String> = page
            .headers()
            .get_all("set-cookie")
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned))
            .collect();
        let text = page.into_body().read_to_string()?;
        let (_, rest) = text.split_once("name=\"form\" value=\"").context("the page has no form")?;
        let hidden = rest.split('"').next().unwrap_or_default();
        let all = fields.iter().copied().chain([("form", hidden)]);
        let request = self.agent.post(&address).header("Host", host).header("Cookie", cookies.join("; "));
        Ok(request.send_form(all)?.status().as_u16())
    }

    /// Asks a service through the edge, as a browser would that resolved its host. Returns status and body.
    pub(crate) fn through_edge(&self, edge: SocketAddr, host: &str, path: &str) -> Result<(u16, String)> {
        let answer = self.agent.get(format!("http://{edge}{path}")).header("Host", host).call()?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().read_to_string()?))
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, Value)> {
    let answer = answer?;
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string()?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn accepted(method: &str, path: &str, status: u16, value: Value) -> Result<Value> {
    if (200..300).contains(&status) {
        return Ok(value);
    }
    match serde_json::from_value::<Problem>(value.clone()) {
        Ok(problem) => bail!("{method} {path} was answered with {status}: {}", problem.text()),
        Err(_) => bail!("{method} {path} was answered with {status}: {value}"),
    }
}
