//! One's own account on pages: what it says of itself, password, sessions.

use crate::page::{Browser, has, leads};
use crate::world::World;

#[tokio::test]
async fn sessions_are_shown_and_ended() {
    let (world, token) = World::with_administrator().await;
    let (one, other, third) =
        (Browser::minji(&world).await, Browser::minji(&world).await, Browser::minji(&world).await);
    has(&one.get("/account/security").await, &["this browser", "Log out all others"]);
    let id = other.cookie.split('_').nth(2).unwrap();
    assert_eq!(leads(&one.post("/account/sessions/end", &format!("id={id}")).await), "/account/security");
    assert_eq!(leads(&other.get("/").await), "/login");
    assert_eq!(one.post("/account/sessions/end", "id=nothere").await.status, 404);
    assert_eq!(leads(&one.post("/account/sessions/end-others", "").await), "/account/security");
    assert_eq!(leads(&third.get("/").await), "/login");
    let page = one.get("/account/security").await;
    assert!(page.status == 200 && !page.text.contains("Log out all others"));
    let audit = world.get(&token, "/api/v1/audit?action=session.end").await;
    assert!(audit.text.contains("all others, 1"), "{}", audit.text);
    // A stranger's session is not there for them.
    world.store.create_account("jun", "").await.unwrap();
    let jun = Browser::of(&world, "jun").await;
    let mine = one.cookie.split('_').nth(2).unwrap();
    assert_eq!(jun.post("/account/sessions/end", &format!("id={mine}")).await.status, 404);
    assert_eq!(one.get("/").await.status, 200);
}

#[tokio::test]
async fn a_password_is_changed_and_logs_the_others_out() {
    let (world, _) = World::with_administrator().await;
    let (one, other) = (Browser::minji(&world).await, Browser::minji(&world).await);
    let change = async |current: &str, new: &str| {
        one.post("/account/password", &format!("current={current}&new={new}")).await
    };
    let wrong = change("wrong", "a+new+password").await;
    assert_eq!(wrong.status, 400);
    has(&wrong, &["The password is wrong"]);
    assert_eq!(change("river+crossing+at+dawn", "short").await.status, 400);
    assert_eq!(leads(&change("river+crossing+at+dawn", "a+new+password").await), "/account/security");
    assert_eq!((one.get("/").await.status, leads(&other.get("/").await)), (200, "/login"));
}

#[tokio::test]
async fn an_account_keeps_its_language_and_zone_and_a_login_brings_them() {
    let (world, _) = World::with_administrator().await;
    let browser = Browser::minji(&world).await;
    let refused = browser.post("/account/profile", "display_name=Minji&language=ko&zone=Nowhere/City").await;
    assert_eq!(refused.status, 400);
    has(&refused, &["value=\"Minji\"", "value=\"Nowhere/City\"", "role=\"alert\""]);
    let kept = browser.post("/account/profile", "display_name=Minji&language=ko&zone=Asia/Seoul").await;
    assert_eq!(leads(&kept), "/account");
    let cookies = |answer: &crate::world::Answer| -> Vec<String> {
        let all = answer.headers.get_all("set-cookie").iter();
        all.map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
    };
    assert_eq!(cookies(&kept), ["naru_language=ko", "naru_zone_choice=Asia/Seoul"]);
    let login = "login=minji&password=river+crossing+at+dawn";
    let entered = cookies(&Browser::nobody(&world).post("/login", login).await);
    assert_eq!(entered[1..], ["naru_language=ko", "naru_zone_choice=Asia/Seoul"]);
    let mut there = Browser { cookie: entered.join("; "), ..Browser::nobody(&world) };
    has(&there.get("/account").await, &["lang=\"ko\"", "value=\"Asia/Seoul\""]);
    there.cookie.push_str("; naru_zone=Europe/Paris");
    has(&there.get("/account/security").await, &["KST"]);
}
