//! Certificates for the hosts that routes lead from: those that people give, those that an authority gives by ACME
//! (RFC 8555), and those of this instance's own authority for development.
//!
//! Which certificate a host is shown, and when the next one is asked for, is decided in [`choose`], without IO. The loops
//! in `pass` ask for what is due and tell the edge. An authority that is away takes nothing away from anybody: what is
//! kept goes on being shown, and `naru certificate list` says since when and why there is no newer one.

mod acme;
pub mod choose;
mod inspect;
mod local;
mod pass;
mod people;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use naru_edge::control::{Client, ControlError};
use naru_secret::{KeyError, KeyRing, OpenError};
use naru_store::{Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;

pub use inspect::{Facts, check};

/// How often is looked without a reason.
const LOOK: Duration = Duration::from_mins(1);
/// How long a pass that failed is waited after.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Where certificates come from without anybody giving them.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// An authority to ask by ACME.
    pub acme: Option<AcmeSettings>,
    /// Hosts, and what lies below them, for which the local authority signs; besides `localhost`.
    pub local: Vec<String>,
}

/// An ACME directory.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// Its URL.
    pub directory: String,
    /// Whom the authority writes to.
    pub contact: Option<String>,
    /// A PEM file with the root that the directory's own certificate is checked by; the system's roots when absent.
    pub root: Option<PathBuf>,
}

/// Everything that certificates stand on.
pub struct Certificates {
    /// Rows.
    pub store: Store,
    /// Seals private keys.
    pub keys: Arc<KeyRing>,
    /// Shows certificates.
    pub edge: Client,
    /// Where they come from.
    pub settings: Settings,
    /// The port at which visitors reach the edge with TLS; absent: it does not speak TLS, and nothing is asked for.
    pub port: Option<u16>,
    /// Who goes first of what must not be done twice at once.
    pub turns: Turns,
}

/// What orders that are under way at the same time do one after the other.
#[derive(Debug, Default)]
pub struct Turns {
    /// Telling the edge: a table that was read earlier must not come after a later one.
    edge: tokio::sync::Mutex<()>,
    /// Making an account at the authority.
    account: tokio::sync::Mutex<()>,
}

/// Why a step did not work; all of these are tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rows.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The edge.
    #[error("the edge: {0}")]
    Edge(#[from] ControlError),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] KeyError),
    /// Opening.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The authority cannot be reached; nobody's fault, and the same for every host.
    #[error("{0}")]
    Away(String),
    /// The authority, with its words.
    #[error("{0}")]
    Authority(String),
    /// Making a certificate here.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Looks whenever something changed and every minute, until told to stop. Without TLS there is nothing to look after.
pub async fn run_forever(certificates: Arc<Certificates>, stop: CancellationToken) {
    if certificates.port.is_none() {
        return;
    }
    tokio::join!(
        again_and_again(&certificates, &stop, Pass::Tell),
        again_and_again(&certificates, &stop, Pass::Ask)
    );
}

#[derive(Clone, Copy)]
enum Pass {
    Tell,
    Ask,
}

async fn again_and_again(certificates: &Certificates, stop: &CancellationToken, pass: Pass) {
    let mut changes = certificates.store.changes();
    loop {
        let passing = async {
            match pass {
                Pass::Tell => certificates.tell().await,
                Pass::Ask => certificates.ask().await,
            }
        };
        let passed = tokio::select! {
            () = stop.cancelled() => return,
            passed = passing => passed,
        };
        let pause = match passed {
            Ok(()) => LOOK,
            Err(error) => {
                tracing::warn!(%error, "certificates could not be looked after; trying again");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.wait(&[Topic::Certificates, Topic::Environments], pause) => {}
        }
    }
}
