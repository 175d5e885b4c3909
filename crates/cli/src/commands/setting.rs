//! Variables and secrets.

use naru_model::api::{
    Configuration, ConfigurationChange, ConfigurationChanged, ConfigurationDifference, Page, Secret as Shown,
    SecretChanged, SecretDifference, SecretValue, SecretValues, SecretsRestored, SettingVersion,
    VersionChoice, env_file,
};

use crate::arguments::setting::{Env, Secret, VersionDiff, VersionRestore};
use crate::arguments::{InEnvironment, Paging, Waiting};
use crate::commands::delivery::{There, wait};
use crate::commands::{more, query};
use crate::exit::Result;
use crate::place;
use crate::screen::Screen;

pub(crate) async fn env(command: Env, screen: &mut Screen) -> Result<()> {
    match command {
        Env::List { place, shared } => {
            let (there, path) = configuration(screen, &place, shared)?;
            screen.show(&there.client.get::<Configuration>(&path).await?, variables);
            Ok(())
        }
        Env::Set { pairs, place, shared, waiting } => {
            let change = ConfigurationChange { set: pairs.into_iter().collect(), unset: Vec::new() };
            self::change((&place, shared), &change, &waiting, screen).await
        }
        Env::Unset { names, place, shared, waiting } => {
            let change = ConfigurationChange { set: std::collections::BTreeMap::new(), unset: names };
            self::change((&place, shared), &change, &waiting, screen).await
        }
        Env::Versions { place, paging } => versions("configuration/versions", &place, &paging, screen).await,
        Env::Diff(VersionDiff { from, to, place }) => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/configuration/difference{}", there.path(), two(from, to));
            screen.show(&there.client.get::<ConfigurationDifference>(&path).await?, configuration_difference);
            Ok(())
        }
        Env::Restore(VersionRestore { version, place, waiting }) => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/configuration/restore", there.path());
            let answer = there.client.post::<ConfigurationChanged>(&path, &VersionChoice { version }).await?;
            let intent = answer.view.intent;
            screen.show(&answer, |screen, changed| {
                screen.note(match changed.intent {
                    Some(_) => format!("version {} has the variables of version {version}", changed.version),
                    None => "nothing had to change".to_owned(),
                });
            });
            wait(&there, intent, &waiting, screen).await
        }
        Env::Export(place) => {
            let there = There::find(screen, &place)?;
            let text = there.client.text(&format!("{}/configuration/export", there.path())).await?;
            if !text.is_empty() {
                screen.line(text.trim_end());
            }
            Ok(())
        }
    }
}

fn configuration(screen: &Screen, place: &InEnvironment, shared: bool) -> Result<(There, String)> {
    let there = There::find(screen, place)?;
    let base = if shared { format!("/api/v1/projects/{}", there.project) } else { there.path() };
    Ok((there, format!("{base}/configuration")))
}

fn two(from: u32, to: Option<u32>) -> String {
    to.map_or_else(|| format!("?from={from}"), |to| format!("?from={from}&to={to}"))
}

async fn versions(list: &str, place: &InEnvironment, paging: &Paging, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, place)?;
    let path = format!("{}/{list}{}", there.path(), query(paging));
    screen.show(&there.client.get::<Page<SettingVersion>>(&path).await?, |screen, page| {
        let row = |it: &SettingVersion| {
            vec![it.version.to_string(), it.names.to_string(), it.by.clone(), screen.time(it.created_at)]
        };
        let rows: Vec<_> = page.items.iter().map(row).collect();
        screen.table(&["version", "names", "by", "when"], &rows, "no versions yet");
        more(screen, page);
    });
    Ok(())
}

fn configuration_difference(screen: &mut Screen, it: &ConfigurationDifference) {
    for (name, value) in &it.removed {
        screen.line(format!("- {name}={value}"));
    }
    for (name, change) in &it.changed {
        screen.line(format!("- {name}={}", change.from));
        screen.line(format!("+ {name}={}", change.to));
    }
    for (name, value) in &it.added {
        screen.line(format!("+ {name}={value}"));
    }
    if it.removed.is_empty() && it.changed.is_empty() && it.added.is_empty() {
        screen.note(format!("versions {} and {} are the same", it.from, it.to));
    }
}

