//! Adds projects with an environment each to the database of a Naru that may be running: rows without repositories, for
//! measuring lists. `cargo run -p naru-store --example many_projects -- <naru.db> <login> <from> <to>` makes `bulk-<n>`.

use std::path::Path;
use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_model::{Clock, EnvironmentKey, OrganisationName, ProjectName, Timestamp};
use naru_store::Store;

struct Now;

impl Clock for Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "there is nothing here that a test would want to stand still"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, login, from, to] = words.as_slice() else {
        return Err("expected: <naru.db> <login> <from> <to>".into());
    };
    let store = Store::open(Path::new(file), Arc::new(Now), Arc::new(Unobserved)).await?;
    let (organisation, branch) = (OrganisationName::main(), "main".parse()?);
    for number in from.parse::<u32>()?..to.parse()? {
        let project: ProjectName = format!("bulk-{number:05}").parse()?;
        store.create_project_in(&organisation, &project, &branch, Some(login)).await?;
        let key = EnvironmentKey { project, environment: "production".parse()? };
        store.ensure_environment(&key, Some(&branch)).await?;
        if number % 1000 == 999 {
            println!("{} projects", number + 1);
        }
    }
    Ok(())
}
