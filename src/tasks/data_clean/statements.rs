//! The statements that take rows out of a table, one by one or many at once.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement, params_from_iter};

use crate::sqlite::{Table, quote};

/// So many keys in the list of one statement; fewer where that takes longer than this.
const LIST: usize = 64;
const LIST_TIME: Duration = Duration::from_millis(2);

/// `INSERT` of the rows of a table with `which` keys into another. Never instead of a row that is there, whatever the schema says.
pub fn copy_statement<'a>(
    connection: &'a Connection,
    (from, which, condition): (&Table, &str, &str),
    to: &str,
    columns: &[String],
) -> rusqlite::Result<Statement<'a>> {
    let columns = columns.join(", ");
    connection.prepare(&format!(
        "INSERT OR ABORT INTO main.{} ({columns}) SELECT {columns} FROM main.{} WHERE {which} AND ({condition}) IS TRUE",
        quote(to),
        quote(&from.name)
    ))
}

/// What the statements are about.
pub struct Terms<'a> {
    /// Writes.
    pub connection: &'a Connection,
    /// The rows' own.
    pub table: &'a Table,
    /// True for a row that is meant.
    pub condition: String,
    /// Another table, and the columns that are copied.
    pub into: Option<(&'a Table, &'a [String])>,
}

/// Takes rows that still are what was meant.
pub struct Hand<'a> {
    /// Into the other table.
    pub copy: Option<Statement<'a>>,
    /// Out of their own.
    pub delete: Statement<'a>,
}

/// Rows whose keys are whole numbers.
pub struct Several<'a> {
    runs: Hand<'a>,
    lists: Hand<'a>,
    /// Keys without neighbours, for the next list.
    waiting: Vec<i64>,
    /// So many in a list.
    share: usize,
}

/// What became of many rows.
pub struct Taken {
    /// So many were copied, where there is another table.
    pub copied: Option<usize>,
    /// So many are gone.
    pub removed: rusqlite::Result<usize>,
}

impl<'a> Hand<'a> {
    /// Of the rows `which` tells, in SQL.
    pub fn prepare(terms: &Terms<'a>, which: &str) -> rusqlite::Result<Self> {
        let (table, condition) = (terms.table, terms.condition.as_str());
        let copy = terms.into.map(|(archive, columns)| {
            let from = (table, which, condition);
            copy_statement(terms.connection, from, &archive.name, columns)
        });
        Ok(Self {
            copy: copy.transpose()?,
            delete: table.delete_those(terms.connection, which, condition)?,
        })
    }

    /// Those that still are what was meant.
    fn take(&mut self, which: &[i64]) -> rusqlite::Result<Taken> {
        let which = || params_from_iter(which);
        let copy = self.copy.as_mut();
        Ok(Taken {
            copied: copy.map(|copy| copy.execute(which())).transpose()?,
            removed: self.delete.execute(which()),
        })
    }
}

impl<'a> Several<'a> {
    /// Of a table with this key. None where the condition calls a function: a call may fail, and SQLite notes every page that a statement
    /// of several rows is about to change in a journal of its own, to undo just that statement. One by one they are faster.
    pub fn prepare(terms: &Terms<'a>, key: &str) -> rusqlite::Result<Option<Self>> {
        if calls_functions(terms)? {
            return Ok(None);
        }
        let key = quote(key);
        let numbers: Vec<_> = (1..=LIST).map(|number| format!("?{number}")).collect();
        let list = format!("{key} IN ({})", numbers.join(", "));
        Ok(Some(Self {
            runs: Hand::prepare(terms, &format!("{key} BETWEEN ?1 AND ?2"))?,
            lists: Hand::prepare(terms, &list)?,
            waiting: Vec::with_capacity(LIST),
            share: 1,
        }))
    }

    /// The rows from the first to the last of keys that follow each other.
    pub fn run(&mut self, first: i64, last: i64) -> rusqlite::Result<Taken> {
        self.runs.take(&[first, last])
    }

    /// This one is for the next list; says whether it is complete.
    pub fn wait(&mut self, key: i64) -> bool {
        self.waiting.push(key);
        self.waiting.len() >= self.share
    }

