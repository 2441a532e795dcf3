//! Every run with its findings, metrics and actions, in one SQLite file of our own; what runs remember for their successors.
//! A journal that cannot be written is a finding, never a reason not to take the backup.

mod figures;
mod owner;
mod read;
mod thin;
mod write;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{Failure, Kind, hint_of};
use crate::sqlite;
use crate::sys::process::shell_path;
use crate::sys::{Stop, files, machine};

pub use figures::{Sample, before_longest_pause, first_about, first_run, samples};
pub use owner::{Claim, claim};
pub use read::{Filter, LinePast, Run, last_success, line_pasts, recall, runs};
pub use thin::thin;
pub use write::{Begun, Interrupted, Unwritten, add, begin, finish};

/// Finding id: the run could not be written down.
pub const UNWRITABLE: &str = "journal.unwritable";

/// Finding id: an earlier run was killed.
pub const INTERRUPTED: &str = "task.interrupted";

/// From the first layout to the second: which line of the plan a run answers.
const SECOND: &str = "
ALTER TABLE runs ADD COLUMN line TEXT;
UPDATE runs SET line = iif(task = 'alerts', 'alerts-flush', task);
PRAGMA user_version = 2;
";

/// To the third: how urgent an alert was when somebody acknowledged it, and who of several receivers still waits for a message.
const THIRD: &str = "
ALTER TABLE incidents ADD COLUMN acknowledged_severity TEXT;
UPDATE incidents SET acknowledged_severity = severity WHERE acknowledged_by IS NOT NULL;
ALTER TABLE outbox ADD COLUMN receivers TEXT;
PRAGMA user_version = 3;
";

/// The layout that this version reads and writes.
const LAYOUT: i64 = 3;

const PATIENCE: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  line TEXT,
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
CREATE TABLE IF NOT EXISTS incidents (
  number INTEGER PRIMARY KEY,
  host TEXT NOT NULL,
  finding TEXT NOT NULL,
  subject TEXT NOT NULL,
  task TEXT NOT NULL,
  severity TEXT NOT NULL,
  message TEXT NOT NULL,
  hint TEXT,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  resolved_ms INTEGER,
  acknowledged_by TEXT,
  acknowledged_ms INTEGER,
  acknowledged_severity TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS incidents_open ON incidents (host, finding, subject) WHERE resolved_ms IS NULL;
CREATE TABLE IF NOT EXISTS told (
  incident INTEGER NOT NULL REFERENCES incidents (number) ON DELETE CASCADE,
  channel TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  severity TEXT NOT NULL,
  escalated INTEGER NOT NULL,
  resolved INTEGER NOT NULL,
  PRIMARY KEY (incident, channel)
);
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  incident INTEGER,
  created_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  event TEXT NOT NULL,
  receivers TEXT
);
CREATE INDEX IF NOT EXISTS outbox_by_channel ON outbox (channel, due_ms);
CREATE TABLE IF NOT EXISTS mutes (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('silence', 'maintenance')),
  finding TEXT NOT NULL,
  subject TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  who TEXT NOT NULL,
  reason TEXT NOT NULL
);
PRAGMA user_version = 3;
COMMIT;
";

/// The key under which `backup` remembers the folder and name of what it published last of a series.
pub fn published_key(series: &str) -> String {
    format!("published {series}")
}

/// Where the journal is, below the state directory.
pub fn path(state: &Path) -> PathBuf {
    state.join("journal.db")
}

fn run_file(state: &Path, run_id: &str) -> PathBuf {
    state.join("runs").join(run_id)
}

