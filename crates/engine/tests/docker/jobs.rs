//! Jobs that run a command, from start to removal, well-behaved and not.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_engine::{Engine as _, LogSource};
use naru_model::job::{ExitReason, JobKey, JobScope, JobSpec, JobWork, Workspace};
use naru_model::workload::{Limits, Mount, Value};

use crate::rig::{Rig, environment, job, key, processes_with, reason, until_no_process_has};

fn step(manners: &[&str], workspace: Option<Workspace>) -> JobSpec {
    let command = std::iter::once("/guest").chain(manners.iter().copied()).map(str::to_owned);
    JobSpec {
        work: JobWork::Command {
            image: "localhost/guest:1".into(),
            command: command.collect(),
            workspace,
            caches: BTreeMap::new(),
            beside: BTreeMap::new(),
            environment: None,
        },
        variables: BTreeMap::new(),
        limits: Limits { cpu_millis: 0, memory_bytes: 64 << 20 },
        time_limit: Duration::from_mins(1),
        log_limit_bytes: 1 << 20,
    }
}

const DONE: ExitReason = ExitReason::Exited { code: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_its_workspace_its_caches_and_companions() {
    let rig = Rig::start().await;
    let workspace = rig.commit(&[("README", b"hello\n"), ("src/deep/file", b"x")]);
    let show = job("show");
    let spec = step(&["show", "README"], Some(workspace.clone()));
    assert_eq!(rig.run(&show, &spec).await, (DONE, vec!["hello".to_owned()]));
    // Repeating does not run it again.
    rig.engine().ensure_job(&show, &spec).await.unwrap();
    assert_eq!(rig.run(&show, &spec).await.1, ["hello"]);
    assert_eq!(rig.engine().observe_jobs(&show.scope).await.unwrap().len(), 1);

    let caching = |manners: &[&str]| {
        let mut spec = step(manners, None);
        let JobWork::Command { caches, .. } = &mut spec.work else { unreachable!() };
        caches.insert("/cache".into(), "cargo".into());
        spec
    };
    assert_eq!(rig.run(&job("fill"), &caching(&["write", "/cache/x", "kept"])).await.0, DONE);
    assert_eq!(rig.run(&job("use"), &caching(&["show", "/cache/x"])).await, (DONE, vec!["kept".to_owned()]));

    let mut with_database = step(&["fetch", "db:8080"], None);
    let JobWork::Command { beside, .. } = &mut with_database.work else { unreachable!() };
    beside.insert("db".into(), "localhost/guest:1".into());
    let (reason, lines) = rig.run(&job("companion"), &with_database).await;
    assert!(reason == DONE && lines[0].ends_with("says well"), "{reason:?} {lines:?}");

    let mut secretive = step(&["tell", "TOKEN"], None);
    rig.shelf.secrets.lock().unwrap().insert("TOKEN".into(), "correct-horse".into());
    let secret = Value::Secret("TOKEN".parse().unwrap(), naru_model::SecretVersion(1));
    secretive.variables.insert("TOKEN".parse().unwrap(), secret);
    assert_eq!(rig.run(&job("secret"), &secretive).await.1, ["TOKEN is correct-horse"]);

    let surroundings = rig.run(&job("bundle"), &step(&["tell", "SSL_CERT_FILE"], None)).await;
    assert_eq!(surroundings.1, ["SSL_CERT_FILE is /run/naru/ca-certificates.crt"]);

    for name in ["show", "fill", "use", "companion", "secret", "bundle"] {
        rig.engine().stop_job(&job(name)).await.unwrap();
        rig.engine().stop_job(&job(name)).await.unwrap();
    }
    assert_eq!(rig.engine().job_scopes().await.unwrap(), []);
    assert_eq!(rig.podman(&["ps", "--all", "--quiet"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_job_even_over_a_restart() {
    let mut rig = Rig::start().await;
    let mut loud = step(&["flood"], None);
    loud.log_limit_bytes = 1 << 20;
    let (why, lines) = rig.run(&job("loud"), &loud).await;
    assert_eq!(why, ExitReason::LogLimit { bytes: 1 << 20 });
    assert!(lines.len() > 500);

    let mut greedy = step(&["eat"], None);
    greedy.limits.memory_bytes = 32 << 20;
    assert_eq!(rig.run(&job("greedy"), &greedy).await.0, ExitReason::OutOfMemory { limit_bytes: 32 << 20 });

    let mut slow = step(&["sleep"], None);
    slow.time_limit = Duration::from_secs(4);
    rig.engine().ensure_job(&job("slow"), &slow).await.unwrap();
    rig.until_running(&job("slow")).await;
    rig.restart().await;
    rig.engine().ensure_job(&job("slow"), &slow).await.unwrap();
    let seen = rig.until_finished(&job("slow")).await;
    assert_eq!(reason(&seen), ExitReason::TimedOut { seconds: 4 });
    rig.restart().await;
    assert_eq!(rig.job(&job("slow")).await, Some(seen), "what ended it is known after a restart");
    assert_eq!(rig.run(&job("loud"), &loud).await.0, ExitReason::LogLimit { bytes: 1 << 20 });
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_job_ends_all_its_processes() {
    let rig = Rig::start().await;
    let mark = format!("mark-{}", rig.instance());
    let tree = job("tree");
    rig.engine().ensure_job(&tree, &step(&["tree", &mark], None)).await.unwrap();
    rig.until_running(&tree).await;
    let began = std::time::Instant::now();
    while processes_with(&mark) < 2 {
        assert!(began.elapsed() < crate::rig::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.engine().stop_job(&tree).await.unwrap();
    until_no_process_has(&mark).await;
    assert_eq!(rig.job(&tree).await, None);
    assert_eq!(rig.engine().job_scopes().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let rig = Rig::start().await;
    let mut no_program = step(&[], None);
    let JobWork::Command { command, .. } = &mut no_program.work else { unreachable!() };
    *command = vec!["/nothing".into()];
    let (why, _) = rig.run(&job("absent"), &no_program).await;
    assert!(matches!(&why, ExitReason::NotStarted { why } if why.contains("/nothing")), "{why:?}");

    for image in ["--privileged", "a b", ""] {
        let mut bad = step(&["sleep"], None);
        let JobWork::Command { image: it, .. } = &mut bad.work else { unreachable!() };
        *it = image.into();
        let key = job(&format!("image-{}", image.len()));
        let (why, _) = rig.run(&key, &bad).await;
        assert!(matches!(&why, ExitReason::NotStarted { why } if why.contains("not the name of an image")));
    }

    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..10].copy_from_slice(b"../outside");
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.resize(2048, 0);
    let hostile = rig.shelve(archive);
    let (why, _) = rig.run(&job("hostile"), &step(&["sleep"], Some(hostile))).await;
    assert!(matches!(&why, ExitReason::NotStarted { why } if why.contains("leaves its folder")), "{why:?}");

    let bad_name = rig.engine().ensure_job(&job("../x"), &step(&["sleep"], None)).await;
    assert!(bad_name.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_command_joins_its_environment() {
    let rig = Rig::start().await;
    let here = environment("shop", "production");
    rig.start_replica(&here, &key("web", 1, 0), &rig.service(&["serve"])).await;
    let web = rig.until_ready(&here, &key("web", 1, 0)).await;

    let release = |name: &str| JobKey {
        scope: JobScope::Revision(here.clone(), naru_model::RevisionNumber(2)),
        name: name.into(),
        attempt: 1,
    };
    let joined = |manners: &[&str]| {
        let mut spec = step(manners, None);
        let mounts = vec![Mount { volume: "data".parse().unwrap(), path: "/data".into() }];
        let JobWork::Command { environment, .. } = &mut spec.work else { unreachable!() };
        *environment = Some((here.clone(), mounts));
        spec
    };
    let asked = rig.run(&release("ask"), &joined(&["fetch", "web:8080"])).await;
    assert_eq!(asked, (DONE, vec![format!("{} says well", web.address.unwrap())]));
    assert_eq!(rig.run(&release("migrate"), &joined(&["write", "/data/done", "yes"])).await.0, DONE);
    assert_eq!(rig.run(&release("check"), &joined(&["show", "/data/done"])).await.1, ["yes"]);
    assert_eq!(rig.engine().job_scopes().await.unwrap(), [release("ask").scope]);
    for name in ["ask", "migrate", "check"] {
        rig.engine().stop_job(&release(name)).await.unwrap();
    }
    rig.until_ready(&here, &key("web", 1, 0)).await;
    assert_eq!(rig.log(&LogSource::Job(release("ask"))).await, Vec::<String>::new(), "it is gone");
}
