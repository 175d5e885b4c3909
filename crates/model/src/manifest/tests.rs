//! A sample, how it reads, and every refusal by name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refused_tests::refusals;
use super::*;
use crate::definition::{RequestLimits, Strategy};
use crate::id::{ConfigurationVersion, Digest, EnvironmentKey, ImageReference, ReleaseNumber, SecretVersion};
use crate::workload::{
    EnvironmentSpec, Limits, Mount, Probe, ReleaseCommand, RouteSpec, ServiceSpec, Template, Value,
    VolumeAccess, VolumeSpec,
};

pub(super) fn key() -> EnvironmentKey {
    EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() }
}

pub(super) fn image(seed: &str) -> ImageReference {
    ImageReference { name: "127.0.0.1:7070/shop/web".to_owned(), digest: Digest::of(seed.as_bytes()) }
}

/// A web service with everything, and a worker.
pub(super) fn sample() -> EnvironmentSpec {
    let web = Template {
        image: image("web"),
        command: None,
        variables: BTreeMap::from([
            ("LOG_LEVEL".parse().unwrap(), Value::Plain("info".to_owned())),
            (
                "DATABASE_URL".parse().unwrap(),
                Value::Secret("DATABASE_URL".parse().unwrap(), SecretVersion(3)),
            ),
        ]),
        port: Some(8080),
        probe: Some(Probe::Http { path: "/healthz".to_owned() }),
        limits: Limits { cpu_millis: 500, memory_bytes: 256 << 20 },
        mounts: vec![Mount { volume: "uploads".parse().unwrap(), path: "/srv/uploads".to_owned() }],
        ready_within: Duration::from_mins(1),
        stop_within: Duration::from_secs(10),
    };
    let worker = Template {
        command: Some(vec!["./worker".to_owned(), "--queue=$(hostname)".to_owned()]),
        port: None,
        probe: None,
        variables: BTreeMap::new(),
        limits: Limits::default(),
        mounts: vec![Mount { volume: "state".parse().unwrap(), path: "/state".to_owned() }],
        ..web.clone()
    };
    EnvironmentSpec {
        release: Some(ReleaseNumber(41)),
        configuration: ConfigurationVersion(7),
        services: BTreeMap::from([
            (
                "web".parse().unwrap(),
                ServiceSpec { replicas: 2, strategy: Strategy::default(), template: web },
            ),
            (
                "worker".parse().unwrap(),
                ServiceSpec { replicas: 1, strategy: Strategy::default(), template: worker },
            ),
        ]),
        release_command: Some(ReleaseCommand {
            service: "web".parse().unwrap(),
            command: vec!["./migrate".to_owned(), "up".to_owned()],
            time_limit: Duration::from_mins(5),
        }),
        routes: vec![RouteSpec {
            host: "shop.example.com".to_owned(),
            path: "/".to_owned(),
            service: "web".parse().unwrap(),
            limits: RequestLimits::default(),
        }],
        volumes: BTreeMap::from([
            ("uploads".parse().unwrap(), VolumeSpec { access: VolumeAccess::Shared, size_bytes: 1 << 30 }),
            ("state".parse().unwrap(), VolumeSpec { access: VolumeAccess::Exclusive, size_bytes: 0 }),
        ]),
    }
}

pub(super) fn rendered() -> Files {
    render(&key(), &sample())
}

