//! Every command and option, as clap reads them. The help texts here are the reference: `docs/reference/cli.md` is
//! generated from them.

pub(crate) mod people;
pub(crate) mod setting;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use naru_model::authorise::Permission;
use naru_model::{
    BranchName, EnvironmentName, OrganisationName, ProjectName, ReleaseNumber, RevisionNumber, RunNumber,
    ServiceName, Timestamp, VariableName,
};

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
    /// Creates, lists, shows and deletes projects.
    #[command(subcommand)]
    Project(Project),
    /// What asked for runs, and what became of it.
    #[command(subcommand)]
    Trigger(Trigger),
    /// Runs of the pipeline, their steps and logs.
    #[command(subcommand)]
    Run(Run),
    /// What successful runs made.
    #[command(subcommand)]
    Release(Release),
    /// The places where a project runs.
    #[command(subcommand)]
    Environment(Environment),
    /// What was delivered to an environment, commit by commit.
    #[command(subcommand)]
    Revision(Revision),
    /// What happened in a rollout, signed.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Delivers a release to an environment.
    #[command(after_help = "Examples:
  naru deploy -p shop --wait             the newest release to production
  naru deploy 41 -p shop -e staging      release 41 to staging

A release in quarantine is lifted from it by deploying it by hand.")]
    Deploy(Deploy),
    /// Returns to an earlier revision, with its configuration and secrets.
    #[command(after_help = "Examples:
  naru rollback -p shop --wait           the revision that served before
  naru rollback 12 -p shop               revision 12

The rollback is a new commit in the deploy repository. The revision that is left goes into quarantine: nothing brings it
back by itself.")]
    Rollback(Rollback),
    /// Delivers what serves in one environment to another: the same release, with the same images.
    #[command(after_help = "Examples:
  naru promote -p shop --from staging --to production --wait

The settings are those of the environment it goes to. A release that is in quarantine in either of them is refused;
--force delivers it nevertheless and lifts the quarantine where it goes.")]
    Promote(Promote),
    /// The rollout under way: where it stands, and what you say about it.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Variables of an environment.
    #[command(subcommand)]
    Env(setting::Env),
    /// Secrets of an environment or of the pipeline.
    #[command(subcommand)]
    Secret(setting::Secret),
    /// Certificates that visitors with TLS are shown.
    #[command(subcommand)]
    Certificate(Certificate),
    /// Shows visitors a page instead of the service, which keeps running.
    #[command(
        subcommand,
        after_help = "Examples:
  naru maintenance on -p shop --until 2h --message 'We are moving the database.'
  naru maintenance status -p shop
  naru maintenance off -p shop

Deliveries go on underneath. It ends when it is switched off, not by itself."
    )]
    Maintenance(Maintenance),
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

