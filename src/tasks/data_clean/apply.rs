//! Deletes rows, or moves them into another table of the same database: copy and removal of a row are one transaction.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};

use super::landed::Landed;
use super::plan::{Plan, Target};
use super::run::{Done, Scene};
use crate::error::refused;
use crate::sqlite::{Pace, Row, Table, is_constraint_in, quote, require_open};
use crate::{text, units};

/// Keys that are read at a time.
const PIECE: usize = 10_000;

/// So many statements are made ready while the lock is left alone.
const AHEAD: usize = 40_000;

/// So many rows at most in one statement: the clock is looked at after each.
const MOST_IN_RUN: i64 = 128;

/// So many keys in the list of one statement; fewer where that takes longer than this.
const LIST: usize = 64;
const LIST_TIME: Duration = Duration::from_millis(2);

/// What one statement is about.
#[derive(Debug, PartialEq)]
enum Item {
    /// The row with this key.
    One(Row),
    /// All rows from the first to the last of keys that follow each other: one statement for many rows is much faster.
    Run(i64, i64),
}

/// Goes through the rows of the plan. `done` holds, also after an error, what is committed.
pub fn apply(
    scene: &Scene<'_>,
    plan: &Plan,
    pace: &mut Pace,
    done: &mut Done,
) -> anyhow::Result<()> {
    let wrong = |error| scene.explain(error);
    let (archive, into) = match &plan.target {
        Target::Table { archive, columns } => (Some(archive), Some((archive, columns.as_slice()))),
        _ => (None, None),
    };
    let terms = Terms {
        connection: scene.writer,
        table: &plan.table,
        condition: plan.selection.condition(),
        into,
    };
    let landed = match archive {
        Some(archive) => Landed::watch(scene.writer, &plan.table, archive).map_err(wrong)??,
        None => None,
    };
    let several = match plan.table.key.as_slice() {
        // Where each row is followed, each is for itself.
        [key] if landed.is_none() => Some(Several::prepare(&terms, key).map_err(wrong)?),
        _ => None,
    };
    let in_runs = several.is_some();
    let work = RefCell::new(Work {
        scene,
        plan,
        archive,
        ones: Hand::prepare(&terms, &plan.table.key_is()).map_err(wrong)?,
        several,
        landed,
    });
    let mut walk = plan.selection.walk(&[]);
    let mut ahead: Vec<Item> = Vec::new();
    let mut at = 0;
    loop {
        ahead.drain(..at);
        at = 0;
        let mut more = true;
        while more && (ahead.is_empty() || (pace.rests() && ahead.len() < AHEAD)) {
            let piece = walk.piece(scene.reader, PIECE, |_| false).map_err(wrong)?;
            more = !piece.is_empty();
            match in_runs {
                true => ahead.extend(runs_of(piece)),
                false => ahead.extend(piece.into_iter().map(Item::One)),
            }
        }
        if ahead.is_empty() {
            return Ok(());
        }
        while at < ahead.len() && (at == 0 || !pace.rests()) {
            if scene.must_give_way() {
                done.gave_way = true;
                return Ok(());
            }
            let rest = ahead.get(at..).unwrap_or_default();
            let turn = RefCell::new(Done::default());
            at += pace.proven(
                scene.writer,
                rest,
                |item| work.borrow_mut().item(item, &mut turn.borrow_mut()),
                || work.borrow_mut().prove(&mut turn.borrow_mut()),
            )?;
            done.add(&turn.into_inner());
            scene.progress(done.rows, plan);
            // Whatever came since, or was freed by what went, is the next run's: no more goes than was counted and allowed.
            if done.rows >= plan.chosen {
                return Ok(());
            }
        }
    }
}

