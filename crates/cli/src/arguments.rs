//! Every command and option, as clap reads them. The help texts here are the reference: `docs/reference/cli.md` is
//! generated from them.

pub(crate) mod delivery;
pub(crate) mod environment;
pub(crate) mod people;
pub(crate) mod project;
pub(crate) mod setting;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use naru_model::authorise::Permission;
use naru_model::{EnvironmentName, ProjectName, ServiceName, VariableName};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "naru",
    version,
    about = "The landing where code becomes a running service",
    long_about = "The landing where code becomes a running service: push, and a moment later the change is a healthy, \
                  reversible release.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:
  naru login http://127.0.0.1:7070            log in once
  naru project create shop                    make a project, then push to the address it prints
  naru status -p shop                         how far is my push?
  naru env set GREETING=hello -p shop         change a variable: a new revision of the same release
  naru rollback -p shop --wait                return to the revision before

Inside a git repository whose remote is a project here, --project can be left out.

Exit codes: 0 worked, 1 failed, 2 wrong command line, 3 denied, 4 missing, 5 conflict, 6 server unreachable"
)]
pub(crate) struct Cli {
    /// Prints the server's answer as JSON; errors too.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Talks to a server on another machine without TLS. Passwords and tokens can be read on the way. Also:
    /// NARU_INSECURE_HTTP=1.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) insecure_http: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which project.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InProject {
    /// The project. Without it: NARU_PROJECT, else the git remote of this folder.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
}

/// Which environment of which project.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InEnvironment {
    #[command(flatten)]
    pub(crate) project: InProject,
    /// The environment. Without it: NARU_ENVIRONMENT, else production.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) environment: Option<EnvironmentName>,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Paging {
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    /// Goes on after this one: what the page before ended with.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

/// Whether to follow what was asked for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Waiting {
    /// Waits until the revision has all the traffic, and fails when it does not get there.
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Waits this long at most, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

impl Waiting {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Logs in and remembers the token.
    #[command(after_help = "Examples:
  naru login http://127.0.0.1:7070                       asks for login and password
  naru login --setup-link 'http://127.0.0.1:7070/setup?token=…'   makes the first administrator
  naru login https://naru.example.com --token-stdin < token       in CI

The token is kept in the user's configuration folder, readable by its owner only. NARU_URL and NARU_TOKEN come first.")]
    Login(Login),
    /// Revokes the remembered token and forgets it.
    Logout,
    /// Says who is logged in, and where.
    Whoami,
    /// Makes, lists and revokes tokens.
    #[command(subcommand)]
    Token(Token),
    /// Creates, lists, describes and deletes projects; your favourites.
    #[command(subcommand)]
    Project(project::Project),
    /// What asked for runs, and what became of it.
    #[command(subcommand)]
    Trigger(project::Trigger),
    /// Runs of the pipeline, their steps and logs.
    #[command(subcommand)]
    Run(project::Run),
    /// What successful runs made.
    #[command(subcommand)]
    Release(project::Release),
    /// The places where a project runs.
    #[command(subcommand)]
    Environment(environment::Environment),
    /// What runs in an environment at this moment.
    #[command(subcommand)]
    Replica(environment::ReplicaCommand),
    /// What the services of an environment keep.
    #[command(subcommand)]
    Volume(environment::VolumeCommand),
    /// What was delivered to an environment, commit by commit.
    #[command(subcommand)]
    Revision(delivery::Revision),
    /// What happened in a rollout, signed.
    #[command(subcommand)]
    Receipt(delivery::Receipt),
    /// Delivers a release to an environment.
    #[command(after_help = "Examples:
  naru deploy -p shop --wait             the newest release to production
  naru deploy 41 -p shop -e staging      release 41 to staging

A release in quarantine is lifted from it by deploying it by hand.")]
    Deploy(delivery::Deploy),
    /// Returns to an earlier revision, with its configuration and secrets.
    #[command(after_help = "Examples:
  naru rollback -p shop --wait           the revision that served before
  naru rollback 12 -p shop               revision 12

The rollback is a new commit in the deploy repository. The revision that is left goes into quarantine: nothing brings it
back by itself.")]
    Rollback(delivery::Rollback),
    /// Delivers what serves in one environment to another: the same release, with the same images.
    #[command(after_help = "Examples:
  naru promote -p shop --from staging --to production --wait

The settings are those of the environment it goes to. A release that is in quarantine in either of them is refused;
--force delivers it nevertheless and lifts the quarantine where it goes.")]
    Promote(delivery::Promote),
    /// The rollout under way: where it stands, and what you say about it.
    #[command(subcommand)]
    Rollout(delivery::RolloutCommand),
    /// Variables of an environment.
    #[command(subcommand)]
    Env(setting::Env),
    /// Secrets of an environment or of the pipeline.
    #[command(subcommand)]
    Secret(setting::Secret),
    /// Certificates that visitors with TLS are shown.
    #[command(subcommand)]
    Certificate(environment::Certificate),
    /// Shows visitors a page instead of the service, which keeps running.
    #[command(
        subcommand,
        after_help = "Examples:
  naru maintenance on -p shop --until 2h --message 'We are moving the database.'
  naru maintenance status -p shop
  naru maintenance off -p shop

Deliveries go on underneath. It ends when it is switched off, not by itself."
    )]
    Maintenance(environment::Maintenance),
    /// How far the newest change is: trigger → run → image → release → rollout → live.
    #[command(after_help = "Examples:
  naru status -p shop
  naru status -p shop --watch            follows until it is live or stopped

