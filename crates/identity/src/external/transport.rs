//! Requests to one login provider: where they may go, how long they may take, how much is read. Certificates are
//! checked by the system's roots.

use std::pin::Pin;
use std::time::Duration;

use naru_model::Problem;
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::sync::Semaphore;

use super::settings::is_loopback;

/// How long one request may take, answer included.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const LARGEST_ANSWER_BYTES: usize = 1 << 20;
/// Requests to one provider at once; more wait, as long as a request may take.
const AT_ONCE: usize = 8;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    #[error("it names an address that is not asked: {0}")]
    NotAllowed(String),
    #[error("{0}")]
    Failed(String),
    #[error("its answer is larger than {} KiB", LARGEST_ANSWER_BYTES >> 10)]
    TooLarge,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TooLate,
}

/// The way to one provider.
pub(crate) struct Transport {
    client: reqwest::Client,
    loopback: bool,
    turns: Semaphore,
}

impl Transport {
    /// `loopback` says that the provider is on this machine: then nothing else is asked; otherwise only with TLS.
    pub(crate) fn new(loopback: bool) -> Result<Self, Problem> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("naru/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            // A secret must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none());
        if loopback {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| {
            Problem::new("login.settings", "login providers cannot be asked").cause(error.to_string())
        })?;
        Ok(Self { client, loopback, turns: Semaphore::new(AT_ONCE) })
    }

    /// One request and its whole answer.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        self.check(&request)?;
        let exchange = async {
            let _turn = self.turns.acquire().await.map_err(|_| CallError::TooLate)?;
            self.exchange(request).await
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(CallError::TooLate))
    }

    fn check(&self, request: &HttpRequest) -> Result<(), CallError> {
        let text = request.uri().to_string();
        let url = Url::parse(&text).map_err(|_| CallError::NotAllowed(text.clone()))?;
        let allowed = if self.loopback { is_loopback(&url) } else { url.scheme() == "https" };
        if allowed { Ok(()) } else { Err(CallError::NotAllowed(without_query(&url))) }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        let mut response = self.client.execute(request).await.map_err(|error| failed(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER_BYTES {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = openidconnect::http::Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = CallError;
    // Boxed, so that what waits for it can be sent to another thread whatever it borrows.
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// An address without what could be secret in it.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The innermost reason: "connection refused" is never the first. The address is left out, for it may carry a code.
fn failed(error: &reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::TooLate;
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    CallError::Failed(text.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(loopback: bool, uri: &str) -> bool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = openidconnect::http::Request::builder().uri(uri).body(Vec::new()).unwrap();
        Transport::new(loopback).unwrap().check(&request).is_ok()
    }

    #[test]
    fn a_provider_elsewhere_is_asked_with_tls_only_and_one_here_leads_nowhere_else() {
        assert!(allowed(false, "https://id.example.com/token"));
        assert!(!allowed(false, "http://id.example.com/token"));
        assert!(!allowed(false, "http://127.0.0.1/token"));
        assert!(allowed(true, "http://127.0.0.1:3000/token"));
        assert!(!allowed(true, "http://169.254.169.254/latest"));
        assert!(!allowed(true, "https://id.example.com/token"));
    }
}