/// Keys that follow each other as runs: there is no other row between.
fn runs_of(piece: Vec<Row>) -> Vec<Item> {
    let mut numbers = Vec::with_capacity(piece.len());
    let mut found = Vec::new();
    for key in piece {
        match key.as_slice() {
            [Value::Integer(number)] => numbers.push(*number),
            _ => found.push(Item::One(key)),
        }
    }
    numbers.sort_unstable();
    let item = |(first, last): (i64, i64)| match first == last {
        true => Item::One(vec![first.into()]),
        false => Item::Run(first, last),
    };
    let mut open: Option<(i64, i64)> = None;
    for number in numbers {
        match &mut open {
            Some((first, last))
                if last.checked_add(1) == Some(number) && number - *first < MOST_IN_RUN =>
            {
                *last = number;
            }
            _ => found.extend(open.replace((number, number)).map(item)),
        }
    }
    found.extend(open.map(item));
    found
}

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

struct Work<'a> {
    scene: &'a Scene<'a>,
    plan: &'a Plan,
    archive: Option<&'a Table>,
    ones: Hand<'a>,
    several: Option<Several<'a>>,
    /// Where triggers act.
    landed: Option<Landed<'a>>,
}

/// What the statements are about.
struct Terms<'a> {
    connection: &'a Connection,
    table: &'a Table,
    /// True for a row that is meant.
    condition: String,
    /// Another table, and the columns that are copied.
    into: Option<(&'a Table, &'a [String])>,
}

/// Takes rows that still are what was meant.
struct Hand<'a> {
    copy: Option<Statement<'a>>,
    delete: Statement<'a>,
}

/// Takes many rows in one statement. A condition that calls a function can fail, and SQLite notes every page that such a statement is
/// about to change in a journal of its own, to undo just that statement: a quarter of the time that the lock is held. One that removes a
/// single row needs none, and neither does one without a condition: the transaction is ours, so what was counted in it is still so.
struct Many<'a> {
    hand: Hand<'a>,
    /// How many of them still are what was meant.
    meant: Statement<'a>,
    /// All of them, whatever they are.
    delete: Statement<'a>,
}

/// Rows whose keys are whole numbers.
struct Several<'a> {
    runs: Many<'a>,
    lists: Many<'a>,
    /// Keys without neighbours, for the next list.
    waiting: Vec<i64>,
    /// So many in a list.
    share: usize,
}

/// What became of many rows.
struct Taken {
    meant: usize,
    removed: rusqlite::Result<usize>,
}

impl<'a> Hand<'a> {
    fn prepare(terms: &Terms<'a>, which: &str) -> rusqlite::Result<Self> {
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
}

impl<'a> Many<'a> {
    fn prepare(terms: &Terms<'a>, which: &str) -> rusqlite::Result<Self> {
        let (table, condition) = (quote(&terms.table.name), &terms.condition);
        let prepare = |sql: String| terms.connection.prepare(&sql);
        Ok(Self {
            hand: Hand::prepare(terms, which)?,
            meant: prepare(format!(
                "SELECT count(*) FROM main.{table} WHERE {which} AND ({condition}) IS TRUE"
            ))?,
            delete: prepare(format!("DELETE FROM main.{table} WHERE {which}"))?,
        })
    }

    /// `which` are so many rows, where all of them are still there.
    fn take(&mut self, which: &[i64], rows: usize) -> anyhow::Result<Taken> {
        let which = || params_from_iter(which);
        let meant = match &mut self.hand.copy {
            Some(copy) => copy.execute(which())?,
            None => usize::try_from(self.meant.query_row(which(), |row| row.get::<_, i64>(0))?)?,
        };
        let removed = match meant {
            0 => Ok(0),
            all if all == rows => self.delete.execute(which()),
            _ => self.hand.delete.execute(which()),
        };
        Ok(Taken { meant, removed })
    }
}

impl<'a> Several<'a> {
    fn prepare(terms: &Terms<'a>, key: &str) -> rusqlite::Result<Self> {
        let key = quote(key);
        let numbers: Vec<_> = (1..=LIST).map(|number| format!("?{number}")).collect();
        let list = format!("{key} IN ({})", numbers.join(", "));
        Ok(Self {
            runs: Many::prepare(terms, &format!("{key} BETWEEN ?1 AND ?2"))?,
            lists: Many::prepare(terms, &list)?,
            waiting: Vec::with_capacity(LIST),
            share: 1,
        })
    }

