//! What `PRAGMA integrity_check` checks, on all connections that see one state: each takes the next part. A table is checked by SQLite but for
//! its indexes, and these beside it (`entries`); where that cannot be, the pragma does all of it.
//!
//! The check of one table leaves out what only the whole file can say: that every page belongs to exactly one table, index or the
//! list of free pages (`pages`). A database with `auto_vacuum` has a map of its pages besides, which only the whole check knows: it is
//! checked by one connection.
//!
//! Where the application defines a collation or a function that the schema uses, SQLite refuses the check of everything. Then each
//! table is checked for itself, and what cannot be is named: nobody takes it for checked.

mod entries;
mod order;
mod pages;
mod partial;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use self::entries::Entries;
use self::pages::pages;
use self::partial::partial;
use super::at_once::at_once;
use super::open::is_the_applications;
use super::{explain, quote};
use crate::error::{Failure, Kind};
use crate::sys::Stop;
use crate::sys::process::shell_path;

/// As many problems as the pragma itself lists.
const MOST: usize = 100;

/// What a check says.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Every problem that there is, up to a hundred; none in a sound database.
    pub problems: Vec<String>,
    /// Values that NOT NULL or a CHECK would not take today: the application's data as it is, and no damage.
    pub violations: u64,
    /// Tables of which only the pages could be looked at, and why.
    pub unchecked: BTreeMap<String, String>,
    /// Rows of the tables where the check has counted them.
    pub rows: BTreeMap<String, u64>,
}

/// `quick_check` on one connection.
pub(super) fn quick(connection: &Connection) -> rusqlite::Result<Verdict> {
    let found = check(connection, "PRAGMA main.quick_check");
    or_table_by_table(found, connection, "quick_check")?.apart(connection, "quick_check")
}

/// `integrity_check` on all connections, which see one state.
pub(super) fn full(
    connections: &mut [&mut Connection],
    path: &Path,
    stop: &Stop,
) -> anyhow::Result<Verdict> {
    let mut rows = BTreeMap::new();
    let found = match connections {
        [] => anyhow::bail!("no connection to check {} with", path.display()),
        [one, ..] if number(one, "auto_vacuum").unwrap_or(1) != 0 => whole(one),
        _ => in_its_own_words(in_parts(connections, &mut rows), connections),
    };
    let first = &connections[0];
    or_table_by_table(found, first, "integrity_check")
        .and_then(|verdict| verdict.apart(first, "integrity_check"))
        .and_then(|mut verdict| {
            if verdict.problems.is_empty() {
                verdict.problems = partial(first)?;
            }
            Ok(Verdict { rows, ..verdict })
        })
        .map_err(|error| explain(error, path, stop))
}

impl Verdict {
    /// Damage apart from violations. The pragma says no more than a hundred things: where all of them are violations, there may be
    /// damage behind them.
    fn apart(mut self, connection: &Connection, pragma: &str) -> rusqlite::Result<Self> {
        let said = self.problems.len();
        self.problems.retain(|problem| !is_violation(problem));
        self.violations = (said - self.problems.len()) as u64;
        if said < MOST || !self.problems.is_empty() || !self.unchecked.is_empty() {
            return Ok(self);
        }
        self.violations = 0;
        let mut statement = connection.prepare(&format!("PRAGMA main.{pragma}({})", i32::MAX))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let problem: String = row.get(0)?;
            match is_violation(&problem) {
                true => self.violations += 1,
                false if self.problems.len() < MOST => self.problems.push(problem),
                false => {}
            }
        }
        Ok(self)
    }

    fn of(problems: Vec<String>) -> Self {
        Self {
            problems,
            ..Self::default()
        }
    }
}

/// In SQLite's words.
fn is_violation(problem: &str) -> bool {
    problem.starts_with("NULL value in ") || problem.starts_with("CHECK constraint failed in ")
}

