//! Rows that come in are kept as they are: triggers of the schema may remove or change them in the statement that brings them.

use rusqlite::Connection;

use super::quote;

/// What a trigger may do to rows.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Remove them.
    Delete,
    /// Change them.
    Update,
}

/// As long as the connection lives, a statement of it that does this to any row of the table fails as a constraint does, and nothing of
/// it is done. The schema stays as it is: these are triggers of the connection's own.
pub fn keep_rows(connection: &Connection, table: &str, from: &[Act]) -> rusqlite::Result<()> {
    for act in from {
        let (event, does) = match act {
            Act::Delete => ("DELETE", "removes"),
            Act::Update => ("UPDATE", "changes"),
        };
        let name = quote(&format!("{table} {does}"));
        let told = format!("a trigger {does} rows of {table}").replace('\'', "''");
        connection.execute_batch(&format!(
            "CREATE TEMP TRIGGER IF NOT EXISTS {name} BEFORE {event} ON main.{}
             BEGIN SELECT RAISE(ABORT, '{told}'); END",
            quote(table)
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_triggers_would_do_to_rows_is_refused() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE \"a 't\"(id INTEGER PRIMARY KEY, v) ; CREATE TABLE log(x);
                 CREATE TRIGGER logs AFTER INSERT ON \"a 't\" BEGIN INSERT INTO log VALUES (new.id); END;
                 CREATE TRIGGER trims AFTER INSERT ON \"a 't\" WHEN new.v = 'trim' BEGIN DELETE FROM \"a 't\" WHERE id < new.id; END;
                 CREATE TRIGGER stamps AFTER INSERT ON \"a 't\" WHEN new.v = 'stamp' BEGIN UPDATE \"a 't\" SET v = 'now' WHERE id = new.id; END;",
            )
            .expect("creates");
        for _ in 0..2 {
            keep_rows(&connection, "a 't", &[Act::Delete, Act::Update]).expect("keeps");
        }
        let insert = |value: &str| {
            connection.execute("INSERT OR ABORT INTO \"a 't\"(v) VALUES (?1)", [value])
        };
        assert_eq!(insert("one").expect("comes in"), 1);
        for (value, told) in [("trim", "removes rows of a 't"), ("stamp", "changes rows")] {
            let error = insert(value).expect_err("is refused");
            assert!(super::super::is_constraint(&error), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM \"a 't\", log", [], |row| row.get(0))
            .expect("counts");
        assert_eq!(rows, 1);
    }
}
