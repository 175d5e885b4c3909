//! The edge as a process of its own: started, killed, adopted, replaced.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use naru_edge::process::{ProcessConfig, Supervisor, ensure_running};
use naru_model::Generation;

use crate::harness::{Replica, SOON, Wire, environment, single, table, until};
use crate::tls_harness::Authority;

fn config(data: &std::path::Path) -> ProcessConfig {
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples/edge_process");
    assert!(program.exists(), "{} is built together with the tests", program.display());
    ProcessConfig {
        data: data.to_owned(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        listen_tls: vec!["127.0.0.1:0".parse().unwrap()],
        program,
        arguments: Vec::new(),
        environment: Vec::new(),
        drain: Duration::from_secs(5),
    }
}

async fn get(supervisor: &Supervisor) -> u16 {
    let mut wire = Wire::connect(supervisor.addresses()[0]).await;
    wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
    wire.answer().await.status
}

async fn pid(supervisor: &Supervisor) -> u32 {
    supervisor.client().about().await.map_or(0, |about| about.pid)
}

fn kill(pid: u32) {
    send(pid, rustix::process::Signal::KILL);
}

fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_queue_while_a_killed_edge_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let replica = Replica::named("ok").await;
    let supervisor = ensure_running(config(data.path())).await.unwrap();
    let client = supervisor.client();
    client.publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    assert_eq!(get(&supervisor).await, 200);

    // New connections, one after the other, throughout; those open at the kill may break.
    let over = Arc::new(AtomicBool::new(false));
    let (served, broken, slowest) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (over, served, broken, slowest) =
            (Arc::clone(&over), Arc::clone(&served), Arc::clone(&broken), Arc::clone(&slowest));
        let address = supervisor.addresses()[0];
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let mut wire = Wire::connect(address).await;
                wire.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
                while wire.more().await {}
                let answered = wire.buffer.starts_with(b"HTTP/1.1 200");
                let counter = if answered { &served } else { &broken };
                counter.fetch_add(1, Ordering::SeqCst);
                slowest.fetch_max(begun.elapsed().as_millis() as usize, Ordering::SeqCst);
            }
        })
    };
    until(async || served.load(Ordering::SeqCst) > 20).await;
    let first = pid(&supervisor).await;
    kill(first);
    until(async || !matches!(pid(&supervisor).await, 0) && pid(&supervisor).await != first).await;
    let before = served.load(Ordering::SeqCst);
    until(async || served.load(Ordering::SeqCst) > before + 20).await;
    over.store(true, Ordering::SeqCst);
    load.await.unwrap();
    assert!(broken.load(Ordering::SeqCst) <= 1, "only what was open at the kill may break");
    let slowest = slowest.load(Ordering::SeqCst);
    assert!(slowest < 2_000, "a queued connection waited {slowest} ms");
    supervisor.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_serve_adopts_the_running_edge_and_its_sockets() {
    let data = tempfile::tempdir().unwrap();
    let replica = Replica::named("ok").await;
    let first = ensure_running(config(data.path())).await.unwrap();
    first.client().publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    let (address, edge) = (first.addresses()[0], pid(&first).await);
    drop(first);

    let second = ensure_running(config(data.path())).await.unwrap();
    assert_eq!(second.addresses(), vec![address]);
    assert_eq!(pid(&second).await, edge);
    assert_eq!(get(&second).await, 200);
    // The sockets came along: the next edge listens on them.
    kill(edge);
    assert_eq!(get(&second).await, 200);
    assert_ne!(pid(&second).await, edge);
    second.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tls_port_and_its_certificates_outlive_serve_and_edge() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let first = ensure_running(config(data.path())).await.unwrap();
    first.client().secure(&authority.table(&["shop.test"])).await.unwrap();
    let address = first.tls_addresses()[0];
    let shakes = async || authority.connect(address, "shop.test", &["h2"]).await.is_ok();
    assert!(shakes().await);
    let edge = pid(&first).await;
    drop(first);

    let second = ensure_running(config(data.path())).await.unwrap();
    assert_eq!((second.tls_addresses(), pid(&second).await), (vec![address], edge));
    kill(edge);
    until(async || !matches!(pid(&second).await, 0) && pid(&second).await != edge).await;
    assert!(shakes().await, "the next edge has socket and certificate");
    second.upgrade().await.unwrap();
    assert!(shakes().await, "and so has the one after it");
    second.stop(Duration::from_secs(1)).await;

    // Without TLS the plain port is what it was.
    let mut without = config(data.path());
    without.listen_tls = Vec::new();
    let third = ensure_running(without).await.unwrap();
    assert_eq!(third.tls_addresses(), Vec::new());
    assert_eq!(get(&third).await, 404);
    third.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_another_build_is_replaced_while_its_sockets_stay() {
    let data = tempfile::tempdir().unwrap();
    let replica = Replica::named("ok").await;
    let mut config = config(data.path());
    let (old, new) = (data.path().join("old"), data.path().join("new"));
    std::fs::copy(&config.program, &old).unwrap();
    config.program = old.clone();
    let first = ensure_running(config.clone()).await.unwrap();
    first.client().publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    let (address, edge) = (first.addresses()[0], pid(&first).await);
    drop(first);

    // As an installation does it: another file takes the name.
    std::fs::copy(&old, &new).unwrap();
    std::fs::rename(&new, &old).unwrap();
    let second = ensure_running(config).await.unwrap();
    assert_ne!(pid(&second).await, edge);
    assert_eq!((second.addresses(), get(&second).await), (vec![address], 200));
    second.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_hangs_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let replica = Replica::named("ok").await;
    let supervisor = ensure_running(config(data.path())).await.unwrap();
    let client = supervisor.client();
    client.publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    let first = pid(&supervisor).await;
    send(first, rustix::process::Signal::STOP);
    // It is alive, and its connections wait: only its silence tells.
    let replaced = async {
        while matches!(pid(&supervisor).await, 0) || pid(&supervisor).await == first {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), replaced).await.expect("another edge answers");
    assert_eq!(get(&supervisor).await, 200);
    supervisor.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_an_edge_that_waits_for_requests_also_without_its_folder() {
    let data = tempfile::tempdir().unwrap();
    let never = axum::routing::get(std::future::pending::<&'static str>);
    let replica = Replica::start(axum::Router::new().route("/", never)).await;
    let supervisor = ensure_running(config(data.path())).await.unwrap();
    let client = supervisor.client();
    client.publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    let edge = pid(&supervisor).await;
    let address = supervisor.addresses()[0];
    let mut slow = Wire::connect(address).await;
    slow.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let in_flight = async || client.status(&environment("production")).await.unwrap().in_flight.len();
    until(async || in_flight().await == 1).await;
    drop(supervisor); // nobody starts another
    std::fs::remove_dir_all(data.path().join("edge")).unwrap();
    let begun = Instant::now();
    let is_over = || std::fs::read(format!("/proc/{edge}/cmdline")).unwrap_or_default().is_empty();
    // Signals that come close together are one: asked again until it has ended.
    let ended = async {
        while !is_over() {
            send(edge, rustix::process::Signal::TERM);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ended).await.expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the request: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_lets_the_old_one_finish() {
    let data = tempfile::tempdir().unwrap();
    let release = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&release);
    let router = axum::Router::new().route("/", axum::routing::get(|| async { "ok" })).route(
        "/slow",
        axum::routing::get(move || {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                "slow"
            }
        }),
    );
    let replica = Replica::start(router).await;
    let supervisor = ensure_running(config(data.path())).await.unwrap();
    let client = supervisor.client();
    client.publish(&table("production", single("shop.test", &replica)), Generation(1)).await.unwrap();
    let old = pid(&supervisor).await;
    let mut slow = Wire::connect(supervisor.addresses()[0]).await;
    slow.write(b"GET /slow HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let in_flight = async || {
        client
            .status(&environment("production"))
            .await
            .map_or(0, |seen| seen.in_flight.iter().map(|one| one.requests).sum::<u32>())
    };
    until(async || in_flight().await == 1).await;

    supervisor.upgrade().await.unwrap();
    let new = pid(&supervisor).await;
    assert_ne!(new, old);
    assert_eq!(get(&supervisor).await, 200);
    // What is under way in the old process is still counted, and ends well.
    assert_eq!(in_flight().await, 1);
    release.notify_one();
    assert_eq!(slow.answer().await.text(), "slow");
    until(async || in_flight().await == 0).await;
    tokio::time::timeout(SOON, async {
        while std::path::Path::new(&format!("/proc/{old}/cmdline")).exists()
            && !std::fs::read(format!("/proc/{old}/cmdline")).unwrap_or_default().is_empty()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the old edge ends");
    assert_eq!(get(&supervisor).await, 200);
    assert_eq!(pid(&supervisor).await, new);
    supervisor.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_no_edge_is_reported_with_its_words() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.arguments = vec!["--nonsense".into()];
    let Err(problem) = ensure_running(config).await else { panic!("it cannot have started") };
    assert_eq!(problem.code, "edge.start");
    assert!(problem.cause.iter().any(|line| line.contains("unknown argument --nonsense")), "{problem}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(data.path());
    config.listen = vec![taken.local_addr().unwrap()];
    let Err(problem) = ensure_running(config).await else { panic!("it cannot have bound") };
    assert_eq!(problem.code, "edge.bind");
}
