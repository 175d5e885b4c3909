//! What the tests stand on: replicas that answer as told, an edge in this process, and a client that sends exactly
//! the bytes it is given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use naru_edge::Limits;
use naru_edge::process::{InProcess, in_process};
use naru_edge::server::AccessLog;
use naru_model::rollout::ReplicaKey;
use naru_model::route::{Backend, Route, RouteLimits, RouteMode, RouteTable, TrafficSeen};
use naru_model::{Clock, EnvironmentKey, Generation, RevisionNumber, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Long enough for anything on loopback; a test that waits this long has failed.
pub(crate) const SOON: Duration = Duration::from_mins(1);

pub(crate) struct TestClock;

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "these tests run on real sockets and in real time")]
        Timestamp::now()
    }
}

/// An edge and its data folder.
pub(crate) struct Fixture {
    pub(crate) edge: InProcess,
    pub(crate) data: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("edge")).unwrap();
        let access =
            AccessLog::File { path: data.path().join("edge/access.log"), bytes_max: 1 << 20, kept: 1 };
        let edge =
            in_process(data.path(), "127.0.0.1:0".parse().unwrap(), limits, access, Arc::new(TestClock))
                .await
                .unwrap();
        Self { edge, data }
    }

    pub(crate) async fn publish(&self, generation: u64, routes: Vec<Route>) {
        self.edge.client().publish(&table("production", routes), Generation(generation)).await.unwrap();
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.edge.address()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(&self, host: &str, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    pub(crate) async fn send(&self, bytes: &str) -> Answer {
        let mut wire = self.connect().await;
        wire.write(bytes.as_bytes()).await;
        wire.answer().await
    }

    /// What the edge says about the environment.
    pub(crate) async fn status(&self) -> TrafficSeen {
        self.edge.client().status(&environment("production")).await.unwrap()
    }

    /// Requests under way at all replicas.
    pub(crate) async fn in_flight(&self) -> u32 {
        self.status().await.in_flight.iter().map(|one| one.requests).sum()
    }

    pub(crate) async fn until_in_flight(&self, wanted: u32) {
        until(async || self.in_flight().await == wanted).await;
    }
}

/// Waits for a condition.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    tokio::time::timeout(SOON, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the condition was not met in time");
}

/// The line that the access log has of a request.
pub(crate) async fn access_line(fixture: &Fixture, request_id: &str) -> String {
    let path = fixture.data.path().join("edge/access.log");
    let mut found = None;
    until(async || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found = text.lines().find(|line| line.contains(request_id)).map(str::to_owned);
        found.is_some()
    })
    .await;
    found.unwrap()
}

pub(crate) fn environment(name: &str) -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: name.parse().unwrap() }
}

pub(crate) fn table(name: &str, routes: Vec<Route>) -> RouteTable {
    RouteTable { environment: environment(name), routes, maintenance: None }
}

pub(crate) fn key(revision: u32, index: u32) -> ReplicaKey {
    ReplicaKey { service: "web".parse().unwrap(), revision: RevisionNumber(revision), index, attempt: 0 }
}

pub(crate) fn backend(replica: ReplicaKey, address: SocketAddr, weight: u32) -> Backend {
    Backend { revision: replica.revision, replica, address, weight, health: None }
}

pub(crate) fn route(host: &str, path: &str, backends: Vec<Backend>) -> Route {
    Route {
        host: host.to_owned(),
        path: path.to_owned(),
        service: "web".parse().unwrap(),
        mode: RouteMode::Serve,
        backends,
        sticky: None,
        limits: RouteLimits::default(),
    }
}

/// One replica of revision 1 on `host`.
pub(crate) fn single(host: &str, replica: &Replica) -> Vec<Route> {
    vec![route(host, "/", vec![backend(key(1, 0), replica.address, 1)])]
}

pub(crate) fn held(host: &str) -> Vec<Route> {
    let mut routes = vec![route(host, "/", Vec::new())];
    routes[0].mode = RouteMode::Hold;
    routes
}

/// A server behind the edge.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Replica {
    pub(crate) async fn start(router: Router) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), router)
    }

    pub(crate) fn on(listener: TcpListener, router: Router) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            counter.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
            accepted.fetch_add(1, Ordering::SeqCst);
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, requests, connections, task }
    }

    /// Answers every request with a name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::start(Router::new().fallback(move || async move { name })).await
    }

    /// Answers with the request's head as it arrived.
    pub(crate) async fn mirror() -> Self {
        Self::start(Router::new().fallback(|request: Request| async move {
            let mut lines: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
                .collect();
            lines.sort();
            Response::new(format!("{} {}\n{}\n", request.method(), request.uri(), lines.join("\n")))
        }))
        .await
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A replica of raw bytes: every connection is handed to `serve`.
pub(crate) async fn raw_replica<F, T>(serve: F) -> SocketAddr
where
    F: Fn(Wire) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Wire { stream, buffer: Vec::new() }));
        }
    });
    address
}

/// An address where nobody listens.
pub(crate) async fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A connection on which exactly what is written is sent.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads more; false at the end of the stream.
    pub(crate) async fn more(&mut self) -> bool {
        let mut piece = vec![0; 16 * 1024];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut piece)).await.expect("nothing came");
        let read = read.unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..read]);
        read > 0
    }

    /// Reads more, however long it takes.
    pub(crate) async fn more_whenever(&mut self) -> bool {
        let mut piece = vec![0; 16 * 1024];
        let read = self.stream.read(&mut piece).await.unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..read]);
        read > 0
    }

    /// Reads until the text has come, and returns everything up to its end.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let found = self.buffer.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            assert!(self.more().await, "the stream ended before {text:?}: {:?}", self.rest());
        }
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    pub(crate) async fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.buffer.len() < bytes {
            assert!(self.more().await, "the stream ended early");
        }
        self.buffer.drain(..bytes).collect()
    }

    /// One answer, with a body by length, in chunks, or up to the end of the stream.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return answer;
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().unwrap()).await;
        } else if answer.header("transfer-encoding").is_some() {
            loop {
                let line = self.until("\r\n").await;
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                if size == 0 {
                    let trailers = self.trailers().await;
                    answer.head.push_str(&trailers);
                    break;
                }
                answer.body.extend(self.take(size).await);
                self.take(2).await;
            }
        } else {
            while self.more().await {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        answer
    }

    async fn trailers(&mut self) -> String {
        let mut all = String::new();
        loop {
            let line = self.until("\r\n").await;
            if line == "\r\n" {
                return all;
            }
            all.push_str(&line);
        }
    }

    /// Whether the other side closed.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.more().await {}
        true
    }
}
