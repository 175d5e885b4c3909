//! Variables and secrets.

use naru_model::api::{
    Configuration, ConfigurationChange, ConfigurationChanged, Page, Secret as Shown, SecretChanged,
    SecretValue,
};

use crate::arguments::{Env, InEnvironment, Secret, Waiting};
use crate::commands::delivery::{There, wait};
use crate::exit::Result;
use crate::place;
use crate::screen::Screen;

pub(crate) async fn env(command: Env, screen: &mut Screen) -> Result<()> {
    match command {
        Env::List(place) => {
            let there = There::find(screen, &place)?;
            let answer =
                there.client.get::<Configuration>(&format!("{}/configuration", there.path())).await?;
            screen.show(&answer, variables);
            Ok(())
        }
        Env::Set { pairs, place, waiting } => {
            let change = ConfigurationChange { set: pairs.into_iter().collect(), unset: Vec::new() };
            self::change(&place, &change, &waiting, screen).await
        }
        Env::Unset { names, place, waiting } => {
            let change = ConfigurationChange { set: std::collections::BTreeMap::new(), unset: names };
            self::change(&place, &change, &waiting, screen).await
        }
    }
}

async fn change(
    place: &InEnvironment,
    change: &ConfigurationChange,
    waiting: &Waiting,
    screen: &mut Screen,
) -> Result<()> {
    let there = There::find(screen, place)?;
    let path = format!("{}/configuration", there.path());
    let answer = there.client.put::<ConfigurationChanged>(&path, change).await?;
    let intent = answer.view.intent;
    if !(screen.json && waiting.wait) {
        screen.show(&answer, |screen, changed| {
            screen.note(match changed.intent {
                Some(_) => format!("configuration version {} of `{}`", changed.version, there.environment),
                None => "nothing had to change".to_owned(),
            });
        });
    }
    wait(&there, intent, waiting, screen).await
}

fn variables(screen: &mut Screen, configuration: &Configuration) {
    if configuration.variables.is_empty() {
        screen.note("no variables; set one with: naru env set NAME=value");
    }
    for (name, value) in &configuration.variables {
        screen.line(format!("{name}={value}"));
    }
}

pub(crate) async fn secret(command: Secret, screen: &mut Screen) -> Result<()> {
    match command {
        Secret::List { place, pipeline } => {
            let (there, path) = scope(screen, &place, pipeline)?;
            screen.show(&there.client.get::<Page<Shown>>(&path).await?, secrets);
            Ok(())
        }
        Secret::Set { name, place, pipeline, waiting } => {
            let (there, path) = scope(screen, &place, pipeline)?;
            let value = screen.outside.secret_text(&format!("Value of {name}"))?;
            let answer =
                there.client.put::<SecretChanged>(&format!("{path}/{name}"), &SecretValue { value }).await?;
            let intent = answer.view.intent;
            screen.show(&answer, |screen, changed| {
                let version = changed.version.map(|version| version.to_string()).unwrap_or_default();
                screen.note(format!("{name} version {version} is set"));
            });
            wait(&there, intent, &waiting, screen).await
        }
        Secret::Unset { name, place, pipeline, revoke, waiting } => {
            let (there, path) = scope(screen, &place, pipeline)?;
            let revoke = if revoke { "?revoke=true" } else { "" };
            let answer = there.client.delete::<SecretChanged>(&format!("{path}/{name}{revoke}")).await?;
            let intent = answer.view.intent;
            screen.show(&answer, |screen, _| screen.note(format!("{name} is unset")));
            wait(&there, intent, &waiting, screen).await
        }
    }
}

fn scope(screen: &Screen, place: &InEnvironment, pipeline: bool) -> Result<(There, String)> {
    let there = There {
        client: place::client(&screen.outside)?,
        project: place::project(&screen.outside, place.project.project.as_ref())?,
        environment: place::environment(&screen.outside, place.environment.as_ref())?,
    };
    let path = if pipeline {
        format!("/api/v1/projects/{}/secrets", there.project)
    } else {
        format!("{}/secrets", there.path())
    };
    Ok((there, path))
}

fn secrets(screen: &mut Screen, page: &Page<Shown>) {
    let row = |secret: &Shown| {
        vec![
            secret.name.to_string(),
            secret.version.to_string(),
            secret.by.clone(),
            screen.time(secret.created_at),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(
        &["name", "version", "set by", "when"],
        &rows,
        "no secrets; set one with: naru secret set NAME",
    );
}
