//! `bench edge`: Naru's edge against nginx, both in front of the same replica, plain and with TLS, in turns; what idle
//! connections cost either; and what a thousand routes take from the edge's throughput.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::edge_idle::{bytes_per_connection, raise_file_limit};
use super::edge_routes::Routes;
use super::naru_side::NaruSide;
use super::process::{self, Daemon, wait_until};
use super::push::free_port;
use super::statistics::{median, rounded};
use super::{debian, service};
use crate::command;
use crate::demo::account;
use crate::demo::api::Api;
use crate::demo::folders::Folders;
use crate::demo::naru::Naru;

/// Connections of the visitors.
const CONNECTIONS: [u32; 3] = [8, 64, 512];
/// Worker processes of nginx, and threads of the edge: one per core of the usual small machine.
const WORKERS: u32 = 2;
/// The host that visitors name, also in TLS. Not `localhost`, which is the control plane's own.
pub(super) const HOST: &str = "edge.localhost";

/// Options of `cargo xtask bench edge`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each side is measured with each number of connections.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each time, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// One side of the comparison.
pub(super) struct Side {
    pub(super) plain: SocketAddr,
    tls: SocketAddr,
    pub(super) processes: Vec<u32>,
}

/// Connections while routes are compared.
const WITH_ROUTES: u32 = 64;

/// What `wrk` says, and what it cost.
#[derive(Debug, Clone, Copy)]
struct Seen {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
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
    raise_file_limit()?;
    let program = service::compile(&folders.file("."))?;
    let wrk = debian::program(folders, "wrk", &["wrk", "libluajit-5.1-2"], "usr/bin/wrk")?;
    let naru = Naru::start_with_tls(folders, binary)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    let definition = format!("{}environments: {{ production: {{ host: {HOST} }} }}\n", service::DEFINITION);
    let web = NaruSide::create(folders, &program, &api, naru.edge(), "web", &definition)?;
    web.answer_plain()?;
    web.deliver("hello")?;
    let edge = Side {
        plain: naru.edge(),
        tls: naru.edge_tls().context("the edge has TLS")?,
        processes: edge_processes(folders)?,
    };
    let (nginx, _daemon) = start_nginx(folders)?;

    // First, while neither side has memory left over from a crowd.
    let idle = [bytes_per_connection(&edge)?, bytes_per_connection(&nginx)?];
    let edge_folder = folders.data().join("edge");
    let throughput = || Ok(ask(folders, &wrk, &edge, false, WITH_ROUTES, options.seconds)?.per_second);
    let routes = Routes::of(&edge_folder, edge.plain).ratio(options.rounds, throughput)?;

    let mut rows = Vec::new();
    for tls in [false, true] {
        for connections in CONNECTIONS {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for round in 0..options.rounds {
                let ask = |side: &Side| ask(folders, &wrk, side, tls, connections, options.seconds);
                // The first of a pair has no advantage: the order alternates too.
                if round % 2 == 0 {
                    ours.push(ask(&edge)?);
                    theirs.push(ask(&nginx)?);
                } else {
                    theirs.push(ask(&nginx)?);
                    ours.push(ask(&edge)?);
                }
            }
            rows.push(row(tls, connections, &ours, &theirs));
        }
    }
    println!(
        "\n| | connections | requests/s | nginx | p50 ms | nginx | p99 ms | nginx | CPU µs/request | nginx |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in &rows {
        println!("{}", row.text);
    }
    println!(
        "\nan idle connection: {} bytes, nginx {}; throughput with 1,000 routes: {routes:.2} of that with one\n",
        idle[0], idle[1]
    );
    let worst = |of: fn(&Row) -> f64, better: fn(f64, f64) -> f64| {
        rows.iter().map(of).reduce(better).unwrap_or_default()
    };
    let all = |of: fn(&Row) -> f64| rounded(median(rows.iter().map(of).collect()), 2);
    Ok(json!({
        "bench": "edge",
        "throughput_ratio": all(|row| row.throughput),
        "p99_ratio": all(|row| row.p99),
        "cpu_ratio": all(|row| row.cpu),
        "idle_connection_bytes": idle[0],
        "idle_connection_bytes_nginx": idle[1],
        "routes_1000_ratio": rounded(routes, 2),
        "worst": {
            "throughput_ratio": rounded(worst(|row| row.throughput, f64::min), 2),
            "p99_ratio": rounded(worst(|row| row.p99, f64::max), 2),
            "cpu_ratio": rounded(worst(|row| row.cpu, f64::max), 2),
        },
        "rows": rows.iter().map(|row| row.json.clone()).collect::<Vec<_>>(),
    }))
}

