//! So that the journal does not grow for ever: what is older than the operator wants goes, and of what is older than a month only
//! one run a day and line stays, besides those that found something new.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::open_for_writing;

/// Runs younger than this all stay: availability is told from them.
const WHOLE: Duration = Duration::from_secs(35 * 86_400);
/// How much time one thinning takes away at most. With the rule that nothing is older than it was at the thinning before, a clock
/// that was wrong for an hour costs nothing, and one that is wrong for days costs old runs a little at a time.
const STEP_MS: i64 = 2 * 86_400_000;
const DAY_MS: i64 = 86_400_000;
/// Less than a day: a daily run does not always end at the same second.
const BETWEEN_MS: u64 = 23 * 3_600_000;
const TASK: &str = "journal";
const THINNED: &str = "thinned";

/// Once a day; the other times it only looks whether it is time.
pub fn thin(state: &Path, keep: Duration, now: Timestamp) -> anyhow::Result<()> {
    let mut connection = open_for_writing(state)?;
    let last: Option<(i64, i64)> = connection
        .query_row(
            "SELECT value ->> 0, value ->> 1 FROM remembered WHERE task = ?1 AND key = ?2",
            [TASK, THINNED],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let now_ms = now.as_millisecond();
    let (at, reached) = last.unwrap_or((i64::MIN, 0));
    if at.abs_diff(now_ms) < BETWEEN_MS {
        return Ok(());
    }
    let believed = Timestamp::from_millisecond(at.max(0).min(now_ms))?;
    let transaction = connection.transaction()?;
    let oldest: Option<i64> =
        transaction.query_row("SELECT min(started_ms) FROM runs", [], |row| row.get(0))?;
    if let Some(oldest) = oldest {
        let until = before(believed, keep)?.min(oldest + STEP_MS);
        transaction.execute(
            "DELETE FROM runs WHERE started_ms < ?1 AND state <> 'running'",
            [until],
        )?;
        let from = reached.max(oldest);
        let until = before(believed, WHOLE)?.min(from + STEP_MS).max(reached);
        thin_days(&transaction, from - DAY_MS, until)?;
        transaction.execute(
            "INSERT OR REPLACE INTO remembered VALUES (?1, ?2, json_array(?3, ?4), '')",
            params![TASK, THINNED, now_ms, until],
        )?;
    }
    Ok(transaction.commit()?)
}

fn before(now: Timestamp, age: Duration) -> anyhow::Result<i64> {
    let age = SignedDuration::try_from(age)?;
    Ok(now.checked_sub(age)?.as_millisecond())
}

/// Of the runs between the two moments that found nothing, or what the one before had found too, the first of each day and line
/// stays.
fn thin_days(connection: &Connection, from: i64, until: i64) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM runs WHERE id IN (
           SELECT id FROM (
             SELECT id, state, status,
               row_number() OVER (PARTITION BY task, line, dry_run, started_ms / ?3 ORDER BY started_ms, id) AS place,
               said = lag(said) OVER (PARTITION BY task, line, dry_run ORDER BY started_ms, id) AS again
             FROM (
               SELECT *, state || ' ' || exit_code || (
                   SELECT json_group_array(json_array(id, severity, subject) ORDER BY id, severity, subject)
                   FROM findings WHERE run_id = runs.id) AS said
               FROM runs WHERE started_ms >= ?1 AND started_ms < ?2))
           WHERE place > 1 AND state = 'finished' AND (status = 'ok' OR again))",
        params![from, until, DAY_MS],
    )
}
