//! The log is folded in on a thread of its own, while the next transaction is made: so its syncs fall into the time in which nobody
//! else could commit anyway, and only what the last one before a rest wrote is folded in beside the others' commits. SQLite would
//! do that at the end of a commit (`sqlite3_wal_hook`): whoever commits while a thousand pages are in the log pays for it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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
}

impl Fold {
    /// With a connection of its own.
    pub fn begin(connection: Connection) -> io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let thread = thread::Builder::new().spawn(move || each_time(&asked, &connection))?;
        Ok(Self {
            ask: Some(ask),
            thread: Some(thread),
        })
    }

    /// Begins to fold in what is in the log by now.
    pub fn ask(&self) {
        if let Some(ask) = &self.ask {
            // One that has yet to begin takes this along, and of one that has ended `has_ended` tells.
            let _ = ask.try_send(());
        }
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
fn each_time(asked: &Receiver<()>, connection: &Connection) -> rusqlite::Result<()> {
    while asked.recv().is_ok() {
        let mut before = None;
        let mut tries = TRIES;
        while tries > 0 {
            tries -= 1;
            let (log, folded) =
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                    Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                })?;
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
