//! Runs an edge in this process: as `naru edge`, or inside a test.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use naru_model::{Clock, Problem};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::sockets::Sockets;
use crate::Limits;
use crate::control::Client;
use crate::control::place::Place;
use crate::control::server::{Desk, Order};
use crate::server::{AccessLog, Edge, EdgeConfig, Port};

/// How long what is under way may take after SIGTERM.
const TERM_DRAIN: Duration = Duration::from_secs(30);
/// How long a successor waits for the name of the one before.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// What `naru edge` is called with. The listening sockets come as LISTEN_FDS.
#[derive(Debug, Clone)]
pub struct EdgeArguments {
    /// The data folder.
    pub data: PathBuf,
    /// Take the place of the running edge.
    pub take_over: bool,
    /// How many of the sockets, the last ones, speak TLS.
    pub tls_sockets: usize,
    /// Threads that carry requests; the number of processors when absent.
    pub workers: Option<NonZero<usize>>,
    /// Bytes after which the access log is rotated; four older files are kept.
    pub access_log_bytes: u64,
}

impl EdgeArguments {
    /// The defaults for a data folder.
    pub fn new(data: PathBuf) -> Self {
        Self { data, take_over: false, tls_sockets: 0, workers: None, access_log_bytes: 64 * 1024 * 1024 }
    }
}

/// Runs the edge until it is told to end. Logging must have been set up; everything else happens here.
///
/// # Errors
/// `edge.start`, with what is missing.
pub fn main(arguments: &EdgeArguments, clock: Arc<dyn Clock>) -> Result<(), Problem> {
    // Fails only when this leads a session already. A terminal's Ctrl-C is then not for this process.
    let _ = setsid();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| not_started(&error))?;
    runtime.block_on(run(arguments, clock))
}

fn not_started(error: &dyn std::fmt::Display) -> Problem {
    Problem::new("edge.start", "the edge did not start").cause(error.to_string())
}

/// Two descriptors per request under way.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn open_files() -> usize {
    let Rlimit { current, .. } = getrlimit(Resource::Nofile);
    current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

async fn run(arguments: &EdgeArguments, clock: Arc<dyn Clock>) -> Result<(), Problem> {
    let sockets = inherited(arguments.tls_sockets).map_err(|error| not_started(&error))?;
    let place = Place::in_data(&arguments.data);
    place.create().map_err(|error| not_started(&error))?;
    if arguments.take_over {
        let client = Client::of(&arguments.data);
        if let Err(error) = client.retire(TERM_DRAIN).await {
            tracing::warn!(%error, "nobody to take over from");
        }
    }
    let lock = lock(&place, arguments.take_over).await?;
    let workers = arguments
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
        .get()
        .min(64);
    let access =
        AccessLog::File { path: place.path("access.log"), bytes_max: arguments.access_log_bytes, kept: 4 };
    let limits = Limits::default().within_files(open_files());
    let config = EdgeConfig { limits, access, clock: Arc::clone(&clock), workers };
    let edge = Edge::new(config).map_err(|error| not_started(&error))?;
    let (orders, mut ordered) = mpsc::channel(4);
    let copies = sockets.try_clone().map_err(|error| not_started(&error))?;
    let desk = Desk::new(Arc::clone(&edge), place, copies, &*clock, orders);
    // Routes first, then clients, then the name: who asks is answered by one that serves.
    desk.restore().await;
    let threads = start_workers(&edge, &sockets, workers).map_err(|error| not_started(&error))?;
    tokio::spawn(Arc::clone(&edge).sweep());
    desk.serve().map_err(|error| not_started(&error))?;

    let mut signals = Signals::new().map_err(|error| not_started(&error))?;
    let (patience, retired) = until_told(&mut ordered, &mut signals).await;
    edge.stop_accepting();
    if retired {
        drop(lock);
    }
    // Who asks once more does not want to wait.
    let in_time = tokio::select! {
        in_time = edge.drain(patience) => in_time,
        () = signals.next() => edge.drain(Duration::ZERO).await,
    };
    tracing::info!(in_time, "the edge drained");
    if retired {
        let _ = std::fs::remove_file(
            Place::in_data(&arguments.data).path(&Place::retired_name(std::process::id())),
        );
    }
    for thread in threads {
        let _ = thread.join();
    }
    edge.flush();
    Ok(())
}

