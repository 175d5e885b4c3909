//! The edge as a process of its own beside `naru serve`.
//!
//! `serve` binds the public sockets and keeps them: when the edge dies, new connections queue in the kernel until
//! the next one accepts them. The edge has them too: when `serve` dies, the next one adopts the edge and asks it
//! for the sockets. Only when both die at once do the sockets close.

mod run;
pub(crate) mod sockets;
mod spawn;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use naru_model::Problem;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use self::run::{EdgeArguments, InProcess, in_process, main};

use self::sockets::{Sockets, addresses, fit};
use self::spawn::{bind, start};
use crate::control::place::{CONTROL, Place};
use crate::control::{Client, handover};

/// How often the edge is asked for a sign of life.
const PROBE: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Questions in a row without an answer after which the process counts as hung.
const SILENCE: u32 = 3;
/// How long a killed process may take to end.
const DEATH: Duration = Duration::from_secs(5);

/// How the edge is started, and where it listens.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The data folder; the edge keeps its things in `<data>/edge`.
    pub data: PathBuf,
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
    /// Where they connect with TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// The program, normally this one.
    pub program: PathBuf,
    /// What comes before `--data <data>`, normally `edge`.
    pub arguments: Vec<OsString>,
    /// The whole environment of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// How long requests under way may take when an edge gives way to another.
    pub drain: Duration,
}

/// Keeps an edge running. Dropping it leaves the edge running, unwatched.
pub struct Supervisor {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    config: ProcessConfig,
    place: Place,
    client: Client,
    sockets: Sockets,
    current: Mutex<Process>,
}

/// The edge that is watched.
struct Process {
    pid: u32,
    /// Readable once the process has ended.
    ended: Arc<AsyncFd<OwnedFd>>,
    /// Set when it is this process's child, which must be waited for.
    child: Option<std::process::Child>,
    since: Instant,
}

/// Adopts the edge of the data folder, or starts one, and keeps one running from then on.
///
/// # Errors
/// `edge.bind` when an address cannot be had, `edge.start` when the process does not come up.
pub async fn ensure_running(config: ProcessConfig) -> Result<Supervisor, Problem> {
    let place = Place::in_data(&config.data);
    place.create().map_err(|error| {
        Problem::new("edge.start", "the edge's folder cannot be made").cause(error.to_string())
    })?;
    let client = Client::of(&config.data);
    end_silent(&place, &client).await;
    let adopted = adopt(&config, &place, &client).await;
    let outdated = adopted.as_ref().is_some_and(|(_, process)| is_outdated(process.pid, &config.program));
    let (sockets, process) = if let Some(adopted) = adopted {
        adopted
    } else {
        let sockets = bind(&config.listen, &config.listen_tls)?;
        let process = start(&config, &place, &client, &sockets, false).await?;
        (sockets, process)
    };
    let shared = Arc::new(Shared { config, place, client, sockets, current: Mutex::new(process) });
    let stop = CancellationToken::new();
    tokio::spawn(watch(Arc::clone(&shared), stop.clone()));
    let supervisor = Supervisor { shared, stop };
    if outdated && let Err(problem) = supervisor.upgrade().await {
        tracing::error!(%problem, "the edge of another build goes on: this one's did not come up");
    }
    Ok(supervisor)
}

/// Whether a process runs another program file than the one that would be started now, also when the former was replaced.
fn is_outdated(pid: u32, program: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let (runs, wanted) = (identity(Path::new(&format!("/proc/{pid}/exe"))), identity(program));
    runs.is_some() && wanted.is_some() && runs != wanted
}

/// A running edge and its sockets, when it listens where it should. One that listens elsewhere is told to end.
async fn adopt(config: &ProcessConfig, place: &Place, client: &Client) -> Option<(Sockets, Process)> {
    let about = client.about().await.ok()?;
    let process = Process::adopted(about.pid).ok()?;
    // The number could have been given to another process between the answer and the watch.
    if client.about().await.ok()?.pid != about.pid {
        return None;
    }
    let listens_right = fit(&config.listen, &about.listens) && fit(&config.listen_tls, &about.listens_tls);
    let taken = {
        let place = place.clone();
        let tls = about.listens_tls.len();
        let take = move || Sockets::from_list(handover::take(&place)?, tls);
        tokio::task::spawn_blocking(take).await.ok()?
    };
    match taken {
        Ok(sockets) if listens_right => {
            tracing::info!(pid = about.pid, "adopted the running edge");
            Some((sockets, process))
        }
        taken => {
            tracing::info!(
                pid = about.pid,
                handed_over = taken.is_ok(),
                "the running edge listens elsewhere"
            );
            drop(taken);
            let _ = client.shutdown(config.drain).await;
            let limit = config.drain + Duration::from_secs(5);
            let _ = tokio::time::timeout(limit, process.wait()).await;
            None
        }
    }
}

impl Process {
    fn adopted(pid: u32) -> io::Result<Self> {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(id, PidfdFlags::empty())?;
        #[expect(
            deprecated,
            reason = "unsound only for types that break I/O safety; the successor needs unsafe code"
        )]
        let ended = Arc::new(AsyncFd::with_interest(descriptor, Interest::READABLE)?);
        Ok(Self { pid, ended, child: None, since: Instant::now() })
    }

    fn started(child: std::process::Child) -> io::Result<Self> {
        let mut process = Self::adopted(child.id())?;
        process.child = Some(child);
        Ok(process)
    }

    fn wait(&self) -> impl Future<Output = ()> + use<> {
        let ended = Arc::clone(&self.ended);
        async move {
            let _ = ended.readable().await;
        }
    }

    /// Takes the exit status of a child that has ended.
    fn reap(&mut self) -> Option<String> {
        self.child.as_mut()?.try_wait().ok()?.map(|status| status.to_string())
    }
}

