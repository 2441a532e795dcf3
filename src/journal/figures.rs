//! What earlier runs measured: series of one figure over time.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::open_for_reading;

/// One figure of one past run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When the run began.
    pub at: Timestamp,
    /// In the metric's own unit.
    pub value: f64,
}

/// Every sample of a metric since then, oldest first, of runs that were not dry; with `label`, only those that carry it.
pub fn samples(
    state: &Path,
    metric: &str,
    label: Option<(&str, &str)>,
    since: Timestamp,
) -> anyhow::Result<Vec<Sample>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare(
        "SELECT r.started_ms, m.value FROM runs r JOIN metrics m ON m.run_id = r.id
         WHERE r.started_ms >= ?1 AND r.dry_run = 0 AND m.name = ?2
           AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(m.labels) l WHERE l.key = ?3 AND l.value = ?4))
         ORDER BY r.started_ms",
    )?;
    let (key, value) = label.unzip();
    let rows = statement.query_map(params![since.as_millisecond(), metric, key, value], |row| {
        Ok(Sample {
            at: Timestamp::from_millisecond(row.get(0)?).unwrap_or_default(),
            value: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// When the first run began that measured or found something about this database and was not dry, up to `until`.
pub fn first_about(
    state: &Path,
    database: &str,
    until: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(None);
    };
    let first: Option<i64> = connection.query_row(
        "SELECT min(started_ms) FROM runs WHERE dry_run = 0 AND started_ms <= ?2 AND id IN (
           SELECT run_id FROM findings WHERE subject = ?1
           UNION ALL
           SELECT run_id FROM metrics WHERE name IN ('backup_age_seconds', 'database_size_bytes') AND labels ->> 'database' = ?1)",
        params![database, until.as_millisecond()],
        |row| row.get(0),
    )?;
    Ok(first.and_then(|first| Timestamp::from_millisecond(first).ok()))
}

/// When the last run began before the longest time without any that ended in the last `days`, or has not ended yet; `None` where no
/// run began before. As long as that is long, nothing here has seen the time pass: the clock may have been set ahead.
pub fn before_longest_pause(
    state: &Path,
    days: u32,
    now: Timestamp,
) -> anyhow::Result<Option<(Timestamp, SignedDuration)>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(None);
    };
    let now_ms = now.as_millisecond();
    let found = connection
        .query_row(
            "SELECT before, started_ms - before AS pause FROM (
               SELECT started_ms, lag(started_ms) OVER (ORDER BY started_ms) AS before
               FROM (SELECT started_ms FROM runs WHERE started_ms < ?1 UNION ALL SELECT ?1))
             WHERE started_ms > ?2 AND before IS NOT NULL ORDER BY pause DESC LIMIT 1",
            [now_ms, now_ms - i64::from(days) * 86_400_000],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let read = |(before, pause)| {
        let before = Timestamp::from_millisecond(before).ok()?;
        Some((before, SignedDuration::from_millis(pause)))
    };
    Ok(found.and_then(read))
}

/// When this installation's first run began that was not dry; `None` before it.
pub fn first_run(state: &Path) -> anyhow::Result<Option<Timestamp>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(None);
    };
    let first: Option<i64> = connection.query_row(
        "SELECT min(started_ms) FROM runs WHERE dry_run = 0",
        [],
        |row| row.get(0),
    )?;
    Ok(first.and_then(|first| Timestamp::from_millisecond(first).ok()))
}
