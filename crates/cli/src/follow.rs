//! Following: an intent until its revision is live, and event streams across lost connections.

use std::time::Duration;

use naru_model::api::{Intent, IntentState, LogLine, Revision, RolloutState};
use naru_model::{EnvironmentName, Problem, ProjectName};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::exit::{CliError, Result, UNREACHABLE};
use crate::screen::Screen;
use crate::text;

const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long a lost connection is tried again.
const RETRIES: u32 = 10;
/// The longest event that is read.
const LONGEST_EVENT_BYTES: usize = 1 << 20;

/// Waits until what was asked for is a revision with all the traffic.
pub(crate) async fn intent(
    screen: &mut Screen,
    client: &Client,
    (project, environment): (&ProjectName, &EnvironmentName),
    id: i64,
    patience: Duration,
) -> Result<Option<Revision>> {
    let until = Instant::now() + patience;
    let mut said = String::new();
    loop {
        let intent: Intent = client.get(&format!("/api/v1/projects/{project}/intents/{id}")).await?.view;
        match (intent.state, intent.revision) {
            (IntentState::Failed, _) => return Err(intent.problem.unwrap_or_else(refused).into()),
            (IntentState::Done, _) if intent.commit.is_none() => {
                screen.note("nothing had to change");
                return Ok(None);
            }
            (IntentState::Done, Some(number)) => {
                let path =
                    format!("/api/v1/projects/{project}/environments/{environment}/revisions/{number}");
                let revision: Revision = client.get(&path).await?.view;
                if let Some(ended) = ended(revision) {
                    return ended.map(Some);
                }
                say(screen, client, (project, environment), &mut said).await?;
            }
            _ => {}
        }
        if Instant::now() >= until {
            return Err(too_long(project, environment).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

fn ended(revision: Revision) -> Option<Result<Revision>> {
    match revision.rollout {
        RolloutState::Live => Some(Ok(revision)),
        RolloutState::Failed => {
            let problem = revision.problem.clone().unwrap_or_else(|| {
                Problem::new("cli.rollout-failed", format!("revision {} did not get there", revision.number))
            });
            Some(Err(problem.into()))
        }
        RolloutState::Overtaken => {
            let problem =
                Problem::new("cli.overtaken", format!("revision {} was overtaken", revision.number))
                    .cause("something newer was asked for before it had all the traffic");
            Some(Err(problem.into()))
        }
        RolloutState::Waiting | RolloutState::Moving => None,
    }
}

/// Says how the environment is, whenever that is something new.
async fn say(
    screen: &mut Screen,
    client: &Client,
    (project, environment): (&ProjectName, &EnvironmentName),
    said: &mut String,
) -> Result<()> {
    let path = format!("/api/v1/projects/{project}/environments/{environment}");
    let now: naru_model::api::Environment = client.get(&path).await?.view;
    // Until the move has begun, the environment is as it was before.
    let is_news = now.condition != naru_model::api::Condition::Live && now.detail != *said;
    if is_news && !screen.json {
        screen.note(format!("  {}", now.detail));
        *said = now.detail;
    }
    Ok(())
}

fn refused() -> Problem {
    Problem::new("cli.refused", "what was asked for was refused").state("nothing was changed")
}

fn too_long(project: &ProjectName, environment: &EnvironmentName) -> Problem {
    Problem::new("cli.waited-too-long", "it is still under way, and the waiting time is over")
        .state("it goes on without this command")
        .command(format!("naru status --project {project} --environment {environment} --watch"))
}

/// Prints the lines of a log stream until it ends. A lost connection is taken up again where it was.
pub(crate) async fn lines(
    screen: &mut Screen,
    client: &Client,
    path: &str,
    mut print: impl FnMut(&mut Screen, LogLine),
) -> Result<()> {
    let mut position: Option<String> = None;
    let mut failures = 0;
    loop {
        let mut events = match client.stream(path, position.as_deref()).await {
            Ok(response) => Events { response, buffer: Vec::new() },
            Err(error) if error.exit == UNREACHABLE && position.is_some() && failures < RETRIES => {
                failures += 1;
                sleep(LOOK_EVERY * failures).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let ended = loop {
            match events.next().await {
                Next::Event(event) if event.name == "line" => {
                    failures = 0;
                    let Ok(line) = serde_json::from_str::<LogLine>(&event.data) else { continue };
                    position = Some(line.position.clone());
                    print(screen, line);
                }
                Next::Event(event) if event.name == "problem" => return Err(problem(&event.data)),
                Next::Event(_) => {}
                Next::End => break true,
                Next::Lost => break false,
            }
        };
        if ended || failures >= RETRIES {
            return Ok(());
        }
        failures += 1;
        sleep(LOOK_EVERY * failures).await;
    }
}

fn problem(data: &str) -> CliError {
    let mut value: Value = serde_json::from_str(data).unwrap_or_default();
    text::clean_json(&mut value);
    serde_json::from_value(value)
        .unwrap_or_else(|_| Problem::new("cli.strange-answer", "the log ended with an error"))
        .into()
}

/// One server-sent event (WHATWG HTML, 9.2).
struct Event {
    name: String,
    data: String,
}

enum Next {
    Event(Event),
    End,
    Lost,
}

struct Events {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Events {
    async fn next(&mut self) -> Next {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Next::Event(event(&String::from_utf8_lossy(&block)));
            }
            if self.buffer.len() > LONGEST_EVENT_BYTES {
                return Next::Lost;
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Next::End,
                Err(_) => return Next::Lost,
            }
        }
    }
}

fn event(block: &str) -> Event {
    let mut event = Event { name: "message".to_owned(), data: String::new() };
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_standard_says() {
        let read = event("event: line\nid: web=7\ndata: {\"a\":\ndata:1}\n: a comment\n\n");
        assert_eq!((read.name.as_str(), read.data.as_str()), ("line", "{\"a\":\n1}"));
        assert_eq!(event(": keep alive\n\n").data, "");
    }
}
