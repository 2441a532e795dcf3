//! `PRAGMA integrity_check` on several connections that see one state: each takes the next table with its indexes.
//!
//! The check of one table leaves out what only the whole file can say: that every page belongs to exactly one table, index or the
//! list of free pages. That is checked here in its place, from the very pages. A database with `auto_vacuum` has a map of its
//! pages besides, which only the whole check knows: it is checked by one connection, as before.
//!
//! Where the application defines a collation or a function that the schema uses, SQLite refuses the check of everything. Then each
//! table is checked for itself, and what cannot be is named: nobody takes it for checked.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode};

use super::layout::each_page;
use super::{explain, quote};
use crate::error::{Failure, Kind};
use crate::sys::Stop;

/// Where SQLite locks: the page at this offset holds nothing (<https://sqlite.org/fileformat2.html#the_lock_byte_page>).
const LOCK_BYTE: u64 = 1 << 30;
/// As many problems as the pragma itself lists.
const MOST: usize = 100;

/// What a check says.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Every problem that there is, up to a hundred; none in a sound database.
    pub problems: Vec<String>,
    /// Tables of which only the pages could be looked at, and why.
    pub unchecked: BTreeMap<String, String>,
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

/// `quick_check` on one connection.
pub(super) fn quick(connection: &Connection) -> rusqlite::Result<Verdict> {
    let found = check(connection, "PRAGMA main.quick_check");
    or_table_by_table(found, connection, "quick_check")
}

/// `integrity_check` on all connections, which see one state.
pub(super) fn full(
    connections: &mut [&mut Connection],
    path: &Path,
    stop: &Stop,
) -> anyhow::Result<Verdict> {
    let found = match connections {
        [] => anyhow::bail!("no connection to check {} with", path.display()),
        [one] => whole(one),
        [one, ..] if number(one, "auto_vacuum").unwrap_or(1) != 0 => whole(one),
        _ => in_its_own_words(shared(connections), connections),
    };
    match connections {
        [first, ..] => or_table_by_table(found, first, "integrity_check"),
        [] => found.map(Verdict::of),
    }
    .map_err(|error| explain(error, path, stop))
}

