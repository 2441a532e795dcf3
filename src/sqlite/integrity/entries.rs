//! That each index has the entries of its table's rows, and has them in order. SQLite's pragma looks every row up in every index, which
//! jumps about in the file wherever their orders differ. Here both are read from one end to the other: what is added up over the
//! entries has to be what is added up over the rows, and each entry has to come after the one before it. So a table is split: every
//! index, and every range of rows, is read by whichever connection is free.

use std::sync::Mutex;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::super::at_once::locked;
use super::super::{quote, rowid};
use super::order::{Column, Last};
use crate::hash;

/// Ranges of rows that a table is split into, and rowids of which there is one range.
const RANGES: u64 = 16;
const SHORT: u64 = 10_000;

/// A table whose indexes are all of columns, of all rows, and in an order that is known here.
pub(super) struct Entries {
    table: String,
    /// The rowid and the columns of all indexes, between two rowids.
    rows: String,
    /// The first rowid and the last.
    span: Option<(i64, i64)>,
    indexes: Vec<Index>,
    /// What the rows add up to, for each index.
    rows_sums: Mutex<Vec<Sum>>,
    /// What the entries of each index add up to; none of one that is not in order.
    index_sums: Mutex<Vec<Option<Sum>>>,
}

struct Index {
    unique: bool,
    columns: Vec<Column>,
    /// Its columns and the rowid.
    sql: String,
}

/// Over entries in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    entries: u64,
    hashes: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.hashes = self.hashes.wrapping_add(other.hashes);
    }
}

impl Entries {
    /// Of a table; none where only the pragma knows its indexes, or there are none.
    pub fn of(connection: &Connection, table: &str) -> rusqlite::Result<Option<Self>> {
        let Some(rowid) = rowid(connection, table)? else {
            return Ok(None);
        };
        let Some(indexes) = indexes(connection, table, rowid)?.filter(|found| !found.is_empty())
        else {
            return Ok(None);
        };
        let from = format!("main.{}", quote(table));
        let span = connection.query_row(
            &format!("SELECT (SELECT min({rowid}) FROM {from}), (SELECT max({rowid}) FROM {from})"),
            [],
            |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)),
        )?;
        let mut wanted = vec![rowid.to_owned()];
        for column in indexes.iter().flat_map(|index| &index.columns) {
            wanted.push(quote(&column.name));
        }
        Ok(Some(Self {
            table: table.to_owned(),
            rows: format!(
                "SELECT {} FROM {from} NOT INDEXED WHERE {rowid} BETWEEN ?1 AND ?2",
                wanted.join(", ")
            ),
            span,
            rows_sums: Mutex::new(vec![Sum::default(); indexes.len()]),
            index_sums: Mutex::new(vec![None; indexes.len()]),
            indexes,
        }))
    }

    /// Which indexes there are to be read.
    pub fn indexes(&self) -> std::ops::Range<usize> {
        0..self.indexes.len()
    }

    /// The last rowid, which says enough about how many rows there are.
    pub fn newest(&self) -> i64 {
        self.span.map_or(0, |(_, last)| last.max(0))
    }

    /// Which rows there are to be read, range by range.
    pub fn ranges(&self) -> Vec<(i64, i64)> {
        let Some((first, last)) = self.span else {
            return Vec::new();
        };
        let apart = last.abs_diff(first);
        let step = if apart < SHORT { apart } else { apart / RANGES };
        let mut found = Vec::new();
        let mut from = first;
        loop {
            let to = from.saturating_add_unsigned(step).min(last);
            found.push((from, to));
            if to == last {
                return found;
            }
            from = to + 1;
        }
    }

    /// Reads the rows of a range.
    pub fn add_rows(
        &self,
        connection: &Connection,
        (from, to): (i64, i64),
    ) -> rusqlite::Result<()> {
        let mut sums = vec![Sum::default(); self.indexes.len()];
        let mut statement = connection.prepare(&self.rows)?;
        let mut rows = statement.query([from, to])?;
        while let Some(row) = rows.next()? {
            let (rowid, mut next) = (row.get(0)?, 1);
            for (index, sum) in self.indexes.iter().zip(&mut sums) {
                let mut entry = Entry::new();
                for _ in &index.columns {
                    entry.take(row.get_ref(next)?);
                    next += 1;
                }
                sum.add(entry.end(rowid));
            }
        }
        let mut all = locked(&self.rows_sums);
        all.iter_mut().zip(sums).for_each(|(all, sum)| all.add(sum));
        Ok(())
    }

    /// Reads an index.
    pub fn add_index(&self, connection: &Connection, at: usize) -> rusqlite::Result<()> {
        let Index {
            unique,
            columns,
            sql,
        } = &self.indexes[at];
        let mut sum = Sum::default();
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut last = Last::new(columns.len());
        while let Some(row) = rows.next()? {
            let mut entry = Entry::new();
            for (at, column) in columns.iter().enumerate() {
                let value = row.get_ref(at)?;
                entry.take(value);
                last.compare(at, column, value);
            }
            let rowid = row.get(columns.len())?;
            if !last.precedes(rowid, *unique) {
                return Ok(());
            }
            sum.add(entry.end(rowid));
        }
        locked(&self.index_sums)[at] = Some(sum);
        Ok(())
    }

    /// The table, and how many rows it has, as soon as all have been read.
    pub fn rows(self) -> (String, u64) {
        let rows = locked(&self.rows_sums)[0].entries;
        (self.table, rows)
    }

    /// True where an index is not what it should be, as soon as all rows and indexes have been read.
    pub fn is_suspect(&self) -> bool {
        let rows = locked(&self.rows_sums).clone();
        !rows
            .into_iter()
            .map(Some)
            .eq(locked(&self.index_sums).iter().copied())
    }

    /// Whose indexes they are.
    pub fn table(&self) -> &str {
        &self.table
    }
}

