//! A consistent view of a live database: one read transaction that streams the pages, and beside it two that see exactly the same
//! state, so that the SQL checks run while the pages are compressed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rusqlite::Connection;

use super::{explain, open_readonly, side_files};
use crate::error::{Failure, Kind, damaged};
use crate::sys::process::shell_path;
use crate::sys::scratch::Scratch;
use crate::sys::{Stop, files};
use crate::units::{self, Bytes, Length};

// The pages are read through SQLite itself (https://sqlite.org/dbpage.html); a build without it has no snapshot method.
const _: () = assert!(
    has_dbpage(option_env!("LIBSQLITE3_FLAGS")),
    "build with LIBSQLITE3_FLAGS=-DSQLITE_ENABLE_DBPAGE_VTAB, as .cargo/config.toml does"
);

const fn has_dbpage(flags: Option<&str>) -> bool {
    const NEEDLE: &[u8] = b"-DSQLITE_ENABLE_DBPAGE_VTAB";
    let Some(flags) = flags else { return false };
    let flags = flags.as_bytes();
    let mut start = 0;
    while start + NEEDLE.len() <= flags.len() {
        let mut at = 0;
        while at < NEEDLE.len() && flags[start + at] == NEEDLE[at] {
            at += 1;
        }
        if at == NEEDLE.len() {
            return true;
        }
        start += 1;
    }
    false
}

const PATIENCE: Duration = Duration::from_secs(30);
const PAIRING: Duration = Duration::from_secs(2);

/// What bounds a snapshot.
pub struct SnapshotOptions<'a> {
    /// Stop reading when the write-ahead log grows past this.
    pub max_wal: Bytes,
    /// How long writers of a database that is not in WAL mode may be held up.
    pub max_lock: Length,
    /// Where such a database is copied to first.
    pub scratch: &'a Path,
    /// Signals and time limits.
    pub stop: &'a Stop,
}

/// Why there is no snapshot of a database without a write-ahead log. Which option allows more, only the task knows.
#[derive(Debug, thiserror::Error)]
#[error("{} is not in WAL mode and its writers would wait {} (limit {limit})", path.display(), Length(*estimate))]
pub struct HoldsWriters {
    /// The database.
    pub path: PathBuf,
    /// How long they would wait.
    pub estimate: Duration,
    /// How long they may.
    pub limit: Length,
}

impl HoldsWriters {
    /// The command after which nobody waits.
    pub fn remedy(&self) -> String {
        format!(
            "sqlite3 {} 'PRAGMA journal_mode=WAL'",
            shell_path(&self.path)
        )
    }
}

/// One state of a database, held until dropped.
pub struct Snapshot {
    reader: Connection,
    /// None where writers never paused long enough to open equal views: the checks then run on the reader.
    checkers: Vec<Connection>,
    path: PathBuf,
    log: Arc<Log>,
    /// Ends what reads where the log grows too far.
    stop: Stop,
    page_size: usize,
    page_count: u64,
    journal_mode: String,
    held: Option<Duration>,
    _scratch: Option<Scratch>,
}

impl Snapshot {
    /// Opens the view. A database in WAL mode is read in place; any other is copied to scratch under its read lock first.
    pub fn take(path: &Path, options: &SnapshotOptions<'_>) -> anyhow::Result<Self> {
        let reader = open_readonly(path, options.stop, PATIENCE)?;
        let mode = text(&reader, "PRAGMA journal_mode", path, options.stop)?;
        if super::is_wal(&mode) {
            let mut snapshot = Self::view(path, options)?;
            snapshot.journal_mode = mode;
            return Ok(snapshot);
        }
        let scratch = Scratch::new(options.scratch)?;
        let (copy, file) = scratch.file("copy.db")?;
        let held = copy_locked(&reader, path, file, options)?;
        drop(reader);
        let mut snapshot = Self::view(&copy, options)?;
        snapshot.journal_mode = mode;
        snapshot.held = Some(held);
        snapshot._scratch = Some(scratch);
        Ok(snapshot)
    }

    fn view(path: &Path, options: &SnapshotOptions<'_>) -> anyhow::Result<Self> {
        let [wal, ..] = side_files(path);
        let log = Arc::new(Log::new(wal, options.max_wal)?);
        let watched = Arc::clone(&log);
        let stop = options.stop.unless(move || watched.grown());
        let (reader, checkers) = views(path, &stop)?;
        let (page_size, page_count) = pages_of(&reader, path, &stop)?;
        anyhow::ensure!(page_count > 0, "{} has no pages", path.display());
        Ok(Self {
            page_size,
            page_count,
            reader,
            checkers,
            path: path.to_owned(),
            log,
            stop,
            journal_mode: String::new(),
            held: None,
            _scratch: None,
        })
    }

