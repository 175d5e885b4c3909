//! Commands about environments: what they are, what visitors are told, and what they are shown.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use naru_model::{BranchName, EnvironmentName, Timestamp};

use super::{InEnvironment, InProject, duration};

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

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Lists the replicas of an environment as the engine sees them, those that exited included.
    List(InEnvironment),
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Lists the volumes that the wanted revision's services have.
    List(InEnvironment),
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
