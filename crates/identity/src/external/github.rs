//! GitHub, or an installation of it: OAuth 2.0 (RFC 6749) with PKCE, then its API for who came and where they belong.
//! It has no ID tokens: what its API says over TLS is believed.

use naru_model::Timestamp;
use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::http;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::attempt::Attempt;
use super::claims;
use super::settings::ProviderSettings;
use super::transport::{CallError, Transport};
use super::{Answer, ExternalError, Person, Secret};

/// Organisations or teams on one page of the API.
const PER_PAGE: usize = 100;
/// Pages that are read.
const MOST_PAGES: usize = 10;

type Client = oauth2::Client<
    BasicErrorResponse,
    oauth2::basic::BasicTokenResponse,
    oauth2::basic::BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// One GitHub.
pub(crate) struct GitHub {
    transport: Transport,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Organisation {
    login: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
    organization: Organisation,
}

/// GitHub refuses a code with status 200.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl GitHub {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// The address that the browser is sent to.
    pub(crate) fn authorization(
        settings: &ProviderSettings,
        attempt: &Attempt,
        redirect: &str,
    ) -> Result<String, ExternalError> {
        let client = client(settings, redirect, None)?;
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let state = attempt.state.clone();
        let (url, _) = client
            .authorize_url(move || CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(settings.scopes.iter().cloned().map(Scope::new))
            .url();
        Ok(url.to_string())
    }

    /// Who GitHub says came.
    pub(crate) async fn person(
        &self,
        settings: &ProviderSettings,
        attempt: &Attempt,
        answer: &Answer,
        redirect: &str,
        secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Person, ExternalError> {
        let client = client(settings, redirect, secret)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(answer.code.clone()))
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()))
            .request_async(&self.transport)
            .await
            .map_err(refused_code)?;
        let token = tokens.access_token().secret();
        let user: User = self.get(token, &format!("{}/user", settings.api)).await?;
        let groups =
            if settings.roles.is_empty() { Vec::new() } else { self.groups(token, &settings.api).await? };
        Ok(Person {
            subject: user.id.to_string(),
            name: user.login,
            title: user.name.unwrap_or_default(),
            groups,
            proved_at: now,
        })
    }

    /// Organisations as `acme`, teams as `acme/platform`.
    async fn groups(&self, token: &str, api: &str) -> Result<Vec<String>, ExternalError> {
        let organisations: Vec<Organisation> = self.pages(token, &format!("{api}/user/orgs")).await?;
        let teams: Vec<Team> = self.pages(token, &format!("{api}/user/teams")).await?;
        let teams = teams.into_iter().map(|team| format!("{}/{}", team.organization.login, team.slug));
        Ok(organisations.into_iter().map(|organisation| organisation.login).chain(teams).collect())
    }

    async fn pages<T: DeserializeOwned>(&self, token: &str, url: &str) -> Result<Vec<T>, ExternalError> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let more: Vec<T> = self.get(token, &format!("{url}?per_page={PER_PAGE}&page={page}")).await?;
            let is_last = more.len() < PER_PAGE;
            all.extend(more);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn get<T: DeserializeOwned>(&self, token: &str, url: &str) -> Result<T, ExternalError> {
        let request = http::Request::builder()
            .uri(url)
            .header(http::header::ACCEPT, "application/vnd.github+json")
            .header(http::header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Vec::new())
            .map_err(|_| ExternalError::NotVerified("its token cannot be used".into()))?;
        let answer = self.transport.send(request).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(ExternalError::Away(format!("GitHub's API answers {}", answer.status())));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| ExternalError::Away(format!("GitHub's API answers strangely: {error}")))
    }

    /// Whether its API answers.
    pub(crate) async fn check(&self, settings: &ProviderSettings) -> Result<(), String> {
        let request = http::Request::builder().uri(&settings.api).body(Vec::new());
        let answer = self.transport.send(request.map_err(|error| error.to_string())?).await;
        match answer.map_err(|error| error.to_string())?.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("{} answers {status}", settings.api)),
        }
    }
}

fn client(
    settings: &ProviderSettings,
    redirect: &str,
    secret: Option<&Secret>,
) -> Result<Client, ExternalError> {
    let at = |path: &str| format!("{}/login/oauth/{path}", settings.issuer);
    let wrong = |error: oauth2::url::ParseError| ExternalError::NotSetUp(error.to_string());
    let client = BasicClient::new(ClientId::new(settings.client_id.clone()))
        .set_auth_uri(AuthUrl::new(at("authorize")).map_err(wrong)?)
        .set_token_uri(TokenUrl::new(at("access_token")).map_err(wrong)?)
        .set_redirect_uri(RedirectUrl::new(redirect.to_owned()).map_err(wrong)?)
        // GitHub reads the secret from the body only.
        .set_auth_type(oauth2::AuthType::RequestBody);
    Ok(match secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
        None => client,
    })
}

/// Which of the two GitHub did: it did not answer, or it said no.
fn refused_code(error: RequestTokenError<CallError, BasicErrorResponse>) -> ExternalError {
    match error {
        RequestTokenError::ServerResponse(response) => {
            ExternalError::NotVerified(claims::short(&response.to_string()))
        }
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::Parse(error, body) => match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => ExternalError::NotVerified(claims::short(&refusal.error)),
            Err(_) => ExternalError::Away(claims::short(&error.to_string())),
        },
        RequestTokenError::Other(why) => ExternalError::Away(claims::short(&why)),
    }
}
