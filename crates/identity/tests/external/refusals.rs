//! What is not believed, and providers that do not answer as they should.

use naru_identity::Origin;
use naru_identity::external::{Answer, Purpose};
use naru_model::api::CheckState;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::double::{NOW, Signed, parameters, somebody};
use crate::world::{World, refusal};

/// What a refusal must say, and what is twisted to be refused.
type Twist = (&'static str, fn(&mut Value));

async fn come_with(twist: impl Fn(&mut Value) + Send + 'static) -> String {
    let world = World::new().await;
    world.double.twist_claims(twist);
    let refused = refusal(world.come(somebody("s1", "sora", &["/dev"])).await);
    assert!(world.store.account("sora").await.unwrap().is_none());
    refused
}

#[tokio::test]
async fn an_id_token_must_be_for_this_attempt_this_client_and_now() {
    let cases: [Twist; 8] = [
        ("nonce", |claims| claims["nonce"] = json!("another")),
        ("nonce", |claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("issuer", |claims| claims["iss"] = json!("https://id.example.com")),
        ("audiences", |claims| claims["aud"] = json!("another")),
        ("audiences", |claims| claims["aud"] = json!(["naru", "another"])),
        ("audiences", |claims| claims["azp"] = json!("another")),
        ("Expired", |claims| claims["exp"] = json!(NOW)),
        ("cannot be kept", |claims| claims["sub"] = json!("x".repeat(300))),
    ];
    for (why, twist) in cases {
        let refused = come_with(twist).await;
        assert!(refused.starts_with("login.not-verified") && refused.contains(why), "{why}: {refused}");
    }
}

#[tokio::test]
async fn only_the_providers_own_signature_counts() {
    for signed in [Signed::ByAStranger, Signed::WithTheSecret, Signed::Not] {
        let world = World::new().await;
        world.double.sign(signed);
        let refused = refusal(world.come(somebody("s1", "sora", &["/dev"])).await);
        assert!(refused.starts_with("login.not-verified"), "{signed:?}: {refused}");
    }
}

#[tokio::test]
async fn keys_that_changed_are_asked_for_again() {
    let world = World::new().await;
    world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
    world.double.change_keys();
    world.later(60);
    world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
}

#[tokio::test]
async fn groups_come_from_the_userinfo_address_when_the_token_has_none() {
    let world = World::new().await;
    world.double.tell_groups_only_when_asked();
    world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
    assert_eq!(world.role("sora").await, "developer");
    world.double.twist_userinfo(|info| info["sub"] = json!("somebody else"));
    let refused = refusal(world.come(somebody("s1", "sora", &["/dev"])).await);
    assert!(refused.starts_with("login.not-verified"), "{refused}");
}

#[tokio::test]
async fn an_attempt_is_for_one_browser_one_provider_and_ten_minutes() {
    let world = World::new().await;
    let keycloak = "keycloak".parse().unwrap();
    let github = "github".parse().unwrap();
    let leave = || world.external.begin(&keycloak, Purpose::Enter, None);
    let (first, second) = (leave().await.unwrap(), leave().await.unwrap());
    let (code, state) = world.double.visit(&first.url, somebody("s1", "sora", &["/dev"]));
    let answer = Answer { code, state, ..Answer::default() };
    let back = async |provider, sealed: &str, answer: &Answer| {
        refusal(world.external.finish(provider, sealed, answer, &Origin::default()).await)
    };
    let sealed = first.sealed.expose_secret();
    assert_eq!(back(&keycloak, second.sealed.expose_secret(), &answer).await, "login.no-attempt");
    assert_eq!(back(&github, sealed, &answer).await, "login.no-attempt");
    assert_eq!(back(&keycloak, "", &answer).await, "login.no-attempt");
    let stateless = Answer { state: String::new(), ..answer.clone() };
    assert_eq!(back(&keycloak, sealed, &stateless).await, "login.no-attempt");
    let declined = Answer { error: Some("access_denied".into()), ..answer.clone() };
    assert_eq!(back(&keycloak, sealed, &declined).await, "login.declined access_denied");
    let mixed_up = Answer { issuer: Some("https://id.example.com".into()), ..answer.clone() };
    assert!(back(&keycloak, sealed, &mixed_up).await.starts_with("login.not-verified"));

    let entered = world.external.finish(&keycloak, sealed, &answer, &Origin::default()).await.unwrap();
    assert_eq!(entered.next, "/");
    let replayed = back(&keycloak, sealed, &answer).await;
    assert!(replayed.starts_with("login.not-verified") && replayed.contains("invalid_grant"), "{replayed}");
    world.later(600);
    assert_eq!(back(&keycloak, sealed, &answer).await, "login.no-attempt");
}

#[tokio::test]
async fn another_browsers_code_is_worth_nothing() {
    let world = World::new().await;
    for provider in ["keycloak", "github"] {
        let provider = provider.parse().unwrap();
        let leave = || world.external.begin(&provider, Purpose::Enter, None);
        let (victim, thief) = (leave().await.unwrap(), leave().await.unwrap());
        let (code, _) = world.double.visit(&victim.url, somebody("1", "sora", &["/dev"]));
        let state = parameters(&thief.url)["state"].clone();
        let answer = Answer { code, state, ..Answer::default() };
        let sealed = thief.sealed.expose_secret();
        let refused = refusal(world.external.finish(&provider, sealed, &answer, &Origin::default()).await);
        assert!(refused.starts_with("login.not-verified"), "PKCE: {refused}");
    }
}

#[tokio::test]
async fn who_is_asked_to_prove_it_again_must_have_proved_it_now() {
    let world = World::new().await;
    let again = || world.come_by("keycloak", Purpose::EnterAgain, somebody("s1", "sora", &["/dev"]));
    let departure =
        world.external.begin(&"keycloak".parse().unwrap(), Purpose::EnterAgain, None).await.unwrap();
    let asked = parameters(&departure.url);
    assert_eq!((asked["prompt"].as_str(), asked["max_age"].as_str()), ("login", "0"));
    again().await.unwrap();
    world.double.twist_claims(|claims| claims["auth_time"] = json!(NOW - 3600));
    assert!(refusal(again().await).contains("did not ask again"));
    let entered = world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
    assert_eq!(entered.proved_at.as_second(), NOW - 3600, "an hour ago is not now");
}

#[tokio::test]
async fn a_provider_that_answers_strangely_lets_nobody_in() {
    let cases: [Twist; 5] = [
        ("unexpected issuer", |said| said["issuer"] = json!("https://id.example.com")),
        ("not asked", |said| said["jwks_uri"] = json!("http://169.254.169.254/latest?secret=1")),
        ("KiB", |said| {
            said["jwks_uri"] = json!(said["jwks_uri"].as_str().unwrap().replace("/keys", "/huge"));
        }),
        ("302", |said| {
            said["jwks_uri"] = json!(said["jwks_uri"].as_str().unwrap().replace("/keys", "/elsewhere"));
        }),
        ("missing field", |said| drop(said.as_object_mut().unwrap().remove("jwks_uri"))),
    ];
    for (why, twist) in cases {
        let world = World::new().await;
        world.double.twist_metadata(twist);
        let refused = refusal(world.come(somebody("s1", "sora", &["/dev"])).await);
        assert!(refused.starts_with("login.provider-away") && refused.contains(why), "{why}: {refused}");
        assert!(!refused.contains("secret=1"), "{refused}");
        let checks = world.external.doctor().await;
        let states: Vec<CheckState> = checks.iter().map(|check| check.state).collect();
        assert_eq!(states, [CheckState::Good, CheckState::Attention], "GitHub answers: {checks:?}");
    }
}
