//! Projects.

use naru_model::api::{self, NewProject, Page};
use serde_json::Value;

use crate::arguments::project::Project;
use crate::client::Client;
use crate::commands::{encoded, more, query};
use crate::exit::Result;
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn project(command: Project, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Project::Create { name, organisation, branch } => {
            let wish = NewProject { name, organisation, default_branch: Some(branch) };
            let answer = client.post::<api::Project>("/api/v1/projects", &wish).await?;
            screen.show(&answer, created);
        }
        Project::List(paging) => {
            let answer =
                client.get::<Page<api::Project>>(&format!("/api/v1/projects{}", query(&paging))).await?;
            screen.show(&answer, list);
        }
        Project::Show { name } => {
            let name = place::project(&screen.outside, name.as_ref())?;
            let answer = client.get::<api::Project>(&format!("/api/v1/projects/{name}")).await?;
            screen.show(&answer, show);
        }
        Project::Delete { name, confirm } => {
            let confirm = match confirm {
                Some(confirm) => confirm,
                None => screen.outside.line(&format!(
                    "This stops everything of `{name}` and removes its repositories and volumes for good. \
                     Type its name to confirm"
                ))?,
            };
            delete(&client, name.as_str(), &confirm).await?;
            screen.note(format!("`{name}` is being taken down"));
        }
    }
    Ok(())
}

async fn delete(client: &Client, name: &str, confirm: &str) -> Result<()> {
    client.delete::<Value>(&format!("/api/v1/projects/{name}?confirm={}", encoded(confirm))).await?;
    Ok(())
}

fn created(screen: &mut Screen, project: &api::Project) {
    screen.line(format!("project `{}` is ready. Push to it:", project.name));
    screen.line("");
    screen.line(format!("  git remote add naru {}", project.source_url));
    screen.line(format!("  git push naru {}", project.default_branch));
    screen.line("");
    screen.line("git asks for a user name (any) and a password (a token: naru token create git)");
}

fn list(screen: &mut Screen, page: &Page<api::Project>) {
    let row = |project: &api::Project| {
        let state = if project.deleting {
            screen.state(Tone::Attention, "being taken down")
        } else {
            screen.state(Tone::Good, "ready")
        };
        vec![
            project.name.to_string(),
            project.default_branch.to_string(),
            state,
            screen.time(project.created_at),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(
        &["name", "branch", "state", "created"],
        &rows,
        "no projects yet; make one with: naru project create <name>",
    );
    more(screen, page);
}

fn show(screen: &mut Screen, project: &api::Project) {
    let state = project.deleting.then(|| "being taken down".to_owned());
    let created = screen.time(project.created_at);
    screen.pairs(&[
        ("name", Some(project.name.to_string())),
        ("state", state),
        ("branch", Some(project.default_branch.to_string())),
        ("created", Some(created)),
        ("source", Some(project.source_url.clone())),
        ("deploy repository", Some(project.deploy_url.clone())),
    ]);
}
