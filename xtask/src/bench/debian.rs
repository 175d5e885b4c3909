//! Programs to compare with, from Debian's packages. They are downloaded and unpacked into the cache, not installed:
//! an installed daemon would start by itself and listen on every interface.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::demo::folders::Folders;
use crate::tools;

/// Where a program is: on the machine, or from a package that is fetched now, which is said.
pub(super) fn program(folders: &Folders, name: &str, package: &str, path: &str) -> Result<PathBuf> {
    for folder in ["/usr/sbin", "/usr/bin"] {
        let installed = Path::new(folder).join(name);
        if installed.is_file() {
            return Ok(installed);
        }
    }
    let unpacked = folders.cached(&format!("debian/{package}"));
    let program = unpacked.join(path);
    if program.is_file() {
        return Ok(program);
    }
    if !tools::present("apt-get") {
        bail!("{name} is compared with and is not here; install it with this system's package manager");
    }
    println!("fetching {name}:\n\n  apt-get download {package}\n");
    let downloads = folders.file("downloads");
    fs::create_dir_all(&downloads)?;
    command::output(command::program("apt-get", &downloads).args(["update", "-q"]))?;
    command::output(command::program("apt-get", &downloads).args(["download", "-q", package]))?;
    let file = fs::read_dir(&downloads)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|file| file.file_name().is_some_and(|file| file.to_string_lossy().starts_with(package)))
        .with_context(|| format!("apt-get downloaded no {package}"))?;
    fs::create_dir_all(&unpacked)?;
    command::output(command::program("dpkg-deb", &downloads).arg("--extract").args([&file, &unpacked]))?;
    if program.is_file() { Ok(program) } else { bail!("{package} holds no {path}") }
}