    /// Refuses a database that lacks one of these tables, or has none.
    pub fn require_tables(&self, expected: &[String]) -> anyhow::Result<()> {
        super::require_tables(&self.reader, &self.path, expected, &self.stop)
    }

    /// One of the connections, to look through while nothing is split.
    pub fn connection(&self) -> &Connection {
        &self.reader
    }

    /// All connections that see this state, to check it with.
    pub fn connections(&mut self) -> Vec<&mut Connection> {
        std::iter::once(&mut self.reader)
            .chain(&mut self.checkers)
            .collect()
    }

    /// Bytes of the whole database in this state.
    pub fn size(&self) -> u64 {
        self.page_count * self.page_size as u64
    }

    /// `wal`, `delete`, …: what the database itself uses.
    pub fn journal_mode(&self) -> &str {
        &self.journal_mode
    }

    /// How long writers were held up, where they were.
    pub fn writers_held(&self) -> Option<Duration> {
        self.held
    }

    /// The two halves, to be used on two threads.
    pub fn split(&mut self) -> (Pages<'_>, Checks<'_>) {
        let checks = match self.checkers.is_empty() {
            false => Checks::Beside(self.checkers.iter_mut().collect()),
            true => Checks::Afterwards,
        };
        let pages = Pages {
            connection: &mut self.reader,
            path: &self.path,
            stop: &self.stop,
            page_size: self.page_size,
            page_count: self.page_count,
        };
        (pages, checks)
    }

    /// What ends the reading: of the run, and a log that grows too far, since nothing can be folded in while this state is held.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The largest that the write-ahead log was seen at, bytes.
    pub fn wal_peak(&self) -> u64 {
        self.log.grown();
        self.log.peak.load(Ordering::Relaxed)
    }

    /// The file that SQLite reads, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the SQL checks run.
pub enum Checks<'a> {
    /// On further connections that see the same state, at the same time.
    Beside(Vec<&'a mut Connection>),
    /// On the reader, once the pages are through.
    Afterwards,
}

/// The pages of a snapshot.
pub struct Pages<'a> {
    connection: &'a mut Connection,
    path: &'a Path,
    stop: &'a Stop,
    page_size: usize,
    page_count: u64,
}

impl Pages<'_> {
    /// Writes every page in order; errs when one is missing, or when the reader makes the write-ahead log grow too far.
    pub fn write_to(&mut self, sink: &mut dyn Write) -> anyhow::Result<()> {
        self.stop.check()?;
        let mut looked = Instant::now();
        stream(
            self.connection,
            self.path,
            self.stop,
            self.page_size,
            self.page_count,
            |page| {
                if looked.elapsed() >= Duration::from_secs(1) {
                    looked = Instant::now();
                    self.stop.check()?;
                }
                sink.write_all(page)?;
                Ok(())
            },
        )
    }

    /// Ends this half of the view, once nothing is to be read from it any more.
    pub fn release(&mut self) -> anyhow::Result<()> {
        self.connection
            .execute_batch("ROLLBACK")
            .map_err(|error| explain(error, self.path, self.stop))
    }

    /// The connection, once the pages are through.
    pub fn connection(&mut self) -> &mut Connection {
        self.connection
    }
}

/// The write-ahead log while a state is held.
struct Log {
    wal: PathBuf,
    /// It never shrinks while the application runs: one that was large before is not ours to answer for.
    before: u64,
    most: Bytes,
    peak: AtomicU64,
}

impl Log {
    fn new(wal: PathBuf, most: Bytes) -> anyhow::Result<Self> {
        let before = files::metadata(&wal)?.map_or(0, |meta| meta.len());
        Ok(Self {
            wal,
            before,
            most,
            peak: AtomicU64::new(before),
        })
    }

    /// Why the reading has to end. A log that cannot be looked at is no reason: SQLite itself has it open.
    fn grown(&self) -> Option<Failure> {
        let size = files::metadata(&self.wal).ok()??.len();
        self.peak.fetch_max(size, Ordering::Relaxed);
        if size <= self.most.0.max(self.before) {
            return None;
        }
        let failure = Failure::new(
            Kind::Failed,
            format!(
                "{} grew from {} to {} while the database was read (limit {})",
                self.wal.display(),
                Bytes(self.before),
                Bytes(size),
                self.most
            ),
        );
        Some(failure.hint("run the backup in a quieter hour, or raise [backup] max_wal"))
    }
}