fn inherited(tls: usize) -> std::io::Result<Sockets> {
    let mut passed = ListenFd::from_env();
    let sockets: Vec<TcpListener> = (0..passed.len())
        .filter_map(|index| passed.take_tcp_listener(index).transpose())
        .collect::<Result<_, _>>()?;
    if sockets.is_empty() {
        return Err(std::io::Error::other(
            "no listening sockets were passed (LISTEN_FDS); `naru serve` does that",
        ));
    }
    Sockets::from_list(sockets, tls)
}

/// One edge per data folder. The lock goes with the process, however it ends.
async fn lock(place: &Place, take_over: bool) -> Result<File, Problem> {
    let path = place.path("lock");
    let file = File::options().create(true).append(true).open(path).map_err(|error| not_started(&error))?;
    let deadline = Instant::now() + if take_over { TAKE_OVER } else { Duration::from_secs(1) };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(error) if Instant::now() > deadline => {
                return Err(Problem::new("edge.start", "another edge runs on this data folder")
                    .cause(error.to_string()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// One thread per worker, each with a loop of its own: a request never changes threads.
fn start_workers(
    edge: &Arc<Edge>,
    sockets: &Sockets,
    workers: usize,
) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    let start = |worker: usize| {
        let listeners = sockets.try_clone()?;
        let edge = Arc::clone(edge);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("edge-{worker}")).spawn(move || {
            runtime.block_on(async {
                if let Err(error) = accept_on(&edge, listeners, worker) {
                    tracing::error!(%error, "a listening socket cannot be used");
                }
                edge.ended().await;
            });
        })
    };
    (0..workers).map(start).collect()
}

fn accept_on(edge: &Arc<Edge>, sockets: Sockets, worker: usize) -> std::io::Result<()> {
    tokio::spawn(Arc::clone(edge).work(worker));
    let plain = sockets.plain.into_iter().map(|socket| (socket, Port::Plain));
    let tls = sockets.tls.into_iter().map(|socket| (socket, Port::Tls));
    for (socket, port) in plain.chain(tls) {
        socket.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(socket)?;
        tokio::spawn(Arc::clone(edge).serve(listener, worker, port));
    }
    Ok(())
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_told(ordered: &mut mpsc::Receiver<Order>, signals: &mut Signals) -> (Duration, bool) {
    tokio::select! {
        () = signals.next() => (TERM_DRAIN, false),
        order = ordered.recv() => match order {
            Some(Order::Retire(patience)) => (patience, true),
            Some(Order::Shutdown(patience)) => (patience, false),
            None => (TERM_DRAIN, false),
        },
    }
}

/// An edge on the caller's runtime, with its control socket. For tests.
pub struct InProcess {
    edge: Arc<Edge>,
    client: Client,
    address: SocketAddr,
    tls_address: SocketAddr,
}

/// Starts an edge on `listen` within this process, and with TLS on a free port of the same address. It ends with [`InProcess::drain`], or with the runtime.
///
/// # Errors
/// When the address, the folder or the control socket cannot be had.
pub async fn in_process(
    data: &Path,
    listen: SocketAddr,
    limits: Limits,
    access: AccessLog,
    clock: Arc<dyn Clock>,
) -> std::io::Result<InProcess> {
    let place = Place::in_data(data);
    place.create()?;
    let plain = TcpListener::bind(listen)?;
    let tls = TcpListener::bind((listen.ip(), 0))?;
    let (address, tls_address) = (plain.local_addr()?, tls.local_addr()?);
    let sockets = Sockets { plain: vec![plain], tls: vec![tls] };
    let edge = Edge::new(EdgeConfig { limits, access, clock: Arc::clone(&clock), workers: 1 })?;
    let (orders, mut ordered) = mpsc::channel(4);
    let desk = Desk::new(Arc::clone(&edge), place, sockets.try_clone()?, &*clock, orders);
    desk.restore().await;
    accept_on(&edge, sockets, 0)?;
    tokio::spawn(Arc::clone(&edge).sweep());
    desk.serve()?;
    let told = Arc::clone(&edge);
    tokio::spawn(async move {
        if let Some(Order::Retire(patience) | Order::Shutdown(patience)) = ordered.recv().await {
            told.drain(patience).await;
        }
    });
    Ok(InProcess { edge, client: Client::of(data), address, tls_address })
}

impl InProcess {
    /// Talks to it over its control socket.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where they connect with TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    /// The edge itself.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Stops accepting, lets what is under way end within `patience`. True when nothing had to be broken off.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.edge.drain(patience).await
    }
}
