//! A server with prepared answers, a clock that stands, a home folder of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use naru_cli::Outside;
use naru_model::{Clock, Timestamp};
use serde_json::Value;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        "2026-11-21T10:34:05Z".parse().unwrap()
    }
}

/// What was asked: `METHOD path body`, and the token it came with.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) token: Option<String>,
}

/// Status, body and content type.
type Answer = (u16, String, &'static str);

#[derive(Default)]
struct Prepared {
    answers: Mutex<BTreeMap<String, Vec<Answer>>>,
    asked: Mutex<Vec<Asked>>,
}

pub(crate) struct World {
    prepared: Arc<Prepared>,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) draws: bool,
}

/// How a command ended and what it printed.
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit: {}\n--- out\n{}--- err\n{}", self.code, self.out, self.err)
    }
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn read(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn answer(
    State(prepared): State<Arc<Prepared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {uri}");
    let token = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let full = format!("{line} {}", String::from_utf8_lossy(&body)).trim().to_owned();
    prepared.asked.lock().unwrap().push(Asked { line: full, token });
    let mut answers = prepared.answers.lock().unwrap();
    let Some(waiting) = answers.get_mut(&line) else {
        return (StatusCode::IM_A_TEAPOT, format!("nothing is prepared for {line}")).into_response();
    };
    // The last answer stays.
    let (status, text, kind) = if waiting.len() > 1 { waiting.remove(0) } else { waiting[0].clone() };
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, kind)], text).into_response()
}

impl World {
    pub(crate) async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prepared = Arc::new(Prepared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(prepared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("HOME", folder.path().to_str().unwrap()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("NARU_URL", &url),
            ("NARU_TOKEN", "naru_test"),
            ("NARU_PROJECT", "shop"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { prepared, url, folder, variables, draws: false }
    }

    pub(crate) fn without(mut self, variable: &str) -> Self {
        self.variables.remove(variable);
        self
    }

    /// Prepares an answer; several for one request come one after the other, and the last one stays.
    pub(crate) fn on(self, request: &str, status: u16, body: &Value) -> Self {
        self.text(request, status, &body.to_string(), "application/json")
    }

    pub(crate) fn text(self, request: &str, status: u16, body: &str, kind: &'static str) -> Self {
        let answer = (status, body.to_owned(), kind);
        self.prepared.answers.lock().unwrap().entry(request.to_owned()).or_default().push(answer);
        self
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.prepared.asked.lock().unwrap().clone()
    }

    pub(crate) async fn run(&self, line: &str) -> Ended {
        self.run_with_input(line, "").await
    }

    pub(crate) async fn run_with_input(&self, line: &str, input: &str) -> Ended {
        let words = std::iter::once("naru").chain(line.split_whitespace());
        let matches = match naru_cli::command().try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(error) => {
                let code = u8::from(error.use_stderr()) * 2;
                return Ended { code, out: String::new(), err: error.to_string() };
            }
        };
        let (out, err) = (Paper::default(), Paper::default());
        let outside = Outside {
            variables: self.variables.clone(),
            folder: self.folder.path().to_owned(),
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            input: Box::new(std::io::Cursor::new(input.to_owned().into_bytes())),
            asks: false,
            draws: self.draws,
            clock: Arc::new(Stopped),
        };
        let code = naru_cli::run_with(&matches, outside).await;
        let plain = |text: String| {
            text.replace(&self.url, "http://naru").replace(self.folder.path().to_str().unwrap(), "~")
        };
        Ended { code, out: plain(out.read()), err: plain(err.read()) }
    }
}
