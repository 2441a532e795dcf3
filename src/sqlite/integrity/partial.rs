//! That a partial index has as many entries as there are rows for it. SQLite's own check looks the rows up in it and does not count
//! its entries, so that one without a row goes unseen, and a query finds a row too many.

use rusqlite::Connection;

use super::super::open::is_the_applications;
use super::super::quote;

/// What is wrong with the partial indexes, in the words that the pragma has for whole ones.
pub(super) fn partial(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT schema.name, schema.tbl_name, schema.sql
         FROM sqlite_schema AS schema, pragma_index_list(schema.tbl_name, 'main') AS list
         WHERE schema.type = 'index' AND list.name = schema.name AND list.partial",
    )?;
    let indexes: Vec<(String, String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::new();
    for (index, table, sql) in indexes {
        let Some(condition) = condition(&sql) else {
            continue;
        };
        let from = |by: &str| {
            let table = quote(&table);
            format!("SELECT count(*) FROM main.{table} {by} WHERE {condition}")
        };
        let entries = from(&format!("INDEXED BY {}", quote(&index)));
        // Nothing but the index itself may be read.
        let plan: Result<String, _> =
            connection.query_row(&format!("EXPLAIN QUERY PLAN {entries}"), [], |row| {
                row.get(3)
            });
        if !plan.is_ok_and(|plan| plan.contains(" COVERING INDEX ")) {
            continue;
        }
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        match (count(&entries), count(&from("NOT INDEXED"))) {
            (Ok(entries), Ok(rows)) if entries == rows => {}
            (Ok(_), Ok(_)) => found.push(format!("wrong # of entries in index {index}")),
            (Err(error), _) | (_, Err(error)) if is_the_applications(&error).is_some() => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
    }
    Ok(found)
}

/// What stands behind the columns' closing bracket; none where comments make that hard to tell.
fn condition(sql: &str) -> Option<&str> {
    let (mut depth, mut open) = (0, None);
    for (at, one) in sql.char_indices() {
        match (open, one) {
            (Some(quote), one) if one == quote => open = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => open = Some(one),
            (None, '[') => open = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => {
                let behind = sql[at + 1..].trim_start();
                let word = behind.get(..5)?;
                let is_plain = !sql.contains("--") && !sql.contains("/*");
                return (word.eq_ignore_ascii_case("WHERE") && is_plain).then(|| &behind[5..]);
            }
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_row_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, \"b (\" INT);
                 CREATE INDEX p ON t(a, \"b (\") WHERE a > 'm' AND \"b (\" IS NOT NULL;
                 CREATE INDEX q ON t(upper(a)) WHERE (a) IS NOT NULL;
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)
                   INSERT INTO t SELECT n, char(96 + n % 26), n FROM c;",
            )
            .expect("fills");
        assert!(partial(&connection).expect("looks").is_empty());
        // Its entry stays where a row goes while the schema does not have the index.
        connection
            .execute_batch(
                "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'p';
                 PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'p'; PRAGMA writable_schema=RESET;
                 DELETE FROM t WHERE id = 20;
                 PRAGMA writable_schema=ON; INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema=RESET;",
            )
            .expect("breaks it");
        let found = partial(&connection).expect("looks");
        assert_eq!(found, ["wrong # of entries in index p"]);
    }

    #[test]
    fn where_the_condition_is() {
        for (sql, expected) in [
            ("CREATE INDEX i ON t(a) WHERE a > 1", Some(" a > 1")),
            (
                "CREATE INDEX \"i(\" ON [t)](lower(a), b) where b",
                Some(" b"),
            ),
            ("CREATE INDEX i ON t(a)", None),
            ("CREATE INDEX i ON t(a /* ( */) WHERE a", None),
        ] {
            assert_eq!(condition(sql), expected, "{sql}");
        }
    }
}
