//! Every rollout leaves a signed receipt that says what visitors noticed of it, and that nobody can change unseen.

use std::fs::{self, File};
use std::process::Output;

use serde_json::Value;

use super::instance::Instance;
use super::load::Load;
use super::process::{output, until};
use super::project::{Project, version};

impl Project<'_> {
    /// The signed receipt of a revision, once there is one.
    fn receipt(&self, revision: &Value) -> Value {
        let path = format!("environments/production/revisions/{}/receipt", revision["number"]);
        until("there is a receipt", || format!("{:#}", self.environment()), || self.try_get(&path))
    }
}

/// `naru receipt verify` with this document on its standard input.
fn verify(instance: &Instance, document: &str) -> Output {
    let file = instance.beside("receipt.json");
    fs::write(&file, document).unwrap();
    output(instance.command().args(["receipt", "verify"]).stdin(File::open(file).unwrap()))
}

#[test]
fn a_rollout_leaves_a_receipt_that_cannot_be_changed_unseen() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let load = Load::on(&instance, &shop, "/variable/VERSION");
    let second = shop.deliver(&version("two"));
    let signed = shop.receipt(&second);
    let asked = load.end_unharmed().len() as u64;

    let receipt = &signed["receipt"];
    assert_eq!(receipt["verdict"], "promoted", "{receipt:#}");
    assert_eq!((&receipt["previous"], &receipt["revision"]), (&1.into(), &2.into()), "{receipt:#}");
    assert_eq!(receipt["is_counted_whole"], true, "{receipt:#}");
    let phases: Vec<&str> =
        receipt["phases"].as_array().unwrap().iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert!(phases.contains(&"start") && phases.contains(&"route"), "{receipt:#}");
    let served = receipt["traffic"].as_array().unwrap();
    let of = |revision: u64| served.iter().find(|served| served["revision"] == revision).unwrap();
    for revision in [1, 2] {
        assert_eq!(of(revision)["failed"], 0, "{receipt:#}");
        assert!((1..=asked).contains(&of(revision)["requests"].as_u64().unwrap()), "{asked} of {receipt:#}");
    }

    let document = signed.to_string();
    let good = verify(&instance, &document);
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success() && said.contains("authentic") && said.contains("promoted"), "{good:?}");
    let mut forged = signed.clone();
    let payload = signed["envelope"]["payload"].as_str().unwrap();
    // One character in the middle, which is some letter of what was signed.
    let middle = payload.len() / 2;
    let other = if payload.as_bytes()[middle] == b'A' { "B" } else { "A" };
    forged["envelope"]["payload"] = format!("{}{other}{}", &payload[..middle], &payload[middle + 1..]).into();
    let refused = verify(&instance, &forged.to_string());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("receipt.not-authentic"), "{refused:?}");

    let third = shop.deliver_in_vain(&version("three").replace("/healthz", "/nowhere, start: 3s"));
    let receipt = shop.receipt(&third)["receipt"].clone();
    assert_eq!(receipt["verdict"], "aborted", "{receipt:#}");
    assert_eq!(receipt["reason"], third["problem"]["summary"], "{receipt:#}");
}
