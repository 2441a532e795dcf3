//! Rowids that something outside may rely on: the ids of a vector index, a cursor that a client keeps.
//!
//! `VACUUM` promises to keep them only where a column is the `INTEGER PRIMARY KEY` (<https://sqlite.org/lang_vacuum.html>). The
//! SQLite that is built in renumbers a table without any index, and keeps the others: a test below pins that.

use rusqlite::Connection;

use super::columns::{columns, free_rowid};
use super::{LISTING, quote};

/// A table whose rowid is no column of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareTable {
    /// Its name.
    pub name: String,
    /// True when it has an index of any kind.
    pub indexed: bool,
}

/// Every table whose rowids `VACUUM` does not promise to keep. SQLite's own are left out: nobody keeps their rowids.
pub fn bare_tables(connection: &Connection) -> rusqlite::Result<Vec<BareTable>> {
    connection
        .prepare(&format!(
            "SELECT name, EXISTS (SELECT 1 FROM pragma_index_list(l.name, 'main'))
             FROM {LISTING} AS l
             WHERE type IN ('table', 'shadow') AND wr = 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
               AND (EXISTS (SELECT 1 FROM pragma_index_list(l.name, 'main') WHERE origin = 'pk')
                    OR NOT EXISTS (SELECT 1 FROM pragma_table_info(l.name, 'main') WHERE pk > 0))
             ORDER BY name",
        ))?
        .query_map([], |row| {
            Ok(BareTable {
                name: row.get(0)?,
                indexed: row.get(1)?,
            })
        })?
        .collect()
}

/// BLAKE3 over the rowids of a table in their order; `None` where columns hide the rowid, so that nobody can rely on it.
pub fn rowid_digest(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<Option<blake3::Hash>> {
    let Some(rowid) = free_rowid(&columns(connection, table)?) else {
        return Ok(None);
    };
    let sql = format!("SELECT {rowid} FROM main.{} ORDER BY 1", quote(table));
    let mut hasher = blake3::Hasher::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        hasher.update(&row.get::<_, i64>(0)?.to_le_bytes());
    }
    Ok(Some(hasher.finalize()))
}

/// BLAKE3 over the values of a column in their order.
pub fn column_digest(
    connection: &Connection,
    table: &str,
    column: &str,
) -> rusqlite::Result<blake3::Hash> {
    let sql = format!(
        "SELECT quote({0}) FROM main.{1} ORDER BY {0}",
        quote(column),
        quote(table)
    );
    let mut hasher = blake3::Hasher::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        hasher.update(row.get_ref(0)?.as_bytes()?);
        hasher.update(b"\n");
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, columns, which of them are filled with 1 to 8, whether VACUUM renumbers.
    const TABLES: [(&str, &str, &str, bool); 9] = [
        ("bare", "x", "x", true),
        ("odd 'name", "x", "x", true),
        ("numbered", "id INTEGER PRIMARY KEY, x", "id, x", false),
        (
            "counted",
            "id INTEGER PRIMARY KEY AUTOINCREMENT, x",
            "id, x",
            false,
        ),
        ("by_text", "k TEXT PRIMARY KEY, x", "k, x", false),
        (
            "descending",
            "id INTEGER PRIMARY KEY DESC, x",
            "id, x",
            false,
        ),
        ("uniquely", "x UNIQUE", "x", false),
        ("two_keys", "a, x, PRIMARY KEY (a, x)", "a, x", false),
        (
            "computed",
            "x, y AS (x + 1) STORED UNIQUE CHECK (y > 1)",
            "x",
            false,
        ),
    ];

    fn all(connection: &Connection) -> Vec<(String, Option<blake3::Hash>)> {
        TABLES
            .iter()
            .map(|(name, ..)| {
                let digest = rowid_digest(connection, name).expect("reads");
                ((*name).to_owned(), digest)
            })
            .collect()
    }

    /// What the bundled SQLite does. Its documentation promises less: should a later one renumber indexed tables too, this test
    /// says so before it reaches a server.
    #[test]
    fn vacuum_renumbers_only_tables_without_any_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("x.db")).expect("opens");
        for (name, columns, filled, _) in TABLES {
            let name = quote(name);
            let values = filled
                .split(", ")
                .map(|_| "n")
                .collect::<Vec<_>>()
                .join(", ");
            connection
                .execute_batch(&format!(
                    "CREATE TABLE {name} ({columns});
                     WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 8)
                       INSERT INTO {name} ({filled}) SELECT {values} FROM c;
                     DELETE FROM {name} WHERE x < 5;"
                ))
                .expect("fills");
        }
        connection
            .execute_batch(
                "CREATE TABLE partly(x); INSERT INTO partly SELECT x FROM bare; DELETE FROM partly WHERE x < 7;
                 CREATE INDEX some ON partly(x) WHERE x > 100",
            )
            .expect("creates");
        let before = all(&connection);
        let partly = rowid_digest(&connection, "partly").expect("reads");
        connection.execute_batch("VACUUM").expect("vacuums");
        let after = all(&connection);
        for (((name, was), (_, is)), (.., renumbered)) in before.iter().zip(&after).zip(TABLES) {
            assert_eq!(was != is, renumbered, "{name}");
        }
        assert_eq!(rowid_digest(&connection, "partly").expect("reads"), partly);

        let found = bare_tables(&connection).expect("looks");
        let at_risk: Vec<_> = found
            .iter()
            .filter(|table| !table.indexed)
            .map(|table| table.name.as_str())
            .collect();
        assert_eq!(at_risk, ["bare", "odd 'name"]);
        let kept: Vec<_> = found
            .iter()
            .filter(|table| table.indexed)
            .map(|table| table.name.as_str())
            .collect();
        assert_eq!(
            kept,
            [
                "by_text",
                "computed",
                "descending",
                "partly",
                "two_keys",
                "uniquely"
            ]
        );
    }

    #[test]
    fn the_values_of_a_column_in_their_order() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(id, x); INSERT INTO t VALUES (2, 'a'), (1, 'b'), (NULL, 'c')",
            )
            .expect("creates");
        let digest = || column_digest(&connection, "t", "id").expect("reads");
        let first = digest();
        connection
            .execute_batch(
                "UPDATE t SET x = 'd'; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 'e')",
            )
            .expect("writes");
        assert_eq!(digest(), first);
        for change in [
            "UPDATE t SET id = '2' WHERE id = 2",
            "UPDATE t SET id = 3 WHERE id = 1",
        ] {
            let before = digest();
            connection.execute_batch(change).expect("writes");
            assert_ne!(digest(), before, "{change}");
        }
    }

    #[test]
    fn a_rowid_that_columns_hide_is_nobodys() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE hidden(rowid, OID, _rowid_); CREATE TABLE half(rowid TEXT, x);
                 INSERT INTO half VALUES ('a', 1), ('b', 2)",
            )
            .expect("creates");
        assert_eq!(rowid_digest(&connection, "hidden").expect("looks"), None);
        assert!(rowid_digest(&connection, "half").expect("looks").is_some());
    }
}
