//! `naru hook`: what git runs when somebody pushes to a deploy repository. Its words reach the person as `remote:` lines.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use naru_model::effect::Unobserved;
use naru_model::{Problem, ProjectName};
use naru_source::deploy::hook::{AllowedEnvironments, check, message, within_quarantine};
use naru_source::git::Git;

/// The hooks there are.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
enum Hook {
    /// Accepts or refuses a push to a deploy repository.
    DeployPreReceive,
}

/// Bytes of a push's references that are read.
const STDIN_LIMIT: u64 = 1 << 20;

/// Runs a hook in the environment that git made for it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Hook::DeployPreReceive = arguments.hook;
    match deploy_pre_receive() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            eprintln!("{}", message(&problems));
            ExitCode::FAILURE
        }
    }
}

fn deploy_pre_receive() -> Result<(), Vec<Problem>> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        let problem =
            Problem::new("deploy.hook", "the push could not be checked").cause(format!("{what}: {error}"));
        vec![problem.state("nothing was changed").hint("push again")]
    };
    let mut lines = String::new();
    std::io::stdin()
        .take(STDIN_LIMIT)
        .read_to_string(&mut lines)
        .map_err(|error| failed("the pushed references", &error))?;
    let folder = std::env::current_dir().map_err(|error| failed("the repository's folder", &error))?;
    let project = project_of(&folder).map_err(|error| failed("the repository's name", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("threads", &error))?;
    let git = within_quarantine(Git::new(folder, Arc::new(Unobserved)), std::env::vars_os());
    // Until there are roles, whoever may push may push everything.
    runtime.block_on(check(&git, &project, &lines, &AllowedEnvironments::All))
}

/// Git runs hooks in the repository's folder, `<project>.git`.
fn project_of(folder: &Path) -> Result<ProjectName, String> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(".git").unwrap_or(name).parse().map_err(|error| format!("{error}"))
}