/// One line of the result: ratios of medians, edge to nginx.
struct Row {
    text: String,
    json: Value,
    throughput: f64,
    p99: f64,
    cpu: f64,
}

fn row(tls: bool, connections: u32, ours: &[Seen], theirs: &[Seen]) -> Row {
    let pair = |of: fn(&Seen) -> f64| {
        (median(ours.iter().map(of).collect()), median(theirs.iter().map(of).collect()))
    };
    let (per_second, p50) = (pair(|seen| seen.per_second), pair(|seen| seen.p50_ms));
    let (p99, cpu) = (pair(|seen| seen.p99_ms), pair(|seen| seen.cpu_us));
    let kind = if tls { "TLS" } else { "plain" };
    let ratio = |(ours, theirs): (f64, f64)| ours / theirs;
    Row {
        text: format!(
            "| {kind} | {connections} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |",
            per_second.0, per_second.1, p50.0, p50.1, p99.0, p99.1, cpu.0, cpu.1
        ),
        json: json!({
            "tls": tls, "connections": connections,
            "throughput_ratio": rounded(ratio(per_second), 2),
            "p99_ratio": rounded(ratio(p99), 2),
            "cpu_ratio": rounded(ratio(cpu), 2),
        }),
        throughput: ratio(per_second),
        p99: ratio(p99),
        cpu: ratio(cpu),
    }
}

fn ask(
    folders: &Folders,
    wrk: &Path,
    side: &Side,
    tls: bool,
    connections: u32,
    seconds: u64,
) -> Result<Seen> {
    let (scheme, port) = if tls { ("https", side.tls.port()) } else { ("http", side.plain.port()) };
    let before = cpu(side)?;
    let libraries = debian::libraries(wrk);
    let mut wrk = where_the_host_is_here(folders, wrk)?;
    if !libraries.is_empty() {
        wrk.env("LD_LIBRARY_PATH", libraries);
    }
    wrk.args(["--threads", "1", "--latency", "--connections", &connections.to_string()]);
    wrk.args(["--duration", &format!("{seconds}s"), &format!("{scheme}://{HOST}:{port}/")]);
    let said = command::output(&mut wrk)?;
    let spent = cpu(side)?.saturating_sub(before);
    ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "answers were bad:\n{said}");
    read(&said, spent).with_context(|| format!("wrk said something else than expected:\n{said}"))
}

/// A program that finds the host on this machine, by a list of hosts that nobody else sees: `wrk` asks the system for the
/// address of the name that it also says in TLS.
fn where_the_host_is_here(folders: &Folders, program: &Path) -> Result<Command> {
    let hosts = folders.file("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {HOST}\n"))?;
    let mut command = command::program("unshare", &folders.file("."));
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
    command.arg(hosts).arg(program);
    Ok(command)
}

fn read(said: &str, spent: Duration) -> Option<Seen> {
    let after = |label: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(label))?;
        line.split_whitespace().last().map(str::to_owned)
    };
    let total: f64 =
        said.lines().find(|line| line.contains("requests in"))?.split_whitespace().next()?.parse().ok()?;
    Some(Seen {
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(&after("50%")?)?,
        p99_ms: milliseconds(&after("99%")?)?,
        cpu_us: spent.as_secs_f64() * 1e6 / total,
    })
}

/// A time as `wrk` writes it, such as `1.25ms`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}

/// CPU time of all processes of a side so far.
fn cpu(side: &Side) -> Result<Duration> {
    side.processes.iter().map(|process| process::cpu_time(*process)).sum()
}

/// The edge of the data folder.
fn edge_processes(folders: &Folders) -> Result<Vec<u32>> {
    let data = folders.data();
    let is_edge = |process: &&process::Process| {
        process.words.get(1).is_some_and(|word| word == "edge")
            && process.words.iter().any(|word| Path::new(word) == data)
    };
    let found: Vec<u32> = process::all()?.iter().filter(is_edge).map(|process| process.id).collect();
    ensure!(found.len() == 1, "there are {} edges", found.len());
    Ok(found)
}

