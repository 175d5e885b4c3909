//! The crossing, and the way to the running service.

use std::time::Duration;

use naru_model::Problem;
use naru_model::api::{Crossing, Environment};
use tokio::time::sleep;

use crate::arguments::{Open, Status};
use crate::commands::delivery::There;
use crate::exit::{CliError, FAILED, MISSING, Result};
use crate::picture;
use crate::screen::Screen;

const LOOK_EVERY: Duration = Duration::from_millis(700);

pub(crate) async fn status(arguments: Status, screen: &mut Screen) -> Result<u8> {
    let there = There::find(screen, &arguments.place)?;
    let path = format!("{}/crossing", there.path());
    if arguments.watch && !screen.json {
        return watch(&there, &path, screen).await;
    }
    let mut answer = there.client.get::<Crossing>(&path).await?;
    while arguments.watch && picture::ended(&answer.view).is_none() {
        sleep(LOOK_EVERY).await;
        answer = there.client.get::<Crossing>(&path).await?;
    }
    let failed = arguments.watch && picture::ended(&answer.view) == Some(false);
    screen.show(&answer, picture::draw);
    Ok(if failed { FAILED } else { 0 })
}

/// On a terminal the picture is drawn anew; elsewhere each change is one line.
async fn watch(there: &There, path: &str, screen: &mut Screen) -> Result<u8> {
    let mut said = String::new();
    loop {
        let crossing = there.client.get::<Crossing>(path).await?.view;
        let ended = picture::ended(&crossing);
        if screen.outside.draws {
            screen.line("\u{1b}[H\u{1b}[2J\u{1b}[3J");
            picture::draw(screen, &crossing);
        } else {
            let line = picture::line(screen, &crossing.landings);
            if line != said {
                screen.line(&line);
                said = line;
            }
        }
        if let Some(live) = ended {
            if !screen.outside.draws {
                picture::draw(screen, &crossing);
            }
            return Ok(if live { 0 } else { FAILED });
        }
        sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn open(arguments: Open, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, &arguments.place)?;
    let answer = there.client.get::<Environment>(&there.path()).await?;
    let Some(url) = answer.view.urls.first().cloned() else {
        let problem =
            Problem::new("cli.no-address", format!("`{}` cannot be reached from outside", there.environment))
                .cause("nothing was delivered there yet, or no service has a port")
                .command(format!(
                    "naru status --project {} --environment {}",
                    there.project, there.environment
                ));
        return Err(CliError::new(MISSING, problem));
    };
    if screen.json {
        screen.raw(&serde_json::json!({ "urls": answer.view.urls }));
    } else {
        screen.line(&url);
    }
    let safe = url.starts_with("http://") || url.starts_with("https://");
    if safe && !arguments.print && !screen.json && screen.outside.draws {
        screen.outside.browse(&url);
    }
    Ok(())
}
