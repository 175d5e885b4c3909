//! Binds the public sockets and starts an edge process on them.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use naru_model::Problem;
use tokio::net::TcpSocket;

use super::sockets::Sockets;
use super::{Process, ProcessConfig};
use crate::control::Client;
use crate::control::handover::SOCKETS_MAX;
use crate::control::place::Place;

/// Connections that the kernel keeps while nobody accepts; it cuts this to `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;
/// Until a started process answers.
const START: Duration = Duration::from_secs(15);
/// Bytes of the process's own log after which it is set aside at the next start.
const LOG_MAX: u64 = 8 * 1024 * 1024;

/// Binds every address.
pub(super) fn bind(plain: &[SocketAddr], tls: &[SocketAddr]) -> Result<Sockets, Problem> {
    let count = plain.len() + tls.len();
    if count == 0 || count > SOCKETS_MAX {
        return Err(Problem::new("edge.bind", format!("the edge listens on 1 to {SOCKETS_MAX} addresses"))
            .cause(format!("{count} are given")));
    }
    Ok(Sockets { plain: bind_all(plain)?, tls: bind_all(tls)? })
}

fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Problem> {
    addresses.iter().map(|&address| bind_one(address)).collect()
}

fn bind_one(address: SocketAddr) -> Result<TcpListener, Problem> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bound().map_err(|error| {
        Problem::new("edge.bind", format!("the edge cannot listen on {address}"))
            .cause(error.to_string())
            .hint("end the process that listens there, or choose another address:")
            .command(format!("ss -ltnp 'sport = :{}'", address.port()))
    })
}

/// Starts a process and waits until it answers. With `take_over` it asks the running one to retire first.
pub(super) async fn start(
    config: &ProcessConfig,
    place: &Place,
    client: &Client,
    sockets: &Sockets,
    take_over: bool,
) -> Result<Process, Problem> {
    let failed = |cause: String| {
        let problem = Problem::new("edge.start", "the edge process did not come up").cause(cause);
        let lines = last_lines(place);
        lines
            .into_iter()
            .fold(problem, Problem::cause)
            .hint(format!("the process's own log: {}", place.path("edge.log").display()))
    };
    let child = spawn(config, place, sockets, take_over).map_err(|error| failed(error.to_string()))?;
    let mut process = Process::started(child).map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + START;
    loop {
        if let Ok(about) = client.about().await
            && about.pid == process.pid
        {
            tracing::info!(pid = process.pid, take_over, "the edge runs");
            return Ok(process);
        }
        if let Some(status) = process.reap() {
            return Err(failed(format!("it ended with {status}")));
        }
        if Instant::now() > deadline {
            if let Some(mut child) = process.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            return Err(failed(format!("it did not answer within {} s", START.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spawn(
    config: &ProcessConfig,
    place: &Place,
    sockets: &Sockets,
    take_over: bool,
) -> std::io::Result<std::process::Child> {
    let log = own_log(place)?;
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts the edge's process")]
    let mut command = Command::new(&config.program);
    command.args(&config.arguments).arg("--data").arg(&config.data);
    if take_over {
        command.arg("--take-over");
    }
    if !sockets.tls.is_empty() {
        command.arg("--tls-sockets").arg(sockets.tls.len().to_string());
    }
    command
        .env_clear()
        .envs(config.environment.iter().map(|(name, value)| (name, value)))
        .env("LISTEN_FDS", sockets.all().count().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mappings = sockets
        .all()
        .zip(3..)
        .map(|(socket, child_fd)| Ok(FdMapping { parent_fd: socket.try_clone()?.into(), child_fd }))
        .collect::<std::io::Result<Vec<_>>>()?;
    command.fd_mappings(mappings).map_err(std::io::Error::other)?;
    command.spawn()
}

fn own_log(place: &Place) -> std::io::Result<File> {
    let path = place.path("edge.log");
    if std::fs::metadata(&path).is_ok_and(|found| found.len() > LOG_MAX) {
        std::fs::rename(&path, place.path("edge.log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn last_lines(place: &Place) -> Vec<String> {
    let text = std::fs::read(place.path("edge.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].iter().map(|line| (*line).to_owned()).collect()
}
