//! `naru-load <plan file> <report file>`: sends what the plan says until standard input ends, then writes the report.

use std::process::ExitCode;

use naru_load::{Stream, Target};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

/// What is to be sent where.
#[derive(serde::Deserialize)]
struct Plan {
    target: Target,
    streams: Vec<Stream>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(plan), Some(report)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("expected two arguments: the plan and where the report goes");
    };
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    // One thread: what is measured needs the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reports = runtime.block_on(async {
        let stop = CancellationToken::new();
        let until_end = async {
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            reports = naru_load::run(&plan.target, &plan.streams, &stop) => reports,
            () = until_end => unreachable!("it never ends"),
        }
    })?;
    std::fs::write(report, serde_json::to_vec(&reports)?)?;
    // Reading standard input may still hold a thread.
    runtime.shutdown_background();
    Ok(())
}
