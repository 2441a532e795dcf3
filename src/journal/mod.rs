//! Every run with its findings, metrics and actions, in one SQLite file of our own; what runs remember for their successors.
//! A journal that cannot be written is a finding, never a reason not to take the backup.

mod figures;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};

pub use figures::{Sample, first_run, samples};
pub use read::{Filter, Run, last_success, recall, runs};
pub use write::{Begun, Interrupted, begin, finish};

/// Finding id: the run could not be written down.
pub const UNWRITABLE: &str = "journal.unwritable";

/// Finding id: an earlier run was killed.
pub const INTERRUPTED: &str = "task.interrupted";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  host TEXT NOT NULL,
  version TEXT NOT NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER,
  dry_run INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'interrupted')),
  status TEXT,
  exit_code INTEGER,
  summary TEXT,
  failure TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_task ON runs (task, started_ms);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (started_ms);
CREATE TABLE IF NOT EXISTS findings (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  severity TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  value REAL,
  unit TEXT,
  threshold REAL,
  hint TEXT
);
CREATE INDEX IF NOT EXISTS findings_by_run ON findings (run_id);
CREATE TABLE IF NOT EXISTS metrics (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  unit TEXT NOT NULL,
  labels TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS metrics_by_run ON metrics (run_id);
CREATE TABLE IF NOT EXISTS actions (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  reason TEXT NOT NULL,
  outcome TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS actions_by_run ON actions (run_id);
CREATE TABLE IF NOT EXISTS remembered (
  task TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (task, key)
);
PRAGMA user_version = 1;
";

/// Where the journal is, below the state directory.
pub fn path(state: &Path) -> PathBuf {
    state.join("journal.db")
}

fn run_file(state: &Path, run_id: &str) -> PathBuf {
    state.join("runs").join(run_id)
}

fn open_for_writing(state: &Path) -> anyhow::Result<Connection> {
    let path = path(state);
    let describe = || format!("cannot open the journal {}", path.display());
    let connection = Connection::open(&path).with_context(describe)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON")
        .with_context(describe)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(SCHEMA).with_context(describe)?,
        1 => {}
        newer => anyhow::bail!(
            "{} was written by a newer version (layout {newer})",
            path.display()
        ),
    }
    Ok(connection)
}

/// `None` where there is no journal yet.
fn open_for_reading(state: &Path) -> anyhow::Result<Option<Connection>> {
    let path = path(state);
    if crate::sys::files::metadata(&path)
        .with_context(|| format!("cannot look at {}", path.display()))?
        .is_none()
    {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)
        .with_context(|| format!("cannot open the journal {}", path.display()))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(Some(connection))
}
