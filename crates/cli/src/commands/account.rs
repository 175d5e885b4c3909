//! Logging in and out, tokens, the audit log.

use naru_model::Problem;
use naru_model::api::{self, AuditLine, IssuedToken, Page, Whoami};
use naru_model::authorise::Permission;
use serde_json::Value;

use crate::arguments::people::{Audit, Form};
use crate::arguments::{Login, Token, TokenCreate};
use crate::client::Client;
use crate::commands::{encoded, more, query};
use crate::config::{self, Config};
use crate::exit::{CliError, Result, USAGE};
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn login(arguments: Login, screen: &mut Screen) -> Result<()> {
    if let Some(link) = &arguments.setup_link {
        let (url, setup_token) = take_apart(link)?;
        return set_up(&url, setup_token, arguments.name, screen).await;
    }
    let known = config::read(&screen.outside)?.url;
    let url = arguments.url.or_else(|| screen.outside.variable("NARU_URL").map(str::to_owned)).or(known);
    let url = url.ok_or_else(crate::client::not_logged_in)?;
    if arguments.token_stdin {
        let token = screen.outside.secret_text("Token")?.trim().to_owned();
        let client = Client::new(&screen.outside, &url, Some(token.clone()))?;
        let who = client.get::<Whoami>("/api/v1/whoami").await?.view;
        return remember(screen, &client, token, &who.login);
    }
    let client = Client::new(&screen.outside, &url, None)?;
    let login = match arguments.name {
        Some(login) => login,
        None => screen.outside.line("Login")?,
    };
    let password = screen.outside.secret_line("Password")?;
    let code = screen.outside.secret_line("Code of the second factor (Enter without one)")?;
    let code = (!code.is_empty()).then_some(code);
    let wish = api::Login { login, password, code, label: Some(label(screen)) };
    let issued = client.post::<IssuedToken>("/api/v1/login", &wish).await?.view;
    remember(screen, &client, issued.token, &issued.login)
}

async fn set_up(url: &str, setup_token: String, login: Option<String>, screen: &mut Screen) -> Result<()> {
    let client = Client::new(&screen.outside, url, None)?;
    let login = match login {
        Some(login) => login,
        None => screen.outside.line("Login of the first administrator")?,
    };
    let password = new_password(screen)?;
    let wish = api::Setup { setup_token, login, password };
    let issued = client.post::<IssuedToken>("/api/v1/setup", &wish).await?.view;
    remember(screen, &client, issued.token, &issued.login)
}

/// A password that is to be set, asked for twice.
pub(crate) fn new_password(screen: &mut Screen) -> Result<String> {
    let password = screen.outside.secret_line("Password (10 characters or more)")?;
    if screen.outside.asks && screen.outside.secret_line("The same password again")? != password {
        let problem =
            Problem::new("cli.passwords-differ", "the two passwords differ").state("nothing was changed");
        return Err(problem.into());
    }
    Ok(password)
}

/// `http://host/setup?token=…` → the server and the token.
fn take_apart(link: &str) -> Result<(String, String)> {
    let parts = link.trim().split_once("/setup?token=").filter(|(_, token)| !token.is_empty());
    let (url, token) = parts.ok_or_else(|| {
        let problem = Problem::new("cli.setup-link", "this is not a setup link")
            .cause("expected what the first start printed, such as http://127.0.0.1:7070/setup?token=…");
        CliError::new(USAGE, problem)
    })?;
    Ok((url.to_owned(), token.to_owned()))
}

/// What a token of this machine is called.
fn label(screen: &Screen) -> String {
    let host = screen.outside.variable("HOSTNAME").unwrap_or("command line");
    let label: String = host.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("login from {label}")
}

pub(crate) fn remember(screen: &mut Screen, client: &Client, token: String, login: &str) -> Result<()> {
    let config =
        Config { url: Some(client.base().to_owned()), token: Some(token), login: Some(login.to_owned()) };
    let file = config::write(&screen.outside, &config)?;
    screen.note(format!("logged in to {} as {login}; the token is in {}", client.base(), file.display()));
    Ok(())
}

pub(crate) async fn logout(screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    // A token that is not valid any more is forgotten all the same.
    let done = client.post::<Value>("/api/v1/logout", &serde_json::json!({})).await;
    let mut config = config::read(&screen.outside)?;
    config.token = None;
    config.login = None;
    config::write(&screen.outside, &config)?;
    match done {
        Err(error) if error.exit != crate::exit::DENIED => Err(error),
        _ => {
            screen.note(format!("logged out of {}", client.base()));
            Ok(())
        }
    }
}

pub(crate) async fn whoami(screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    let answer = client.get::<Whoami>("/api/v1/whoami").await?;
    screen.show(&answer, |screen, who| screen.line(format!("{} at {}", who.login, client.base())));
    Ok(())
}

