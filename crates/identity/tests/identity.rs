//! Identity over a real store: the setup link, logins, tokens and what they open.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_identity::{Authorise, Credentials, Identity, IdentityError, Login, NewToken, Origin, Proof};
use naru_model::authorise::{Denied, Permission, Principal, Resource};
use naru_model::effect::Unobserved;
use naru_model::{Clock, Timestamp};
use naru_secret::KeyRing;
use naru_store::Store;
use secrecy::{ExposeSecret as _, SecretString};

struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct World {
    identity: Identity,
    store: Store,
    clock: Arc<Hands>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(Mutex::new("2026-11-21T10:00:00Z".parse().unwrap())));
        let store =
            Store::open(&folder.path().join("naru.db"), clock.clone(), Arc::new(Unobserved)).await.unwrap();
        let keys = Arc::new(KeyRing::open(&folder.path().join("key")).unwrap());
        let identity = Identity::new(store.clone(), keys).known_as("deploy.example.com");
        Self { identity, store, clock, _folder: folder }
    }

    fn pass(&self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now += time;
    }

    async fn administrator(&self) -> Principal {
        let link = self.identity.offer_setup().await.unwrap().unwrap();
        self.identity.setup(&link, "minji", password(), &Origin::default()).await.unwrap()
    }

    async fn may(
        &self,
        token: &SecretString,
        permission: Permission,
        resource: Resource,
    ) -> Result<(), Denied> {
        let credentials = Credentials::Token(token.expose_secret().to_owned());
        self.identity.authorise(&credentials, permission, &resource).await.map(|_| ())
    }
}

fn password() -> SecretString {
    "river crossing at dawn".to_owned().into()
}

async fn log_in(world: &World, login: &str, password: SecretString) -> Result<Principal, IdentityError> {
    world.identity.log_in(Login { login: login.to_owned(), password, code: None }, &Origin::default()).await
}

