//! The reference of the command line, written from what clap knows. `docs/reference/cli.md` is its output.

use std::fmt::Write as _;

use clap::Command;

use crate::exit;

const HEAD: &str = "# The command line

Every command, as `--help` shows it. This file is generated; `cargo nextest run -p naru-cli` says how to renew it.

Commands that run Naru itself (`naru serve`, `naru doctor`, …) are described by their own `--help`.

## Where a command acts

| what | given by | else |
|---|---|---|
| server | `NARU_URL` | the last `naru login` |
| token | `NARU_TOKEN` | the last `naru login` to the same server |
| project | `--project`, `-p` | `NARU_PROJECT`, then the remotes of the git repository in this folder (`…/git/<project>.git`) |
| environment | `--environment`, `-e` | `NARU_ENVIRONMENT`, then `production` |

The login is remembered in `$NARU_CONFIG`, else in `naru/config.toml` of the user's configuration folder, with mode 0600.
`NO_COLOR` turns colours off; they are only used on a terminal.

Results go to standard output, progress and errors to standard error. With `--json` both are JSON. Names, messages and
logs of others never reach the terminal as control sequences; colours in logs do, on a terminal.

";

/// The whole document.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in exit::ALL {
        let _ = writeln!(out, "| {code} | {meaning} |");
    }
    let mut root = crate::command();
    root.build();
    write_command(&mut out, &root);
    out
}

fn write_command(out: &mut String, command: &Command) {
    let mut shown = command.clone().term_width(100).color(clap::ColorChoice::Never);
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", trimmed(&shown.render_long_help().to_string()));
    for child in command.get_subcommands().filter(|child| child.get_name() != "help" && !child.is_hide_set())
    {
        write_command(out, child);
    }
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}
