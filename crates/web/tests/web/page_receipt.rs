//! The receipt on a revision's page: shown when its signature verifies, and only then.

use naru_model::receipt::{Envelope, PAYLOAD_TYPE};
use naru_model::{EnvironmentKey, RevisionNumber};
use naru_secret::KeyRing;
use naru_store::revision::Outcome;
use serde_json::json;

use crate::page::{Browser, has};
use crate::page_environment::{PAGE, shop};
use crate::world::World;

/// A receipt of the second revision that gives this reason.
fn receipt(reason: &str) -> Vec<u8> {
    let receipt = json!({
        "instance": "0123456789ab", "project": "shop", "environment": "production", "revision": 2,
        "commit": "0123456789abcdef0123456789abcdef01234567", "configuration": 1, "author": "minji", "images": {},
        "started_at": "2026-11-21T10:00:00Z", "finished_at": "2026-11-21T10:01:00Z", "verdict": "promoted",
        "reason": reason, "traffic": [], "is_counted_whole": true,
        "phases": [{ "phase": "start", "began_at": "2026-11-21T10:00:00Z", "milliseconds": 1500, "observed": "1 of 2 new replicas are ready" }],
    });
    receipt.to_string().into_bytes()
}

async fn keep(world: &World, key: &EnvironmentKey, envelope: &Envelope) {
    world.store.issue_receipt(key, RevisionNumber(2), Outcome::Live, envelope).await.unwrap();
}

/// What the page shows in both languages when this is kept as the receipt.
async fn shown(make: impl FnOnce(&KeyRing) -> Envelope) -> (World, [crate::world::Answer; 2]) {
    let (world, _) = World::with_administrator().await;
    let key = shop(&world).await;
    keep(&world, &key, &make(&world.keys)).await;
    let browser = Browser::minji(&world).await;
    let english = browser.get(&format!("{PAGE}/revisions/2")).await;
    let korean = Browser { language: "ko", ..browser }.get(&format!("{PAGE}/revisions/2")).await;
    (world, [english, korean])
}

#[tokio::test]
async fn a_receipt_that_verifies_is_shown_with_how_to_check_it_elsewhere() {
    let (_world, [english, korean]) = shown(|keys| keys.sign(PAYLOAD_TYPE, &receipt("all went well"))).await;
    has(&english, &["all went well", "The signature verifies", "1.500 s"]);
    let command = "naru receipt show 2 --project shop --environment production --json | naru receipt verify";
    has(&english, &[command]);
    has(&korean, &["all went well", "서명이 맞아요", "새 복제본 2개 중 1개가 준비됐어요"]);
    has(&english, &["1 of 2 new replicas are ready"]);
    assert!(!english.text.contains("does not verify") && !korean.text.contains("서명이 맞지 않"));
}

#[tokio::test]
async fn a_receipt_that_was_changed_is_not_shown_and_the_page_says_so_in_words_and_what_to_do() {
    let (world, [english, korean]) = shown(|keys| {
        let genuine = keys.sign(PAYLOAD_TYPE, &receipt("the honest reason"));
        let other = keys.sign(PAYLOAD_TYPE, &receipt("<b>0 requests failed</b>"));
        Envelope { payload: other.payload, ..genuine }
    })
    .await;
    has(
        &english,
        &[
            "■",
            "The signature does not verify: what is kept as the receipt is not shown.",
            "It was changed after it was signed, or somebody else signed it.",
            "What runs is as it was.",
            "restore the database and the key file from a backup",
            "naru receipt verify &lt; receipt.json",
            "receipt.not-authentic",
        ],
    );
    has(
        &korean,
        &[
            "서명이 맞지 않아서 영수증으로 보관된 내용을 보여 주지 않아요.",
            "서명한 뒤에 내용이 바뀌었거나 다른 사람이 서명했어요.",
            "실행 중인 것은 그대로예요.",
            "백업에서 데이터베이스와 키 파일을 복원해 주세요.",
            "receipt.not-authentic",
        ],
    );
    for page in [&english, &korean] {
        assert_eq!(page.status, 200);
        assert!(
            !page.text.contains("0 requests failed") && !page.text.contains("honest reason"),
            "{}",
            page.text
        );
        assert!(!page.text.contains("The signature verifies") && !page.text.contains("서명이 맞아요"));
    }
    let token = world.administrator_token().await;
    let path = "/api/v1/projects/shop/environments/production/revisions/2/receipt";
    assert_eq!(world.get(&token, path).await.code(), "receipt.not-authentic");
}

#[tokio::test]
async fn each_reason_of_doubt_is_said_in_the_readers_language() {
    let (_world, pages) = shown(|_| {
        let folder = tempfile::tempdir().unwrap();
        KeyRing::open(&folder.path().join("key")).unwrap().sign(PAYLOAD_TYPE, &receipt("theirs"))
    })
    .await;
    has(&pages[0], &["which this instance does not have"]);
    has(&pages[1], &["이 인스턴스에 없는 키"]);
    let (_world, pages) = shown(|keys| keys.sign("text/plain", &receipt("another kind"))).await;
    has(&pages[0], &["not as a receipt"]);
    has(&pages[1], &["영수증으로 서명한 것이 아니에요"]);
    let (_world, pages) = shown(|keys| keys.sign(PAYLOAD_TYPE, b"{}")).await;
    has(&pages[0], &["cannot be read as a receipt"]);
    has(&pages[1], &["영수증으로 읽을 수 없어요"]);
    let nothing = Envelope { payload_type: "<i>".into(), payload: "%%%".into(), signatures: Vec::new() };
    let (_world, pages) = shown(|_| nothing).await;
    has(&pages[0], &["no signed document any more"]);
    has(&pages[1], &["더는 서명된 문서가 아니에요"]);
}