    /// Those that wait; none after that.
    pub fn waiting(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.waiting)
    }

    /// The rows with these keys.
    pub fn list(&mut self, keys: &[i64]) -> rusqlite::Result<Taken> {
        let began = Instant::now();
        // A key that is there twice counts once.
        let last = keys.last().copied().unwrap_or_default();
        let mut which = keys.to_vec();
        which.resize(LIST, last);
        let taken = self.lists.take(&which)?;
        self.share = match began.elapsed() > LIST_TIME {
            true => self.share / 2,
            false => self.share * 2,
        }
        .clamp(1, LIST);
        Ok(taken)
    }
}

/// True where the condition does, in whatever words.
fn calls_functions(terms: &Terms<'_>) -> rusqlite::Result<bool> {
    let (table, condition) = (quote(&terms.table.name), &terms.condition);
    let sql = format!("EXPLAIN SELECT 1 FROM main.{table} WHERE ({condition}) IS TRUE");
    let mut program = terms.connection.prepare(&sql)?;
    let mut steps = program.query([])?;
    while let Some(step) = steps.next()? {
        if step.get_ref("opcode")?.as_str()?.contains("Func") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Stop;
    use std::path::Path;

    /// Whatever the list or the run says: what the application has changed since, or removed, is not meant.
    #[test]
    fn of_many_only_those_go_that_still_are_meant() {
        let stop = Stop::after(Duration::from_secs(60));
        let rows = |connection: &Connection, table: &str| -> Vec<i64> {
            let mut statement = connection
                .prepare(&format!("SELECT id FROM {table} ORDER BY id"))
                .expect("prepares");
            let found = statement.query_map([], |row| row.get(0)).expect("asks");
            found.collect::<rusqlite::Result<_>>().expect("reads")
        };
        let columns = ["id".to_owned(), "at".to_owned()];
        for archives in [false, true] {
            let connection = Connection::open_in_memory().expect("opens");
            connection
                .execute_batch(
                    "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT); CREATE TABLE old (id INTEGER PRIMARY KEY, at TEXT);
                     WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20) INSERT INTO t SELECT n, '2020' FROM c;
                     UPDATE t SET at = '2026' WHERE id IN (6, 13); DELETE FROM t WHERE id IN (8, 15); BEGIN",
                )
                .expect("creates");
            let find = |name| Table::find(&connection, name, Path::new("x.db"), &stop);
            let table = find("t").expect("looks").expect("is there");
            let old = find("old").expect("looks").expect("is there");
            let terms = |condition: &str| Terms {
                connection: &connection,
                table: &table,
                condition: condition.to_owned(),
                into: archives.then_some((&old, columns.as_slice())),
            };
            for calls in ["at GLOB '20??'", "at < '2025' AND length(at) = 4"] {
                let several = Several::prepare(&terms(calls), "id").expect("prepares");
                assert!(several.is_none(), "{calls}");
            }
            let several = Several::prepare(&terms("at >= '2020' AND at < '2025'"), "id");
            let mut several = several.expect("prepares").expect("calls nothing");
            let mut went = Vec::new();
            for (keys, expected) in [
                (vec![2, 4], vec![2, 4]),
                (vec![1, 6, 7], vec![1, 7]),
                (vec![8, 9], vec![9]),
                (vec![6], vec![]),
            ] {
                let taken = several.list(&keys).expect("goes");
                let counts = (taken.copied, taken.removed.expect("goes"));
                let copied = archives.then_some(expected.len());
                assert_eq!(counts, (copied, expected.len()), "{keys:?}");
                went.extend(expected);
            }
            for ((first, last), expected) in [((11, 12), vec![11, 12]), ((13, 16), vec![14, 16])] {
                let taken = several.run(first, last).expect("goes");
                let counts = (taken.copied, taken.removed.expect("goes"));
                let copied = archives.then_some(expected.len());
                assert_eq!(counts, (copied, expected.len()), "{first}");
                went.extend(expected);
            }
            went.sort_unstable();
            assert_eq!(rows(&connection, "t"), [3, 5, 6, 10, 13, 17, 18, 19, 20]);
            let archived = match archives {
                true => went,
                false => Vec::new(),
            };
            assert_eq!(rows(&connection, "old"), archived);
        }
    }
}
