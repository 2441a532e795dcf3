//! What each step would take, looked at read-only. A step counts as if those before it had been done, so that a dry run tells
//! what the real run does; each row is judged again when it goes.

mod steps;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::duplicates::Twins;
use super::judge::Judge;
use super::memory::Memory;
use crate::archive::Source;
use crate::config::sections::{Rag, RagStep};
use crate::context::Context;
use crate::error::refused;
use crate::sqlite::{self, Selection, Table, quote};
use crate::units::{self};

/// An application that notes when it used an embedding has noted one within this time.
const MAINTAINED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A moment so far ahead was not written by an access.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// An embedding that was used so lately may be about to get its chunk.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);
/// Rows of values that are judged at once.
pub const PIECE: usize = 1_000;
/// And with fewer bytes than this, or one row.
const PIECE_BYTES: usize = 4 << 20;

/// True once the rows of a piece are enough; `read` begins with 0.
pub fn enough(row: &[Value], read: &mut usize) -> bool {
    *read += row
        .iter()
        .map(|value| match value {
            Value::Blob(bytes) => bytes.len(),
            Value::Text(text) => text.len(),
            _ => 8,
        })
        .sum::<usize>();
    *read > PIECE_BYTES
}

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
    /// Those of them that are wrong; all where there is no judge.
    pub judge: Option<Judge>,
    /// What happens to the rows that belong to one.
    pub along: Along,
    /// How many there are.
    pub chosen: u64,
    /// How many rows of the other table change or go with them.
    pub others: u64,
    /// How many were looked at: the whole table.
    pub total: u64,
    /// How many have no value to tell it from, and stay.
    pub nulls: u64,
    /// One sentence on why.
    pub reason: String,
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

/// Conditions on rows that steps before will have taken.
#[derive(Default)]
struct Gone {
    embeddings: Vec<String>,
    chunks: Vec<String>,
    embedding_rows: u64,
    chunk_rows: u64,
}

/// Looks for what the steps would take.
pub struct Planner<'a> {
    /// The settings.
    pub rag: &'a Rag,
    /// The tables.
    pub memory: &'a Memory,
    /// Reads.
    pub reader: &'a Connection,
    /// The database.
    pub source: &'a Source,
    /// The run.
    pub context: &'a Context,
    /// More than `max_fraction` may go.
    pub yes: bool,
    /// Parts of steps that were refused.
    pub refusals: Vec<anyhow::Error>,
    /// The chunks that say the same, once they were looked for.
    pub twins: Option<Twins>,
    gone: Gone,
}

impl<'a> Planner<'a> {
    /// Begins.
    pub fn new(
        rag: &'a Rag,
        memory: &'a Memory,
        reader: &'a Connection,
        source: &'a Source,
        context: &'a Context,
        yes: bool,
    ) -> Self {
        Self {
            rag,
            memory,
            reader,
            source,
            context,
            yes,
            refusals: Vec::new(),
            twins: None,
            gone: Gone::default(),
        }
    }

    /// What a step would take, in the order in which it goes; those without rows too. Refused where it is in doubt, or too much.
    /// `found` is what the steps before it take.
    pub fn step(&mut self, step: RagStep, found: &[Removal]) -> anyhow::Result<Vec<Removal>> {
        let before = (self.gone.embeddings.len(), self.gone.chunks.len());
        let rows = (self.gone.embedding_rows, self.gone.chunk_rows);
        let planned = match step {
            RagStep::Idle => self.idle(),
            RagStep::Orphans => self.orphans(),
            RagStep::Invalid => self.invalid(),
            RagStep::Duplicates => self.duplicates(found),
            RagStep::Quality => super::quality::look(self, found),
            // They take nothing: see `renew` and `run`.
            RagStep::Changed | RagStep::Optimize => Ok(Vec::new()),
        };
        if planned.is_err() {
            // What is refused does not go, and the steps behind it must not count on that.
            self.gone.embeddings.truncate(before.0);
            self.gone.chunks.truncate(before.1);
            (self.gone.embedding_rows, self.gone.chunk_rows) = rows;
        }
        planned
    }