fn secret_difference(screen: &mut Screen, it: &SecretDifference) {
    for (mark, names) in [("-", &it.removed), ("~", &it.changed), ("+", &it.added)] {
        for name in names {
            screen.line(format!("{mark} {name}"));
        }
    }
    if it.removed.is_empty() && it.changed.is_empty() && it.added.is_empty() {
        screen.note(format!("versions {} and {} are the same", it.from, it.to));
    }
}

async fn change(
    (place, shared): (&InEnvironment, bool),
    change: &ConfigurationChange,
    waiting: &Waiting,
    screen: &mut Screen,
) -> Result<()> {
    let (there, path) = configuration(screen, place, shared)?;
    let answer = there.client.put::<ConfigurationChanged>(&path, change).await?;
    let intent = answer.view.intent;
    if !(screen.json && waiting.wait) {
        screen.show(&answer, |screen, changed| {
            screen.note(match changed.intent {
                _ if shared => format!("configuration version {} for all environments", changed.version),
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
        let from = if configuration.inherited.contains(name) { "   (from the project)" } else { "" };
        screen.line(format!("{name}={value}{from}"));
    }
}

pub(crate) async fn secret(command: Secret, screen: &mut Screen) -> Result<()> {
    match command {
        Secret::List { place, pipeline, shared } => {
            let (there, path) = scope(screen, &place, (pipeline, shared))?;
            screen.show(&there.client.get::<Page<Shown>>(&path).await?, secrets);
            Ok(())
        }
        Secret::Set { name, place, pipeline, shared, waiting } => {
            let (there, path) = scope(screen, &place, (pipeline, shared))?;
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
        Secret::Unset { name, place, pipeline, shared, revoke, waiting } => {
            let (there, path) = scope(screen, &place, (pipeline, shared))?;
            let revoke = if revoke { "?revoke=true" } else { "" };
            let answer = there.client.delete::<SecretChanged>(&format!("{path}/{name}{revoke}")).await?;
            let intent = answer.view.intent;
            screen.show(&answer, |screen, _| screen.note(format!("{name} is unset")));
            wait(&there, intent, &waiting, screen).await
        }
        Secret::Versions { place, paging } => versions("secret-versions", &place, &paging, screen).await,
        Secret::Diff(VersionDiff { from, to, place }) => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/secret-versions/difference{}", there.path(), two(from, to));
            screen.show(&there.client.get::<SecretDifference>(&path).await?, secret_difference);
            Ok(())
        }
        Secret::Restore(VersionRestore { version, place, waiting }) => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/secret-versions/restore", there.path());
            let answer = there.client.post::<SecretsRestored>(&path, &VersionChoice { version }).await?;
            let intent = answer.view.intent;
            screen.show(&answer, |screen, restored| {
                screen.note(format!("version {} has the secrets of version {version}", restored.version));
                for name in &restored.revoked {
                    screen.note(format!("{name} was revoked: what is current under it stays"));
                }
            });
            wait(&there, Some(intent), &waiting, screen).await
        }
        Secret::Export(place) => export(&place, screen).await,
    }
}

/// Values go out as they are: only a terminal is spared what it would obey.
async fn export(place: &InEnvironment, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, place)?;
    let path = format!("{}/secret-export", there.path());
    let answer = there.client.post::<SecretValues>(&path, &serde_json::json!({})).await?;
    let whole = serde_json::from_value::<SecretValues>(answer.raw.clone()).ok();
    let values = match whole {
        Some(whole) if !screen.outside.draws => whole,
        _ => SecretValues { values: answer.view.values.clone() },
    };
    screen.show(&answer, |screen, _| screen.line(env_file(&values.values).trim_end()));
    Ok(())
}

fn scope(
    screen: &Screen,
    place: &InEnvironment,
    (pipeline, shared): (bool, bool),
) -> Result<(There, String)> {
    let there = There {
        client: place::client(&screen.outside)?,
        project: place::project(&screen.outside, place.project.project.as_ref())?,
        environment: place::environment(&screen.outside, place.environment.as_ref())?,
    };
    let path = if pipeline {
        format!("/api/v1/projects/{}/secrets", there.project)
    } else if shared {
        format!("/api/v1/projects/{}/shared-secrets", there.project)
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
            if secret.inherited { "project" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(
        &["name", "version", "set by", "when", "from"],
        &rows,
        "no secrets; set one with: naru secret set NAME",
    );
}
