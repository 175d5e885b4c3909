//! OpenID Connect: the authorization code flow (Core 1.0, section 3.1) with PKCE (RFC 7636), and what an ID token must
//! be before it is believed (section 3.1.3.7). Knows nothing of accounts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use naru_model::Timestamp;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims,
    UserInfoError,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::attempt::{Attempt, Purpose};
use super::claims::{self, Json};
use super::settings::ProviderSettings;
use super::transport::{CallError, Transport};
use super::{Answer, ExternalError, Person, Secret};

/// How long what the provider says about itself, its keys among it, is believed.
const METADATA_LASTS: i64 = 600;
/// After a key that is not known, or no answer, it is not asked again sooner than this.
const METADATA_PAUSE: i64 = 5;
/// How far the provider's clock may be from ours where a time is asked for, in seconds.
const CLOCKS_DIFFER: i64 = 60;

/// Signatures that are believed: the provider's own, never one that is made with our secret, never none.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Claims that no specification names, such as groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Others {
    #[serde(flatten)]
    all: Json,
}

impl AdditionalClaims for Others {}

type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Claims = IdTokenClaims<Others, CoreGenderClaim>;
type Client = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// One provider that speaks OpenID Connect.
pub(crate) struct OpenId {
    transport: Transport,
    known: Mutex<Option<Known>>,
}

/// What the provider said about itself, or why it did not.
struct Known {
    at: Timestamp,
    said: Result<Arc<CoreProviderMetadata>, String>,
}

impl OpenId {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, known: Mutex::new(None) }
    }

    /// The address that the browser is sent to.
    pub(crate) async fn authorization(
        &self,
        settings: &ProviderSettings,
        attempt: &Attempt,
        redirect: &str,
    ) -> Result<String, ExternalError> {
        let metadata = self.metadata(settings, attempt.began_at, METADATA_LASTS).await?;
        let client = client(settings, &metadata, redirect, None)?;
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let (state, nonce) = (attempt.state.clone(), attempt.nonce.clone());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(settings.scopes.iter().cloned().map(Scope::new));
        if attempt.purpose == Purpose::EnterAgain {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        Ok(request.url().0.to_string())
    }

    /// Who the provider says came.
    pub(crate) async fn person(
        &self,
        settings: &ProviderSettings,
        attempt: &Attempt,
        answer: &Answer,
        redirect: &str,
        secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Person, ExternalError> {
        // RFC 9207: a provider that names itself in its answer must be the one that was asked.
        if answer.issuer.as_ref().is_some_and(|issuer| *issuer != settings.issuer) {
            return Err(ExternalError::NotVerified("the answer is another provider's".into()));
        }
        let metadata = self.metadata(settings, now, METADATA_LASTS).await?;
        let client = client(settings, &metadata, redirect, secret)?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(answer.code.clone()))
            .map_err(|error| ExternalError::Away(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()))
            .request_async(&self.transport)
            .await
            .map_err(refused_code)?;
        let claims = match verify(&client, &tokens, attempt, now) {
            Err(error) if is_unknown_key(&error) => {
                // The provider may have changed its keys since it was asked for them.
                let metadata = self.metadata(settings, now, METADATA_PAUSE).await?;
                let client = self::client(settings, &metadata, redirect, secret)?;
                verify(&client, &tokens, attempt, now)
            }
            verified => verified,
        };
        let claims = claims.map_err(|error| ExternalError::NotVerified(said(&error)))?;
        let groups = self.groups(settings, &client, &tokens, &claims).await?;
        Ok(person(attempt, &claims, groups, now))
    }

    /// What the provider says about itself, at most `lasts` seconds old.
    async fn metadata(
        &self,
        settings: &ProviderSettings,
        now: Timestamp,
        lasts: i64,
    ) -> Result<Arc<CoreProviderMetadata>, ExternalError> {
        let mut known = self.known.lock().await;
        let age = |known: &Known| now.as_second() - known.at.as_second();
        let good = known.as_ref().filter(|known| {
            let lasts = if known.said.is_ok() { lasts } else { METADATA_PAUSE };
            (0..lasts).contains(&age(known))
        });
        if let Some(known) = good {
            return known.said.clone().map_err(ExternalError::Away);
        }
        let said = self.discover(settings).await;
        *known = Some(Known { at: now, said: said.clone() });
        said.map_err(ExternalError::Away)
    }

    async fn discover(&self, settings: &ProviderSettings) -> Result<Arc<CoreProviderMetadata>, String> {
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|error| error.to_string())?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.transport).await;
        found.map(Arc::new).map_err(|error: DiscoveryError<CallError>| said(&error))
    }

    /// Asks afresh what the provider says about itself.
    pub(crate) async fn check(&self, settings: &ProviderSettings) -> Result<(), String> {
        self.discover(settings).await.map(drop)
    }

    /// The person's groups: in the ID token, else at the provider's userinfo address.
    async fn groups(
        &self,
        settings: &ProviderSettings,
        client: &Client,
        tokens: &Tokens,
        claims: &Claims,
    ) -> Result<Vec<String>, ExternalError> {
        let Some(claim) = &settings.groups_claim else { return Ok(Vec::new()) };
        if let Some(groups) = claims::groups(&claims.additional_claims().all, claim) {
            return Ok(groups);
        }
        let token = tokens.access_token();
        if client.user_info_url().is_none() || !can_be_sent(token) {
            return Ok(Vec::new());
        }
        let info = self.user_info(client, token.clone(), claims.subject().clone()).await;
        let info = info.map_err(|error| match error {
            UserInfoError::Request(error) => ExternalError::from(error),
            error => ExternalError::NotVerified(said(&error)),
        })?;
        Ok(claims::groups(&info.additional_claims().all, claim).unwrap_or_default())
    }

    async fn user_info(
        &self,
        client: &Client,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<UserInfoClaims<Others, CoreGenderClaim>, UserInfoError<CallError>> {
        let request = client.user_info(token, Some(subject));
        let request = request.map_err(|error| UserInfoError::Other(error.to_string()))?;
        request.request_async(&self.transport).await
    }
}

