//! The laws of the merge, and what people do by hand.

use proptest::prelude::*;

use super::round_trip_tests::spec;
use super::tests::{image, key, sample};
use super::*;
use crate::workload::{EnvironmentSpec, Value};

fn edited(files: &Files, file: &str, from: &str, to: &str) -> Files {
    let mut files = files.clone();
    let text = files.get_mut(file).expect(file);
    assert!(text.contains(from), "{text}");
    *text = text.replacen(from, to, 1);
    files
}

fn base() -> Files {
    render(&key(), &sample())
}

/// The next render: another image, release and variable.
fn next() -> (EnvironmentSpec, Files) {
    let mut spec = sample();
    spec.release = Some(crate::ReleaseNumber(42));
    let web = spec.services.get_mut(&"web".parse().unwrap()).unwrap();
    web.template.image = image("new");
    web.template.variables.insert("NEW".parse().unwrap(), Value::Plain("1".to_owned()));
    let files = render(&key(), &spec);
    (spec, files)
}

fn conflicts(ours: &Files, theirs: &Files) -> Vec<String> {
    let conflicts = merge(&base(), ours, theirs).expect_err("a conflict");
    conflicts.iter().map(|conflict| format!("{} {}", conflict.file, conflict.path)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_laws(base in spec(), ours in spec(), theirs in spec()) {
        let [b, o, t] = [&base, &ours, &theirs].map(|spec| render(&key(), spec));
        prop_assert_eq!(merge(&b, &b, &t), Ok(t.clone()));
        prop_assert_eq!(merge(&b, &o, &b), Ok(o.clone()));
        prop_assert_eq!(merge(&b, &o, &o), Ok(o.clone()));
        if let (Ok(one), Ok(other)) = (merge(&b, &o, &t), merge(&b, &t, &o)) {
            prop_assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn replicas_set_by_hand_survive_any_render_that_keeps_the_services(variables in spec(), replicas in 3..9_u32) {
        let mut theirs = sample();
        for (name, service) in variables.services.iter().take(1) {
            let _ = name;
            theirs.services.get_mut(&"web".parse().unwrap()).unwrap().template.variables
                .extend(service.template.variables.clone());
        }
        theirs.configuration = variables.configuration;
        theirs.release_command = None;
        let ours = edited(&base(), "deployment-web.yaml", "replicas: 2", &format!("replicas: {replicas}"));
        let merged = merge(&base(), &ours, &render(&key(), &theirs)).unwrap();
        theirs.services.get_mut(&"web".parse().unwrap()).unwrap().replicas = replicas;
        prop_assert_eq!(parse(&merged), Ok(canonical(&theirs)));
    }
}

#[test]
fn replicas_edited_by_hand_survive_the_next_push() {
    let ours = edited(&base(), "deployment-web.yaml", "replicas: 2", "replicas: 3  # Black Friday");
    let (mut spec, theirs) = next();
    let merged = merge(&base(), &ours, &theirs).unwrap();
    spec.services.get_mut(&"web".parse().unwrap()).unwrap().replicas = 3;
    assert_eq!(parse(&merged), Ok(canonical(&spec)));
    assert_eq!(merged, render(&key(), &spec), "a merged file reads as a rendered one");
}

#[test]
fn bounds_edited_by_hand_survive_the_next_push() {
    let with = |spec: &mut EnvironmentSpec, json: &str| {
        spec.routes[0].limits = serde_json::from_str(json).unwrap();
    };
    let (file, body) = ("route-shop.example.com.yaml", r#"{"body":"1Mi"}"#);
    let mut bounded = sample();
    with(&mut bounded, body);
    let base = render(&key(), &bounded);
    let ours = edited(&base, file, "1Mi", "5Mi");
    let (mut spec, _) = next();
    with(&mut spec, body);
    let merged = merge(&base, &ours, &render(&key(), &spec)).unwrap();
    with(&mut spec, r#"{"body":"5Mi"}"#);
    assert_eq!(parse(&merged), Ok(canonical(&spec)));
    // Also where the file says nothing of bounds.
    let ours = edited(
        &render(&key(), &sample()),
        file,
        "  labels:",
        "  annotations: {naru.dev/limits: '{\"body\":\"5Mi\"}'}\n  labels:",
    );
    let merged = merge(&self::base(), &ours, &next().1).unwrap();
    assert_eq!(parse(&merged), Ok(canonical(&spec)));
    with(&mut spec, r#"{"body":"2Mi"}"#);
    let conflict = merge(&self::base(), &ours, &render(&key(), &spec)).unwrap_err().remove(0);
    assert_eq!(
        (conflict.file.as_str(), conflict.path.as_str()),
        (file, "metadata.annotations.naru.dev/limits")
    );
}

#[test]
fn a_field_changed_on_both_sides_is_a_conflict_with_file_and_field() {
    let ours = edited(&base(), "deployment-web.yaml", "replicas: 2", "replicas: 3");
    let theirs = edited(&base(), "deployment-web.yaml", "replicas: 2", "replicas: 4");
    assert_eq!(conflicts(&ours, &theirs), ["deployment-web.yaml spec.replicas"]);
    let conflict = merge(&base(), &ours, &theirs).unwrap_err().remove(0);
    insta::assert_snapshot!(conflict.to_problem(), @r##"
    error: `spec.replicas` of `deployment-web.yaml` was changed by people and by Naru
      cause: in the deploy repository: 3
             in the new render: 4
             in the last render: 2
      state: nothing that runs was changed

    hint: commit one of the two values to the deploy repository, then deploy again
    code: manifest.conflict
    "##);
    let same = edited(&base(), "deployment-web.yaml", "replicas: 2", "replicas:   4");
    assert!(merge(&base(), &same, &theirs).is_ok(), "the same value in another spelling is no conflict");
}

#[test]
fn variables_are_merged_by_name() {
    let added = "        - name: BY_HAND\n          value: \"1\"\n        - name: LOG_LEVEL";
    let ours = edited(&base(), "deployment-web.yaml", "        - name: LOG_LEVEL", added);
    let (_, theirs) = next();
    let merged = merge(&base(), &ours, &theirs).unwrap();
    let web = &merged["deployment-web.yaml"];
    for name in ["BY_HAND", "NEW", "LOG_LEVEL", "DATABASE_URL"] {
        assert_eq!(web.matches(&format!("name: {name}\n")).count(), 1, "{name} in\n{web}");
    }
    let ours = edited(&base(), "deployment-web.yaml", "value: info", "value: debug");
    let theirs = edited(&base(), "deployment-web.yaml", "value: info", "value: warn");
    assert_eq!(
        conflicts(&ours, &theirs),
        ["deployment-web.yaml spec.template.spec.containers[web].env[LOG_LEVEL].value"]
    );
}

#[test]
fn what_people_removed_stays_away_unless_naru_changed_it() {
    let removed =
        edited(&base(), "deployment-web.yaml", "        - name: LOG_LEVEL\n          value: info\n", "");
    let (_, theirs) = next();
    assert!(!merge(&base(), &removed, &theirs).unwrap()["deployment-web.yaml"].contains("LOG_LEVEL"));
    let theirs = edited(&base(), "deployment-web.yaml", "value: info", "value: warn");
    assert_eq!(
        conflicts(&removed, &theirs),
        ["deployment-web.yaml spec.template.spec.containers[web].env[LOG_LEVEL]"]
    );
}

#[test]
fn files_that_people_add_and_remove_stay_so() {
    let mut ours = base();
    ours.insert("README.md".to_owned(), "notes".to_owned());
    ours.insert("extra.yaml".to_owned(), "kind: ConfigMap\n".to_owned());
    ours.remove("claim-state.yaml");
    let list = ours.get_mut(KUSTOMIZATION).unwrap();
    *list = list.replace("- claim-state.yaml\n", "") + "- extra.yaml\n";
    let mut spec = sample();
    spec.volumes.insert("more".parse().unwrap(), spec.volumes[&"uploads".parse().unwrap()].clone());
    let merged = merge(&base(), &ours, &render(&key(), &spec)).unwrap();
    assert!(merged.contains_key("README.md") && !merged.contains_key("claim-state.yaml"));
    let list = &merged[KUSTOMIZATION];
    assert!(
        list.contains("extra.yaml") && list.contains("claim-more.yaml") && !list.contains("claim-state"),
        "{list}"
    );
}

#[test]
fn a_file_removed_by_people_and_changed_by_naru_is_a_conflict() {
    let mut ours = base();
    ours.remove("deployment-web.yaml");
    let (_, theirs) = next();
    assert_eq!(conflicts(&ours, &theirs), ["deployment-web.yaml "]);
    assert_eq!(conflicts(&theirs, &ours), ["deployment-web.yaml "]);
}

#[test]
fn commands_are_merged_as_a_whole() {
    let ours = edited(&base(), "deployment-worker.yaml", "- ./worker", "- ./worker\n        - --verbose");
    let theirs = edited(&base(), "deployment-worker.yaml", "- ./worker", "- ./worker2");
    assert_eq!(
        conflicts(&ours, &theirs),
        ["deployment-worker.yaml spec.template.spec.containers[worker].command"]
    );
}

#[test]
fn an_unreadable_file_conflicts_only_when_naru_changes_it() {
    let mut ours = base();
    ours.insert("deployment-web.yaml".to_owned(), "a: [".to_owned());
    assert_eq!(merge(&base(), &ours, &base()), Ok(ours.clone()));
    assert_eq!(conflicts(&ours, &next().1), ["deployment-web.yaml "]);
}

#[test]
fn several_documents_in_one_file_are_merged_by_kind_and_name() {
    let join = |files: &Files| {
        let text = format!("{}---\n{}", files["deployment-web.yaml"], files["service-web.yaml"]);
        Files::from([("web.yaml".to_owned(), text)])
    };
    let ours = edited(&join(&base()), "web.yaml", "replicas: 2", "replicas: 3");
    let merged = merge(&join(&base()), &ours, &join(&next().1)).unwrap();
    assert!(merged["web.yaml"].contains("replicas: 3") && merged["web.yaml"].contains("name: NEW"));
    assert_eq!(merged["web.yaml"].matches("\n---\n").count(), 1);
}
