//! Plays seeds of the simulation, on every CPU: `simulate FROM COUNT [trace]`. `cargo xtask sim` builds and calls it.
//! Says every seed that failed with its last steps, and how many held.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use naru_testkit::sim::{Verdict, play};

/// Steps that are shown of a seed that failed.
const LAST_STEPS: usize = 60;
/// Failed seeds that are shown; the rest is counted.
const SHOWN: u64 = 5;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|text| text.parse().ok()).collect();
    let [from, count] = numbers[..] else {
        eprintln!("usage: simulate FROM COUNT [trace]");
        return ExitCode::FAILURE;
    };
    let trace = words.iter().any(|word| word == "trace");
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let verdict = play(seed, None);
                    let is_bad = !verdict.broken.is_empty();
                    let before = failed.fetch_add(u64::from(is_bad), Ordering::Relaxed);
                    if trace || (is_bad && before < SHOWN) {
                        tell(seed, &verdict, trace);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("{} seeds held, {failed} failed", count - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, verdict: &Verdict, whole: bool) {
    let skip = if whole { 0 } else { verdict.trace.len().saturating_sub(LAST_STEPS) };
    let mut text: Vec<String> = verdict.trace[skip..].to_vec();
    text.extend(verdict.broken.iter().map(|broken| format!("seed {seed} FAILED: {broken}")));
    if !verdict.broken.is_empty() {
        text.push(format!("replay it: cargo xtask sim --seed {seed} --trace"));
    }
    println!("{}", text.join("\n"));
}