● done   ◐ moving   ■ failed   ○ waiting   – skipped")]
    Status(Status),
    /// What the services of an environment print.
    #[command(after_help = "Examples:
  naru logs -p shop -f                   follow all services
  naru logs web -p shop -e staging       one service
  naru logs -p shop --grep 'order 4711'  what was printed about it, also by revisions before")]
    Logs(Logs),
    /// What an environment used and answered: CPU, memory, network, requests, errors, latency.
    #[command(after_help = "Examples:
  naru metrics -p shop                   the last hour
  naru metrics web -p shop --range 7d    one service, a week
  naru metrics -p shop --json            every value, with gaps as null")]
    Metrics(Metrics),
    /// Prints where an environment can be reached, and opens a browser if there is one.
    Open(Open),
    /// Who changed what: your own lines, those of organisations you own, the instance's for its administrators.
    #[command(after_help = "Examples:
  naru audit --by yuna --since 2026-11-01T00:00:00Z
  naru audit --action member --result failed
  naru audit --export csv > audit.csv")]
    Audit(people::Audit),
    /// Organisations.
    #[command(subcommand)]
    Organisation(people::Organisation),
    /// Who belongs to an organisation, and in which role.
    #[command(subcommand)]
    Member(people::Member),
    /// One-time links into an organisation.
    #[command(subcommand)]
    Invitation(people::Invitation),
    /// Roles for single projects and environments, and protected environments.
    #[command(subcommand)]
    Role(people::RoleCommand),
    /// Your password, and all accounts for instance administrators.
    #[command(subcommand)]
    Account(people::Account),
    /// Browsers that are logged in to your account.
    #[command(subcommand)]
    Session(people::Session),
    /// What the server's data folder holds, for instance administrators.
    Storage,
    /// Writes a completion script for a shell.
    #[command(after_help = "Examples:
  naru completions bash > /etc/bash_completion.d/naru
  naru completions zsh > ~/.zfunc/_naru")]
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The server. Without it: NARU_URL, else the one of the last login.
    pub(crate) url: Option<String>,
    /// The one-time link that the first start printed: makes the first administrator.
    #[arg(long, value_name = "LINK", conflicts_with_all = ["url", "token_stdin"])]
    pub(crate) setup_link: Option<String>,
    /// The login name; asked for without it.
    #[arg(long = "login", value_name = "NAME", conflicts_with = "token_stdin")]
    pub(crate) name: Option<String>,
    /// Reads a token from standard input instead of a password.
    #[arg(long)]
    pub(crate) token_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes a token and prints it once.
    #[command(after_help = "Examples:
  naru token create laptop
  naru token create ci -p shop --permission push-source --lasts 90d")]
    Create(TokenCreate),
    /// Lists your tokens, newest first.
    List(Paging),
    /// Revokes a token.
    Revoke {
        /// The token's id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What the token is called.
    pub(crate) label: String,
    /// Binds the token to one project.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// Binds the token to one environment of the project; of the project itself it may then read.
    #[arg(long, short, requires = "project", value_name = "NAME")]
    pub(crate) environment: Option<EnvironmentName>,
    /// What the token may do at most; can be given more than once.
    #[arg(long, value_parser = permission, value_name = "PERMISSION",
        help = "What the token may do at most; can be given more than once: read, push-source, push-deploy, push-image, \
                run, deploy, deploy-protected, configure, read-secrets, administer, delete and others of \
                docs/reference/permissions.md. Without it: read in a project, else whatever you may")]
    pub(crate) permission: Vec<Permission>,
    /// How long it lives, such as 12h or 90d. Without it: until it is revoked.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) lasts: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    /// Follows until the change is live (exit code 0) or stopped (1).
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only this service.
    pub(crate) service: Option<ServiceName>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    /// Only lines that contain this text, as it is written.
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// Goes on with what is printed later.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Puts the time before each line.
    #[arg(long, short)]
    pub(crate) times: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// Only this service; all together without it.
    pub(crate) service: Option<ServiceName>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    /// How far back.
    #[arg(long, default_value = "1h", value_parser = ["1h", "6h", "24h", "7d", "30d"])]
    pub(crate) range: String,
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    /// Only prints.
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}

fn pair(text: &str) -> Result<(VariableName, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.parse().map_err(|error: naru_model::NameError| error.to_string())?;
    Ok((name, value.to_owned()))
}

fn permission(text: &str) -> Result<Permission, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        "expected a permission of docs/reference/permissions.md, such as read, push-source or deploy"
            .to_owned()
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and s, m, h or d, such as 12h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        for bad in ["", "d", "0d", "-1h", "1w", "1시", "99999999999999999999d", "18446744073709551615d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_keep_everything_after_the_first_equals_sign() {
        let (name, value) = pair("URL=postgres://a?b=c").unwrap();
        assert_eq!((name.as_str(), value.as_str()), ("URL", "postgres://a?b=c"));
        assert_eq!(pair("EMPTY=").unwrap().1, "");
        for bad in ["URL", "=x", "a b=c", "1A=b"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }
}
