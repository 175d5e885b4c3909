//! One order at an authority by ACME (RFC 8555), proved by HTTP-01 (§8.3) through the edge's plain port.

use std::error::Error as _;
use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use naru_secret::{ExposeSecret as _, SecretString, place};

use crate::{AcmeSettings, Certificates, Error};

/// How long an order may take.
const ORDER: Duration = Duration::from_mins(4);
/// How long the authority may take to look at the challenge, and to sign.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_secs(90));

impl Certificates {
    /// Chain and key from the authority, in PEM.
    pub(crate) async fn order(
        &self,
        settings: &AcmeSettings,
        host: &str,
    ) -> Result<(String, SecretString), Error> {
        let ordered = tokio::time::timeout(ORDER, self.carry_out(settings, host)).await;
        ordered
            .unwrap_or_else(|_| Err(Error::Authority(format!("no certificate within {} s", ORDER.as_secs()))))
    }

    async fn carry_out(&self, settings: &AcmeSettings, host: &str) -> Result<(String, SecretString), Error> {
        let account = self.account(settings).await?;
        let names = [Identifier::Dns(host.to_owned())];
        let order = account.new_order(&NewOrder::new(&names)).await;
        let mut order = match order {
            Ok(order) => order,
            Err(error) => {
                if is_about_the_account(&error) {
                    self.store.delete_acme_account(&settings.directory).await?;
                }
                return Err(said("the order", &error));
            }
        };
        self.prove(host, &mut order).await?;
        match order.poll_ready(&PATIENCE).await.map_err(|error| said("the proof", &error))? {
            OrderStatus::Ready | OrderStatus::Valid => {}
            _ => return Err(Error::Authority(refusal(&mut order).await)),
        }
        let key = order.finalize().await.map_err(|error| said("the request", &error))?;
        let chain = order.poll_certificate(&PATIENCE).await;
        Ok((chain.map_err(|error| said("the certificate", &error))?, SecretString::from(key)))
    }

    /// Tells the edge what to answer, then the authority that it may ask.
    async fn prove(&self, host: &str, order: &mut Order) -> Result<(), Error> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| said("the authorization", &error))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Error::Authority(format!("the authorization is {other:?}"))),
            }
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or_else(|| Error::Authority("the authority does not offer HTTP-01".into()))?;
            let answer = challenge.key_authorization();
            self.store.put_acme_challenge(host, &challenge.token, answer.as_str()).await?;
            self.publish().await?;
            challenge.set_ready().await.map_err(|error| said("the challenge", &error))?;
        }
        Ok(())
    }

    /// The account at a directory, which is made when there is none.
    async fn account(&self, settings: &AcmeSettings) -> Result<Account, Error> {
        let _turn = self.turns.account.lock().await;
        let directory = &settings.directory;
        let name = place::acme_account(directory);
        let failed = |error: &instant_acme::Error| match said(&format!("the directory {directory}"), error) {
            Error::Authority(words) => Error::Away(words),
            other => other,
        };
        if let Some(sealed) = self.store.acme_account(directory).await? {
            let text = self.keys.open_own(&name, &sealed.parse()?)?;
            let credentials: AccountCredentials = serde_json::from_str(text.expose_secret())
                .map_err(|error| Error::Authority(format!("the kept account: {error}")))?;
            let account = builder(settings)?.from_credentials(credentials).await;
            return account.map_err(|error| failed(&error));
        }
        let contact = settings.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = builder(settings)?.create(&wanted, directory.clone(), None).await;
        let (account, credentials) = made.map_err(|error| failed(&error))?;
        let text = serde_json::to_string(&credentials).expect("credentials are plain data");
        let sealed = self.keys.seal_own(&name, &SecretString::from(text))?;
        self.store.put_acme_account(directory, &sealed.to_string()).await?;
        Ok(account)
    }
}

fn builder(settings: &AcmeSettings) -> Result<AccountBuilder, Error> {
    let builder = match &settings.root {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    };
    builder.map_err(|error| said("the root of the directory's certificate", &error))
}

/// A directory that lost its accounts is not asked with a lost one for ever.
fn is_about_the_account(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem)
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist"))
}

/// What the authority saw when it looked.
async fn refusal(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            let seen = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = seen {
                return format!("the authority refuses the proof: {problem}");
            }
        }
    }
    "the authority refuses the order".into()
}

/// An error with what lies under it: "connection refused" is never the first.
fn said(what: &str, error: &instant_acme::Error) -> Error {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    Error::Authority(text.chars().take(500).collect())
}
