//! Deletes rows, or moves them into another table of the same database: copy and removal of a row are one transaction.

use std::cell::RefCell;

use anyhow::bail;
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
    let archive = match &plan.target {
        Target::Table { archive, .. } => Some(archive),
        _ => None,
    };
    let landed = match archive {
        Some(archive) => Landed::watch(scene.writer, &plan.table, archive).map_err(wrong)??,
        None => None,
    };
    let runs = match plan.table.key.as_slice() {
        // Where each row is followed, each is for itself.
        [key] if landed.is_none() => Some(Runs::prepare(scene.writer, plan, key).map_err(wrong)?),
        _ => None,
    };
    let in_runs = runs.is_some();
    let work = RefCell::new(Work {
        scene,
        plan,
        archive,
        ones: Hand::prepare(scene.writer, plan, &plan.table.key_is()).map_err(wrong)?,
        runs,
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
            let mut turn = Done::default();
            at += pace.proven(
                scene.writer,
                rest,
                |item| work.borrow_mut().item(item, &mut turn),
                || work.borrow_mut().prove(),
            )?;
            done.add(&turn);
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
    runs: Option<Runs<'a>>,
    /// Where triggers act.
    landed: Option<Landed<'a>>,
}

/// Takes rows that still are what was meant.
struct Hand<'a> {
    copy: Option<Statement<'a>>,
    delete: Statement<'a>,
}

/// Takes runs of rows. A condition that calls a function can fail, and SQLite notes every page that such a statement is about to change
/// in a journal of its own, to undo just that statement: a quarter of the time that the lock is held. One that removes a single row
/// needs none, and neither does one without a condition: the transaction is ours, so what was counted in it is still so.
struct Runs<'a> {
    hand: Hand<'a>,
    /// How many of a run still are what was meant.
    meant: Statement<'a>,
    /// The whole run, whatever it is.
    delete: Statement<'a>,
}

impl<'a> Hand<'a> {
    fn prepare(connection: &'a Connection, plan: &Plan, which: &str) -> rusqlite::Result<Self> {
        let condition = plan.selection.condition();
        let from = (&plan.table, which, condition.as_str());
        Ok(Self {
            copy: match &plan.target {
                Target::Table { archive, columns } => {
                    Some(copy_statement(connection, from, &archive.name, columns)?)
                }
                _ => None,
            },
            delete: plan.table.delete_those(connection, which, &condition)?,
        })
    }
}

impl<'a> Runs<'a> {
    fn prepare(connection: &'a Connection, plan: &Plan, key: &str) -> rusqlite::Result<Self> {
        let which = format!("{} BETWEEN ?1 AND ?2", quote(key));
        let (table, condition) = (quote(&plan.table.name), plan.selection.condition());
        Ok(Self {
            hand: Hand::prepare(connection, plan, &which)?,
            meant: connection.prepare(&format!(
                "SELECT count(*) FROM main.{table} WHERE {which} AND ({condition}) IS TRUE"
            ))?,
            delete: connection.prepare(&format!("DELETE FROM main.{table} WHERE {which}"))?,
        })
    }
}

impl Work<'_> {
    /// One row, or a run of them. Where a constraint stops a run, its rows are tried one by one.
    fn item(&mut self, item: &Item, done: &mut Done) -> anyhow::Result<()> {
        match item {
            Item::One(key) => self.one(key, done),
            Item::Run(first, last) => match self.run(*first, *last, done) {
                Err(error) if is_constraint_in(&error) => {
                    require_open(self.scene.writer)?;
                    for number in *first..=*last {
                        self.one(&vec![number.into()], done)?;
                    }
                    Ok(())
                }
                Err(error) => Err(self.explained(error)),
                Ok(()) => Ok(()),
            },
        }
    }

    /// Before the transaction is committed.
    fn prove(&mut self) -> anyhow::Result<()> {
        self.landed.as_mut().map_or(Ok(()), Landed::prove)
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

    fn run(&mut self, first: i64, last: i64, done: &mut Done) -> anyhow::Result<()> {
        let Some(runs) = &mut self.runs else {
            bail!("a run of rows where each is for itself");
        };
        let ends = [first, last];
        let meant = match &mut runs.hand.copy {
            Some(copy) => copy.execute(ends)?,
            None => usize::try_from(runs.meant.query_row(ends, |row| row.get::<_, i64>(0))?)?,
        };
        if meant == 0 {
            return Ok(());
        }
        let removed = match usize::try_from(last - first + 1) == Ok(meant) {
            true => runs.delete.execute(ends),
            false => runs.hand.delete.execute(ends),
        };
        match self.archive {
            Some(_) => {
                self.require_removed(meant, removed)?;
                done.rows += meant as u64;
            }
            None => done.rows += removed? as u64,
        }
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
}
