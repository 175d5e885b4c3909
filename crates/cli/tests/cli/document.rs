//! The reference in the repository is what the command line says of itself.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch of this test; nothing of the product reads it")]
fn the_checked_in_reference_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let current = naru_cli::reference();
    if std::env::var("NARU_WRITE_REFERENCE").is_ok() {
        std::fs::write(&file, &current).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == current,
        "docs/reference/cli.md is not what the command line says; write it with:\n  \
         NARU_WRITE_REFERENCE=1 cargo nextest run -p naru-cli the_checked_in_reference_is_current"
    );
}

#[test]
fn the_command_line_is_well_formed() {
    naru_cli::command().debug_assert();
}

#[test]
fn the_first_help_teaches_with_examples() {
    let help = naru_cli::command().term_width(100).color(clap::ColorChoice::Never).render_help().to_string();
    insta::assert_snapshot!(help);
}

#[test]
fn every_command_has_a_help_and_no_secret_can_be_an_argument() {
    fn walk(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(
                !["password", "value", "secret", "token"].contains(&name),
                "{} takes {name}",
                command.get_name()
            );
            let described = argument.get_help().is_some() || argument.get_long_help().is_some();
            assert!(described, "{} {name} has no description", command.get_name());
        }
        for child in command.get_subcommands() {
            walk(child);
        }
    }
    walk(&naru_cli::command());
}
