//! Projects.

use std::path::Path;

use naru_model::Problem;
use naru_model::about::DESCRIPTION_CHARACTERS_MAX;
use naru_model::api::{self, NewProject, Page, ProjectChange};
use serde_json::Value;

use crate::arguments::project::{Project, Set};
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
        Project::List { favourites, paging } => {
            let only = if favourites { "&favourites=true" } else { "" };
            let path = format!("/api/v1/projects{}{only}", query(&paging));
            let answer = client.get::<Page<api::Project>>(&path).await?;
            screen.show(&answer, |screen, page| list(screen, page, favourites));
        }
        Project::Show { name } => {
            let name = place::project(&screen.outside, name.as_ref())?;
            let answer = client.get::<api::Project>(&format!("/api/v1/projects/{name}")).await?;
            screen.show(&answer, show);
        }
        Project::Set(set) => {
            let name = place::project(&screen.outside, set.name.as_ref())?;
            let change = change(set, screen)?;
            let answer = client.put::<api::Project>(&format!("/api/v1/projects/{name}"), &change).await?;
            screen.show(&answer, show);
        }
        Project::Star { name } => {
            let name = place::project(&screen.outside, name.as_ref())?;
            client
                .put::<Value>(&format!("/api/v1/projects/{name}/favourite"), &serde_json::json!({}))
                .await?;
            screen.note(format!("`{name}` is among your favourites"));
        }
        Project::Unstar { name } => {
            let name = place::project(&screen.outside, name.as_ref())?;
            client.delete::<Value>(&format!("/api/v1/projects/{name}/favourite")).await?;
            screen.note(format!("`{name}` is not among your favourites"));
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

fn change(set: Set, screen: &mut Screen) -> Result<ProjectChange> {
    let description = set.description.map(|file| text(&file, screen)).transpose()?;
    let contacts = (set.no_contacts || !set.contact.is_empty()).then_some(set.contact);
    Ok(ProjectChange { summary: set.summary, description, owner: set.owner, contacts })
}

/// What a file says, or standard input.
fn text(file: &Path, screen: &mut Screen) -> Result<String> {
    if file == Path::new("-") {
        return Ok(screen.outside.text()?);
    }
    let file = screen.outside.folder.join(file);
    let unreadable =
        |cause: String| Problem::new("cli.file", format!("`{}` cannot be read", file.display())).cause(cause);
    let found = std::fs::metadata(&file).map_err(|error| unreadable(error.to_string()))?;
    if found.len() > 4 * DESCRIPTION_CHARACTERS_MAX as u64 {
        return Err(unreadable("it is longer than any description".to_owned()).into());
    }
    Ok(std::fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?)
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

fn list(screen: &mut Screen, page: &Page<api::Project>, favourites: bool) {
    let row = |project: &api::Project| {
        let state = if project.deleting {
            screen.state(Tone::Attention, "being taken down")
        } else {
            screen.state(Tone::Good, "ready")
        };
        let star = if project.favourite { " ★" } else { "" };
        vec![
            format!("{}{star}", project.name),
            project.default_branch.to_string(),
            state,
            screen.time(project.created_at),
            project.summary.clone(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let empty = if favourites {
        "no favourites yet; keep one with: naru project star <name>"
    } else {
        "no projects yet; make one with: naru project create <name>"
    };
    screen.table(&["name", "branch", "state", "created", "summary"], &rows, empty);
    more(screen, page);
}

fn show(screen: &mut Screen, project: &api::Project) {
    let state = project.deleting.then(|| "being taken down".to_owned());
    let created = screen.time(project.created_at);
    let contacts: Vec<String> = project.contacts.iter().map(ToString::to_string).collect();
    screen.pairs(&[
        ("name", Some(project.name.to_string())),
        ("summary", Some(project.summary.clone()).filter(|summary| !summary.is_empty())),
        ("owner", project.owner.clone()),
        ("contacts", Some(contacts.join(", ")).filter(|contacts| !contacts.is_empty())),
        ("favourite", project.favourite.then(|| "★".to_owned())),
        ("state", state),
        ("branch", Some(project.default_branch.to_string())),
        ("created", Some(created)),
        ("source", Some(project.source_url.clone())),
        ("deploy repository", Some(project.deploy_url.clone())),
    ]);
    if let Some(description) = project.description.as_ref().filter(|text| !text.is_empty()) {
        screen.line("");
        description.lines().for_each(|line| screen.line(line));
    }
}
