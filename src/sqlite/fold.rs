//! The log is folded in on a thread of its own, while the next transaction is made: so its syncs fall into the time in which nobody
//! else could commit anyway, and only what the last one before a rest wrote is folded in beside the others' commits. SQLite would
//! do that at the end of a commit (`sqlite3_wal_hook`): whoever commits while a thousand pages are in the log pays for it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

/// Folds the log of one database in when asked to.
pub struct Fold {
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
}

impl Fold {
    /// With a connection of its own.
    pub fn begin(connection: Connection) -> Self {
        let (ask, asked) = sync_channel(1);
        Self {
            ask: Some(ask),
            thread: Some(thread::spawn(move || each_time(&asked, &connection))),
        }
    }

    /// Begins to fold in what is in the log by now. What went wrong the last time is this one's error.
    pub fn ask(&mut self) -> rusqlite::Result<()> {
        match self.ask.as_ref().map(|ask| ask.try_send(())) {
            // One that has yet to begin takes this along.
            Some(Ok(()) | Err(TrySendError::Full(()))) => Ok(()),
            Some(Err(TrySendError::Disconnected(()))) | None => self.end(),
        }
    }

    fn end(&mut self) -> rusqlite::Result<()> {
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

/// Busy or not: the next time goes on with it.
fn each_time(asked: &Receiver<()>, connection: &Connection) -> rusqlite::Result<()> {
    while asked.recv().is_ok() {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}
