//! The log on a real disk: order, limits, followers, crashes, a full disk.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use naru_model::{EnvironmentKey, RunNumber, Timestamp};
use naru_store::log::{Cursor, LogEntry, LogError, LogLimits, LogRecord, LogStore, LogStream};

fn step() -> LogStream {
    LogStream::Step { project: "shop".parse().unwrap(), run: RunNumber(3), step: "test".parse().unwrap() }
}

fn service() -> LogStream {
    let environment =
        EnvironmentKey { project: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    LogStream::Service { environment, service: "web".parse().unwrap() }
}

fn line(text: impl Into<String>) -> LogRecord {
    LogRecord {
        at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
        source: "web-1-0".into(),
        text: text.into(),
    }
}

fn texts(entries: &[LogEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.record.text.as_str()).collect()
}

fn only_segment(folder: &Path) -> PathBuf {
    folder.join("shop/run/3/test/00000000000000000000.log")
}

const SMALL: LogLimits = LogLimits { step_bytes: 2000, service_bytes: 4000, segment_bytes: 1000 };

#[tokio::test]
async fn pages_tail_and_search_agree_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    for number in 0..30 {
        assert!(logs.append(&step(), vec![line(format!("line {number}"))]).await.unwrap());
    }
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
    loop {
        let page = logs.read(&step(), cursor, 7).await.unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.record.clone()));
        cursor = page.next;
        if page.at_end {
            break;
        }
    }
    assert_eq!(seen, (0..30).map(|number| line(format!("line {number}"))).collect::<Vec<_>>());
    assert_eq!(texts(&logs.tail(&step(), 2).await.unwrap().entries), ["line 28", "line 29"]);
    assert_eq!(logs.tail(&step(), 2).await.unwrap().next, cursor);
    let found = logs.search(&step(), "line 1", Cursor::default(), 3).await.unwrap();
    assert_eq!(texts(&found.entries), ["line 1", "line 10", "line 11"]);
    assert!(!found.at_end);
    assert!(logs.search(&step(), "line 1", found.next, 100).await.unwrap().at_end);
    assert!(logs.read(&service(), Cursor(99), 5).await.unwrap().at_end);
}

#[tokio::test]
async fn a_long_tail_starts_at_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    let records = (0..3000).map(|number| line(format!("{number} {}", "x".repeat(100)))).collect();
    logs.append(&service(), records).await.unwrap();
    let tail = logs.tail(&service(), 1000).await.unwrap();
    assert_eq!(tail.entries.len(), 1000);
    assert!(tail.entries[0].record.text.starts_with("2000 "));
}

#[tokio::test]
async fn a_step_stops_visibly_at_its_limit_and_stays_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    let complete =
        logs.append(&step(), (0..100).map(|number| line(format!("line {number}"))).collect()).await.unwrap();
    assert!(!complete);
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    assert!(!logs.append(&step(), vec![line("more")]).await.unwrap());
    let last = logs.tail(&step(), 1).await.unwrap().entries.remove(0).record;
    assert_eq!(
        (last.source.as_str(), last.text.as_str()),
        ("naru", "log limit of 1 KiB reached: what follows is not kept")
    );
    assert!(std::fs::metadata(only_segment(folder.path())).unwrap().len() < 2200);
}

#[tokio::test]
async fn a_service_forgets_its_oldest_lines() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    let first = logs.read(&service(), Cursor::default(), 1).await.unwrap().next;
    for number in 0..1000 {
        logs.append(&service(), vec![line(format!("line {number}"))]).await.unwrap();
    }
    let page = logs.read(&service(), first, 1000).await.unwrap();
    assert!((50..140).contains(&page.entries.len()), "{}", page.entries.len());
    assert_eq!(page.entries.last().unwrap().record.text, "line 999");
    let kept = std::fs::read_dir(folder.path().join("shop/service/production/web")).unwrap();
    assert!(kept.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>() <= 4100);
}

#[tokio::test]
async fn followers_see_every_record_once_and_end_with_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    logs.append(&step(), vec![line("before")]).await.unwrap();
    let follower = tokio::spawn(logs.follow(&step(), Cursor::default()).collect::<Vec<_>>());
    for number in 0..200 {
        logs.append(&step(), vec![line(number.to_string())]).await.unwrap();
    }
    logs.finish(&step()).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(10), follower).await.unwrap().unwrap();
    let seen: Vec<_> = seen.into_iter().map(|entry| entry.unwrap().record.text).collect();
    let expected: Vec<_> =
        std::iter::once("before".into()).chain((0..200).map(|n: i32| n.to_string())).collect();
    assert_eq!(seen, expected);
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    assert_eq!(
        logs.follow(&step(), Cursor::default()).count().await,
        201,
        "an ended stream ends after a restart too"
    );
}

#[tokio::test]
async fn a_torn_last_record_is_cut_and_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    logs.append(&step(), vec![line("whole")]).await.unwrap();
    drop(logs);
    for torn in [&b"1700000000000001\tweb"[..], &[0; 10_000]] {
        let mut file = std::fs::File::options().append(true).open(only_segment(folder.path())).unwrap();
        file.write_all(torn).unwrap();
        let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
        logs.append(&step(), vec![line("after")]).await.unwrap();
        let page = logs.read(&step(), Cursor::default(), 10).await.unwrap();
        assert_eq!(page.entries[0].record, line("whole"));
        assert!(page.entries[1..].iter().all(|entry| entry.record == line("after")));
    }
}

