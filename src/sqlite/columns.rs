//! The columns of a table, and which of them are its key.

use rusqlite::Connection;

/// One column, as `PRAGMA table_xinfo` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name as it was declared.
    pub name: String,
    /// Its declared type; empty where there is none.
    pub declared: String,
    /// It may not be NULL.
    pub not_null: bool,
    /// Its default value, as SQL.
    pub default: Option<String>,
    /// Its place in the primary key, from 1; 0 outside.
    pub key: u32,
    /// Computed from others: it can be read and not written.
    pub generated: bool,
    /// A hidden column of a virtual table.
    pub hidden: bool,
}

/// The columns of `table` in the main schema, in their order; none where there is no such table.
pub fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    connection
        .prepare(
            "SELECT name, type, \"notnull\", dflt_value, pk, hidden
             FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
        )?
        .query_map([table], |row| {
            let hidden: i64 = row.get(5)?;
            Ok(Column {
                name: row.get(0)?,
                declared: row.get(1)?,
                not_null: row.get(2)?,
                default: row.get(3)?,
                key: row.get(4)?,
                generated: matches!(hidden, 2 | 3),
                hidden: hidden == 1,
            })
        })?
        .collect()
}

/// The name under which the rowid can be read beside these columns, which may have taken one of its names, or all.
pub(super) fn free_rowid(columns: &[Column]) -> Option<&'static str> {
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| {
        !columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_columns() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(a TEXT NOT NULL, b INT DEFAULT 1, c AS (b + 1), d AS (b + 2) STORED, PRIMARY KEY (b, a));
                 CREATE VIRTUAL TABLE f USING fts5(body);",
            )
            .expect("sets up");
        let found = columns(&connection, "t").expect("reads");
        let names: Vec<_> = found.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        let generated: Vec<_> = found.iter().map(|column| column.generated).collect();
        assert_eq!(generated, [false, false, true, true]);
        assert_eq!((found[0].key, found[1].key), (2, 1));
        assert!(found[0].not_null && found[1].default.is_some() && !found[1].not_null);
        let virtual_one = columns(&connection, "f").expect("reads");
        assert!(virtual_one.iter().any(|column| column.hidden));
        assert!(columns(&connection, "none").expect("reads").is_empty());
    }
}
