//! Variables and secrets: they reach the process, secrets are seen nowhere else, and a rollback brings former values back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::instance::Instance;
use super::process::{said, until};
use super::project::{Project, version};

const FIRST: &str = "first-secret-8c1f0a";
const SECOND: &str = "second-secret-77be21";

impl Project<'_> {
    /// Changes a variable, and waits until the service has it.
    fn set(&self, name: &str, value: &str) -> Value {
        let change = json!({ "set": { name: value } });
        let changed = self.put("environments/production/configuration", &change);
        let revision = self.carried_out(&changed["intent"]);
        assert_eq!(revision["rollout"], "live", "{revision:#}");
        revision
    }

    /// Changes a secret, and waits until the service has it.
    fn set_secret(&self, name: &str, value: &str) -> Value {
        let path = format!("environments/production/secrets/{name}");
        let changed = self.put(&path, &json!({ "value": value }));
        let revision = self.carried_out(&changed["intent"]);
        assert_eq!(revision["rollout"], "live", "{revision:#}");
        revision
    }

    /// What the service printed, as the API shows it.
    fn log(&self) -> String {
        let lines = self.list("environments/production/logs").unwrap_or_default();
        let texts: Vec<&str> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
        texts.join("\n")
    }

    /// Lets the service print a secret and waits until that is in the log.
    fn until_it_said(&self, times: usize) {
        assert_eq!(self.ask("/say/API_KEY"), Ok((200, "said".to_owned())));
        let said = || self.log().matches("API_KEY is ***").count();
        until("the service printed its secret", || self.log(), || (said() == times).then_some(()));
    }
}

#[test]
fn settings_reach_the_process_and_secrets_nobody_else() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.set("GREETING", "hello");
    let former = shop.set_secret("API_KEY", FIRST);
    shop.until_serves("/variable/GREETING", "hello");
    shop.until_serves("/variable/API_KEY", FIRST);
    shop.until_it_said(1);

    shop.set("GREETING", "bye");
    shop.set_secret("API_KEY", SECOND);
    shop.until_serves("/variable/GREETING", "bye");
    shop.until_serves("/variable/API_KEY", SECOND);
    shop.until_it_said(2);

    let wish = json!({ "revision": former["number"] });
    let back = shop.carried_out(&shop.post("environments/production/rollback", &wish)["id"]);
    assert_eq!(back["rollout"], "live", "{back:#}");
    shop.until_serves("/variable/GREETING", "hello");
    shop.until_serves("/variable/API_KEY", FIRST);
    shop.until_it_said(3);

    let repository = shop.deploy_repository();
    let history = repository.git(&["log", "--patch", "--all", "--format=%B"]);
    assert!(history.contains("api-key-v2") && history.contains("GREETING"), "{history}");
    let secrets = shop.list("environments/production/secrets").unwrap();
    assert_eq!(secrets[0]["name"], "API_KEY", "{secrets:?}");
    for secret in [FIRST, SECOND] {
        assert!(!history.contains(secret), "the deploy repository holds a secret");
        assert!(!shop.log().contains(secret), "a secret is shown in the log");
        assert!(!instance.log().contains(secret), "Naru logged a secret");
        assert!(!format!("{secrets:?}").contains(secret), "the API tells a secret");
        // What runs has its variables from the engine, whose storage only the owner of the data folder can enter.
        let found = files_with(&instance.data(), secret.as_bytes(), &instance.data().join("engine"));
        assert!(found.is_empty(), "a secret is in plain text in {found:?}");
    }
    for folder in [instance.data(), instance.data().join("engine")] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn secrets_reach_services_after_the_keys_were_rotated_and_the_rotation_was_killed() {
    let instance = Instance::start();
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    shop.set_secret("API_KEY", FIRST);
    shop.put("shared-secrets/MAIL", &json!({ "value": SECOND }));
    shop.until_serves("/variable/MAIL", SECOND);

    let refused = instance.rotate_keys(&[]);
    assert!(!refused.status.success() && said(&refused).contains("serve.in-use"), "{}", said(&refused));
    instance.signal(Signal::SIGTERM);
    let keys = || fs::read_to_string(instance.data().join("key")).unwrap();
    let before = keys();
    for at in ["key.add:after:1", "store.key.reseal:after:1", "store.key.reseal:before:2"] {
        let killed = instance.rotate_keys(&["--abort-at", at]);
        assert!(!killed.status.success(), "{at}: {}", said(&killed));
    }
    let done = instance.rotate_keys(&[]);
    assert!(done.status.success() && said(&done).contains("1 older keys are gone"), "{}", said(&done));
    let old = before.lines().last().unwrap();
    assert!(!keys().contains(old), "the old key is still there");

    instance.serve_again();
    shop.set("GREETING", "hello");
    shop.until_serves("/variable/GREETING", "hello");
    shop.until_serves("/variable/API_KEY", FIRST);
    shop.until_serves("/variable/MAIL", SECOND);
}

/// Files below `folder`, but not in `but`, that contain these bytes.
fn files_with(folder: &Path, text: &[u8], but: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path() != but) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), text, but));
        } else if kind.is_file() {
            // It may be gone again.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}