/// Writes until it is killed, and says what is kept.
async fn write_until_killed(folder: &Path) {
    let logs = LogStore::open(folder, LogLimits::default()).await.unwrap();
    for number in 0.. {
        logs.append(&step(), (0..50).map(|part| line(format!("{number}/{part}"))).collect()).await.unwrap();
        println!("kept {number}");
    }
}

/// Runs itself in a process of its own, which finds the folder in its environment and becomes the writer.
#[tokio::test]
async fn a_killed_writer_loses_nothing_it_was_told_is_kept() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    if let Some(folder) = std::env::var_os("NARU_LOG_FOLDER") {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["log::a_killed_writer_loses_nothing_it_was_told_is_kept", "--exact", "--nocapture"])
        .env("NARU_LOG_FOLDER", folder.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap()).lines();
    let (mut kept, mut killed) = (0, false);
    while let Ok(Some(said)) = output.next_line().await {
        if let Some((_, number)) = said.split_once("kept ") {
            kept = number.parse().unwrap();
        }
        if kept >= 40 && !killed {
            victim.start_kill().unwrap();
            killed = true;
        }
    }
    assert_eq!(victim.wait().await.unwrap().signal(), Some(9));
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    let page = logs.read(&step(), Cursor::default(), usize::MAX).await.unwrap();
    let expected = (0..).flat_map(|number: u32| (0..50).map(move |part| format!("{number}/{part}")));
    assert!(page.entries.len() >= (kept + 1) * 50, "{} of {kept} batches", page.entries.len());
    assert!(page.entries.iter().zip(expected).all(|(entry, expected)| entry.record.text == expected));
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_damages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        |arguments: &[&str]| std::process::Command::new(arguments[0]).args(&arguments[1..]).status().unwrap();
    let path = folder.path().to_str().unwrap();
    assert!(
        mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path]).success(),
        "this test needs root"
    );
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    let mut kept = 0;
    let refused = loop {
        match logs.append(&step(), (0..100).map(|_| line("x".repeat(100))).collect()).await {
            Ok(_) => kept += 100,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::DiskFull), "{refused}");
    assert_eq!(logs.read(&step(), Cursor::default(), usize::MAX).await.unwrap().entries.len(), kept);
    // A smaller record may still fit: it follows the last whole one.
    logs.append(&step(), vec![line("small")]).await.unwrap();
    let last = logs.tail(&step(), 2).await.unwrap().entries;
    assert_eq!(texts(&last), ["x".repeat(100).as_str(), "small"]);
    drop(logs);
    assert!(mount(&["umount", path]).success());
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing_and_ends_its_followers() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), LogLimits::default()).await.unwrap();
    logs.append(&step(), vec![line("a")]).await.unwrap();
    logs.append(&service(), vec![line("b")]).await.unwrap();
    let mut follower = logs.follow(&service(), Cursor::default());
    assert_eq!(follower.next().await.unwrap().unwrap().record.text, "b");
    logs.delete_project(&"shop".parse().unwrap()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(10), follower.next()).await.unwrap().is_none());
    assert!(logs.read(&step(), Cursor::default(), 1).await.unwrap().entries.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn lines_are_found_by_number_while_the_stream_grows_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let limits = LogLimits { step_bytes: 1 << 20, service_bytes: 4000, segment_bytes: 9000 };
    let logs = LogStore::open(folder.path(), limits).await.unwrap();
    let empty = logs.lines(&step(), 0, 10).await.unwrap();
    assert_eq!((empty.total, empty.entries.len(), empty.ended), (0, 0, false));
    for batch in 0..10 {
        let lines = (0..150).map(|number| line(format!("line {}", batch * 150 + number))).collect();
        assert!(logs.append(&step(), lines).await.unwrap());
        let total = (batch + 1) * 150;
        let last = logs.lines(&step(), total - 1, 5).await.unwrap();
        assert_eq!((last.total, texts(&last.entries)), (total, vec![format!("line {}", total - 1).as_str()]));
    }
    logs.finish(&step()).await.unwrap();
    let logs = LogStore::open(folder.path(), limits).await.unwrap();
    for first in [0, 1, 255, 256, 257, 900, 1498] {
        let page = logs.lines(&step(), first, 2).await.unwrap();
        let expected = [format!("line {first}"), format!("line {}", first + 1)];
        assert_eq!(texts(&page.entries), expected, "{first}");
        assert!(page.ended && page.total == 1500 && page.first == first);
    }
    assert!(logs.lines(&step(), 9_999_999, 5).await.unwrap().entries.is_empty());
    let found = logs.find_lines(&step(), |text| text.ends_with("99"), 3).await.unwrap();
    assert_eq!(found, (vec![99, 199, 299], true));
    assert_eq!(logs.find_lines(&step(), |text| text == "line 7", 3).await.unwrap(), (vec![7], false));
}

#[tokio::test]
async fn a_stream_that_rotated_is_counted_anew() {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogStore::open(folder.path(), SMALL).await.unwrap();
    for number in 0..200 {
        logs.append(&service(), vec![line(format!("line {number}"))]).await.unwrap();
        let page = logs.lines(&service(), 0, 1).await.unwrap();
        let last = logs.lines(&service(), page.total - 1, 1).await.unwrap();
        assert_eq!(texts(&last.entries), [format!("line {number}")]);
    }
}
