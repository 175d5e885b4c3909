//! Which programs must be on the machine, which Debian package brings each, and installing what is missing.
//!
//! The list itself is `xtask/tools.txt`, shared with `.ci/run`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::command;

const LIST: &str = include_str!("../tools.txt");

/// One program of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) purpose: &'static str,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Demo,
    Test,
}

/// The tools of a purpose, in the list's order.
pub(crate) fn needed(by: For) -> Vec<Tool> {
    let word = match by {
        For::Demo => "demo",
        For::Test => "test",
    };
    LIST.lines().filter_map(|line| parse(line, word)).collect()
}

/// The tools of a purpose that this machine does not have.
pub(crate) fn missing(by: For) -> Vec<Tool> {
    needed(by).into_iter().filter(|tool| !present(tool.program)).collect()
}

/// The line that installs tools on Debian.
pub(crate) fn install_line(tools: &[Tool]) -> String {
    let mut packages: Vec<&str> = tools.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    format!("apt-get install -y --no-install-recommends {}", packages.join(" "))
}

/// Makes sure that nothing is missing: installs it with one line that is shown, or, with `install` false or
/// on a system without apt-get, says what to install and fails.
pub(crate) fn ensure(root: &Path, by: For, install: bool) -> Result<()> {
    let missing = missing(by);
    if missing.is_empty() {
        return Ok(());
    }
    for tool in &missing {
        println!("missing: {:<14} {}", short(tool.program), tool.purpose);
    }
    let line = install_line(&missing);
    if !present("apt-get") {
        bail!(
            "this is not a Debian system: install what is listed above with its own package manager, then run again"
        );
    }
    println!("\n  {line}\n");
    if !install {
        bail!("nothing was installed; run the line above, then run again");
    }
    command::run(command::program("apt-get", root).args(["update", "-q"]))?;
    let mut words = line.split(' ');
    let mut apt = command::program(words.next().unwrap_or("apt-get"), root);
    command::run(apt.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Whether a program is on the path (or, when it is an absolute path, exists).
pub(crate) fn present(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = command::variable("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

fn short(program: &'static str) -> &'static str {
    program.rsplit('/').next().unwrap_or(program)
}

fn parse(line: &'static str, word: &str) -> Option<Tool> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    let mut next = || {
        let trimmed = rest.trim_start();
        let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
        let (first, after) = trimmed.split_at(end);
        rest = after;
        first
    };
    let (program, package, by) = (next(), next(), next());
    by.split(',').any(|one| one == word).then(|| Tool { program, package, purpose: rest.trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_whole() {
        for tool in needed(For::Test) {
            assert!(!tool.package.is_empty() && !tool.purpose.is_empty(), "{tool:?}");
        }
        assert!(needed(For::Demo).len() < needed(For::Test).len());
    }

    #[test]
    fn one_line_installs_everything_once() {
        let tool = Tool { program: "podman", package: "podman", purpose: "" };
        assert_eq!(install_line(&[tool, tool]), "apt-get install -y --no-install-recommends podman");
    }
}
