//! The pipeline from trigger to release, on a real repository and store and the fake engine.

#[path = "pipeline/harness.rs"]
mod harness;

use std::time::Duration;

use harness::{Harness, shop};
use naru_engine::fake::{JobScript, Manners};
use naru_model::job::{Dockerfile, ExitReason, JobWork, SecretScope};
use naru_model::pipeline::{RunState, TestSummary};
use naru_model::{ReleaseNumber, RunNumber};
use naru_store::trigger::TriggerState;

const YAML: &str = "
pipeline:
  lint: { image: rust, run: lint }
  test: { image: rust, run: test, env: { MODE: fast } }
services:
  web: { build: { needs: [test] }, port: 8080 }
  worker: { image: web, run: ./worker }
";

fn prints(lines: &[&str]) -> JobScript {
    JobScript { prints: lines.iter().map(|&line| line.to_owned()).collect(), ..JobScript::default() }
}

fn exits(code: i32, lines: &[&str]) -> JobScript {
    JobScript { ends: ExitReason::Exited { code }, ..prints(lines) }
}

#[tokio::test]
async fn a_green_run_makes_a_release() {
    let h = Harness::new().await;
    h.fake.script_jobs("test", prints(&["running 3 tests", "ok"]));
    let trigger = h.push("main", YAML).await;
    h.until_cleared(1).await;

    insta::assert_snapshot!(h.story(1).await, @r"
    run 1 succeeded
      build:web succeeded (attempt 1, exited with code 0)
      lint succeeded (attempt 1, exited with code 0)
      test succeeded (attempt 1, exited with code 0)
    ");
    assert_eq!(h.started(), ["shop-run-1-lint-1", "shop-run-1-test-1", "shop-run-1-build-web-1"]);
    assert_eq!(h.log(1, "test").await, ["running 3 tests", "ok"]);
    assert_eq!(h.jobs_left(1).await, 0);

    let release = h.cx.store.release(&shop(), ReleaseNumber(1)).await.unwrap().unwrap();
    let run = h.run(1).await.unwrap();
    assert_eq!((release.run, run.release), (RunNumber(1), Some(ReleaseNumber(1))));
    assert_eq!(release.commit, run.commit);
    let images: Vec<String> =
        release.images.iter().map(|(service, image)| format!("{service} {}", image.name)).collect();
    assert_eq!(images, ["web 127.0.0.1:7070/shop/web"]);
    assert_eq!(release.definition.services.len(), 2);

    let trigger = h.cx.store.trigger(trigger).await.unwrap().unwrap();
    assert_eq!((trigger.state, trigger.run), (TriggerState::Run, Some(RunNumber(1))));
}

#[tokio::test]
async fn a_step_knows_where_it_is() {
    let h = Harness::new().await;
    h.push("main", YAML).await;
    h.until_cleared(1).await;
    let start = h.fake.started_jobs().into_iter().find(|start| start.key.name == "test").unwrap();
    let commit = h.run(1).await.unwrap().commit;
    let variables: Vec<String> = start
        .spec
        .variables
        .iter()
        .map(|(name, value)| format!("{name}={value:?}").replace(commit.as_str(), "<commit>"))
        .collect();
    insta::assert_snapshot!(variables.join("\n"), @r#"
    CI=Plain("true")
    MODE=Plain("fast")
    NARU_BRANCH=Plain("main")
    NARU_COMMIT=Plain("<commit>")
    NARU_PROJECT=Plain("shop")
    NARU_RUN=Plain("1")
    "#);
}

#[tokio::test]
async fn a_failing_step_skips_the_rest_and_keeps_its_log() {
    let h = Harness::new().await;
    h.fake.script_jobs("test", exits(101, &["running 3 tests", "assertion failed"]));
    h.push("main", YAML).await;
    h.until_cleared(1).await;
    insta::assert_snapshot!(h.story(1).await, @r"
    run 1 failed
      build:web skipped (attempt 0)
      lint succeeded (attempt 1, exited with code 0)
      test failed (attempt 1, exited with code 101)
    error: step `test` of run 1 failed
      cause: it exited with code 101
             running 3 tests
             assertion failed
      state: no release was made; what serves keeps serving

    hint: read the whole log, correct the cause and push again:
            naru run logs 1 --project shop --step test
    code: pipeline.step-failed
    ");
    assert_eq!(h.log(1, "test").await, ["running 3 tests", "assertion failed"]);
    assert!(h.cx.store.latest_release(&shop(), None).await.unwrap().is_none());
    assert!(!h.started().iter().any(|job| job.contains("build")));
}

#[tokio::test]
async fn a_newer_commit_supersedes_a_queued_run_and_never_overtakes_a_running_one() {
    let h = Harness::new().await;
    h.push("main", YAML).await;
    h.until("the first run has begun", async |h| h.state(1).await == Some(RunState::Running)).await;
    h.push("main", YAML).await;
    h.push("main", YAML).await;
    h.until_cleared(3).await;
    let second = h.run(2).await.unwrap();
    assert_eq!((second.state, second.superseded_by), (RunState::Superseded, Some(RunNumber(3))));
    assert!(!h.started().iter().any(|job| job.starts_with("shop-run-2")));
    let runs: Vec<u32> =
        h.cx.store.releases(&shop(), None, 10).await.unwrap().iter().map(|release| release.run.0).collect();
    assert_eq!(runs, [3, 1]);
}

#[tokio::test]
async fn a_push_that_was_settled_late_does_not_run_over_a_newer_one() {
    let h = Harness::new().await;
    let old = h.commit(&[("100644", "naru.yaml", YAML)]).await;
    let new = h.commit(&[("100644", "a", "new"), ("100644", "naru.yaml", YAML)]).await;
    let late = h.receive("main", &old).await;
    let in_time = h.receive("main", &new).await;
    h.settle(in_time, "main", &new).await;
    h.until_cleared(1).await;
    assert_eq!(h.run(1).await.unwrap().commit, new);
    h.settle(late, "main", &new).await;
    h.pass().await.unwrap();
    let trigger = h.cx.store.trigger(late).await.unwrap().unwrap();
    assert_eq!((trigger.state, trigger.run), (TriggerState::Superseded, None));
    assert_eq!(trigger.detail, format!("`main` is at {} since, which is run 1", new.short()));
    // Back at the old commit, it is run.
    let back = h.receive("main", &old).await;
    h.settle(back, "main", &old).await;
    h.until_cleared(2).await;
    assert_eq!(h.run(2).await.unwrap().commit, old);
}

#[tokio::test]
async fn jobs_that_are_shown_late_are_begun_once_and_keep_their_logs() {
    let h = Harness::new().await;
    h.fake.set_manners(Manners { observed_late: Duration::from_secs(3), ..Manners::default() });
    h.fake.script_jobs("test", prints(&["running 3 tests", "ok"]));
    h.push("main", YAML).await;
    h.until_cleared(1).await;
    assert_eq!(h.state(1).await, Some(RunState::Succeeded));
    assert_eq!(h.started(), ["shop-run-1-lint-1", "shop-run-1-test-1", "shop-run-1-build-web-1"]);
    assert_eq!(h.log(1, "test").await, ["running 3 tests", "ok"]);
}

#[tokio::test]
async fn a_cancelled_run_stops_its_jobs_and_makes_no_release() {
    let h = Harness::new().await;
    h.fake.script_jobs("test", JobScript { takes: Duration::from_hours(1), ..prints(&["sleeping"]) });
    h.push("main", YAML).await;
    h.until("the job runs", async |h| h.jobs_left(1).await > 0).await;
    assert!(h.cx.store.cancel_run(&shop(), RunNumber(1)).await.unwrap());
    h.until_cleared(1).await;
    assert_eq!(h.state(1).await, Some(RunState::Cancelled));
    assert_eq!(h.jobs_left(1).await, 0);
    assert!(h.cx.store.latest_release(&shop(), None).await.unwrap().is_none());
    assert!(!h.cx.store.cancel_run(&shop(), RunNumber(1)).await.unwrap(), "it is over");
    assert!(h.cx.store.cancel_run(&shop(), RunNumber(9)).await.is_err(), "there is none");
}

#[tokio::test]
async fn a_restart_adopts_running_jobs_and_goes_on_with_their_logs() {
    let h = Harness::new().await;
    let lines: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
    let script = JobScript { takes: Duration::from_secs(40), prints: lines.clone(), ..JobScript::default() };
    h.fake.script_jobs("test", script);
    h.push("main", YAML).await;
    h.until("some of the log is stored", async |h| h.log(1, "test").await.len() > 3).await;
    let h = h.restart().await;
    h.until("more of the log is stored", async |h| h.log(1, "test").await.len() > 20).await;
    let h = h.restart().await;
    h.until_cleared(1).await;
    assert_eq!(h.state(1).await, Some(RunState::Succeeded));
    assert_eq!(h.log(1, "test").await, lines, "nothing is missing and nothing is there twice");
    assert_eq!(h.started().iter().filter(|job| job.as_str() == "shop-run-1-test-1").count(), 1);
    assert_eq!(h.cx.store.releases(&shop(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_test_runners_say_is_kept_with_the_step_once_over_restarts() {
    let h = Harness::new().await;
    let told = [
        "test cart::adds_up ... FAILED",
        "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.02s",
    ];
    let between = (0..38).map(|n| format!("line {n}"));
    let lines = std::iter::once(told[0].to_owned()).chain(between).chain([told[1].to_owned()]).collect();
    let takes = Duration::from_secs(40);
    h.fake.script_jobs("test", JobScript { takes, prints: lines, ..exits(101, &[]) });
    h.push("main", YAML).await;
    h.until("some of the log is stored", async |h| h.log(1, "test").await.len() > 3).await;
    assert_eq!(h.tests(1, "test").await, None, "nothing is said before the end");
    let h = h.restart().await;
    h.until("more of the log is stored", async |h| h.log(1, "test").await.len() > 20).await;
    let h = h.restart().await;
    h.until_cleared(1).await;
    let failed_names = vec!["cart::adds_up".to_owned()];
    let expected = TestSummary { passed: 12, failed: 1, skipped: 2, failed_names };
    assert_eq!(h.tests(1, "test").await, Some(expected));
    assert_eq!(h.tests(1, "lint").await, None, "no runner said anything");
}

/// The simulation found it: the last lines of a log that ended before its job were lost.
#[tokio::test]
async fn a_log_that_ends_before_its_job_is_read_to_its_end() {
    let h = Harness::with_a_log_that_ends_early().await;
    h.fake.script_jobs("-run-", prints(&["one", "two"]));
    h.push("main", YAML).await;
    h.until_cleared(1).await;
    for step in ["lint", "test", "build-web"] {
        assert_eq!(h.log(1, step).await, ["one", "two"], "{step}");
    }
}

#[tokio::test]
async fn an_engine_that_comes_and_goes_only_delays() {
    let h = Harness::new().await;
    h.fake.set_manners(Manners { unreachable: true, ..Manners::default() });
    h.push("main", YAML).await;
    for _ in 0..3 {
        assert!(h.pass().await.is_err(), "the pass says that it did not get through");
    }
    assert_eq!(h.state(1).await, Some(RunState::Queued), "the run is kept");
    h.fake.set_manners(Manners { conflict_every: 2, ..Manners::default() });
    h.until_cleared(1).await;
    assert_eq!(h.state(1).await, Some(RunState::Succeeded));
    assert_eq!(h.started().len(), 3, "nothing ran twice");
}

#[tokio::test]
async fn commits_that_cannot_be_run_fail_with_the_reason() {
    let h = Harness::new().await;
    let link = h.commit(&[("120000", "naru.yaml", "/etc/passwd")]).await;
    let large = h.commit(&[("100644", "naru.yaml", &"#".repeat(5 << 20))]).await;
    let binary = h.commit(&[("100644", "naru.yaml", "\u{0}\u{1}")]).await;
    let nothing = h.commit(&[("100644", "README.md", "hello")]).await;
    let gone = "0123456789012345678901234567890123456789".parse().unwrap();
    h.push("main", "services: { web: { biuld: {} } }").await;
    for commit in [&link, &large, &binary, &nothing, &gone] {
        h.trigger("main", commit).await;
    }
    h.pass().await.unwrap();
    let mut told = Vec::new();
    for number in 1..=6 {
        let run = h.run(number).await.unwrap();
        assert_eq!((run.state, run.cleared), (RunState::Failed, true));
        let problem = run.problem.unwrap();
        told.push(format!("{}: {}", problem.code, problem.summary));
        told.extend(problem.cause.into_iter().map(|cause| format!("  {cause}")));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    definition.invalid: naru.yaml has a mistake
      line 1: `services.web.biuld`: unknown key, expected one of `build`, `image`, `run`, `port`, `health`, `replicas`, `cpu`, `memory`, `volumes`, `env`, `limits`, `strategy`, `stop`, `start`, `schedule`, `zone`
    definition.invalid: naru.yaml is a symbolic link, not a file
    definition.invalid: naru.yaml is larger than 256 KiB
    definition.invalid: naru.yaml has a mistake
      line 1: not readable as YAML: unexpected character: `\u{0}'
    definition.nothing-to-build: the repository has nothing that can be deployed as it is
      no naru.yaml, no Dockerfile and no index.html in its root
    pipeline.commit-missing: commit 0123456789 is not in the repository any more
    ");
    assert!(h.started().is_empty());
}

#[tokio::test]
async fn a_branch_without_an_environment_is_ignored_with_the_reason() {
    let h = Harness::new().await;
    let trigger = h.push("feature/x", YAML).await;
    h.pass().await.unwrap();
    let trigger = h.cx.store.trigger(trigger).await.unwrap().unwrap();
    assert_eq!(trigger.state, TriggerState::Ignored);
    assert_eq!(trigger.detail, "no environment follows branch `feature/x`; `production` follows `main`");
    assert!(h.run(1).await.is_none());
}

#[tokio::test]
async fn static_files_and_dockerfiles_need_no_definition() {
    let h = Harness::new().await;
    let site = h.commit(&[("100644", "index.html", "<h1>Hello</h1>")]).await;
    h.trigger("main", &site).await;
    h.until_cleared(1).await;
    let dockerfile = h.commit(&[("100644", "Dockerfile", "FROM scratch\nEXPOSE 3000")]).await;
    h.trigger("main", &dockerfile).await;
    h.until_cleared(2).await;
    let works: Vec<JobWork> = h.fake.started_jobs().into_iter().map(|start| start.spec.work).collect();
    assert!(matches!(&works[0], JobWork::Build { dockerfile: Dockerfile::Generated(_), .. }));
    assert!(
        matches!(&works[1], JobWork::Build { dockerfile: Dockerfile::Path(path), .. } if path == "Dockerfile")
    );
    let release = h.cx.store.latest_release(&shop(), Some(&"main".parse().unwrap())).await.unwrap().unwrap();
    let web = &release.definition.services[&"web".parse().unwrap()];
    assert_eq!(web.port.unwrap().get(), 3000);
}

const WITH_SECRET: &str = "
pipeline:
  publish: { image: rust, run: publish, secrets: [API_KEY] }
service: { build: {} }
";

#[tokio::test]
async fn secrets_are_masked_in_logs() {
    let h = Harness::new().await;
    let scope = SecretScope::Pipeline(shop());
    let name = "API_KEY".parse().unwrap();
    let version = h.cx.store.next_secret_version(&scope, &name).await.unwrap();
    h.cx.store.add_secret(&scope, &name, version, "sealed", "tester").await.unwrap();
    h.secrets.0.lock().unwrap().insert(name, "hunter2hunter2".into());
    h.fake.script_jobs(
        "publish",
        prints(&["key hunter2hunter2!", "hunter2", "hunter2", "aHVudGVyMmh1bnRlcjI="]),
    );
    h.push("main", WITH_SECRET).await;
    h.until_cleared(1).await;
    assert_eq!(h.log(1, "publish").await, ["key ***!", "***", "***", "***"]);
}

#[tokio::test]
async fn a_secret_that_is_not_set_fails_the_step_before_it_starts() {
    let h = Harness::new().await;
    h.push("main", WITH_SECRET).await;
    h.until_cleared(1).await;
    insta::assert_snapshot!(h.story(1).await, @r"
    run 1 failed
      build:web succeeded (attempt 1, exited with code 0)
      publish failed (attempt 1, could not be started: step `publish` needs the secret `API_KEY`, which is not set)
    error: step `publish` needs the secret `API_KEY`, which is not set
      state: no release was made; what serves keeps serving

    hint: set it for the pipeline, then run the commit again:
            naru secret set API_KEY --project shop --pipeline
    code: pipeline.secret-missing
    ");
    assert_eq!(h.started(), ["shop-run-1-build-web-1"]);
}

#[tokio::test]
async fn a_full_machine_makes_runs_wait() {
    let h = Harness::new().await;
    h.close_gate(true);
    h.push("main", YAML).await;
    for _ in 0..3 {
        h.pass().await.unwrap();
    }
    let run = h.run(1).await.unwrap();
    assert_eq!(run.state, RunState::Queued);
    assert_eq!(run.note, "waiting: 0 MiB of memory are free, a step starts from 384 MiB");
    assert!(h.started().is_empty());
    h.close_gate(false);
    h.until_cleared(1).await;
    assert_eq!(h.state(1).await, Some(RunState::Succeeded));
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_there_is_room_for() {
    let h = Harness::new().await;
    let steps: Vec<String> = (0..6).map(|n| format!("s{n}: {{ image: rust, run: x }}")).collect();
    h.push("main", &format!("pipeline: {{ {} }}\nservice: {{ build: {{}} }}\n", steps.join(", "))).await;
    let mut most = 0;
    h.until("the run is over", async |h| {
        most = most.max(h.jobs_left(1).await);
        h.state(1).await == Some(RunState::Succeeded)
    })
    .await;
    // Finished jobs stay until their log is stored; a job counts from its order to its end.
    assert!((2..=4).contains(&most), "{most} jobs at once");
}

#[tokio::test]
async fn deleting_a_project_ends_its_runs() {
    let h = Harness::new().await;
    h.fake.script_jobs("test", JobScript { takes: Duration::from_hours(1), ..JobScript::default() });
    h.push("main", YAML).await;
    h.until("the job runs", async |h| h.jobs_left(1).await > 0).await;
    h.cx.store.delete_project(&shop()).await.unwrap();
    let late = h.push("main", YAML).await;
    h.until_cleared(1).await;
    assert_eq!((h.state(1).await, h.jobs_left(1).await), (Some(RunState::Cancelled), 0));
    let late = h.cx.store.trigger(late).await.unwrap().unwrap();
    assert_eq!((late.state, late.detail.as_str()), (TriggerState::Ignored, "the project is being deleted"));
}
