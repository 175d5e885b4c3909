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

use naru_identity::NewInvitation;
use naru_model::authorise::Principal;
use naru_model::role::{LocalRole, Role};
use naru_model::rollout::{ReplicaKey, ReplicaSeen, ReplicaState, Status};
use naru_model::workload::TemplateHash;
use naru_model::{EnvironmentKey, OrganisationName, ProjectName, RevisionNumber};
use naru_store::log::{LogRecord, LogStream};
use secrecy::ExposeSecret as _;
use seed::{Ending, environment, log_of, printed, run};
use world::World;

/// Lines of the longest log.
const LONG: usize = 1_000_000;

/// Somebody in every role, a role of its own, an invitation, a protected environment.
async fn people(world: &World) {
    let main = OrganisationName::main();
    for (login, role) in [("hana", Role::Maintainer), ("jun", Role::Developer), ("yuna", Role::Viewer)] {
        world.store.create_account(login, "").await.unwrap();
        world.store.join(&main, login, role).await.unwrap();
    }
    let shop = "shop".parse().unwrap();
    world.store.set_project_role(&shop, "yuna", Some(LocalRole::Developer)).await.unwrap();
    let production = EnvironmentKey { project: shop, environment: "production".parse().unwrap() };
    world.store.set_environment_role(&production, "jun", Some(LocalRole::Maintainer)).await.unwrap();
    world.store.protect_environment(&production, true).await.unwrap();
    let minji = Principal { login: "minji".to_owned(), credential_id: "password".to_owned() };
    let role = Role::Developer;
    let new = NewInvitation { organisation: main, role, address: "for sora".to_owned(), lasts: None };
    let link = world.identity.invite(&minji, new).await.unwrap();
    println!("/join?token={}", link.plain.expose_secret());
}

/// What the services of the shop print, and what runs there.
async fn output(world: &World, shop: &ProjectName) {
    let environment = EnvironmentKey { project: shop.clone(), environment: "production".parse().unwrap() };
    let stream = LogStream::Service { environment, service: "web".parse().unwrap() };
    let at = world.store.now();
    let line = |number: u32| LogRecord {
        at,
        source: format!("web-{}-{}", 1 + number / 2000, number % 2),
        text: format!("\u{1b}[32mGET\u{1b}[0m /basket/{number} 200 in {} ms", number % 17),
    };
    world.logs.append(&stream, (0..6000).map(line).collect()).await.unwrap();
    let seen = |index, attempt, state| ReplicaSeen {
        key: ReplicaKey { service: "web".parse().unwrap(), revision: RevisionNumber(3), index, attempt },
        template: TemplateHash(String::new()),
        state,
        address: None,
    };
    *world.behind.replicas.lock().unwrap() = Some(vec![
        seen(0, 0, ReplicaState::Running { since: at, ready: true }),
        seen(1, 4, ReplicaState::Running { since: at, ready: false }),
    ]);
}

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
    people(&world).await;
    output(&world, &shop).await;

    let listener = tokio::net::TcpListener::bind(&address).await?;
    let browser = page::Browser::minji(&world).await;
    // The login is old by now, so that acts which give rights lead to the page that asks for the password.
    world.pass(std::time::Duration::from_mins(11));
    println!("http://{}\n{}", listener.local_addr()?, browser.cookie);
    axum::serve(listener, world.router.clone()).await
}
