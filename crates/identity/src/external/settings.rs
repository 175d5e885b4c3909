//! The file that says with which login providers people may come, and what their groups mean here. Reading is pure:
//! the caller brings the text and the files that hold secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use naru_model::api::ProviderKind;
use naru_model::name::ProviderName;
use naru_model::role::Role;
use naru_model::{OrganisationName, Problem};
use openidconnect::url::{Host, Url};
use serde::Deserialize;

/// Providers that one instance may have.
const MOST_PROVIDERS: usize = 20;
/// Lines of `roles` per provider.
const MOST_ROLES: usize = 1000;
/// Longest title, scope, claim and group, in characters.
const LONGEST: usize = 200;
const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";

/// Who may make an account here by coming with a provider's login that nobody here has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewAccounts {
    /// Nobody: a login is tied to an account by the person who has the account.
    #[default]
    Nobody,
    /// Who is in a group that has a role here.
    MappedGroups,
}

/// What a group at a provider means here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRole {
    pub(crate) group: String,
    pub(crate) organisation: OrganisationName,
    pub(crate) role: Role,
}

/// One provider, checked.
#[derive(Debug, Clone)]
pub(crate) struct ProviderSettings {
    pub(crate) name: ProviderName,
    pub(crate) kind: ProviderKind,
    pub(crate) title: String,
    /// OpenID Connect: the issuer, exactly as the provider names itself. GitHub: its address.
    pub(crate) issuer: String,
    /// Where GitHub's API is.
    pub(crate) api: String,
    pub(crate) client_id: String,
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) scopes: Vec<String>,
    pub(crate) groups_claim: Option<String>,
    pub(crate) new_accounts: NewAccounts,
    pub(crate) roles: Vec<GroupRole>,
    /// The provider is on this machine: nothing is encrypted then, and nothing else is asked.
    pub(crate) loopback: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    kind: ProviderKind,
    title: Option<String>,
    issuer: Option<String>,
    url: Option<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    groups_claim: Option<String>,
    #[serde(default)]
    new_accounts: NewAccounts,
    #[serde(default)]
    roles: Vec<GroupRole>,
}

/// Reads the file's text.
pub(crate) fn parse(text: &str) -> Result<Vec<ProviderSettings>, Problem> {
    let written: BTreeMap<String, Written> =
        toml::from_str(text).map_err(|error| refused(error.to_string().trim_end()))?;
    if written.len() > MOST_PROVIDERS {
        return Err(refused(&format!("at most {MOST_PROVIDERS} providers can be named")));
    }
    written
        .into_iter()
        .map(|(name, one)| {
            let parsed = name.parse::<ProviderName>().map_err(|error| refused(&error.to_string()))?;
            check(parsed, one).map_err(|why| refused(&format!("{name}: {why}")))
        })
        .collect()
}

fn refused(why: &str) -> Problem {
    Problem::new("login.settings", "the file of login providers cannot be used")
        .cause(why.to_owned())
        .hint("every key is described in docs/reference/login.md")
}

fn check(name: ProviderName, one: Written) -> Result<ProviderSettings, String> {
    let (issuer, api) = match one.kind {
        ProviderKind::OpenidConnect => {
            if one.url.is_some() {
                return Err("`url` belongs to GitHub; an OpenID Connect provider has an `issuer`".into());
            }
            (one.issuer.clone().ok_or("`issuer` is missing")?, String::new())
        }
        ProviderKind::Github => github_addresses(&one)?,
    };
    let loopback = check_address(&issuer)?;
    if one.kind == ProviderKind::Github && one.client_secret_file.is_none() {
        return Err("`client-secret-file` is missing: GitHub wants a secret".into());
    }
    let scopes = one.scopes.clone().unwrap_or_else(|| default_scopes(&one));
    let title = one.title.unwrap_or_else(|| name.to_string());
    let texts = [&title, &one.client_id].into_iter().chain(&scopes).chain(&one.groups_claim);
    let groups = one.roles.iter().map(|role| &role.group);
    if let Some(bad) = texts.chain(groups).find(|text| !is_plain(text)) {
        return Err(format!("{bad:?} must have 1 to {LONGEST} characters and no control characters"));
    }
    if let Some(bad) = scopes.iter().find(|scope| scope.contains(char::is_whitespace)) {
        return Err(format!("{bad:?} is no scope: it has a space"));
    }
    if one.roles.len() > MOST_ROLES {
        return Err(format!("at most {MOST_ROLES} `roles` can be named"));
    }
    if one.kind == ProviderKind::OpenidConnect && !one.roles.is_empty() && one.groups_claim.is_none() {
        return Err("`groups-claim` is missing: without it no group is ever seen".into());
    }
    Ok(ProviderSettings {
        name,
        kind: one.kind,
        title,
        issuer,
        api,
        client_id: one.client_id,
        client_secret_file: one.client_secret_file,
        scopes,
        groups_claim: one.groups_claim,
        new_accounts: one.new_accounts,
        roles: one.roles,
        loopback,
    })
}

