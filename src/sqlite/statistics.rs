//! The planner's statistics: which tables need `ANALYZE`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::LISTING;

/// A table whose statistics mislead the planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Its name.
    pub table: String,
    /// What is wrong with them.
    pub reason: String,
}

/// True where a table of `now` rows had so many more or less when it was analyzed that its statistics mislead the planner: ten times,
/// the rule of SQLite's own `PRAGMA optimize` (<https://sqlite.org/pragma.html#pragma_optimize>).
pub fn is_stale(now: u64, then: u64) -> bool {
    now / 10 > then || then / 10 > now
}

/// Tables with an index that has entries and no statistics, or whose rows became many more or less since. `rows` are the rows of each table, `empty` are
/// indexes without entries, of which there is nothing to know.
pub fn stale_statistics(
    connection: &Connection,
    rows: &BTreeMap<String, u64>,
    empty: &[&str],
) -> rusqlite::Result<Vec<Stale>> {
    let known = known(connection)?;
    let mut indexes = connection.prepare(&format!(
        "SELECT l.name, iif(i.origin = 'pk' AND l.wr, l.name, i.name), i.partial FROM {LISTING} AS l, pragma_index_list(l.name, 'main') AS i
         WHERE l.type IN ('table', 'shadow') AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY l.name, i.seq",
    ))?;
    let mut found: Vec<Stale> = Vec::new();
    let mut entries = indexes.query([])?;
    while let Some(row) = entries.next()? {
        let (table, index): (String, String) = (row.get(0)?, row.get(1)?);
        let partial: bool = row.get(2)?;
        let now = rows.get(&table).copied().unwrap_or(0);
        if found.last().is_some_and(|last| last.table == table) || now == 0 {
            continue;
        }
        let key = (table.to_lowercase(), index.to_lowercase());
        let reason = match known.get(&key) {
            None if empty.contains(&index.as_str()) => continue,
            None => format!("index {index} has no statistics"),
            // Of a partial index the entries were counted, not the rows.
            Some(_) if partial => continue,
            Some(then) if is_stale(now, *then) => {
                format!("{now} rows, {then} when it was analyzed")
            }
            Some(_) => continue,
        };
        found.push(Stale { table, reason });
    }
    Ok(found)
}

/// Rows by table and index, as `sqlite_stat1` has them. The index of a table without rowids has the table's name there. Anybody may
/// have written into it: what is no name or no text counts as not there.
fn known(connection: &Connection) -> rusqlite::Result<BTreeMap<(String, String), u64>> {
    let there = connection
        .query_row(
            "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_stat1'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if there.is_none() {
        return Ok(BTreeMap::new());
    }
    // "rows average average…": the text starts with the number of rows.
    let mut statement = connection
        .prepare("SELECT lower(tbl), lower(idx), CAST(stat AS INTEGER) FROM main.sqlite_stat1")?;
    let mut found = BTreeMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = |at| -> rusqlite::Result<Option<String>> {
            Ok(row.get_ref(at)?.as_str().ok().map(str::to_owned))
        };
        let number = row.get_ref(2)?.as_i64().ok();
        if let (Some(table), Some(index), Some(number)) = (name(0)?, name(1)?, number) {
            found.insert((table, index), u64::try_from(number).unwrap_or(0));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale(connection: &Connection) -> Vec<String> {
        let rows = crate::sqlite::row_counts(connection).expect("counts");
        let found = stale_statistics(connection, &rows, &["hollow"]).expect("looks");
        found.into_iter().map(|stale| stale.table).collect()
    }

    #[test]
    fn what_was_never_analyzed_or_has_grown_tenfold() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE Plain(x); INSERT INTO Plain VALUES (1);
                 CREATE TABLE Grown(id INTEGER PRIMARY KEY, x UNIQUE);
                 CREATE TABLE w(k TEXT PRIMARY KEY) WITHOUT ROWID;
                 CREATE TABLE partly(x); CREATE INDEX hollow ON partly(x) WHERE x > 100;
                 CREATE TABLE empty(x UNIQUE);
                 INSERT INTO Grown(x) VALUES (1), (2), (3); INSERT INTO w VALUES ('a'), ('b'); INSERT INTO partly VALUES (1);",
            )
            .expect("builds");
        assert_eq!(stale(&connection), ["Grown", "w"]);
        connection.execute_batch("ANALYZE").expect("analyzes");
        assert!(stale(&connection).is_empty());
        connection
            .execute_batch(
                "WITH RECURSIVE c(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM c WHERE n < 29) INSERT INTO Grown(x) SELECT n FROM c",
            )
            .expect("grows");
        assert!(stale(&connection).is_empty());
        connection
            .execute_batch(
                "WITH RECURSIVE c(n) AS (SELECT 30 UNION ALL SELECT n + 1 FROM c WHERE n < 40) INSERT INTO Grown(x) SELECT n FROM c",
            )
            .expect("grows");
        assert_eq!(stale(&connection), ["Grown"]);
        connection
            .execute_batch("ANALYZE; CREATE INDEX later ON partly(x)")
            .expect("analyzes");
        assert_eq!(stale(&connection), ["partly"]);
    }

    #[test]
    fn statistics_that_are_none_are_stale() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(x); CREATE INDEX i ON t(x); INSERT INTO t VALUES (1); ANALYZE",
            )
            .expect("builds");
        assert!(stale(&connection).is_empty());
        for wrong in [
            "stat = NULL",
            "stat = x'ff'",
            "idx = CAST(x'ff' AS TEXT)",
            "idx = NULL",
            "tbl = 7",
        ] {
            connection
                .execute_batch(&format!("BEGIN; UPDATE sqlite_stat1 SET {wrong}"))
                .expect("writes");
            let found = stale(&connection);
            connection.execute_batch("ROLLBACK").expect("undoes");
            // What is no number counts as none, of which there is one row now.
            let expected: &[&str] = if wrong == "stat = x'ff'" { &[] } else { &["t"] };
            assert_eq!(found, expected, "{wrong}");
        }
    }
}
