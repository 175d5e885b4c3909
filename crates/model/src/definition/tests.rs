//! Files in, definitions or problems out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::workload::Value;
use crate::{ConfigurationVersion, Digest, ImageReference, Problem, ReleaseNumber, SecretVersion};

/// The design's example without what a later version executes.
const SHOP: &str = r#"
pipeline:
  test: { image: "rust:1.95", run: cargo test --locked, beside: { db: "postgres:17" }, cache: { cargo: /usr/local/cargo/registry } }
services:
  web:
    build: { needs: [test], dockerfile: Dockerfile, context: . }
    port: 8080
    health: /healthz
    replicas: 1
    volumes: { data: { path: /data, size: 1Gi } }
    env: { VERSION: 1.10, ANSWER: no, DEBUG: true }
  worker: { image: web, run: ./worker 'two words', replicas: 2 }
release: { service: web, run: ./migrate up }
environments:
  production: { branch: main, host: shop.example.com }
  staging:
"#;

fn refused(text: &str) -> String {
    let problem = parse(text).expect_err("the file should be refused");
    assert!(problem.code.starts_with("definition."), "{}", problem.code);
    format!("{}\n{}\n{}", problem.code, problem.summary, problem.cause.join("\n"))
}

#[test]
fn the_example_is_read() {
    let shop = parse(SHOP).unwrap();
    let web = &shop.services[&"web".parse().unwrap()];
    assert_eq!(web.port.unwrap().get(), 8080);
    let env: Vec<&str> = web.env.values().map(|text| text.0.as_str()).collect();
    assert_eq!(env, ["no", "true", "1.10"], "values stay as they are written");
    let worker = &shop.services[&"worker".parse().unwrap()];
    assert_eq!(worker.run.as_ref().unwrap().arguments(), ["./worker", "two words"]);
    assert_eq!(shop.exposed_service().unwrap().as_str(), "web");
    let test = &shop.pipeline[&"test".parse().unwrap()];
    assert_eq!(test.run.arguments(), ["/bin/sh", "-ec", "cargo test --locked"]);
}

#[test]
fn a_definition_survives_json() {
    let shop = parse(SHOP).unwrap();
    let text = serde_json::to_string(&shop).unwrap();
    assert_eq!(serde_json::from_str::<ProjectDefinition>(&text).unwrap(), shop);
}

#[test]
fn environments_follow_branches() {
    let (main, other) = ("main".parse().unwrap(), "feature/x".parse().unwrap());
    let shop = parse(SHOP).unwrap();
    assert_eq!(shop.environments_of_branch(&main, &other), ["production".parse().unwrap()]);
    assert!(shop.environments_of_branch(&other, &main).is_empty());
    let plain = parse("service: { build: {}, port: 80 }").unwrap();
    assert_eq!(plain.environments_of_branch(&main, &main), ["production".parse().unwrap()]);
    assert!(plain.environments_of_branch(&other, &main).is_empty());
}

#[test]
fn repositories_without_the_file() {
    let dockerfile =
        RepositoryFiles { dockerfile: Some("FROM x\nexpose 3000/tcp 4000\n".into()), static_files: None };
    let web = &read(None, &dockerfile).unwrap().services[&"web".parse().unwrap()];
    assert_eq!((web.port.unwrap().get(), web.build.is_some()), (3000, true));

    let site = RepositoryFiles { dockerfile: None, static_files: Some(".".parse().unwrap()) };
    let web = &read(None, &site).unwrap().services[&"web".parse().unwrap()];
    assert_eq!(web.build.as_ref().unwrap().static_files.as_ref().unwrap().as_str(), ".");
    assert_eq!(web.port, Some(Port::STATIC));

    let steps = "pipeline: { test: { image: rust, run: cargo test } }";
    assert_eq!(read(Some(steps), &site).unwrap().services.len(), 1, "a file without services is completed");
    assert_eq!(read(None, &RepositoryFiles::default()).unwrap_err().code, "definition.nothing-to-build");
}