fn or_table_by_table(
    found: rusqlite::Result<Vec<String>>,
    connection: &Connection,
    pragma: &str,
) -> rusqlite::Result<Verdict> {
    match found {
        Err(error) if is_the_applications(&error).is_some() => {}
        found => return found.map(Verdict::of),
    }
    let mut verdict = Verdict::of(pages(connection)?);
    for table in tables(connection)? {
        let sql = format!("PRAGMA main.{pragma}({})", quote(&table));
        match check(connection, &sql) {
            Ok(problems) => verdict.problems.extend(problems),
            Err(error) => {
                let reason = is_the_applications(&error).ok_or(error)?;
                verdict.unchecked.insert(table, reason);
            }
        }
    }
    verdict.problems.truncate(MOST);
    Ok(verdict)
}

/// What was found in parts is told as SQLite tells it of the whole.
fn in_its_own_words(
    found: rusqlite::Result<Vec<String>>,
    connections: &[&mut Connection],
) -> rusqlite::Result<Vec<String>> {
    let damaged = match &found {
        Ok(problems) => !problems.is_empty(),
        Err(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
    };
    match connections
        .first()
        .filter(|_| damaged)
        .map(|one| whole(one))
    {
        Some(Ok(words)) if !words.is_empty() => Ok(words),
        _ => found,
    }
}

/// What a corrupt database is called, with its first problems.
pub(super) fn damage(path: &Path, problems: &[String]) -> Failure {
    let shown: Vec<_> = problems.iter().take(3).map(String::as_str).collect();
    Failure::new(
        Kind::Damaged,
        format!(
            "{} is corrupt ({} problems): {}",
            path.display(),
            problems.len(),
            shown.join("; ")
        ),
    )
    .hint(format!(
        "keep the file; the newest verified backup: empire-maint backup list; look: sqlite3 -readonly {} 'PRAGMA integrity_check'",
        shell_path(path)
    ))
}

fn whole(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    check(connection, "PRAGMA main.integrity_check")
}

fn check(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut found: Vec<String> = connection
        .prepare(pragma)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    found.retain(|problem| problem != "ok");
    Ok(found)
}

/// A part of the check.
enum Work {
    /// That every page is somebody's.
    Pages,
    /// SQLite's own check of a table.
    Pragma(String),
    /// Rows or an index of a table, by its number.
    Rows(usize, (i64, i64)),
    Index(usize, usize),
}

/// The parts, and of a table that is suspect then SQLite's own look at its indexes, which has the last word.
fn in_parts(
    connections: &mut [&mut Connection],
    rows: &mut BTreeMap<String, u64>,
) -> rusqlite::Result<Vec<String>> {
    let (mut found, tables) = shared(connections)?;
    for entries in tables.iter().filter(|entries| entries.is_suspect()) {
        let sql = format!("PRAGMA main.integrity_check({})", quote(entries.table()));
        found.extend(check(connections[0], &sql)?);
    }
    found.truncate(MOST);
    rows.extend(tables.into_iter().map(Entries::rows));
    Ok(found)
}

/// On all connections; what takes long first.
fn shared(connections: &mut [&mut Connection]) -> rusqlite::Result<(Vec<String>, Vec<Entries>)> {
    let Some(first) = connections.first() else {
        return Ok(Default::default());
    };
    let (parts, tables) = parts(first)?;
    let found = at_once(connections, parts, |connection, part| match part {
        Work::Pages => pages(connection),
        Work::Pragma(sql) => check(connection, &sql),
        Work::Rows(table, range) => tables[table].add_rows(connection, range).map(|()| vec![]),
        Work::Index(table, index) => tables[table].add_index(connection, index).map(|()| vec![]),
    })?;
    Ok((found.into_iter().flatten().collect(), tables))
}

/// All that has to be done for the file and for every table, what takes long first: by the newest rowid, which says enough about a
/// table's size.
fn parts(connection: &Connection) -> rusqlite::Result<(Vec<Work>, Vec<Entries>)> {
    let (mut found, mut entries) = (vec![(i64::MAX, Work::Pages)], Vec::new());
    for table in tables(connection)? {
        let name = quote(&table);
        let Some(own) = Entries::of(connection, &table)? else {
            let newest: rusqlite::Result<Option<i64>> =
                connection.query_row(&format!("SELECT max(rowid) FROM main.{name}"), [], |row| {
                    row.get(0)
                });
            // A column may hide the rowid, a table may have none.
            let rows = newest.ok().flatten().unwrap_or(i64::MAX).max(0);
            found.push((
                rows,
                Work::Pragma(format!("PRAGMA main.integrity_check({name})")),
            ));
            continue;
        };
        let (rows, ranges) = (own.newest(), own.ranges());
        found.push((
            rows,
            Work::Pragma(format!("PRAGMA main.quick_check({name})")),
        ));
        let at = entries.len();
        found.extend(own.indexes().map(|index| (rows, Work::Index(at, index))));
        let rows = rows / i64::try_from(ranges.len().max(1)).unwrap_or(i64::MAX);
        found.extend(
            ranges
                .into_iter()
                .map(|range| (rows, Work::Rows(at, range))),
        );
        entries.push(own);
    }
    found.sort_by_key(|(rows, _)| Reverse(*rows));
    Ok((found.into_iter().map(|(_, work)| work).collect(), entries))
}

/// Every table, virtual ones too.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT 'sqlite_schema' UNION ALL SELECT name FROM main.sqlite_schema WHERE type = 'table'",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let sql = format!("PRAGMA main.{pragma}");
    connection.query_row(&sql, [], |row| {
        Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sqlite::open::open_private_at_once;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    pub(super) const PAGE: usize = 512;

    /// Tables and indexes of every kind, overflow pages, free pages with two trunks.
    pub(super) fn build(folder: &Path, pragma: &str) -> PathBuf {
        let path = folder.join("x.db");
        Connection::open(&path)
            .and_then(|connection| {
                connection.execute_batch(&format!(
                    "PRAGMA page_size={PAGE}; {pragma};
                     CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT UNIQUE NOT NULL, y CHECK (y < 1000));
                     CREATE INDEX partly ON a(y) WHERE y > 50;
                     CREATE TABLE \"5\"(rowid TEXT, blob);
                     CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
                     CREATE VIRTUAL TABLE f USING fts5(body);
                     CREATE VIEW v AS SELECT * FROM a;
                     CREATE TABLE gone(x);
                     WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300)
                       INSERT INTO a SELECT n, hex(randomblob(20)), n FROM c;
                     INSERT INTO \"5\" SELECT id, randomblob(3000) FROM a LIMIT 5;
                     INSERT INTO w SELECT x, y FROM a;
                     INSERT INTO f SELECT 'words of ' || x FROM a LIMIT 30;
                     WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300)
                       INSERT INTO gone SELECT randomblob(400) FROM c;
                     DROP TABLE gone;"
                ))
            })
            .expect("builds");
        path
    }

    /// Whether it is sound, as the pragma says and as we say.
    pub(super) fn verdicts(path: &Path) -> (bool, bool) {
        let stop = Stop::after(Duration::from_secs(60));
        let Ok(mut connections) = open_private_at_once(path, 3, &stop) else {
            return (false, false);
        };
        let mut all: Vec<_> = connections.iter_mut().collect();
        let words = whole(all[0]);
        let parts = full(&mut all, path, &stop);
        (
            words.is_ok_and(|found| found.is_empty()),
            parts.is_ok_and(|found| found.problems.is_empty()),
        )
    }

    /// The parts together say what the whole says, wherever a byte is wrong: in page headers, cells, free lists, schema.
    #[test]
    fn the_parts_find_what_the_whole_finds() {
        let folder = tempfile::tempdir().expect("a folder");
        for pragma in ["", "PRAGMA auto_vacuum=INCREMENTAL"] {
            let path = build(folder.path(), pragma);
            assert_eq!(verdicts(&path), (true, true), "{pragma}");
            let good = fs::read(&path).expect("reads");
            let pages = good.len() / PAGE;
            let (mut bad, mut state) = (0, 7_u64);
            // The header's own fields about free pages, the heads of pages, and places in between.
            let heads = (0..pages).flat_map(|page| [0, 1, 3, 5].map(|at| page * PAGE + at));
            let header = 28..48;
            let random = (0..400).map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                usize::try_from(state >> 33).unwrap_or(0) % good.len()
            });
            let mut places: Vec<usize> = header.chain(heads.step_by(5)).chain(random).collect();
            places.retain(|at| *at >= 24);
            for at in places {
                let mut broken = good.clone();
                broken[at] ^= 0x5a;
                fs::write(&path, &broken).expect("writes");
                let (whole, parts) = verdicts(&path);
                // Bits that neither reads may differ in nothing; the parts may see more, never less.
                assert!(
                    whole || !parts,
                    "byte {at} (page {}) is wrong, and only the whole says so",
                    at / PAGE + 1
                );
                bad += u32::from(!whole);
            }
            assert!(bad > 150, "{bad}");
            fs::remove_file(&path).expect("removes");
        }
    }

    /// A check that SQLite refuses for want of a collation is made of the other tables, and damage is seen wherever it is.
    #[test]
    fn what_only_the_application_can_check_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for pragma in ["PRAGMA auto_vacuum=0", "PRAGMA auto_vacuum=2"] {
            let path = build(folder.path(), pragma);
            Connection::open(&path)
                .and_then(|connection| {
                    connection.execute_batch(
                        "CREATE TABLE own(x TEXT); INSERT INTO own VALUES ('a'); CREATE INDEX of_own ON own(x);
                         PRAGMA writable_schema=ON;
                         UPDATE sqlite_schema SET sql = 'CREATE INDEX of_own ON own(x COLLATE house)' WHERE name = 'of_own'",
                    )
                })
                .expect("adds");
            let stop = Stop::after(Duration::from_secs(60));
            let both = || {
                let mut all = open_private_at_once(&path, 2, &stop).expect("opens");
                let mut all: Vec<_> = all.iter_mut().collect();
                let quick = quick(all[0]).expect("checks");
                [full(&mut all, &path, &stop).expect("checks"), quick]
            };
            for verdict in both() {
                assert!(verdict.problems.is_empty(), "{pragma}: {verdict:?}");
                let named: Vec<_> = verdict.unchecked.into_iter().collect();
                let reason = "no such collation sequence: house".to_owned();
                assert_eq!(named, [("own".to_owned(), reason)]);
            }
            let mut bytes = fs::read(&path).expect("reads");
            let connection = Connection::open(&path).expect("opens");
            let root: i64 = connection
                .query_row(
                    "SELECT rootpage FROM sqlite_schema WHERE name = 'a'",
                    [],
                    |row| row.get(0),
                )
                .expect("looks");
            drop(connection);
            bytes[(usize::try_from(root).expect("fits") - 1) * PAGE + 3] ^= 0x5a;
            fs::write(&path, &bytes).expect("writes");
            let mut all = open_private_at_once(&path, 2, &stop).expect("opens");
            let mut all: Vec<_> = all.iter_mut().collect();
            let seen =
                |found: anyhow::Result<Verdict>| found.map_or(true, |one| !one.problems.is_empty());
            assert!(
                seen(quick(all[0]).map_err(Into::into)) && seen(full(&mut all, &path, &stop)),
                "{pragma}"
            );
            fs::remove_file(&path).expect("removes");
        }
    }

    #[test]
    fn a_table_of_a_module_that_is_not_here_stops_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = build(folder.path(), "");
        Connection::open(&path)
            .and_then(|connection| {
                connection.execute_batch(
                    "PRAGMA writable_schema=ON;
                     INSERT INTO sqlite_schema VALUES ('table', 'vec', 'vec', 0, 'CREATE VIRTUAL TABLE vec USING vec0(x)');",
                )
            })
            .expect("adds");
        assert_eq!(verdicts(&path), (true, true));
    }
}