pub(super) fn shown(files: &Files) -> String {
    let problems = parse_of(&key(), files).expect_err("it must be refused");
    assert!(problems.iter().all(|problem| problem.code == "manifest.refused" && problem.state.is_some()));
    problems.iter().map(|p| format!("{}: {}", p.summary, p.cause.join("; "))).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_reads_back() {
    assert_eq!(parse_of(&key(), &rendered()), Ok(canonical(&sample())));
}

/// The sample's route with this annotation.
fn bounded(annotation: &str) -> Files {
    let mut files = rendered();
    let text = files.get_mut("route-shop.example.com.yaml").unwrap();
    *text = text.replacen("  labels:", &format!("  annotations: {{{annotation}}}\n  labels:"), 1);
    files
}

#[test]
fn bounds_of_a_route_are_an_annotation_of_its_object() {
    let json = r#"{"body":"10Mi","rate":{"requests":100,"per":"1m","burst":20}}"#;
    let mut spec = sample();
    spec.routes[0].limits = serde_json::from_str(json).unwrap();
    let files = render(&key(), &spec);
    let route = &files["route-shop.example.com.yaml"];
    assert!(route.contains(&format!("naru.dev/limits: {json:?}\n")), "{route}");
    assert_eq!(parse_of(&key(), &files), Ok(canonical(&spec)));
    assert_eq!(parse_of(&key(), &bounded(&format!("naru.dev/limits: '{json}'"))), Ok(canonical(&spec)));
    // Nothing else is rendered differently: no replica starts because of it.
    let mut without = rendered();
    without.insert("route-shop.example.com.yaml".to_owned(), route.clone());
    assert_eq!(files, without);
}

#[test]
fn routes_of_one_host_with_other_bounds_are_an_object_of_their_own() {
    let mut spec = sample();
    let upload = RouteSpec {
        path: "/upload".to_owned(),
        limits: serde_json::from_str(r#"{"body":"1Gi"}"#).unwrap(),
        ..spec.routes[0].clone()
    };
    spec.routes.push(upload);
    let files = render(&key(), &spec);
    assert_eq!(files.keys().filter(|name| name.starts_with("route-shop.example.com")).count(), 2);
    assert_eq!(parse_of(&key(), &files), Ok(canonical(&spec)));
}

#[test]
fn bounds_that_cannot_be_kept_are_refused() {
    let refused = |json: &str| shown(&bounded(&format!("naru.dev/limits: '{json}'")));
    let whole = refused("plenty") + "\n" + &refused(r#"{"body":"1Mi"} {}"#);
    insta::assert_snapshot!(whole, @r#"
    `metadata.annotations[naru.dev/limits]` of `route-shop.example.com.yaml` cannot be honoured: expected value at line 1 column 1
    `metadata.annotations[naru.dev/limits]` of `route-shop.example.com.yaml` cannot be honoured: trailing characters at line 1 column 16
    "#);
    let fields = [
        r#"{"body":"10MB"}"#,
        r#"{"size":"10Mi"}"#,
        r#"{"head":"64Ki","timeout":"2h"}"#,
        r#"{"rate":{"requests":"0","per":"1m"}}"#,
        r#"{"rate":{"requests":5}}"#,
        r#"{"rate":{"requests":5,"per":"3d"}}"#,
    ];
    insta::assert_snapshot!(fields.map(refused).join("\n"), @r#"
    `metadata.annotations[naru.dev/limits].body` of `route-shop.example.com.yaml` cannot be honoured: "10MB" is not a size: a whole number and Ki, Mi, Gi or Ti, such as 512Mi or 1Gi at line 1 column 15
    `metadata.annotations[naru.dev/limits].size` of `route-shop.example.com.yaml` cannot be honoured: unknown field `size`, expected one of `body`, `head`, `timeout`, `rate` at line 1 column 7
    `metadata.annotations[naru.dev/limits].head` of `route-shop.example.com.yaml` cannot be honoured: 64Ki cannot be kept, expected 1Ki to 32Ki
    `metadata.annotations[naru.dev/limits].timeout` of `route-shop.example.com.yaml` cannot be honoured: 2h is too long, expected at most 1h
    `metadata.annotations[naru.dev/limits].rate.requests` of `route-shop.example.com.yaml` cannot be honoured: "0" is not a number of requests from 1 to 1000000 at line 1 column 23
    `metadata.annotations[naru.dev/limits].rate` of `route-shop.example.com.yaml` cannot be honoured: missing field `per` at line 1 column 22
    `metadata.annotations[naru.dev/limits].rate.per` of `route-shop.example.com.yaml` cannot be honoured: 3d is too long, expected at most 1d
    "#);
    let elsewhere = refusals(
        "deployment-web.yaml",
        "naru.dev/ready-within: ",
        "naru.dev/limits: '{}'\n    naru.dev/ready-within: ",
    );
    assert!(elsewhere.contains("this annotation is not known here"), "{elsewhere}");
}

#[test]
fn a_strategy_that_cannot_work_is_refused() {
    for (file, from, to, expected) in [
        (
            "deployment-worker.yaml",
            "naru.dev/ready-within: 60s",
            "naru.dev/strategy: '{\"blue-green\":{}}'",
            "the exclusive volume `state`",
        ),
        (
            "deployment-web.yaml",
            "naru.dev/ready-within: 60s",
            "naru.dev/strategy: '{\"canary\":{\"steps\":[\"50%\",\"5%\"]}}'",
            "rising percentages",
        ),
        (
            "deployment-web.yaml",
            "naru.dev/ready-within: 60s",
            "naru.dev/strategy: sideways",
            "naru.dev/strategy",
        ),
    ] {
        let text = refusals(file, from, to);
        assert!(text.contains(expected), "{file}: {to:?} should say {expected:?}, said\n{text}");
    }
}

#[test]
fn a_missing_folder_list_or_service_object_is_refused() {
    assert!(shown(&Files::new()).contains("`kustomization.yaml` cannot be honoured"));
    let mut files = rendered();
    files.remove("service-web.yaml");
    let list = files.get_mut(KUSTOMIZATION).unwrap();
    *list = list.replace("- service-web.yaml\n", "");
    assert!(shown(&files).contains("a service with a port needs a Service object"));
}

#[test]
fn alias_bombs_floods_and_deep_nesting_are_refused_quickly() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.extend([format!("a{level}: &a{level} [{items}]\n")]);
    }
    let deep = "[".repeat(100_000);
    let large = format!("# {}\n", "x".repeat(limit::FILE_BYTES));
    let many = "---\na: b\n".repeat(10_000);
    for content in [bomb, deep, large, many, "a: !!python/object x".to_owned(), "<<: {a: b}".to_owned()] {
        let mut files = rendered();
        files.insert("deployment-web.yaml".to_owned(), content);
        assert!(shown(&files).starts_with("`deployment-web.yaml` cannot be honoured"));
    }
}

#[test]
fn people_may_use_config_maps_notes_and_several_documents() {
    let mut files = rendered();
    files.insert("README.md".to_owned(), "why we run three".to_owned());
    files.insert(
        "extra.yaml".to_owned(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {LOG_LEVEL: debug, MODE: fast}\n"
            .to_owned(),
    );
    let list = files.get_mut(KUSTOMIZATION).unwrap();
    list.push_str("- extra.yaml\n");
    *list = list.replace("- job-release.yaml\n", "");
    files.remove("job-release.yaml");
    let web = files.get_mut("deployment-web.yaml").unwrap();
    *web =
        web.replace("        env:", "        envFrom:\n        - configMapRef: {name: extra}\n        env:");
    let service = files.remove("service-web.yaml").unwrap();
    *files.get_mut("deployment-web.yaml").unwrap() += &["---\n", &service].concat();
    let list = files.get_mut(KUSTOMIZATION).unwrap();
    *list = list.replace("- service-web.yaml\n", "");
    let spec = parse_of(&key(), &files).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let variables = &spec.services[&"web".parse().unwrap()].template.variables;
    assert_eq!(variables[&"MODE".parse().unwrap()], Value::Plain("fast".to_owned()));
    assert_eq!(
        variables[&"LOG_LEVEL".parse().unwrap()],
        Value::Plain("info".to_owned()),
        "env wins over envFrom"
    );
}

#[test]
fn a_deployment_reads_like_one() {
    insta::assert_snapshot!(rendered()["deployment-web.yaml"], @r##"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      labels:
        app.kubernetes.io/managed-by: naru
        app.kubernetes.io/name: web
        naru.dev/environment: production
        naru.dev/project: shop
      annotations:
        naru.dev/ready-within: 60s
    spec:
      replicas: 2
      selector:
        matchLabels:
          app.kubernetes.io/name: web
          naru.dev/environment: production
          naru.dev/project: shop
      template:
        metadata:
          labels:
            app.kubernetes.io/managed-by: naru
            app.kubernetes.io/name: web
            naru.dev/environment: production
            naru.dev/project: shop
        spec:
          enableServiceLinks: false
          automountServiceAccountToken: false
          terminationGracePeriodSeconds: 10
          containers:
          - name: web
            image: 127.0.0.1:7070/shop/web@sha256:4b5e57f6eb2f42b9039b3d1e13929295f231749c510cbe341cd68036d9af97e2
            imagePullPolicy: IfNotPresent
            env:
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef:
                  name: database-url-v3
                  key: DATABASE_URL
            - name: LOG_LEVEL
              value: info
            ports:
            - containerPort: 8080
            readinessProbe:
              httpGet:
                path: /healthz
                port: 8080
            resources:
              limits:
                cpu: 500m
                memory: 256Mi
            volumeMounts:
            - name: uploads
              mountPath: /srv/uploads
          volumes:
          - name: uploads
            persistentVolumeClaim:
              claimName: uploads
    "##);
}

#[test]
fn routes_claims_and_the_release_command_read_like_kubernetes() {
    let files = rendered();
    insta::assert_snapshot!(files["route-shop.example.com.yaml"], @r##"
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata:
      name: shop.example.com
      labels:
        app.kubernetes.io/managed-by: naru
        app.kubernetes.io/name: route
        naru.dev/environment: production
        naru.dev/project: shop
    spec:
      parentRefs:
      - name: naru
      hostnames:
      - shop.example.com
      rules:
      - matches:
        - path:
            type: PathPrefix
            value: /
        backendRefs:
        - name: web
          port: 8080
    "##);
    insta::assert_snapshot!(files["claim-state.yaml"], @r##"
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: state
      labels:
        app.kubernetes.io/managed-by: naru
        app.kubernetes.io/name: state
        naru.dev/environment: production
        naru.dev/project: shop
      annotations:
        naru.dev/access: exclusive
        naru.dev/size: any
    spec:
      accessModes:
      - ReadWriteOnce
      resources:
        requests:
          storage: 1Gi
    "##);
    insta::assert_snapshot!(files["configmap-naru.yaml"], @r##"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: naru
      labels:
        app.kubernetes.io/managed-by: naru
        app.kubernetes.io/name: naru
        naru.dev/environment: production
        naru.dev/project: shop
    data:
      configuration: "7"
      release: "41"
    "##);
    insta::assert_snapshot!(files[KUSTOMIZATION], @r##"
    apiVersion: kustomize.config.k8s.io/v1beta1
    kind: Kustomization
    resources:
    - claim-state.yaml
    - claim-uploads.yaml
    - configmap-naru.yaml
    - deployment-web.yaml
    - deployment-worker.yaml
    - job-release.yaml
    - route-shop.example.com.yaml
    - service-web.yaml
    "##);
}
