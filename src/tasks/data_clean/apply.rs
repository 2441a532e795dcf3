//! Deletes rows, or moves them into another table of the same database: copy and removal of a row are one transaction.

use std::cell::RefCell;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::landed::{Landed, trigger_acts};
use super::plan::{Plan, Target};
use super::scene::{Done, Scene};
use super::statements::{Hand, Several, Taken, Terms};
use crate::error::refused;
use crate::sqlite::{self, Act, Pace, Row, Table, TableKind, is_constraint_in, require_open};
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
    let (archive, into) = match &plan.target {
        Target::Table { archive, columns } => (Some(archive), Some((archive, columns.as_slice()))),
        _ => (None, None),
    };
    let terms = Terms {
        connection: scene.writer,
        table: &plan.table,
        condition: plan.still.clone(),
        into,
    };
    plan.teach(scene.writer).map_err(wrong)?;
    if let Some(archive) = archive {
        sqlite::keep_rows(scene.writer, &archive.name, &[Act::Update]).map_err(wrong)?;
    }
    let landed = match archive {
        Some(archive) => Landed::watch(scene.writer, &plan.table, archive).map_err(wrong)??,
        None => None,
    };
    // Where a trigger acts each row is for itself: it is followed, or what goes first may change what comes next.
    let alone = landed.is_some() || trigger_acts(scene.writer, &plan.table).map_err(wrong)?;
    let several = match plan.table.key.as_slice() {
        [key] if !alone => Several::prepare(&terms, key).map_err(wrong)?,
        _ => None,
    };
    // Only a rowid is always a whole number: in any other key 2.5 may stand between 2 and 3.
    let kind = sqlite::table_kind(scene.writer, &plan.table.name).map_err(wrong)?;
    let in_runs = several.is_some() && matches!(kind, Some((_, TableKind::Table)));
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
        while more && (ahead.is_empty() || (pace.rests(scene.writer) && ahead.len() < AHEAD)) {
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
        while at < ahead.len() && (at == 0 || !pace.rests(scene.writer)) {
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

struct Work<'a> {
    scene: &'a Scene<'a>,
    plan: &'a Plan,
    archive: Option<&'a Table>,
    ones: Hand<'a>,
    several: Option<Several<'a>>,
    /// Where triggers act.
    landed: Option<Landed<'a>>,
}

impl Work<'_> {
    /// One row, or a run of them. A row without neighbours waits for the next list.
    fn item(&mut self, item: &Item, done: &mut Done) -> anyhow::Result<()> {
        match (item, &mut self.several) {
            (Item::Run(first, last), Some(several)) => {
                let taken = several.run(*first, *last);
                self.count(taken, *first..=*last, done)
            }
            (Item::Run(first, last), None) => self.each(*first..=*last, done),
            (Item::One(key), Some(several)) if let [Value::Integer(number)] = key.as_slice() => {
                match several.wait(*number) {
                    true => self.list(done),
                    false => Ok(()),
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
        let keys = several.waiting();
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
        taken: rusqlite::Result<Taken>,
        keys: impl IntoIterator<Item = i64>,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let counted = match taken {
            Ok(Taken {
                copied: Some(copied),
                removed,
            }) => self.require_removed(copied, removed).map(|()| copied),
            Ok(Taken { removed, .. }) => removed.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
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
pub(super) fn named(table: &Table, key: &Row) -> String {
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
