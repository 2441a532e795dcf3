//! Begin and finish of a run. A row says `running` for as long as somebody holds the lock on the run's own file:
//! a row whose file can be locked belongs to a run that died.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{open_for_writing, run_file};
use crate::report::{Outcome, Report};
use crate::sys::lock::{self, Held, Lock};
use crate::sys::{Stop, files};

/// No line that runs every few minutes may be later than this.
const HALF_AN_HOUR_MS: i64 = 30 * 60_000;

/// A run that is written down as running, for as long as this value lives.
pub struct Begun {
    _held: Option<Held>,
    /// Runs that died since the last command looked.
    pub interrupted: Vec<Interrupted>,
}

/// An earlier run that was killed.
pub struct Interrupted {
    /// Its command.
    pub task: String,
    /// The line of the plan that it answered.
    pub line: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
}

/// Writes the `running` row, after the run's own lock is held; finds those that died.
/// `line` is the line of the plan that the run answers.
pub fn begin(
    state: &Path,
    report: &Report,
    line: Option<&str>,
    stop: &Stop,
) -> anyhow::Result<Begun> {
    files::private_directory(&state.join("runs"))?;
    files::private_directory(&state.join("locks"))?;
    let lock = Lock {
        path: run_file(state, &report.run_id),
        what: format!("the run {} is", report.run_id),
        optional: false,
        urgent: false,
    };
    // Opened first: where that fails, there is no row by which a later run would find the file of this one.
    let connection = open_for_writing(state)?;
    let now = report.started_at.to_zoned(TimeZone::UTC); // nobody waits for it, and nobody reads that
    let held = lock.take(&report.task, Duration::ZERO, &now, stop)?;
    let interrupted = write_row(&connection, state, report, line);
    if interrupted.is_err() {
        files::forget(&lock.path);
    }
    Ok(Begun {
        _held: held,
        interrupted: interrupted?,
    })
}

fn write_row(
    connection: &Connection,
    state: &Path,
    report: &Report,
    line: Option<&str>,
) -> anyhow::Result<Vec<Interrupted>> {
    let interrupted = find_interrupted(connection, state, report.started_at)?;
    connection.execute(
        "INSERT INTO runs (id, task, line, host, version, started_ms, dry_run, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running')",
        params![
            report.run_id,
            report.task,
            line,
            report.host,
            report.tool.version,
            report.started_at.as_millisecond(),
            report.dry_run,
        ],
    )?;
    Ok(interrupted)
}

fn find_interrupted(
    connection: &Connection,
    state: &Path,
    now: Timestamp,
) -> anyhow::Result<Vec<Interrupted>> {
    let mut statement = connection
        .prepare("SELECT id, task, started_ms, line FROM runs WHERE state = 'running'")?;
    let running = statement
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Option<String>>(3)?,
            ))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = Vec::new();
    for (id, task, started, line) in running {
        let file = run_file(state, &id);
        if !lock::is_free(&file)? {
            continue;
        }
        let changed = connection.execute(
            "UPDATE runs SET state = 'interrupted', status = 'critical', finished_ms = ?2, summary = 'killed before it could finish' WHERE id = ?1 AND state = 'running'",
            params![id, now.as_millisecond()],
        )?;
        files::forget(&file);
        if changed == 1 {
            found.push(Interrupted {
                task,
                line,
                started_at: Timestamp::from_millisecond(started).unwrap_or(now),
            });
        }
    }
    Ok(found)
}

/// Writes down everything that the run has to say, in one transaction. One that is fleeting and has nothing to say takes the
/// place of those of the same half hour that had nothing to say either. Those before stay: after a clock is put back, only they
/// tell that the line has run.
pub fn finish(state: &Path, report: &Report, fleeting: bool) -> anyhow::Result<()> {
    let mut connection = open_for_writing(state)?;
    let transaction = connection.transaction()?;
    let id = &report.run_id;
    let failure = report
        .failure
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    transaction.execute(
        "UPDATE runs SET state = 'finished', finished_ms = ?2, status = ?3, exit_code = ?4, summary = ?5, failure = ?6 WHERE id = ?1",
        params![
            id,
            report.finished_at.as_millisecond(),
            report.status.word(),
            report.exit_code,
            report.summary,
            failure,
        ],
    )?;
    {
        let mut insert = transaction
            .prepare("INSERT INTO findings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        for f in &report.findings {
            insert.execute(params![
                id,
                f.id,
                f.severity.word(),
                f.subject,
                f.message,
                f.value,
                f.unit,
                f.threshold,
                f.hint
            ])?;
        }
        let mut insert = transaction.prepare("INSERT INTO metrics VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for m in &report.metrics {
            let labels = serde_json::to_string(&m.labels)?;
            insert.execute(params![id, m.name, m.value, m.unit, labels])?;
        }
        let mut insert = transaction.prepare("INSERT INTO actions VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for a in &report.actions {
            let outcome = match a.outcome {
                Outcome::Planned => "planned",
                Outcome::Done => "done",
                Outcome::Skipped => "skipped",
                Outcome::Failed => "failed",
            };
            insert.execute(params![id, a.kind, a.target, a.reason, outcome])?;
        }
        let mut insert =
            transaction.prepare("INSERT OR REPLACE INTO remembered VALUES (?1, ?2, ?3, ?4)")?;
        if !report.dry_run {
            for (key, value) in &report.remembered {
                insert.execute(params![report.task, key, value.to_string(), id])?;
            }
        }
    }
    if fleeting {
        transaction.execute(
            "DELETE FROM runs WHERE task = ?1 AND id <> ?2 AND line IS (SELECT line FROM runs WHERE id = ?2) AND state = 'finished' AND status = 'ok'
               AND summary = ?3 AND started_ms / ?4 = (SELECT started_ms FROM runs WHERE id = ?2) / ?4
               AND NOT EXISTS (SELECT 1 FROM findings WHERE run_id = runs.id)
               AND NOT EXISTS (SELECT 1 FROM metrics WHERE run_id = runs.id)
               AND NOT EXISTS (SELECT 1 FROM actions WHERE run_id = runs.id)",
            params![report.task, id, report.summary, HALF_AN_HOUR_MS],
        )?;
    }
    transaction.commit()?;
    files::forget(&run_file(state, id));
    Ok(())
}

/// A run of a line of the plan that could not be written down when it ended.
#[derive(Serialize, Deserialize)]
pub struct Unwritten {
    id: String,
    task: String,
    line: String,
    host: String,
    version: String,
    started: Timestamp,
    finished: Timestamp,
    status: String,
    exit_code: u8,
    summary: String,
}

impl Unwritten {
    /// What is kept of it.
    pub fn new(line: &str, report: &Report) -> Self {
        Self {
            id: report.run_id.clone(),
            task: report.task.clone(),
            line: line.to_owned(),
            host: report.host.clone(),
            version: report.tool.version.to_owned(),
            started: report.started_at,
            finished: report.finished_at,
            status: report.status.word().to_owned(),
            exit_code: report.exit_code,
            summary: report.summary.clone(),
        }
    }
}

/// Writes such a run down now; once.
pub fn add(connection: &Connection, run: &Unwritten) -> anyhow::Result<()> {
    connection.execute(
        "INSERT OR IGNORE INTO runs (id, task, line, host, version, started_ms, finished_ms, dry_run, state, status, exit_code, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 'finished', ?8, ?9, ?10)",
        params![
            run.id,
            run.task,
            run.line,
            run.host,
            run.version,
            run.started.as_millisecond(),
            run.finished.as_millisecond(),
            run.status,
            run.exit_code,
            run.summary,
        ],
    )?;
    Ok(())
}
