//! The round trip over arbitrary specs, and no panic whatever the text.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::{image, key, rendered};
use super::*;
use crate::definition::Strategy as TakeOver;
use crate::id::{ConfigurationVersion, ReleaseNumber, SecretVersion};
use crate::name::{ServiceName, VolumeName};
use crate::workload::{
    EnvironmentSpec, Limits, Mount, Probe, ReleaseCommand, RouteSpec, ServiceSpec, Template, Value,
    VolumeAccess, VolumeSpec,
};

/// Text that YAML could take for something else.
fn hostile() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        " ",
        "no",
        "Yes",
        "on",
        "~",
        "null",
        "true",
        "1e3",
        "0x10",
        "0o7",
        "010",
        ".inf",
        ".nan",
        "1_000",
        "12:30:45",
        "2026-11-21",
        "- a",
        "-",
        "---",
        "...",
        "# x",
        "a # b",
        "a: b",
        ": ",
        "?",
        "!tag",
        "&a",
        "*a",
        "<<",
        "|",
        ">",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "{}",
        "[]",
        "a\nb",
        "a\n\n",
        "\n",
        "\r\n",
        "\t",
        " a ",
        "가나다",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "\u{1}",
        "😀",
        "$(HOME)",
        "$$",
        "\\n",
        "=",
        "y",
        "N",
    ]);
    prop_oneof![
        known.prop_map(ToOwned::to_owned),
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "[ -~\n\t]{0,200}",
        "[:#\\-?!&*'\"|>%@`{}\\[\\], \n]{0,12}",
    ]
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}",
        select(vec!["n", "no", "y", "on", "null", "naru", "release"]).prop_map(ToOwned::to_owned)
    ]
}

fn variable() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z_][A-Za-z0-9_]{0,20}",
        select(vec!["no", "Y", "NULL", "_", "__", "A__B"]).prop_map(ToOwned::to_owned)
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        hostile().prop_map(Value::Plain),
        (variable(), 1..=u32::MAX)
            .prop_map(|(name, version)| Value::Secret(name.parse().unwrap(), SecretVersion(version))),
    ]
}

fn seconds() -> impl Strategy<Value = Duration> {
    (1..=limit::SECONDS).prop_map(Duration::from_secs)
}

fn template() -> impl Strategy<Value = Template> {
    let probe =
        prop_oneof![Just(Probe::Tcp), "/[a-zA-Z0-9._~?=&%-]{0,20}".prop_map(|path| Probe::Http { path })];
    (
        any::<u64>(),
        option::of(vec(hostile(), 1..4)),
        btree_map(variable().prop_map(|name| name.parse().unwrap()), any_value(), 0..6),
        option::of((1..=u16::MAX, option::of(probe))),
        (
            prop_oneof![Just(0), any::<u32>()],
            prop_oneof![Just(0), any::<u64>(), (0..64_u64).prop_map(|n| n << 20)],
        ),
        seconds(),
        0..=limit::SECONDS,
    )
        .prop_map(
            |(seed, command, variables, network, (cpu_millis, memory_bytes), ready_within, stop)| Template {
                image: image(&seed.to_string()),
                command,
                variables,
                port: network.as_ref().map(|(port, _)| *port),
                probe: network.and_then(|(_, probe)| probe),
                limits: Limits { cpu_millis, memory_bytes },
                mounts: Vec::new(),
                ready_within,
                stop_within: Duration::from_secs(stop),
            },
        )
}

type Services = BTreeMap<ServiceName, ServiceSpec>;
type Volumes = BTreeMap<VolumeName, VolumeSpec>;

fn services() -> impl Strategy<Value = Services> {
    let service = (0..=limit::REPLICAS, strategy(), template())
        .prop_map(|(replicas, strategy, template)| ServiceSpec { replicas, strategy, template });
    btree_map(label().prop_map(|name| name.parse().unwrap()), service, 0..4)
}

fn strategy() -> impl Strategy<Value = TakeOver> {
    let texts = vec![
        r#""rolling""#,
        r#"{"rolling":{"surge":"25%","unavailable":"1"}}"#,
        r#"{"blue-green":{"keep":"10m","promote":"manual"}}"#,
        r#"{"canary":{"steps":["5%","25%","50%"],"analysis":"errors < 0.5% and latency < 150%","sticky":"cookie"}}"#,
    ];
    select(texts).prop_map(|text| serde_json::from_str(text).unwrap())
}

fn volumes() -> impl Strategy<Value = Volumes> {
    let access = select(vec![VolumeAccess::Exclusive, VolumeAccess::Shared]);
    let size = prop_oneof![Just(0), any::<u64>(), (1..900_u64).prop_map(|n| n << 30)];
    let volume = (access, size).prop_map(|(access, size_bytes)| VolumeSpec { access, size_bytes });
    btree_map(label().prop_map(|name| name.parse().unwrap()), volume, 0..4)
}

