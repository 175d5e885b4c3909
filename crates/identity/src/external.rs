//! Login providers: where people may come from besides a password, and whose account here they get. What a provider
//! answers is verified in `openid` and `github`, which know no accounts; `admission` decides about accounts.
//!
//! A login is tied to an account by its provider and the provider's own unchanging name for the person, never by an
//! address or a name that looks the same. What a group at the provider means here is written anew at each login.

mod admission;
mod attempt;
mod claims;
mod error;
mod github;
mod openid;
mod settings;
mod transport;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use naru_model::api::{Check, CheckState, LoginProvider, ProviderKind};
use naru_model::name::ProviderName;
use naru_model::{Problem, Timestamp};
use naru_secret::KeyRing;
use secrecy::SecretString;

use crate::{Identity, Origin};
use attempt::Attempt;
use github::GitHub;
use openid::OpenId;
use settings::ProviderSettings;
use transport::Transport;

pub use admission::Entered;
pub use attempt::{ATTEMPT_LASTS, Purpose};
pub use error::ExternalError;
pub use settings::NewAccounts;

type Secret = SecretString;

/// The largest file of settings or with a secret that is read.
const LARGEST_FILE_BYTES: u64 = 1 << 20;

/// Where a browser is sent, and what it has to keep until it is back.
#[derive(Debug, Clone)]
pub struct Departure {
    /// The provider's address.
    pub url: String,
    /// For a cookie, for [`ATTEMPT_LASTS`].
    pub sealed: SecretString,
}

/// What the provider sent the browser back with.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Exchanged for who came.
    pub code: String,
    /// Must be the one that the attempt began with.
    pub state: String,
    /// The provider's name for itself, if it says it (RFC 9207).
    pub issuer: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// Who a provider says came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    /// The provider's name for the person, which never changes and is nobody else's.
    subject: String,
    /// What the person is called there; may change.
    name: String,
    /// The person's own name; may be empty.
    title: String,
    groups: Vec<String>,
    /// When the person last proved to be it.
    proved_at: Timestamp,
}

enum Protocol {
    OpenId(OpenId),
    GitHub(GitHub),
}

struct Provider {
    settings: ProviderSettings,
    protocol: Protocol,
}

/// The login providers of one instance. Cheap to clone.
#[derive(Clone)]
pub struct External {
    identity: Identity,
    keys: Arc<KeyRing>,
    base_url: Arc<str>,
    providers: Arc<BTreeMap<ProviderName, Provider>>,
}

impl External {
    /// With the providers of a file, or none. `base_url` is where browsers come back to, without a trailing slash.
    /// A TLS provider must be installed in the process, if there is a file.
    pub fn open(
        identity: Identity,
        keys: Arc<KeyRing>,
        base_url: &str,
        file: Option<&Path>,
    ) -> Result<Self, Problem> {
        let providers = Arc::new(file.map(providers).transpose()?.unwrap_or_default());
        Ok(Self { identity, keys, base_url: base_url.trim_end_matches('/').into(), providers })
    }

    /// The providers, by name.
    pub fn list(&self) -> Vec<LoginProvider> {
        self.providers.values().map(|provider| provider.settings.view()).collect()
    }

    /// Sends a browser to a provider. `next` is where it goes afterwards: a path of this server, or it is ignored.
    pub async fn begin(
        &self,
        provider: &ProviderName,
        purpose: Purpose,
        next: Option<&str>,
    ) -> Result<Departure, ExternalError> {
        let Provider { settings, protocol } = self.provider(provider)?;
        let attempt = Attempt::new(provider.clone(), purpose, next, self.identity.store.now());
        let redirect = self.redirect(provider);
        let url = match protocol {
            Protocol::OpenId(openid) => openid.authorization(settings, &attempt, &redirect).await?,
            Protocol::GitHub(_) => GitHub::authorization(settings, &attempt, &redirect)?,
        };
        Ok(Departure { url, sealed: attempt.seal(&self.keys)?.into() })
    }

