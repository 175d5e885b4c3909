//! What runs in an environment, what it keeps, and what the instance keeps.

use naru_model::api::{Page, Replica, ReplicaCondition, Storage, Volume};
use naru_model::workload::VolumeAccess;

use crate::arguments::environment::{ReplicaCommand, VolumeCommand};
use crate::commands::delivery::There;
use crate::exit::Result;
use crate::place;
use crate::screen::{Screen, Tone};

pub(crate) async fn replica(command: ReplicaCommand, screen: &mut Screen) -> Result<()> {
    let ReplicaCommand::List(place) = command;
    let there = There::find(screen, &place)?;
    let answer = there.client.get::<Page<Replica>>(&format!("{}/replicas", there.path())).await?;
    screen.show(&answer, replicas);
    Ok(())
}

fn replicas(screen: &mut Screen, page: &Page<Replica>) {
    let row = |replica: &Replica| {
        vec![
            replica.name.clone(),
            condition(screen, replica),
            replica.revision.to_string(),
            replica.restarts.to_string(),
            replica.since.map(|since| screen.time(since)).unwrap_or_default(),
            replica.ended.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let head = ["replica", "state", "revision", "restarts", "since", "ended"];
    screen.table(&head, &rows, "nothing runs there; deliver a release with: naru deploy");
}

fn condition(screen: &Screen, replica: &Replica) -> String {
    let (tone, word) = match replica.condition {
        ReplicaCondition::Starting => (Tone::Moving, "starting"),
        ReplicaCondition::Ready => (Tone::Good, "ready"),
        ReplicaCondition::NotReady => (Tone::Attention, "not ready"),
        ReplicaCondition::Stopping => (Tone::Moving, "stopping"),
        ReplicaCondition::Exited => (Tone::Failed, "exited"),
    };
    screen.state(tone, word)
}

pub(crate) async fn volume(command: VolumeCommand, screen: &mut Screen) -> Result<()> {
    let VolumeCommand::List(place) = command;
    let there = There::find(screen, &place)?;
    let answer = there.client.get::<Page<Volume>>(&format!("{}/volumes", there.path())).await?;
    screen.show(&answer, volumes);
    Ok(())
}

fn volumes(screen: &mut Screen, page: &Page<Volume>) {
    let row = |volume: &Volume| {
        let access = match volume.access {
            VolumeAccess::Exclusive => "one replica at a time",
            VolumeAccess::Shared => "shared by all replicas",
        };
        vec![
            volume.name.to_string(),
            volume.service.to_string(),
            volume.path.clone(),
            volume.size.clone().unwrap_or_default(),
            access.to_owned(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(
        &["volume", "service", "path", "size", "access"],
        &rows,
        "no service has a volume there; `volumes:` in naru.yaml makes one",
    );
}

pub(crate) async fn storage(screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    let answer = client.get::<Storage>("/api/v1/storage").await?;
    screen.show(&answer, |screen, storage| {
        let row = |part: &naru_model::api::StoredPart| vec![part.name.clone(), amount(part.bytes)];
        let rows: Vec<_> = storage.parts.iter().map(row).collect();
        screen.table(&["part", "size"], &rows, "the data folder is empty");
    });
    Ok(())
}

/// Bytes with one digit after the point.
fn amount(bytes: u64) -> String {
    let (unit, shift) = match bytes {
        0..0x10_0000 => ("KiB", 10),
        0x10_0000..0x4000_0000 => ("MiB", 20),
        _ => ("GiB", 30),
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}