fn client(
    settings: &ProviderSettings,
    metadata: &CoreProviderMetadata,
    redirect: &str,
    secret: Option<&Secret>,
) -> Result<Client, ExternalError> {
    let redirect = RedirectUrl::new(redirect.to_owned())
        .map_err(|error| ExternalError::NotSetUp(format!("the public address: {error}")))?;
    let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
    let id = ClientId::new(settings.client_id.clone());
    let client = Client::from_provider_metadata(metadata.clone(), id, secret).set_redirect_uri(redirect);
    Ok(if wants_secret_in_body(metadata) { client.set_auth_type(AuthType::RequestBody) } else { client })
}

/// Without a word about it, a provider takes the secret in the header (Discovery 1.0, section 3).
fn wants_secret_in_body(metadata: &CoreProviderMetadata) -> bool {
    use openidconnect::core::CoreClientAuthMethod::{ClientSecretBasic, ClientSecretPost};
    metadata
        .token_endpoint_auth_methods_supported()
        .is_some_and(|methods| methods.contains(&ClientSecretPost) && !methods.contains(&ClientSecretBasic))
}

/// Issuer, audience, signature, expiry, nonce, and, where it was asked for, that the person proved themselves now.
fn verify(
    client: &Client,
    tokens: &Tokens,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<Claims, ClaimsVerificationError> {
    let token = tokens
        .id_token()
        .ok_or_else(|| ClaimsVerificationError::Other("there is no ID token in the answer".into()))?;
    let time = DateTime::<Utc>::from_timestamp(now.as_second(), 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let asked_at = attempt.began_at.as_second() - CLOCKS_DIFFER;
    let again = attempt.purpose == Purpose::EnterAgain;
    let verifier = client
        .id_token_verifier()
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || time)
        .set_auth_time_verifier_fn(move |proved_at| match proved_at {
            _ if !again => Ok(()),
            Some(at) if at.timestamp() >= asked_at => Ok(()),
            _ => Err("the provider did not ask again".to_owned()),
        });
    let claims = token.claims(&verifier, &Nonce::new(attempt.nonce.clone()))?.clone();
    match claims.authorized_party() {
        Some(party) if party.as_str() != client.client_id().as_str() => {
            Err(ClaimsVerificationError::InvalidAudience("it was made for another client".into()))
        }
        _ => Ok(claims),
    }
}

fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    matches!(error, ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey))
}

fn person(attempt: &Attempt, claims: &Claims, groups: Vec<String>, now: Timestamp) -> Person {
    let proved_at = claims.auth_time().and_then(|at| Timestamp::from_second(at.timestamp()).ok());
    let again = attempt.purpose == Purpose::EnterAgain;
    let name = claims.preferred_username().map(|name| name.as_str().to_owned());
    let title = claims.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned());
    Person {
        subject: claims.subject().as_str().to_owned(),
        name: name.unwrap_or_else(|| claims.subject().as_str().to_owned()),
        title: title.unwrap_or_default(),
        groups,
        // With a session at the provider, somebody may come in without a proof of today.
        proved_at: if again { now } else { proved_at.map_or(now, |at| at.min(now)) },
    }
}

/// A header cannot carry everything.
fn can_be_sent(token: &AccessToken) -> bool {
    token.secret().bytes().all(|byte| byte.is_ascii_graphic())
}

/// Which of the two the provider did: it did not answer, or it said no.
fn refused_code(
    error: RequestTokenError<CallError, StandardErrorResponse<CoreErrorResponseType>>,
) -> ExternalError {
    match error {
        RequestTokenError::ServerResponse(response) => {
            ExternalError::NotVerified(claims::short(&response.to_string()))
        }
        RequestTokenError::Request(error) => error.into(),
        error => ExternalError::Away(said(&error)),
    }
}

/// An error with what lies under it.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    claims::short(&text)
}