    /// Lets in whom the provider sent back, or ties the login to an account. `sealed` is what the browser kept.
    pub async fn finish(
        &self,
        provider: &ProviderName,
        sealed: &str,
        answer: &Answer,
        origin: &Origin,
    ) -> Result<Entered, ExternalError> {
        let Provider { settings, protocol } = self.provider(provider)?;
        let now = self.identity.store.now();
        let attempt = Attempt::open(&self.keys, sealed, provider, &answer.state, now)
            .ok_or(ExternalError::NoAttempt)?;
        if let Some(error) = &answer.error {
            return Err(ExternalError::Declined(claims::short(error)));
        }
        let secret = settings.client_secret_file.as_deref().map(read_secret).transpose();
        let secret = secret.map_err(ExternalError::NotSetUp)?;
        let redirect = self.redirect(provider);
        let person = match protocol {
            Protocol::OpenId(openid) => {
                openid.person(settings, &attempt, answer, &redirect, secret.as_ref(), now).await
            }
            Protocol::GitHub(github) => {
                github.person(settings, &attempt, answer, &redirect, secret.as_ref(), now).await
            }
        };
        self.admit(settings, attempt, &person?, origin).await
    }

    /// Whether each provider answers and is set up completely, for `naru doctor`.
    pub async fn doctor(&self) -> Vec<Check> {
        checks(&self.providers).await
    }

    fn provider(&self, name: &ProviderName) -> Result<&Provider, ExternalError> {
        self.providers.get(name).ok_or(ExternalError::NoProvider)
    }

    fn redirect(&self, provider: &ProviderName) -> String {
        format!("{}/login/{provider}/callback", self.base_url)
    }
}

/// The same before anything runs, from the file alone. A TLS provider must be installed in the process.
pub async fn doctor(file: &Path) -> Result<Vec<Check>, Problem> {
    Ok(checks(&providers(file)?).await)
}

/// What a file names, ready to be asked.
fn providers(file: &Path) -> Result<BTreeMap<ProviderName, Provider>, Problem> {
    let ready = |settings: ProviderSettings| {
        let transport = Transport::new(settings.loopback)?;
        let protocol = match settings.kind {
            ProviderKind::OpenidConnect => Protocol::OpenId(OpenId::new(transport)),
            ProviderKind::Github => Protocol::GitHub(GitHub::new(transport)),
        };
        Ok((settings.name.clone(), Provider { settings, protocol }))
    };
    read_settings(file)?.into_iter().map(ready).collect()
}

async fn checks(providers: &BTreeMap<ProviderName, Provider>) -> Vec<Check> {
    let mut checks = Vec::new();
    for Provider { settings, protocol } in providers.values() {
        let secret = settings.client_secret_file.as_deref().map(read_secret).transpose();
        let found = match (secret, protocol) {
            (Err(why), _) => Err(why),
            (Ok(_), Protocol::OpenId(openid)) => openid.check(settings).await,
            (Ok(_), Protocol::GitHub(github)) => github.check(settings).await,
        };
        checks.push(check(settings, found));
    }
    checks
}

impl ProviderSettings {
    fn view(&self) -> LoginProvider {
        LoginProvider { name: self.name.clone(), title: self.title.clone(), kind: self.kind }
    }
}

fn check(settings: &ProviderSettings, found: Result<(), String>) -> Check {
    let name = format!("login {}", settings.name);
    match found {
        Ok(()) => Check { name, state: CheckState::Good, detail: format!("{} answers", settings.issuer), hint: None },
        Err(why) => Check {
            name,
            state: CheckState::Attention,
            detail: claims::short(&format!("{}: {why}", settings.issuer)),
            hint: Some("nobody can log in by it until it answers; its settings are described in docs/reference/login.md".to_owned()),
        },
    }
}

/// The providers that a file names.
fn read_settings(file: &Path) -> Result<Vec<ProviderSettings>, Problem> {
    let text = read_file(file).map_err(|why| {
        Problem::new("login.settings", "the file of login providers cannot be read")
            .cause(why)
            .hint("give its path with --login-providers; it is described in docs/reference/login.md")
    })?;
    settings::parse(&text)
}

/// Read at each login, so that it can be changed without a restart.
fn read_secret(file: &Path) -> Result<Secret, String> {
    let text = read_file(file)?;
    match text.trim() {
        "" => Err(format!("{} is empty", file.display())),
        secret => Ok(secret.to_owned().into()),
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    if size > LARGEST_FILE_BYTES {
        return Err(format!("{} is larger than {} KiB", file.display(), LARGEST_FILE_BYTES >> 10));
    }
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
