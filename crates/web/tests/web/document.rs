//! The OpenAPI document in the repository is the one that the code makes.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "the one switch of this test; nothing of the product reads it")]
fn the_checked_in_openapi_document_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let current = naru_web::openapi_document();
    if std::env::var("NARU_WRITE_REFERENCE").is_ok() {
        std::fs::write(&file, &current).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == current,
        "docs/reference/openapi.json is not what the code says; write it with:\n  \
         NARU_WRITE_REFERENCE=1 cargo nextest run -p naru-web the_checked_in_openapi_document_is_current"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_names_every_error() {
    let document: serde_json::Value = serde_json::from_str(&naru_web::openapi_document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["components"]["schemas"]["Problem"]["properties"]["hint"].is_object());
    let mut ids = std::collections::BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} is there twice");
        }
    }
}
