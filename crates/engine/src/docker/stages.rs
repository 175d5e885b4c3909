//! Making values known to every step of a Dockerfile and not to the image: an `ARG` after each `FROM`. Pure.
//!
//! Podman 4's `build --env` reaches the image only, and its steps not at all; arguments reach the steps that declare
//! them, and nothing else.

/// The Dockerfile with an `ARG` of these names at the start of every stage that runs something. Others need none, and each
/// `ARG` costs a layer.
pub(super) fn with_arguments(dockerfile: &str, names: &[&str]) -> String {
    let declaration = format!("ARG {}\n", names.join(" "));
    let escape = escape_character(dockerfile);
    let mut text = String::with_capacity(dockerfile.len() + 4 * declaration.len());
    // Where the declaration of the stage at hand would stand, until it is needed.
    let mut stage: Option<usize> = None;
    let mut instruction = Instruction::None;
    for line in dockerfile.lines() {
        text.push_str(line);
        text.push('\n');
        let content = line.trim();
        // Comments and empty lines stand between instructions, and within one that goes on.
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if instruction == Instruction::None {
            instruction = Instruction::of(content);
            if instruction == Instruction::Run
                && let Some(at) = stage.take()
            {
                text.insert_str(at, &declaration);
            }
        }
        if content.ends_with(escape) {
            continue;
        }
        if instruction == Instruction::From {
            stage = Some(text.len());
        }
        instruction = Instruction::None;
    }
    text
}

/// What the lines at hand belong to.
#[derive(PartialEq, Eq)]
enum Instruction {
    None,
    From,
    Run,
    Other,
}

impl Instruction {
    fn of(line: &str) -> Self {
        let word = line.split_whitespace().next().unwrap_or_default();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => Self::From,
            "RUN" => Self::Run,
            _ => Self::Other,
        }
    }
}

/// The character that continues a line: a backslash, unless the file's first comments say otherwise.
fn escape_character(dockerfile: &str) -> char {
    dockerfile
        .lines()
        .map_while(|line| line.trim().strip_prefix('#'))
        .filter_map(|comment| comment.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("escape"))
        .and_then(|(_, value)| value.trim().chars().next())
        .unwrap_or('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_run_something_declare_the_arguments_and_nothing_else_changes() {
        let dockerfile = "# FROM nothing\nARG BASE=debian\nfrom $BASE AS build\nENV A=1\nrun echo \\\n# FROM inside\nFROM \\\n  && true\nRUN b\n\
                          FROM --platform=linux/amd64 \\\n\n  scratch\nCOPY --from=build /a /a\n# RUN nothing\nFROM c\nRUN d";
        assert_eq!(
            with_arguments(dockerfile, &["A", "B"]),
            "# FROM nothing\nARG BASE=debian\nfrom $BASE AS build\nARG A B\nENV A=1\nrun echo \\\n# FROM inside\nFROM \\\n  && true\nRUN b\n\
             FROM --platform=linux/amd64 \\\n\n  scratch\nCOPY --from=build /a /a\n# RUN nothing\nFROM c\nARG A B\nRUN d\n"
        );
    }

    #[test]
    fn the_escape_directive_is_followed() {
        let dockerfile = "# escape=`\nARG a `\nFROM b\nFROM c\\\nRUN d";
        assert_eq!(
            with_arguments(dockerfile, &["A"]),
            "# escape=`\nARG a `\nFROM b\nFROM c\\\nARG A\nRUN d\n"
        );
    }
}
