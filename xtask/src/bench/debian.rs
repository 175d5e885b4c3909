//! Programs to compare with, from Debian's packages. They are downloaded and unpacked into the cache, not installed:
//! an installed daemon would start by itself and listen on every interface.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::demo::folders::Folders;
use crate::tools;

/// Where a program is: on the machine, or from packages that are fetched now, which is said. The first of them has it, the
/// others its libraries; see [`libraries`].
pub(super) fn program(folders: &Folders, name: &str, packages: &[&str], path: &str) -> Result<PathBuf> {
    for folder in ["/usr/sbin", "/usr/bin"] {
        let installed = Path::new(folder).join(name);
        if installed.is_file() {
            return Ok(installed);
        }
    }
    let unpacked = folders.cached(&format!("debian/{}", packages.join("+")));
    let program = unpacked.join(path);
    if program.is_file() {
        return Ok(program);
    }
    if !tools::present("apt-get") {
        bail!("{name} is compared with and is not here; install it with this system's package manager");
    }
    println!("fetching {name}:\n\n  apt-get download {}\n", packages.join(" "));
    let downloads = folders.file("downloads");
    fs::create_dir_all(&downloads)?;
    command::output(command::program("apt-get", &downloads).args(["update", "-q"]))?;
    fs::create_dir_all(&unpacked)?;
    for package in packages {
        command::output(command::program("apt-get", &downloads).args(["download", "-q", package]))?;
        let begin = format!("{package}_");
        let file = fs::read_dir(&downloads)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|file| file.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&begin)))
            .with_context(|| format!("apt-get downloaded no {package}"))?;
        command::output(command::program("dpkg-deb", &downloads).arg("--extract").args([&file, &unpacked]))?;
    }
    if program.is_file() { Ok(program) } else { bail!("{} holds no {path}", packages.join(" or ")) }
}

/// `LD_LIBRARY_PATH` for a program in `usr/bin`: where its libraries are when they were unpacked with it.
pub(super) fn libraries(program: &Path) -> String {
    let folders = program.parent().and_then(Path::parent).map(|usr| fs::read_dir(usr.join("lib")));
    let folders = folders.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    let folders = folders.filter(|folder| folder.to_string_lossy().ends_with("-linux-gnu"));
    folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}
