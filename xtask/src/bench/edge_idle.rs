//! What a connection costs that nobody uses: 10,000 of them, each after one request, on either side.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::edge::{HOST, Side};
use super::process;

/// Connections that are open at once.
const CONNECTIONS: usize = 10_000;
/// Connections from one address: the edge allows a client 4,096.
const PER_ADDRESS: usize = 2_500;
/// What either side may still have to do after the last answer.
const SETTLE: Duration = Duration::from_secs(2);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer's head and body.
const ANSWER_MAX: usize = 64 * 1024;

/// Lets this process and what it starts have as many files as the system allows.
pub(super) fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(most >= 15_000, "at most {most} files may be open; 10,000 idle connections need more");
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Bytes of memory (PSS of the side's processes) that each idle connection costs.
pub(super) fn bytes_per_connection(side: &Side) -> Result<u64> {
    let before = memory(side)?;
    let mut open = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let host = u8::try_from(2 + number / PER_ADDRESS)?;
        let connection = greeted(Ipv4Addr::new(127, 0, 0, host), side.plain);
        open.push(connection.with_context(|| format!("connection {number}"))?);
    }
    process::pause(SETTLE)?;
    let after = memory(side)?;
    // They were there all the time.
    for connection in &open {
        connection.set_nonblocking(true)?;
        let closed = (&mut &*connection).read(&mut [0]);
        ensure!(
            closed.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a connection was closed meanwhile"
        );
    }
    Ok(after.saturating_sub(before) / CONNECTIONS as u64)
}

fn memory(side: &Side) -> Result<u64> {
    side.processes.iter().map(|process| process::memory(*process)).sum()
}

/// A connection from one address that has been used once.
fn greeted(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let SocketAddr::V4(to) = to else { anyhow::bail!("{to} is not an IPv4 address") };
    let stream = connected(from, to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    (&stream).write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer)? {
        let count = (&stream).read(&mut piece)?;
        ensure!(count > 0 && answer.len() < ANSWER_MAX, "the answer does not end");
        answer.extend_from_slice(&piece[..count]);
    }
    Ok(stream)
}

fn connected(from: Ipv4Addr, to: SocketAddrV4) -> Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

/// Whether an answer with a length is there to its end. It must be a good one, on a connection that stays.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    let head = head.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "the answer was bad: {head}");
    ensure!(!head.contains("connection: close"), "the connection does not stay: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("an answer without a length")?.trim().parse()?;
    Ok(body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert!(is_whole(answer).unwrap());
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]).unwrap(), "{end}");
        }
        assert!(is_whole(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