    fn list(&mut self, keys: &[i64]) -> anyhow::Result<Taken> {
        let began = Instant::now();
        // A key that is there twice counts once.
        let last = keys.last().copied().unwrap_or_default();
        let mut which = keys.to_vec();
        which.resize(LIST, last);
        let taken = self.lists.take(&which, keys.len())?;
        self.share = match began.elapsed() > LIST_TIME {
            true => self.share / 2,
            false => self.share * 2,
        }
        .clamp(1, LIST);
        Ok(taken)
    }
}

impl Work<'_> {
    /// One row, or a run of them. A row without neighbours waits for the next list.
    fn item(&mut self, item: &Item, done: &mut Done) -> anyhow::Result<()> {
        match (item, &mut self.several) {
            (Item::Run(first, last), Some(several)) => {
                let rows = usize::try_from(last - first + 1)?;
                let taken = several.runs.take(&[*first, *last], rows);
                self.count(taken, *first..=*last, done)
            }
            (Item::Run(first, last), None) => self.each(*first..=*last, done),
            (Item::One(key), Some(several)) if let [Value::Integer(number)] = key.as_slice() => {
                several.waiting.push(*number);
                match several.waiting.len() < several.share {
                    true => Ok(()),
                    false => self.list(done),
                }
            }
            (Item::One(key), _) => self.one(key, done),
        }
    }

    /// Those that wait.
    fn list(&mut self, done: &mut Done) -> anyhow::Result<()> {
        let Some(several) = &mut self.several else {
            return Ok(());
        };
        let keys = std::mem::take(&mut several.waiting);
        if keys.is_empty() {
            return Ok(());
        }
        let taken = several.list(&keys);
        self.count(taken, keys, done)
    }

    /// Before the transaction is committed.
    fn prove(&mut self, done: &mut Done) -> anyhow::Result<()> {
        self.list(done)?;
        self.landed.as_mut().map_or(Ok(()), Landed::prove)
    }

    /// Where a constraint stops many rows, they are tried one by one.
    fn count(
        &mut self,
        taken: anyhow::Result<Taken>,
        keys: impl IntoIterator<Item = i64>,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let counted = taken.and_then(|Taken { meant, removed }| match self.archive {
            Some(_) => self.require_removed(meant, removed).map(|()| meant),
            None => Ok(removed?),
        });
        match counted {
            Ok(rows) => done.rows += rows as u64,
            Err(error) if is_constraint_in(&error) => {
                require_open(self.scene.writer)?;
                return self.each(keys, done);
            }
            Err(error) => return Err(self.explained(error)),
        }
        Ok(())
    }

    fn each(&mut self, keys: impl IntoIterator<Item = i64>, done: &mut Done) -> anyhow::Result<()> {
        keys.into_iter()
            .try_for_each(|key| self.one(&vec![key.into()], done))
    }

    /// A row that is not let go stays; so does one that does not fit into the archive, and that is told.
    fn one(&mut self, key: &Row, done: &mut Done) -> anyhow::Result<()> {
        let Err(error) = self.take(key, done) else {
            return Ok(());
        };
        require_open(self.scene.writer)?;
        if !is_constraint_in(&error) {
            return Err(self.explained(error));
        }
        if self.archive.is_some() {
            done.conflicts += 1;
            let first = || format!("{}: {error}", named(&self.plan.table, key));
            done.first_conflict.get_or_insert_with(first);
        }
        Ok(())
    }

