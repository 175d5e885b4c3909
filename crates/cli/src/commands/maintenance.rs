//! Maintenance of an environment: on, off, and how it is.

use naru_model::Problem;
use naru_model::api::{Maintenance, MaintenanceChange};
use serde_json::Value;

use crate::arguments::environment::{Maintenance as Command, Until};
use crate::commands::delivery::There;
use crate::exit::{CliError, Result, USAGE};
use crate::screen::{Screen, Tone};

pub(crate) async fn maintenance(command: Command, screen: &mut Screen) -> Result<()> {
    match command {
        Command::On { place, message, until } => {
            let there = There::find(screen, &place)?;
            let until = until.map(|until| instant(screen, until)).transpose()?;
            let change = MaintenanceChange { message, until };
            let answer = there.client.put::<Maintenance>(&path(&there), &change).await?;
            screen.show(&answer, |screen, maintenance| {
                draw(screen, maintenance);
                screen.note("replicas keep running; end it with `naru maintenance off`");
            });
        }
        Command::Off(place) => {
            let there = There::find(screen, &place)?;
            there.client.delete::<Value>(&path(&there)).await?;
            screen.note(format!("visitors of `{}` get the service again", there.environment));
        }
        Command::Status(place) => {
            let there = There::find(screen, &place)?;
            screen.show(&there.client.get::<Maintenance>(&path(&there)).await?, draw);
        }
    }
    Ok(())
}

fn path(there: &There) -> String {
    format!("{}/maintenance", there.path())
}

/// A time as it was given, or counted from now.
fn instant(screen: &Screen, until: Until) -> Result<naru_model::Timestamp> {
    match until {
        Until::At(at) => Ok(at),
        Until::In(span) => screen.outside.clock.now().checked_add(span).map_err(|error| {
            CliError::new(USAGE, Problem::new("cli.usage", "`--until` is too late").cause(error.to_string()))
        }),
    }
}

fn draw(screen: &mut Screen, maintenance: &Maintenance) {
    let state = if maintenance.on { screen.state(Tone::Attention, "on") } else { "off".to_owned() };
    let by = maintenance.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let since = maintenance.since.map(|at| format!("{}{by}", screen.time(at)));
    let until = maintenance.until.map(|at| screen.time(at));
    let message = maintenance.message.clone();
    screen.pairs(&[("maintenance", Some(state)), ("since", since), ("until", until), ("message", message)]);
}

/// One line for where other things are shown.
pub(crate) fn line(screen: &Screen, maintenance: &Maintenance) -> String {
    let since = maintenance.since.map(|at| format!(" since {}", screen.time(at))).unwrap_or_default();
    let until = maintenance.until.map(|at| format!(", until {}", screen.time(at))).unwrap_or_default();
    let state = screen.state(Tone::Attention, "maintenance");
    format!("{state}: visitors get a page instead of the service{since}{until}")
}
