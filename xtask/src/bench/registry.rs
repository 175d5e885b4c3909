//! `bench registry`: one large blob pushed and pulled over plain HTTP, against Debian's docker-registry (CNCF
//! distribution). The client does nothing but move bytes, so that the servers are what is measured.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::bare::start_registry;
use super::process::wait_until;
use super::push::free_port;
use super::statistics::{median_ms, rounded};
use crate::demo::account;
use crate::demo::api::Api;
use crate::demo::folders::Folders;
use crate::demo::interrupt;
use crate::demo::naru::Naru;

const REPOSITORY: &str = "bench/web";
const START: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_mins(1);

/// Options of `cargo xtask bench registry`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many blobs each side gets, after one that is not counted.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// The size of a blob, in MiB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mebibytes: u32,
}

/// A registry as its client sees it.
struct Remote {
    address: SocketAddr,
    token: Option<String>,
}

/// What one blob took.
struct Times {
    push: Duration,
    pull: Duration,
}

/// An answer with its body counted.
struct Answer {
    status: u16,
    location: Option<String>,
    length: u64,
}

/// Measures; returns the line of JSON.
pub(super) fn run(root: &Path, binary: &Path, options: &Options) -> Result<Value> {
    let folders = Folders::prepare(root, true)?;
    let result = measure(&folders, binary, options);
    if result.is_ok() {
        folders.remove()?;
    }
    result
}

fn measure(folders: &Folders, binary: &Path, options: &Options) -> Result<Value> {
    let folder = folders.file("bare");
    fs::create_dir_all(&folder)?;
    let theirs = Remote { address: SocketAddr::from(([127, 0, 0, 1], free_port()?)), token: None };
    let _daemon = start_registry(folders, &folder, theirs.address)?;
    wait_until(START, "starting docker-registry", || TcpStream::connect(theirs.address).is_ok())?;
    let naru = Naru::start(folders, binary, true)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    api.post_once("projects", &json!({ "name": "bench" }))?;
    let address = naru.url().trim_start_matches("http://").parse().context("the API has no address")?;
    let token = fs::read_to_string(folders.file("token"))?.trim().to_owned();
    let ours = Remote { address, token: Some(token) };
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    for pair in 0..=options.pairs {
        let blob = noise(u64::from(pair) + 1, options.mebibytes as usize * (1 << 20));
        let mut measured = [&ours, &theirs];
        if pair % 2 == 1 {
            measured.reverse(); // the first of a pair has no advantage
        }
        for remote in measured {
            interrupt::check()?;
            let times = exchange(remote, &blob)?;
            if pair > 0 {
                if remote.token.is_some() { mine.push(times) } else { other.push(times) }
            }
        }
    }
    Ok(summary(&mine, &other, options.mebibytes))
}

fn summary(ours: &[Times], theirs: &[Times], mebibytes: u32) -> Value {
    let push = |times: &[Times]| median_ms(times.iter().map(|one| one.push));
    let pull = |times: &[Times]| median_ms(times.iter().map(|one| one.pull));
    json!({
        "bench": "registry",
        // How many times as fast as distribution; more is better.
        "push": rounded(push(theirs) / push(ours), 3),
        "pull": rounded(pull(theirs) / pull(ours), 3),
        "naru_push_ms": rounded(push(ours), 1),
        "naru_pull_ms": rounded(pull(ours), 1),
        "distribution_push_ms": rounded(push(theirs), 1),
        "distribution_pull_ms": rounded(pull(theirs), 1),
        "mebibytes": mebibytes,
        "pairs": ours.len(),
    })
}

/// Pushes a blob in two requests, as most clients do, and pulls it again.
fn exchange(remote: &Remote, blob: &[u8]) -> Result<Times> {
    let digest = hex::encode(sha2::Sha256::digest(blob));
    let began = Instant::now();
    let started = remote.request("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[])?;
    ensure!(started.status == 202, "an upload was answered with {}", started.status);
    let location = started.location.context("an upload has no location")?;
    let path = location.find("/v2/").map_or(location.as_str(), |at| &location[at..]);
    let separator = if path.contains('?') { '&' } else { '?' };
    let stored = remote.request("PUT", &format!("{path}{separator}digest=sha256:{digest}"), blob)?;
    ensure!(stored.status == 201, "a blob was answered with {}", stored.status);
    let push = began.elapsed();
    let began = Instant::now();
    let pulled = remote.request("GET", &format!("/v2/{REPOSITORY}/blobs/sha256:{digest}"), &[])?;
    ensure!(
        pulled.status == 200 && pulled.length == blob.len() as u64,
        "a pull was answered with {}",
        pulled.status
    );
    Ok(Times { push, pull: began.elapsed() })
}

impl Remote {
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/octet-stream\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            token.unwrap_or_default(),
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        read(stream)
    }
}

fn read(stream: TcpStream) -> Result<Answer> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status line")?;
    let mut location = None;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the head of an answer broke off");
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("location") {
            location = Some(value.trim().to_owned());
        }
    }
    let mut length = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(Answer { status, location, length });
        }
        length += read as u64;
    }
}

/// Bytes that are different for every seed and do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better() {
        let times =
            |push, pull| Times { push: Duration::from_millis(push), pull: Duration::from_millis(pull) };
        let summary = summary(&[times(100, 50)], &[times(150, 40)], 64);
        assert_eq!((summary["push"].as_f64(), summary["pull"].as_f64()), (Some(1.5), Some(0.8)));
    }

    #[test]
    fn noise_differs() {
        assert_eq!(noise(1, 1001).len(), 1001);
        assert_ne!(noise(1, 64), noise(2, 64));
    }
}
