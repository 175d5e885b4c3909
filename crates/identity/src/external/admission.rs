//! What becomes of somebody whom a provider vouches for: whose account they get here, and which roles their groups give.

use naru_model::OrganisationName;
use naru_model::Timestamp;
use naru_model::api::ProviderKind;
use naru_model::authorise::Principal;
use naru_model::name::ProviderName;
use naru_model::role::Role;
use naru_store::StoreError;
use naru_store::external_login::{ExternalLogin, GroupRoles, Seen};
use naru_store::identity::Account;

use super::attempt::{Attempt, Purpose};
use super::settings::{NewAccounts, ProviderSettings};
use super::{External, ExternalError, Person};
use crate::{Deed, Origin, password};

/// Names that are tried for a new account before it is given up.
const MOST_NAMES: u32 = 99;
/// Longest login name.
const LONGEST_LOGIN: usize = 40;
/// How much is kept of what a provider calls a person, and of the person's own name.
const LONGEST_NAME: usize = 100;
/// Longest name of a person that a provider may have.
const LONGEST_SUBJECT: usize = 255;

/// Somebody came in, or tied a login.
#[derive(Debug, Clone)]
pub struct Entered {
    /// Whose account.
    pub principal: Principal,
    /// When the person last proved to be it.
    pub proved_at: Timestamp,
    /// Where the browser wanted to go: a path of this server.
    pub next: String,
    /// No session is to be begun: there is one.
    pub tied: bool,
}

/// Who arrives, as it is kept, and from where.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    seen: Seen<'a>,
    origin: &'a Origin,
}

impl External {
    pub(super) async fn admit(
        &self,
        settings: &ProviderSettings,
        attempt: Attempt,
        person: &Person,
        origin: &Origin,
    ) -> Result<Entered, ExternalError> {
        if person.subject.is_empty() || person.subject.len() > LONGEST_SUBJECT {
            return Err(ExternalError::NotVerified(
                "the provider's name for the person cannot be kept".into(),
            ));
        }
        let roles = self.roles_here(settings, &person.groups).await?;
        let name = shown(&person.name);
        let seen = Seen { provider: &settings.name, subject: &person.subject, name: &name, roles: &roles };
        let arrival = Arrival { seen, origin };
        let known = self.identity.store.external_login(&settings.name, &person.subject).await?;
        let login = match &attempt.purpose {
            Purpose::Tie { session } => self.tie(session, known, arrival).await?,
            Purpose::Enter | Purpose::EnterAgain => match known {
                Some(known) => self.enter(&known, arrival).await?,
                None => self.make_account(settings, person, arrival).await?,
            },
        };
        let tied = matches!(attempt.purpose, Purpose::Tie { .. });
        let principal = Principal { login, credential_id: credential(&settings.name) };
        Ok(Entered { principal, proved_at: person.proved_at, next: attempt.next, tied })
    }

    /// Somebody who has been here.
    async fn enter(&self, known: &ExternalLogin, arrival: Arrival<'_>) -> Result<String, ExternalError> {
        let account = self.account(&known.account).await?;
        if self.identity.store.use_external_login(&account.login, arrival.seen).await? {
            let roles = in_words(arrival.seen.roles);
            self.note(&account.login, arrival, Deed::done("member.by-group", &roles)).await?;
        }
        self.note(&account.login, arrival, Deed::done("account.login", &account.login)).await?;
        Ok(account.login)
    }

    /// Ties a login to the account of a session that must still be there.
    async fn tie(
        &self,
        session: &str,
        known: Option<ExternalLogin>,
        arrival: Arrival<'_>,
    ) -> Result<String, ExternalError> {
        let login = self.session_account(session).await?;
        match known {
            Some(known) if known.account != login => Err(ExternalError::Taken),
            Some(known) => self.enter(&known, arrival).await,
            None => {
                self.tie_to(&login, arrival).await?;
                Ok(login)
            }
        }
    }

    async fn tie_to(&self, login: &str, arrival: Arrival<'_>) -> Result<(), ExternalError> {
        match self.identity.store.tie_external_login(login, arrival.seen).await {
            Err(StoreError::Exists(_)) => return Err(ExternalError::HasOne),
            tied => tied?,
        }
        let deed = Deed::done("external-login.tie", arrival.seen.provider.as_str());
        self.note(login, arrival, deed).await
    }

    /// A first time. Nobody gets an account by it unless the settings say so.
    async fn make_account(
        &self,
        settings: &ProviderSettings,
        person: &Person,
        arrival: Arrival<'_>,
    ) -> Result<String, ExternalError> {
        if settings.new_accounts == NewAccounts::Nobody || arrival.seen.roles.is_empty() {
            return Err(ExternalError::NoAccount);
        }
        let title = shown(&person.title);
        for name in login_names(&person.name) {
            match self.identity.store.add_external_account(&name, &title, arrival.seen).await {
                Err(StoreError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    let roles = in_words(arrival.seen.roles);
                    self.note(&name, arrival, Deed::done("account.create", &name)).await?;
                    self.note(&name, arrival, Deed::done("member.by-group", &roles)).await?;
                    return Ok(name);
                }
            }
        }
        Err(ExternalError::NoAccount)
    }

    async fn note(&self, login: &str, arrival: Arrival<'_>, deed: Deed<'_>) -> Result<(), ExternalError> {
        let credential_id = credential(arrival.seen.provider);
        let principal = Principal { login: login.to_owned(), credential_id };
        Ok(self.identity.record(&principal, arrival.origin, deed).await?)
    }