/// All indexes of a table; none where one of them is not of its columns, not of all its rows, or in an order of its own.
fn indexes(
    connection: &Connection,
    table: &str,
    rowid: &str,
) -> rusqlite::Result<Option<Vec<Index>>> {
    let encoding: String = connection.query_row("PRAGMA main.encoding", [], |row| row.get(0))?;
    if encoding != "UTF-8" {
        return Ok(None); // texts are in the order of their bytes, which are others here
    }
    let mut names = connection
        .prepare("SELECT name, \"unique\", partial FROM pragma_index_list(?1, 'main')")?;
    let names = names
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(String, bool, bool)>>>()?;
    let mut found = Vec::new();
    for (name, unique, partial) in names {
        let mut columns = connection.prepare(
            "SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno",
        )?;
        let columns = columns
            .query_map([&name], Column::read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let columns: Option<Vec<_>> = columns.into_iter().collect();
        let Some(columns) = columns.filter(|_| !partial) else {
            return Ok(None);
        };
        let wanted: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!(
            "SELECT {}, {rowid} FROM main.{} INDEXED BY {}",
            wanted.join(", "),
            quote(table),
            quote(&name)
        );
        // Nothing but the index itself may be read.
        let plan: Result<String, _> =
            connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3));
        if !plan.is_ok_and(|plan| plan.starts_with("SCAN ") && plan.contains(" COVERING INDEX ")) {
            return Ok(None);
        }
        found.push(Index {
            unique,
            columns,
            sql,
        });
    }
    Ok(Some(found))
}

/// What an entry of these values with its rowid adds.
struct Entry(u64);

impl Entry {
    fn new() -> Self {
        Self(0)
    }

    fn take(&mut self, value: ValueRef<'_>) {
        let (class, number) = match value {
            ValueRef::Null => (0, 0),
            ValueRef::Integer(number) => (1, number.cast_unsigned()),
            // A table does not keep the sign of a zero.
            ValueRef::Real(number) => (2, (number + 0.0).to_bits()),
            ValueRef::Text(bytes) => (3, hash::bytes(bytes)),
            ValueRef::Blob(bytes) => (4, hash::bytes(bytes)),
        };
        self.0 = hash::mix(hash::mix(self.0, class), number);
    }