    fn take(&mut self, key: &Row, done: &mut Done) -> anyhow::Result<()> {
        let key_values = || params_from_iter(key);
        let Some(copy) = &mut self.ones.copy else {
            done.rows += self.ones.delete.execute(key_values())? as u64;
            return Ok(());
        };
        let copied = copy.execute(key_values())?;
        if copied == 0 {
            return Ok(()); // changed since, or a trigger does not want it there
        }
        let number = self.landed.as_ref().map(Landed::number);
        let removed = self.ones.delete.execute(key_values());
        self.require_removed(copied, removed)?;
        if let (Some(landed), Some(number)) = (&mut self.landed, number) {
            landed.moved(number, key)?;
        }
        done.rows += copied as u64;
        Ok(())
    }

    /// What was copied into the archive is gone from its table: a constraint here is no conflict there.
    fn require_removed(
        &self,
        copied: usize,
        removed: rusqlite::Result<usize>,
    ) -> anyhow::Result<()> {
        let removed = removed.map_err(|error| self.scene.explain(error))?;
        let (Some(archive), true) = (self.archive, removed != copied) else {
            return Ok(());
        };
        let from = &self.plan.table.name;
        Err(refused(format!(
            "{copied} of {from} were copied into {} and {removed} could be removed: a trigger keeps the others",
            archive.name
        ))
        .hint(format!(
            "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{}'",
            from.replace('\'', "''")
        ))
        .into())
    }

    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<rusqlite::Error>() {
            Ok(error) => self.scene.explain(error),
            Err(error) => error,
        }
    }
}

/// `id = 7`, as far as its key can be shown.
fn named(table: &Table, key: &Row) -> String {
    let shown = |value: &Value| match value {
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text::shorten(&text::clean(text), 60)),
        Value::Blob(bytes) => format!("a BLOB of {}", units::count(bytes.len() as u64, "byte")),
        Value::Null => "NULL".to_owned(),
    };
    let pairs = table.key.iter().zip(key);
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name} = {}", shown(value)))
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Stop;
    use std::path::Path;

    #[test]
    fn keys_in_a_row_become_runs() {
        let keys = |numbers: &[i64]| numbers.iter().map(|one| vec![Value::from(*one)]).collect();
        let one = |number: i64| Item::One(vec![number.into()]);
        let found = runs_of(keys(&[7, 3, 1, 2, 9, 8, -5]));
        assert_eq!(found, [one(-5), Item::Run(1, 3), Item::Run(7, 9)]);
        let many: Vec<i64> = (0..300).collect();
        assert_eq!(runs_of(keys(&many)).len(), 3);
        let text: Row = vec![Value::Text("a".into())];
        assert_eq!(runs_of(vec![text.clone()]), [Item::One(text)]);
        assert_eq!(
            runs_of(keys(&[i64::MAX, i64::MIN])),
            [one(i64::MIN), one(i64::MAX)]
        );
    }

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
            let terms = Terms {
                connection: &connection,
                table: &table,
                condition: "at GLOB '20??' AND at < '2025'".to_owned(),
                into: archives.then_some((&old, columns.as_slice())),
            };
            let mut several = Several::prepare(&terms, "id").expect("prepares");
            let mut went = Vec::new();
            for (keys, expected) in [
                (vec![2, 4], vec![2, 4]),
                (vec![1, 6, 7], vec![1, 7]),
                (vec![8, 9], vec![9]),
                (vec![6], vec![]),
            ] {
                let taken = several.list(&keys).expect("goes");
                let counts = (taken.meant, taken.removed.expect("goes"));
                assert_eq!(counts, (expected.len(), expected.len()), "{keys:?}");
                went.extend(expected);
            }
            for ((first, last), expected) in [((11, 12), vec![11, 12]), ((13, 16), vec![14, 16])] {
                let length = usize::try_from(last - first + 1).expect("fits");
                let taken = several.runs.take(&[first, last], length).expect("goes");
                let counts = (taken.meant, taken.removed.expect("goes"));
                assert_eq!(counts, (expected.len(), expected.len()), "{first}");
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
