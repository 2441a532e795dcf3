//! What foreign keys make of the removal of rows: which rows of other tables go along or change, through any number of tables, and
//! which rows cannot go because of others. All of it is SQL that can be counted before anything happens.

use std::path::Path;

use rusqlite::Connection;

use super::gone::Gone;
use super::table::{Reference, Table};
use super::{explain, quote};
use crate::error::refused;
use crate::sys::Stop;

/// No schema has longer chains on purpose.
const LONGEST: usize = 16;

/// A row of another table.
const A_CHILD: &str = "\"a child\"";

/// What happens to other rows when rows of a table go.
#[derive(Clone, Debug, Default)]
pub struct Cascade {
    /// For each way, an SQL condition on a row of the table: others keep it.
    pub keeps: Vec<String>,
    /// Tables of which rows go along or change, and for each, around the condition on the rows that go, those on a row of it
    /// (`A_CHILD`).
    along: Vec<(String, Vec<Around>)>,
    /// The same, of those that go along.
    takes: Vec<(String, Around)>,
    /// For each foreign key of the table to itself that keeps rows, what makes two rows parent (the table's name) and child
    /// (`"child 1"`).
    own: Vec<String>,
}

impl Cascade {
    /// Of the removal of rows of `table`. With `takes` the schema's own rules for children apply; without, every child keeps its
    /// parent. A table whose rows point to each other never takes its own rows along: each waits until no other points to it. What
    /// is `gone` keeps nothing and is not counted.
    pub fn of(
        connection: &Connection,
        table: &Table,
        takes: bool,
        gone: &Gone,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let way = Way {
            tables: vec![table.name.clone()],
            down: Around::default(),
            up: Around::default(),
        };
        let scene = Scene {
            connection,
            takes,
            gone,
            path,
            stop,
        };
        found.below(&scene, table, &way)?;
        Ok(found)
    }

