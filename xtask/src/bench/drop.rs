//! `bench drop`: deploys and rollbacks under load, and how many requests fail by them. There must be none.
//!
//! Two projects are asked by visitors: one whose versions run side by side for a moment, and one with a volume that only
//! one replica has at a time. A third is delivered in the control, at the same pace and with the same containers, and
//! nobody asks it: what is left between the two is what switching costs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::load::{self, Load, Report, Stream, Target};
use super::naru_side::NaruSide;
use super::process;
use super::service;
use super::statistics::{median, quantile, rounded};
use crate::command;
use crate::demo::account;
use crate::demo::api::Api;
use crate::demo::engine::Engine;
use crate::demo::folders::Folders;
use crate::demo::naru::Naru;

/// Fresh connections per second: their ports are used up for a minute.
const FRESH_AT_MOST: f64 = 500.0;
/// A large answer's length.
const LARGE_BYTES: usize = 1 << 20;
/// Large answers per second, of each kind of connection.
const LARGE_RATE: f64 = 5.0;
/// Changes between two looks at the clock; drop and control alternate by this many.
const TURN: u32 = 10;
/// How often it is looked whether the new version is served.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A change that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(2);
/// Rollbacks to an image that has to be pulled again.
const COLD_ROLLBACKS: u32 = 5;

/// Options of `cargo xtask bench drop`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many deploys and rollbacks at least; as many again in the control.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    changes: u32,
    /// How many requests at least.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Requests per second. Without it: a quarter of what this machine answers quickly.
    #[arg(long)]
    rate: Option<f64>,
    /// Leaves the control out: only failures are counted then.
    #[arg(long)]
    no_control: bool,
    /// Uses the load generator that the tests have built, instead of an optimised one.
    #[arg(long)]
    debug_load: bool,
}

impl Options {
    /// What the gate runs.
    pub(crate) fn for_gate() -> Self {
        Self { changes: 20, requests: 50_000, rate: Some(400.0), no_control: true, debug_load: true }
    }
}

/// Measures; returns the line of JSON. Fails when a request did.
pub(crate) fn run(root: &Path, binary: &Path, options: &Options) -> Result<Value> {
    let generator = load::build(root, !options.debug_load)?;
    let folders = Folders::prepare(root, true)?;
    let result = measure(&folders, binary, &generator, options);
    if result.is_ok() {
        folders.remove()?;
    }
    result
}

/// Everything that a change needs.
struct Field<'a> {
    folders: &'a Folders,
    generator: &'a Path,
    api: &'a Api,
    naru: &'a Naru,
    target: Target,
}

/// A project with two releases, of which one is served.
struct Side<'a> {
    field: &'a Field<'a>,
    name: &'static str,
    /// The release that is served now: 1 or 2.
    release: u32,
}

fn measure(folders: &Folders, binary: &Path, generator: &Path, options: &Options) -> Result<Value> {
    let program = service::compile(&folders.file("."))?;
    let naru = Naru::start_with_tls(folders, binary)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    for (name, definition) in
        [("web", service::DEFINITION), ("data", service::WITH_VOLUME), ("control", service::DEFINITION)]
    {
        let side = NaruSide::create(folders, &program, &api, naru.edge(), name, definition)?;
        side.answer_plain()?;
        for page in ["release 1", "release 2"] {
            side.deliver(page)?;
        }
    }
    let target = Target { plain: naru.edge(), tls: tls(folders, &naru)? };
    let field = Field { folders, generator, api: &api, naru: &naru, target };
    let side = |name| Side { field: &field, name, release: 2 };
    let (mut web, mut data, mut control) = (side("web"), side("data"), side("control"));

    let rate = match options.rate {
        Some(rate) => rate,
        None => field.capacity()? / 4.0,
    };
    println!("{rate:.0} requests per second");
    let (mut dropped, mut controlled) = (Sum::default(), Sum::default());
    let mut warm = Vec::new();
    let mut changes = 0;
    while changes < options.changes || dropped.requests < options.requests {
        let load = field.load(rate)?;
        for number in 0..TURN {
            if number % 4 == 3 {
                data.change()?;
            } else if let Some(took) = web.change()? {
                warm.push(took.as_secs_f64());
            }
        }
        dropped.add(load.end()?);
        changes += TURN;
        if !options.no_control {
            let load = field.load(rate)?;
            for _ in 0..TURN {
                control.change()?;
            }
            controlled.add(load.end()?);
        }
        println!(
            "{changes} changes: {} requests, {} failed; p99 {:.1} ms, in the control {:.1} ms",
            dropped.requests,
            dropped.failed,
            dropped.p99_ms(),
            controlled.p99_ms(),
        );
    }
    let cold = field.cold(&mut web)?;
    let result = json!({
        "bench": "drop",
        "requests": dropped.requests,
        "failed": dropped.failed,
        "p99_ratio": (!options.no_control).then(|| rounded(dropped.p99_ms() / controlled.p99_ms(), 2)),
        "rollback_warm_s": rounded(median(warm), 2),
        "rollback_cold_s": rounded(median(cold), 2),
        "changes": changes,
        "rate": rounded(rate, 0),
        "p99_ms": rounded(dropped.p99_ms(), 1),
        "control": { "requests": controlled.requests, "failed": controlled.failed, "p99_ms": rounded(controlled.p99_ms(), 1) },
    });
    if dropped.failed + controlled.failed > 0 {
        println!("{result}");
        let told: Vec<String> = dropped.failures.into_iter().chain(controlled.failures).take(20).collect();
        bail!("requests failed:\n  {}", told.join("\n  "));
    }
    Ok(result)
}

