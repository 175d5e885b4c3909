//! `bench idle`: what Naru costs when nothing happens, with two projects that serve, and with many.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::naru_side::NaruSide;
use super::process::{self, Process};
use super::service;
use super::statistics::rounded;
use crate::demo::account;
use crate::demo::api::Api;
use crate::demo::folders::Folders;
use crate::demo::interrupt;
use crate::demo::naru::Naru;

/// Options of `cargo xtask bench idle`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long nothing happens before memory is read, and how long CPU time is counted; once per number of projects.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// How many projects there are the second time.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    projects: u32,
    /// How many of these have a service running; two have one the first time.
    #[arg(long, default_value_t = 2)]
    serving: u32,
}

/// What is looked at.
struct Watched {
    naru: Vec<u32>,
    engine: Vec<u32>,
}

/// What a quiet time cost.
struct Idle {
    naru_bytes: u64,
    engine_bytes: u64,
    naru_cpu_percent: f64,
    engine_cpu_percent: f64,
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
    let program = service::compile(&folders.file("."))?;
    let naru = Naru::start(folders, binary, true)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    let quiet = Duration::from_mins(options.minutes);
    add(folders, &program, &api, &naru, 0..2, 2)?;
    let few = rest(&naru, binary, quiet)?;
    show(2, &few);
    add(folders, &program, &api, &naru, 2..options.projects, options.serving)?;
    let many = rest(&naru, binary, quiet)?;
    show(options.projects, &many);
    let megabytes =
        |bytes: u64| rounded(f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0, 1);
    Ok(json!({
        "bench": "idle",
        "resident_mb": megabytes(few.naru_bytes),
        "cpu_percent": rounded(few.naru_cpu_percent, 2),
        "podman_mb": megabytes(few.engine_bytes),
        "podman_cpu_percent": rounded(few.engine_cpu_percent, 2),
        "many": {
            "projects": options.projects,
            "serving": options.serving.max(2),
            "resident_mb": megabytes(many.naru_bytes),
            "cpu_percent": rounded(many.naru_cpu_percent, 2),
            "podman_mb": megabytes(many.engine_bytes),
            "podman_cpu_percent": rounded(many.engine_cpu_percent, 2),
        },
        "minutes": options.minutes,
    }))
}

/// Makes projects; those below `serving` also get a push and are waited for.
fn add(
    folders: &Folders,
    program: &Path,
    api: &Api,
    naru: &Naru,
    numbers: std::ops::Range<u32>,
    serving: u32,
) -> Result<()> {
    println!("making {} projects", numbers.len());
    for number in numbers {
        interrupt::check()?;
        let side = NaruSide::create(
            folders,
            program,
            api,
            naru.edge(),
            &format!("idle{number}"),
            service::DEFINITION,
        )?;
        if number < serving {
            side.deliver("v1")?;
        }
    }
    Ok(())
}

/// Lets the time pass, then counts CPU time for as long again.
fn rest(naru: &Naru, binary: &Path, quiet: Duration) -> Result<Idle> {
    println!("resting twice for {} min", quiet.as_secs() / 60);
    sleep(quiet)?;
    let watched = watched(&process::all()?, naru.process(), binary);
    let (naru_before, engine_before) = (cpu(&watched.naru)?, cpu(&watched.engine)?);
    let began = Instant::now();
    sleep(quiet)?;
    let passed = began.elapsed().as_secs_f64();
    let percent =
        |before: Duration, after: Duration| (after.saturating_sub(before)).as_secs_f64() / passed * 100.0;
    Ok(Idle {
        naru_bytes: memory(&watched.naru)?,
        engine_bytes: memory(&watched.engine)?,
        naru_cpu_percent: percent(naru_before, cpu(&watched.naru)?),
        engine_cpu_percent: percent(engine_before, cpu(&watched.engine)?),
    })
}

/// `naru serve` and its edge; and the engine's own service. Services of people and their monitors are neither.
fn watched(all: &[Process], serve: u32, binary: &Path) -> Watched {
    let binary = binary.to_string_lossy();
    let below_serve = |process: &Process| {
        let mut id = process.parent;
        while let Some(parent) = all.iter().find(|one| one.id == id && one.id != 1) {
            if parent.id == serve {
                return true;
            }
            id = parent.parent;
        }
        false
    };
    // An edge is detached from the serve that started it; it is told by its folder, which only that serve uses.
    let data = all.iter().find(|process| process.id == serve).and_then(|process| {
        let at = process.words.iter().position(|word| word == "--data")?;
        process.words.get(at + 1)
    });
    let is_edge = |process: &Process| {
        process.words.first().is_some_and(|word| *word == binary || word.ends_with("/naru"))
            && process.words.iter().any(|word| word == "edge")
            && data.is_some_and(|data| process.words.iter().any(|word| word.starts_with(data.as_str())))
    };
    let is_engine = |process: &Process| {
        process.words.iter().any(|word| word == "service")
            && process.words.first().is_some_and(|word| word.ends_with("podman"))
            && (below_serve(process)
                || data.is_some_and(|data| process.words.iter().any(|word| word.contains(data.as_str()))))
    };
    Watched {
        naru: all
            .iter()
            .filter(|process| process.id == serve || is_edge(process))
            .map(|process| process.id)
            .collect(),
        engine: all.iter().filter(|process| is_engine(process)).map(|process| process.id).collect(),
    }
}

fn memory(ids: &[u32]) -> Result<u64> {
    ids.iter().map(|id| process::memory(*id).with_context(|| format!("process {id} is gone"))).sum()
}

fn cpu(ids: &[u32]) -> Result<Duration> {
    ids.iter().map(|id| process::cpu_time(*id)).sum()
}

fn sleep(time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        process::pause(Duration::from_millis(500))?;
    }
    Ok(())
}

fn show(projects: u32, idle: &Idle) {
    println!(
        "{projects:>4} projects: serve and edge {:>6.1} MiB, {:.2} % of a core; podman's service {:>6.1} MiB, {:.2} %",
        mebibytes(idle.naru_bytes),
        idle.naru_cpu_percent,
        mebibytes(idle.engine_bytes),
        idle.engine_cpu_percent
    );
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_people_are_not_counted() {
        let process = |id, parent, words: &[&str]| Process {
            id,
            parent,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let all = [
            process(1, 0, &["init"]),
            process(10, 1, &["/t/naru", "serve", "--data", "/d"]),
            process(11, 1, &["/t/naru", "edge", "--data", "/d/edge"]),
            process(12, 1, &["/t/naru", "edge", "--data", "/other/edge"]),
            process(13, 10, &["podman", "system", "service", "--time=0"]),
            process(14, 1, &["podman", "system", "service"]),
            process(15, 1, &["conmon", "/d/engine"]),
        ];
        let watched = watched(&all, 10, Path::new("/t/naru"));
        assert_eq!((watched.naru, watched.engine), (vec![10, 11], vec![13]));
    }
}
