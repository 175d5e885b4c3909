//! What the typed allowlist refuses: each by the name of its file and field.

use super::tests::{rendered, shown};

/// The refusals for a folder in which one piece of text was replaced.
pub(super) fn refusals(file: &str, from: &str, to: &str) -> String {
    let mut files = rendered();
    let text = files.get_mut(file).expect(file);
    assert!(text.contains(from), "{file} has no {from:?}:\n{text}");
    *text = text.replacen(from, to, 1);
    shown(&files)
}

/// Each: a file, a text in it, what stands there instead, and what is said of it.
fn are_refused(cases: &[(&str, &str, &str, &str)]) {
    for (file, from, to, expected) in cases {
        let text = refusals(file, from, to);
        assert!(text.contains(expected), "{file}: {to:?} should say {expected:?}, said\n{text}");
    }
}

#[test]
fn what_would_let_a_service_out_of_its_place_is_refused_by_name() {
    for (from, to, field) in [
        ("      containers:", "      hostNetwork: true\n      containers:", "spec.template.spec.hostNetwork"),
        ("      containers:", "      hostPID: true\n      containers:", "spec.template.spec.hostPID"),
        ("      containers:", "      hostIPC: true\n      containers:", "spec.template.spec.hostIPC"),
        (
            "        imagePullPolicy",
            "        securityContext: {privileged: true}\n        imagePullPolicy",
            "spec.template.spec.containers[0].securityContext.privileged",
        ),
        (
            "        imagePullPolicy",
            "        securityContext: {capabilities: {add: [NET_ADMIN]}}\n        imagePullPolicy",
            "spec.template.spec.containers[0].securityContext.capabilities",
        ),
        (
            "containerPort: 8080",
            "containerPort: 8080\n          hostPort: 80",
            "spec.template.spec.containers[0].ports[0].hostPort",
        ),
        (
            "        persistentVolumeClaim:\n          claimName: uploads",
            "        hostPath: {path: /}",
            "spec.template.spec.volumes[0].hostPath",
        ),
        ("metadata:\n  name: web", "metadata:\n  name: web\n  namespace: kube-system", "metadata.namespace"),
    ] {
        let text = refusals("deployment-web.yaml", from, to);
        assert!(
            text.starts_with(&format!("`{field}` of `deployment-web.yaml` cannot be honoured")),
            "{text}"
        );
    }
}

#[test]
fn what_a_deployment_cannot_say_is_refused_by_name() {
    are_refused(&[
        ("deployment-web.yaml", "kind: Deployment", "kind: DaemonSet", "`kind` of `deployment-web.yaml`"),
        ("deployment-web.yaml", "apps/v1", "apps/v1beta1", "`kind` of `deployment-web.yaml`"),
        ("deployment-web.yaml", "  replicas: 2", "  replicas: 2\n  paused: true", "`spec.paused` of"),
        ("deployment-web.yaml", "replicas: 2", "replicas: -2", "`spec.replicas` of"),
        ("deployment-web.yaml", "replicas: 2", "replicas: 1001", "at most 1000 replicas"),
        ("deployment-web.yaml", "replicas: 2", "replicas: two", "`spec.replicas` of"),
        (
            "deployment-web.yaml",
            "value: info",
            "value: no",
            "`spec.template.spec.containers[0].env[1].value` of",
        ),
        ("deployment-web.yaml", "value: info", "value: $(HOME)", "refers to the variable \"HOME\""),
        ("deployment-web.yaml", "name: LOG_LEVEL", "name: DATABASE_URL", "`DATABASE_URL` is set twice"),
        (
            "deployment-web.yaml",
            "name: database-url-v3",
            "name: other-v3",
            "is not a version of `DATABASE_URL`",
        ),
        ("deployment-web.yaml", "@sha256:", ":latest@", "image"),
        ("deployment-web.yaml", "cpu: 500m", "nvidia.com/gpu: 1", "only `cpu` and `memory`"),
        ("deployment-web.yaml", "path: /healthz", "path: healthz", "httpGet.path"),
        ("deployment-web.yaml", "mountPath: /srv/uploads", "mountPath: /srv/../etc", "mountPath"),
        ("deployment-web.yaml", "ready-within: 60s", "ready-within: soon", "naru.dev/ready-within"),
        ("deployment-web.yaml", "naru.dev/ready-within", "naru.dev/ready-soon", "annotation is not known"),
        (
            "deployment-web.yaml",
            "    matchLabels:\n      app.kubernetes.io/name: web",
            "    matchLabels:\n      app.kubernetes.io/name: other",
            "spec.selector.matchLabels",
        ),
        ("deployment-web.yaml", "naru.dev/project: shop", "naru.dev/project: other", "naru.dev/project"),
        ("deployment-web.yaml", "metadata:\n  name: web", "metadata:\n  name: worker", "second Deployment"),
        ("deployment-worker.yaml", "replicas: 1", "replicas: 2", "the volume `state` is exclusive"),
        ("deployment-worker.yaml", "type: Recreate", "type: RollingUpdate", "spec.strategy.type"),
        (
            "deployment-web.yaml",
            "kind: Deployment",
            "kind: Deployment\nkind: Deployment",
            "cannot be honoured",
        ),
    ]);
}