/// The TLS listener and the authority that signs for it.
fn tls(folders: &Folders, naru: &Naru) -> Result<Option<(std::net::SocketAddr, String)>> {
    let Some(address) = naru.edge_tls() else { return Ok(None) };
    let token = std::fs::read_to_string(folders.file("token"))?;
    let mut cli = command::program(&naru.binary().to_string_lossy(), &folders.file("."));
    cli.args(["certificate", "authority"]).env("NARU_URL", naru.url()).env("NARU_TOKEN", token.trim());
    Ok(Some((address, command::output(&mut cli)?)))
}

impl Field<'_> {
    /// Visitors of every kind.
    fn load(&self, rate: f64) -> Result<Load> {
        let fresh = FRESH_AT_MOST.min(rate / 10.0);
        let part = (rate - fresh) / 4.0;
        let stream = |kind, host, path, rate, bytes| Stream { kind, host, path, rate, bytes };
        let (small, large) = (Some("release 1".len()), Some(LARGE_BYTES));
        let mut streams = vec![
            stream("fresh", "web.localhost", "/", fresh, small),
            stream("keep-alive", "data.localhost", "/", part, small),
            stream("keep-alive", "web.localhost", "/large", LARGE_RATE, large),
        ];
        let plain = if self.target.tls.is_some() {
            streams.push(stream("http2", "web.localhost", "/", part, small));
            streams.push(stream("http2", "web.localhost", "/large", LARGE_RATE, large));
            2.0 * part
        } else {
            3.0 * part
        };
        streams.push(stream("keep-alive", "web.localhost", "/", plain, small));
        Load::start(self.folders, self.generator, &self.target, &streams)
    }

    /// Requests per second that are answered quickly while nothing changes: the rate is doubled until they are not.
    fn capacity(&self) -> Result<f64> {
        let mut rate = 500.0;
        loop {
            let load = self.load(rate)?;
            process::pause(Duration::from_secs(4))?;
            let mut sum = Sum::default();
            sum.add(load.end()?);
            ensure!(sum.failed == 0, "requests failed at rest: {}", sum.failures.join("; "));
            if sum.p99_ms() > 50.0 || rate > 100_000.0 {
                return Ok(rate / 2.0);
            }
            rate *= 2.0;
        }
    }

    /// How long rollbacks take whose image has to be pulled from the registry again.
    fn cold(&self, web: &mut Side<'_>) -> Result<Vec<f64>> {
        let mut took = Vec::new();
        for _ in 0..COLD_ROLLBACKS {
            if web.release == 1 {
                web.change()?;
            }
            Engine::new(self.folders).prune()?;
            took.push(web.change()?.context("a rollback")?.as_secs_f64());
        }
        Ok(took)
    }
}

impl Side<'_> {
    /// To the other release: forward by a deploy, back by a rollback. Says how long a rollback took until the other
    /// version was served; returns when the old replica is gone.
    fn change(&mut self) -> Result<Option<Duration>> {
        let place = format!("projects/{}/environments/production", self.name);
        let (is_rollback, release) = if self.release == 2 { (true, 1) } else { (false, 2) };
        let began = Instant::now();
        if is_rollback {
            self.field.api.post(&format!("{place}/rollback"), &json!({}))?;
        } else {
            self.field.api.post(&format!("{place}/deploy"), &json!({ "release": release }))?;
        }
        let wanted = format!("release {release}");
        let host = format!("{}.localhost", self.name);
        while service::page(self.field.naru.edge(), &host)? != wanted {
            ensure!(began.elapsed() < PATIENCE, "{wanted} of {} was not served", self.name);
            process::pause(LOOK_EVERY)?;
        }
        let took = began.elapsed();
        self.release = release;
        loop {
            let environment = self.field.api.get(&place)?;
            if environment["condition"] == "live" && environment["target"] == environment["serving"] {
                return Ok(is_rollback.then_some(took));
            }
            ensure!(began.elapsed() < PATIENCE, "{} does not settle: {environment}", self.name);
            process::pause(Duration::from_millis(50))?;
        }
    }
}

/// All turns of one kind.
#[derive(Default)]
struct Sum {
    requests: u64,
    failed: u64,
    failures: Vec<String>,
    /// Of small answers only: a large one takes as long as it is.
    latencies_us: Vec<u32>,
}

impl Sum {
    fn add(&mut self, reports: Vec<Report>) {
        for report in reports {
            self.requests += report.requests;
            self.failed += report.failed;
            self.failures.extend(report.failures.iter().map(|failure| format!("{}: {failure}", report.name)));
            if !report.name.ends_with("/large") {
                self.latencies_us.extend(report.latencies_us);
            }
        }
        self.latencies_us.sort_unstable();
    }

    fn p99_ms(&self) -> f64 {
        quantile(&self.latencies_us, 0.99) / 1000.0
    }
}
