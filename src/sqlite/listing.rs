//! What stands in the main schema, asked of the schema itself. `pragma_table_list` has the same columns, and works out the columns of
//! every view for them: a view of views of views would take for ever.

use rusqlite::{Connection, OptionalExtension as _};

/// `name`, `type` (`table`, `virtual`, `shadow`, `view`), `wr` (WITHOUT ROWID) and `sql` of every table and view, to select from.
/// A virtual table has no page of its own; a shadow table is named after one, as the modules that are built in name theirs. The key of
/// a table without rowids is an index that the schema does not list.
pub const LISTING: &str = "(SELECT o.name AS name, o.sql AS sql,
    CASE WHEN o.type = 'view' THEN 'view'
         WHEN coalesce(o.rootpage, 0) = 0 THEN 'virtual'
         WHEN EXISTS (SELECT 1 FROM main.sqlite_schema AS v,
                (VALUES ('data'), ('idx'), ('content'), ('docsize'), ('config'), ('segments'), ('segdir'), ('stat'),
                        ('node'), ('parent'), ('rowid')) AS part
              WHERE v.type = 'table' AND coalesce(v.rootpage, 0) = 0
                AND o.name = v.name || '_' || part.column1 COLLATE NOCASE) THEN 'shadow'
         ELSE 'table' END AS type,
    o.type = 'table' AND coalesce(o.rootpage, 0) <> 0 AND EXISTS (
      SELECT 1 FROM pragma_index_list(o.name, 'main') AS i WHERE i.origin = 'pk'
        AND NOT EXISTS (SELECT 1 FROM main.sqlite_schema AS x WHERE x.type = 'index' AND x.name = i.name)) AS wr
  FROM main.sqlite_schema AS o WHERE o.type IN ('table', 'view')
  UNION ALL SELECT 'sqlite_schema', NULL, 'table', 0)";

/// What stands behind a name in the main schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// One without rowids.
    WithoutRowid,
    /// Somebody else's SQL: nothing that bounds what it does.
    View,
    /// Somebody else's code, or the tables behind it.
    Virtual,
}

/// The name as it was declared and what it is; `None` where there is nothing of that name.
pub fn table_kind(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<(String, TableKind)>> {
    connection
        .query_row(
            &format!("SELECT name, type, wr FROM {LISTING} WHERE name = ?1 COLLATE NOCASE"),
            [name],
            |row| {
                let kind: String = row.get(1)?;
                let without_rowid: bool = row.get(2)?;
                let kind = match (kind.as_str(), without_rowid) {
                    ("table", false) => TableKind::Table,
                    ("table", true) => TableKind::WithoutRowid,
                    ("view", _) => TableKind::View,
                    _ => TableKind::Virtual,
                };
                Ok((row.get(0)?, kind))
            },
        )
        .optional()
}

/// True for a table whose definition ends in STRICT.
pub(super) fn is_strict_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1",
        [name],
        |row| {
            let sql = row.get_ref(0)?.as_bytes_or_null()?.unwrap_or(b"");
            Ok(is_strict(&String::from_utf8_lossy(sql)))
        },
    )
}

fn is_strict(sql: &str) -> bool {
    let options = sql.rsplit(')').next().unwrap_or_default();
    options
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case("strict"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_sqlites_own_list_says() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE plain(x); CREATE TABLE \"odd 'name\"(x INT PRIMARY KEY) STRICT, WITHOUT ROWID; CREATE TABLE s(x ANY) STRICT;
                 CREATE TABLE by_text(k TEXT PRIMARY KEY); CREATE TABLE w(id INTEGER PRIMARY KEY, x) WITHOUT ROWID;
                 CREATE TABLE strict(strict UNIQUE); CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT);
                 CREATE VIEW seen AS SELECT x FROM plain; CREATE VIEW broken AS SELECT y FROM nowhere;
                 CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE g USING fts4(body);
                 CREATE VIRTUAL TABLE r USING rtree(id, a, b); ANALYZE;",
            )
            .expect("sets up");
        let list = |from: &str, strict: &str| -> Vec<(String, String, bool, bool)> {
            let sql = format!("SELECT name, type, wr, {strict} FROM {from} AS l ORDER BY name");
            let mut statement = connection.prepare(&sql).expect("prepares");
            let rows = statement.query_map([], |row| {
                let strict = match row.get_ref(3)? {
                    rusqlite::types::ValueRef::Text(sql) => {
                        is_strict(&String::from_utf8_lossy(sql))
                    }
                    other => other.as_i64().is_ok_and(|strict| strict != 0),
                };
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, strict))
            });
            rows.expect("asks")
                .collect::<Result<_, _>>()
                .expect("reads")
        };
        let own = list(LISTING, "sql");
        let theirs = list(
            "(SELECT * FROM pragma_table_list WHERE schema = 'main')",
            "strict",
        );
        assert_eq!(own, theirs);
        assert!(own.len() > 15);
        let kind = |name| table_kind(&connection, name).expect("looks");
        assert_eq!(kind("SEEN"), Some(("seen".into(), TableKind::View)));
        assert_eq!(kind("w"), Some(("w".into(), TableKind::WithoutRowid)));
        assert_eq!(kind("f_data"), Some(("f_data".into(), TableKind::Virtual)));
        assert_eq!(kind("none"), None);
        assert!(is_strict_table(&connection, "s").expect("looks"));
        assert!(!is_strict_table(&connection, "strict").expect("looks"));
    }
}