#[derive(Debug, Subcommand)]
pub(crate) enum Project {
    /// Creates a project with its two repositories.
    Create {
        /// Lower-case letters, digits and single hyphens, at most 40 characters.
        name: ProjectName,
        /// Whose it shall be. Without it: main.
        #[arg(long, short, value_name = "NAME")]
        organisation: Option<OrganisationName>,
        /// The branch that is delivered to production.
        #[arg(long, value_name = "NAME", default_value = "main")]
        branch: BranchName,
    },
    /// Lists projects by name.
    List(Paging),
    /// Shows a project.
    Show {
        /// Which. Without it: NARU_PROJECT, else the git remote of this folder.
        name: Option<ProjectName>,
    },
    /// Stops everything of a project and removes it, with its repositories and volumes.
    Delete {
        /// Which.
        name: ProjectName,
        /// The name once more; asked for without it.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trigger {
    /// Lists triggers, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Asks for the same again.
    Replay {
        /// The trigger's id.
        id: String,
        #[command(flatten)]
        place: InProject,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Lists runs, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a run with its steps.
    Show {
        /// The run's number. Without it: the newest.
        number: Option<RunNumber>,
        #[command(flatten)]
        place: InProject,
    },
    /// Prints what the steps of a run printed.
    #[command(after_help = "Examples:
  naru run logs -p shop -f               follow the newest run
  naru run logs 12 -p shop --step test")]
    Logs {
        /// The run's number. Without it: the newest.
        number: Option<RunNumber>,
        #[command(flatten)]
        place: InProject,
        /// Only this step.
        #[arg(long, value_name = "NAME")]
        step: Option<String>,
        /// Goes on until the run is over.
        #[arg(long, short)]
        follow: bool,
        /// Puts the time before each line.
        #[arg(long, short)]
        times: bool,
    },
    /// Stops a run with all its processes.
    Cancel {
        /// The run's number.
        number: RunNumber,
        #[command(flatten)]
        place: InProject,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Lists releases, newest first.
    List {
        #[command(flatten)]
        place: InProject,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a release with its images.
    Show {
        /// The release's number. Without it: the newest.
        number: Option<ReleaseNumber>,
        #[command(flatten)]
        place: InProject,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Environment {
    /// Lists environments by name.
    List(InProject),
    /// Shows how an environment is.
    Show(InEnvironment),
    /// Makes an environment before its first release, for example to give it secrets.
    Create {
        /// Its name.
        name: EnvironmentName,
        #[command(flatten)]
        place: InProject,
        /// The branch whose releases are delivered to it by themselves.
        #[arg(long, value_name = "NAME")]
        branch: Option<BranchName>,
    },
    /// Shows or changes what its hosts ask of visitors, once they have a certificate.
    #[command(after_help = "Examples:
  naru environment transport -p shop                    shows it
  naru environment transport -p shop --redirect off     plain requests are served too
  naru environment transport -p shop --hsts 180d        browsers shall use nothing but TLS for 180 days")]
    Transport(TransportChange),
}

#[derive(Debug, Args)]
pub(crate) struct TransportChange {
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    /// Whether plain requests are sent on to TLS.
    #[arg(long, value_name = "ON_OR_OFF")]
    pub(crate) redirect: Option<OnOff>,
    /// How long browsers shall use nothing but TLS (Strict-Transport-Security): seconds, days as 180d, or off.
    #[arg(long, value_name = "TIME", value_parser = hsts)]
    pub(crate) hsts: Option<Hsts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// For how many seconds; nothing when it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hsts(pub(crate) Option<u64>);

fn hsts(text: &str) -> Result<Hsts, String> {
    let number = |digits: &str| digits.parse::<u32>().ok().map(u64::from);
    let seconds = match text {
        "off" => return Ok(Hsts(None)),
        _ => match text.strip_suffix('d') {
            Some(days) => number(days).map(|days| days * 86_400),
            None => number(text),
        },
    };
    seconds.map(|s| Hsts(Some(s))).ok_or_else(|| "expected seconds, days as 180d, or off".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// Switches it on, or changes what visitors are told.
    On {
        #[command(flatten)]
        place: InEnvironment,
        /// What visitors are told, as text.
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        /// When the service is expected back: a time as 2026-11-21T15:00:00Z, or from now on as 30m, 2h or 1d.
        #[arg(long, value_name = "TIME", value_parser = until)]
        until: Option<Until>,
    },
    /// Switches it off.
    Off(InEnvironment),
    /// Says whether it is on, since when, and what visitors are told.
    Status(InEnvironment),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    At(Timestamp),
    In(Duration),
}

fn until(text: &str) -> Result<Until, String> {
    let at = || text.parse::<Timestamp>().map(Until::At);
    duration(text)
        .map(Until::In)
        .or_else(|_| at())
        .map_err(|_| "expected a time as 2026-11-21T15:00:00Z, or from now on as 30m, 2h or 1d".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Lists hosts with their certificates, and why one could not be had.
    List,
    /// Gives a certificate for a host. It comes before all others.
    #[command(after_help = "Examples:
  naru certificate set shop.example.com --cert chain.pem --key key.pem
  naru certificate set '*.example.com' --cert chain.pem --key key.pem")]
    Set {
        /// The host, or `*.` and a domain.
        host: String,
        /// A PEM file with the chain, the host's own certificate first.
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// A PEM file with the private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Takes a certificate back that was given.
    Unset {
        /// The host, or `*.` and a domain.
        host: String,
    },
    /// Prints the certificate to be trusted for what this instance's own authority signs.
    #[command(after_help = "Examples:
  naru certificate authority > naru.pem
  curl --cacert naru.pem https://shop.localhost:8443/")]
    Authority,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Revision {
    /// Lists revisions, newest first.
    List {
        #[command(flatten)]
        place: InEnvironment,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows a revision.
    Show {
        /// The revision's number.
        number: RevisionNumber,
        #[command(flatten)]
        place: InEnvironment,
    },
    /// Shows what a revision changed in the manifests.
    Diff {
        /// The revision's number.
        number: RevisionNumber,
        #[command(flatten)]
        place: InEnvironment,
        /// Compares with this revision instead of the one before.
        #[arg(long, value_name = "NUMBER")]
        from: Option<RevisionNumber>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Shows what happened in the rollout to a revision: times, requests, verdict.
    #[command(after_help = "Examples:
  naru receipt show -p shop                      the newest revision that has one
  naru receipt show 41 -p shop --json > 41.json  with the signed document, for keeping

A receipt is signed when the rollout has ended and the old replicas are gone.")]
    Show {
        /// The revision's number. Without it: the newest whose rollout has ended.
        number: Option<RevisionNumber>,
        #[command(flatten)]
        place: InEnvironment,
    },
    /// Says whether a receipt from standard input was signed by this instance and is unchanged.
    #[command(after_help = "Examples:
  naru receipt verify < 41.json

Exit code: 0 when it is authentic, 1 when it is not.")]
    Verify,
    /// Prints the public keys that receipts can be checked with elsewhere.
    Keys,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The release's number. Without it: the newest of the environment's branch.
    pub(crate) release: Option<ReleaseNumber>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The revision's number. Without it: the newest earlier one that has served and is not in quarantine.
    pub(crate) revision: Option<RevisionNumber>,
    #[command(flatten)]
    pub(crate) place: InEnvironment,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub(crate) place: InProject,
    /// The environment whose release it is.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: EnvironmentName,
    /// The environment it goes to.
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) to: EnvironmentName,
    /// Also when the release is in quarantine.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Says where the rollout stands: its step, its preview, what it waits for.
    #[command(after_help = "Examples:
  naru rollout show -p shop
  naru rollout show -p shop -e staging --json

A canary tells its step and when the next is due. A blue-green rollout with manual promotion tells where the new revision
can be looked at before requests move: at next--<host>.")]
    Show(InEnvironment),
    /// Lets it go on to the end: past the steps that are left, or past the preview that waits.
    #[command(after_help = "Examples:
  naru rollout promote -p shop

Promoting a canary skips the judgement of the steps that are left. A revision that fails within 30 s after it got all
requests is still left by itself.")]
    Promote(InEnvironment),
    /// Gives it up: what served before keeps all requests, and the new revision goes into quarantine.
    #[command(after_help = "Examples:
  naru rollout abort -p shop

A rollout that is over cannot be given up; `naru rollback` returns from it.")]
    Abort(InEnvironment),
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
