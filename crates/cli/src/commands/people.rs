//! Organisations, members, invitations, roles, accounts and sessions.

use naru_model::Problem;
use naru_model::api::{
    self, Acceptance, AccountChange, InvitationToken, IssuedLink, IssuedToken, MemberRole, NewInvitation,
    NewOrganisation, OrganisationChange, OwnRole, Page, PasswordChange, PasswordReset, Protection,
    WantedRole,
};
use serde_json::{Value, json};

use crate::arguments::people::{
    Account, InOrganisation, Invitation, Member, Organisation, RoleCommand, RolePlace, Session, Totp,
};
use crate::client::Client;
use crate::commands::delivery::There;
use crate::commands::{account, encoded, more, query};
use crate::exit::{CliError, Result, USAGE};
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn organisation(command: Organisation, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Organisation::List { all } => {
            let path = if all { "/api/v1/organisations?all=true" } else { "/api/v1/organisations" };
            let answer = client.get::<Page<api::Organisation>>(path).await?;
            screen.show(&answer, |screen, page| {
                let row = |it: &api::Organisation| {
                    vec![it.name.to_string(), it.display_name.clone(), screen.time(it.created_at)]
                };
                let rows: Vec<_> = page.items.iter().map(row).collect();
                screen.table(&["name", "title", "since"], &rows, "you belong to no organisation");
                more(screen, page);
            });
        }
        Organisation::Create { name, title, owner } => {
            let wish = NewOrganisation { name, display_name: title, owner };
            let answer = client.post::<api::Organisation>("/api/v1/organisations", &wish).await?;
            screen
                .show(&answer, |screen, made| screen.line(format!("organisation `{}` is ready", made.name)));
        }
        Organisation::Rename { name, title } => {
            let change = OrganisationChange { display_name: title };
            client.put::<Value>(&format!("/api/v1/organisations/{name}"), &change).await?;
            screen.note(format!("organisation `{name}` has another title"));
        }
        Organisation::Delete { name } => {
            client.delete::<Value>(&format!("/api/v1/organisations/{name}")).await?;
            screen.note(format!("organisation `{name}` is gone"));
        }
    }
    Ok(())
}

fn below(place: &InOrganisation, rest: &str) -> String {
    format!("/api/v1/organisations/{}/{rest}", place.name())
}

pub(crate) async fn member(command: Member, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Member::List { place, paging } => {
            let path = format!("{}{}", below(&place, "members"), query(&paging));
            screen.show(&client.get::<Page<api::Member>>(&path).await?, members);
        }
        Member::Set { login, role, place } => {
            let path = below(&place, &format!("members/{}", encoded(&login)));
            client.put::<Value>(&path, &MemberRole { role }).await?;
            screen.note(format!("{login} is {role} in `{}`", place.name()));
        }
        Member::Remove { login, place } => {
            client.delete::<Value>(&below(&place, &format!("members/{}", encoded(&login)))).await?;
            screen.note(format!("{login} does not belong to `{}` any more", place.name()));
        }
        Member::Leave(place) => {
            client.post::<Value>(&below(&place, "leave"), &json!({})).await?;
            screen.note(format!("you do not belong to `{}` any more", place.name()));
        }
        Member::PasswordLink { login, place } => {
            let path = below(&place, &format!("members/{}/password-link", encoded(&login)));
            screen.show(&client.post::<IssuedLink>(&path, &json!({})).await?, issued);
        }
    }
    Ok(())
}

