//! How an index and its table differ: row by row, in the order of their ids.

use rusqlite::types::ValueRef;

use super::Work;
use super::held::Held;
use crate::error::refused;
use crate::sqlite::quote;
use crate::tasks::rag_clean::judge::wrong_vector;
use crate::units::percent;

/// Numbers of a normalised vector may differ so much from ours.
const CLOSE: f32 = 1e-4;

/// How an index and its table differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Vectors of the index.
    pub vectors: u64,
    /// Rows of the table with a usable vector.
    pub rows: u64,
    /// Rows without one.
    pub skipped: u64,
    /// Rows that the index lacks.
    pub missing: u64,
    /// Ids of the index, or of the map of its positions, that are in no row.
    pub stale: u64,
    /// Ids of both.
    pub common: u64,
    /// Ids of both with another vector.
    pub moved: u64,
    /// The vectors of the index are those of the table, brought to length 1.
    pub normalised: bool,
    /// The ids of the table are 0, 1, 2 and so on.
    pub consecutive: bool,
}

impl Drift {
    /// What would have to change.
    pub fn differing(&self) -> u64 {
        self.missing + self.stale + self.moved
    }

    /// The part of all that this is, from 0 to 1.
    pub fn share(&self) -> f64 {
        let all = self.common + self.missing + self.stale;
        percent(self.differing(), all) / 100.0
    }
}

impl Work<'_> {
    /// Rows are compared in the order of their ids, which has to be cheap.
    pub(super) fn require_ids(&self) -> anyhow::Result<()> {
        let ids = self.memory.require_ids(self.reader);
        ids.map_err(|error| self.explain(error))?
    }

    /// Every usable vector of the table with its id, by id. Says how many rows have none.
    pub(super) fn rows(
        &self,
        width: usize,
        each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let names = &self.memory.names;
        let (id, vector) = (quote(&names.id), quote(&names.vector));
        let sql = format!(
            "SELECT {id}, {vector} FROM main.{} WHERE {id} IS NOT NULL ORDER BY {id}",
            quote(&self.memory.embeddings.name)
        );
        let wrong = |error| self.explain(error);
        let mut statement = self.reader.prepare(&sql).map_err(wrong)?;
        let mut rows = statement.query([]).map_err(wrong)?;
        let (mut before, mut skipped) = (None, 0);
        while let Some(row) = rows.next().map_err(wrong)? {
            let ValueRef::Integer(id) = row.get_ref(0).map_err(wrong)? else {
                return Err(refused(format!(
                    "{}.{} holds ids that are no integers, which no FAISS index has",
                    self.memory.embeddings.name, names.id
                ))
                .into());
            };
            if before.replace(id) == Some(id) {
                return Err(refused(format!("two rows have the id {id}")).into());
            }
            match row.get_ref(1).map_err(wrong)? {
                ValueRef::Blob(bytes) if wrong_vector(bytes, width / 4).is_none() => {
                    each(id, bytes)?
                }
                _ => skipped += 1,
            }
        }
        Ok(skipped)
    }

    /// The usable vectors of these rows, in this order.
    pub(super) fn rows_of(
        &self,
        ids: &[i64],
        each: &mut dyn FnMut(i64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let names = &self.memory.names;
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {} = ?1",
            quote(&names.vector),
            quote(&self.memory.embeddings.name),
            quote(&names.id)
        );
        let wrong = |error| self.explain(error);
        let mut statement = self.reader.prepare(&sql).map_err(wrong)?;
        for &id in ids {
            let mut rows = statement.query([id]).map_err(wrong)?;
            if let Some(row) = rows.next().map_err(wrong)?
                && let ValueRef::Blob(bytes) = row.get_ref(0).map_err(wrong)?
            {
                each(id, bytes)?;
            }
        }
        Ok(())
    }

    /// Compares an index with the table.
    pub(super) fn drift(&self, held: &Held) -> anyhow::Result<Drift> {
        let index = &held.index;
        let mut entries = index.entries.clone();
        entries.sort_unstable();
        let mut left = entries.iter().copied().peekable();
        let mut drift = Drift {
            vectors: entries.len() as u64 + held.nameless,
            stale: held.nameless + held.surplus,
            consecutive: true,
            ..Drift::default()
        };
        let (mut own, mut same, mut close) = (Vec::new(), 0u64, 0u64);
        let mut scaled = Vec::new();
        let skipped = self.rows(index.shape.width(), &mut |id, bytes| {
            drift.consecutive &= id == drift.rows.cast_signed();
            drift.rows += 1;
            while left.next_if(|one| one.id < id).is_some() {
                drift.stale += 1;
            }
            let Some(entry) = left.next_if(|one| one.id == id) else {
                drift.missing += 1;
                return Ok(());
            };
            index.vector(entry, &mut own)?;
            drift.common += 1;
            same += u64::from(own == bytes);
            normalise(bytes, &mut scaled);
            close += u64::from(is_close(&own, &scaled));
            Ok(())
        })?;
        drift.skipped = skipped;
        drift.stale += left.count() as u64;
        drift.normalised = close > same && close * 10 >= drift.common * 9;
        drift.moved = drift.common - if drift.normalised { close } else { same };
        Ok(drift)
    }
}

/// A vector brought to length 1, as FAISS does it for cosine similarity.
pub fn normalise(bytes: &[u8], into: &mut Vec<u8>) {
    let numbers = || {
        bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
    };
    let norm: f32 = numbers().map(|one| one * one).sum();
    let factor = if norm > 0.0 { 1.0 / norm.sqrt() } else { 1.0 };
    into.clear();
    into.extend(numbers().flat_map(|one| (one * factor).to_le_bytes()));
}

fn is_close(a: &[u8], b: &[u8]) -> bool {
    let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    a.len() == b.len()
        && a.chunks_exact(4)
            .zip(b.chunks_exact(4))
            .all(|(a, b)| (number(a) - number(b)).abs() < CLOSE)
}
