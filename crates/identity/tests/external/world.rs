//! One instance in memory with two login providers that are doubles.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use naru_identity::external::{Answer, Entered, External, ExternalError, Purpose};
use naru_identity::{Identity, Origin};
use naru_model::authorise::Principal;
use naru_model::effect::Unobserved;
use naru_model::name::ProviderName;
use naru_model::{Clock, Timestamp};
use naru_secret::KeyRing;
use naru_store::Store;
use secrecy::ExposeSecret as _;

use crate::double::{CLIENT, Double, NOW, SECRET, Somebody, parameters};

pub(crate) struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct World {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) external: External,
    pub(crate) double: Double,
    hands: Arc<Hands>,
    _folder: tempfile::TempDir,
}

/// Groups and what they give, as in the file.
const ROLES: &str = r#"
roles = [
    { group = "/dev", organisation = "main", role = "developer" },
    { group = "/boss", organisation = "main", role = "owner" },
    { group = "/dev", organisation = "nowhere", role = "owner" },
    { group = "Acme", organisation = "main", role = "viewer" },
    { group = "acme/platform", organisation = "main", role = "maintainer" },
]
"#;

impl World {
    /// Whoever is in a mapped group may make an account.
    pub(crate) async fn new() -> Self {
        Self::with("new-accounts = \"mapped-groups\"").await
    }

    /// With more lines for both providers.
    pub(crate) async fn with(more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let double = Double::start().await;
        let hands = Arc::new(Hands(Mutex::new(Timestamp::from_second(NOW).unwrap())));
        let store = Store::open(&folder.path().join("naru.db"), hands.clone(), Arc::new(Unobserved)).await;
        let store = store.unwrap();
        let keys = Arc::new(KeyRing::open(&folder.path().join("key")).unwrap());
        let identity = Identity::new(store.clone(), keys.clone());
        let link = identity.offer_setup().await.unwrap().unwrap();
        let password = "river crossing at dawn".to_owned().into();
        identity.setup(&link, "minji", password, &Origin::default()).await.unwrap();

        let secret = folder.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let mut text = String::new();
        let one =
            format!("client-id = {CLIENT:?}\nclient-secret-file = \"{}\"\n{more}\n{ROLES}", secret.display());
        write!(
            text,
            "[keycloak]\nkind = \"openid-connect\"\nissuer = {0:?}\nscopes = [\"profile\", \"groups\"]\n\
             groups-claim = \"groups\"\n{one}\n[github]\nkind = \"github\"\nurl = {0:?}\n{one}",
            double.address
        )
        .unwrap();
        let file = folder.path().join("providers.toml");
        std::fs::write(&file, text).unwrap();
        let external = External::open(identity.clone(), keys, "http://127.0.0.1:7070", Some(&file)).unwrap();
        Self { identity, store, external, double, hands, _folder: folder }
    }

    pub(crate) fn later(&self, seconds: i64) {
        let mut now = self.hands.0.lock().unwrap();
        *now = Timestamp::from_second(now.as_second() + seconds).unwrap();
    }

    /// There and back.
    pub(crate) async fn come(&self, who: Somebody) -> Result<Entered, ExternalError> {
        self.come_by("keycloak", Purpose::Enter, who).await
    }

    pub(crate) async fn come_by(
        &self,
        provider: &str,
        purpose: Purpose,
        who: Somebody,
    ) -> Result<Entered, ExternalError> {
        let provider: ProviderName = provider.parse().unwrap();
        let departure = self.external.begin(&provider, purpose, Some("/projects")).await?;
        let url = &departure.url;
        let redirect = format!("http://127.0.0.1:7070/login/{provider}/callback");
        assert_eq!(parameters(url)["redirect_uri"], redirect);
        let (code, state) = self.double.visit(url, who);
        let answer = Answer { code, state, ..Answer::default() };
        self.external.finish(&provider, departure.sealed.expose_secret(), &answer, &Origin::default()).await
    }

    /// The id of a session of an account.
    pub(crate) async fn session(&self, login: &str) -> String {
        let principal = Principal { login: login.to_owned(), credential_id: "test".to_owned() };
        self.identity.start_session(&principal, &Origin::default()).await.unwrap().id
    }

    /// What an account is in the organisation `main`.
    pub(crate) async fn role(&self, login: &str) -> String {
        let role = self.store.role_in(login, &"main".parse().unwrap()).await.unwrap();
        role.map_or_else(|| "none".to_owned(), |role| role.to_string())
    }
}

/// The code of a refusal, and why.
pub(crate) fn refusal(result: Result<Entered, ExternalError>) -> String {
    let error = result.map(|entered| format!("{} came in", entered.principal.login)).unwrap_err();
    let problem = naru_model::Problem::from(error);
    [problem.code.to_string(), problem.cause.join("; ")].join(" ").trim().to_owned()
}
