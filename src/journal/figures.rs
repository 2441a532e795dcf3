//! What earlier runs measured: series of one figure over time.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::params;

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
