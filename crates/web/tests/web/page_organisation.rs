//! Organisations on pages: members, roles, invitations, and the one-time links' own pages.

use naru_model::role::Role;

use crate::page::{Browser, has, leads};
use crate::world::{Answer, World};

const MAIN: &str = "/organisations/main";
const ACCOUNT: &str = "login=yuna&password=a+ferry+in+the+morning";

/// The text of a link that is shown on a page.
fn token(answer: &Answer) -> String {
    let rest = answer.text.split("?token=").nth(1).unwrap_or_else(|| panic!("no link in {}", answer.text));
    rest.split('<').next().unwrap().to_owned()
}

async fn invite(owner: &Browser<'_>, role: &str) -> String {
    let made =
        owner.post(&format!("{MAIN}/invitations"), &format!("role={role}&days=7&address=for+yuna")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    has(&made, &["/join?token=", "shown only this once"]);
    token(&made)
}

#[tokio::test]
async fn an_invitation_is_shown_once_and_lets_a_new_person_in() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let owner = Browser::minji(&world).await;
    let link = invite(&owner, "developer").await;
    let page = owner.get(MAIN).await;
    has(&page, &["for yuna", "developer", "Take back", "minji", "/projects/shop"]);
    assert!(!page.text.contains(&link), "the link is not kept");

    let guest = Browser::nobody(&world);
    let seen = guest.get(&format!("/join?token={link}")).await;
    has(
        &seen,
        &["minji invites you into the organisation main as developer", "Make a new account", "Log in with"],
    );
    assert!(!seen.text.contains("for yuna"), "the note is the owners'");
    let refused =
        guest.post("/join", &format!("token={link}&login=Yuna&password=a+ferry+in+the+morning")).await;
    assert_eq!(refused.status, 400);
    has(&refused, &["value=\"Yuna\"", "lower-case letters"]);
    let taken =
        guest.post("/join", &format!("token={link}&login=minji&password=a+ferry+in+the+morning")).await;
    assert_eq!(taken.status, 409);
    let joined = guest.post("/join", &format!("token={link}&{ACCOUNT}")).await;
    assert_eq!(leads(&joined), MAIN);
    let cookie = joined.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let yuna = Browser { cookie, ..Browser::nobody(&world) };
    has(&yuna.get(MAIN).await, &["yuna", "developer"]);
    has(&yuna.get("/projects/shop").await, &["shop"]);

    let again = guest.get(&format!("/join?token={link}")).await;
    assert_eq!(again.status, 403);
    has(&again, &["this invitation is not valid", "identity.invitation"]);
    assert_eq!(
        guest
            .post("/join", &format!("token={link}&login=other&password=a+ferry+in+the+evening"))
            .await
            .status,
        403
    );
    assert!(!owner.get(MAIN).await.text.contains("Take back"), "a used invitation is not open");
}

#[tokio::test]
async fn who_is_logged_in_joins_with_the_account_there_is() {
    let (world, _) = World::with_administrator().await;
    let owner = Browser::minji(&world).await;
    world.store.create_account("jun", "").await.unwrap();
    let jun = Browser::of(&world, "jun").await;
    assert_eq!(jun.get(MAIN).await.status, 404);
    let link = invite(&owner, "viewer").await;
    has(&jun.get(&format!("/join?token={link}")).await, &["Join as jun"]);
    assert_eq!(leads(&jun.post("/join/known", &format!("token={link}")).await), MAIN);
    has(&jun.get("/organisations").await, &[MAIN, "viewer"]);
    let revoked = invite(&owner, "viewer").await;
    let page = owner.get(MAIN).await;
    let id = page.text.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(leads(&owner.post(&format!("{MAIN}/invitations/revoke"), &format!("id={id}")).await), MAIN);
    assert_eq!(jun.get(&format!("/join?token={revoked}")).await.status, 403);
}

