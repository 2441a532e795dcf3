//! What a step takes of a table, and what happens to the rows that belong to that.

use std::collections::BTreeMap;

use super::memory::Memory;
use crate::config::sections::RagStep;
use crate::sqlite::{Selection, Table};

/// Rows by table.
pub type Beyond = BTreeMap<String, u64>;

/// Rows of one table that a step takes.
pub struct Removal {
    /// The step.
    pub step: RagStep,
    /// What they are: "idle embeddings".
    pub what: &'static str,
    /// Their table.
    pub table: Table,
    /// The rows as they are when it is their turn.
    pub selection: Selection,
    /// What happens to the rows that belong to one.
    pub along: Along,
    /// True for an embedding that may go along.
    pub free: String,
    /// How many there are.
    pub chosen: u64,
    /// How many rows of the other table change or go with them.
    pub others: u64,
    /// Rows of further tables that the schema lets go along, or changes.
    pub beyond: Beyond,
    /// How many were looked at: the whole table.
    pub total: u64,
    /// How many have no value to tell it from, and stay.
    pub nulls: u64,
    /// How many stay for now: what they point to may be about to be written.
    pub not_yet: u64,
    /// How many stay with a value that is damaged.
    pub damaged: u64,
    /// One sentence on why.
    pub reason: String,
}

impl Removal {
    /// True where the rows that belong to one go with it.
    pub fn goes_along(&self) -> bool {
        self.along != Along::Pending
    }

    /// True for what an index has to follow, once so many `rows` and `others` go.
    pub fn takes_embeddings(&self, memory: &Memory, rows: u64, others: u64) -> bool {
        match memory.is_of_embeddings(&self.table) {
            true => rows > 0,
            false => self.along == Along::Embedding && others > 0,
        }
    }
}

/// What happens to the rows that belong to a row that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Nothing belongs to it.
    Nothing,
    /// The chunks of an embedding go.
    Chunks,
    /// The chunks of an embedding wait for a new one.
    Pending,
    /// The embedding of a chunk goes where no other chunk points to it.
    Embedding,
}
