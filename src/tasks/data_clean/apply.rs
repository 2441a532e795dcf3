//! Deletes rows, or moves them into another table of the same database: copy and removal of a row are one transaction.

use std::cell::RefCell;

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

/// Goes through the rows of the plan. `done` holds, also after an error, what is committed.
pub fn apply(
    scene: &Scene<'_>,
    plan: &Plan,
    pace: &mut Pace,
    done: &mut Done,
) -> anyhow::Result<()> {
    let wrong = |error| scene.explain(error);
    let condition = plan.selection.condition();
    let single = plan.table.key.len() == 1;
    let which = match single {
        true => format!("{} BETWEEN ?1 AND ?2", quote(&plan.table.key[0])),
        false => plan.table.key_is(),
    };
    let delete = plan.table.delete_those(scene.writer, &which, &condition);
    let copy = match &plan.target {
        Target::Table { archive, columns } => {
            let from = (&plan.table, which.as_str(), condition.as_str());
            let copy = copy_statement(scene.writer, from, &archive.name, columns);
            Some(Copy {
                into: archive,
                statement: copy.map_err(wrong)?,
                landed: Landed::watch(scene.writer, &plan.table, archive).map_err(wrong)??,
            })
        }
        _ => None,
    };
    // Where each row is followed, each is for itself.
    let in_runs = single && copy.as_ref().is_none_or(|copy| copy.landed.is_none());
    let work = RefCell::new(Work {
        scene,
        plan,
        single,
        delete: delete.map_err(wrong)?,
        copy,
    });
    let mut walk = plan.selection.walk(&[]);
    let mut ahead: Vec<Row> = Vec::new();
    let mut at = 0;
    loop {
        ahead.drain(..at);
        at = 0;
        let mut more = true;
        while more && (ahead.is_empty() || (pace.rests() && ahead.len() < AHEAD)) {
            let piece = walk.piece(scene.reader, PIECE, |_| false).map_err(wrong)?;
            more = !piece.is_empty();
            ahead.extend(match (in_runs, single) {
                (true, _) => runs(piece),
                (false, true) => piece
                    .into_iter()
                    .map(|key| [key.clone(), key].concat())
                    .collect(),
                (false, false) => piece,
            });
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

/// Keys that follow each other as one first and last: there is no other row between. One statement for many rows is much faster.
fn runs(piece: Vec<Row>) -> Vec<Row> {
    let mut numbers = Vec::with_capacity(piece.len());
    let mut found = Vec::new();
    for mut key in piece {
        match key.pop() {
            Some(Value::Integer(number)) => numbers.push(number),
            Some(other) => found.push(vec![other.clone(), other]),
            None => {}
        }
    }
    numbers.sort_unstable();
    let mut open: Option<(i64, i64)> = None;
    for number in numbers {
        match &mut open {
            Some((first, last))
                if last.checked_add(1) == Some(number) && number - *first < MOST_IN_RUN =>
            {
                *last = number;
            }
            _ => {
                let done = open.replace((number, number));
                found.extend(done.map(|(first, last)| vec![first.into(), last.into()]));
            }
        }
    }
    found.extend(open.map(|(first, last)| vec![first.into(), last.into()]));
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
    /// An item is the first and the last of keys of one column.
    single: bool,
    delete: Statement<'a>,
    copy: Option<Copy<'a>>,
}

/// Into another table.
struct Copy<'a> {
    into: &'a Table,
    statement: Statement<'a>,
    /// Where triggers act.
    landed: Option<Landed<'a>>,
}

impl Work<'_> {
    /// One row, or a run of them. Where a constraint stops a run, its rows are tried one by one.
    fn item(&mut self, item: &Row, done: &mut Done) -> anyhow::Result<()> {
        match (self.rows(item, done), item.as_slice()) {
            (Err(error), [Value::Integer(first), Value::Integer(last)])
                if first < last && is_constraint_in(&error) =>
            {
                require_open(self.scene.writer)?;
                for key in *first..=*last {
                    self.one(&vec![key.into(), key.into()], done)?;
                }
                Ok(())
            }
            (Err(error), _) => self.refused(item, error, done),
            (Ok(()), _) => Ok(()),
        }
    }

    fn one(&mut self, item: &Row, done: &mut Done) -> anyhow::Result<()> {
        match self.rows(item, done) {
            Err(error) => self.refused(item, error, done),
            Ok(()) => Ok(()),
        }
    }

    /// Before the transaction is committed.
    fn prove(&mut self) -> anyhow::Result<()> {
        let landed = self.copy.as_mut().and_then(|copy| copy.landed.as_mut());
        landed.map_or(Ok(()), Landed::prove)
    }

    /// A row that is not let go stays; so does one that does not fit into the archive, and that is told.
    fn refused(&self, item: &Row, error: anyhow::Error, done: &mut Done) -> anyhow::Result<()> {
        require_open(self.scene.writer)?;
        if !is_constraint_in(&error) {
            return Err(match error.downcast::<rusqlite::Error>() {
                Ok(error) => self.scene.explain(error),
                Err(error) => error,
            });
        }
        if self.copy.is_some() {
            done.conflicts += 1;
            let first = || format!("{}: {error}", named(&self.plan.table, item));
            done.first_conflict.get_or_insert_with(first);
        }
        Ok(())
    }

    fn rows(&mut self, item: &Row, done: &mut Done) -> anyhow::Result<()> {
        let Some(copy) = &mut self.copy else {
            done.rows += self.delete.execute(params_from_iter(item))? as u64;
            return Ok(());
        };
        let copied = copy.statement.execute(params_from_iter(item))?;
        if copied == 0 {
            return Ok(()); // changed since, or a trigger does not want it there
        }
        let number = copy.landed.as_ref().map(Landed::number);
        let removed = self
            .delete
            .execute(params_from_iter(item))
            .map_err(|error| self.scene.explain(error))?;
        if removed != copied {
            let from = &self.plan.table.name;
            return Err(refused(format!(
                "{copied} of {from} were copied into {} and {removed} could be removed: a trigger keeps the others",
                copy.into.name
            ))
            .hint(format!(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{}'",
                from.replace('\'', "''")
            ))
            .into());
        }
        if let (Some(landed), Some(number)) = (&mut copy.landed, number) {
            let key = match self.single {
                true => &item[..1],
                false => item.as_slice(),
            };
            landed.moved(number, &key.to_vec())?;
        }
        done.rows += copied as u64;
        Ok(())
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
        let shown = |items: Vec<Row>| -> Vec<String> {
            items.iter().map(|one| format!("{one:?}")).collect()
        };
        let found = shown(runs(keys(&[7, 3, 1, 2, 9, 8, -5])));
        let expected = [(-5, -5), (1, 3), (7, 9)]
            .map(|(first, last)| format!("[Integer({first}), Integer({last})]"));
        assert_eq!(found, expected);
        let many: Vec<i64> = (0..300).collect();
        assert_eq!(runs(keys(&many)).len(), 3);
        assert_eq!(runs(vec![vec![Value::Text("a".into())]])[0].len(), 2);
        assert_eq!(runs(keys(&[i64::MAX, i64::MIN])).len(), 2);
    }
}
