//! Requests to the engine's socket: one connection each, with limits on time and size, and failures sorted into
//! [`StepError`]. Knows no path of the API and keeps no state, so a socket that went away and came back needs no care.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::StepError;

/// No answer that is read as a whole may be larger: a list of some ten thousand containers.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;

/// How long an ordinary call may take. Creating and starting under load takes a second or two.
pub(crate) const CALL: Duration = Duration::from_secs(30);

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The engine's socket.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    body: Bytes,
}

/// What a request carries.
pub(crate) enum Payload {
    /// Nothing.
    Nothing,
    /// JSON.
    Json(Vec<u8>),
    /// A tar archive, as it comes.
    Archive(BoxStream<'static, Result<Bytes, std::io::Error>>),
}

impl Payload {
    /// JSON of this value.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_vec(value).expect("request bodies are plain data"))
    }

    fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Json(_) => Some("application/json"),
            Self::Archive(_) => Some("application/x-tar"),
        }
    }

    fn into_body(self) -> Body {
        match self {
            Self::Nothing => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            Self::Json(bytes) => Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync(),
            Self::Archive(chunks) => StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync(),
        }
    }
}

impl Answer {
    /// The answer, parsed. `what` names the call in the error.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, StepError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            StepError::Transient(format!("{what}: the engine's answer is not understood: {error}"))
        })
    }

    /// The answer as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The engine's own words about a failure, shortened.
    pub(crate) fn message(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Failure {
            message: String,
        }
        let text =
            serde_json::from_slice::<Failure>(&self.body).map_or_else(|_| self.text(), |it| it.message);
        let text = text.trim();
        if text.is_empty() { format!("status {}", self.status.as_u16()) } else { shorten(text, 500) }
    }

    /// The answer itself when the call succeeded; a failure that may pass otherwise.
    pub(crate) fn success(self, what: &str) -> Result<Self, StepError> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            return Ok(self);
        }
        Err(StepError::Transient(format!("{what}: {}", self.message())))
    }

    /// `None` when the engine does not know the thing.
    pub(crate) fn found(self, what: &str) -> Result<Option<Self>, StepError> {
        if self.status == StatusCode::NOT_FOUND { Ok(None) } else { self.success(what).map(Some) }
    }
}

impl Client {
    /// Talks to this socket.
    pub(crate) fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Which socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// GET, with the answer as a whole.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, StepError> {
        self.call(Method::GET, path, Payload::Nothing, CALL).await
    }

    /// POST, with the answer as a whole.
    pub(crate) async fn post(&self, path: &str, payload: Payload) -> Result<Answer, StepError> {
        self.call(Method::POST, path, payload, CALL).await
    }

    /// DELETE, with the answer as a whole.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, StepError> {
        self.call(Method::DELETE, path, Payload::Nothing, CALL).await
    }

    /// Any request, with the answer as a whole, within a time limit.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
        within: Duration,
    ) -> Result<Answer, StepError> {
        let exchange = async {
            let response = self.send(method, path, &[], payload).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await;
            let body = body.map_err(|error| self.lost(&error.to_string()))?.to_bytes();
            Ok(Answer { status, body })
        };
        tokio::time::timeout(within, exchange).await.map_err(|_| {
            StepError::Transient(format!("the container engine did not answer within {} s", within.as_secs()))
        })?
    }

    /// A request whose answer is read as it comes. A failure's answer is read as a whole and returned as `Err`.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Result<BoxStream<'static, Result<Bytes, StepError>>, Answer>, StepError> {
        let opening = tokio::time::timeout(CALL, self.send(method, path, headers, Payload::Nothing));
        let response = opening.await.map_err(|_| self.lost("no answer"))??;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await;
            let body = body.map_err(|error| self.lost(&error.to_string()))?.to_bytes();
            return Ok(Err(Answer { status, body }));
        }
        let lost = self.clone();
        let chunks = response.into_body().into_data_stream();
        Ok(Ok(chunks.map_err(move |error| lost.lost(&error.to_string())).boxed()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        payload: Payload,
    ) -> Result<http::Response<Incoming>, StepError> {
        let socket =
            UnixStream::connect(&self.socket).await.map_err(|error| self.lost(&error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(socket))
            .await
            .map_err(|error| self.lost(&error.to_string()))?;
        // Ends with the exchange: dropping the answer's body closes the connection.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(http::header::HOST, "engine");
        if let Some(kind) = payload.content_type() {
            request = request.header(http::header::CONTENT_TYPE, kind);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(payload.into_body()).map_err(|error| {
            StepError::Transient(format!("a request to the engine is malformed: {error}"))
        })?;
        sender.send_request(request).await.map_err(|error| self.lost(&error.to_string()))
    }

    fn lost(&self, why: &str) -> StepError {
        StepError::Transient(format!(
            "the container engine at {} is not reachable: {why}",
            self.socket.display()
        ))
    }
}

/// `path?name=value&…` with everything escaped that is not plainly harmless.
pub(crate) fn path(parts: &[&str], query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for part in parts {
        text.push('/');
        escape(&mut text, part);
    }
    for (index, (name, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        escape(&mut text, name);
        text.push('=');
        escape(&mut text, value);
    }
    text
}

fn escape(into: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// The first `limit` characters.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_inside_its_part_of_the_path() {
        assert_eq!(
            path(&["containers", "../a b?c", "json"], &[("x", "1&y=2")]),
            "/containers/..%2Fa%20b%3Fc/json?x=1%26y%3D2"
        );
    }

    #[tokio::test]
    async fn a_missing_socket_may_come_back() {
        let error = Client::new("/nonexistent/engine.sock").get("/_ping").await.unwrap_err();
        assert!(matches!(error, StepError::Transient(text) if text.contains("/nonexistent/engine.sock")));
    }
}
