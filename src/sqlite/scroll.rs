//! A whole table in short reads, so that no writer waits long for a reader and no log grows behind one.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::columns::free_rowid;
use super::{TableKind, columns, explain, quote, table_kind};
use crate::sys::Stop;

const ROWS: i64 = 5_000;

/// Hands every row of an ordinary table to `each`, with `wanted` (SQL expressions) as its columns from 0 on. A table with rowids is
/// read in many short reads: rows that are written meanwhile may be seen or not. One without is read in one.
pub fn scroll(
    connection: &Connection,
    table: &str,
    wanted: &[String],
    path: &Path,
    stop: &Stop,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> anyhow::Result<()> {
    let wrong = |error| explain(error, path, stop);
    let (quoted, wanted) = (quote(table), wanted.join(", "));
    let Some(rowid) = rowid(connection, table).map_err(wrong)? else {
        let mut read = || -> rusqlite::Result<()> {
            let sql = format!("SELECT {wanted} FROM main.{quoted}");
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(row)?;
            }
            Ok(())
        };
        return read().map_err(wrong);
    };
    let sql = format!(
        "SELECT {wanted}, {rowid} FROM main.{quoted} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT {ROWS}"
    );
    let mut statement = connection.prepare(&sql).map_err(wrong)?;
    let last = statement.column_count().saturating_sub(1);
    let mut from = i64::MIN;
    loop {
        stop.check()?;
        let mut next = None;
        let mut number = 0;
        let mut read = || -> rusqlite::Result<()> {
            let mut rows = statement.query([from])?;
            while let Some(row) = rows.next()? {
                number += 1;
                next = row.get::<_, i64>(last)?.checked_add(1);
                each(row)?;
            }
            Ok(())
        };
        read().map_err(wrong)?;
        match next.filter(|_| number == ROWS) {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// The name under which the rowid of `table` can be read; `None` where it has none.
pub fn rowid(connection: &Connection, table: &str) -> rusqlite::Result<Option<&'static str>> {
    match table_kind(connection, table)? {
        Some((_, TableKind::Table)) => Ok(free_rowid(&columns(connection, table)?)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_row_comes_once_whatever_its_rowid_is_called() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE plain(x); CREATE TABLE named(rowid, oid, x);
                 CREATE TABLE taken(rowid, oid, _rowid_, x); CREATE TABLE keyed(x PRIMARY KEY) WITHOUT ROWID;
                 CREATE VIEW seen AS SELECT x FROM plain;
                 INSERT INTO plain(rowid, x) VALUES (-9223372036854775808, 0), (9223372036854775807, 12345);
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12344)
                   INSERT INTO plain(rowid, x) SELECT n * 7, n FROM c;
                 INSERT INTO named(x) SELECT x FROM plain; INSERT INTO taken(x) SELECT x FROM plain;
                 INSERT INTO keyed SELECT x FROM plain;",
            )
            .expect("sets up");
        let stop = Stop::after(Duration::from_secs(60));
        for table in ["plain", "named", "taken", "keyed"] {
            let (mut rows, mut sum) = (0u64, 0i64);
            scroll(
                &connection,
                table,
                &["x".into(), "'a, b'".into()],
                Path::new("memory"),
                &stop,
                |row| {
                    rows += 1;
                    sum += row.get::<_, i64>(0)?;
                    assert_eq!(row.get::<_, String>(1)?, "a, b");
                    Ok(())
                },
            )
            .expect("reads");
            assert_eq!((rows, sum), (12_346, 12_345 * 12_346 / 2), "{table}");
        }
    }
}
