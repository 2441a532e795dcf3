//! A database that nobody else can get at, and who has one open.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::intent::sweep_part;
use crate::error::{Failure, refused};
use crate::report::Permit;
use crate::sqlite;
use crate::sys::{Stop, machine};

/// How long a lock is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A database that everybody else waits for: SQLite's own lock is on the file, whatever its name becomes.
pub struct Locked {
    connection: Connection,
    /// It is in WAL mode.
    pub is_wal: bool,
}

impl Locked {
    /// Refused where somebody has it open. Nothing is changed but that the write-ahead log is folded in.
    pub fn take(path: &Path, stop: &Stop) -> anyhow::Result<Self> {
        let connection = sqlite::open_writable(path, stop, PATIENCE)?;
        let mut is_wal = false;
        let mut lock = || -> rusqlite::Result<()> {
            let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
            // In this mode the first look takes the lock for good, also of a database with a log.
            ask("PRAGMA locking_mode=EXCLUSIVE")?;
            is_wal = sqlite::is_wal(&ask("PRAGMA journal_mode")?);
            if is_wal {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
            connection.execute_batch("BEGIN EXCLUSIVE")
        };
        lock().map_err(|error| told(error, path, stop))?;
        Ok(Self { connection, is_wal })
    }

    /// From now on it is everybody's. SQLite leaves an empty log under the name that the file was opened by.
    pub fn let_go(self, permit: &Permit, target: &Path) -> anyhow::Result<()> {
        drop(self.connection);
        sweep_part(permit, target)
    }
}

/// Folds the write-ahead log in and locks everybody out, readers too. Succeeds only when nobody else has the database open.
pub fn lock(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("delete") {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    connection.execute_batch("BEGIN EXCLUSIVE")
}

/// Busy is a refusal that names who has it open.
pub fn told(error: rusqlite::Error, path: &Path, stop: &Stop) -> anyhow::Error {
    match sqlite::is_busy(&error) {
        true => in_use_and_locked(path).into(),
        false => sqlite::explain(error, path, stop),
    }
}

/// Errs where the lock cannot be had, as far as that is known without asking for it: whoever works with a write-ahead log has its
/// index open, and a lock on the database for as long. One that SQLite cannot read is replaced without that lock.
pub fn require_unlocked(target: &Path, stop: &Stop) -> anyhow::Result<()> {
    let [_, shm, _] = sqlite::side_files(target);
    if machine::holders(&[shm]).is_empty() {
        return Ok(());
    }
    let mode = sqlite::open_private(target, stop).and_then(|connection| {
        connection.query_row("PRAGMA user_version", [], |_| Ok(()))?;
        drop(connection);
        let connection = sqlite::open_readonly(target, stop, PATIENCE)?;
        Ok(connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?)
    });
    match mode {
        Ok(mode) if sqlite::is_wal(&mode) => Err(in_use_and_locked(target).into()),
        _ => Ok(()),
    }
}

/// Puts it in WAL mode.
pub fn set_wal(target: &Path, stop: &Stop) -> anyhow::Result<()> {
    let ask = |sql: &str| -> anyhow::Result<String> {
        let connection = sqlite::open_writable(target, stop, PATIENCE)?;
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| told(error, target, stop))
    };
    ask("PRAGMA journal_mode=WAL")?;
    // What the disk refused of it is undone by whoever opens it next.
    let mode = ask("PRAGMA journal_mode")?;
    anyhow::ensure!(
        sqlite::is_wal(&mode),
        "{} did not get its WAL mode back",
        target.display()
    );
    Ok(())
}

/// The same where SQLite itself says no.
fn in_use_and_locked(target: &Path) -> Failure {
    let mut failure = in_use(target);
    failure.message += ", and SQLite's own lock is on it, which --allow-open does not lift";
    failure
}

/// The refusal that names who has the database open.
pub fn in_use(target: &Path) -> Failure {
    let [wal, shm, journal] = sqlite::side_files(target);
    let holders = machine::holders(&[target.to_owned(), wal, shm, journal]);
    let who = match holders.as_slice() {
        [] => "another process".to_owned(),
        holders => holders
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    refused(format!("{} is open in {who}", target.display()))
        .hint("stop it first, or let --stop-app stop and start the application")
}