#[tokio::test]
async fn the_setup_link_works_once_and_only_the_newest() {
    let world = World::new().await;
    let old = world.identity.offer_setup().await.unwrap().unwrap();
    let new = world.identity.offer_setup().await.unwrap().unwrap();
    let refused = world.identity.setup(&old, "minji", password(), &Origin::default()).await.unwrap_err();
    assert!(matches!(refused, IdentityError::NoSuchSetupLink));
    assert!(world.identity.needs_setup().await.unwrap());

    let weak =
        world.identity.setup(&new, "minji", "short".to_owned().into(), &Origin::default()).await.unwrap_err();
    assert!(matches!(weak, IdentityError::BadPassword));

    world.identity.setup(&new, "minji", password(), &Origin::default()).await.unwrap();
    let again = world.identity.setup(&new, "second", password(), &Origin::default()).await.unwrap_err();
    assert!(matches!(again, IdentityError::NoSuchSetupLink));
    assert!(world.identity.offer_setup().await.unwrap().is_none());
    assert!(world.store.account("second").await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_people_with_one_setup_link_one_becomes_administrator() {
    let world = World::new().await;
    let link = world.identity.offer_setup().await.unwrap().unwrap();
    let nowhere = Origin::default();
    let (first, second) = tokio::join!(
        world.identity.setup(&link, "first", password(), &nowhere),
        world.identity.setup(&link, "second", password(), &nowhere)
    );
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_also_for_a_login_that_does_not_exist() {
    let world = World::new().await;
    world.administrator().await;
    for login in ["minji", "nobody"] {
        for _ in 0..5 {
            let wrong = log_in(&world, login, "wrong".to_owned().into()).await.unwrap_err();
            assert!(matches!(wrong, IdentityError::WrongPassword));
        }
        let refused = log_in(&world, login, password()).await.unwrap_err();
        assert!(matches!(refused, IdentityError::TooManyAttempts { .. }));
    }
    world.pass(Duration::from_secs(61));
    assert_eq!(log_in(&world, "minji", password()).await.unwrap().login, "minji");
}

#[tokio::test]
async fn a_token_ends_by_time_or_by_hand() {
    let world = World::new().await;
    let minji = world.administrator().await;
    let lasting = NewToken { lasts: Some(Duration::from_hours(1)), ..NewToken::default() };
    let short = world.identity.create_token(&minji, lasting).await.unwrap();
    let long = world.identity.create_token(&minji, NewToken::default()).await.unwrap();
    let read = || (Permission::ReadInstance, Resource::Instance);
    assert_eq!(world.may(&short.plain, read().0, read().1).await, Ok(()));

    world.pass(Duration::from_hours(2));
    assert_eq!(world.may(&short.plain, read().0, read().1).await, Err(Denied::Unauthenticated));
    assert_eq!(world.may(&long.plain, read().0, read().1).await, Ok(()));
    let used = world.store.token(&long.id).await.unwrap().unwrap().last_used_at;
    assert_eq!(used, Some(world.clock.now()));

    world.identity.revoke_token(&minji, &long.id).await.unwrap();
    assert_eq!(world.may(&long.plain, read().0, read().1).await, Err(Denied::Unauthenticated));
}

#[tokio::test]
async fn the_plain_text_of_a_token_is_nowhere_in_the_store() {
    let world = World::new().await;
    let minji = world.administrator().await;
    let issued = world.identity.create_token(&minji, NewToken::default()).await.unwrap();
    let row = world.store.token(&issued.id).await.unwrap().unwrap();
    assert!(!format!("{row:?}").contains(issued.plain.expose_secret()));
    assert!(!format!("{issued:?}").contains(issued.plain.expose_secret()));
}

#[tokio::test]
async fn a_token_of_one_project_says_the_same_of_another_and_of_a_missing_one() {
    let world = World::new().await;
    let minji = world.administrator().await;
    let shop: naru_model::ProjectName = "shop".parse().unwrap();
    let main = "main".parse().unwrap();
    world.store.create_project(&shop, &main).await.unwrap();
    world.store.create_project(&"other".parse().unwrap(), &main).await.unwrap();
    let new =
        NewToken { project: Some(shop.clone()), permissions: vec![Permission::Read], ..NewToken::default() };
    let token = world.identity.create_token(&minji, new).await.unwrap().plain;
    assert_eq!(world.may(&token, Permission::Read, Resource::Project(shop.clone())).await, Ok(()));
    let other = world.may(&token, Permission::Read, Resource::Project("other".parse().unwrap())).await;
    let missing = world.may(&token, Permission::Read, Resource::Project("missing".parse().unwrap())).await;
    assert_eq!(other, Err(Denied::Forbidden));
    assert_eq!(other, missing);

    world.store.forget_project(&shop).await.unwrap();
    assert_eq!(
        world.may(&token, Permission::Read, Resource::Project(shop)).await,
        Err(Denied::Unauthenticated),
        "a project's tokens go with it"
    );
}

#[tokio::test]
async fn the_engine_has_its_own_tokens_and_sweeps_them() {
    let world = World::new().await;
    let shop: naru_model::ProjectName = "shop".parse().unwrap();
    world.store.create_project(&shop, &"main".parse().unwrap()).await.unwrap();
    let lasts = Duration::from_hours(1);
    let first = world.identity.engine_token(Some(&shop), &[Permission::PushImage], lasts).await.unwrap();
    assert_eq!(world.may(&first.plain, Permission::PushImage, Resource::Project(shop.clone())).await, Ok(()));
    assert_eq!(
        world.may(&first.plain, Permission::PushSource, Resource::Project(shop.clone())).await,
        Err(Denied::Forbidden)
    );
    world.pass(Duration::from_hours(2));
    let every = world.identity.engine_token(None, &[Permission::Read], lasts).await.unwrap();
    assert!(world.store.token(&first.id).await.unwrap().is_none(), "ended engine tokens are swept");
    assert_eq!(world.may(&every.plain, Permission::Read, Resource::Project(shop)).await, Ok(()));
}

#[tokio::test]
async fn a_session_ends_by_time_and_by_logging_out() {
    let world = World::new().await;
    let minji = world.administrator().await;
    let session = world.identity.start_session(&minji, &Origin::default()).await.unwrap();
    let credentials = Credentials::Session(session.plain.expose_secret().to_owned());
    let ask = || world.identity.authorise(&credentials, Permission::OwnTokens, &Resource::Instance);
    let principal = ask().await.unwrap();
    world.identity.log_out(&principal).await.unwrap();
    assert_eq!(ask().await, Err(Denied::Unauthenticated));

    let second = world.identity.start_session(&minji, &Origin::default()).await.unwrap();
    let credentials = Credentials::Session(second.plain.expose_secret().to_owned());
    world.pass(Duration::from_hours(13));
    let ended = world.identity.authorise(&credentials, Permission::OwnTokens, &Resource::Instance).await;
    assert_eq!(ended, Err(Denied::Unauthenticated));
}

#[tokio::test]
async fn hostile_credentials_are_nobody() {
    let world = World::new().await;
    let long = "a".repeat(100_000);
    for text in ["", "naru_", "naru_000000000000_", "naru_000000000000_x", "' OR 1=1 --", long.as_str()] {
        for credentials in [Credentials::Token(text.to_owned()), Credentials::Session(text.to_owned())] {
            let answer =
                world.identity.authorise(&credentials, Permission::ReadInstance, &Resource::Instance).await;
            assert_eq!(answer, Err(Denied::Unauthenticated), "{text:.20}");
        }
    }
}

/// What an authenticator shows at the world's hour.
fn code(world: &World, secret: &SecretString) -> SecretString {
    let secret = totp_rs::Secret::try_from_base32(secret.expose_secret()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(world.clock.now().as_second()).unwrap();
    totp.generate(now).to_string().into()
}

async fn known(world: &World, principal: &Principal) -> naru_identity::Known {
    let token = world.identity.create_token(principal, NewToken::default()).await.unwrap();
    world.identity.identify(&Credentials::Token(token.plain.expose_secret().to_owned())).await.unwrap()
}

async fn log_in_with(world: &World, code: Option<&SecretString>) -> Result<Principal, IdentityError> {
    let login = Login { login: "minji".to_owned(), password: password(), code: code.cloned() };
    world.identity.log_in(login, &Origin::default()).await
}

/// With a second factor that counts; returns its secret and the recovery codes.
async fn with_second_factor() -> (World, SecretString, Vec<SecretString>) {
    let world = World::new().await;
    let minji = world.administrator().await;
    let minji = known(&world, &minji).await;
    let nowhere = Origin::default();
    let new = world.identity.begin_totp(&minji, password(), "Naru", &nowhere).await.unwrap();
    assert!(log_in_with(&world, None).await.is_ok(), "it does not count before it was confirmed");
    let first = code(&world, &new.secret);
    let codes = world.identity.confirm_totp(&minji, &first, &nowhere).await.unwrap();
    assert!(log_in_with(&world, Some(&first)).await.is_err(), "the code that confirmed it is used");
    (world, new.secret, codes)
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_a_code_counts_once() {
    let (world, secret, _) = with_second_factor().await;
    for wrong in [None, Some(String::new().into()), Some("000000".to_owned().into())] {
        let refused = log_in_with(&world, wrong.as_ref()).await.unwrap_err();
        assert!(matches!(refused, IdentityError::WrongPassword));
    }
    world.pass(Duration::from_secs(61));
    let now = code(&world, &secret);
    log_in_with(&world, Some(&now)).await.unwrap();
    assert!(log_in_with(&world, Some(&now)).await.is_err(), "the same code again");
    world.pass(Duration::from_secs(30));
    log_in_with(&world, Some(&code(&world, &secret))).await.unwrap();
    assert!(log_in_with(&world, Some(&now)).await.is_err(), "an older code, still within its half minute");
    let row = world.store.account("minji").await.unwrap().unwrap();
    assert!(!format!("{row:?}").contains(secret.expose_secret()), "the secret is sealed");
}

#[tokio::test]
async fn of_two_logins_with_one_code_one_comes_in() {
    let (world, secret, codes) = with_second_factor().await;
    world.pass(Duration::from_mins(1));
    let now = code(&world, &secret);
    let (first, second) = tokio::join!(log_in_with(&world, Some(&now)), log_in_with(&world, Some(&now)));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
    let one = Some(&codes[3]);
    let (first, second) = tokio::join!(log_in_with(&world, one), log_in_with(&world, one));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
}

#[tokio::test]
async fn a_recovery_code_counts_once_and_is_nowhere_in_the_store() {
    let (world, _, codes) = with_second_factor().await;
    assert_eq!(codes.len(), 10);
    let row = format!("{:?}", world.store.account("minji").await.unwrap().unwrap());
    assert!(codes.iter().all(|code| !row.contains(code.expose_secret())));
    let typed: SecretString = codes[0].expose_secret().to_uppercase().replace('-', " ").into();
    log_in_with(&world, Some(&typed)).await.unwrap();
    assert!(log_in_with(&world, Some(&typed)).await.is_err());
    log_in_with(&world, Some(&codes[1])).await.unwrap();
    assert_eq!(world.identity.totp("minji").await.unwrap().recovery_codes, 8);
}

#[tokio::test]
async fn a_wrong_password_does_not_use_a_code_up_and_codes_cannot_be_guessed_at_will() {
    let (world, secret, codes) = with_second_factor().await;
    world.pass(Duration::from_mins(1));
    let right = code(&world, &secret);
    for given in [&right, &codes[0]] {
        let login = Login {
            login: "minji".to_owned(),
            password: "wrong".to_owned().into(),
            code: Some(given.clone()),
        };
        assert!(world.identity.log_in(login, &Origin::default()).await.is_err());
    }
    log_in_with(&world, Some(&right)).await.unwrap();
    log_in_with(&world, Some(&codes[0])).await.unwrap();
    let guess: SecretString = "123456".to_owned().into();
    for _ in 0..5 {
        assert!(matches!(log_in_with(&world, Some(&guess)).await, Err(IdentityError::WrongPassword)));
    }
    let refused = log_in_with(&world, Some(&codes[1])).await.unwrap_err();
    assert!(matches!(refused, IdentityError::TooManyAttempts { .. }));
}

#[tokio::test]
async fn who_has_a_second_factor_confirms_with_it_and_a_code_counts_once_over_login_and_confirmation() {
    let (world, secret, codes) = with_second_factor().await;
    world.pass(Duration::from_mins(1));
    let now = code(&world, &secret);
    let principal = log_in_with(&world, Some(&now)).await.unwrap();
    let session = world.identity.start_session(&principal, &Origin::default()).await.unwrap();
    let browser = Credentials::Session(session.plain.expose_secret().to_owned());
    let minji = async || world.identity.identify(&browser).await.unwrap();
    world.pass(Duration::from_mins(11));
    assert!(world.identity.must_confirm(&minji().await));
    let confirm = async |password: SecretString, code: Option<&SecretString>| {
        let given = Proof { password, code: code.cloned() };
        world.identity.confirm(&minji().await, given, &Origin::default()).await
    };
    let right = code(&world, &secret);
    let wrong_password = confirm("wrong".to_owned().into(), Some(&right)).await;
    assert!(matches!(wrong_password, Err(IdentityError::WrongPassword)));
    for bad in [None, Some(&now)] {
        assert!(matches!(confirm(password(), bad).await, Err(IdentityError::WrongCode)));
    }
    assert!(world.identity.must_confirm(&minji().await), "none of these counted");
    confirm(password(), Some(&right)).await.unwrap();
    assert!(!world.identity.must_confirm(&minji().await));
    assert!(confirm(password(), Some(&right)).await.is_err(), "used up here");
    assert!(log_in_with(&world, Some(&right)).await.is_err(), "and there");
    confirm(password(), Some(&codes[0])).await.unwrap();
    assert!(confirm(password(), Some(&codes[0])).await.is_err());
    for _ in 0..4 {
        assert!(log_in_with(&world, None).await.is_err());
    }
    let bounded = confirm(password(), Some(&codes[1])).await;
    assert!(matches!(bounded, Err(IdentityError::TooManyAttempts { .. })), "both count together");
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_turned_off_with_the_password_only() {
    let (world, _, _) = with_second_factor().await;
    let minji = Principal { login: "minji".to_owned(), credential_id: "test".to_owned() };
    let minji = known(&world, &minji).await;
    let nowhere = Origin::default();
    let wrong = world.identity.turn_totp_off(&minji, "wrong".to_owned().into(), &nowhere).await.unwrap_err();
    assert!(matches!(wrong, IdentityError::WrongPassword));
    let second = world.identity.begin_totp(&minji, password(), "Naru", &nowhere).await.unwrap_err();
    assert!(matches!(second, IdentityError::HasTotp));
    world.identity.turn_totp_off(&minji, password(), &nowhere).await.unwrap();
    log_in_with(&world, None).await.unwrap();
    let nothing = "123456".to_owned().into();
    let none = world.identity.confirm_totp(&minji, &nothing, &nowhere).await.unwrap_err();
    assert!(matches!(none, IdentityError::NoTotp));
}

#[tokio::test]
async fn failed_logins_are_written_down_also_of_nobody_and_without_what_was_typed() {
    let world = World::new().await;
    world.administrator().await;
    for login in ["minji", "my secret typed in the wrong field"] {
        assert!(log_in(&world, login, "wrong".to_owned().into()).await.is_err());
    }
    let view = naru_store::audit::AuditView { instance: true, ..Default::default() };
    let rows = world.store.audit(&view, &naru_store::audit::AuditFilter::default(), 10).await.unwrap();
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.action == "account.login" && row.result == "identity.wrong-password")
        .map(|row| row.login.as_str())
        .collect();
    assert_eq!(failed, ["", "minji"]);
    assert!(!format!("{rows:?}").contains("typed in the wrong field"));
}

#[tokio::test]
async fn frequent_passwords_are_refused_wherever_one_is_set() {
    let world = World::new().await;
    let link = world.identity.offer_setup().await.unwrap().unwrap();
    let nowhere = Origin::default();
    for bad in ["Password123", "minji-minji-1", "deploy-example", "qwertyuiop"] {
        let refused =
            world.identity.setup(&link, "minji", bad.to_owned().into(), &nowhere).await.unwrap_err();
        assert!(matches!(refused, IdentityError::FrequentPassword), "{bad}");
    }
    let minji = world.identity.setup(&link, "minji", password(), &nowhere).await.unwrap();
    let frequent: SecretString = "1234567890".to_owned().into();
    let session = known(&world, &minji).await;
    let changed = world.identity.change_password(&session, password(), frequent.clone(), &nowhere).await;
    assert!(matches!(changed.unwrap_err(), IdentityError::FrequentPassword));
    let reset = world.identity.password_link(&minji, "minji").await.unwrap();
    let used = world.identity.use_password_link(&reset.plain, frequent.clone(), &nowhere).await;
    assert!(matches!(used.unwrap_err(), IdentityError::FrequentPassword));
    let new = naru_identity::NewInvitation {
        organisation: "main".parse().unwrap(),
        role: naru_model::role::Role::Viewer,
        address: String::new(),
        lasts: None,
    };
    let invited = world.identity.invite(&minji, new).await.unwrap();
    let joined = world.identity.accept_as_new(&invited.plain, "yuna", frequent, &nowhere).await;
    assert!(matches!(joined.unwrap_err(), IdentityError::FrequentPassword));
}
