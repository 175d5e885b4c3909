//! Targets of the fuzzer (`fuzz/`): functions of bytes that panic when a promise is broken.

use crate::definition;
use crate::id::EnvironmentKey;
use crate::manifest::{self, Files};
use crate::problem::Problem;

/// `naru.yaml`: read or refused with words; what was read is written and read the same.
pub fn definition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match definition::parse(&text) {
        Err(problem) => is_told(&problem),
        Ok(read) => {
            let written = serde_json::to_string(&read).expect("a definition is plain data");
            // JSON is YAML.
            assert_eq!(definition::parse(&written).as_ref(), Ok(&read), "{written}");
        }
    }
}

/// A folder of the deploy repository, its files each behind a line `=== <name>`: read or refused with words; what was
/// read is rendered and read the same.
pub fn manifests(bytes: &[u8]) {
    match manifest::parse(&files(&String::from_utf8_lossy(bytes))) {
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(is_told);
        }
        Ok(spec) => {
            let environment = EnvironmentKey {
                project: "shop".parse().expect("a name"),
                environment: "production".parse().expect("a name"),
            };
            let rendered = manifest::render(&environment, &spec);
            assert_eq!(manifest::parse(&rendered).as_ref(), Ok(&manifest::canonical(&spec)), "{rendered:?}");
        }
    }
}

fn files(text: &str) -> Files {
    let parts = text.split("=== ").skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .map(|(name, content)| (name.to_owned(), content.to_owned()))
        .collect()
}

fn is_told(problem: &Problem) {
    assert!(!problem.code.is_empty() && !problem.summary.is_empty(), "{problem:?}");
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions() {
        replay::corpus("definition", 3_000, definition);
    }

    #[test]
    fn folders_of_manifests() {
        replay::corpus("manifests", 400, manifests);
    }
}