pub(crate) async fn token(command: Token, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Token::Create(new) => create_token(new, &client, screen).await,
        Token::List(paging) => {
            let answer = client.get::<Page<api::Token>>(&format!("/api/v1/tokens{}", query(&paging))).await?;
            screen.show(&answer, tokens);
            Ok(())
        }
        Token::Revoke { id } => {
            client.delete::<Value>(&format!("/api/v1/tokens/{}", encoded(&id))).await?;
            screen.note(format!("token {id} is revoked"));
            Ok(())
        }
    }
}

async fn create_token(new: TokenCreate, client: &Client, screen: &mut Screen) -> Result<()> {
    let permissions = match (&new.project, new.permission.is_empty()) {
        (Some(_), true) => vec![Permission::Read],
        _ => new.permission,
    };
    let wish = api::NewToken {
        label: new.label,
        project: new.project,
        environment: new.environment,
        permissions,
        lasts_seconds: new.lasts.map(|lasts| lasts.as_secs()),
    };
    let answer = client.post::<IssuedToken>("/api/v1/tokens", &wish).await?;
    screen.show(&answer, |screen, issued| {
        screen.note("shown once, copy it now:");
        screen.line(&issued.token);
    });
    Ok(())
}

fn tokens(screen: &mut Screen, page: &Page<api::Token>) {
    let rows: Vec<_> = page.items.iter().map(|token| token_row(screen, token)).collect();
    screen.table(
        &["id", "label", "opens", "state", "last used"],
        &rows,
        "no tokens; make one with: naru token create <label>",
    );
    more(screen, page);
}

fn token_row(screen: &Screen, token: &api::Token) -> Vec<String> {
    let now = screen.outside.clock.now();
    let state = if token.revoked_at.is_some() {
        screen.state(Tone::Quiet, "revoked")
    } else if token.expires_at.is_some_and(|end| end <= now) {
        screen.state(Tone::Quiet, "ended")
    } else {
        screen.state(Tone::Good, "valid")
    };
    let opens = match (&token.project, &token.environment) {
        (None, _) => "everything".to_owned(),
        (Some(project), None) => project.to_string(),
        (Some(project), Some(environment)) => format!("{project} in {environment}"),
    };
    let words: Vec<&str> = token.permissions.iter().map(|permission| permission.word()).collect();
    let opens = if words.is_empty() { opens } else { format!("{opens}: {}", words.join(", ")) };
    let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| screen.time(at));
    vec![token.id.clone(), token.label.clone(), opens, state, used]
}

pub(crate) async fn audit(arguments: &Audit, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    let which = filter(arguments);
    if let Some(form) = arguments.export {
        let form = if form == Form::Csv { "csv" } else { "ndjson" };
        let text = client.text(&format!("/api/v1/audit/export?format={form}{which}")).await?;
        screen.line(text.trim_end());
        return Ok(());
    }
    let path = format!("/api/v1/audit{}{which}", query(&arguments.paging));
    let answer = client.get::<Page<AuditLine>>(&path).await?;
    screen.show(&answer, |screen, page| {
        let row = |line: &AuditLine| {
            vec![
                screen.time(line.at),
                line.login.clone(),
                line.action.clone(),
                line.target.clone(),
                line.result.clone(),
                line.address.clone(),
                line.detail.clone(),
            ]
        };
        let rows: Vec<_> = page.items.iter().map(row).collect();
        screen.table(
            &["when", "who", "what", "on", "result", "from", "detail"],
            &rows,
            "nothing was changed yet",
        );
        more(screen, page);
    });
    Ok(())
}

/// `&login=…&action=…`.
fn filter(arguments: &Audit) -> String {
    let given = [
        ("login", arguments.login.clone()),
        ("action", arguments.action.clone()),
        ("project", arguments.project.as_ref().map(ToString::to_string)),
        ("result", arguments.result.clone()),
        ("since", arguments.since.map(|at| at.to_string())),
        ("until", arguments.until.map(|at| at.to_string())),
    ];
    let mut query = String::new();
    for (name, value) in given {
        if let Some(value) = value {
            query.extend(["&", name, "=", &encoded(&value)]);
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_link_is_a_server_and_a_token() {
        let (url, token) = take_apart("http://127.0.0.1:7070/setup?token=setup_ab_cd\n").unwrap();
        assert_eq!((url.as_str(), token.as_str()), ("http://127.0.0.1:7070", "setup_ab_cd"));
        for bad in ["", "http://127.0.0.1:7070", "http://127.0.0.1:7070/setup?token="] {
            assert_eq!(take_apart(bad).unwrap_err().exit, USAGE, "{bad}");
        }
    }
}
