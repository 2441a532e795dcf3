//! Deletes rows, or moves them into another table of the same database: copy and removal of a row are one transaction.

use rusqlite::{Connection, ErrorCode, Statement, params_from_iter};

use super::plan::{Plan, Target};
use super::run::{Done, Scene};
use super::walk::Row;
use crate::error::refused;
use crate::sqlite::{Pace, Table, quote};

/// Keys that are read ahead of the transactions.
const PIECE: usize = 10_000;

/// Goes through the rows of the plan. `done` holds, also after an error, what is committed.
pub fn apply(
    scene: &Scene<'_>,
    plan: &Plan,
    pace: &mut Pace,
    done: &mut Done,
) -> anyhow::Result<()> {
    let wrong = |error| scene.explain(error);
    let delete = delete_statement(scene.writer, &plan.table, &plan.selection.condition());
    let mut work = Work {
        scene,
        plan,
        delete: delete.map_err(wrong)?,
        copy: match &plan.target {
            Target::Table { name, columns } => {
                let copy = copy_statement(
                    scene.writer,
                    (&plan.table, &plan.selection.condition()),
                    name,
                    columns,
                );
                Some((name, copy.map_err(wrong)?))
            }
            _ => None,
        },
    };
    let mut walk = plan.selection.walk(&[]);
    loop {
        let piece = walk.piece(scene.reader, PIECE, |_| false).map_err(wrong)?;
        if piece.is_empty() {
            return Ok(());
        }
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            if scene.must_give_way() {
                done.gave_way = true;
                return Ok(());
            }
            let mut turn = Done::default();
            let worked = pace.turn(scene.writer, rest, |row| work.one(row, &mut turn))?;
            done.add(&turn);
            rest = &rest[worked..];
            scene.progress(done.rows, plan);
        }
    }
}

/// `DELETE` of one row by its key, as long as it still is what was meant.
pub fn delete_statement<'a>(
    connection: &'a Connection,
    table: &Table,
    condition: &str,
) -> rusqlite::Result<Statement<'a>> {
    connection.prepare(&format!(
        "DELETE FROM main.{} WHERE {} AND ({condition})",
        quote(&table.name),
        table.key_is()
    ))
}

/// `INSERT` of one row of a table, by its key, into another. Never instead of a row that is there, whatever the schema says.
pub fn copy_statement<'a>(
    connection: &'a Connection,
    (from, condition): (&Table, &str),
    to: &str,
    columns: &[String],
) -> rusqlite::Result<Statement<'a>> {
    let columns = columns.join(", ");
    connection.prepare(&format!(
        "INSERT OR ABORT INTO main.{} ({columns}) SELECT {columns} FROM main.{} WHERE {} AND ({condition})",
        quote(to),
        quote(&from.name),
        from.key_is()
    ))
}

struct Work<'a> {
    scene: &'a Scene<'a>,
    plan: &'a Plan,
    delete: Statement<'a>,
    copy: Option<(&'a String, Statement<'a>)>,
}

impl Work<'_> {
    fn one(&mut self, row: &Row, done: &mut Done) -> anyhow::Result<()> {
        let Some((into, copy)) = &mut self.copy else {
            match self.delete.execute(params_from_iter(row)) {
                Ok(0) => {}
                Ok(_) => done.rows += 1,
                // Somebody down the line of foreign keys does not let it go.
                Err(error) if is_constraint(&error) => {}
                Err(error) => return Err(self.scene.explain(error)),
            }
            return Ok(());
        };
        let copied = match copy.execute(params_from_iter(row)) {
            Ok(copied) => copied,
            Err(error) if is_constraint(&error) => {
                let from = &self.plan.table.name;
                return Err(anyhow::Error::from(
                    refused(format!(
                        "a row of {from} ({} = {:?}) cannot be archived into {into}: {error}",
                        self.plan.table.key.join(", "),
                        row
                    ))
                    .hint(format!(
                        "is it there already? compare: SELECT * FROM {0} JOIN {1} USING ({2})",
                        quote(from),
                        quote(into),
                        self.plan.table.key.join(", ")
                    )),
                ));
            }
            Err(error) => return Err(self.scene.explain(error)),
        };
        if copied == 0 {
            return Ok(()); // changed since, or a trigger does not want it there
        }
        let removed = self
            .delete
            .execute(params_from_iter(row))
            .map_err(|error| self.scene.explain(error))?;
        if removed != 1 {
            let from = &self.plan.table.name;
            return Err(refused(format!(
                "a row of {from} was copied into {into} and could not be removed: a trigger keeps it"
            ))
            .hint(format!(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{}'",
                from.replace('\'', "''")
            ))
            .into());
        }
        done.rows += 1;
        Ok(())
    }
}

/// True for what a UNIQUE, NOT NULL, CHECK or foreign key refused.
pub fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
