//! Takes the rows of a removal, one after another in short transactions, each judged again in the transaction that takes it.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Statement, params_from_iter};

use super::merge;
use super::removal::{Along, Removal};
use super::scene::{Done, Scene};
use crate::config::sections::RagStep;
use crate::report::Unit;
use crate::sqlite::{Pace, Row, is_constraint, quote};

/// Keys that are read ahead of the transactions.
const KEYS: usize = 10_000;

impl Scene<'_> {
    /// Goes through the rows of the removal. `done` holds, also after an error, what is committed.
    pub fn apply(
        &self,
        writer: &Connection,
        removal: &Removal,
        pace: &mut Pace,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        if let (RagStep::Duplicates, Some(twins)) = (removal.step, self.twins) {
            return merge::apply(self, twins, writer, removal, pace, done);
        }
        let wrong = |error| self.explain(error);
        let mut work = Work::new(self, writer, removal).map_err(wrong)?;
        let mut walk = removal.selection.walk(&[]);
        loop {
            self.context.stop.check()?;
            let piece = walk.piece(self.reader, KEYS, |_| false).map_err(wrong)?;
            if piece.is_empty() {
                return Ok(());
            }
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                if self.wanted() {
                    done.gave_way = true;
                    return Ok(());
                }
                let mut turn = Done::default();
                let worked = pace.turn(writer, rest, |row| {
                    work.one(row, &mut turn)
                        .map_err(|error| self.explain(error))
                })?;
                done.rows += turn.rows;
                done.others += turn.others;
                rest = &rest[worked..];
                self.report
                    .progress(done.rows, removal.chosen, Unit::Count, removal.what);
            }
        }
    }
}

struct Work<'a> {
    removal: &'a Removal,
    writer: &'a Connection,
    /// The chunks of an embedding go, or wait.
    chunks: Option<Statement<'a>>,
    /// One of them is still there and points to it: a trigger keeps it.
    left: Option<Statement<'a>>,
    delete: Statement<'a>,
    /// The embedding of a chunk, and its removal.
    embedding: Option<(Statement<'a>, Statement<'a>)>,
}

impl<'a> Work<'a> {
    fn new(
        scene: &Scene<'_>,
        writer: &'a Connection,
        removal: &'a Removal,
    ) -> rusqlite::Result<Self> {
        let memory = scene.memory;
        let table = &removal.table;
        let condition = removal.selection.condition();
        let own = quote(&table.name);
        let is_it = format!("{} AND ({condition})", table.key_is());
        let id = quote(&memory.names.id);
        let pointer = quote(&memory.names.embedding_id);
        let pointing = memory.pointing().map(|chunks| quote(&chunks.name));
        let chunks = match (&pointing, removal.along) {
            (Some(chunks), Along::Chunks) => Some(format!("DELETE FROM main.{chunks}")),
            (Some(chunks), Along::Pending) => {
                Some(format!("UPDATE main.{chunks} SET {pointer} = NULL"))
            }
            _ => None,
        };
        let which = format!("WHERE {pointer} = (SELECT {id} FROM main.{own} WHERE {is_it})");
        let left = pointing
            .filter(|_| chunks.is_some())
            .map(|chunks| format!("SELECT EXISTS (SELECT 1 FROM main.{chunks} {which})"));
        let chunks = chunks.map(|verb| writer.prepare(&format!("{verb} {which}")));
        let embedding = if removal.along == Along::Embedding {
            let embeddings = quote(&memory.embeddings.name);
            let find = format!("SELECT {pointer} FROM main.{own} WHERE {}", table.key_is());
            let unused = format!("NOT {}", memory.chunk_of_it("1"));
            let free = &removal.free;
            let remove =
                format!("DELETE FROM main.{embeddings} WHERE {id} = ?1 AND {unused} AND ({free})");
            Some((writer.prepare(&find)?, writer.prepare(&remove)?))
        } else {
            None
        };
        Ok(Self {
            removal,
            writer,
            chunks: chunks.transpose()?,
            left: left.map(|sql| writer.prepare(&sql)).transpose()?,
            delete: table.delete(writer, &condition)?,
            embedding,
        })
    }

    /// One row with what belongs to it, or nothing of both: something in the schema may hold on to it.
    fn one(&mut self, key: &Row, done: &mut Done) -> rusqlite::Result<()> {
        if self.removal.along == Along::Nothing {
            return self.take(key, done).map(|_| ());
        }
        self.writer.execute_batch("SAVEPOINT \"one row\"")?;
        let before = *done;
        match self.take(key, done) {
            Ok(true) => self.writer.execute_batch("RELEASE \"one row\""),
            Err(error) if !is_constraint(&error) => Err(error),
            Ok(false) | Err(_) => {
                *done = before;
                self.writer
                    .execute_batch("ROLLBACK TO \"one row\"; RELEASE \"one row\"")
            }
        }
    }

    /// False where it stays, whatever belongs to it.
    fn take(&mut self, key: &Row, done: &mut Done) -> rusqlite::Result<bool> {
        let id: Option<Value> = match &mut self.embedding {
            Some((find, _)) => find
                .query_row(params_from_iter(key), |row| row.get(0))
                .optional()?,
            None => None,
        };
        let mut others = 0;
        if let Some(chunks) = &mut self.chunks {
            others += chunks.execute(params_from_iter(key))?;
        }
        if let Some(left) = &mut self.left
            && left.query_row(params_from_iter(key), |row| row.get(0))?
        {
            return Ok(false);
        }
        match self.delete.execute(params_from_iter(key)) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if is_constraint(&error) && self.removal.along == Along::Nothing => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if let (Some((_, remove)), Some(id)) = (&mut self.embedding, id) {
            others += remove.execute([id])?;
        }
        done.rows += 1;
        done.others += others as u64;
        Ok(true)
    }
}