/// GitHub itself, or an installation of it, whose API lies below its own address.
fn github_addresses(one: &Written) -> Result<(String, String), String> {
    if one.issuer.is_some() || one.groups_claim.is_some() {
        return Err("`issuer` and `groups-claim` belong to OpenID Connect, not to GitHub".into());
    }
    Ok(match &one.url {
        None => (GITHUB.to_owned(), GITHUB_API.to_owned()),
        Some(url) => {
            let url = url.trim_end_matches('/');
            (url.to_owned(), format!("{url}/api/v3"))
        }
    })
}

/// What is asked for: as little as the settings need.
fn default_scopes(one: &Written) -> Vec<String> {
    let scope = match one.kind {
        ProviderKind::OpenidConnect => Some("profile"),
        ProviderKind::Github => (!one.roles.is_empty()).then_some("read:org"),
    };
    scope.into_iter().map(str::to_owned).collect()
}

/// Whether the address is on this machine. Without TLS it must be.
fn check_address(text: &str) -> Result<bool, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} must have no user, no query and no fragment"));
    }
    match (url.scheme(), is_loopback(&url)) {
        ("https" | "http", true) => Ok(true),
        ("https", false) => Ok(false),
        _ => Err(format!("{text:?} must start with https://; http:// is for a provider on this machine")),
    }
}

/// Whether an address can only mean this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

fn is_plain(text: &str) -> bool {
    (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [keycloak]
        kind = "openid-connect"
        title = "Keycloak"
        issuer = "https://id.example.com/realms/team"
        client-id = "naru"
        client-secret-file = "/etc/naru/keycloak"
        groups-claim = "groups"
        new-accounts = "mapped-groups"
        roles = [{ group = "/shop/developers", organisation = "main", role = "developer" }]

        [github]
        kind = "github"
        client-id = "Iv1.abc"
        client-secret-file = "/etc/naru/github"
    "#;

    fn why(text: &str) -> String {
        parse(text).unwrap_err().cause.join("\n")
    }

    #[test]
    fn a_file_names_its_providers() {
        let [github, keycloak]: [_; 2] = parse(GOOD).unwrap().try_into().unwrap();
        assert_eq!((github.issuer.as_str(), github.api.as_str()), (GITHUB, GITHUB_API));
        assert_eq!((github.title.as_str(), github.new_accounts), ("github", NewAccounts::Nobody));
        assert!(github.scopes.is_empty(), "what nobody needs is not asked for");
        assert_eq!(keycloak.scopes, ["profile"]);
        assert_eq!(keycloak.roles[0].role, Role::Developer);
        assert!(!keycloak.loopback && parse("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let oidc = |rest: &str| format!("[x]\nkind = \"openid-connect\"\nclient-id = \"naru\"\n{rest}");
        for (text, expected) in [
            (oidc(""), "x: `issuer` is missing"),
            (oidc("issuer = \"http://id.example.com\""), "must start with https://"),
            (oidc("issuer = \"ftp://127.0.0.1\""), "must start with https://"),
            (oidc("issuer = \"https://me:secret@id.example.com\""), "must have no user"),
            (oidc("issuer = \"nowhere\""), "is no address"),
            (oidc("issuer = \"https://x\"\ntitle = \"a\\u0000b\""), "no control characters"),
            (oidc("issuer = \"https://x\"\nscopes = [\"a b\"]"), "is no scope"),
            (oidc("issuer = \"https://x\"\nsecret = \"y\""), "unknown field `secret`"),
            (
                oidc(
                    "issuer = \"https://x\"\nroles = [{ group = \"g\", organisation = \"o\", role = \"viewer\" }]",
                ),
                "`groups-claim` is missing",
            ),
            (
                oidc(
                    "issuer = \"https://x\"\nroles = [{ group = \"g\", organisation = \"o\", role = \"god\" }]",
                ),
                "unknown variant `god`",
            ),
            ("[github]\nkind = \"github\"\nclient-id = \"x\"".into(), "GitHub wants a secret"),
            ("[\"../x\"]\nkind = \"github\"\nclient-id = \"x\"".into(), "lower-case letters"),
        ] {
            let why = why(&text);
            assert!(why.contains(expected), "{text}\n→ {why}");
        }
    }

    #[test]
    fn without_tls_a_provider_must_be_on_this_machine() {
        for good in ["http://127.0.0.1:3000", "http://[::1]/x", "http://localhost:8080"] {
            assert_eq!(check_address(good), Ok(true), "{good}");
        }
        for bad in ["http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
        assert_eq!(check_address("https://10.0.0.1/realms/x"), Ok(false), "a network of one's own has TLS");
    }
}
