//! What planned removals will have done to a row by the time that it is looked at, as far as only a judge of values can say: so that
//! a step counts as if those before it had been done.

use rusqlite::types::Value;

use super::judge::Judge;
use super::memory::Memory;
use super::plan::{Along, Removal};
use crate::sqlite::quote;

/// Judges of rows of one table.
pub struct Ahead {
    judges: Vec<Judged>,
}

struct Judged {
    judge: Judge,
    /// SQL for the value; NULL where the removal does not mean the row.
    value: String,
    /// The row goes; otherwise it loses its embedding.
    goes: bool,
}

/// What will have become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Stays,
    /// A chunk that waits for a new embedding.
    Unlinked,
    /// It is not.
    Gone,
}

impl Ahead {
    /// Of chunks.
    pub fn of_chunks(memory: &Memory, planned: &[Removal]) -> Self {
        let names = &memory.names;
        Self::new(planned, |removal, column, condition| {
            if removal.table.name != memory.embeddings.name {
                return (format!("CASE WHEN {condition} THEN {column} END"), true);
            }
            let value = format!(
                "(SELECT {column} FROM main.{0} WHERE {0}.{1} = {2}.{3} AND {condition})",
                quote(&memory.embeddings.name),
                quote(&names.id),
                quote(&names.chunks),
                quote(&names.embedding_id)
            );
            (value, removal.along == Along::Chunks)
        })
    }

    /// Of embeddings. One goes with the only chunk that points to it.
    pub fn of_embeddings(memory: &Memory, planned: &[Removal]) -> Self {
        let names = &memory.names;
        Self::new(planned, |removal, column, condition| {
            if removal.table.name == memory.embeddings.name {
                return (format!("CASE WHEN {condition} THEN {column} END"), true);
            }
            let of_it = format!(
                "FROM main.{0} WHERE {0}.{1} = {2}.{3}",
                quote(&names.chunks),
                quote(&names.embedding_id),
                quote(&memory.embeddings.name),
                quote(&names.id)
            );
            let value = format!(
                "CASE WHEN (SELECT count(*) {of_it}) = 1 THEN (SELECT {column} {of_it} AND {condition}) END"
            );
            (value, removal.along == Along::Embedding)
        })
    }

    fn new(planned: &[Removal], place: impl Fn(&Removal, &str, &str) -> (String, bool)) -> Self {
        let judges = planned
            .iter()
            .filter(|one| one.chosen > 0)
            .filter_map(|removal| {
                let judge = removal.judge.clone()?;
                let column = quote(judge.column());
                let condition = format!("({})", removal.selection.condition());
                let (value, goes) = place(removal, &column, &condition);
                Some(Judged { judge, value, goes })
            });
        Self {
            judges: judges.collect(),
        }
    }

    /// Columns for a walk, to be judged.
    pub fn columns(&self) -> impl Iterator<Item = String> {
        self.judges.iter().map(|one| one.value.clone())
    }

    /// Of the row that has these values in those columns.
    pub fn fate(&self, values: &[Value]) -> Fate {
        let mut fate = Fate::Stays;
        for (one, value) in self.judges.iter().zip(values) {
            if one.judge.wrong(value.into()).is_some() {
                match one.goes {
                    true => return Fate::Gone,
                    false => fate = Fate::Unlinked,
                }
            }
        }
        fate
    }
}