    fn end(self, rowid: i64) -> Sum {
        Sum {
            entries: 1,
            // Sums of numbers that had something in common could be the same.
            hashes: hash::scatter(hash::mix(self.0, rowid.cast_unsigned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::super::tests::verdicts;
    use super::super::{shared, whole};
    use super::*;
    use crate::sqlite::open::open_private_at_once;
    use crate::sys::Stop;

    /// Indexes of all kinds, over values of all kinds.
    const KINDS: &str = "
        CREATE TABLE mixed(id INTEGER PRIMARY KEY, a, b TEXT COLLATE NOCASE, c REAL, d BLOB);
        CREATE INDEX by_a ON mixed(a DESC, id); CREATE INDEX by_b ON mixed(b, c DESC); CREATE INDEX by_c ON mixed(c);
        CREATE INDEX by_d ON mixed(d COLLATE RTRIM, a, a); CREATE UNIQUE INDEX by_id ON mixed(id DESC);
        CREATE TABLE made(x, y AS (x || 1)); CREATE INDEX of_made ON made(y);
        CREATE TABLE \"a \"\"name\"\"\"(\"a column\" TEXT UNIQUE, rowid, y REAL UNIQUE); CREATE INDEX \"its 'index'\" ON \"a \"\"name\"\"\"(rowid, y);
        CREATE TABLE empty(x UNIQUE);
        CREATE TABLE whole(id INTEGER PRIMARY KEY, x); CREATE INDEX by_length ON whole(length(x));
        CREATE TABLE partly(x); CREATE INDEX of_some ON partly(x) WHERE x > 5;
        CREATE TABLE keyed(k PRIMARY KEY, v UNIQUE) WITHOUT ROWID;
        CREATE TABLE late(x); CREATE INDEX of_late ON late(x); INSERT INTO late VALUES (1), (NULL), ('');
        WITH RECURSIVE n(n) AS (SELECT -700 UNION ALL SELECT n + 1 FROM n WHERE n < 700)
          INSERT INTO mixed(id, a, b, c, d) SELECT n * 13000000000000003, CASE abs(n) % 7 WHEN 0 THEN NULL WHEN 1 THEN n WHEN 2 THEN n / 3.0
            WHEN 3 THEN -0.0 WHEN 4 THEN 'text ' || n WHEN 5 THEN randomblob(9) ELSE 9007199254740992 + n END,
            iif(n % 2, 'Ä', 'x') || iif(n % 3, 'AbC', 'aBc') || (n % 50), n / 4.0 * (n % 5), iif(n % 2, 'end' || substr('   ', n % 4), zeroblob(900)) FROM n;
        UPDATE mixed SET c = -0.0 WHERE c = 0 AND id % 2; ALTER TABLE late ADD COLUMN y DEFAULT 7.0; CREATE INDEX of_y ON late(y, x);
        INSERT INTO \"a \"\"name\"\"\" SELECT 'n' || id, a, c + id FROM mixed; INSERT INTO whole SELECT NULL, b FROM mixed; INSERT INTO made SELECT b FROM mixed;
        INSERT INTO partly SELECT a FROM mixed; INSERT INTO keyed SELECT id, NULL FROM mixed;";

    fn build(folder: &Path, pragma: &str) -> PathBuf {
        let path = folder.join("x.db");
        let built = Connection::open(&path).and_then(|connection| {
            connection.execute_batch(&format!(
                "PRAGMA page_size=1024; {pragma}; BEGIN; {KINDS} COMMIT;"
            ))
        });
        built.expect("builds");
        path
    }

    /// Tables on which the pragma has to have the last word.
    fn suspected(path: &Path, connections: usize) -> Vec<String> {
        let stop = Stop::after(Duration::from_secs(60));
        let mut all = open_private_at_once(path, connections, &stop).expect("opens");
        let mut all: Vec<_> = all.iter_mut().collect();
        let (_, tables) = shared(&mut all).expect("checks");
        let suspects = tables.iter().filter(|entries| entries.is_suspect());
        suspects.map(|entries| entries.table().to_owned()).collect()
    }

    #[test]
    fn nothing_sound_is_suspected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = build(folder.path(), "");
        for connections in [1, 3] {
            assert_eq!(suspected(&path, connections), [""; 0]);
        }
        assert_eq!(verdicts(&path), (true, true));
        let connection = Connection::open(&path).expect("opens");
        let own = |table: &str| {
            Entries::of(&connection, table)
                .expect("looks")
                .map(|own| own.indexes().len())
        };
        for (table, indexes) in [
            ("mixed", Some(5)),
            ("a \"name\"", Some(3)),
            ("empty", Some(1)),
            ("late", Some(2)),
        ] {
            assert_eq!(own(table), indexes, "{table}");
        }
        for table in ["made", "whole", "partly", "keyed", "sqlite_schema"] {
            assert_eq!(own(table), None, "{table}");
        }
    }

    #[test]
    fn texts_of_another_encoding_are_left_to_the_pragma() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = build(folder.path(), "PRAGMA encoding='UTF-16'");
        assert_eq!(suspected(&path, 3), [""; 0]);
        let connection = Connection::open(&path).expect("opens");
        assert!(Entries::of(&connection, "mixed").expect("looks").is_none());
    }

    #[test]
    fn every_row_is_in_one_range() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).expect("opens");
        connection
            .execute_batch("CREATE TABLE t(x UNIQUE)")
            .expect("creates");
        let ranges = || {
            Entries::of(&connection, "t")
                .expect("looks")
                .expect("is one")
                .ranges()
        };
        assert_eq!(ranges(), []);
        for (first, last) in [
            (5, 5),
            (5, 6),
            (-1, 9_999),
            (0, 160_000),
            (i64::MIN, i64::MAX),
            (i64::MAX - 3, i64::MAX),
        ] {
            connection
                .execute(
                    "INSERT OR IGNORE INTO t(rowid) VALUES (?1), (?2)",
                    [first, last],
                )
                .expect("inserts");
            let found = ranges();
            assert_eq!(found[0].0, first);
            assert_eq!(found[found.len() - 1].1, last);
            assert!(
                found.len() <= 1 + usize::try_from(RANGES).expect("fits"),
                "{found:?}"
            );
            for pair in found.windows(2) {
                assert_eq!(pair[0].1 + 1, pair[1].0);
            }
            connection.execute("DELETE FROM t", []).expect("deletes");
        }
    }

