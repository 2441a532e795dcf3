//! The one place where a connection to a live database is made: safety switches, and the run's stop as progress and busy handler.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Failure, Kind, missing, refused};
use crate::sys::process::shell_path;
use crate::sys::{Stop, files, space};

const STEPS_BETWEEN_CHECKS: i32 = 20_000;
/// Of all connections that check one copy together.
const CACHE_KIB: usize = 20_480;
const MOST_AT_ONCE: usize = 4;

/// Opens for reading and never creates. A schema from outside is not trusted: no functions with side effects run from it.
pub fn open_readonly(path: &Path, stop: &Stop, patience: Duration) -> anyhow::Result<Connection> {
    require_database_file(path)?;
    let connection = open(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY, stop, patience)?;
    connection
        .execute_batch("PRAGMA query_only=ON")
        .map_err(|error| explain(error, path, stop))?;
    Ok(connection)
}

/// Opens for writing and never creates.
pub fn open_writable(path: &Path, stop: &Stop, patience: Duration) -> anyhow::Result<Connection> {
    require_database_file(path)?;
    open(
        path,
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        stop,
        patience,
    )
}

/// Opens for changes beside the application: foreign keys hold, and a commit is as durable as the database's mode makes it. What
/// relies on a commit being on the disk asks for `durable`; else a power cut may bring rows back, never lose one. The log is folded
/// in by [`super::Pace`], not by commits.
pub fn open_writer(
    path: &Path,
    stop: &Stop,
    patience: Duration,
    durable: bool,
) -> anyhow::Result<Connection> {
    let wrong = |error| explain(error, path, stop);
    let writer = open_writable(path, stop, patience)?;
    let mode: String = writer
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(wrong)?;
    let synchronous = match durable || !is_wal(&mode) {
        true => "FULL",
        false => "NORMAL",
    };
    writer
        .execute_batch(&format!(
            "PRAGMA foreign_keys=ON; PRAGMA synchronous={synchronous}; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=0"
        ))
        .map_err(wrong)?;
    Ok(writer)
}

/// Opens a copy that nobody else can be writing: no locks, and no side files made beside it.
pub fn open_private(path: &Path, stop: &Stop) -> anyhow::Result<Connection> {
    open_copy(path, CACHE_KIB, stop)
}

/// The same several times, to check it on several threads.
pub fn open_private_at_once(
    path: &Path,
    threads: usize,
    stop: &Stop,
) -> anyhow::Result<Vec<Connection>> {
    let threads = threads.clamp(1, MOST_AT_ONCE);
    (0..threads)
        .map(|_| open_copy(path, CACHE_KIB / threads, stop))
        .collect()
}

fn open_copy(path: &Path, cache_kib: usize, stop: &Stop) -> anyhow::Result<Connection> {
    let uri = private_uri(path);
    require_database_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = open(path, Path::new(&uri), flags, stop, Duration::ZERO)?;
    // integrity_check looks index entries up in their tables, all over the file.
    connection
        .execute_batch(&format!("PRAGMA cache_size=-{cache_kib}"))
        .map_err(|error| explain(error, path, stop))?;
    Ok(connection)
}

/// An empty database in memory, with the same limits and switches: a place to try something on a copy of a schema.
pub fn open_memory(stop: &Stop) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let name = Path::new(":memory:");
    open(name, name, flags, stop, Duration::ZERO)
}

/// `file:…?immutable=1`, with every byte that means something in a URI escaped (<https://sqlite.org/uri.html>).
fn private_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(*byte));
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn open(
    path: &Path,
    name: &Path,
    flags: OpenFlags,
    stop: &Stop,
    patience: Duration,
) -> anyhow::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(name, flags).map_err(|error| explain(error, path, stop))?;
    let watch = stop.clone();
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || watch.asked()))?;
    let watch = stop.clone();
    let mut since = None;
    connection.busy_handler(Some(move |attempt: i32| {
        let started = *match attempt {
            0 => since.insert(Instant::now()),
            _ => since.get_or_insert_with(Instant::now),
        };
        std::thread::sleep(Duration::from_millis(5));
        !watch.asked() && started.elapsed() < patience
    }))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection
        .execute_batch("PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY")
        .map_err(|error| explain(error, path, stop))?;
    Ok(connection)
}

/// Refuses, by `stat` alone, what cannot be a database: nothing there, no file, an empty one.
pub fn require_database_file(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let meta = files::metadata(path)?.ok_or_else(|| {
        missing(format!("there is no database {shown}"))
            .hint("the path stands in [[database]] of the configuration")
    })?;
    anyhow::ensure!(meta.is_file(), "{shown} is not a file");
    anyhow::ensure!(
        meta.len() > 0,
        "{shown} is empty (0 bytes), which is not a database"
    );
    require_plain_side_files(path)
}

/// Refuses what SQLite would open as a log or journal and wait for: a pipe, a device.
pub fn require_plain_side_files(path: &Path) -> anyhow::Result<()> {
    for side in side_files(path) {
        let plain = files::metadata(&side)?.is_none_or(|meta| meta.is_file());
        if !plain {
            return Err(refused(format!("{} is not a file", side.display()))
                .hint("SQLite keeps a file there: see who made it, and remove it")
                .into());
        }
    }
    Ok(())
}

/// What only the application has, in SQLite's words; `None` for any other error.
pub(super) fn is_the_applications(error: &rusqlite::Error) -> Option<String> {
    let message = error.to_string();
    [
        "no such collation sequence: ",
        "no such function: ",
        "unknown function: ",
    ]
    .into_iter()
    .find_map(|words| message.find(words))
    .map(|at| message[at..].to_owned())
}

