//! Short changes to a database that others keep writing: each waits politely for the write lock, holds it for a bounded time, and
//! says for how long.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{explain, is_busy, is_wal, open_writable};
use crate::sys::Stop;

/// A connection for maintenance. It never waits inside SQLite, so that waiting and holding are told apart.
pub struct Writer {
    connection: Connection,
    path: PathBuf,
    stop: Stop,
    journal_mode: String,
    longest: Duration,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<T> {
    /// Done; the write lock was held this long.
    Done(T, Duration),
    /// The write lock was not had in time: nothing was changed.
    Busy,
    /// It took longer than it may, and was rolled back after this long.
    TooLong(Duration),
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Checkpoint {
    /// Frames of the log when it began.
    pub frames: u64,
    /// Frames that are in the database now.
    pub moved: u64,
    /// True when the log's file is empty now.
    pub emptied: bool,
}

impl Writer {
    /// Opens, never creates. What is sorted or built goes to a temporary file, never to memory: the database may be large.
    pub fn open(path: &Path, stop: &Stop) -> anyhow::Result<Self> {
        let connection = open_writable(path, stop, Duration::ZERO)?;
        let wrong = |error| explain(error, path, stop);
        // Opening and closing it changes nothing: a dry run does both.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(wrong)?;
        let journal_mode: String = connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(wrong)?;
        // A checkpoint behind a commit would count as time that the lock was held, and is made on its own.
        connection
            .execute_batch("PRAGMA temp_store=FILE; PRAGMA wal_autocheckpoint=0")
            .map_err(wrong)?;
        if is_wal(&journal_mode) {
            // Loses nothing but our own last step in a power cut (https://sqlite.org/pragma.html#pragma_synchronous), and
            // holds the lock for no sync.
            connection
                .execute_batch("PRAGMA synchronous=NORMAL")
                .map_err(wrong)?;
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            stop: stop.clone(),
            journal_mode,
            longest: Duration::ZERO,
        })
    }

    /// `wal`, `delete`, …
    pub fn journal_mode(&self) -> &str {
        &self.journal_mode
    }

    /// True when the database has a write-ahead log.
    pub fn has_wal(&self) -> bool {
        is_wal(&self.journal_mode)
    }

    /// The longest that any change held the write lock so far.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// One transaction: waits for the lock for `patience`, and is rolled back when it takes longer than `most`.
    pub fn change<T>(
        &mut self,
        patience: Duration,
        most: Duration,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> anyhow::Result<Held<T>> {
        if !self.wait(patience, |connection| {
            connection.execute_batch("BEGIN IMMEDIATE")
        })? {
            return Ok(Held::Busy);
        }
        let (done, held) = limited(&self.connection, most, || {
            let value = work(&self.connection)?;
            self.connection.execute_batch("COMMIT")?;
            Ok(value)
        });
        if done.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.judge(done, held, most)
    }

    /// VACUUM, which takes and gives the lock by itself. It is stopped when its copy is not built within `most`; copying it
    /// back cannot be stopped.
    pub fn vacuum(&mut self, patience: Duration, most: Duration) -> anyhow::Result<Held<()>> {
        let mut result = (Ok(()), Duration::ZERO);
        let had = self.wait(patience, |connection| {
            let (done, held) = limited(connection, most, || connection.execute_batch("VACUUM"));
            match done {
                Err(error) if is_busy(&error) => Err(error),
                done => {
                    result = (done, held);
                    Ok(())
                }
            }
        })?;
        match had {
            true => self.judge(result.0, result.1, most),
            false => Ok(Held::Busy),
        }
    }

    /// A copy without gaps, at a new path, given up after `most`. Holds nobody where there is a write-ahead log; else the writers.
    pub(super) fn copy_to(&mut self, copy: &Path, most: Duration) -> anyhow::Result<Held<()>> {
        use std::os::unix::ffi::OsStrExt as _;
        let name = copy.as_os_str().as_bytes();
        // A name is bytes, and only a blob is bound as what it is.
        let sql = "VACUUM INTO CAST(?1 AS TEXT)";
        let before = self.longest;
        let (done, took) = limited(&self.connection, most, || {
            self.connection.execute(sql, [name]).map(|_| ())
        });
        if done.as_ref().is_err_and(is_busy) {
            return Ok(Held::Busy);
        }
        let judged = self.judge(done, took, most);
        if self.has_wal() {
            self.longest = before;
        }
        judged
    }

    /// Folds the write-ahead log into the database. Most of it moves while writers go on; only emptying the file holds them,
    /// for what they wrote meanwhile, and it waits for readers no longer than a moment.
    pub fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        let wrong = |error| explain(error, &self.path, &self.stop);
        let passive = pragma_checkpoint(&self.connection, "PASSIVE").map_err(wrong)?;
        let mut done = Checkpoint {
            emptied: false,
            ..passive.1
        };
        if done.moved == done.frames {
            let started = Instant::now();
            let (busy, _) = pragma_checkpoint(&self.connection, "TRUNCATE").map_err(wrong)?;
            self.longest = self.longest.max(started.elapsed());
            done.emptied = !busy;
        }
        Ok(done)
    }

    /// The connection, to look through.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Tries until it is not busy; false once `patience` is over. The busy handler of the connection paces it.
    fn wait(
        &self,
        patience: Duration,
        mut attempt: impl FnMut(&Connection) -> rusqlite::Result<()>,
    ) -> anyhow::Result<bool> {
        let started = Instant::now();
        loop {
            match attempt(&self.connection) {
                Ok(()) => return Ok(true),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(explain(error, &self.path, &self.stop)),
            }
            self.stop.check()?;
            if started.elapsed() >= patience {
                return Ok(false);
            }
        }
    }

    fn judge<T>(
        &mut self,
        done: rusqlite::Result<T>,
        held: Duration,
        most: Duration,
    ) -> anyhow::Result<Held<T>> {
        self.longest = self.longest.max(held);
        match done {
            Ok(value) => Ok(Held::Done(value, held)),
            Err(error) if is_interrupted(&error) && held >= most && !self.stop.asked() => {
                Ok(Held::TooLong(held))
            }
            Err(error) => Err(explain(error, &self.path, &self.stop)),
        }
    }
}

fn is_interrupted(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

/// Interrupts `work` after `most`, from another thread: some loops inside SQLite ask for an interrupt and never call the progress
/// handler.
fn limited<T>(
    connection: &Connection,
    most: Duration,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> (rusqlite::Result<T>, Duration) {
    let handle = connection.get_interrupt_handle();
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(most) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        drop(done);
        (result, took)
    })
}

/// Whether somebody was in the way, and the figures.
fn pragma_checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<(bool, Checkpoint)> {
    let sql = format!("PRAGMA main.wal_checkpoint({how})");
    connection.query_row(&sql, [], |row| {
        let number = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
        let figures = Checkpoint {
            frames: number(1)?,
            moved: number(2)?,
            emptied: false,
        };
        Ok((row.get::<_, i64>(0)? != 0, figures))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const MOMENT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);
    const ENDLESS: &str = "INSERT INTO t SELECT 1;
        WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";

    fn database() -> (TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let other = Connection::open(&path).expect("opens");
        other
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(100000))")
            .expect("fills");
        (folder, path, other)
    }

    fn rows(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .expect("counts")
    }

    #[test]
    fn a_step_that_takes_too_long_is_undone() {
        let (_folder, path, other) = database();
        let stop = Stop::after(LONG);
        let mut writer = Writer::open(&path, &stop).expect("opens");
        let done = writer.change(LONG, MOMENT, |connection| connection.execute_batch(ENDLESS));
        assert!(
            matches!(done, Ok(Held::TooLong(held)) if held >= MOMENT),
            "{done:?}"
        );
        assert!(writer.longest() >= MOMENT);
        assert_eq!(rows(&other), 1);
        // It is ready for the next one, and so are others.
        let done = writer.change(LONG, LONG, |connection| {
            connection.execute("INSERT INTO t VALUES (2)", [])
        });
        assert!(matches!(done, Ok(Held::Done(1, _))), "{done:?}");
        other
            .execute_batch("INSERT INTO t VALUES (3)")
            .expect("writes");
        assert_eq!(rows(&other), 3);
    }

    #[test]
    fn vacuum_is_stopped_while_it_builds() {
        let (_folder, path, other) = database();
        other
            .execute_batch(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60000)
                   INSERT INTO t SELECT hex(randomblob(50)) FROM c; CREATE INDEX i ON t(x); DELETE FROM t WHERE rowid % 2",
            )
            .expect("fills");
        let pages = |connection: &Connection| -> i64 {
            connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))
                .expect("looks")
        };
        let (before, rows_before) = (pages(&other), rows(&other));
        let mut writer = Writer::open(&path, &Stop::after(LONG)).expect("opens");
        let done = writer
            .vacuum(LONG, Duration::from_millis(1))
            .expect("stops");
        assert!(matches!(done, Held::TooLong(_)), "{done:?}");
        assert_eq!((pages(&other), rows(&other)), (before, rows_before));
        let done = writer.vacuum(LONG, LONG).expect("goes");
        assert!(matches!(done, Held::Done((), _)), "{done:?}");
        assert!(pages(&other) < before);
        assert_eq!(rows(&other), rows_before);
    }

    /// What has to fit beside the database.
    #[test]
    fn vacuum_writes_the_new_pages_into_the_log_and_not_the_old_ones() {
        let (_folder, path, other) = database();
        other
            .execute_batch(
                "INSERT INTO t SELECT zeroblob(20000000); DELETE FROM t WHERE rowid > 1; PRAGMA wal_checkpoint(TRUNCATE)",
            )
            .expect("fills");
        let old = std::fs::metadata(&path).expect("is there").len();
        let mut writer = Writer::open(&path, &Stop::after(LONG)).expect("opens");
        let done = writer.vacuum(LONG, LONG).expect("goes");
        assert!(matches!(done, Held::Done((), _)), "{done:?}");
        let pages: u64 = other
            .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
            .expect("looks")
            .unsigned_abs();
        let [wal, ..] = crate::sqlite::side_files(&path);
        let log = std::fs::metadata(wal).expect("is there").len();
        assert!(
            old > 20_000_000 && log < pages * 4096 * 66 / 64 + 65_536,
            "{old} {log} {pages}"
        );
    }

    #[test]
    fn it_waits_for_others_and_not_for_ever() {
        let (_folder, path, other) = database();
        let mut writer = Writer::open(&path, &Stop::after(LONG)).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("holds");
        let done = writer.change(MOMENT, LONG, |_| Ok(()));
        assert!(matches!(done, Ok(Held::Busy)), "{done:?}");
        assert_eq!(writer.vacuum(MOMENT, LONG).expect("waits"), Held::Busy);
        // Waiting is not holding.
        assert_eq!(writer.longest(), Duration::ZERO);
        let mine = std::thread::spawn(move || writer.change(LONG, LONG, |_| Ok(())));
        std::thread::sleep(MOMENT);
        other.execute_batch("COMMIT").expect("lets go");
        let done = mine.join().expect("no panic");
        assert!(
            matches!(done, Ok(Held::Done((), held)) if held < LONG),
            "{done:?}"
        );
    }

    #[test]
    fn a_reader_keeps_the_log_and_is_not_waited_for() {
        let (_folder, path, other) = database();
        other
            .execute_batch("PRAGMA wal_autocheckpoint=0; BEGIN")
            .expect("begins");
        assert_eq!(rows(&other), 1);
        let mut writer = Writer::open(&path, &Stop::after(LONG)).expect("opens");
        let done = writer.change(LONG, LONG, |connection| {
            connection.execute("INSERT INTO t VALUES (2)", [])
        });
        assert!(matches!(done, Ok(Held::Done(..))), "{done:?}");
        let kept = writer.checkpoint().expect("tries");
        assert!(!kept.emptied && kept.moved < kept.frames, "{kept:?}");
        other.execute_batch("COMMIT").expect("ends");
        let emptied = writer.checkpoint().expect("goes");
        assert!(emptied.emptied && emptied.moved == emptied.frames && emptied.frames > 0);
        let [wal, ..] = crate::sqlite::side_files(&path);
        assert_eq!(std::fs::metadata(wal).expect("is there").len(), 0);
    }

    /// Who opens it to look, and closes it again, leaves even the log as it was.
    #[test]
    fn opening_and_closing_changes_nothing() {
        let (folder, path, _other) = database();
        let [wal, ..] = crate::sqlite::side_files(&path);
        // A copy of both, as an application leaves them that was killed.
        let left = folder.path().join("left.db");
        let [left_wal, ..] = crate::sqlite::side_files(&left);
        std::fs::copy(&path, &left).expect("copies");
        std::fs::copy(&wal, &left_wal).expect("copies");
        let look = || {
            let read = |path: &Path| std::fs::read(path).expect("reads");
            (read(&left), read(&left_wal))
        };
        let before = look();
        drop(Writer::open(&left, &Stop::after(LONG)).expect("opens"));
        assert!(look() == before && !before.1.is_empty());
    }
}