#[tokio::test]
async fn roles_change_and_the_last_owner_stays() {
    let (world, token) = World::with_administrator().await;
    let owner = Browser::minji(&world).await;
    let yuna = Browser::member(&world, "yuna", Role::Viewer).await;
    let set = async |login: &str, role: &str| {
        owner.post(&format!("{MAIN}/members"), &format!("login={login}&role={role}")).await
    };
    let last = set("minji", "viewer").await;
    assert_eq!(last.status, 409);
    has(&last, &["keeps an owner who can log in", "role=\"alert\""]);
    assert_eq!(owner.post(&format!("{MAIN}/leave"), "").await.status, 409);
    assert_eq!(set("yuna", "king").await.status, 400);
    assert_eq!(set("nobody", "viewer").await.status, 404);
    assert_eq!(leads(&set("yuna", "maintainer").await), MAIN);
    has(&owner.get(MAIN).await, &["maintainer", "Remove from the organisation", "yuna loses all projects"]);
    let audit = world.get(&token, "/api/v1/audit?action=member.set").await;
    assert!(
        audit.text.contains("yuna to maintainer") && audit.text.contains("identity.last-owner"),
        "{}",
        audit.text
    );

    let link = owner.post(&format!("{MAIN}/members/password"), "login=yuna").await;
    assert_eq!(link.status, 201);
    has(&link, &["/password?token="]);
    let link = self::token(&link);
    let guest = Browser::nobody(&world);
    has(&guest.get(&format!("/password?token={link}")).await, &["Set a new password", "works once"]);
    assert_eq!(guest.post("/password", &format!("token={link}&password=short")).await.status, 400);
    assert_eq!(
        leads(&guest.post("/password", &format!("token={link}&password=the+newest+password")).await),
        "/login"
    );
    assert_eq!(leads(&yuna.get("/").await), "/login", "every session has ended");
    assert_eq!(
        guest.post("/password", &format!("token={link}&password=the+newest+password")).await.status,
        403
    );
    let administrator = owner.post(&format!("{MAIN}/members/password"), "login=minji").await;
    assert_eq!(administrator.status, 403);

    let yuna = Browser::of(&world, "yuna").await;
    assert_eq!(leads(&owner.post(&format!("{MAIN}/members/remove"), "login=yuna").await), MAIN);
    assert_eq!(yuna.get(MAIN).await.status, 404);
}

#[tokio::test]
async fn who_may_only_look_changes_nothing_and_strangers_find_nothing() {
    let (world, _) = World::with_administrator().await;
    let theirs = "theirs".parse().unwrap();
    world.store.create_account("hana", "").await.unwrap();
    world.store.create_organisation(&theirs, "Theirs", "hana").await.unwrap();
    let viewer = Browser::member(&world, "yuna", Role::Viewer).await;
    let page = viewer.get(MAIN).await;
    has(&page, &["minji", "Leave the organisation"]);
    for hidden in ["Invite somebody", "Remove from", "Delete the organisation", "/invitations"] {
        assert!(!page.text.contains(hidden), "{hidden}");
    }
    let acts = [
        "members",
        "members/remove",
        "members/password",
        "invitations",
        "invitations/revoke",
        "title",
        "delete",
    ];
    for act in acts {
        let fields = "login=minji&role=viewer&name=main&id=x";
        assert_eq!(viewer.post(&format!("{MAIN}/{act}"), fields).await.status, 403, "{act}");
        let (other, none) = (
            viewer.post(&format!("/organisations/theirs/{act}"), fields).await,
            viewer.post(&format!("/organisations/nothere/{act}"), fields).await,
        );
        assert_eq!((other.status, none.status), (404, 404), "{act}");
        assert_eq!(other.text.replace("theirs", "nothere"), none.text, "{act}");
    }
    // Not even the administrator of the instance.
    assert_eq!(Browser::minji(&world).await.get("/organisations/theirs").await.status, 404);
    assert_eq!(viewer.post("/organisations", "name=mine").await.status, 403);
    assert!(!viewer.get("/organisations").await.text.contains("New organisation"));
}

#[tokio::test]
async fn an_organisation_is_made_named_and_deleted_when_it_is_empty() {
    let (world, _) = World::with_administrator().await;
    world.project("shop").await;
    let owner = Browser::minji(&world).await;
    let refused = owner.post("/organisations", "name=Big+Co&title=Big").await;
    assert_eq!(refused.status, 400);
    has(&refused, &["value=\"Big Co\"", "value=\"Big\"", "aria-invalid"]);
    assert_eq!(owner.post("/organisations", "name=main").await.status, 409);
    assert_eq!(owner.post("/organisations", "name=big&owner=nobody").await.status, 404);
    assert_eq!(
        leads(&owner.post("/organisations", "name=big&title=Big+%3Cb%3E").await),
        "/organisations/big"
    );
    has(&owner.get("/organisations/big").await, &["Big &#60;b&#62;"]);
    assert_eq!(leads(&owner.post("/organisations/big/title", "name=Bigger").await), "/organisations/big");
    has(&owner.get("/organisations").await, &["Bigger"]);
    let full = owner.post(&format!("{MAIN}/delete"), "name=main").await;
    assert_eq!(full.status, 409, "{}", full.text);
    assert_eq!(owner.post("/organisations/big/delete", "name=bg").await.status, 400);
    assert_eq!(leads(&owner.post("/organisations/big/delete", "name=big").await), "/organisations");
    assert_eq!(owner.get("/organisations/big").await.status, 404);
}
