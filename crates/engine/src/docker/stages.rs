//! Making values known to every step of a Dockerfile and not to the image: an `ARG` after each `FROM`. Pure.
//!
//! Podman 4's `build --env` reaches the image only, and its steps not at all; arguments reach the steps that declare
//! them, and nothing else.

/// The Dockerfile with an `ARG` of these names at the start of every stage.
pub(super) fn with_arguments(dockerfile: &str, names: &[&str]) -> String {
    let declaration = format!("ARG {}\n", names.join(" "));
    let escape = escape_character(dockerfile);
    let mut text = String::with_capacity(dockerfile.len() + 4 * declaration.len());
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
            let word = content.split_whitespace().next().unwrap_or_default();
            instruction =
                if word.eq_ignore_ascii_case("FROM") { Instruction::From } else { Instruction::Other };
        }
        if content.ends_with(escape) {
            continue;
        }
        if instruction == Instruction::From {
            text.push_str(&declaration);
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
    Other,
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
    fn every_stage_declares_the_arguments_and_nothing_else_changes() {
        let dockerfile = "# FROM nothing\nARG BASE=debian\nfrom $BASE AS build\nRUN echo \\\n# FROM inside\nFROM \\\n  && true\n\
                          FROM --platform=linux/amd64 \\\n\n  scratch\nCOPY --from=build /a /a";
        assert_eq!(
            with_arguments(dockerfile, &["A", "B"]),
            "# FROM nothing\nARG BASE=debian\nfrom $BASE AS build\nARG A B\nRUN echo \\\n# FROM inside\nFROM \\\n  && true\n\
             FROM --platform=linux/amd64 \\\n\n  scratch\nARG A B\nCOPY --from=build /a /a\n"
        );
    }

    #[test]
    fn the_escape_directive_is_followed() {
        let dockerfile = "# escape=`\nRUN a `\nFROM b\nFROM c\\\n";
        assert_eq!(with_arguments(dockerfile, &["A"]), "# escape=`\nRUN a `\nFROM b\nFROM c\\\nARG A\n");
    }
}