/// The files that SQLite keeps beside a database: beside the file itself, where the path is a link to it.
pub fn side_files(path: &Path) -> [PathBuf; 3] {
    let real = path.is_symlink().then(|| std::fs::canonicalize(path).ok());
    let real = real.flatten().unwrap_or_else(|| path.to_owned());
    ["-wal", "-shm", "-journal"].map(|suffix| files::with_suffix(&real, suffix))
}

/// The size of the database that a header announces; `None` where the bytes are no SQLite header, 0 where it does not say, as after
/// a writer older than SQLite 3.7 (<https://sqlite.org/fileformat2.html#in_header_database_size>).
pub fn header_size(header: &[u8]) -> Option<u64> {
    let header: &[u8; 100] = header.get(..100)?.try_into().ok()?;
    if &header[..16] != b"SQLite format 3\0" {
        return None;
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size if size >= 512 && size.is_power_of_two() => u64::from(size),
        _ => return None,
    };
    if header[24..28] != header[92..96] {
        return Some(0);
    }
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    Some(page_size * u64::from(pages))
}

/// True for a journal mode, as SQLite names it, with a write-ahead log.
pub fn is_wal(journal_mode: &str) -> bool {
    journal_mode.eq_ignore_ascii_case("wal")
}

/// True where somebody else's lock stands in the way.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// True where the file is no database, or not any more.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// True for what a UNIQUE, NOT NULL, CHECK or foreign key refused.
pub fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// The same of an error on its way up, as long as nobody has explained it.
pub fn is_constraint_in(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<rusqlite::Error>()
        .is_some_and(is_constraint)
}

/// True where it failed for want of space. SQLite says so in many ways: most are a number of an I/O error.
pub fn is_disk_full(error: &rusqlite::Error, path: &Path) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            space::is_full(files::parent(path))
        }
        _ => false,
    }
}

/// An SQLite error in the operator's words, with the next step. An interruption is the stop that caused it.
pub fn explain(error: rusqlite::Error, path: &Path, stop: &Stop) -> anyhow::Error {
    let (shown, word) = (path.display(), shell_path(path));
    let code = error.sqlite_error_code();
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let full = is_disk_full(&error, path);
    let denied = matches!(
        code,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
    );
    let read_only = denied && files::is_read_only(path);
    let hint = match code {
        _ if extended == Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK) => Some(format!(
            "a transaction was cut short and has to be rolled back first: start the application, or: sqlite3 {word} .tables"
        )),
        _ if full => Some(format!("free some space: df -h {}", shell_path(files::parent(path)))),
        Some(ErrorCode::OperationInterrupted) => match stop.check() {
            Err(stopped) => return stopped.context(format!("reading {shown}")),
            Ok(()) => None,
        },
        Some(ErrorCode::DatabaseCorrupt) => Some(format!(
            "restore the newest verified backup: empire-maint restore; look first: sqlite3 -readonly {word} 'PRAGMA integrity_check'"
        )),
        Some(ErrorCode::NotADatabase) => {
            Some(format!("look at it: head -c 16 {word}; encrypted databases are not supported"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Some(format!("another process holds a lock: try again in a quiet minute, or find it with: fuser -v {word}"))
        }
        _ if read_only => Some(format!("findmnt -T {word}")),
        _ if denied => Some(
            "run as root or as the application's user: reading a WAL database needs write access to its directory"
                .to_owned(),
        ),
        _ if is_the_applications(&error).is_some() => Some(
            "only the application has it, so only the application can read or change this table"
                .to_owned(),
        ),
        _ => None,
    };
    let failure = Failure {
        kind: match is_damage(&error) {
            true => Kind::Damaged,
            false => Kind::Failed,
        },
        message: match (full, read_only) {
            (true, _) => format!("{shown}: the disk is full ({error})"),
            (_, true) => format!("{shown}: its file system is read-only ({error})"),
            _ => format!("{shown}: {error}"),
        },
        hint,
    };
    failure.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop() -> Stop {
        Stop::after(Duration::from_secs(60))
    }

    #[test]
    fn the_hint_about_a_lock_can_be_typed() {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let busy = rusqlite::Error::SqliteFailure(busy, None);
        let told = explain(busy, Path::new("/data/the app.db"), &stop());
        let hint = crate::error::hint_of(&told);
        assert!(hint.is_some_and(|hint| hint.ends_with("fuser -v '/data/the app.db'")));
    }

    #[test]
    fn nothing_is_ever_created() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("typo.db");
        assert!(open_readonly(&path, &stop(), Duration::ZERO).is_err());
        assert!(open_writable(&path, &stop(), Duration::ZERO).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_hostile_view_is_stopped_by_the_time_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bomb.db");
        let writer = Connection::open(&path).expect("creates");
        writer
            .execute_batch(
                "CREATE VIEW users AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c",
            )
            .expect("creates");
        let stop = Stop::after(Duration::from_millis(300));
        let connection = open_readonly(&path, &stop, Duration::ZERO).expect("opens");
        let error = connection
            .query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0))
            .map_err(|error| explain(error, &path, &stop))
            .expect_err("never ends by itself");
        assert_eq!(crate::error::kind_of(&error), Kind::TimeLimit);
    }

    #[test]
    fn the_header_announces_the_size() {
        let mut header = [0u8; 100];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        header[16] = 0x10;
        header[31] = 5;
        assert_eq!(header_size(&header), Some(5 * 4096));
        header[16..18].copy_from_slice(&[0, 1]);
        assert_eq!(header_size(&header), Some(5 * 65_536));
        header[27] = 9; // changed since by somebody who does not keep the size there
        assert_eq!(header_size(&header), Some(0));
        header[16..18].copy_from_slice(&[0, 3]);
        assert_eq!(header_size(&header), None);
    }
}