/// Resolves when the edge has not answered for some seconds, although its process may be alive.
async fn hung(client: &Client) {
    let mut silent = 0;
    while silent < SILENCE {
        tokio::time::sleep(PROBE).await;
        silent = if answers(client).await { 0 } else { silent + 1 };
    }
}

async fn answers(client: &Client) -> bool {
    tokio::time::timeout(ANSWER, client.about()).await.is_ok_and(|about| about.is_ok())
}

/// Ends the edge of the data folder if it hangs already: it could neither be adopted nor give its addresses away. What is
/// under way there and what waits to be accepted is lost already.
async fn end_silent(place: &Place, client: &Client) {
    for _ in 0..SILENCE {
        if listener(place).await.is_none() || answers(client).await {
            return;
        }
        tokio::time::sleep(PROBE).await;
    }
    let Some(pid) = listener(place).await else { return };
    let Ok(process) = Process::adopted(pid) else { return };
    // The number could have been given to another process before the watch.
    if listener(place).await != Some(pid) {
        return;
    }
    tracing::error!(pid, "the edge that was found does not answer; its process is ended");
    if let Err(error) = pidfd_send_signal(process.ended.get_ref(), Signal::KILL) {
        tracing::warn!(pid, %error, "the hung edge could not be ended");
    }
    let _ = tokio::time::timeout(DEATH, process.wait()).await;
}

/// The process that listens at the control socket, as the kernel knows it: also one that answers nothing.
async fn listener(place: &Place) -> Option<u32> {
    let path = place.socket(CONTROL).ok()?;
    let connection = tokio::time::timeout(ANSWER, UnixStream::connect(&path)).await.ok()?.ok()?;
    connection.peer_cred().ok()?.pid()?.try_into().ok()
}

/// Ends a process that hangs; what is under way there is lost already. One that took its place meanwhile answers.
async fn end_hung(shared: &Shared) {
    let current = shared.current.lock().await;
    if answers(&shared.client).await {
        return;
    }
    tracing::error!(pid = current.pid, "the edge does not answer any more; its process is ended");
    if let Err(error) = pidfd_send_signal(current.ended.get_ref(), Signal::KILL) {
        tracing::warn!(pid = current.pid, %error, "the hung edge could not be ended");
    }
    let _ = tokio::time::timeout(DEATH, current.wait()).await;
}

/// Waits for the edge to end, or to hang, and starts the next one, until told to stop.
async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = Duration::from_millis(20);
    loop {
        let ended = shared.current.lock().await.wait();
        tokio::select! {
            () = stop.cancelled() => return,
            () = ended => {}
            () = hung(&shared.client) => end_hung(&shared).await,
        }
        let mut current = shared.current.lock().await;
        // It may have been replaced on purpose while this waited for its end.
        let probe = current.wait();
        if tokio::time::timeout(Duration::from_millis(1), probe).await.is_err() {
            continue;
        }
        if stop.is_cancelled() {
            return;
        }
        let status = current.reap().unwrap_or_else(|| "unknown status".to_owned());
        tracing::error!(pid = current.pid, status, "the edge ended; starting the next one");
        // One that ends at once is started again more slowly, but never later than a second.
        pause = if current.since.elapsed() > Duration::from_secs(10) {
            Duration::from_millis(20)
        } else {
            (pause * 2).min(Duration::from_secs(1))
        };
        match start(&shared.config, &shared.place, &shared.client, &shared.sockets, false).await {
            Ok(process) => *current = process,
            Err(problem) => tracing::error!(%problem, "the edge could not be started again"),
        }
        drop(current);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Supervisor {
    /// Talks to whichever process is the edge.
    pub fn client(&self) -> Client {
        self.shared.client.clone()
    }

    /// Where clients connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.shared.sockets.plain)
    }

    /// Where they connect with TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.shared.sockets.tls)
    }

    /// Puts a new process in the place of the running one, which ends when what is under way there has ended.
    /// Meanwhile new connections queue.
    ///
    /// # Errors
    /// `edge.start`; then the watcher starts one from the kept tables.
    pub async fn upgrade(&self) -> Result<(), Problem> {
        let shared = &self.shared;
        let mut current = shared.current.lock().await;
        let next = start(&shared.config, &shared.place, &shared.client, &shared.sockets, true).await?;
        let before = std::mem::replace(&mut *current, next);
        let child = before.child;
        let ended = Arc::clone(&before.ended);
        tokio::spawn(async move {
            let _ = ended.readable().await;
            if let Some(mut child) = child {
                let _ = child.try_wait();
            }
        });
        Ok(())
    }

    /// Stops watching and ends the edge: what is under way has `drain` to end.
    pub async fn stop(self, drain: Duration) {
        self.stop.cancel();
        let mut current = self.shared.current.lock().await;
        let _ = self.shared.client.shutdown(drain).await;
        let _ = tokio::time::timeout(drain + Duration::from_secs(2), current.wait()).await;
        current.reap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