    pub(super) fn judged(
        &self,
        table: &Table,
        what: &'static str,
        judge: Judge,
        acting: &str,
        along: Along,
    ) -> anyhow::Result<Removal> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let gone = match along {
            Along::Pending | Along::Chunks => &self.gone.embeddings,
            _ => &self.gone.chunks,
        };
        let looked = Selection::of(table, &self.but_gone(acting, gone));
        let column = quote(judge.column());
        let mut walk = looked.walk(std::slice::from_ref(&column)).or_bytes();
        let (mut chosen, mut nulls) = (0, 0);
        let mut reasons = std::collections::BTreeMap::<&str, u64>::new();
        loop {
            self.context.stop.check()?;
            let mut read = 0;
            let piece = walk
                .piece(self.reader, PIECE, |row| enough(row, &mut read))
                .map_err(wrong)?;
            if piece.is_empty() {
                break;
            }
            for row in &piece {
                let value = row.last().unwrap_or(&Value::Null);
                nulls += u64::from(*value == Value::Null);
                if let Some(reason) = judge.wrong(value.into()) {
                    chosen += 1;
                    *reasons.entry(reason).or_default() += 1;
                }
            }
        }
        let total = self.count(&table.name, "1")?;
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, rows)| format!("{rows}: {reason}"))
            .collect();
        Ok(Removal {
            step: RagStep::Invalid,
            what,
            table: table.clone(),
            selection: Selection::of(table, acting),
            judge: Some(judge),
            along,
            chosen,
            others: 0,
            total,
            nulls,
            reason: format!(
                "{chosen} of {} ({})",
                units::count(total, "row"),
                reasons.join("; ")
            ),
        })
    }

    /// The condition, and nothing else in the schema holds on to the embedding.
    pub(super) fn unreferenced(&self, condition: &str) -> anyhow::Result<String> {
        let references = self
            .memory
            .references(self.reader, self.source, self.context)?;
        Ok(hold_back(condition, &references, &self.memory.embeddings))
    }

    pub(super) fn unreferenced_chunk(&self, condition: &str) -> anyhow::Result<String> {
        let wrong = |error| sqlite::explain(error, &self.source.path, &self.context.stop);
        let Some(chunks) = &self.memory.chunks else {
            return Ok(condition.to_owned());
        };
        let references = chunks.references(self.reader).map_err(wrong)?;
        chunks
            .require_short(self.reader, &references)
            .map_err(wrong)??;
        Ok(hold_back(condition, &references, chunks))
    }

    /// True for a chunk that none of the conditions so far takes.
    pub(super) fn chunks_left(&self) -> String {
        self.but_gone("1", &self.gone.chunks)
    }

    /// The same for embeddings.
    pub(super) fn embeddings_left(&self) -> String {
        self.but_gone("1", &self.gone.embeddings)
    }

    /// From now on those chunks count as gone.
    pub(super) fn takes_chunks(&mut self, condition: &str) {
        self.gone.chunks.push(condition.to_owned());
    }

    /// From now on those embeddings count as gone.
    pub(super) fn takes_embeddings(&mut self, condition: &str) {
        self.gone.embeddings.push(condition.to_owned());
    }

    fn but_gone(&self, condition: &str, gone: &[String]) -> String {
        let mut all = vec![format!("({condition})")];
        all.extend(gone.iter().map(|one| format!("({one}) IS NOT TRUE")));
        all.join(" AND ")
    }

    pub(super) fn count(&self, table: &str, condition: &str) -> anyhow::Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM main.{} WHERE {condition}",
            quote(table)
        );
        let rows: i64 = self
            .reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    pub(super) fn any(&self, table: &str, condition: &str) -> anyhow::Result<bool> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {condition})",
            quote(table)
        );
        self.reader
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))
    }

    pub(super) fn require_embeddings(&mut self, removal: &Removal) -> anyhow::Result<()> {
        let rows = self.gone.embedding_rows + removal.chosen;
        self.require_fraction(rows, removal.total, removal.what, removal.step)?;
        self.gone.embedding_rows = rows;
        Ok(())
    }

    pub(super) fn require_chunks(
        &mut self,
        rows: u64,
        what: &str,
        step: RagStep,
    ) -> anyhow::Result<()> {
        let Some(chunks) = &self.memory.chunks else {
            return Ok(());
        };
        let total = self.count(&chunks.name, "1")?;
        let rows = self.gone.chunk_rows + rows;
        self.require_fraction(rows, total, what, step)?;
        self.gone.chunk_rows = rows;
        Ok(())
    }

    pub(super) fn require_fraction(
        &self,
        rows: u64,
        total: u64,
        what: &str,
        step: RagStep,
    ) -> anyhow::Result<()> {
        let share = match total {
            0 => 0.0,
            total => rows as f64 / total as f64,
        };
        if self.yes || share <= self.rag.max_fraction {
            return Ok(());
        }
        Err(refused(format!(
            "with the {what} {rows} of {} would go ({:.1}%, limit {:.1}%)",
            units::count(total, "row"),
            share * 100.0,
            self.rag.max_fraction * 100.0
        ))
        .hint(format!(
            "empire-maint rag-clean --step {} --yes",
            super::word(step)
        ))
        .into())
    }
}

/// Rows of other tables without an action of their own keep theirs.
fn hold_back(condition: &str, references: &[sqlite::Reference], table: &Table) -> String {
    let mut all = vec![format!("({condition})")];
    all.extend(
        references
            .iter()
            .filter(|one| !one.has_action)
            .map(|one| format!("NOT {}", one.points_to(table))),
    );
    all.join(" AND ")
}

/// The dimension that more than half of the vectors have; `None` where there is no vector. Refused where no dimension has more.
pub fn dimension(
    connection: &Connection,
    memory: &Memory,
) -> rusqlite::Result<anyhow::Result<Option<usize>>> {
    let vector = quote(&memory.names.vector);
    // Counted here: a GROUP BY would sort the vectors themselves.
    let mut statement = connection.prepare(&format!(
        "SELECT length({vector}), typeof({vector}) = 'blob' FROM main.{} WHERE {vector} IS NOT NULL",
        quote(&memory.embeddings.name)
    ))?;
    let mut values = statement.query([])?;
    let (mut lengths, mut all) = (BTreeMap::<i64, u64>::new(), 0);
    while let Some(value) = values.next()? {
        all += 1;
        if value.get(1)? {
            *lengths.entry(value.get(0)?).or_default() += 1;
        }
    }
    if all == 0 {
        return Ok(Ok(None));
    }
    let most = lengths.into_iter().max_by_key(|(_, rows)| *rows);
    let (bytes, rows) = most.unwrap_or_default();
    if rows * 2 <= all || bytes == 0 || bytes % 4 != 0 {
        return Ok(Err(not_floats(memory).into()));
    }
    Ok(Ok(usize::try_from(bytes / 4).ok()))
}

fn not_floats(memory: &Memory) -> crate::error::Failure {
    refused(format!(
        "column {} of {} holds no BLOBs of 32-bit floats, or no length that most of them have",
        memory.names.vector, memory.embeddings.name
    ))
    .hint(format!(
        "SELECT typeof({0}), length({0}), count(*) FROM {1} GROUP BY 1, 2",
        quote(&memory.names.vector),
        quote(&memory.embeddings.name)
    ))
}