    /// Changes the database while it does not know of one of its indexes.
    fn behind(path: &Path, index: &str, change: &str) {
        let forgotten = format!(
            "PRAGMA writable_schema=ON; CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '{index}';
             DELETE FROM sqlite_schema WHERE name = '{index}'"
        );
        let back = "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema=OFF;";
        for sql in [forgotten.as_str(), change, back, "DROP TABLE kept"] {
            let connection = Connection::open(path).expect("opens");
            connection
                .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)
                .expect("allows");
            connection.execute_batch(sql).expect(sql);
        }
    }

    #[test]
    fn an_index_that_says_something_else_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let schema = |name: &str, sql: &str| {
            format!(
                "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = '{sql}' WHERE name = '{name}'"
            )
        };
        let swapped = "PRAGMA writable_schema=ON; CREATE TEMP TABLE roots AS SELECT name, rootpage FROM sqlite_schema WHERE name IN ('by_a', 'by_c');
            UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM roots WHERE name <> sqlite_schema.name) WHERE name IN ('by_a', 'by_c')";
        let changes = [
            ("by_c", "DELETE FROM mixed WHERE id = 0".to_owned()),
            (
                "by_c",
                "INSERT INTO mixed(id, a) VALUES (5, 'new')".to_owned(),
            ),
            ("by_c", "UPDATE mixed SET c = c + 1 WHERE id = 0".to_owned()),
            ("by_c", "UPDATE mixed SET id = 5 WHERE id = 0".to_owned()),
            (
                "by_b",
                "UPDATE mixed SET b = upper(b) WHERE b = 'xabc0'".to_owned(),
            ),
            (
                "by_c",
                "UPDATE mixed SET c = (SELECT max(c) FROM mixed) - c".to_owned(),
            ),
            ("none", swapped.to_owned()),
            ("none", schema("by_a", "CREATE INDEX by_a ON mixed(a, id)")),
            (
                "none",
                schema(
                    "by_b",
                    "CREATE INDEX by_b ON mixed(b COLLATE BINARY, c DESC)",
                ),
            ),
            (
                "none",
                schema("by_c", "CREATE UNIQUE INDEX by_c ON mixed(c)"),
            ),
        ];
        for (index, change) in changes {
            let path = build(folder.path(), "");
            behind(&path, index, &change);
            for connections in [1, 3] {
                assert_eq!(suspected(&path, connections), ["mixed"], "{change}");
            }
            let connection = Connection::open(&path).expect("opens");
            assert!(
                whole(&connection).is_ok_and(|words| !words.is_empty()),
                "{change}"
            );
            assert_eq!(verdicts(&path), (false, false), "{change}");
            std::fs::remove_file(&path).expect("removes");
        }
    }
}
