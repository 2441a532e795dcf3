//! The log is folded in on a thread of its own, while the next transaction is made: so its syncs fall into the time in which nobody
//! else could commit anyway, and only what the last one before a rest wrote is folded in beside the others' commits. SQLite would
//! do that at the end of a commit (`sqlite3_wal_hook`): whoever commits while a thousand pages are in the log pays for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

/// Whoever is in the middle of a commit still reads where the log ended before: so much later it is folded in further.
const SOON: Duration = Duration::from_micros(1_500);
/// So often, for there may be one who reads for long.
const TRIES: u32 = 8;

/// Folds the log of one database in when asked to.
pub struct Fold {
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
    /// Held while something is folded in.
    working: Arc<Mutex<()>>,
}

impl Fold {
    /// With a connection of its own.
    pub fn begin(connection: Connection) -> io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let working = Arc::default();
        let own = Arc::clone(&working);
        let thread = thread::Builder::new().spawn(move || each_time(&asked, &connection, &own))?;
        Ok(Self {
            ask: Some(ask),
            thread: Some(thread),
            working,
        })
    }

    /// Begins to fold in what is in the log by now.
    pub fn ask(&self) {
        if let Some(ask) = &self.ask {
            // One that has yet to begin takes this along, and of one that has ended `has_ended` tells.
            let _ = ask.try_send(());
        }
    }

    /// Waits for what is being folded in just now: where the disk is slow, the log is not written faster than it is folded in.
    pub fn wait(&self) {
        drop(self.working.lock());
    }

    /// True where something went wrong.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for what has begun, and says what went wrong.
    pub fn end(mut self) -> rusqlite::Result<()> {
        match self.join() {
            Some(Ok(done)) => done,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }

    fn join(&mut self) -> Option<thread::Result<rusqlite::Result<()>>> {
        drop(self.ask.take());
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        // What could not be folded in stays in the log, for whoever comes next.
        let _ = self.join();
    }
}

/// Until nothing is left that could be folded in: only then does the next one who writes begin the log anew. While it is long, each
/// commit of the others has a part of it folded in, and waits for that.
fn each_time(
    asked: &Receiver<()>,
    connection: &Connection,
    working: &Mutex<()>,
) -> rusqlite::Result<()> {
    while asked.recv().is_ok() {
        let mut before = None;
        let mut tries = TRIES;
        while tries > 0 {
            tries -= 1;
            let held = working.lock();
            let (log, folded) =
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                    Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                })?;
            drop(held);
            // What came meanwhile is not counted.
            if before == Some(log) && folded == log {
                break;
            }
            before = Some(log);
            match asked.recv_timeout(SOON) {
                Ok(()) => tries = TRIES,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn until(mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60));
            thread::sleep(SOON);
        }
    }

    fn open(path: &std::path::Path) -> Connection {
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0")
            .expect("is set");
        connection
    }

    #[test]
    fn the_log_is_folded_in_until_the_next_writer_begins_it_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let (writer, reader) = (open(&path), open(&path));
        writer
            .execute_batch(
                "CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(1000000)); CREATE TABLE u(x)",
            )
            .expect("writes");
        let fold = Fold::begin(open(&path)).expect("begins");
        // Somebody reads the log as it is now, so that what comes next stays in it.
        reader
            .execute_batch("BEGIN; SELECT * FROM u")
            .expect("reads");
        writer
            .execute_batch("INSERT INTO u VALUES (1)")
            .expect("writes");
        fold.ask();
        thread::sleep(SOON);
        reader.execute_batch("COMMIT").expect("lets go");
        let frames = || {
            writer
                .execute_batch("INSERT INTO u VALUES (2)")
                .expect("writes");
            let log = "PRAGMA wal_checkpoint(NOOP)";
            writer
                .query_row(log, [], |row| row.get::<_, i64>(1))
                .expect("counts")
        };
        until(|| {
            fold.ask();
            frames() < 100
        });
        fold.wait();
        assert!(!fold.has_ended());
        fold.end().expect("nothing went wrong");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = open(&folder.path().join("x.db"));
        own.execute_batch("CREATE TABLE t(x); BEGIN; INSERT INTO t VALUES (1)")
            .expect("writes");
        let fold = Fold::begin(own).expect("begins");
        fold.ask();
        until(|| fold.has_ended());
        assert!(fold.end().is_err());
    }
}