    fn below(&mut self, scene: &Scene<'_>, table: &Table, way: &Way) -> anyhow::Result<()> {
        let Scene {
            connection,
            takes,
            gone,
            path,
            stop,
        } = *scene;
        let wrong = |error| explain(error, path, stop);
        let references = table.references(connection).map_err(wrong)?;
        table
            .require_short(connection, &references)
            .map_err(wrong)??;
        for reference in &references {
            let level = way.tables.len();
            let root = level == 1;
            let again = way.has(&reference.child);
            let child = format!("\"child {level}\"");
            let parent = match root {
                true => quote(&table.name),
                false => format!("\"child {}\"", level - 1),
            };
            let same = reference.matches(&parent, &child) + &gone.and_not(&reference.child, &child);
            let cascades = takes && reference.cascades;
            let keeps = !takes || !reference.has_action || (root && again && cascades);
            if again && !root && (keeps || cascades) {
                return Err(in_a_circle(table, reference));
            }
            if keeps {
                let other = match root && again {
                    true => format!(" AND {}", reference.is_another(&parent, &child)),
                    false => String::new(),
                };
                let points = format!(
                    "EXISTS (SELECT 1 FROM main.{} AS {child} WHERE {same}{other})",
                    quote(&reference.child)
                );
                self.keeps.push(way.down.of(&points));
                if root && again {
                    self.own.push(format!("{same}{other}"));
                }
                continue;
            }
            // Seen from the child: its parent goes.
            let from = match root {
                true => format!("main.{parent}"),
                false => format!("main.{} AS {parent}", quote(&table.name)),
            };
            let up = |same: &str| Around {
                before: format!(
                    "EXISTS (SELECT 1 FROM {from} WHERE {same} AND ({}",
                    way.up.before
                ),
                after: format!("{}))", way.up.after),
            };
            let reached =
                up(&(reference.matches(&parent, A_CHILD)
                    + &gone.and_not(&reference.child, A_CHILD)));
            if cascades {
                self.takes.push((reference.child.clone(), reached.clone()));
            }
            self.add(&reference.child, reached);
            if cascades {
                if level >= LONGEST {
                    return Err(in_a_circle(table, reference));
                }
                let down = format!(
                    "EXISTS (SELECT 1 FROM main.{} AS {child} WHERE {same} AND ",
                    quote(&reference.child)
                );
                let next = Way {
                    tables: [&way.tables, std::slice::from_ref(&reference.child)].concat(),
                    down: Around {
                        before: way.down.before.clone() + &down,
                        after: format!("){}", way.down.after),
                    },
                    up: up(&same),
                };
                let found = Table::find(connection, &reference.child, path, stop)?;
                if let Some(child) = found {
                    self.below(scene, &child, &next)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, child: &str, way: Around) {
        match self.along.iter_mut().find(|(name, _)| name == child) {
            Some((_, all)) => all.push(way),
            None => self.along.push((child.to_owned(), vec![way])),
        }
    }

    /// How many rows of which tables go along or change with the rows for which `condition` is true.
    pub fn count_along(
        &self,
        connection: &Connection,
        condition: &str,
    ) -> rusqlite::Result<Vec<(String, u64)>> {
        let mut counted = Vec::new();
        for (child, ways) in &self.along {
            let pointing: Vec<_> = ways.iter().map(|one| one.of(condition)).collect();
            let sql = format!(
                "SELECT count(*) FROM main.{} AS {A_CHILD} WHERE {}",
                quote(child),
                pointing.join(" OR ")
            );
            let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
            if rows > 0 {
                counted.push((child.clone(), u64::try_from(rows).unwrap_or(0)));
            }
        }
        Ok(counted)
    }

    /// Adds the rows that go along with those for which `condition` is true to what is gone.
    pub fn take_along(
        &self,
        connection: &Connection,
        condition: &str,
        gone: &mut Gone,
        path: &Path,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        for (child, way) in &self.takes {
            if let Some(child) = Table::find(connection, child, path, stop)? {
                gone.add(&child, Some(A_CHILD), &way.of(condition));
            }
        }
        Ok(())
    }

    /// Refuses where a row that goes sets another one free to go, which nobody could count before. `going` is true for the rows that
    /// go as they are now, `wanted` for those that would if no other row of the table kept them.
    pub fn require_counted(
        &self,
        connection: &Connection,
        table: &Table,
        going: &str,
        wanted: &str,
    ) -> rusqlite::Result<anyhow::Result<()>> {
        let name = quote(&table.name);
        for own in &self.own {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM (SELECT * FROM main.{name} WHERE {going}) AS \"child 1\"
                 WHERE EXISTS (SELECT 1 FROM main.{name} WHERE {own} AND ({wanted})))"
            );
            if connection.query_row(&sql, [], |row| row.get(0))? {
                return Ok(Err(refused(format!(
                    "old rows of {0} point to other old rows of {0}: once some are gone others can go, and how many cannot be told before",
                    table.name
                ))
                .hint("keep the parents with a where in the rule, for example: where = \"parent_id IS NOT NULL\"")
                .into()));
            }
        }
        Ok(Ok(()))
    }
}

/// What stays the same on every way.
struct Scene<'a> {
    connection: &'a Connection,
    takes: bool,
    gone: &'a Gone,
    path: &'a Path,
    stop: &'a Stop,
}

/// From the table to another one, as far as rows go along.
struct Way {
    tables: Vec<String>,
    /// On a row of the first table: one of the last is reached, and what stands inside is true for that one.
    down: Around,
    /// On a row of the last table: it goes, if what stands inside is true for the row of the first.
    up: Around,
}

/// SQL around a condition.
#[derive(Clone, Debug, Default)]
struct Around {
    before: String,
    after: String,
}

impl Around {
    fn of(&self, condition: &str) -> String {
        format!("{}{condition}{}", self.before, self.after)
    }
}

impl Way {
    fn has(&self, table: &str) -> bool {
        self.tables
            .iter()
            .any(|one| one.eq_ignore_ascii_case(table))
    }
}

