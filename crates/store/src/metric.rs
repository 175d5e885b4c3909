//! What services used and answered, in blocks of time, at three resolutions. How samples add up is the model's; who takes
//! them is told elsewhere.
//!
//! A block that cannot be read counts as a gap: figures are not worth an error.

mod packed;

use naru_model::metric::{Resolution, Sample, regroup};
use naru_model::{EnvironmentKey, ReleaseNumber, RevisionNumber, ServiceName, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Result, Store, Write, from_millis, parse, to_millis};
use packed::{Block, pack, unpack};

/// Whose samples.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleKey {
    /// Where it runs.
    pub environment: EnvironmentKey,
    /// Which service.
    pub service: ServiceName,
}

/// A sample as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// Whose.
    pub service: ServiceName,
    /// When it began, in seconds since 1970.
    pub at: i64,
    /// What it says.
    pub sample: Sample,
}

/// A revision got all the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Which revision.
    pub revision: RevisionNumber,
    /// Its release, when its row is there.
    pub release: Option<ReleaseNumber>,
    /// When.
    pub at: Timestamp,
}

/// Where a block is.
#[derive(Clone, Copy)]
struct Place {
    resolution: Resolution,
    start: i64,
}

impl Place {
    fn of(resolution: Resolution, second: i64) -> Self {
        Self { resolution, start: resolution.block_of(second) }
    }

    fn number(self, at: i64) -> u32 {
        u32::try_from((at - self.start) / self.resolution.step_seconds()).unwrap_or_default()
    }
}

impl Store {
    /// Adds samples that were taken in the step to which `second` belongs. What was kept in this block for later steps goes:
    /// the clock was set back. Environments that are gone are left out.
    pub async fn add_samples(&self, second: i64, samples: &[(SampleKey, Sample)]) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let place = Place::of(Resolution::QuarterMinute, second);
        let number = place.number(second);
        let mut write = self.write("metric.add").await?;
        for (key, sample) in samples {
            let change = |block: &mut Block| {
                block.retain(|other, _| *other <= number);
                *block.entry(number).or_default() += sample;
            };
            write.change_block(key, place, change).await?;
        }
        write.commit().await
    }

    /// Writes what was kept finely in the blocks that begin from `from` up to, but not at, `before` also coarsely. Repeating
    /// it changes nothing.
    pub async fn seal_samples(&self, from: i64, before: i64) -> Result<()> {
        let fine = Resolution::QuarterMinute;
        let rows = sqlx::query(
            "SELECT project, environment, service, start, samples FROM metric
             WHERE step_seconds = $1 AND start >= $2 AND start < $3",
        )
        .bind(fine.step_seconds())
        .bind(from)
        .bind(before)
        .fetch_all(self.reader())
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut write = self.write("metric.seal").await?;
        for row in &rows {
            let key = read_key(row)?;
            let samples = read_samples(row, fine)?;
            for resolution in [Resolution::Minute, Resolution::QuarterHour] {
                let place = Place::of(resolution, row.try_get("start")?);
                let longer = regroup(samples.clone(), resolution.step_seconds());
                let change = |block: &mut Block| {
                    block.extend(longer.into_iter().map(|(at, sample)| (place.number(at), sample)));
                };
                write.change_block(&key, place, change).await?;
            }
        }
        write.commit().await
    }

    /// Removes what is older than it is kept, and what lies in the future because the clock was set back.
    pub async fn drop_old_samples(&self) -> Result<()> {
        let now = self.now().as_second();
        let mut write = self.write("metric.drop").await?;
        for resolution in Resolution::ALL {
            sqlx::query("DELETE FROM metric WHERE step_seconds = $1 AND (start < $2 OR start > $3)")
                .bind(resolution.step_seconds())
                .bind(now - resolution.kept_seconds() - resolution.block_seconds())
                .bind(now + resolution.step_seconds())
                .execute(write.connection())
                .await?;
        }
        write.commit().await
    }

    /// The samples of an environment that began from `from` up to, but not at, `until`; by service and time.
    pub async fn samples(
        &self,
        key: &EnvironmentKey,
        resolution: Resolution,
        from: i64,
        until: i64,
    ) -> Result<Vec<StoredSample>> {
        let rows = sqlx::query(
            "SELECT project, environment, service, start, samples FROM metric
             WHERE project = $1 AND environment = $2 AND step_seconds = $3 AND start >= $4 AND start < $5
             ORDER BY service, start",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(resolution.step_seconds())
        .bind(resolution.block_of(from))
        .bind(until)
        .fetch_all(self.reader())
        .await?;
        let mut all = Vec::new();
        for row in &rows {
            let service = read_key(row)?.service;
            let samples = read_samples(row, resolution)?.into_iter();
            let wanted = samples.filter(|(at, _)| (from..until).contains(at));
            all.extend(wanted.map(|(at, sample)| StoredSample { service: service.clone(), at, sample }));
        }
        Ok(all)
    }

    /// The revisions of an environment that got all the traffic since then, oldest first.
    pub async fn switches(&self, key: &EnvironmentKey, since: Timestamp) -> Result<Vec<Switch>> {
        let rows = sqlx::query(
            "SELECT rollout.revision, rollout.switched_at, revision.release FROM rollout
             LEFT JOIN revision ON revision.project = rollout.project
               AND revision.environment = rollout.environment AND revision.number = rollout.revision
             WHERE rollout.project = $1 AND rollout.environment = $2 AND rollout.switched_at >= $3
             ORDER BY rollout.switched_at, rollout.revision",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(to_millis(since))
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Switch {
                    revision: RevisionNumber(row.try_get("revision")?),
                    release: row.try_get::<Option<u32>, _>("release")?.map(ReleaseNumber),
                    at: from_millis(row.try_get("switched_at")?),
                })
            })
            .collect()
    }
}

