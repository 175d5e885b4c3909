//! `bench push`: from `git push` to the new version serving. Naru and a shell script with bare tools take turns.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::bare::Bare;
use super::naru_side::NaruSide;
use super::service;
use super::statistics::{median, median_ms, rounded};
use crate::demo::account;
use crate::demo::api::Api;
use crate::demo::folders::Folders;
use crate::demo::interrupt;
use crate::demo::naru::Naru;

/// How often both sides look whether the new version is served.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Options of `cargo xtask bench push`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many times each side delivers, after one delivery that is not counted.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) total: Duration,
    pub(super) phases: Vec<(String, Duration)>,
}

/// Measures; returns the line of JSON.
pub(super) fn run(root: &Path, binary: &Path, options: &Options) -> Result<Value> {
    let folders = Folders::prepare(root, true)?;
    let result = measure(&folders, binary, options.pairs);
    if result.is_ok() {
        folders.remove()?;
    }
    result
}

fn measure(folders: &Folders, binary: &Path, pairs: u32) -> Result<Value> {
    let program = service::compile(&folders.file("."))?;
    let mut bare = Bare::start(folders, &program, &mut free_port)?;
    let naru = Naru::start(folders, binary, true)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    let side = NaruSide::create(folders, &program, &api, naru.edge(), "bench", service::DEFINITION)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..=pairs {
        interrupt::check()?;
        // The first of a pair has no advantage: the order alternates too.
        let (mine, other) = if pair % 2 == 0 {
            let mine = side.deliver(&format!("v{pair}"))?;
            (mine, bare.deliver(&format!("v{pair}"))?)
        } else {
            let other = bare.deliver(&format!("v{pair}"))?;
            (side.deliver(&format!("v{pair}"))?, other)
        };
        let (a, b) = (mine.total.as_secs_f64() * 1000.0, other.total.as_secs_f64() * 1000.0);
        let note = if pair == 0 { "  (not counted)" } else { "" };
        println!("pair {pair:>3}: naru {a:>7.0} ms   bare tools {b:>7.0} ms   ratio {:.2}{note}", a / b);
        if pair > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    println!("\n{}", table("Naru", &ours));
    println!("{}", table("bare tools", &theirs));
    Ok(summary(&ours, &theirs))
}

fn summary(ours: &[Delivery], theirs: &[Delivery]) -> Value {
    let naru_ms = median_ms(ours.iter().map(|delivery| delivery.total));
    let bare_ms = median_ms(theirs.iter().map(|delivery| delivery.total));
    let per_pair = ours.iter().zip(theirs).map(|(a, b)| a.total.as_secs_f64() / b.total.as_secs_f64());
    json!({
        "bench": "push",
        "ratio": rounded(naru_ms / bare_ms, 3),
        "median_of_ratios": rounded(median(per_pair.collect()), 3),
        "naru_ms": rounded(naru_ms, 0),
        "bare_ms": rounded(bare_ms, 0),
        "pairs": ours.len(),
    })
}

/// Medians per phase, as a table for people and for `docs/benchmarks.md`.
fn table(side: &str, deliveries: &[Delivery]) -> String {
    let mut text = format!("| {side} | median ms |\n|---|---:|\n");
    let Some(first) = deliveries.first() else { return text };
    for (index, (name, _)) in first.phases.iter().enumerate() {
        let times =
            deliveries.iter().filter_map(|delivery| delivery.phases.get(index)).map(|(_, time)| *time);
        let _ = writeln!(text, "| {name} | {:.0} |", median_ms(times)); // writing to a String does not fail
    }
    let _ = writeln!(
        text,
        "| **in all** | **{:.0}** |",
        median_ms(deliveries.iter().map(|delivery| delivery.total))
    );
    text
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_many_times_slower() {
        let delivery = |ms| Delivery { total: Duration::from_millis(ms), phases: Vec::new() };
        let summary = summary(
            &[delivery(300), delivery(100), delivery(200)],
            &[delivery(100), delivery(160), delivery(400)],
        );
        assert_eq!(
            summary.to_string(),
            r#"{"bench":"push","ratio":1.25,"median_of_ratios":0.625,"naru_ms":200.0,"bare_ms":160.0,"pairs":3}"#
        );
    }
}
