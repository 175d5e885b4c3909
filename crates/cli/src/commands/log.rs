//! Logs of steps and services.

use naru_model::api::{LogLine, Page, RunDetail};
use naru_model::{ProjectName, RunNumber};

use crate::arguments::Logs;
use crate::client::Client;
use crate::commands::encoded;
use crate::exit::Result;
use crate::screen::{Screen, Tone};
use crate::{follow, place, text};

/// How lines are shown.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) follow: bool,
    pub(crate) times: bool,
}

/// What the steps of a run printed, one after the other.
pub(crate) async fn steps(
    client: &Client,
    (project, run): (&ProjectName, RunNumber),
    only: Option<String>,
    how: How,
    screen: &mut Screen,
) -> Result<()> {
    let path = format!("/api/v1/projects/{project}/runs/{run}");
    let names = match only {
        Some(step) => vec![step],
        None => client.get::<RunDetail>(&path).await?.view.steps.into_iter().map(|step| step.name).collect(),
    };
    let several = names.len() > 1;
    for name in names {
        let path = format!("{path}/steps/{}/logs", encoded(&name));
        if several && !screen.json {
            let title = screen.paint(Tone::Quiet, &format!("── {} ──", text::clean(&name)));
            screen.note(title);
        }
        print(client, &path, how, false, screen).await?;
    }
    Ok(())
}

/// What the services of an environment print.
pub(crate) async fn services(arguments: Logs, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    let project = place::project(&screen.outside, arguments.place.project.project.as_ref())?;
    let environment = place::environment(&screen.outside, arguments.place.environment.as_ref())?;
    let path = format!("/api/v1/projects/{project}/environments/{environment}/logs");
    let service = arguments.service.map(|service| format!("service={service}"));
    let search = arguments.grep.map(|text| format!("search={}", encoded(&text)));
    let asked: Vec<String> = service.into_iter().chain(search).collect();
    let path = if asked.is_empty() { path } else { format!("{path}?{}", asked.join("&")) };
    let how = How { follow: arguments.follow, times: arguments.times };
    print(&client, &path, how, true, screen).await
}

async fn print(client: &Client, path: &str, how: How, sources: bool, screen: &mut Screen) -> Result<()> {
    let joint = if path.contains('?') { '&' } else { '?' };
    if how.follow {
        let path = format!("{path}{joint}follow=true");
        return follow::lines(screen, client, &path, |screen, line| one(screen, &line, how.times, sources))
            .await;
    }
    let mut after = String::new();
    loop {
        let page = format!("{path}{joint}after={}", encoded(&after));
        let answer = client.get::<Page<LogLine>>(&page).await?;
        // Colours are judged line by line, so the text is taken as it was.
        let lines: Page<LogLine> = serde_json::from_value(answer.raw).unwrap_or(answer.view);
        for line in &lines.items {
            one(screen, line, how.times, sources);
        }
        match lines.next {
            Some(next) if next != after => after = next,
            _ => return Ok(()),
        }
    }
}

fn one(screen: &mut Screen, line: &LogLine, times: bool, sources: bool) {
    if screen.json {
        let line = serde_json::to_value(line).unwrap_or_default();
        let compact = text::json(&line).replace("\n  ", " ").replace("{ ", "{").replace("\n}", "}");
        screen.line(compact);
        return;
    }
    let mut out = String::new();
    if times {
        let at = line.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ ").to_string();
        out.push_str(&screen.paint(Tone::Quiet, &at));
    }
    if sources {
        let source = format!("{} | ", text::clean(&line.source));
        out.push_str(&screen.paint(Tone::Quiet, &source));
    }
    out.push_str(&text::clean_log(&line.text, screen.colours()));
    screen.line(out);
}
