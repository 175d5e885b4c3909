//! Whose account somebody gets who comes by a provider, and which roles.

use naru_identity::external::Purpose;
use naru_model::authorise::Principal;

use crate::double::somebody;
use crate::world::{World, refusal};

fn principal(login: &str) -> Principal {
    Principal { login: login.to_owned(), credential_id: "test".to_owned() }
}

#[tokio::test]
async fn a_mapped_group_makes_an_account_and_its_role_comes_and_goes_with_the_group() {
    let world = World::new().await;
    let entered = world.come(somebody("s1", "Sora@example.com", &["/dev", "/other"])).await.unwrap();
    assert_eq!((entered.principal.login.as_str(), entered.next.as_str()), ("sora", "/projects"));
    assert_eq!(world.role("sora").await, "developer");
    let account = world.store.account("sora").await.unwrap().unwrap();
    assert!(account.password_hash.is_empty() && !account.administrator);
    assert_eq!(account.display_name, "Somebody Else");

    world.come(somebody("s1", "renamed", &["/dev", "/boss"])).await.unwrap();
    assert_eq!(world.role("sora").await, "owner", "the highest of several");
    assert_eq!(world.external.logins("sora").await.unwrap()[0].name, "renamed");

    let entered = world.come(somebody("s1", "sora", &[])).await.unwrap();
    assert_eq!((entered.principal.login.as_str(), world.role("sora").await.as_str()), ("sora", "none"));
    assert!(world.store.organisations_of("sora").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_people_gave_stays_when_the_group_goes() {
    let world = World::new().await;
    let session = world.session("minji").await;
    let tie = Purpose::Tie { session };
    assert!(world.come_by("keycloak", tie, somebody("s2", "minji", &["/dev"])).await.unwrap().tied);
    assert_eq!(world.role("minji").await, "owner", "a group takes nothing away");
    world.come(somebody("s2", "minji", &[])).await.unwrap();
    assert_eq!(world.role("minji").await, "owner");
}

#[tokio::test]
async fn nobody_gets_an_account_unless_told_and_never_by_a_name_that_looks_the_same() {
    let world = World::with("").await;
    let refused = world.come(somebody("s1", "minji", &["/boss"])).await;
    assert_eq!(refusal(refused), "login.no-account");

    let world = World::new().await;
    assert_eq!(refusal(world.come(somebody("s1", "minji", &["/other"])).await), "login.no-account");
    let entered = world.come(somebody("s1", "minji", &["/dev"])).await.unwrap();
    assert_eq!(entered.principal.login, "minji-2", "another account than the one that is called so");
    assert!(world.external.logins("minji").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_login_is_tied_by_who_is_logged_in_and_to_one_account_only() {
    let world = World::new().await;
    let session = world.session("minji").await;
    let tie = || Purpose::Tie { session: session.clone() };
    world.come_by("keycloak", tie(), somebody("s1", "m", &[])).await.unwrap();
    let entered = world.come(somebody("s1", "m", &[])).await.unwrap();
    assert_eq!((entered.principal.login.as_str(), entered.tied), ("minji", false));
    world.come_by("keycloak", tie(), somebody("s1", "m", &[])).await.unwrap();

    let second = world.come_by("keycloak", tie(), somebody("s9", "m", &[])).await;
    assert_eq!(refusal(second), "login.has-one");
    world.come(somebody("s3", "sora", &["/dev"])).await.unwrap();
    let others = world.come_by("keycloak", tie(), somebody("s3", "sora", &[])).await;
    assert_eq!(refusal(others), "login.taken");
    assert_eq!(world.role("sora").await, "developer", "who ties gets nothing, and takes nothing away");

    world.store.end_session(&session).await.unwrap();
    let gone = world.come_by("keycloak", tie(), somebody("s4", "m", &[])).await;
    assert_eq!(refusal(gone), "login.logged-out");
}

#[tokio::test]
async fn untying_takes_the_roles_along_but_never_the_only_way_in() {
    let world = World::new().await;
    let keycloak = "keycloak".parse().unwrap();
    world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
    let refused = world.external.untie(&principal("sora"), &keycloak).await.unwrap_err();
    assert_eq!(naru_model::Problem::from(refused).code, "login.only-way");

    let tie = Purpose::Tie { session: world.session("sora").await };
    world.come_by("github", tie, somebody("7", "sora", &[])).await.unwrap();
    world.external.untie(&principal("sora"), &keycloak).await.unwrap();
    assert_eq!(world.role("sora").await, "none");
    assert!(world.external.untie(&principal("sora"), &keycloak).await.is_err(), "it is gone");

    let tie = Purpose::Tie { session: world.session("minji").await };
    world.come_by("keycloak", tie, somebody("s2", "minji", &[])).await.unwrap();
    world.external.untie(&principal("minji"), &keycloak).await.unwrap();
}

#[tokio::test]
async fn github_tells_organisations_and_teams() {
    let world = World::new().await;
    let come = |groups: Vec<String>| {
        let who = crate::double::Somebody { subject: "42".into(), name: "Octo-Cat".into(), groups };
        world.come_by("github", Purpose::Enter, who)
    };
    let mut many: Vec<String> = (0..150).map(|number| format!("org-{number}")).collect();
    many.push("acme".into());
    assert_eq!(come(many).await.unwrap().principal.login, "octo-cat");
    assert_eq!(world.role("octo-cat").await, "viewer", "it stood on the second page");
    come(vec!["ACME/Platform".into()]).await.unwrap();
    assert_eq!(world.role("octo-cat").await, "maintainer");
    come(vec!["acme/other".into()]).await.unwrap();
    assert_eq!(world.role("octo-cat").await, "none");
}

#[tokio::test]
async fn what_happened_is_in_the_audit_log() {
    let world = World::new().await;
    world.come(somebody("s1", "sora", &["/dev"])).await.unwrap();
    world.come(somebody("s1", "sora", &["/boss"])).await.unwrap();
    let view =
        naru_store::audit::AuditView { own: Some("sora".into()), ..naru_store::audit::AuditView::default() };
    let lines = world.store.audit(&view, &naru_store::audit::AuditFilter::default(), 20).await.unwrap();
    let lines: Vec<String> = lines
        .iter()
        .rev()
        .map(|line| format!("{} {} by {}", line.action, line.target, line.credential))
        .collect();
    assert_eq!(
        lines,
        [
            "account.create sora by provider:keycloak",
            "member.by-group main: developer by provider:keycloak",
            "member.by-group main: owner by provider:keycloak",
            "account.login sora by provider:keycloak",
        ]
    );
}
