//! Identity over a real store: the setup link, logins, tokens and what they open.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_identity::{Authorise, Credentials, Identity, IdentityError, Login, NewToken, Origin};
use naru_model::authorise::{Denied, Permission, Principal, Resource};
use naru_model::effect::Unobserved;
use naru_model::{Clock, Timestamp};
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
        Self { identity: Identity::new(store.clone()), store, clock, _folder: folder }
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
    world.identity.log_in(Login { login: login.to_owned(), password }, &Origin::default()).await
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