#[test]
fn what_other_objects_cannot_say_is_refused_by_name() {
    are_refused(&[
        ("route-shop.example.com.yaml", "  - shop.", "  - next--shop.", "lead to previews"),
        (
            "service-web.yaml",
            "selector:\n    app.kubernetes.io/name: web",
            "selector:\n    app.kubernetes.io/name: worker",
            "spec.selector",
        ),
        ("service-web.yaml", "targetPort: 8080", "targetPort: 80", "spec.ports"),
        ("service-web.yaml", "spec:", "spec:\n  type: LoadBalancer", "`spec.type` of"),
        ("claim-state.yaml", "ReadWriteOnce", "ReadWriteMany", "spec.accessModes"),
        ("claim-uploads.yaml", "storage: 1Gi", "storage: much", "spec.resources.requests.storage"),
        ("configmap-naru.yaml", "release: \"41\"", "other: \"41\"", "data.other"),
        ("job-release.yaml", "backoffLimit: 0", "backoffLimit: 3", "spec.backoffLimit"),
        ("job-release.yaml", "value: info", "value: debug", "containers[0].env"),
        (
            "route-shop.example.com.yaml",
            "  - shop.example.com",
            "  - Shop.example.com:80",
            "spec.hostnames[0]",
        ),
        ("route-shop.example.com.yaml", "value: /", "value: /../x", "matches[0].path.value"),
        ("route-shop.example.com.yaml", "type: PathPrefix", "type: RegularExpression", "path.type"),
        ("route-shop.example.com.yaml", "name: naru", "name: other", "spec.parentRefs"),
        ("route-shop.example.com.yaml", "name: web", "name: worker", "does not listen"),
    ]);
}

#[test]
fn what_the_list_of_files_cannot_say_is_refused_by_name() {
    are_refused(&[
        (
            "kustomization.yaml",
            "resources:",
            "namePrefix: x-\nresources:",
            "`namePrefix` of `kustomization.yaml`",
        ),
        (
            "kustomization.yaml",
            "- claim-state.yaml",
            "- ../staging/claim-state.yaml",
            "not the name of a file in this folder",
        ),
        (
            "kustomization.yaml",
            "- claim-state.yaml",
            "- /etc/passwd",
            "not the name of a file in this folder",
        ),
        (
            "kustomization.yaml",
            "- claim-state.yaml",
            "- https://example.com/x.yaml",
            "not the name of a file in this folder",
        ),
        ("kustomization.yaml", "- claim-state.yaml", "- claim-uploads.yaml", "listed twice"),
        ("kustomization.yaml", "- claim-state.yaml\n", "", "not listed under `resources`"),
    ]);
}
