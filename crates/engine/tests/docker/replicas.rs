//! Replicas, from start to removal, well-behaved and not.

use std::time::{Duration, Instant};

use naru_engine::{Engine as _, LogPosition, LogSource, StepError};
use naru_model::Generation;
use naru_model::job::ExitReason;
use naru_model::rollout::{Action, ReplicaState};
use naru_model::workload::{Limits, Mount, Probe, Value};

use crate::rig::{Rig, environment, get, key};

fn reason(state: &ReplicaState) -> &ExitReason {
    match state {
        ReplicaState::Exited { reason, .. } => reason,
        other => panic!("it has not ended: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_starts_gets_ready_stops_and_goes_and_repeating_changes_nothing() {
    let mut rig = Rig::start().await;
    let (production, web) = (environment("shop", "production"), key("web", 1, 0));
    let service = rig.service(&["serve-late", "300"]);

    for _ in 0..2 {
        rig.start_replica(&production, &web, &service).await;
    }
    let early = rig.replica(&production, &web).await.unwrap();
    assert!(matches!(early.state, ReplicaState::Running { ready: false, .. }), "{early:?}");
    let ready = rig.until_ready(&production, &web).await;
    assert_eq!(ready.template, service.template.hash());
    assert_eq!(get(&ready, "/healthz").await, "well");
    assert_eq!(rig.engine().observe(&production).await.unwrap().replicas.len(), 1);

    let usage = rig.engine().usage().await.unwrap();
    assert!(usage.len() == 1 && usage[0].memory_bytes > 0 && usage[0].cpu_micros > 0, "{usage:?}");
    assert_eq!((&usage[0].environment, &usage[0].replica), (&production, &web));
    // It was asked for its health and its page.
    assert!(usage[0].received_bytes > 0 && usage[0].sent_bytes > 0, "{usage:?}");
    get(&ready, "/healthz").await;
    let later = rig.engine().usage().await.unwrap();
    assert!(later[0].received_bytes > usage[0].received_bytes, "{later:?}");
    assert!(rig.neighbour().await.usage().await.unwrap().is_empty(), "it is another instance's");

    rig.restart().await;
    assert_eq!(rig.until_ready(&production, &web).await, ready, "what is seen needs no memory");
    assert!(rig.engine().capabilities().await.unwrap().engine.starts_with("Podman "));
    let checks = naru_engine::docker::doctor::examine(rig.engine()).await;
    assert!(checks.iter().all(|check| check.state != naru_model::api::CheckState::Failed), "{checks:#?}");

    let stop = Action::Stop { replica: web.clone(), within: Duration::from_secs(20) };
    let began = Instant::now();
    for _ in 0..2 {
        rig.apply(&production, &stop).await;
    }
    let ended = rig.until_exited(&production, &web).await;
    assert!(began.elapsed() < Duration::from_secs(15), "it ends when asked");
    assert_eq!(reason(&ended.state), &ExitReason::Exited { code: 0 });
    assert_eq!(
        rig.log(&LogSource::Replica(production.clone(), web.clone())).await,
        ["starting", "listening"]
    );

    assert!(rig.engine().usage().await.unwrap().is_empty(), "it uses nothing any more");

    let remove = Action::Remove { replica: web.clone() };
    for _ in 0..2 {
        rig.apply(&production, &remove).await;
        rig.apply(&production, &stop).await;
    }
    assert_eq!(rig.replica(&production, &web).await, None);
    assert_eq!(rig.engine().environments().await.unwrap(), std::slice::from_ref(&production));
    rig.engine().remove_environment(&production, true).await.unwrap();
    rig.engine().remove_environment(&production, true).await.unwrap();
    assert_eq!(rig.engine().environments().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_manners_are_seen_as_they_are() {
    let rig = Rig::start().await;
    let here = environment("shop", "production");

    let closed = key("closed", 1, 0);
    let mut never_opens = rig.service(&["sleep"]);
    never_opens.template.probe = Some(Probe::Tcp);
    rig.start_replica(&here, &closed, &never_opens).await;

    let quick = key("quick", 1, 0);
    rig.start_replica(&here, &quick, &rig.service(&["exit", "3"])).await;

    let absent = key("absent", 1, 0);
    let mut no_program = rig.service(&["serve"]);
    no_program.template.command = Some(vec!["/no-such-program".into()]);
    rig.start_replica(&here, &absent, &no_program).await;

    let greedy = key("greedy", 1, 0);
    let mut eats = rig.service(&["eat"]);
    eats.template.limits = Limits { cpu_millis: 500, memory_bytes: 32 << 20 };
    rig.start_replica(&here, &greedy, &eats).await;

    let flapping = key("flapping", 1, 0);
    let mut flaps = rig.service(&["serve"]);
    flaps.template.probe = Some(Probe::Http { path: "/flap".into() });
    rig.start_replica(&here, &flapping, &flaps).await;

    let worker = key("worker", 1, 0);
    let mut no_probe = rig.service(&["sleep"]);
    (no_probe.template.probe, no_probe.template.port) = (None, None);
    rig.start_replica(&here, &worker, &no_probe).await;

    let ended = rig.until_exited(&here, &quick).await;
    let ReplicaState::Exited { reason: why, started, last_lines, .. } = &ended.state else { unreachable!() };
    assert_eq!((why, started.is_some()), (&ExitReason::Exited { code: 3 }, true));
    assert_eq!(last_lines, &["about to exit"]);

    let never = rig.until_exited(&here, &absent).await;
    assert!(
        matches!(reason(&never.state), ExitReason::NotStarted { why } if why.contains("/no-such-program")),
        "{never:?}"
    );

    let full = rig.until_exited(&here, &greedy).await;
    assert_eq!(reason(&full.state), &ExitReason::OutOfMemory { limit_bytes: 32 << 20 });

    rig.until_ready(&here, &flapping).await;
    rig.until(&here, &flapping, |it| matches!(it.state, ReplicaState::Running { ready: false, .. })).await;

    let settled = rig.until_ready(&here, &worker).await;
    assert_eq!(settled.address, None);
    let waiting = rig.replica(&here, &closed).await.unwrap();
    assert!(matches!(waiting.state, ReplicaState::Running { ready: false, .. }), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ignores_the_request_to_stop_is_killed_and_a_kill_is_not_called_out_of_memory() {
    let mut rig = Rig::start().await;
    let (here, web) = (environment("shop", "production"), key("web", 1, 0));
    rig.start_replica(&here, &web, &rig.service(&["serve-stubborn"])).await;
    rig.until_ready(&here, &web).await;

    let began = Instant::now();
    let patient = Action::Stop { replica: web.clone(), within: Duration::from_hours(1) };
    rig.apply(&here, &patient).await;
    rig.until(&here, &web, |it| it.state == ReplicaState::Stopping).await;

    rig.restart().await;
    rig.apply(&here, &Action::Stop { replica: web.clone(), within: Duration::from_secs(1) }).await;
    let ended = rig.until_exited(&here, &web).await;
    assert_eq!(reason(&ended.state), &ExitReason::Signalled { signal: 9 });
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved_within_the_environment_only() {
    let rig = Rig::start().await;
    let (production, staging) = (environment("shop", "production"), environment("shop", "staging"));
    let (web, api) = (key("web", 1, 0), key("api", 1, 0));
    let service = rig.service(&["serve"]);
    rig.start_replica(&production, &web, &service).await;
    rig.start_replica(&production, &api, &service).await;
    rig.start_replica(&staging, &web, &service).await;
    let api = rig.until_ready(&production, &api).await;
    let web = rig.until_ready(&production, &web).await;
    let outside = rig.until_ready(&staging, &key("web", 1, 0)).await;

    let address = api.address.unwrap();
    let well = format!("{address} says well");
    let began = Instant::now();
    // Names are told to the name server in the background.
    while get(&web, "/fetch/api:8080").await != well {
        assert!(began.elapsed() < crate::rig::PATIENCE, "{}", get(&web, "/fetch/api:8080").await);
    }
    let by_name = get(&outside, "/fetch/api:8080").await;
    assert!(by_name.contains("cannot resolve"), "{by_name}");
    let by_address = get(&outside, &format!("/fetch/{address}")).await;
    assert!(by_address.contains("cannot reach"), "{by_address}");

    // The end of one isolated network does not open the others.
    let preview = environment("shop", "preview");
    let gone = key("web", 1, 0);
    rig.start_replica(&preview, &gone, &service).await;
    rig.until_ready(&preview, &gone).await;
    rig.apply(&preview, &Action::Remove { replica: gone }).await;
    rig.engine().remove_environment(&preview, true).await.unwrap();
    let by_address = get(&outside, &format!("/fetch/{address}")).await;
    assert!(by_address.contains("cannot reach"), "{by_address}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_process_and_nothing_else() {
    let rig = Rig::start().await;
    let here = environment("shop", "production");
    rig.shelf.secrets.lock().unwrap().insert("TOKEN".into(), "correct-horse".into());
    let secret = Value::Secret("TOKEN".parse().unwrap(), naru_model::SecretVersion(1));
    let (web, loose) = (key("web", 1, 0), key("loose", 1, 0));
    let mut service = rig.service(&["serve"]);
    service.template.variables.insert("API_TOKEN".parse().unwrap(), secret.clone());
    service.template.variables.insert("MODE".parse().unwrap(), Value::Plain("a=b c".into()));
    rig.start_replica(&here, &web, &service).await;
    let mut talks = rig.service(&["tell", "API_TOKEN"]);
    talks.template.variables.insert("API_TOKEN".parse().unwrap(), secret);
    rig.start_replica(&here, &loose, &talks).await;

    let web = rig.until_ready(&here, &web).await;
    assert_eq!(get(&web, "/variable/API_TOKEN").await, "correct-horse");
    assert_eq!(get(&web, "/variable/MODE").await, "a=b c");
    let ended = rig.until_exited(&here, &loose).await;
    let ReplicaState::Exited { last_lines, .. } = &ended.state else { unreachable!() };
    assert_eq!(last_lines, &["API_TOKEN is •••"]);
    let labels = rig.podman(&["ps", "--all", "--format", "{{.Names}} {{.Labels}} {{.Command}}"]);
    assert!(labels.contains("dev.naru.instance") && !labels.contains("correct-horse"), "{labels}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_outlives_its_replica_and_goes_only_when_asked() {
    let rig = Rig::start().await;
    let here = environment("shop", "production");
    let mounts = vec![Mount { volume: "data".parse().unwrap(), path: "/data".into() }];
    let writer = key("writer", 1, 0);
    let mut note = rig.service(&["write", "/data/note", "kept"]);
    note.template.mounts.clone_from(&mounts);
    rig.start_replica(&here, &writer, &note).await;
    assert_eq!(reason(&rig.until_exited(&here, &writer).await.state), &ExitReason::Exited { code: 0 });
    rig.engine().remove_environment(&here, false).await.unwrap();
    assert_eq!(rig.engine().environments().await.unwrap(), std::slice::from_ref(&here), "its volume is left");

    let mut reads = rig.service(&["serve"]);
    reads.template.mounts = mounts;
    rig.start_replica(&here, &key("reader", 2, 0), &reads).await;
    let reader = rig.until_ready(&here, &key("reader", 2, 0)).await;
    assert_eq!(get(&reader, "/file/data/note").await, "kept");
    rig.engine().remove_environment(&here, true).await.unwrap();
    assert_eq!(rig.engine().environments().await.unwrap(), []);

    reads.template.mounts[0].path = "/data:ro,z".into();
    let action = Action::Start { replica: key("reader", 3, 0), service: Box::new(reads) };
    let refused = rig.engine().apply(&here, Generation(1), &action).await.unwrap_err();
    assert!(matches!(refused, StepError::Blocked(problem) if problem.code == "engine.mount-path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instances_things_are_neither_seen_nor_touched() {
    let rig = Rig::start().await;
    let neighbour = rig.neighbour().await;
    let (here, web) = (environment("shop", "production"), key("web", 1, 0));
    let service = rig.service(&["serve"]);
    rig.start_replica(&here, &web, &service).await;
    rig.until_ready(&here, &web).await;

    assert_eq!(neighbour.observe(&here).await.unwrap().replicas, []);
    assert_eq!(neighbour.environments().await.unwrap(), []);
    neighbour.apply(&here, Generation(9), &Action::Remove { replica: web.clone() }).await.unwrap();
    neighbour.remove_environment(&here, true).await.unwrap();
    assert_eq!(neighbour.prune_images(&[]).await.unwrap(), 0);
    rig.until_ready(&here, &web).await;

    // A container that took the name of one of ours is not ours.
    let name = format!("naru-{}.shop.production.web.2-0-0", rig.instance());
    rig.podman(&["create", "--name", &name, "localhost/guest:1", "sleep"]);
    for action in [
        Action::Start { replica: key("web", 2, 0), service: Box::new(service) },
        Action::Remove { replica: key("web", 2, 0) },
    ] {
        let refused = rig.engine().apply(&here, Generation(1), &action).await.unwrap_err();
        assert!(matches!(refused, StepError::Blocked(problem) if problem.code == "engine.name-taken"));
    }
    rig.podman(&["container", "exists", &name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_is_transient_and_comes_back_by_itself() {
    let rig = Rig::start().await;
    let (here, web) = (environment("shop", "production"), key("web", 1, 0));
    rig.start_replica(&here, &web, &rig.service(&["serve"])).await;
    let before = rig.until_ready(&here, &web).await;

    let mark = std::fs::read_to_string(rig.folder().join("engine/service.json")).unwrap();
    let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
    let pid = i32::try_from(mark["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();

    let began = Instant::now();
    let mut losses = 0;
    let after = loop {
        match rig.engine().observe(&here).await {
            Ok(seen) if losses > 0 => break seen.replicas[0].clone(),
            Ok(_) => {}
            Err(StepError::Transient(_)) => losses += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert!(began.elapsed() < crate::rig::PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(after, before, "the container did not notice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_replica_is_finished_after_a_restart() {
    let mut rig = Rig::start().await;
    let (here, web, absent) = (environment("shop", "production"), key("web", 1, 0), key("absent", 1, 0));
    rig.start_replica(&here, &web, &rig.service(&["serve"])).await;
    let mut no_program = rig.service(&["serve"]);
    no_program.template.command = Some(vec!["/no-such-program".into()]);
    rig.start_replica(&here, &absent, &no_program).await;
    // Made again from what it was made from, and not started: what a death between the two calls leaves.
    let name = format!("naru-{}.shop.production.web.1-0-0", rig.instance());
    rig.podman(&["container", "clone", "--destroy", "--force", &name, "clone"]);
    rig.podman(&["rename", "clone", &name]);
    rig.restart().await;
    rig.until_ready(&here, &web).await;
    assert!(matches!(
        reason(&rig.until_exited(&here, &absent).await.state),
        ExitReason::NotStarted { why } if why.contains("/no-such-program")
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_on_from_where_it_was_left() {
    use futures::StreamExt as _;
    let rig = Rig::start().await;
    let (here, printer) = (environment("shop", "production"), key("printer", 1, 0));
    rig.start_replica(&here, &printer, &rig.service(&["print", "5000"])).await;
    let source = LogSource::Replica(here, printer);
    let all = rig.log(&source).await;
    assert_eq!(all.len(), 5000);
    let first: Vec<_> = rig.engine().logs(&source, LogPosition::default()).take(1234).collect().await;
    let left_at = first.last().unwrap().as_ref().unwrap().position;
    let rest: Vec<String> =
        rig.engine().logs(&source, left_at).map(|line| line.unwrap().text).collect().await;
    assert_eq!(rest, all[1234..]);
}
