//! One database into its backup: a snapshot, compressed while its SQL checks run beside.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::series::{About, Outcome, Work};
use crate::archive::{self, Checks, Content, Source, Verified, Writing};
use crate::error::{self, Failure, Kind};
use crate::journal;
use crate::report::{Finding, Permit, Severity, Step, Unit};
use crate::sqlite::{self, Facts, HoldsWriters, Snapshot, SnapshotOptions};
use crate::sys::files;
use crate::sys::process::shell_path;
use crate::units::Length;

/// How long a dry run waits for those who work with the database.
const BUSY: Duration = Duration::from_secs(5);
const SAME_DEVICE: &str = "backup.same-device";

impl Work<'_> {
    pub(super) fn journal(&self) -> Source {
        Source {
            name: archive::JOURNAL.to_owned(),
            path: journal::path(&self.context.state),
            expect_tables: vec!["runs".to_owned()],
            freshness: BTreeMap::new(),
        }
    }

    /// The first run that is not dry begins the journal, and takes it along.
    pub(super) fn plan_first_journal(&self) -> anyhow::Result<()> {
        let (folder, now) = (&self.store.folder, self.context.now);
        let name = archive::free_name(folder, archive::JOURNAL, now, Content::Sqlite)?;
        let step = Step {
            kind: "backup",
            target: name.gz(folder).display().to_string(),
            reason: "begun by the first run".into(),
        };
        self.report.act(step, |_| Ok(())).map(|_| ())
    }

    /// One database, from the space check to retention.
    pub(super) fn database(&self, source: &Source) -> anyhow::Result<Option<Outcome>> {
        files::require_own_links(&source.path, self.root)?;
        sqlite::require_database_file(&source.path)?;
        self.note_same_device(source)?;
        let likely = files::metadata(&source.path)?.map_or(0, |meta| meta.len());
        if self.context.dry_run {
            self.require_right_database(source)?;
        }
        self.series(
            &source.name,
            Content::Sqlite,
            likely,
            |permit, name, previous| {
                archive::swap::report_unfinished(self.report, &source.name, &source.path);
                let mut snapshot = Snapshot::take(
                    &source.path,
                    &SnapshotOptions {
                        max_wal: self.settings.max_wal,
                        max_lock: self.settings.max_lock,
                        scratch: &self.store.folder,
                        stop: &self.context.stop,
                    },
                )
                .map_err(names_the_limit)?;
                let taken_at = self.context.moment();
                snapshot.require_tables(&source.expect_tables)?;
                if let Some(held) = snapshot.writers_held() {
                    self.report.find(
                        Finding::new(
                            "backup.not-wal",
                            Severity::Low,
                            &source.name,
                            format!(
                                "{} is not in WAL mode: its writers had to wait {}",
                                source.path.display(),
                                Length(held)
                            ),
                        )
                        .hint(format!(
                            "sqlite3 {} 'PRAGMA journal_mode=WAL'",
                            shell_path(&source.path)
                        )),
                    );
                }
                let total = snapshot.size();
                let journal_mode = snapshot.journal_mode().to_owned();
                let shown = format!("backing up {}", source.name);
                let progress = |done: u64| self.report.progress(done, total, Unit::Bytes, &shown);
                let writing = self.writing(name, previous, &progress);
                let checked = compress_and_check(permit, writing, &mut snapshot, source)?;
                drop(snapshot); // the write-ahead log may be folded in again from here on
                let Checked {
                    verified,
                    facts,
                    took,
                    wal_peak,
                } = checked;
                let read = verified.written().plain.size;
                anyhow::ensure!(read == total, "{read} of {total} bytes were read");
                self.report.measure(
                    "backup_wal_peak_bytes",
                    wal_peak as f64,
                    "bytes",
                    [("database", source.name.as_str())],
                );
                let about = About {
                    taken_at,
                    source: source.path.display().to_string(),
                    content: Content::Sqlite,
                    journal_mode: Some(journal_mode),
                    checks: Checks {
                        integrity: facts.checked_by("quick_check"),
                        expected_tables: source.expect_tables.clone(),
                    },
                    database: Some(facts),
                    checks_took: took,
                };
                Ok((verified, about))
            },
        )
    }

    /// What a run would refuse before it reads the pages.
    fn require_right_database(&self, source: &Source) -> anyhow::Result<()> {
        let (path, stop) = (&source.path, &self.context.stop);
        let connection = sqlite::open_readonly(path, stop, BUSY)?;
        sqlite::require_tables(&connection, path, &source.expect_tables, stop)
    }

    /// Said once: a backup on the disk of its database does not survive that disk.
    fn note_same_device(&self, source: &Source) -> anyhow::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let key = format!("same-device {}", source.name);
        let device = |path: &Path| files::metadata(path).map(|meta| meta.map(|meta| meta.dev()));
        let (data, backups) = (device(&source.path)?, device(&self.store.folder)?);
        if source.name == archive::JOURNAL || data.is_none() {
            return Ok(());
        }
        if data != backups {
            self.report.examined(SAME_DEVICE, &source.name);
            return Ok(());
        }
        self.report.remember(key.clone(), true);
        if self.context.recall(&key).is_none() {
            self.report.find(
                Finding::new(
                    SAME_DEVICE,
                    Severity::Low,
                    &source.name,
                    format!(
                        "{} and its backups are on one device: a copy elsewhere is missing (said once)",
                        source.path.display()
                    ),
                )
                .hint("copy the backup folder to another machine, or set [backup] dir to another disk"),
            );
        }
        Ok(())
    }
}