fn in_a_circle(table: &Table, reference: &Reference) -> anyhow::Error {
    refused(format!(
        "what goes along cannot be told before: rows go from {} on to {}, and so in a circle",
        table.name, reference.child
    ))
    .hint(format!(
        "give {} a rule of its own that comes first, or remove ON DELETE CASCADE",
        reference.child
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn look(schema: &str, takes: bool) -> anyhow::Result<(Connection, Table, Cascade)> {
        let connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(schema).expect("creates");
        let (path, stop) = (Path::new("x.db"), Stop::after(Duration::from_secs(60)));
        let table = Table::find(&connection, "p", path, &stop)?.expect("is there");
        let cascade = Cascade::of(&connection, &table, takes, &Gone::default(), path, &stop)?;
        Ok((connection, table, cascade))
    }

    const CHAIN: &str = "CREATE TABLE p(id INTEGER PRIMARY KEY, old);
         CREATE TABLE a(id INTEGER PRIMARY KEY, p1 REFERENCES p ON DELETE CASCADE, p2 REFERENCES p ON DELETE CASCADE);
         CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE);
         CREATE TABLE n(b REFERENCES b ON DELETE SET NULL);
         CREATE TABLE k(b REFERENCES b);
         INSERT INTO p VALUES (1, 1), (2, 1), (3, 1), (4, 0);
         INSERT INTO a VALUES (10, 1, 1), (11, 1, 2), (12, 4, 3), (13, 4, 4);
         INSERT INTO b VALUES (20, 10), (21, 10), (22, 12), (23, 13);
         INSERT INTO n VALUES (20), (20), (22), (23), (NULL);
         INSERT INTO k VALUES (22), (23), (NULL);";

    /// What is counted before is what SQLite does.
    #[test]
    fn what_goes_along_is_counted_through_all_tables() {
        let (connection, _, cascade) = look(CHAIN, true).expect("looks");
        let kept = cascade.keeps.join(" OR ");
        let going = format!("\"old\" = 1 AND NOT ({kept})");
        let counted = cascade.count_along(&connection, &going).expect("counts");
        let rows = |sql: &str| -> i64 {
            connection
                .query_row(sql, [], |row| row.get(0))
                .expect("counts")
        };
        let before = ["a", "b"].map(|table| rows(&format!("SELECT count(*) FROM {table}")));
        let nulls = rows("SELECT count(*) FROM n WHERE b IS NULL");
        connection
            .execute_batch("PRAGMA foreign_keys=ON")
            .expect("is on");
        let gone = connection
            .execute(&format!("DELETE FROM main.p WHERE {going}"), [])
            .expect("nothing stands against it");
        assert_eq!(gone, 2); // 3 is kept by 22 of k
        let mut found = Vec::new();
        for (table, before) in ["a", "b"].into_iter().zip(before) {
            let gone = before - rows(&format!("SELECT count(*) FROM {table}"));
            found.push((table.to_owned(), gone.cast_unsigned()));
        }
        let changed = rows("SELECT count(*) FROM n WHERE b IS NULL") - nulls;
        found.push(("n".to_owned(), changed.cast_unsigned()));
        let mut counted = counted;
        counted.sort();
        assert_eq!(counted, found);
        assert_eq!(found[0].1, 2);
        // Nothing goes along with what is archived.
        let (connection, _, all) = look(CHAIN, false).expect("looks");
        assert!(
            all.count_along(&connection, "1")
                .expect("counts")
                .is_empty()
        );
        assert_eq!(all.keeps.len(), 2);
    }

    #[test]
    fn rows_of_one_table_wait_for_each_other() {
        let schema =
            "CREATE TABLE p(id INTEGER PRIMARY KEY, old, parent REFERENCES p ON DELETE CASCADE);
             CREATE INDEX by_parent ON p(parent);
             INSERT INTO p VALUES (1, 1, NULL), (2, 0, 1), (3, 1, NULL), (4, 1, 4), (5, 1, 2);";
        let (connection, table, cascade) = look(schema, true).expect("looks");
        let going = format!("(\"old\" = 1) AND NOT {}", cascade.keeps[0]);
        let ids = || -> Vec<i64> {
            connection
                .prepare(&format!("SELECT id FROM main.p WHERE {going}"))
                .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
                .expect("selects")
        };
        assert_eq!(ids(), [3, 4, 5]); // 1 has a young child, 4 only itself
        let counted = || {
            cascade
                .require_counted(&connection, &table, &going, "\"old\" = 1")
                .expect("asks")
        };
        assert!(counted().is_ok());
        connection
            .execute_batch("INSERT INTO p VALUES (6, 1, 3)")
            .expect("inserts");
        let error = counted().expect_err("3 goes once 6 is gone");
        assert!(
            error.to_string().contains("cannot be told before"),
            "{error}"
        );
    }

    #[test]
    fn a_circle_is_refused() {
        for schema in [
            "CREATE TABLE p(id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE);
             CREATE TABLE a(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);",
            "CREATE TABLE p(id INTEGER PRIMARY KEY);
             CREATE TABLE a(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE, a REFERENCES a ON DELETE CASCADE);",
        ] {
            let error = look(schema, true).map(|_| ()).expect_err("a circle");
            assert!(error.to_string().contains("in a circle"), "{error}");
            assert!(look(schema, false).is_ok());
        }
    }
}