/// The journal with every table, made where it is not there yet. Runs, alerts and what is remembered share it.
pub fn open_for_writing(state: &Path) -> anyhow::Result<Connection> {
    let path = path(state);
    let opened = Connection::open(&path).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON")?;
        let layout = match layout(&connection)? {
            0 => make(&connection).map(|()| LAYOUT)?,
            1 | 2 => take_over(&connection).map(|()| LAYOUT)?,
            layout => layout,
        };
        Ok((connection, layout))
    });
    let (connection, layout) = opened.map_err(|error| {
        let error = anyhow::Error::from(error);
        let Obstacle { what, hint } = obstacle(&error, state);
        let what = what.map_or(String::new(), |what| format!(": {what}"));
        let message = format!("cannot open the journal {}{what}", path.display());
        error.context(Failure::new(Kind::Failed, message).hint(hint))
    })?;
    anyhow::ensure!(
        layout == LAYOUT,
        "{} was written by a newer version (layout {layout})",
        path.display()
    );
    Ok(connection)
}

/// Why a journal cannot be written.
pub struct Obstacle {
    /// In a few words, where more is known than the error says.
    pub what: Option<&'static str>,
    /// What to do.
    pub hint: String,
}

/// What `error` of a journal in `state` means for who has to mend it.
pub fn obstacle(error: &anyhow::Error, state: &Path) -> Obstacle {
    let shown = shell_path(state);
    let (what, hint) = if is_damage(error) {
        let hint = format!(
            "mv {0} {0}.damaged: the next run begins a new one; its backups: empire-maint backup list journal",
            shell_path(&path(state))
        );
        (None, hint)
    } else if is_disk_full(error, state) {
        let hint = format!("free some space: df -h {shown}");
        (Some("the disk is full"), hint)
    } else if files::is_read_only(state) {
        let hint = format!("findmnt -T {shown}");
        (Some("its file system is read-only"), hint)
    } else if let Some(hint) = hint_of(error) {
        (None, hint.to_owned())
    } else {
        let hint = match machine::is_root() {
            true => "set [state] dir to a folder that can be written",
            false => "run as root, or set [state] dir to a folder that this user can write",
        };
        (None, hint.to_owned())
    };
    Obstacle { what, hint }
}

fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Step by step from an earlier layout. Who comes second finds it done.
fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for (before, step) in [(1, SECOND), (2, THIRD)] {
        if layout(&transaction)? == before {
            transaction.execute_batch(step)?;
        }
    }
    transaction.commit()
}

/// Two first runs at once both get here. SQLite does not wait for another connection that changes the journal mode too.
fn make(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match connection
            .execute_batch("PRAGMA journal_mode=WAL")
            .and_then(|()| connection.execute_batch(SCHEMA))
        {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// The file is no journal, or not any more: nothing can be written into it, whoever tries.
fn is_damage(error: &anyhow::Error) -> bool {
    let mut errors = error
        .chain()
        .filter_map(|one| one.downcast_ref::<rusqlite::Error>());
    errors.any(|error| {
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
        )
    })
}

/// There is no room to write in.
fn is_disk_full(error: &anyhow::Error, state: &Path) -> bool {
    error.chain().any(|one| {
        let of_sqlite = one.downcast_ref::<rusqlite::Error>();
        let of_system = one.downcast_ref::<std::io::Error>();
        of_sqlite.is_some_and(|error| sqlite::is_disk_full(error, &path(state)))
            || of_system.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    })
}

/// `None` where there is no journal yet.
pub fn open_for_reading(state: &Path) -> anyhow::Result<Option<Connection>> {
    let path = path(state);
    if files::metadata(&path)?.is_none() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)
        .with_context(|| format!("cannot open the journal {}", path.display()))?;
    connection.busy_timeout(PATIENCE)?;
    // Whoever may read the file but not write beside it cannot share it (https://sqlite.org/wal.html#read_only_databases).
    // Nothing is in its log, so nobody has it open, and it can be read as it lies there.
    let shared = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let [log, ..] = sqlite::side_files(&path);
    if shared.is_err() && files::metadata(&log)?.is_none_or(|meta| meta.len() == 0) {
        let stop = Stop::after(Duration::from_secs(60));
        return sqlite::open_private(&path, &stop).map(Some);
    }
    Ok(Some(connection))
}