    /// What the groups give, in organisations that exist: the highest of several.
    async fn roles_here(
        &self,
        settings: &ProviderSettings,
        groups: &[String],
    ) -> Result<GroupRoles, ExternalError> {
        let mut roles = roles_of(settings, groups);
        for organisation in roles.keys().cloned().collect::<Vec<_>>() {
            if self.identity.store.organisation(&organisation).await?.is_none() {
                tracing::warn!(provider = %settings.name, %organisation, "a group gives a role in an organisation that does not exist");
                roles.remove(&organisation);
            }
        }
        Ok(roles)
    }

    /// An account that may be used.
    async fn account(&self, login: &str) -> Result<Account, ExternalError> {
        let account = self.identity.store.account(login).await?.ok_or(ExternalError::NoAccount)?;
        if account.disabled_at.is_some() { Err(ExternalError::Disabled) } else { Ok(account) }
    }

    async fn session_account(&self, session: &str) -> Result<String, ExternalError> {
        let found = self.identity.store.session(session).await?;
        let (session, holder) = found.ok_or(ExternalError::LoggedOut)?;
        if session.expires_at <= self.identity.store.now() || holder.disabled {
            return Err(ExternalError::LoggedOut);
        }
        Ok(session.account)
    }

    /// The logins at providers of an account.
    pub async fn logins(&self, login: &str) -> Result<Vec<ExternalLogin>, ExternalError> {
        Ok(self.identity.store.external_logins(login).await?)
    }

    /// Takes a login off the caller's account, unless it is the only way in. The roles of its groups go with it.
    pub async fn untie(&self, principal: &Principal, provider: &ProviderName) -> Result<(), ExternalError> {
        let store = &self.identity.store;
        let account = store.account(&principal.login).await?.ok_or(ExternalError::NoAccount)?;
        let others = store.external_logins(&principal.login).await?;
        let others = others.iter().filter(|one| one.provider != *provider).count();
        if account.password_hash.is_empty() && others == 0 {
            return Err(ExternalError::OnlyWay);
        }
        Ok(store.untie_external_login(&principal.login, provider).await?)
    }
}

/// What the settings make of groups.
fn roles_of(settings: &ProviderSettings, groups: &[String]) -> GroupRoles {
    // GitHub takes names for the same that differ in case only.
    let same = |a: &str, b: &str| match settings.kind {
        ProviderKind::OpenidConnect => a == b,
        ProviderKind::Github => a.eq_ignore_ascii_case(b),
    };
    let mut roles = GroupRoles::new();
    for one in settings.roles.iter().filter(|one| groups.iter().any(|group| same(group, &one.group))) {
        let role = roles.entry(one.organisation.clone()).or_insert(one.role);
        *role = (*role).max(one.role);
    }
    roles
}

/// For the audit log, such as `main: developer`.
fn in_words(roles: &GroupRoles) -> String {
    let word = |(organisation, role): (&OrganisationName, &Role)| format!("{organisation}: {role}");
    let words = roles.iter().map(word).collect::<Vec<_>>().join(", ");
    if words.is_empty() { "none".to_owned() } else { words }
}

/// Names for a new account, in the order in which they are tried: what the person is called at the provider, as far as
/// it can be a login here, then the same with a number.
fn login_names(called: &str) -> impl Iterator<Item = String> {
    let local = called.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let usable = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c);
    let kept: String = local.chars().filter(usable).collect();
    let kept = kept.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let base: String = kept.chars().take(LONGEST_LOGIN - 3).collect();
    let base = if password::check_login(&base).is_ok() { base } else { "person".to_owned() };
    let numbered = base.clone();
    std::iter::once(base).chain((2..=MOST_NAMES).map(move |number| format!("{numbered}-{number}")))
}

/// A provider's text that is kept and shown.
fn shown(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

fn credential(provider: &ProviderName) -> String {
    format!("provider:{provider}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_account_is_called_as_at_the_provider_as_far_as_it_can_be() {
        let first = |called: &str| login_names(called).next().unwrap();
        for (called, expected) in [
            ("minji", "minji"),
            ("Minji.Kim@example.com", "minji.kim"),
            ("김민지", "person"),
            ("", "person"),
            ("naru", "person"),
            ("naru-2", "person"),
            ("42minji", "minji"),
            ("-._x", "x"),
            ("a b/../c", "ab..c"),
            (&"x".repeat(200), &"x".repeat(37)),
        ] {
            assert_eq!(first(called), expected, "{called:?}");
            assert!(login_names(called).all(|name| password::check_login(&name).is_ok()), "{called:?}");
        }
        assert_eq!(login_names("minji").nth(1).unwrap(), "minji-2");
        assert_eq!(login_names("minji").count(), 99);
    }

    #[test]
    fn groups_give_the_highest_of_their_roles() {
        let text = r#"
            [keycloak]
            kind = "openid-connect"
            issuer = "https://id.example.com"
            client-id = "naru"
            groups-claim = "groups"
            roles = [
                { group = "/dev", organisation = "main", role = "developer" },
                { group = "/boss", organisation = "main", role = "owner" },
                { group = "/dev", organisation = "lab", role = "viewer" },
            ]
            [github]
            kind = "github"
            client-id = "x"
            client-secret-file = "/x"
            roles = [{ group = "Acme/Platform", organisation = "main", role = "maintainer" }]
        "#;
        let [github, keycloak]: [_; 2] = super::super::settings::parse(text).unwrap().try_into().unwrap();
        let of = |settings, groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            in_words(&roles_of(settings, &groups))
        };
        assert_eq!(of(&keycloak, &["/dev"]), "lab: viewer, main: developer");
        assert_eq!(of(&keycloak, &["/boss", "/dev"]), "lab: viewer, main: owner");
        assert_eq!(of(&keycloak, &["/DEV", "dev", "/other"]), "none");
        assert_eq!(of(&github, &["acme/platform", "acme"]), "main: maintainer");
    }
}
