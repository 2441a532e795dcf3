//! Locks that die with their process: `flock` on a file that is never unlinked, with a note about who holds it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Zoned;

use super::{Stop, files};
use crate::error::{Failure, Kind};
use crate::units;

/// A lock that a task wants before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Where the lock file is.
    pub path: PathBuf,
    /// What is locked, with its verb, for messages: `the backups of app_db are`.
    pub what: String,
    /// True when the run goes on where the lock file itself cannot be made (a read-only /run).
    pub optional: bool,
    /// True for one whose holder should make way for us: see [`Held::wanted`].
    pub urgent: bool,
}

/// A lock that is held; released when dropped or when the process dies.
#[derive(Debug)]
pub struct Held {
    #[expect(dead_code, reason = "held, never read")]
    file: File,
    waiting: PathBuf,
}

impl Held {
    /// True while somebody urgent waits for it: whoever holds it for a long time stops at its next safe point.
    pub fn wanted(&self) -> bool {
        !is_free(&self.waiting).unwrap_or(true)
    }
}

const POLL: Duration = Duration::from_millis(100);

impl Lock {
    /// The same lock for what cannot wait until the holder has finished.
    pub fn urgent(self) -> Self {
        Self {
            urgent: true,
            ..self
        }
    }

    /// Where the urgent ones that wait hold a lock of their own.
    fn waiting(&self) -> PathBuf {
        files::with_suffix(&self.path, ".waiting")
    }

    /// Takes the lock for `who`, waiting up to `wait`. `None` where an optional lock file cannot be made.
    pub fn take(
        &self,
        who: &str,
        wait: Duration,
        now: &Zoned,
        stop: &Stop,
    ) -> anyhow::Result<Option<Held>> {
        let mut file = match files::open_lock(&self.path) {
            Ok(file) => file,
            Err(_) if self.optional => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot open the lock {}", self.path.display()));
            }
        };
        let started = Instant::now();
        let mut announced = None;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => {
                    return Err(error)
                        .with_context(|| format!("cannot lock {}", self.path.display()));
                }
            }
            if started.elapsed() >= wait {
                return Err(self.refusal(&mut file, wait).into());
            }
            if self.urgent && announced.is_none() {
                // Only a courtesy: where it cannot be asked for, the lock is waited for all the same.
                announced = files::open_lock(&self.waiting())
                    .ok()
                    .filter(|file| file.try_lock().is_ok());
            }
            std::thread::sleep(stop.left(POLL)?);
        }
        // The note only helps the message of whoever waits; a full disk must not stop the holder.
        let _ = note(&mut file, who, now);
        Ok(Some(Held {
            file,
            waiting: self.waiting(),
        }))
    }

    fn refusal(&self, file: &mut File, wait: Duration) -> Failure {
        let mut holder = String::new();
        let _ = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.take(200).read_to_string(&mut holder));
        let holder = match holder.trim() {
            "" => "another process".to_owned(),
            note => note.to_owned(),
        };
        Failure::new(Kind::Locked, format!("{} in use by {holder}", self.what)).hint(format!(
            "waited {}; --lock-wait 10m waits longer",
            units::Length(wait)
        ))
    }
}

fn note(file: &mut File, who: &str, now: &Zoned) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(
        file,
        "empire-maint {who} (process {}) since {}",
        std::process::id(),
        units::shown(now.timestamp(), now.time_zone())
    )
}

/// True when nobody holds a lock on the file at `path`: its owner is dead. A file that is not there was never locked.
pub fn is_free(path: &Path) -> std::io::Result<bool> {
    match File::open(path) {
        Ok(file) => Ok(file.try_lock_shared().is_ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    fn epoch() -> Zoned {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        jiff::Timestamp::UNIX_EPOCH.to_zoned(zone)
    }

    #[test]
    fn the_second_is_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock {
            path: folder.path().join("lock"),
            what: "the backups of app_db are".into(),
            optional: false,
            urgent: false,
        };
        let stop = Stop::after(Duration::from_secs(5));
        let held = lock
            .take("backup", Duration::ZERO, &epoch(), &stop)
            .expect("free");
        assert!(held.is_some());
        let error = lock
            .take("restore", Duration::ZERO, &epoch(), &stop)
            .expect_err("held");
        assert_eq!(kind_of(&error), Kind::Locked);
        let holder = format!(
            "the backups of app_db are in use by empire-maint backup (process {}) since 1970-01-01 02:00:00 +02:00",
            std::process::id()
        );
        assert_eq!(error.to_string(), holder);
        assert!(!is_free(&lock.path).expect("looks"));
        drop(held);
        assert!(is_free(&lock.path).expect("looks"));
    }
    #[test]
    fn only_an_urgent_one_asks_the_holder_to_make_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock {
            path: folder.path().join("lock"),
            what: "the backups of app_db are".into(),
            optional: false,
            urgent: false,
        };
        let stop = Stop::after(Duration::from_secs(20));
        let wait = |lock: Lock| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let long = Duration::from_secs(10);
                lock.take("backup", long, &epoch(), &stop).map(drop)
            })
        };
        let take = || {
            lock.take("optimize-db", Duration::ZERO, &epoch(), &stop)
                .expect("free")
                .expect("not optional")
        };
        let held = take();
        let patient = wait(lock.clone());
        std::thread::sleep(3 * POLL);
        assert!(!held.wanted());
        let urgent = wait(lock.clone().urgent());
        while !held.wanted() {
            stop.check().expect("it asks");
            std::thread::sleep(POLL / 10);
        }
        drop(held);
        urgent.join().expect("no panic").expect("gets it");
        patient.join().expect("no panic").expect("gets it");
        assert!(!take().wanted());
    }
}