/// Starts nginx in front of the replica that the edge leads to, with the edge's certificate.
fn start_nginx(folders: &Folders) -> Result<(Side, Daemon)> {
    let folder = folders.file("nginx");
    fs::create_dir_all(folder.join("tmp"))?;
    let kept = |name: &str| -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(folders.data().join("edge").join(name))?)?)
    };
    let tables = kept("table.json")?;
    let replica = tables["tables"][0]["table"]["routes"][0]["backends"][0]["address"]
        .as_str()
        .context("the edge keeps no route")?
        .to_owned();
    let tls = kept("tls.json")?;
    let certificates = tls["table"]["certificates"].as_array().context("the edge keeps no certificate")?;
    let own = certificates.iter().find(|certificate| {
        certificate["hosts"].as_array().is_some_and(|hosts| hosts.iter().any(|host| host["host"] == HOST))
    });
    let own = own.context("the edge has no certificate for the host")?;
    for (field, file) in [("chain", "chain.pem"), ("key", "key.pem")] {
        fs::write(folder.join(file), own[field].as_str().unwrap_or_default())?;
    }
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (plain, with_tls) = (local(free_port()?), local(free_port()?));
    let at = folder.display();
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "pid {at}/nginx.pid;\nerror_log {at}/nginx.log;\nuser root;\nworker_processes {WORKERS};\n\
             worker_rlimit_nofile 15000;\nevents {{ worker_connections 12288; }}\nhttp {{\n  \
             access_log {at}/access.log combined buffer=64k flush=1s;\n  \
             client_body_temp_path {at}/tmp;\n  proxy_temp_path {at}/tmp;\n  fastcgi_temp_path {at}/tmp;\n  \
             uwsgi_temp_path {at}/tmp;\n  scgi_temp_path {at}/tmp;\n  keepalive_requests 10000000;\n  \
             upstream service {{ server {replica}; keepalive 256; keepalive_requests 10000000; }}\n  server {{\n    \
             listen {plain};\n    listen {with_tls} ssl;\n    ssl_certificate {at}/chain.pem;\n    \
             ssl_certificate_key {at}/key.pem;\n    location / {{\n      proxy_pass http://service;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      \
             proxy_set_header Host $host;\n      proxy_set_header X-Forwarded-For $remote_addr;\n      \
             proxy_set_header X-Request-Id $request_id;\n    }}\n  }}\n}}\n"
        ),
    )?;
    let nginx: PathBuf = debian::program(folders, "nginx", &["nginx"], "usr/sbin/nginx")?;
    // In a session of its own, as a daemon is and as the edge is: the kernel shares processors out between sessions first.
    let mut daemon = command::program("setsid", &folder);
    daemon.arg(nginx).arg("-c").arg(folder.join("nginx.conf")).args(["-g", "daemon off;"]);
    let daemon = Daemon::start(&mut daemon, &folder.join("nginx.out"))?;
    wait_until(Duration::from_secs(20), "starting nginx", || std::net::TcpStream::connect(plain).is_ok())?;
    let master = daemon.id();
    let workers = process::all()?.into_iter().filter(|process| process.parent == master);
    let processes: Vec<u32> = workers.map(|process| process.id).collect();
    ensure!(processes.len() == WORKERS as usize, "nginx has {} workers", processes.len());
    Ok((Side { plain, tls: with_tls, processes }, daemon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "Running 5s test @ http://localhost:1/\n  1 threads and 8 connections\n  Thread Stats   Avg      Stdev\n    \
                    Latency     1.00ms    2.00ms\n  Latency Distribution\n     50%  250.00us\n     75%    1.00ms\n     \
                    90%    2.00ms\n     99%    1.50s \n  40000 requests in 5.00s, 5.00MB read\nRequests/sec:   8000.50\n\
                    Transfer/sec:      1.00MB\n";
        let seen = read(said, Duration::from_secs(2)).unwrap();
        let text = format!("{:.2} {:.2} {:.0} {:.0}", seen.per_second, seen.p50_ms, seen.p99_ms, seen.cpu_us);
        assert_eq!(text, "8000.50 0.25 1500 50");
    }
}