fn members(screen: &mut Screen, page: &Page<api::Member>) {
    let row = |it: &api::Member| {
        let state = if it.disabled {
            screen.state(Tone::Quiet, "disabled")
        } else {
            screen.state(Tone::Good, "active")
        };
        vec![it.login.clone(), it.display_name.clone(), it.role.to_string(), state, screen.time(it.added_at)]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(&["login", "name", "role", "state", "since"], &rows, "nobody belongs to it");
    more(screen, page);
}

fn issued(screen: &mut Screen, link: &IssuedLink) {
    screen.note("shown once, and it works once; give it to nobody else:");
    screen.line(&link.link);
}

/// `http://host/<page>?token=…` → the server and the token.
fn take_apart(link: &str) -> Result<(String, String)> {
    let parts = link.trim().split_once("?token=").filter(|(_, token)| !token.is_empty());
    let server = parts.and_then(|(page, token)| Some((page.rsplit_once('/')?.0, token)));
    let (url, token) = server.ok_or_else(|| {
        let problem = Problem::new("cli.link", "this is not a link of Naru")
            .cause("expected the whole link, such as http://127.0.0.1:7070/join?token=…");
        CliError::new(USAGE, problem)
    })?;
    Ok((url.to_owned(), token.to_owned()))
}

pub(crate) async fn invitation(command: Invitation, screen: &mut Screen) -> Result<()> {
    match command {
        Invitation::Accept { link, name } => return accept(&link, name, screen).await,
        Invitation::Join { link } => {
            let client = place::client(&screen.outside)?;
            let wish = InvitationToken { invitation: take_apart(&link)?.1 };
            let answer = client.post::<api::Invitation>("/api/v1/invitations/join", &wish).await?;
            screen.show(&answer, |screen, it| {
                screen.line(format!("you are {} in `{}`", it.role, it.organisation));
            });
        }
        Invitation::Create { role, address, lasts, place } => {
            let client = place::client(&screen.outside)?;
            let lasts_seconds = lasts.map(|lasts| lasts.as_secs());
            let wish = NewInvitation { role, address, lasts_seconds };
            screen.show(&client.post::<IssuedLink>(&below(&place, "invitations"), &wish).await?, issued);
        }
        Invitation::List(place) => {
            let client = place::client(&screen.outside)?;
            let answer = client.get::<Page<api::Invitation>>(&below(&place, "invitations")).await?;
            screen.show(&answer, invitations);
        }
        Invitation::Revoke { id, place } => {
            let client = place::client(&screen.outside)?;
            client.delete::<Value>(&below(&place, &format!("invitations/{}", encoded(&id)))).await?;
            screen.note(format!("invitation {id} is taken back"));
        }
    }
    Ok(())
}

fn invitations(screen: &mut Screen, page: &Page<api::Invitation>) {
    let now = screen.outside.clock.now();
    let row = |it: &api::Invitation| {
        let state = match &it.used_by {
            Some(login) => screen.state(Tone::Quiet, &format!("used by {login}")),
            None if it.expires_at <= now => screen.state(Tone::Quiet, "ended"),
            None => screen.state(Tone::Good, "open"),
        };
        vec![it.id.clone(), it.role.to_string(), it.address.clone(), it.invited_by.clone(), state]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(&["id", "role", "for", "by", "state"], &rows, "no invitations");
}

async fn accept(link: &str, name: Option<String>, screen: &mut Screen) -> Result<()> {
    let (url, invitation) = take_apart(link)?;
    let client = Client::new(&screen.outside, &url, None)?;
    let login = match name {
        Some(login) => login,
        None => screen.outside.line("Login of your new account")?,
    };
    let password = account::new_password(screen)?;
    let wish = Acceptance { invitation, login, password };
    let issued = client.post::<IssuedToken>("/api/v1/invitations/accept", &wish).await?.view;
    account::remember(screen, &client, issued.token, &issued.login)
}

pub(crate) async fn role(command: RoleCommand, screen: &mut Screen) -> Result<()> {
    match command {
        RoleCommand::List(place) => {
            let client = place::client(&screen.outside)?;
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let answer = client.get::<Page<OwnRole>>(&format!("/api/v1/projects/{project}/roles")).await?;
            screen.show(&answer, |screen, page| {
                let row = |it: &OwnRole| {
                    let environment = it.environment.as_ref().map_or("(all)", |name| name.as_str());
                    vec![it.login.clone(), environment.to_owned(), it.role.to_string()]
                };
                let rows: Vec<_> = page.items.iter().map(row).collect();
                screen.table(&["login", "environment", "role"], &rows, "the organisation's roles count");
            });
        }
        RoleCommand::Set { login, role, place } => {
            let (client, path) = role_path(&place, &login, screen)?;
            client.put::<Value>(&path, &WantedRole { role }).await?;
            screen.note(format!("{login} is {role} there"));
        }
        RoleCommand::Unset { login, place } => {
            let (client, path) = role_path(&place, &login, screen)?;
            client.delete::<Value>(&path).await?;
            screen.note(format!("the wider role of {login} counts again"));
        }
        RoleCommand::Protect { place, off } => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/protection", there.path());
            there.client.put::<Protection>(&path, &Protection { protected: !off }).await?;
            let word = if off { "not protected any more" } else { "protected" };
            screen.note(format!("`{}` is {word}", there.environment));
        }
    }
    Ok(())
}

fn role_path(place: &RolePlace, login: &str, screen: &Screen) -> Result<(Client, String)> {
    let client = place::client(&screen.outside)?;
    let project = place::project(&screen.outside, place.project.project.as_ref())?;
    let login = encoded(login);
    let path = match &place.environment {
        Some(environment) => format!("/api/v1/projects/{project}/environments/{environment}/roles/{login}"),
        None => format!("/api/v1/projects/{project}/roles/{login}"),
    };
    Ok((client, path))
}

pub(crate) async fn account(command: Account, screen: &mut Screen) -> Result<()> {
    if let Account::Reset { link } = &command {
        return reset(link, screen).await;
    }
    let client = place::client(&screen.outside)?;
    match command {
        Account::List(paging) => {
            let path = format!("/api/v1/accounts{}", query(&paging));
            screen.show(&client.get::<Page<api::Account>>(&path).await?, accounts);
        }
        Account::Disable { login } => {
            change(&client, &login, AccountChange { disabled: Some(true), administrator: None }).await?;
            screen.note(format!("nobody can log in as {login} any more"));
        }
        Account::Enable { login } => {
            change(&client, &login, AccountChange { disabled: Some(false), administrator: None }).await?;
            screen.note(format!("{login} can log in again"));
        }
        Account::Administrator { login, off } => {
            change(&client, &login, AccountChange { disabled: None, administrator: Some(!off) }).await?;
            let word = if off { "may not change the instance any more" } else { "may change the instance" };
            screen.note(format!("{login} {word}"));
        }
        Account::PasswordLink { login } => {
            let path = format!("/api/v1/accounts/{}/password-link", encoded(&login));
            screen.show(&client.post::<IssuedLink>(&path, &json!({})).await?, issued);
        }
        Account::Password => {
            let current = screen.outside.secret_line("Password until now")?;
            let new = account::new_password(screen)?;
            let wish = PasswordChange { current, new };
            client.put::<Value>("/api/v1/account/password", &wish).await?;
            screen.note("the password is changed; your other sessions have ended, tokens go on");
        }
        Account::Totp(command) => return totp(command, &client, screen).await,
        Account::Reset { .. } => {}
    }
    Ok(())
}

async fn totp(command: Totp, client: &Client, screen: &mut Screen) -> Result<()> {
    match command {
        Totp::Status => {
            let answer = client.get::<api::Totp>("/api/v1/account/totp").await?;
            screen.show(&answer, |screen, totp| {
                screen.line(match (totp.on, totp.begun) {
                    (true, _) => format!("on, {} recovery codes are left", totp.recovery_codes),
                    (false, true) => "off; one was begun and waits for: naru account totp confirm".to_owned(),
                    (false, false) => "off; set one up with: naru account totp begin".to_owned(),
                });
            });
        }
        Totp::Begin => {
            let password = screen.outside.secret_line("Password")?;
            let wish = api::Confirmation { password };
            let answer = client.post::<api::NewTotp>("/api/v1/account/totp/begin", &wish).await?;
            screen.show(&answer, |screen, new| {
                screen.note("give this to your authenticator, then: naru account totp confirm");
                screen.line(&new.secret);
                screen.line(&new.link);
            });
        }
        Totp::Confirm => {
            let code = screen.outside.secret_line("Code that the authenticator shows")?;
            let wish = api::TotpCode { code };
            let answer = client.post::<api::RecoveryCodes>("/api/v1/account/totp/confirm", &wish).await?;
            screen.show(&answer, |screen, made| {
                screen.note("the second factor is on; your browsers are logged out");
                screen
                    .note("each of these logs in once without the authenticator; shown once, keep them now:");
                for code in &made.codes {
                    screen.line(code);
                }
            });
        }
        Totp::Off => {
            let password = screen.outside.secret_line("Password")?;
            client.post::<Value>("/api/v1/account/totp/off", &api::Confirmation { password }).await?;
            screen.note("the second factor is off, and its recovery codes are gone");
        }
        Totp::Reset { login } => {
            client.delete::<Value>(&format!("/api/v1/accounts/{}/totp", encoded(&login))).await?;
            screen
                .note(format!("{login} logs in with the password only, until a new second factor is set up"));
        }
    }
    Ok(())
}

async fn change(client: &Client, login: &str, change: AccountChange) -> Result<()> {
    client.put::<Value>(&format!("/api/v1/accounts/{}", encoded(login)), &change).await?;
    Ok(())
}

async fn reset(link: &str, screen: &mut Screen) -> Result<()> {
    let (url, link) = take_apart(link)?;
    let client = Client::new(&screen.outside, &url, None)?;
    let password = account::new_password(screen)?;
    client.post::<Value>("/api/v1/password-reset", &PasswordReset { link, password }).await?;
    screen.note(format!("the password is set; log in with: naru login {url}"));
    Ok(())
}

fn accounts(screen: &mut Screen, page: &Page<api::Account>) {
    let row = |it: &api::Account| {
        let state = match it.disabled_at {
            Some(_) => screen.state(Tone::Quiet, "disabled"),
            None => screen.state(Tone::Good, "active"),
        };
        let office = if it.administrator { "administrator" } else { "" };
        vec![it.login.clone(), it.display_name.clone(), office.to_owned(), state, screen.time(it.created_at)]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(&["login", "name", "instance", "state", "since"], &rows, "there is no account");
    more(screen, page);
}

pub(crate) async fn session(command: Session, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Session::List => {
            let answer = client.get::<Page<api::Session>>("/api/v1/sessions").await?;
            screen.show(&answer, |screen, page| {
                let row = |it: &api::Session| {
                    let seen = it.last_seen_at.map_or_else(|| "never".to_owned(), |at| screen.time(at));
                    vec![it.id.clone(), it.user_agent.clone(), it.address.clone(), seen]
                };
                let rows: Vec<_> = page.items.iter().map(row).collect();
                screen.table(&["id", "browser", "from", "last seen"], &rows, "no browser is logged in");
            });
        }
        Session::End { id } => {
            client.delete::<Value>(&format!("/api/v1/sessions/{}", encoded(&id))).await?;
            screen.note(format!("session {id} has ended"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_server_and_a_token() {
        let (url, token) = take_apart("http://127.0.0.1:7070/join?token=invite_ab_cd\n").unwrap();
        assert_eq!((url.as_str(), token.as_str()), ("http://127.0.0.1:7070", "invite_ab_cd"));
        for bad in ["", "http://127.0.0.1:7070/join", "http://127.0.0.1:7070/join?token=", "x?token=y"] {
            assert_eq!(take_apart(bad).unwrap_err().exit, USAGE, "{bad}");
        }
    }
}
