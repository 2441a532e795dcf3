//! Queries over past runs.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{open_for_reading, run_file};
use crate::error::Kind;
use crate::sys::lock;

/// Which runs are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this task.
    pub task: Option<String>,
    /// Only runs that ended with this status.
    pub status: Option<String>,
    /// Only runs that began at or after this moment.
    pub since: Option<Timestamp>,
    /// Only runs that began at or before this moment: one from the future, before the clock was put back, says nothing.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub most: u32,
}

/// One past run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Run {
    /// Its id.
    pub run_id: String,
    /// The command.
    pub task: String,
    /// When it began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// How long it took, ms; absent while it runs.
    pub duration_ms: Option<i64>,
    /// True for a dry run.
    pub dry_run: bool,
    /// running, finished or interrupted.
    pub state: String,
    /// ok, warning, critical or unknown; absent while it runs.
    pub status: Option<String>,
    /// What the process ended with.
    pub exit_code: Option<u8>,
    /// One line.
    pub summary: Option<String>,
    /// What it found.
    pub findings: Vec<PastFinding>,
    /// The line of the plan that it answers.
    #[serde(skip)]
    pub line: Option<String>,
    /// What kind of failure ended it.
    #[serde(skip)]
    pub failed: Option<Kind>,
}

/// A finding of a past run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PastFinding {
    /// Stable id.
    pub id: String,
    /// How urgent.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// The sentence.
    pub message: String,
}

/// Past runs, newest first; none where there is no journal yet.
pub fn runs(state: &Path, filter: &Filter) -> anyhow::Result<Vec<Run>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(Vec::new());
    };
    // A run that was killed says so to whoever looks first, who may not be able to write it down.
    let mut statement = connection.prepare(
        "WITH dead AS (SELECT value AS id FROM json_each(?5)),
         runs AS (
           SELECT id, task, started_ms, finished_ms, dry_run, exit_code, summary, line, failure ->> 'kind' AS failed,
             iif(main.runs.state = 'running' AND id IN dead, 'interrupted', state) AS state,
             iif(main.runs.state = 'running' AND id IN dead, 'critical', status) AS status
           FROM main.runs)
         SELECT id, task, started_ms, finished_ms, dry_run, state, status, exit_code, summary, line, failed FROM runs
         WHERE (?1 IS NULL OR task = ?1)
           AND (?2 IS NULL OR status = ?2 OR state = ?2)
           AND (?3 IS NULL OR started_ms >= ?3)
           AND (?6 IS NULL OR started_ms <= ?6)
         ORDER BY started_ms DESC, id DESC LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![
            filter.task,
            filter.status,
            filter.since.map(|since| since.as_millisecond()),
            filter.most,
            serde_json::to_string(&dead(&connection, state)?)?,
            filter.until.map(|until| until.as_millisecond()),
        ],
        |row| {
            let started: i64 = row.get(2)?;
            let finished: Option<i64> = row.get(3)?;
            let failed: Option<String> = row.get(10)?;
            Ok(Run {
                run_id: row.get(0)?,
                task: row.get(1)?,
                started_at: Timestamp::from_millisecond(started).unwrap_or_default(),
                duration_ms: finished.map(|finished| finished - started),
                dry_run: row.get(4)?,
                state: row.get(5)?,
                status: row.get(6)?,
                exit_code: row.get(7)?,
                summary: row.get(8)?,
                findings: Vec::new(),
                line: row.get(9)?,
                failed: failed.and_then(|kind| serde_json::from_value(kind.into()).ok()),
            })
        },
    )?;
    let mut runs = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut statement = connection
        .prepare("SELECT id, severity, subject, message FROM findings WHERE run_id = ?1")?;
    for run in &mut runs {
        run.findings = statement
            .query_map([&run.run_id], |row| {
                Ok(PastFinding {
                    id: row.get(0)?,
                    severity: row.get(1)?,
                    subject: row.get(2)?,
                    message: row.get(3)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(runs)
}

/// The ids of those that say `running` and whose lock nobody holds.
fn dead(connection: &Connection, state: &Path) -> anyhow::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT id FROM runs WHERE state = 'running'")?;
    let mut running = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    running.retain(|id| lock::is_free(&run_file(state, id)).unwrap_or(false));
    Ok(running)
}

/// When the task last ended well (exit code 0 or 1) in a run that was not dry, up to `until`; with `line`, in one that answered
/// that line.
pub fn last_success(
    state: &Path,
    task: &str,
    line: Option<&str>,
    until: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(None);
    };
    let finished: Option<i64> = connection.query_row(
        "SELECT max(finished_ms) FROM runs
         WHERE task = ?1 AND (?2 IS NULL OR line = ?2) AND exit_code IN (0, 1) AND dry_run = 0
           AND started_ms <= ?3 AND finished_ms <= ?3",
        params![task, line, until.as_millisecond()],
        |row| row.get(0),
    )?;
    Ok(finished.and_then(|finished| Timestamp::from_millisecond(finished).ok()))
}

/// What the journal knows of the runs of one line of the plan that were not dry.
#[derive(Clone, Debug)]
pub struct LinePast {
    /// The line's name.
    pub line: String,
    /// When its last run began.
    pub started_at: Timestamp,
    /// How that run ended: ok, warning, critical, unknown, interrupted; or running.
    pub result: String,
    /// What its process ended with; absent while it runs and for one that was killed.
    pub exit_code: Option<u8>,
    /// When the last run began that could start: one that runs still, or ended with 0, 1 or 2.
    pub answered: Option<Timestamp>,
    /// When the last run ended that ended with 0 or 1.
    pub success: Option<Timestamp>,
}

/// The past of every line that has one, up to `until`: a run from the future, before the clock was put back, says nothing.
pub fn line_pasts(state: &Path, until: Timestamp) -> anyhow::Result<Vec<LinePast>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare(
        "WITH dead AS (SELECT value AS id FROM json_each(?2)),
         past AS (
           SELECT *, state = 'running' AND id NOT IN dead AS alive,
             row_number() OVER (PARTITION BY line ORDER BY started_ms DESC, id DESC) AS back
           FROM runs WHERE dry_run = 0 AND line IS NOT NULL AND started_ms <= ?1)
         SELECT line,
           max(started_ms) FILTER (WHERE back = 1),
           max(iif(alive, 'running', iif(state = 'finished', status, 'interrupted'))) FILTER (WHERE back = 1),
           max(exit_code) FILTER (WHERE back = 1),
           max(started_ms) FILTER (WHERE alive OR exit_code IN (0, 1, 2)),
           max(finished_ms) FILTER (WHERE exit_code IN (0, 1))
         FROM past GROUP BY line",
    )?;
    let moment = |ms: i64| Timestamp::from_millisecond(ms).ok();
    let rows = statement.query_map(
        params![
            until.as_millisecond(),
            serde_json::to_string(&dead(&connection, state)?)?
        ],
        |row| {
            Ok(LinePast {
                line: row.get(0)?,
                started_at: moment(row.get(1)?).unwrap_or_default(),
                result: row.get(2)?,
                exit_code: row.get(3)?,
                answered: row.get::<_, Option<i64>>(4)?.and_then(moment),
                success: row.get::<_, Option<i64>>(5)?.and_then(moment),
            })
        },
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A remembered value of a task.
pub fn recall(state: &Path, task: &str, key: &str) -> anyhow::Result<Option<Value>> {
    let Some(connection) = open_for_reading(state)? else {
        return Ok(None);
    };
    let text: Option<String> = connection
        .query_row(
            "SELECT value FROM remembered WHERE task = ?1 AND key = ?2",
            [task, key],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}
