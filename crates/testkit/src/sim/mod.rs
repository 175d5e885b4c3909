//! A simulation of deliveries: the production loops (render, sync, reconcile, sweep) on a real database in memory, deploy
//! repositories in memory and the fake engine and edge, under virtual time. All choices come from one seed: who goes on
//! next at every effect, what fails, hangs, dies or crashes, and what people want meanwhile. The same seed is the same
//! story, word for word.
//!
//! After every step the promises are looked at (`promise`), and at the end, when nothing goes wrong any more, what is
//! there must be what was wanted last (`rest`).

mod adapters;
mod beside;
mod chance;
mod crossing;
mod director;
mod forgetful;
mod mistake;
mod people;
mod process;
mod promise;
mod push;
mod rest;
mod runs;
mod stage;
mod switch;
mod time;
mod trouble;
mod way;

use std::path::Path;
use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_secret::KeyRing;
use naru_store::Store;
use naru_store::log::{LogLimits, LogStore};

pub use mistake::Mistake;

use director::Director;
use process::Disk;
use stage::Stage;

/// How a simulation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was promised and did not hold; empty when all is well.
    pub broken: Vec<String>,
    /// The story, line by line.
    pub trace: Vec<String>,
}

/// Plays a seed, with a mistake if one is given.
pub fn play(seed: u64, mistake: Option<Mistake>) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let folder = folder();
        let stage = Arc::new(Stage::new(seed, mistake));
        let store = Store::open(&folder.path().join("naru.db"), stage.wall.clone(), Arc::new(Unobserved))
            .await
            .expect("a database in a temporary folder opens");
        let logs = LogStore::open(&folder.path().join("logs"), LogLimits::default()).await;
        let keys = KeyRing::open(&folder.path().join("key")).expect("a key file");
        let logs = logs.expect("a log folder");
        let disk = Disk { store, logs, keys: Arc::new(keys), folder: folder.path().to_owned() };
        let mut director = Director::new(&stage, disk);
        director.direct().await;
        drop(director);
        let broken = std::mem::take(&mut stage.promises().broken);
        Verdict { broken, trace: stage.take_trace() }
    })
}

/// In memory where the system has a place for that.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
        .expect("a temporary folder")
}
