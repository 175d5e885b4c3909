//! Serves the pages over made-up rows, for looking at them: `cargo run -p naru-web --example pages -- 127.0.0.1:7070`.
//! Prints the address and the session cookie of somebody who is logged in.

#[path = "../tests/web/page.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod page;
#[path = "../tests/web/seed.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod seed;
#[path = "../tests/web/world.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod world;

use naru_model::rollout::Status;
use seed::{Ending, environment, log_of, printed, run};
use world::World;

/// Lines of the longest log.
const LONG: usize = 1_000_000;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7070".to_owned());
    let (world, _) = World::with_administrator().await;
    let shop = world.project("shop").await;
    for by in ["minji", "jun", "minji"] {
        let number = run(&world, &shop, by, Ending::Success).await;
        let lines =
            (1..=400).map(|line| format!("\u{1b}[1;32m   Compiling\u{1b}[0m crate-{line} v0.1.{line}"));
        printed(&world, &log_of(&shop, number, "test"), lines).await;
    }
    environment(&world, &shop, "production", 3, Status::Live).await;
    let missing =
        Status::Degraded { detail: "1 of 2 replicas of web runs; web-2-1 is restarting".to_owned() };
    environment(&world, &shop, "staging", 2, missing).await;

    let board = world.project("board").await;
    run(&world, &board, "hana", Ending::Success).await;
    environment(&world, &board, "production", 1, Status::Live).await;
    let number = run(&world, &board, "hana", Ending::Failure).await;
    let words = |line: usize| match line % 1000 {
        500 => format!("\u{1b}[33mwarning\u{1b}[0m: unused variable `x` in src/lib.rs:{line}"),
        999 if line > 900_000 => format!("\u{1b}[1;31merror\u{1b}[0m: test `posts_{line}` did not pass"),
        _ => format!("test posts::case_{line} ... \u{1b}[32mok\u{1b}[0m"),
    };
    printed(&world, &log_of(&board, number, "test"), (1..=LONG).map(words)).await;

    let blog = world.project("blog").await;
    let number = run(&world, &blog, "jun", Ending::Open).await;
    let stream = log_of(&blog, number, "test");
    printed(&world, &stream, ["running 12 tests".to_owned()]).await;
    world.project("notes").await;

    let listener = tokio::net::TcpListener::bind(&address).await?;
    let browser = page::Browser::minji(&world).await;
    println!("http://{}\n{}", listener.local_addr()?, browser.cookie);
    axum::serve(listener, world.router.clone()).await
}