fn stream(
    connection: &Connection,
    path: &Path,
    stop: &Stop,
    page_size: usize,
    page_count: u64,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let wrong = |error| explain(error, path, stop);
    let mut statement = connection
        .prepare("SELECT pgno, data FROM sqlite_dbpage('main')")
        .map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let mut expected = 1;
    while let Some(row) = rows.next().map_err(wrong)? {
        let number: i64 = row.get(0).map_err(wrong)?;
        let page = row.get_ref(1).map_err(wrong)?;
        let page = page.as_blob().context("a page is not a blob")?;
        anyhow::ensure!(
            u64::try_from(number) == Ok(expected) && page.len() == page_size,
            "{}: page {expected} is missing from the snapshot",
            path.display()
        );
        expected += 1;
        each(page)?;
    }
    anyhow::ensure!(
        expected - 1 == page_count,
        "{}: the snapshot has {} of {page_count} pages",
        path.display(),
        expected - 1
    );
    Ok(())
}

/// Read transactions on one state. A further connection proves it: `data_version` changes with every commit of somebody else
/// (<https://sqlite.org/pragma.html#pragma_data_version>), so where it is the same before and after all began, nothing came between.
fn views(path: &Path, stop: &Stop) -> anyhow::Result<(Connection, Vec<Connection>)> {
    let open = || open_readonly(path, stop, PATIENCE);
    let (witness, reader, checkers) = (open()?, open()?, vec![open()?, open()?]);
    let wrong = |error| explain(error, path, stop);
    let version = || witness.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
    let started = Instant::now();
    loop {
        let before = version().map_err(wrong)?;
        for connection in checkers.iter().chain([&reader]) {
            begin(connection).map_err(wrong)?;
        }
        if version().map_err(wrong)? == before {
            return Ok((reader, checkers));
        }
        if started.elapsed() > PAIRING {
            return Ok((reader, Vec::new()));
        }
        stop.check()?;
        for connection in checkers.iter().chain([&reader]) {
            connection.execute_batch("ROLLBACK").map_err(wrong)?;
        }
    }
}

/// The size of a page and how many there are, inside a transaction. SQLite reads what a file lacks of its last page as zeros, and no
/// check of its own sees them: such a database is refused, unless its log holds that page.
fn pages_of(connection: &Connection, path: &Path, stop: &Stop) -> anyhow::Result<(usize, u64)> {
    let wrong = |error| explain(error, path, stop);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let page_size = usize::try_from(number("PRAGMA page_size").map_err(wrong)?)?;
    let page_count = number("PRAGMA page_count").map_err(wrong)?;
    let cut = || -> anyhow::Result<Option<usize>> {
        let length = files::metadata(path)?.map_or(0, |meta| meta.len());
        let before = u64::try_from(page_count - 1).unwrap_or(0) * page_size as u64;
        let there = usize::try_from(length.saturating_sub(before))?;
        Ok((1..page_size).contains(&there).then_some(there))
    };
    // A checkpoint may be writing just that page.
    if cut()?.is_some() {
        std::thread::sleep(Duration::from_millis(50));
    }
    if let Some(there) = cut()? {
        let zeros = connection
            .query_row(
                "SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1",
                [page_count],
                |row| {
                    Ok(row.get_ref(0)?.as_blob()?[there..]
                        .iter()
                        .all(|byte| *byte == 0))
                },
            )
            .map_err(wrong)?;
        if zeros {
            return Err(damaged(format!(
                "{} ends in the middle of its last page, {} too early",
                path.display(),
                units::count((page_size - there) as u64, "byte")
            ))
            .hint("it was cut off, by a full disk or a copy that did not end: empire-maint restore")
            .into());
        }
    }
    Ok((page_size, u64::try_from(page_count)?))
}

/// BEGIN alone takes no snapshot; the first read does.
fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// Copies a database that is not in WAL mode, as fast as the disk allows, while its writers wait. Refuses when they would wait too long.
fn copy_locked(
    connection: &Connection,
    path: &Path,
    copy: File,
    options: &SnapshotOptions<'_>,
) -> anyhow::Result<Duration> {
    let wrong = |error| explain(error, path, options.stop);
    begin(connection).map_err(wrong)?;
    let started = Instant::now();
    let (page_size, page_count) = pages_of(connection, path, options.stop)?;
    crate::sys::space::require(
        options.scratch,
        page_count * page_size as u64,
        "a copy of the database",
    )?;
    let mut sink = std::io::BufWriter::with_capacity(1 << 20, copy);
    let (mut done, mut looked) = (0u64, 0u64);
    stream(
        connection,
        path,
        options.stop,
        page_size,
        page_count,
        |page| {
            done += 1;
            if done - looked >= 1024 {
                looked = done;
                options.stop.check()?;
                let elapsed = started.elapsed();
                let estimate = elapsed.mul_f64(page_count as f64 / done as f64);
                let known = Duration::from_millis(100).min(options.max_lock.0);
                if elapsed > known && estimate > options.max_lock.0 {
                    return Err(HoldsWriters {
                        path: path.to_owned(),
                        estimate,
                        limit: options.max_lock,
                    }
                    .into());
                }
            }
            sink.write_all(page)?;
            Ok(())
        },
    )?;
    connection.execute_batch("ROLLBACK").map_err(wrong)?;
    let held = started.elapsed();
    sink.flush()?;
    Ok(held)
}

