//! The process: reads its settings from the environment, serves until it is told to stop, and finishes what it began.

use std::sync::Arc;
use std::time::Duration;

use board::settings::Settings;
use board::{Board, router};
use tokio::signal::unix::{SignalKind, signal};

/// How long requests in flight may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::from_environment()?;
    let board = Arc::new(Board::open(&settings)?);
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", settings.port)).await?;
    println!("board listens on port {} with data in {}", settings.port, settings.data.display());
    let serving = axum::serve(listener, router(board)).with_graceful_shutdown(stopped());
    tokio::select! {
        result = serving.into_future() => result?,
        () = async { stopped().await; tokio::time::sleep(GRACE).await } => {
            println!("some requests took longer than {} s and were cut off", GRACE.as_secs());
        }
    }
    println!("board has stopped");
    Ok(())
}

/// Returns at SIGTERM, which an engine sends, or SIGINT, which a keyboard sends.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
