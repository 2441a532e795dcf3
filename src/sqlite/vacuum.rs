//! A rehearsal of `VACUUM`: on a copy, beside the database, so that its gain, its time and what it does to rowids are known before
//! a writer has to wait for it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::layout::Layout;
use super::rowids::{bare_tables, column_digest, rowid_digest};
use super::writer::{Held, Writer};
use super::{explain, open_writable};
use crate::sys::{Stop, files};

/// Bytes a second that a slow disk surely reads and writes.
const SLOW_PACE: f64 = (32 << 20) as f64;

/// What a rehearsal showed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Bytes of the database afterwards.
    pub bytes: u64,
    /// Time to build the copy: what can be stopped.
    pub build: Duration,
    /// Time to copy it back: what cannot.
    pub copy_back: Duration,
    /// Indexed tables without an `INTEGER PRIMARY KEY` whose rowids changed, and the one whose ids did: none, with the SQLite that
    /// is built in.
    pub moved: Vec<String>,
}

impl Rehearsal {
    /// How long it will hold the write lock: both parts, and a quarter more for the one that cannot be stopped.
    pub fn lock_estimate(&self) -> Duration {
        self.build + self.margin()
    }

    /// How long the build may take, so that the copying back ends within `most`.
    pub fn build_within(&self, most: Duration) -> Duration {
        most.saturating_sub(self.margin())
    }

    fn margin(&self) -> Duration {
        self.copy_back.mul_f64(1.25)
    }
}

/// Builds the copy at `copy` from the live database with that layout, then vacuums that. Writers go on meanwhile where there
/// is a write-ahead log; else they wait. Given up when the copy alone is not built within `most`, and then told how long
/// it would take. `ids`: a table and its column that something outside relies on.
pub fn rehearse(
    writer: &mut Writer,
    copy: &Path,
    layout: &Layout,
    most: Duration,
    ids: Option<(&str, &str)>,
    stop: &Stop,
) -> anyhow::Result<Held<Rehearsal>> {
    let length =
        || -> std::io::Result<u64> { Ok(files::metadata(copy)?.map_or(0, |meta| meta.len())) };
    let build = match writer.copy_to(copy, most)? {
        Held::Done((), took) => took,
        Held::Busy => return Ok(Held::Busy),
        Held::TooLong(took) => {
            let (part, size) = (length()? as f64, layout.used_bytes() as f64);
            // Half of it goes into building the copy. What little was written in a moment tells nothing of the pace.
            let seconds = match part > size / 20.0 {
                true => took.as_secs_f64() * 2.0 * size / part,
                false => 2.0 * size / SLOW_PACE,
            };
            return Ok(Held::TooLong(took.max(Duration::from_secs_f64(seconds))));
        }
    };
    let wrong = |error| explain(error, copy, stop);
    let bytes = length()?;
    let mut connection = open_writable(copy, stop, Duration::ZERO)?;
    let tables = bare_tables(&connection).map_err(wrong)?;
    let tables: Vec<_> = tables.into_iter().filter(|table| table.indexed).collect();
    let digests = |connection: &Connection| -> rusqlite::Result<Vec<_>> {
        tables
            .iter()
            .map(|table| rowid_digest(connection, &table.name))
            .collect()
    };
    let of_ids = |connection: &Connection| -> rusqlite::Result<_> {
        ids.map(|(table, column)| column_digest(connection, table, column))
            .transpose()
    };
    let before = digests(&connection).map_err(wrong)?;
    let ids_before = of_ids(&connection).map_err(wrong)?;
    let (rest, took) = vacuum(&mut connection, writer.has_wal(), stop).map_err(wrong)?;
    let after = digests(&connection).map_err(wrong)?;
    let mut moved: Vec<_> = tables
        .iter()
        .zip(before.iter().zip(after))
        .filter(|(_, (before, after))| *before != after)
        .map(|(table, _)| table.name.clone())
        .collect();
    if of_ids(&connection).map_err(wrong)? != ids_before {
        moved.extend(ids.map(|(table, _)| table.to_owned()));
    }
    // Without a write-ahead log the old pages are saved first, and there are more of those in the live database.
    let more = match writer.has_wal() {
        true => 1.0,
        false => layout.bytes() as f64 / bytes.max(1) as f64,
    };
    Ok(Held::Done(
        Rehearsal {
            bytes,
            build,
            copy_back: rest.mul_f64(more),
            moved,
        },
        took,
    ))
}

/// How long the copying back took, and the whole. The last step of SQLite's machine that was seen was the end of the build.
fn vacuum(
    connection: &mut Connection,
    wal: bool,
    stop: &Stop,
) -> rusqlite::Result<(Duration, Duration)> {
    // The copy is ours alone: what its end leaves does not matter, so it needs no journal where the live one has none to sync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    connection.execute_batch(match wal {
        true => "PRAGMA temp_store=FILE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF",
        false => "PRAGMA temp_store=FILE; PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL",
    })?;
    let started = Instant::now();
    let built = Arc::new(Mutex::new(started));
    let (seen, watch) = (Arc::clone(&built), stop.clone());
    connection.progress_handler(
        10,
        Some(move || {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            watch.asked()
        }),
    )?;
    let done = connection.execute_batch("VACUUM");
    let whole = started.elapsed();
    connection.progress_handler(0, None::<fn() -> bool>)?;
    done?;
    let built = *built.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((whole.saturating_sub(built - started), whole))
}