fn text(connection: &Connection, sql: &str, path: &Path, stop: &Stop) -> anyhow::Result<String> {
    connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(|error| explain(error, path, stop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn options<'a>(scratch: &'a Path, stop: &'a Stop) -> SnapshotOptions<'a> {
        SnapshotOptions {
            max_wal: Bytes(1 << 30),
            max_lock: Length::from_millis(5000),
            scratch,
            stop,
        }
    }

    #[test]
    fn both_halves_see_one_state_while_a_writer_commits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("live.db");
        let writer = Connection::open(&path).expect("creates");
        writer
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t(n); INSERT INTO t VALUES (0)")
            .expect("sets up");
        let done = AtomicBool::new(false);
        let stop = Stop::after(Duration::from_secs(60));
        std::thread::scope(|scope| {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    writer
                        .execute("UPDATE t SET n = n + 1", [])
                        .expect("writes");
                }
            });
            let mut paired = 0;
            for _ in 0..200 {
                let (reader, checkers) = views(&path, &stop).expect("opens");
                if checkers.is_empty() {
                    continue;
                }
                let value = |connection: &Connection| {
                    connection
                        .query_row("SELECT n FROM t", [], |row| row.get::<_, i64>(0))
                        .expect("reads")
                };
                for checker in &checkers {
                    assert_eq!(value(&reader), value(checker));
                }
                paired += 1;
            }
            done.store(true, Ordering::Relaxed);
            assert!(paired > 100, "only {paired} of 200 saw one state");
        });
    }

    /// Its own integrity check calls that database fine.
    #[test]
    fn a_last_page_that_is_cut_off_is_damage_unless_the_log_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let stop = Stop::after(Duration::from_secs(60));
        for mode in ["WAL", "DELETE"] {
            let path = folder.path().join(format!("{mode}.db"));
            let writer = Connection::open(&path).expect("creates");
            let sql = format!(
                "PRAGMA journal_mode={mode}; CREATE TABLE t(x); INSERT INTO t VALUES (printf('%.3000c', 'x'))"
            );
            writer.execute_batch(&sql).expect("sets up");
            drop(writer);
            let size = std::fs::metadata(&path).expect("is there").len();
            let cut = || {
                let file = File::options().write(true).open(&path).expect("opens");
                file.set_len(size - 7).expect("is cut");
            };
            cut();
            let found = Connection::open(&path).expect("opens");
            let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
            let said = found.query_row("PRAGMA integrity_check", [], check);
            assert_eq!(said.expect("checks"), "ok");
            let error = Snapshot::take(&path, &options(folder.path(), &stop)).map(|_| ());
            let error = error.expect_err("its text would end in zeros");
            assert!(error.to_string().contains("7 bytes too early"), "{error}");
            if mode == "WAL" {
                let text = "UPDATE t SET x = printf('%.3000c', 'y')";
                found.execute(text, []).expect("into the log");
                cut();
                Snapshot::take(&path, &options(folder.path(), &stop)).expect("is whole");
            }
        }
    }

    #[test]
    fn the_pages_are_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        for (size, mode) in [(512, "WAL"), (4096, "DELETE"), (65_536, "WAL")] {
            let path = folder.path().join(format!("{size}.db"));
            let writer = Connection::open(&path).expect("creates");
            writer
                .execute_batch(&format!(
                    "PRAGMA page_size={size}; PRAGMA journal_mode={mode}; CREATE TABLE t(x);
                     WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n<2000)
                     INSERT INTO t SELECT randomblob(100) FROM c;"
                ))
                .expect("fills");
            let stop = Stop::after(Duration::from_secs(60));
            let mut snapshot =
                Snapshot::take(&path, &options(folder.path(), &stop)).expect("is taken");
            assert_eq!(snapshot.writers_held().is_some(), mode == "DELETE");
            let mut bytes = Vec::new();
            snapshot.split().0.write_to(&mut bytes).expect("streams");
            drop(snapshot);
            writer
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .expect("checkpoints");
            drop(writer);
            let stored = std::fs::read(&path).expect("reads");
            assert!(bytes == stored, "page size {size}, {mode}");
        }
    }
}