#[test]
fn several_mistakes_are_told_at_once() {
    insta::assert_snapshot!(refused(
        "pipeline:
  test: { image: rust, run: [] }
  Lint: { image: rust, run: x, neds: [test] }
services:
  web:
    build: {}
    port: http
  worker:
    image: web
    replicas: { min: 0, max: 2 }
  other:
    image: web:latest
    env:
      A: [1]
    volume: 3
enviroments: {}
"
    ), @r#"
    definition.invalid
    naru.yaml has 7 mistakes
    line 2: `pipeline.test.run`: expected a command of at most 64 KiB: one text, or a list of texts
    line 3: `pipeline.Lint`: step name "Lint" is not usable: lower-case letters, digits and single hyphens, starting with a letter, at most 40 characters
    line 3: `pipeline.Lint.neds`: unknown key, expected one of `image`, `run`, `needs`, `secrets`, `cache`, `env`, `cpu`, `memory`, `timeout`, `beside`
    line 7: `services.web.port`: "http" is not a port from 1 to 65535
    line 10: `services.worker.replicas.min`: "0" is not a number of replicas from 1 to 100
    line 12: `services.other.image`: "web:latest" is not the name of another service, or an image by digest (registry/name@sha256:…)
    line 16: `enviroments`: unknown key, expected one of `pipeline`, `service`, `services`, `release`, `environments`
    "#);
}

#[test]
fn impossible_combinations_are_refused() {
    insta::assert_snapshot!(refused(
        "pipeline:
  build-web: { image: rust, run: x, needs: [test, build:nothing], env: { CI: 1 }, secrets: [A, A] }
services:
  web:
    build: { static: public, context: app }
    port: 81
    replicas: { min: 3, max: 2 }
    health: /healthz
    volumes:
      data: { path: /data }
      more: { path: /data, access: shared }
  db: { image: worker, volumes: { data: { path: /d } }, env: { NARU_X: y } }
  worker: { image: web }
  none: { port: 80 }
  both: { port: 81, build: {}, image: web, zone: Asia/Seoul }
release: { service: wbe, run: ./migrate }
environments:
  production: { host: a.example.com, expires: 3d }
  staging: { host: a.example.com, branch: x, pull-requests: true }
"
    ), @r"
    definition.invalid
    naru.yaml has 20 mistakes
    line 2: `pipeline.build-web`: this name belongs to the build of a service, expected another one
    line 2: `pipeline.build-web.needs[0]`: `test` is not known, expected one of: build-web, build:both, build:web
    line 2: `pipeline.build-web.needs[1]`: `build:nothing` is not known, expected one of: build-web, build:both, build:web
    line 2: `pipeline.build-web.env.CI`: this variable is set by Naru, expected another name
    line 2: `pipeline.build-web.secrets[1]`: `A` is given twice
    line 5: `services.web.build.context`: static files are served without a Dockerfile: this key has no use
    line 6: `services.web.port`: static files are served on port 80
    line 7: `services.web.replicas`: min 3 is more than max 2, expected min ≤ max
    line 10: `services.web.volumes.data`: an exclusive volume is for one replica, and there are up to 2: expected `access: shared` or `replicas: 1`
    line 10: `services.web.volumes.data`: `db` mounts it too, expected `access: shared` in both
    line 11: `services.web.volumes.more.path`: `/data` is the path of `data` already
    line 12: `services.db.image`: `worker` builds no image, expected a service with `build`
    line 12: `services.db.env.NARU_X`: this variable is set by Naru, expected another name
    line 14: `services.none`: neither `build` nor `image`, expected one of the two
    line 15: `services.both.image`: given together with `build`, expected one of the two
    line 15: `services.both.zone`: a time zone needs a `schedule`
    line 16: `release.service`: `wbe` is not a service, expected one of: both, db, none, web, worker
    line 18: `environments.production.expires`: only environments for pull requests expire
    line 19: `environments.staging.branch`: given together with `pull-requests`, expected one of the two
    line 19: `environments.staging.host`: `a.example.com` is the host of `production` already
    ");
}

#[test]
fn hosts_and_health_need_a_port() {
    insta::assert_snapshot!(refused(
        "services:
  a: { build: {}, port: 80 }
  b: { build: {}, port: 80 }
  c: { build: {}, health: /healthz }
environments:
  production: { host: a.example.com }
"
    ), @r"
    definition.invalid
    naru.yaml has 2 mistakes
    line 4: `services.c.health`: a health path needs a `port`
    line 6: `environments.production.host`: no service to lead to, expected one called `web` with a `port`, or only one with a `port`
    ");
}

#[test]
fn cycles_are_named() {
    insta::assert_snapshot!(refused(
        "pipeline:
  a: { image: rust, run: x, needs: [b] }
  b: { image: rust, run: x, needs: [build:web] }
service:
  build: { needs: [a] }
"
    ), @r"
    definition.invalid
    naru.yaml has a mistake
    line 5: `service.build.needs`: a cycle: a → b → build:web → a
    ");
    insta::assert_snapshot!(refused("pipeline: { a: { image: x, run: x, needs: [a] } }\nservice: { build: {} }"), @r"
    definition.invalid
    naru.yaml has a mistake
    line 1: `pipeline.a.needs[0]`: `a` needs itself
    ");
}

#[test]
fn what_comes_later_is_refused_by_name() {
    insta::assert_snapshot!(refused(
        "services:
  web:
    build: {}
    port: 8080
    replicas: { min: 2, max: 8, cpu: 70% }
    strategy: { blue-green: { keep: 10m } }
  api: { image: web, port: 80, strategy: { canary: { steps: [5%, 25%, 50%], analysis: errors < 1% } } }
  report: { image: web, run: ./report, schedule: \"0 3 * * *\", zone: Asia/Seoul }
environments:
  preview: { pull-requests: true, expires: 3d }
"
    ), @r"
    definition.not-yet
    naru.yaml asks for what this version of Naru does not do yet
    line 5: `services.web.replicas`: replicas do not follow load yet, expected a number
    line 8: `services.report.schedule`: scheduled services do not run yet
    line 10: `environments.preview.pull-requests`: environments for pull requests are not there yet
    ");
}

#[test]
fn strategies_that_cannot_work_are_refused() {
    insta::assert_snapshot!(refused(
        "services:
  web: { build: {}, port: 80, strategy: { blue-green: { keep: 5m } }, volumes: { data: { path: /data } } }
  api: { image: web, port: 80, strategy: { canary: { steps: [5%, 100%] } } }
  worker: { image: web, strategy: { canary: { steps: [5%] } } }
  jobs: { image: web, strategy: { rolling: { surge: 0 } } }
environments: { production: { host: next--shop.example.com } }
"
    ), @r#"
    definition.invalid
    naru.yaml has 5 mistakes
    line 2: `services.web.strategy`: `blue-green` runs two revisions side by side, and only one may have the exclusive volume `data`: expected `rolling`, or `access: shared`
    line 3: `services.api.strategy.canary.steps`: expected rising percentages below 100%, such as [5%, 25%, 50%]
    line 4: `services.worker.strategy`: `canary` moves requests, and this service gets none: expected `rolling`, or a `port`
    line 5: `services.jobs.strategy`: nothing could move: expected `surge` or `unavailable` above 0
    line 6: `environments.production.host`: hosts that start with `next--` lead to previews
    "#);
    insta::assert_snapshot!(refused(
        "services:
  web: { build: {}, strategy: sideways }
  api: { image: web, strategy: canary }
  old: { image: web, strategy: { canary: { steps: [5%], analysis: errors < 1 } } }
  new: { image: web, strategy: { canary: {} } }
  two: { image: web, strategy: { rolling: {}, canary: {} } }
"
    ), @r#"
    definition.invalid
    naru.yaml has 5 mistakes
    line 2: `services.web.strategy`: "sideways" is not known, expected one of `rolling`, `blue-green`, `canary`
    line 3: `services.api.strategy`: expected settings, such as { canary: { steps: [5%, 25%, 50%] } }
    line 4: `services.old.strategy.canary.analysis`: "errors < 1" is not a list of conditions such as `errors < 1%`, `latency < 150%` and `requests >= 50`, joined by `and`
    line 5: `services.new.strategy.canary`: `steps` is missing
    line 6: `services.two.strategy`: found 2 values, expected rolling, blue-green or canary, alone or as { <name>: { <settings> } }
    "#);
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    insta::assert_snapshot!(refused(
        "services:
  web: { build: {}, port: 80, limits: { head: 64Ki, timeout: 2h, rate: { requests: 5, per: 2d } } }
  api: { image: web, port: 80, limits: { body: 1Mi } }
  worker: { image: web, limits: { body: 1Mi } }
"
    ), @r#"
    definition.invalid
    naru.yaml has 5 mistakes
    line 2: `services.web.limits.head`: 64Ki cannot be kept, expected 1Ki to 32Ki
    line 2: `services.web.limits.timeout`: 2h is too long, expected at most 1h
    line 2: `services.web.limits.rate.per`: 2d is too long, expected at most 1d
    line 3: `services.api.limits`: no requests come here from the edge, which leads to `web`
    line 4: `services.worker.limits`: bounds of requests need a `port`
    "#);
    insta::assert_snapshot!(refused(
        "services:
  web: { build: {}, port: 80, limits: { body: 10MB } }
  api: { image: web, limits: { size: 1Mi } }
  one: { image: web, limits: { rate: { requests: 0, per: 1m } } }
  two: { image: web, limits: { rate: { requests: 10 } } }
  ten: { image: web, limits: 10Mi }
"
    ), @r#"
    definition.invalid
    naru.yaml has 5 mistakes
    line 2: `services.web.limits.body`: "10MB" is not a size: a whole number and Ki, Mi, Gi or Ti, such as 512Mi or 1Gi
    line 3: `services.api.limits.size`: unknown key, expected one of `body`, `head`, `timeout`, `rate`
    line 4: `services.one.limits.rate.requests`: "0" is not a number of requests from 1 to 1000000
    line 5: `services.two.limits.rate`: `per` is missing
    line 6: `services.ten.limits`: found the text "10Mi", expected { body, head, timeout, rate }
    "#);
    insta::assert_snapshot!(refused(
        "services:
  a: { build: {}, port: 80, limits: { body: 1Mi } }
  b: { image: a, port: 80 }
"
    ), @r#"
    definition.invalid
    naru.yaml has a mistake
    line 2: `services.a.limits`: no requests come here from the edge: it leads to a service called `web`, or to the only one with a `port`
    "#);
}

/// A billion values in nine lines.
fn bomb() -> String {
    let levels = (1..9).map(|level| {
        let last = format!("*a{}", level - 1);
        format!("a{level}: &a{level} [{}]\n", [last.as_str(); 10].join(", "))
    });
    format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", levels.collect::<String>())
}

#[test]
fn what_is_not_yaml_is_refused() {
    let bomb = bomb();
    for bad in [
        "",
        "null",
        "[]",
        "3",
        "just text",
        "a: b: c",
        "services: {web: {build: {}}",
        "\t- x",
        "%YAML 9.9\n---",
        "a: *nowhere",
        "service: { build: {} }\nservice: { build: {} }",
        "service: !!python/object:os.system {}",
        "---\n{}\n---\n{}",
        "service: { <<: { build: {} } }",
        bomb.as_str(),
        &"[".repeat(5000),
        &"x".repeat(5 << 20),
        "service: { build: {}, port: .nan }",
        "service: { build: {}, port: 0 }",
        "service: { build: {}, port: 70000 }",
        "service: { build: { context: ../.. } }",
        "service: { build: { dockerfile: /etc/passwd } }",
        "services: { '../x': { build: {} } }",
        "service: { build: {}, replicas: yes }",
        "service: { build: {}, volumes: { a: { path: data } } }",
        "service: { build: {}, strategy: sideways }",
        "service: { build: {}, strategy: canary }",
        "service: { build: {}, run: a && b }",
        "pipeline: { a: { image: --privileged, run: x } }",
        "service: { build: {}, memory: 1GB }",
    ] {
        let shown: String = bad.chars().take(60).collect();
        assert!(parse(bad).is_err(), "{shown}");
    }
}

#[test]
fn bombs_and_big_files_say_what_is_wrong() {
    insta::assert_snapshot!(refused(&"x".repeat(5 << 20)), @r"
    definition.invalid
    naru.yaml has a mistake
    the file has 5120 KiB; expected at most 256 KiB
    ");
    insta::assert_snapshot!(refused("services:\n  web: {build: {}\nx"), @r"
    definition.invalid
    naru.yaml has a mistake
    line 3: not readable as YAML: while parsing a flow mapping, did not find expected ',' or '}'
    ");
    insta::assert_snapshot!(refused(&bomb()), @r"
    definition.invalid
    naru.yaml has a mistake
    line 4: more values, nesting or aliases than such a file may have
    ");
}

fn ingredients_of(
    definition: &ProjectDefinition,
    environment: &str,
    domain: &str,
) -> Result<crate::workload::EnvironmentSpec, Problem> {
    let image = ImageReference { name: "127.0.0.1:7070/shop/web".into(), digest: Digest::of(b"image") };
    compose(
        definition,
        &Ingredients {
            project: &"shop".parse().unwrap(),
            environment: &environment.parse().unwrap(),
            release: ReleaseNumber(4),
            images: &BTreeMap::from([("web".parse().unwrap(), image)]),
            configuration: ConfigurationVersion(2),
            variables: &BTreeMap::from([("ANSWER".parse().unwrap(), "yes".to_owned())]),
            secrets: &BTreeMap::from([("DEBUG".parse().unwrap(), SecretVersion(3))]),
            domain,
        },
    )
}

#[test]
fn an_environment_is_composed() {
    let shop = parse(SHOP).unwrap();
    let spec = ingredients_of(&shop, "production", "localhost").unwrap();
    let web = &spec.services[&"web".parse().unwrap()].template;
    let worker = &spec.services[&"worker".parse().unwrap()];
    assert_eq!(web.image, worker.template.image);
    assert_eq!((worker.replicas, worker.template.port), (2, None));
    let variables: Vec<String> = web
        .variables
        .iter()
        .map(|(name, value)| match value {
            Value::Plain(text) => format!("{name}={text}"),
            Value::Secret(secret, version) => format!("{name}=secret {secret} version {version}"),
        })
        .collect();
    insta::assert_snapshot!(variables.join("\n"), @r"
    ANSWER=yes
    DEBUG=secret DEBUG version 3
    NARU_ENVIRONMENT=production
    NARU_PROJECT=shop
    NARU_SERVICE=web
    PORT=8080
    VERSION=1.10
    ");
    assert_eq!(spec.routes[0].host, "shop.example.com");
    assert_eq!(
        ingredients_of(&shop, "staging", "localhost").unwrap().routes[0].host,
        "shop-staging.localhost"
    );
    assert_eq!(spec.release_command.unwrap().command, ["./migrate", "up"]);
    assert_eq!(spec.volumes.len(), 1);
}

#[test]
fn what_cannot_be_composed_is_refused() {
    let shop = parse(SHOP).unwrap();
    assert_eq!(ingredients_of(&shop, "staging", "Not A Domain").unwrap_err().code, "definition.host-invalid");
    let other = parse("services: { api: { build: {} } }").unwrap();
    assert_eq!(
        ingredients_of(&other, "production", "localhost").unwrap_err().code,
        "definition.image-missing"
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_values_in_known_places_never_panic(
        key in "port|run|replicas|volumes|env|strategy|build|image|health|memory|cpu|zone|stop",
        value in "[a-z0-9:{}\\[\\], *&!'\"%.~|>-]{0,40}",
    ) {
        let _ = parse(&format!("service:\n  build: {{}}\n  {key}: {value}\n"));
        let _ = parse(&format!("services: {{ web: {{ {key}: {value} }} }}"));
        let _ = parse(&format!("{value}: {{ {key}: {value} }}"));
    }

    #[test]
    fn what_is_accepted_survives_json(port in 1_u16..=65535, memory in 1_u64..100_000, cpu in 1_u32..9999, stop in 1_u64..9999) {
        let text = format!("service: {{ build: {{}}, port: {port}, memory: {memory}Mi, cpu: {cpu}m, stop: {stop}s }}");
        let definition = parse(&text).unwrap();
        let json = serde_json::to_string(&definition).unwrap();
        prop_assert_eq!(serde_json::from_str::<ProjectDefinition>(&json).unwrap(), definition);
    }
}
