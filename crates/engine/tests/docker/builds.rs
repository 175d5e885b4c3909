//! Jobs that build an image and push it.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_engine::{Engine as _, LogSource};
use naru_model::job::{Dockerfile, ExitReason, JobSpec, JobWork, Workspace};
use naru_model::workload::Limits;
use naru_model::{Digest, ImageReference};

use crate::registry;
use crate::rig::{Rig, environment, get, guest, job, key, processes_with, reason, until_no_process_has};

fn build(workspace: Workspace, push_to: String) -> JobSpec {
    JobSpec {
        work: JobWork::Build {
            workspace,
            context: ".".into(),
            dockerfile: Dockerfile::Path("Dockerfile".into()),
            arguments: BTreeMap::from([("GREETING".into(), "good day; $(id)".into())]),
            labels: BTreeMap::from([("org.opencontainers.image.revision".into(), "abc".into())]),
            push_to,
        },
        variables: BTreeMap::new(),
        limits: Limits { cpu_millis: 1000, memory_bytes: 256 << 20 },
        time_limit: Duration::from_mins(2),
        log_limit_bytes: 1 << 20,
    }
}

fn commit(rig: &Rig, dockerfile: &str) -> Workspace {
    let program = std::fs::read(guest()).unwrap();
    rig.commit(&[
        ("Dockerfile", dockerfile.as_bytes()),
        (".dockerignore", b"ignored\n"),
        ("ignored", b"x"),
        ("note", b"from the commit\n"),
        ("guest", &program),
    ])
}

