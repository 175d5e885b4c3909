//! From the files of a commit to a checked definition.

use super::document::Node;
use super::fault::{Fault, problem};
use super::service::{Build, Service};
use super::{FILE_NAME, Port, ProjectDefinition, RelativePath, check, decode};
use crate::Problem;

/// What a repository without services in its `naru.yaml` is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositoryFiles {
    /// The text of `Dockerfile` in the root.
    pub dockerfile: Option<String>,
    /// The folder that has an `index.html`: the root or `public`.
    pub static_files: Option<RelativePath>,
}

/// Reads the text of a `naru.yaml` that names its services.
pub fn parse(text: &str) -> Result<ProjectDefinition, Problem> {
    read(Some(text), &RepositoryFiles::default())
}

/// A definition from what the repository has: the text of its `naru.yaml`, if there is one, completed with a service
/// `web` made from its Dockerfile or its static files when the file names none.
pub fn read(text: Option<&str>, files: &RepositoryFiles) -> Result<ProjectDefinition, Problem> {
    let root = text.map(Node::read).transpose().map_err(|fault| invalid(vec![fault]))?;
    let mut definition = match &root {
        Some(root) => decode::decode(root).map_err(invalid)?,
        None => ProjectDefinition::default(),
    };
    if definition.services.is_empty() {
        match infer(files) {
            Some(service) => {
                let name = decode::ONLY_SERVICE.parse().expect("a valid name");
                definition.services.insert(name, service);
            }
            None if root.is_none() => return Err(nothing_to_build()),
            None => {}
        }
    }
    for service in definition.services.values_mut() {
        if service.build.as_ref().is_some_and(|build| build.static_files.is_some()) {
            service.port.get_or_insert(Port::STATIC);
        }
    }
    let alone = root
        .as_ref()
        .and_then(Node::entries)
        .is_some_and(|keys| keys.iter().any(|(k, _)| k.text == "service"));
    let with_lines = |mut faults: Vec<Fault>| {
        for fault in &mut faults {
            fault.line = root.as_ref().map_or(0, |root| root.line_of(&fault.path));
        }
        faults
    };
    let faults = check::check(&definition, alone);
    if !faults.is_empty() {
        return Err(invalid(with_lines(faults)));
    }
    let later = check::later(&definition, alone);
    if !later.is_empty() {
        return Err(not_yet(with_lines(later)));
    }
    Ok(definition)
}

/// A service made from what is there.
fn infer(files: &RepositoryFiles) -> Option<Service> {
    if let Some(dockerfile) = &files.dockerfile {
        return Some(Service::built(Build::default(), exposed_port(dockerfile).unwrap_or(Port::DEFAULT)));
    }
    let folder = files.static_files.clone()?;
    Some(Service::built(Build { static_files: Some(folder), ..Build::default() }, Port::STATIC))
}

/// The first port of the last `EXPOSE` line of a Dockerfile.
fn exposed_port(dockerfile: &str) -> Option<Port> {
    let exposed = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let word = words.next().filter(|word| word.eq_ignore_ascii_case("expose")).and(words.next())?;
        word.strip_suffix("/tcp").unwrap_or(word).parse().ok()
    };
    dockerfile.lines().rev().find_map(exposed)
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let what = match faults.len() {
        1 => format!("{FILE_NAME} has a mistake"),
        many => format!("{FILE_NAME} has {many} mistakes"),
    };
    problem("definition.invalid", &what, faults)
        .hint("correct the file and push again; every key is described in docs/reference/naru-yaml.md")
}

fn not_yet(faults: Vec<Fault>) -> Problem {
    problem(
        "definition.not-yet",
        &format!("{FILE_NAME} asks for what this version of Naru does not do yet"),
        faults,
    )
    .hint("remove these keys and push again")
}

fn nothing_to_build() -> Problem {
    Problem::new("definition.nothing-to-build", "the repository has nothing that can be deployed as it is")
        .cause(format!("no {FILE_NAME}, no Dockerfile and no index.html in its root"))
        .state("nothing was built or changed; what serves keeps serving")
        .hint("add a Dockerfile, an index.html, or a naru.yaml that says how to build a service, and push again")
}