/// Mounts each volume somewhere, exclusive ones once.
fn mount(services: &mut Services, volumes: &Volumes, picks: &[usize]) {
    let names: Vec<ServiceName> = services.keys().cloned().collect();
    for (nth, (volume, of)) in volumes.iter().enumerate() {
        if names.is_empty() || picks[nth].is_multiple_of(3) {
            continue;
        }
        let holders = if of.access == VolumeAccess::Shared { 2 } else { 1 };
        for holder in 0..holders {
            let service = services.get_mut(&names[(picks[nth] + holder) % names.len()]).unwrap();
            if of.access == VolumeAccess::Exclusive {
                service.replicas = service.replicas.min(1);
            }
            let path = format!("/mnt/{volume}-{holder} x");
            service.template.mounts.push(Mount { volume: volume.clone(), path });
        }
    }
}

/// Takes the strategies away that a service without a port or with an exclusive volume cannot have.
fn only_what_fits(services: &mut Services, volumes: &Volumes) {
    for service in services.values_mut() {
        let shares =
            service.template.mounts.iter().all(|mount| volumes[&mount.volume].access == VolumeAccess::Shared);
        if !shares || service.template.port.is_none() {
            service.strategy = TakeOver::default();
        }
    }
}

pub(super) fn spec() -> impl Strategy<Value = EnvironmentSpec> {
    let paths = vec!["/", "/api", "/api/v1/", "/a.b~c", "/no", "/~"];
    let hosts = vec!["a.example.com", "no", "1e3", "127.0.0.1", "xn--bj0bj06e.kr"];
    (
        (option::of(any::<u32>()), any::<u32>()),
        services(),
        volumes(),
        vec(any::<usize>().prop_map(|n| n % 1000), 4),
        (subsequence(hosts, 0..=3), subsequence(paths, 0..=4)),
        option::of((vec(hostile(), 1..4), seconds(), any::<proptest::sample::Index>())),
    )
        .prop_map(|((release, configuration), mut services, volumes, picks, (hosts, paths), command)| {
            mount(&mut services, &volumes, &picks);
            only_what_fits(&mut services, &volumes);
            let listening: Vec<ServiceName> = services
                .iter()
                .filter(|(_, s)| s.template.port.is_some())
                .map(|(name, _)| name.clone())
                .collect();
            let bounds = [
                "{}",
                r#"{"body":"10Mi","rate":{"requests":9,"per":"1h","burst":2}}"#,
                r#"{"timeout":"90s"}"#,
            ]
            .map(|json| serde_json::from_str(json).unwrap());
            let route = |host: &str, path: &str| RouteSpec {
                host: host.to_owned(),
                path: path.to_owned(),
                service: listening[(host.len() + path.len()) % listening.len()].clone(),
                limits: bounds[(host.len() * path.len()) % bounds.len()],
            };
            let routes = if listening.is_empty() {
                Vec::new()
            } else {
                hosts
                    .iter()
                    .flat_map(|host| paths.iter().map(move |path| (host, path)))
                    .map(|(h, p)| route(h, p))
                    .collect()
            };
            let names: Vec<ServiceName> = services.keys().cloned().collect();
            let release_command =
                command.filter(|_| !names.is_empty()).map(|(command, time_limit, index)| ReleaseCommand {
                    service: index.get(&names).clone(),
                    command,
                    time_limit,
                });
            EnvironmentSpec {
                release: release.map(ReleaseNumber),
                configuration: ConfigurationVersion(configuration),
                services,
                release_command,
                routes,
                volumes,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn parsing_a_render_gives_the_spec_back(spec in spec()) {
        let files = render(&key(), &spec);
        match parse_of(&key(), &files) {
            Ok(back) => prop_assert_eq!(back, canonical(&spec)),
            Err(problems) => prop_assert!(false, "{}\n{:#?}", problems[0], files),
        }
    }

    #[test]
    fn rendering_is_deterministic_and_canonical_once(spec in spec()) {
        let files = render(&key(), &spec);
        prop_assert_eq!(&render(&key(), &canonical(&spec)), &files);
        prop_assert_eq!(canonical(&canonical(&spec)), canonical(&spec));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), yaml in "[a-z:\\- \n&*\\[\\]{}'\"|>!%#0-9]{0,300}") {
        for content in [text, yaml] {
            let mut files = rendered();
            files.insert("deployment-web.yaml".to_owned(), content.clone());
            let _ = parse(&files);
            files.insert(KUSTOMIZATION.to_owned(), content.clone());
            let _ = parse(&files);
            let _ = merge(&rendered(), &files, &Files::from([(KUSTOMIZATION.to_owned(), content)]));
        }
    }

    #[test]
    fn damaged_renders_never_panic(at in any::<proptest::sample::Index>(), with in hostile(), which in any::<proptest::sample::Index>()) {
        let mut files = rendered();
        let name = which.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let text = files.get_mut(&name).unwrap();
        let mut place = at.index(text.len());
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        text.insert_str(place, &with);
        let _ = parse(&files);
    }
}
