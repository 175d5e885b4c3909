//! The user's file: which server, and the token for it. Readable by its owner only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use naru_model::Problem;
use serde::{Deserialize, Serialize};

use crate::outside::Outside;

/// What is remembered between commands.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The server's base URL.
    pub(crate) url: Option<String>,
    /// The token for that server.
    pub(crate) token: Option<String>,
    /// Whose token it is.
    pub(crate) login: Option<String>,
}

/// `$NARU_CONFIG`, else `naru/config.toml` in the user's configuration folder.
pub(crate) fn file(outside: &Outside) -> Result<PathBuf, Problem> {
    if let Some(file) = outside.variable("NARU_CONFIG") {
        return Ok(PathBuf::from(file));
    }
    let folder = outside
        .variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| outside.variable("HOME").map(|home| Path::new(home).join(".config")));
    folder.map(|folder| folder.join("naru").join("config.toml")).ok_or_else(|| {
        Problem::new("cli.config", "the user's folder is not known")
            .cause("neither HOME nor XDG_CONFIG_HOME is set")
            .hint("set NARU_CONFIG to a file, or NARU_URL and NARU_TOKEN")
    })
}

/// What is remembered; nothing when there is no file.
pub(crate) fn read(outside: &Outside) -> Result<Config, Problem> {
    let Ok(file) = file(outside) else { return Ok(Config::default()) };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(unusable(&file, &error)),
    };
    toml::from_str(&text).map_err(|error| unusable(&file, &error.message()))
}

/// Remembers: written beside and renamed, so that the token is never in a file that others can read.
pub(crate) fn write(outside: &Outside, config: &Config) -> Result<PathBuf, Problem> {
    let file = file(outside)?;
    let refuse = |error: std::io::Error| unusable(&file, &error);
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(refuse)?;
    let text = toml::to_string(config).map_err(|error| unusable(&file, &error))?;
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let mut new = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(refuse)?;
    new.set_permissions(fs::Permissions::from_mode(0o600)).map_err(refuse)?;
    new.write_all(text.as_bytes()).map_err(refuse)?;
    new.sync_all().map_err(refuse)?;
    fs::rename(&beside, &file).map_err(refuse)?;
    Ok(file)
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("cli.config", format!("{} cannot be used", file.display()))
        .cause(error.to_string())
        .hint("mend or remove it, then log in again:")
        .command("naru login")
}
