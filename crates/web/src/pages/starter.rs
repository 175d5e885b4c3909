//! What a project can begin with: the files of its first commit, with a `naru.yaml` that says what was wished.

use std::fmt::Write as _;

use naru_model::definition::{Count, Host, Port, RepositoryFiles, read};
use naru_model::{BranchName, Problem};

/// What a project can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Empty,
    Files,
    Docker,
}

/// What `naru.yaml` shall say besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) host: Option<Host>,
    pub(super) port: Option<Port>,
    pub(super) replicas: Option<Count>,
}

/// Path and content.
pub(super) type File = (&'static str, String);

impl Start {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "static" => Self::Files,
            "docker" => Self::Docker,
            _ => Self::Empty,
        }
    }

    /// The files of its first commit; none for an empty repository.
    pub(super) fn files(self, wishes: &Wishes, branch: &BranchName) -> Result<Vec<File>, Problem> {
        let mut files: Vec<File> = match self {
            Self::Empty => return Ok(Vec::new()),
            Self::Files => vec![
                ("index.html", include_str!("../../starters/static/index.html").to_owned()),
                ("style.css", include_str!("../../starters/static/style.css").to_owned()),
            ],
            Self::Docker => vec![
                ("Dockerfile", include_str!("../../starters/docker/Dockerfile").to_owned()),
                ("src/main.rs", include_str!("../../starters/docker/src/main.rs").to_owned()),
            ],
        };
        if let Some(text) = self.definition(wishes, branch) {
            // What a push would be refused for is refused here, with the same words.
            read(Some(&text), &self.found())?;
            files.insert(1, ("naru.yaml", text));
        }
        Ok(files)
    }

    /// What a push of these files would find.
    fn found(self) -> RepositoryFiles {
        match self {
            Self::Empty => RepositoryFiles::default(),
            Self::Files => RepositoryFiles { static_files: ".".parse().ok(), ..RepositoryFiles::default() },
            Self::Docker => RepositoryFiles {
                dockerfile: Some(include_str!("../../starters/docker/Dockerfile").to_owned()),
                ..RepositoryFiles::default()
            },
        }
    }

    /// The text of `naru.yaml`; static files need none when nothing is wished.
    fn definition(self, wishes: &Wishes, branch: &BranchName) -> Option<String> {
        let mut service = Vec::new();
        match self {
            Self::Empty => return None,
            Self::Docker => {
                service.push("build: { dockerfile: Dockerfile }".to_owned());
                service.push(format!("port: {}", wishes.port.unwrap_or(Port::DEFAULT).get()));
                service.push("health: /healthz".to_owned());
            }
            Self::Files if wishes.replicas.is_some() => service.push("build: { static: . }".to_owned()),
            Self::Files => {}
        }
        service.extend(wishes.replicas.map(|count| format!("replicas: {}", count.get())));
        let mut text = String::new();
        // Writing to a String does not fail.
        if !service.is_empty() {
            let _ = writeln!(text, "service: {{ {} }}", service.join(", "));
        }
        if let Some(host) = &wishes.host {
            let _ = writeln!(text, "environments:\n  production: {{ branch: {branch}, host: {host} }}");
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes {
        Wishes {
            host: "shop.example.com".parse().ok(),
            port: "3000".parse().ok(),
            replicas: "2".parse().ok(),
        }
    }

    #[test]
    fn what_was_wished_stands_in_the_file_and_can_be_read() {
        let main = "main".parse().unwrap();
        let text = |start: Start, wishes: &Wishes| {
            let files = start.files(wishes, &main).unwrap();
            files.into_iter().find(|(path, _)| *path == "naru.yaml").map(|(_, text)| text)
        };
        assert_eq!(
            text(Start::Docker, &wishes()).unwrap(),
            "service: { build: { dockerfile: Dockerfile }, port: 3000, health: /healthz, replicas: 2 }\n\
             environments:\n  production: { branch: main, host: shop.example.com }\n"
        );
        assert_eq!(
            text(Start::Docker, &Wishes::default()).unwrap(),
            "service: { build: { dockerfile: Dockerfile }, port: 8080, health: /healthz }\n"
        );
        assert_eq!(text(Start::Files, &Wishes::default()), None);
        assert!(
            text(Start::Files, &wishes())
                .unwrap()
                .starts_with("service: { build: { static: . }, replicas: 2 }")
        );
        assert_eq!(Start::Empty.files(&wishes(), &main).unwrap(), []);
    }
}
