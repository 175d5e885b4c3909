//! Requests to the server. Answers come back twice: as they were, for `--json`, and cleaned and typed, for people.

use std::net::IpAddr;
use std::time::Duration;

use naru_model::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{CliError, DENIED, FAILED, Result, UNREACHABLE, USAGE};
use crate::outside::Outside;
use crate::text;

const PATIENCE: Duration = Duration::from_mins(1);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST_ANSWER_BYTES: usize = 64 << 20;

/// One server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer.
pub(crate) struct Answer<T> {
    /// As it was.
    pub(crate) raw: Value,
    /// Without anything a terminal would obey.
    pub(crate) view: T,
}

impl Client {
    /// A client for `base`, such as `http://127.0.0.1:7070`. Refuses one to which passwords and tokens would go in the
    /// clear, unless the person insists.
    pub(crate) fn new(outside: &Outside, base: &str, token: Option<String>) -> Result<Self> {
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let problem =
                Problem::new("cli.url", format!("{} is not an address of a server", text::clean(base)))
                    .cause("expected a URL that starts with http:// or https://");
            return Err(CliError::new(USAGE, problem));
        }
        if is_plain(base) && outside.variable(INSECURE).is_none() {
            let problem =
                Problem::new("cli.insecure", format!("{} is not asked without TLS", text::clean(base)))
                    .cause("passwords and tokens would cross the network for everybody on the way to read")
                    .state("nothing was sent")
                    .hint("use its https:// address, or a tunnel to its loopback address")
                    .hint(
                        "where the network itself is safe, --insecure-http or NARU_INSECURE_HTTP=1 says so",
                    );
            return Err(CliError::new(USAGE, problem));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("naru/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            // A token must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Problem::new("cli.network", "requests cannot be made").cause(error.to_string())
            })?;
        Ok(Self { http, base: base.to_owned(), token })
    }

    /// The server's base URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>> {
        self.exchange(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>> {
        self.exchange(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>> {
        self.exchange(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>> {
        let request = self.request(Method::DELETE, path).header("content-type", "application/json");
        self.exchange(request).await
    }

    /// A stream of server-sent events, after the event with this id.
    pub(crate) async fn stream(&self, path: &str, after: Option<&str>) -> Result<Response> {
        let mut request = self.http.get(format!("{}{path}", self.base)).header("accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(PATIENCE);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let raw = self.body(response).await?;
        let mut cleaned = raw.clone();
        text::clean_json(&mut cleaned);
        let view = serde_json::from_value(cleaned).map_err(|error| self.strange(&error.to_string()))?;
        Ok(Answer { raw, view })
    }

    /// An answer that is no JSON, without anything a terminal would obey.
    pub(crate) async fn text(&self, path: &str) -> Result<String> {
        let response =
            self.request(Method::GET, path).send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let bytes = self.bytes(response).await?;
        let lines = String::from_utf8_lossy(&bytes);
        Ok(lines.lines().map(text::clean).collect::<Vec<_>>().join("\n"))
    }

    async fn body(&self, response: Response) -> Result<Value> {
        let bytes = self.bytes(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.strange(&error.to_string()))
    }

    async fn bytes(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST_ANSWER_BYTES {
                return Err(self.strange("the answer is too large"));
            }
        }
        Ok(bytes)
    }

    async fn refused(&self, response: Response) -> CliError {
        let status = response.status();
        let exit = CliError::of_status(status.as_u16());
        let problem = match self.body(response).await {
            Ok(mut body) => {
                text::clean_json(&mut body);
                serde_json::from_value::<Problem>(body).ok()
            }
            Err(_) => None,
        };
        match problem {
            Some(problem) => CliError::new(exit, self.explained(status, problem)),
            None => CliError::new(
                exit,
                self.strange_answer(&format!("it answered with status {}", status.as_u16())),
            ),
        }
    }

    /// What only this side knows: which server it was.
    fn explained(&self, status: StatusCode, mut problem: Problem) -> Problem {
        if status == StatusCode::UNAUTHORIZED && problem.code == "api.unauthenticated" {
            problem.hint = vec![format!("$ naru login {}", self.base)];
        }
        problem
    }

    fn strange(&self, cause: &str) -> CliError {
        CliError::new(FAILED, self.strange_answer(cause))
    }

    fn strange_answer(&self, cause: &str) -> Problem {
        Problem::new("cli.strange-answer", format!("{} did not answer like a Naru", self.base))
            .cause(text::clean(cause))
            .hint("check the address; the server may be of another version")
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let problem = Problem::new("cli.unreachable", format!("{} does not answer", self.base))
            .cause(text::clean(&cause.to_string()))
            .hint("is it running? start it with:")
            .command("naru serve");
        CliError::new(UNREACHABLE, problem)
    }
}

/// Set when a person accepts that what is sent can be read on the way.
pub(crate) const INSECURE: &str = "NARU_INSECURE_HTTP";

/// Whether what is sent there leaves this machine without TLS.
fn is_plain(base: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    url.scheme() == "http" && !is_here
}

/// Told when nobody is logged in.
pub(crate) fn not_logged_in() -> CliError {
    let problem = Problem::new("cli.no-server", "no server is known")
        .cause("neither NARU_URL nor an earlier login names one")
        .command("naru login http://127.0.0.1:7070");
    CliError::new(DENIED, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_to_another_machine_in_the_clear() {
        for far in
            ["http://naru.example.com", "http://10.0.0.2:7070", "http://localhost.example.com", "HTTP://a"]
        {
            assert!(is_plain(far), "{far}");
        }
        for fine in [
            "https://naru.example.com",
            "http://127.0.0.1:7070",
            "http://127.8.8.8",
            "http://[::1]:7070",
            "http://localhost:7070",
            "http://naru.localhost",
        ] {
            assert!(!is_plain(fine), "{fine}");
        }
    }
}