impl Write<'_> {
    async fn change_block(
        &mut self,
        key: &SampleKey,
        place: Place,
        change: impl FnOnce(&mut Block),
    ) -> Result<()> {
        let SampleKey { environment, service } = key;
        let packed: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT samples FROM metric
             WHERE project = $1 AND environment = $2 AND service = $3 AND step_seconds = $4 AND start = $5",
        )
        .bind(environment.project.as_str())
        .bind(environment.environment.as_str())
        .bind(service.as_str())
        .bind(place.resolution.step_seconds())
        .bind(place.start)
        .fetch_optional(self.connection())
        .await?;
        let mut block = packed.as_deref().and_then(unpack).unwrap_or_default();
        change(&mut block);
        sqlx::query(
            "INSERT INTO metric (project, environment, service, step_seconds, start, samples)
             SELECT project, name, $3, $4, $5, $6 FROM environment WHERE project = $1 AND name = $2
             ON CONFLICT (project, environment, service, step_seconds, start)
               DO UPDATE SET samples = excluded.samples",
        )
        .bind(environment.project.as_str())
        .bind(environment.environment.as_str())
        .bind(service.as_str())
        .bind(place.resolution.step_seconds())
        .bind(place.start)
        .bind(pack(&block))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn read_key(row: &SqliteRow) -> Result<SampleKey> {
    Ok(SampleKey {
        environment: EnvironmentKey {
            project: parse("project name", row.try_get("project")?)?,
            environment: parse("environment name", row.try_get("environment")?)?,
        },
        service: parse("service name", row.try_get("service")?)?,
    })
}

/// The samples of a row with the second at which each began.
fn read_samples(row: &SqliteRow, resolution: Resolution) -> Result<Vec<(i64, Sample)>> {
    let start: i64 = row.try_get("start")?;
    let block = unpack(row.try_get("samples")?).unwrap_or_default();
    let at = |number: u32| start + i64::from(number) * resolution.step_seconds();
    Ok(block.into_iter().map(|(number, sample)| (at(number), sample)).collect())
}