impl Verdict {
    fn of(problems: Vec<String>) -> Self {
        Self {
            problems,
            ..Self::default()
        }
    }
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
        "keep the file; the newest verified backup: empire-maint backup list; look: sqlite3 -readonly '{}' 'PRAGMA integrity_check'",
        path.display()
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

/// One thread a connection; the first begins with the pages, and all go on with the tables.
fn shared(connections: &mut [&mut Connection]) -> rusqlite::Result<Vec<String>> {
    let (Some((first, others)), mut found) = (connections.split_first_mut(), Vec::new()) else {
        return Ok(Vec::new());
    };
    let tables = Mutex::new(tables(first)?);
    let work = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut found = Vec::new();
        loop {
            let next = tables
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(table) = next else { return Ok(found) };
            let pragma = format!("PRAGMA main.integrity_check({})", quote(&table));
            found.extend(check(connection, &pragma)?);
        }
    };
    let work = &work;
    let joined: rusqlite::Result<()> = std::thread::scope(|scope| {
        let others: Vec<_> = others
            .iter_mut()
            .map(|connection| scope.spawn(move || work(connection)))
            .collect();
        let own = pages(first).and_then(|mut found| {
            found.extend(work(first)?);
            Ok(found)
        });
        for result in others
            .into_iter()
            .map(|thread| thread.join())
            .chain([Ok(own)])
        {
            match result {
                Ok(problems) => found.extend(problems?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    });
    joined?;
    found.truncate(MOST);
    Ok(found)
}

/// Every table, those first whose check will take long: by their newest rowid, which says enough about their size, and their indexes.
fn tables(connection: &Connection) -> rusqlite::Result<VecDeque<String>> {
    let mut statement = connection.prepare(
        "SELECT name, wr, (SELECT count(*) FROM pragma_index_list(l.name, 'main')) FROM pragma_table_list AS l
         WHERE schema = 'main' AND type IN ('table', 'shadow', 'virtual')",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, bool>(1)?,
            row.get::<_, i64>(2)?,
        ))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (name, without_rowid, indexes) = row?;
        let newest = format!("SELECT max(rowid) FROM main.{}", quote(&name));
        let rows = match without_rowid {
            true => i64::MAX,
            // A column may hide the rowid, a virtual table may have none.
            false => connection
                .query_row(&newest, [], |row| row.get::<_, Option<i64>>(0))
                .ok()
                .flatten()
                .unwrap_or(0),
        };
        found.push((rows.saturating_mul(indexes + 1), name));
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let sql = format!("PRAGMA main.{pragma}");
    connection.query_row(&sql, [], |row| {
        Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
    })
}

/// Each page of the file, once or not: a bit a page.
struct Pages {
    seen: Vec<u64>,
    count: u64,
    problems: Vec<String>,
}

impl Pages {
    fn mark(&mut self, page: u64, what: &str) {
        let (word, bit) = (
            usize::try_from(page / 64).unwrap_or(usize::MAX),
            1 << (page % 64),
        );
        let problem = match self.seen.get_mut(word) {
            Some(word) if page >= 1 && page <= self.count => {
                let again = *word & bit != 0;
                *word |= bit;
                again.then(|| format!("{what}: page {page} is used twice"))
            }
            _ => Some(format!("{what}: page {page} is not in the file")),
        };
        if let Some(problem) = problem.filter(|_| self.problems.len() < MOST) {
            self.problems.push(problem);
        }
    }
}

/// That every page belongs to somebody, and nobody's to two.
fn pages(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let (count, size) = (
        number(connection, "page_count")?,
        number(connection, "page_size")?,
    );
    let mut pages = Pages {
        seen: vec![0; usize::try_from(count / 64 + 1).unwrap_or(0)],
        count,
        problems: Vec::new(),
    };
    each_page(connection, |page| pages.mark(page.number, page.tree))?;
    free_pages(connection, &mut pages)?;
    let lock_page = LOCK_BYTE / size.max(1) + 1;
    // With auto_vacuum a page of every so many is a map of those behind it (<https://sqlite.org/fileformat2.html#pointer_map_pages>).
    let maps = match number(connection, "auto_vacuum")? {
        0 => None,
        _ => Some(size.saturating_sub(reserved(connection)?) / 5 + 1),
    };
    let is_map = |page: u64| {
        maps.is_some_and(|step| {
            let at = |page: u64| page >= 2 && (page - 2).is_multiple_of(step);
            at(page) || (page == lock_page + 1 && at(lock_page))
        })
    };
    for page in (1..=count).filter(|page| *page != lock_page && !is_map(*page)) {
        let seen = pages
            .seen
            .get(usize::try_from(page / 64).unwrap_or(0))
            .copied()
            .unwrap_or(0);
        if seen & (1 << (page % 64)) == 0 && pages.problems.len() < MOST {
            pages.problems.push(format!("page {page}: never used"));
        }
    }
    Ok(pages.problems)
}

/// Bytes at the end of each page that are left alone.
fn reserved(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT data FROM sqlite_dbpage('main') WHERE pgno = 1",
        [],
        |row| {
            Ok(row
                .get_ref(0)?
                .as_blob()
                .ok()
                .and_then(|page| page.get(20))
                .map_or(0, |byte| u64::from(*byte)))
        },
    )
}

/// The list of free pages: trunks that name leaves (<https://sqlite.org/fileformat2.html#the_freelist>).
fn free_pages(connection: &Connection, pages: &mut Pages) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
    let mut read =
        |page: u64| statement.query_row([page.cast_signed()], |row| row.get::<_, Vec<u8>>(0));
    let word = |page: &[u8], at: usize| {
        let bytes = page
            .get(at * 4..at * 4 + 4)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)))
    };
    let header = read(1)?;
    let (mut trunk, announced) = (word(&header, 8), word(&header, 9));
    let mut found = 0;
    while trunk != 0 {
        let before = pages.problems.len();
        pages.mark(trunk, "free pages");
        found += 1;
        if pages.problems.len() > before || found > announced {
            break; // a circle, or out of the file
        }
        let page = read(trunk)?;
        let leaves = word(&page, 1);
        if leaves > (page.len() / 4) as u64 - 2 {
            pages.problems.push(format!(
                "free pages: page {trunk} names {leaves} others, more than it can"
            ));
            break;
        }
        for leaf in 0..leaves {
            pages.mark(
                word(&page, 2 + usize::try_from(leaf).unwrap_or(0)),
                "free pages",
            );
        }
        found += leaves;
        trunk = word(&page, 0);
    }
    if found != announced && pages.problems.len() < MOST {
        pages
            .problems
            .push(format!("free pages: {found} instead of {announced}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open::open_private_at_once;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    const PAGE: usize = 512;

    /// Tables and indexes of every kind, overflow pages, free pages with two trunks.
    fn build(folder: &Path, pragma: &str) -> PathBuf {
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

    fn verdicts(path: &Path) -> (bool, bool) {
        let stop = Stop::after(Duration::from_secs(60));
        let sound = |threads: usize| -> bool {
            let Ok(mut connections) = open_private_at_once(path, threads, &stop) else {
                return false;
            };
            let mut all: Vec<_> = connections.iter_mut().collect();
            full(&mut all, path, &stop).is_ok_and(|found| found.problems.is_empty())
        };
        (sound(1), sound(3))
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

    /// What the checks of single tables cannot see is seen.
    #[test]
    fn pages_that_belong_to_nobody_or_two_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = build(folder.path(), "");
        let good = fs::read(&path).expect("reads");
        let stop = Stop::after(Duration::from_secs(60));
        let word = |at: usize| u32::from_be_bytes(good[at..at + 4].try_into().expect("four"));
        let trunk = usize::try_from(word(32)).expect("fits");
        let leaf = (trunk - 1) * PAGE + 8;
        for (at, value, said) in [
            (36, word(36) - 1, "free pages: "),
            (36, word(36) + 1, "free pages: "),
            (32, 0, "never used"),
            (32, 2, "used twice"),
            (leaf, 3, "used twice"),
            (leaf, 1_000_000, "not in the file"),
            (leaf - 8, u32::try_from(trunk).expect("fits"), "used twice"),
            (leaf - 4, 1_000_000, "more than it can"),
        ] {
            let mut broken = good.clone();
            broken[at..at + 4].copy_from_slice(&value.to_be_bytes());
            fs::write(&path, &broken).expect("writes");
            let connection = open_private_at_once(&path, 1, &stop)
                .expect("opens")
                .remove(0);
            let found = pages(&connection).expect("looks");
            assert!(
                found.iter().any(|problem| problem.contains(said)),
                "{said}: {found:?}"
            );
            assert!(!verdicts(&path).1, "{said}");
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