/// A draft that was read back, and what was found to be true of the database meanwhile.
struct Checked {
    verified: Verified,
    facts: Facts,
    took: Duration,
    wal_peak: u64,
}

/// The pages go through the compressor, and what it wrote is read back, while the SQL checks run on a second view of the same state.
fn compress_and_check(
    permit: &Permit,
    writing: Writing<'_>,
    snapshot: &mut Snapshot,
    source: &Source,
) -> anyhow::Result<Checked> {
    let (path, stop) = (snapshot.path().to_owned(), snapshot.stop().clone());
    let (mut pages, checks) = snapshot.split();
    let timed = |connections: &mut [&mut rusqlite::Connection]| {
        let started = Instant::now();
        let facts = sqlite::facts(connections, &path, &source.freshness, &stop)?;
        anyhow::Ok((facts, started.elapsed()))
    };
    let (verified, checked) = match checks {
        sqlite::SnapshotChecks::Beside(mut connections) => std::thread::scope(|scope| {
            let timed = &timed;
            let checking = scope.spawn(move || {
                let checked = timed(&mut connections)?;
                // From here on nothing of the log is held for the checks.
                for connection in connections {
                    connection.execute_batch("ROLLBACK")?;
                }
                Ok(checked)
            });
            let verified = archive::write(permit, writing, |sink| {
                pages.write_to(sink)?;
                pages.release()
            });
            let checked = checking
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the SQL checks panicked")));
            (verified, checked)
        }),
        sqlite::SnapshotChecks::Afterwards => {
            let verified = archive::write(permit, writing, |sink| pages.write_to(sink));
            let checked = timed(&mut [pages.connection()])
                .and_then(|checked| pages.release().map(|()| checked));
            (verified, checked)
        }
    };
    let (verified, (facts, took)) = keep_if_sound(permit, verified, checked)?;
    Ok(Checked {
        verified,
        facts,
        took,
        wal_peak: snapshot.wal_peak(),
    })
}

/// A database that fails its checks leaves no draft; its corruption is a better reason than whatever else went wrong.
fn keep_if_sound(
    permit: &Permit,
    verified: anyhow::Result<Verified>,
    checked: anyhow::Result<(Facts, Duration)>,
) -> anyhow::Result<(Verified, (Facts, Duration))> {
    match (verified, checked) {
        (Ok(verified), Ok(checked)) => Ok((verified, checked)),
        (Ok(verified), Err(error)) => {
            verified.discard(permit);
            Err(error)
        }
        // One reason ended both.
        (Err(error), Err(check)) if format!("{check:#}").ends_with(&format!("{error:#}")) => {
            Err(error)
        }
        (Err(error), Err(check)) if !error::ends_the_run(&error) => {
            Err(check.context(format!("{error:#}")))
        }
        (Err(error), _) => Err(error),
    }
}

/// Says which limit it was, where the writers would have waited too long.
fn names_the_limit(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<HoldsWriters>() {
        Ok(held) => {
            let message =
                format!("{held}; WAL mode needs to be set once, or [backup] max_lock raised");
            let failure = Failure::new(Kind::Failed, message);
            failure.hint(held.remedy()).into()
        }
        Err(error) => error,
    }
}