const WEB: &str = "FROM scratch\n\
    ARG GREETING\n\
    COPY . /\n\
    RUN [\"/guest\", \"show\", \"/note\"]\n\
    RUN [\"/guest\", \"say\", \"SSL_CERT_FILE\"]\n\
    RUN [\"/guest\", \"write\", \"/built\", \"yes\"]\n\
    ENV GREETING=$GREETING\n\
    HEALTHCHECK CMD [\"/guest\"]\n\
    CMD [\"/guest\", \"serve\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_pushed_and_runs_by_digest_and_is_pulled_when_it_is_gone() {
    let access = registry::start().await;
    let rig = Rig::with_registry(Some(access.clone())).await;
    let push_to = format!("{}/shop/web:run-7", access.host);
    let spec = build(commit(&rig, WEB), push_to);
    let web = job("build-web");
    let (why, lines) = rig.run(&web, &spec).await;
    assert_eq!(why, ExitReason::Exited { code: 0 }, "{lines:#?}");
    assert!(lines.iter().any(|line| line == "from the commit"), "{lines:#?}");
    let told = "SSL_CERT_FILE is /run/naru/ca-certificates.crt";
    assert!(lines.iter().any(|line| line == told), "{lines:#?}");
    let digest: Digest = rig.job(&web).await.unwrap().outputs["digest"].parse().unwrap();

    let image: ImageReference = format!("{}/shop/web@{digest}", access.host).parse().unwrap();
    let mut service = rig.service(&["serve"]);
    service.template.image = image.clone();
    service.template.command = None;
    let here = environment("shop", "production");
    rig.start_replica(&here, &key("web", 1, 0), &service).await;
    let seen = rig.until_ready(&here, &key("web", 1, 0)).await;
    assert_eq!(get(&seen, "/file/note").await, "from the commit\n");
    assert_eq!(get(&seen, "/file/built").await, "yes");
    assert_eq!(get(&seen, "/file/ignored").await, "");
    assert_eq!(get(&seen, "/variable/GREETING").await, "good day; $(id)");
    assert_eq!(
        get(&seen, "/variable/SSL_CERT_FILE").await,
        "",
        "the host's surroundings stay out of the image"
    );

    // Built again from the same files, it comes from the cache and is the same image.
    let again = job("build-again");
    let (why, lines) = rig.run(&again, &spec).await;
    assert_eq!(why, ExitReason::Exited { code: 0 }, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("Using cache")), "{lines:#?}");
    assert_eq!(rig.job(&again).await.unwrap().outputs["digest"], digest.to_string());

    // What is kept, in use or just built stays; nothing that others made goes.
    let local = format!("localhost/naru-{}:{}", rig.instance(), digest.hex());
    rig.engine().remove_environment(&here, false).await.unwrap();
    rig.engine().prune_images(&[]).await.unwrap();
    rig.podman(&["image", "exists", &local]);
    for key in [web, again] {
        rig.engine().stop_job(&key).await.unwrap();
        rig.engine().stop_job(&key).await.unwrap();
    }
    rig.start_replica(&here, &key("web", 1, 0), &service).await;
    rig.engine().prune_images(&[]).await.unwrap();
    rig.until_ready(&here, &key("web", 1, 0)).await;
    rig.engine().remove_environment(&here, false).await.unwrap();
    rig.engine().prune_images(std::slice::from_ref(&digest)).await.unwrap();
    rig.podman(&["image", "exists", &local]);
    rig.engine().prune_images(&[]).await.unwrap();
    assert!(!rig.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).contains(&local));
    rig.podman(&["image", "exists", "localhost/guest:1"]);

    rig.start_replica(&here, &key("web", 2, 0), &service).await;
    rig.until_ready(&here, &key("web", 2, 0)).await;

    assert_eq!(rig.engine().job_scopes().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_goes_on_while_nobody_watches_and_is_adopted() {
    let access = registry::start().await;
    let mut rig = Rig::with_registry(Some(access.clone())).await;
    let slow = WEB.replace("RUN [\"/guest\", \"show\", \"/note\"]", "RUN [\"/guest\", \"pause\", \"3000\"]");
    let spec = build(commit(&rig, &slow), format!("{}/shop/web:run-7", access.host));
    let web = job("build-web");
    rig.engine().ensure_job(&web, &spec).await.unwrap();
    rig.until_running(&web).await;
    rig.restart().await;
    assert!(!matches!(rig.job(&web).await.unwrap().state, naru_model::job::JobState::Finished(_)));
    rig.engine().ensure_job(&web, &spec).await.unwrap();
    let seen = rig.until_finished(&web).await;
    assert_eq!(
        reason(&seen),
        ExitReason::Exited { code: 0 },
        "{:#?}",
        rig.log(&LogSource::Job(web.clone())).await
    );
    assert!(seen.outputs.contains_key("digest"));
    let lines = rig.log(&LogSource::Job(web)).await;
    let begins = lines.iter().filter(|line| line.contains("FROM scratch")).count();
    assert_eq!(begins, 1, "it was built once: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_failures_of_builds_are_told_apart() {
    let rig = Rig::start().await;
    let nowhere = || "127.0.0.1:1/shop/web:1".to_owned();
    let run = |manners: &str| format!("FROM scratch\nCOPY guest /guest\nRUN [\"/guest\", {manners}]\n");

    let fails = build(commit(&rig, &run("\"exit\", \"3\"")), nowhere());
    let (why, lines) = rig.run(&job("fails"), &fails).await;
    assert!(matches!(why, ExitReason::Exited { code } if code != 0), "{why:?}");
    assert!(lines.iter().any(|line| line == "about to exit"), "{lines:#?}");

    let loud = build(commit(&rig, &run("\"flood\"")), nowhere());
    let (why, lines) = rig.run(&job("loud"), &loud).await;
    assert_eq!(why, ExitReason::LogLimit { bytes: 1 << 20 });
    assert!(lines.len() > 500 && lines.len() < 2000, "{}", lines.len());

    let mark = format!("mark-{}", rig.instance());
    let mut slow = build(commit(&rig, &run(&format!("\"tree\", \"{mark}\""))), nowhere());
    slow.time_limit = Duration::from_secs(6);
    assert_eq!(rig.run(&job("slow"), &slow).await.0, ExitReason::TimedOut { seconds: 6 });
    until_no_process_has(&mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_build_ends_all_its_processes() {
    let rig = Rig::start().await;
    let mark = format!("mark-{}", rig.instance());
    let dockerfile = format!("FROM scratch\nCOPY guest /guest\nRUN [\"/guest\", \"tree\", \"{mark}\"]\n");
    let spec = build(commit(&rig, &dockerfile), "127.0.0.1:1/shop/web:1".into());
    let tree = job("tree");
    rig.engine().ensure_job(&tree, &spec).await.unwrap();
    let began = std::time::Instant::now();
    while processes_with(&mark) < 2 {
        assert!(began.elapsed() < crate::rig::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.engine().stop_job(&tree).await.unwrap();
    until_no_process_has(&mark).await;
    assert_eq!(rig.job(&tree).await, None);
    assert_eq!(rig.podman(&["ps", "--all", "--external", "--quiet"]), "", "no working container is left");
    assert_eq!(rig.engine().job_scopes().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_leads_outside_is_refused() {
    let rig = Rig::start().await;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header.clone(), "Dockerfile", "/etc/passwd").unwrap();
    archive.append_link(&mut header, "up", "../../..").unwrap();
    let workspace = rig.shelve(archive.into_inner().unwrap());
    let mut spec = build(workspace, "127.0.0.1:1/shop/web:1".into());
    let (why, lines) = rig.run(&job("linked-file"), &spec).await;
    assert!(
        matches!(&why, ExitReason::NotStarted { why } if why.contains("leads outside")),
        "{why:?} {lines:?}"
    );
    let JobWork::Build { context, .. } = &mut spec.work else { unreachable!() };
    *context = "up".into();
    let (why, _) = rig.run(&job("linked-context"), &spec).await;
    assert!(matches!(&why, ExitReason::NotStarted { why } if why.contains("leads outside")), "{why:?}");
}
