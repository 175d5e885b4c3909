//! The demo's administrator: made once through the setup link, kept in files that only this user reads.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::api::Api;
use super::folders::Folders;

const LOGIN: &str = "admin";

/// Signs in with what an earlier demo kept, else makes the administrator.
pub(crate) fn sign_in(api: Api, folders: &Folders) -> Result<Api> {
    let kept = folders.file("token");
    if let Ok(token) = fs::read_to_string(&kept) {
        let api = api.with_token(token.trim().to_owned());
        api.get("projects").context("the token of the earlier demo is not accepted any more")?;
        return Ok(api);
    }
    let link = fs::read_to_string(folders.data().join("setup-link")).context("there is no setup link")?;
    let (_, link_token) = link.trim().split_once("token=").context("the setup link has no token")?;
    let password = random()?;
    let token = api.set_up(link_token, LOGIN, &password)?;
    write_private(&folders.file("credentials"), &format!("login: {LOGIN}\npassword: {password}\n"))?;
    write_private(&folders.file("git-credentials"), &git_credential(api.base(), &token))?;
    write_private(&kept, &token)?;
    Ok(api.with_token(token))
}

/// Shows login and password the first time; later only where they are.
pub(crate) fn show_once(folders: &Folders) -> Result<()> {
    let path = folders.file("credentials");
    let shown = folders.file("credentials-shown");
    if shown.exists() {
        println!("Login and password are in {}\n", path.display());
    } else {
        println!("Shown once, kept in {}:\n{}", path.display(), fs::read_to_string(&path)?);
        fs::write(shown, "")?;
    }
    Ok(())
}

/// A line of git's credential file: tokens are passwords there.
fn git_credential(base: &str, token: &str) -> String {
    let host = base.strip_prefix("http://").unwrap_or(base);
    format!("http://{LOGIN}:{token}@{host}\n")
}

/// 128 random bits as text.
fn random() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
