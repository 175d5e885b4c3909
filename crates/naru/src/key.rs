//! `naru key rotate`: adds a key to the ring and seals everything anew with it. Works on the folder of a Naru that does
//! not run: one process writes. Whenever it is ended, running it again goes on from there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use naru_model::Problem;
use naru_model::effect::{Effects, Moment};
use naru_secret::{Binding, KeyRing, OpenError, Sealed, place};
use naru_store::sealed::{SealedOf, SealedValue};
use naru_store::{Store, StoreError};

use crate::abort::{self, AbortAt};
use crate::data::DataFolder;
use crate::system::SystemClock;

/// Commands about the keys that seal secrets.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Adds a fresh key and seals every secret anew with it; an old key goes when nothing needs it any more.
    #[command(
        after_help = "End `naru serve` first: its folder is locked while it runs. Services and edge go on meanwhile.
When it is ended in the middle, run it again: it goes on from there.

Copies of the database that were made before need the key file of their time: keep both together. Receipts that old keys
signed stay verifiable. A key that others have read does not become safe by it: set the secrets themselves anew, too."
    )]
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct Rotate {
    /// The data folder of the instance.
    #[arg(long, env = "NARU_DATA", default_value = "naru-data")]
    data: PathBuf,
    /// Ends the process at an effect, as a power cut would: NAME:before|after:COUNT.
    #[arg(long, hide = true)]
    abort_at: Option<AbortAt>,
}

/// Runs to the end.
pub(crate) fn run(command: &Command) -> Result<(), Problem> {
    let Command::Rotate(arguments) = command;
    crate::log::to_stderr(false);
    let missing = |name: &str| !arguments.data.join(name).exists();
    if missing("key") || missing("naru.db") {
        return Err(Problem::new(
            "key.no-instance",
            format!("{} is no data folder of an instance", arguments.data.display()),
        )
        .state("nothing was changed")
        .hint("name it with --data"));
    }
    let folder = DataFolder::open(&arguments.data)?;
    let effects = abort::effects(arguments.abort_at.as_ref());
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Problem::new("key.runtime", "threads cannot be started").cause(error.to_string()))?;
    let done = runtime.block_on(async {
        let store = Store::open(&folder.path("naru.db"), Arc::new(SystemClock), effects.clone()).await;
        let store = store.map_err(|error| failed(&error))?;
        rotate(&folder.path("key"), &store, &effects).await
    })?;
    println!(
        "{} values are sealed with key {}; {} older keys are gone.\nBack up {} now.",
        done.sealed,
        done.key,
        done.retired,
        folder.path("key").display()
    );
    Ok(())
}

/// What was done.
#[derive(Debug)]
struct Done {
    key: String,
    sealed: usize,
    retired: usize,
}

/// Adds a key, unless one was added that is not used everywhere yet; seals everything with it; takes away what is not
/// needed any more. Every step can be repeated.
async fn rotate(file: &std::path::Path, store: &Store, effects: &Arc<dyn Effects>) -> Result<Done, Problem> {
    let mut ring = KeyRing::open(file)?;
    if ring.key_ids().len() == 1 {
        effects.at(Moment::Before, "key.add").await;
        ring.rotate()?;
        effects.at(Moment::After, "key.add").await;
    }
    let (sealed, lost) = seal_anew(&ring, store).await?;
    if !lost.is_empty() {
        let problem = Problem::new("key.unreadable", "not everything could be sealed anew");
        let problem = lost.into_iter().take(10).fold(problem, Problem::cause);
        return Err(problem
            .state("every key is kept; what could be sealed anew is")
            .hint("set what is named anew or remove it, then run the command again"));
    }
    let used = used_keys(store).await?;
    effects.at(Moment::Before, "key.retire").await;
    let retired = ring.retire(|id| used.contains(id))?;
    effects.at(Moment::After, "key.retire").await;
    Ok(Done { key: ring.newest_id().to_owned(), sealed, retired })
}

/// Seals what other keys sealed. Returns how much is sealed with the newest, and what cannot be opened.
async fn seal_anew(ring: &KeyRing, store: &Store) -> Result<(usize, Vec<String>), Problem> {
    let (mut done, mut lost) = (0, Vec::new());
    for value in store.sealed_values().await.map_err(|error| failed(&error))? {
        match again(ring, &value) {
            Ok(None) => done += 1,
            Ok(Some(anew)) => {
                store.reseal(&value, &anew.to_string()).await.map_err(|error| failed(&error))?;
                done += 1;
            }
            Err(Trouble::Lost(error)) => lost.push(format!("{}: {error}", named(&value.of))),
            Err(Trouble::Key(problem)) => return Err(*problem),
        }
    }
    Ok((done, lost))
}

enum Trouble {
    Lost(OpenError),
    Key(Box<Problem>),
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self::Lost(error)
    }
}

impl From<naru_secret::KeyError> for Trouble {
    fn from(error: naru_secret::KeyError) -> Self {
        Self::Key(Box::new(error.into()))
    }
}

/// The value sealed with the newest key; none when it is.
fn again(ring: &KeyRing, value: &SealedValue) -> Result<Option<Sealed>, Trouble> {
    let sealed: Sealed = value.sealed.parse()?;
    if sealed.key_id() == ring.newest_id() {
        return Ok(None);
    }
    let own = match &value.of {
        SealedOf::Secret { scope, name, version, .. } => {
            let binding = Binding { scope, name, version: *version };
            let plain = ring.open_sealed(&binding, &sealed)?;
            return Ok(Some(ring.seal(&binding, &plain)?));
        }
        SealedOf::Certificate { host, source } => place::certificate(source, host),
        SealedOf::AcmeAccount(directory) => place::acme_account(directory),
        SealedOf::LocalAuthority => place::LOCAL_AUTHORITY.to_owned(),
        SealedOf::Totp(login) => place::totp(login),
    };
    let plain = ring.open_own(&own, &sealed)?;
    Ok(Some(ring.seal_own(&own, &plain)?))
}

async fn used_keys(store: &Store) -> Result<BTreeSet<String>, Problem> {
    let values = store.sealed_values().await.map_err(|error| failed(&error))?;
    let id = |value: SealedValue| Some(value.sealed.parse::<Sealed>().ok()?.key_id().to_owned());
    Ok(values.into_iter().filter_map(id).collect())
}

/// What a value is, for people.
fn named(of: &SealedOf) -> String {
    match of {
        SealedOf::Secret { scope, name, version, .. } => {
            format!("version {version} of secret {name} ({scope:?})")
        }
        SealedOf::Certificate { host, source } => format!("the private key of {host} ({source})"),
        SealedOf::AcmeAccount(directory) => format!("the account at {directory}"),
        SealedOf::LocalAuthority => "the key of the local authority".to_owned(),
        SealedOf::Totp(login) => format!("the second factor of {login}"),
    }
}

fn failed(error: &StoreError) -> Problem {
    Problem::new("key.store", "the database cannot be used")
        .cause(error.to_string())
        .state("every key is kept, and so is what was sealed")
        .hint("run it again")
}

#[cfg(test)]
mod tests;
